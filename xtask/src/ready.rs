//! `cargo xtask ready`, which is what CI runs, and `cargo xtask sim`.
//! Decides which checks there are and their order (quickest first). Called by `main`.

use anyhow::Result;
use duct::cmd;

use crate::run;
use crate::rust;
use crate::suites;
use crate::workspace::{CLIENT, Workspace, cargo};

pub(crate) fn ready(ws: &Workspace) -> Result<()> {
    let root = ws.root();
    run::shown("formatting", &cmd!(cargo(), "fmt", "--all", "--check").dir(root))?;
    rust::ensure_target()?;
    let native = cmd!(cargo(), "clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings");
    run::shown("lints", &native.dir(root))?;
    let browser = cmd!(
        cargo(),
        "clippy",
        "--quiet",
        "--package",
        CLIENT,
        "--all-targets",
        "--target",
        rust::TARGET,
        "--",
        "-D",
        "warnings"
    );
    run::shown("lints for the browser", &browser.dir(root))?;
    if cmd!(cargo(), "deny", "--version").stdout_null().stderr_null().unchecked().run()?.status.success() {
        run::shown("dependencies (cargo deny)", &cmd!(cargo(), "deny", "check").dir(root))?;
    } else {
        run::step(
            "cargo-deny is not installed: licenses and advisories are not checked (cargo install cargo-deny)",
        );
    }
    suites::test(ws, &[])
}

/// Many random worlds in one go. The test reads how many, and where to begin, from its environment.
pub(crate) fn sim(ws: &Workspace, seeds: u64, seed: Option<u64>) -> Result<()> {
    let mut call = cmd!(cargo(), "test", "--release", "--test", "simulation", "--", "--nocapture")
        .dir(ws.root())
        .env("SIM_SEEDS", seeds.to_string());
    if let Some(seed) = seed {
        call = call.env("SIM_SEED", seed.to_string());
    }
    run::shown(&format!("{seeds} worlds of the simulator"), &call)
}
