//! Node's side of a build: the private folders of dependencies and what runs in them.
//! Decides when a folder is installed anew; never installs anything globally. Called by `pack`, `suites` and `demo`.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};
use duct::{Expression, cmd};

use crate::fresh::{Inputs, Stamp};
use crate::run;
use crate::workspace::Workspace;

/// npm, under the name that it has on this system.
pub(crate) const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// The oldest Node that our tools and tests run on.
const OLDEST_NODE: u32 = 20;

/// Stops early, with what to install, where Node or npm is missing or too old.
pub(crate) fn ensure_node() -> Result<()> {
    let cure =
        format!("install Node.js {OLDEST_NODE} or newer, which brings npm: https://nodejs.org/en/download");
    let version = cmd!("node", "--version").read().with_context(|| format!("`node` does not run; {cure}"))?;
    cmd!(NPM, "--version").stderr_null().read().with_context(|| format!("`npm` does not run; {cure}"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|text| text.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_NODE) {
        bail!("Node.js {version} is too old; {cure}");
    }
    Ok(())
}

/// Installs a folder exactly as its lock file says, unless that was done already.
pub(crate) fn install(ws: &Workspace, folder: &str) -> Result<()> {
    let dir = ws.path(folder);
    let mut inputs = Inputs::default();
    inputs.file(&dir.join("package.json"))?;
    inputs.file(&dir.join("package-lock.json"))?;
    // Inside node_modules, so that it goes when they go.
    let stamp = Stamp::at(dir.join("node_modules/.xtask-stamp"));
    if stamp.says(&inputs.word()) {
        return Ok(());
    }
    run::quiet(
        &format!("npm dependencies of {folder}/"),
        &cmd!(NPM, "ci", "--no-audit", "--no-fund").dir(dir),
    )?;
    stamp.set(&inputs.word())
}

/// A script run by Node: of an installed folder (`node_modules/…` below it) or any other.
pub(crate) fn node<I>(script: &Path, args: I) -> Result<Expression>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    if !script.exists() {
        bail!("{} is missing: remove that node_modules folder and try again", script.display());
    }
    let first = std::iter::once(script.as_os_str().to_owned());
    Ok(cmd("node", first.chain(args.into_iter().map(Into::into))))
}
