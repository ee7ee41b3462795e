//! `cargo xtask load`: the relay under load, beside a broadcast relay in Node.
//! Decides what is built for it; what is measured is said in `tests/load`. Called by `main`.

use anyhow::Result;
use duct::cmd;

use crate::npm;
use crate::pack::TOOLS;
use crate::postgres;
use crate::run;
use crate::workspace::{RELAY, Workspace, cargo};

/// What puts the relay under load.
pub(crate) const LOAD: &str = "load";

/// Builds the relay and its load, optimised.
pub(crate) fn build(ws: &Workspace) -> Result<()> {
    let build = cmd!(cargo(), "build", "--quiet", "--release", "--package", RELAY, "--package", LOAD);
    run::quiet("the relay and its load, optimised (minutes the first time)", &build.dir(ws.root()))
}

pub(crate) fn load(ws: &Workspace, quick: bool) -> Result<()> {
    npm::install(ws, TOOLS)?;
    build(ws)?;
    let report = ws.scratch()?.join("load.json");
    let arguments = [
        "--relay".into(),
        ws.optimised(RELAY),
        "--broadcast".into(),
        ws.path("tests/load/broadcast.mjs"),
        "--report".into(),
        report,
        "--postgres".into(),
        postgres::ensure()?,
    ];
    let quick = quick.then(|| "--quick".into());
    run::shown("the relay under load", &duct::cmd(ws.optimised(LOAD), arguments.into_iter().chain(quick)))
}
