//! Running other programs: one line that says why, then the program.
//! Decides what is shown (everything, nothing unless it fails, or everything and its closing line again at the end);
//! never what is run. Called by every task.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use duct::Expression;

/// Says what is done next.
pub(crate) fn step(what: &str) {
    println!("• {what}");
}

/// Runs with the terminal handed over.
pub(crate) fn shown(what: &str, command: &Expression) -> Result<()> {
    step(what);
    command.run().with_context(|| format!("failed: {what}"))?;
    Ok(())
}

/// Runs in silence; what it printed is only shown if it fails. For steps that run side by side or say too much.
pub(crate) fn quiet(what: &str, command: &Expression) -> Result<()> {
    step(what);
    let output = command.stderr_to_stdout().stdout_capture().unchecked().run();
    let output = output.with_context(|| format!("failed: {what}"))?;
    if !output.status.success() {
        bail!("failed: {what}\n{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// Runs a test runner, shows all it says and returns the lines that sum it up, whether it succeeded or not, with what it
/// said of the tests that failed.
pub(crate) fn tested(what: &str, command: &Expression) -> Result<Tested> {
    step(what);
    let reader =
        command.stderr_to_stdout().unchecked().reader().with_context(|| format!("failed: {what}"))?;
    let (mut closing, mut failures) = (Vec::new(), Failures::default());
    let mut lines = BufReader::new(&reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        let text = String::from_utf8_lossy(&line);
        if is_closing(text.trim()) {
            closing.push(text.trim().to_owned());
        }
        failures.hear(text.trim_end());
        line.clear();
    }
    let passed = reader.try_wait()?.is_some_and(|output| output.status.success());
    Ok(Tested { closing, failures: failures.lines, passed })
}

/// How a test runner ended.
#[derive(Debug, Default)]
pub(crate) struct Tested {
    pub(crate) closing: Vec<String>,
    pub(crate) failures: Vec<String>,
    pub(crate) passed: bool,
}

/// What a runner says of tests that fail: of the suites before the last one it would scroll out of sight.
#[derive(Default)]
struct Failures {
    lines: Vec<String>,
    /// Node tells all of it at the end, after a heading.
    to_the_end: bool,
    /// The line after one that names a place says what is wrong there.
    next: bool,
}

impl Failures {
    const MOST: usize = 120;

    fn hear(&mut self, line: &str) {
        let of_rust = line.contains(" panicked at ")
            || ["FAIL [", "TIMEOUT [", "SIGABRT ["].iter().any(|word| line.trim_start().starts_with(word))
            || (line.starts_with("test ") && line.ends_with("FAILED"));
        let wanted = self.to_the_end || std::mem::take(&mut self.next) || of_rust;
        if wanted && !line.is_empty() && self.lines.len() < Self::MOST {
            self.lines.push(line.to_owned());
        }
        self.next = line.contains(" panicked at ");
        self.to_the_end |= line == "✖ failing tests:";
    }
}

// cargo test and the browser runner say "test result:", nextest "Summary [", node "ℹ tests 3", "ℹ pass 3", "ℹ fail 0".
fn is_closing(line: &str) -> bool {
    let node = ["tests ", "pass ", "fail ", "skipped "];
    let of_node = line.strip_prefix("ℹ ").is_some_and(|rest| node.iter().any(|word| rest.starts_with(word)));
    // A crate without tests closes with zeros; that says nothing.
    let empty = line.contains(" 0 passed; 0 failed; 0 ignored");
    of_node || ((line.starts_with("test result:") || line.starts_with("Summary [")) && !empty)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{Failures, is_closing};

    #[test]
    fn the_last_lines_of_every_runner_are_recognised() {
        assert!(is_closing("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"));
        assert!(is_closing("Summary [   0.1s] 61 tests run: 61 passed, 0 skipped"));
        assert!(is_closing("ℹ fail 0"));
        assert!(!is_closing("ℹ duration_ms 12"));
        assert!(!is_closing("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured"));
        assert!(!is_closing("test wire::pk::tests::a_key_is_packed ... ok"));
    }

    #[test]
    fn what_failed_is_told_again() {
        let told = |text: &str| {
            let mut failures = Failures::default();
            text.lines().for_each(|line| failures.hear(line));
            failures.lines
        };
        let node =
            "✔ good (1ms)\n✖ bad (2ms)\nℹ fail 1\n\n✖ failing tests:\n\ntest at a.mjs:1:1\n✖ bad (2ms)";
        assert_eq!(told(node), ["test at a.mjs:1:1", "✖ bad (2ms)"]);
        let rust = "    PASS [ 0.1s] a\n    FAIL [ 0.2s] b\nthread 'b' panicked at b.rs:1:2:\nleft is not right\nnote: x";
        let expected = ["    FAIL [ 0.2s] b", "thread 'b' panicked at b.rs:1:2:", "left is not right"];
        assert_eq!(told(rust), expected);
    }
}
