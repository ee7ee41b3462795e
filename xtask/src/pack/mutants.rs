//! The client as the tests of its rules want it: with `leaveOut`, in a folder of its own, made quickly and never shipped.
//! Decides what it may do without (wasm-opt, types, the inline entry); every other step is the package's own.
//! Called by `suites`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{LOADERS, bindgen, glue};
use crate::fresh::listed;
use crate::run;
use crate::rust;
use crate::workspace::Workspace;

/// The folder, whose `index.js` is the package's; `leaveOut` is an export of its `crsqlite_sync.js`.
pub(crate) fn with_mutants(ws: &Workspace) -> Result<PathBuf> {
    let tools = rust::wasm_tools(ws)?;
    let wasm = rust::client_with_mutants(ws)?;
    let folder = bindgen(ws, &wasm, &tools, "mutants")?;
    let script = folder.join("crsqlite_sync.js");
    run::write(&script, &glue::guard(&run::read(&script)?)?)?;
    for file in listed(&ws.path(LOADERS))? {
        let name = file.file_name().context("a loader without a name")?;
        run::copy(&file, &folder.join(name))?;
    }
    run::write(&folder.join("package.json"), "{\"type\": \"module\"}\n")?;
    Ok(folder)
}
