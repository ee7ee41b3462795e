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

/// Runs a test runner, shows all it says and returns the lines that sum it up, whether it succeeded or not.
pub(crate) fn tested(what: &str, command: &Expression) -> Result<Tested> {
    step(what);
    let reader =
        command.stderr_to_stdout().unchecked().reader().with_context(|| format!("failed: {what}"))?;
    let mut closing = Vec::new();
    let mut lines = BufReader::new(&reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        let text = String::from_utf8_lossy(&line);
        if is_closing(text.trim()) {
            closing.push(text.trim().to_owned());
        }
        line.clear();
    }
    let passed = reader.try_wait()?.is_some_and(|output| output.status.success());
    Ok(Tested { closing, passed })
}

/// How a test runner ended.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) closing: Vec<String>,
    pub(crate) passed: bool,
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
    use super::is_closing;

    #[test]
    fn the_last_lines_of_every_runner_are_recognised() {
        assert!(is_closing("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"));
        assert!(is_closing("Summary [   0.1s] 61 tests run: 61 passed, 0 skipped"));
        assert!(is_closing("ℹ fail 0"));
        assert!(!is_closing("ℹ duration_ms 12"));
        assert!(!is_closing("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured"));
        assert!(!is_closing("test wire::pk::tests::a_key_is_packed ... ok"));
    }
}
