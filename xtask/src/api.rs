//! `cargo xtask api`: what is written down of the public surface, made anew: the report that a test compares, and the
//! reference in docs/. Decides nothing about either; the scripts beside their tests do. Called by `main`.

use std::ffi::OsStr;

use anyhow::Result;

use crate::npm;
use crate::pack;
use crate::run;
use crate::workspace::Workspace;

const SCRIPTS: [&str; 2] = ["tests/package/surface.mjs", "tests/docs/api.mjs"];

pub(crate) fn api(ws: &Workspace) -> Result<()> {
    pack::pack(ws)?;
    for script in SCRIPTS {
        let call = npm::node(&ws.path(script), [OsStr::new("--write")])?.dir(ws.root());
        run::quiet(script, &call.env("CRSQLITE_SYNC_PKG", ws.pkg()))?;
    }
    run::step(
        "etc/crsqlite-sync.api.md and docs/api.md say what the package exports now: look at the difference",
    );
    Ok(())
}
