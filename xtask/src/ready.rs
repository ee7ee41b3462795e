//! `cargo xtask ready`, which is what CI runs, and `cargo xtask sim`.
//! Decides which checks there are and their order (quickest first). Called by `main`.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use duct::{Expression, cmd};

use crate::bench::{self, Options};
use crate::run;
use crate::rust;
use crate::suites;
use crate::workspace::{CLIENT, Workspace, cargo};

/// Every check, also after one of them failed: CI answers once, with all there is to mend.
pub(crate) fn ready(ws: &Workspace) -> Result<()> {
    rust::ensure_target()?;
    let failed = thread::scope(|scope| {
        // One waits for the network, the other for the processor.
        let fetching = scope.spawn(|| suites::fetch(ws));
        let failed = lints(ws);
        fetching.join().map_err(|_| anyhow!("the thread that fetches panicked"))?;
        failed
    })?;
    let lints = if failed.is_empty() { Ok(()) } else { Err(anyhow!("failed: {}", failed.join(", "))) };
    // Last: what is measured beside a compiler says nothing.
    let checks = [lints, suites::test(ws, &[]), bench::bench(ws, &Options::quick())];
    let failed: Vec<String> =
        checks.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// What can be said without running anything, and the names of what failed.
fn lints(ws: &Workspace) -> Result<Vec<&'static str>> {
    let root = ws.root();
    let mut failed = Vec::new();
    let mut check = |what: &'static str, command: Expression| {
        if let Err(error) = run::shown(what, &command.dir(root)) {
            eprintln!("{error:#}");
            failed.push(what);
        }
    };
    check("formatting", cmd!(cargo(), "fmt", "--all", "--check"));
    let strict = ["--", "-D", "warnings"];
    let native = ["clippy", "--quiet", "--workspace", "--all-targets"];
    check("lints", duct::cmd(cargo(), native.iter().chain(&strict)));
    let browser = ["clippy", "--quiet", "--package", CLIENT, "--all-targets", "--target", rust::TARGET];
    check("lints for the browser", duct::cmd(cargo(), browser.iter().chain(&strict)));
    if cmd!(cargo(), "deny", "--version").stdout_null().stderr_null().unchecked().run()?.status.success() {
        check("dependencies (cargo deny)", cmd!(cargo(), "deny", "check"));
    } else {
        run::step(
            "cargo-deny is not installed: licenses and advisories are not checked (cargo install cargo-deny)",
        );
    }
    Ok(failed)
}

/// Many random worlds in one go, or one of them again with its story told.
pub(crate) fn sim(ws: &Workspace, seeds: u64, seed: Option<u64>, trace: bool) -> Result<()> {
    let mut args: Vec<String> =
        ["run", "--quiet", "--release", "--package", "simulator", "--"].map(String::from).to_vec();
    match seed {
        Some(seed) if trace => args.extend(["--seed".into(), seed.to_string(), "--trace".into()]),
        Some(seed) => {
            args.extend(["--seeds".into(), seeds.to_string(), "--first".into(), seed.to_string()]);
        }
        None => args.extend(["--seeds".into(), seeds.to_string()]),
    }
    run::shown(&format!("{seeds} worlds of the simulator"), &duct::cmd(cargo(), args).dir(ws.root()))
}

/// Every rule of replication left out once.
pub(crate) fn mutants(ws: &Workspace) -> Result<()> {
    let args = ["run", "--quiet", "--release", "--package", "simulator", "--", "--mutants"];
    run::shown("rules that are left out", &duct::cmd(cargo(), args).dir(ws.root()))
}
