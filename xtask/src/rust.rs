//! Rust's side of a build: the browser target, wasm-bindgen's tools, the relay.
//! Decides how cargo is called for them; never installs a toolchain. Called by `pack`, `suites`, `demo` and `ready`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use crate::run;
use crate::workspace::{RELAY, Workspace, cargo};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Makes sure that Rust can compile for the browser.
pub(crate) fn ensure_target() -> Result<()> {
    let folder =
        cmd!("rustc", "--print", "target-libdir", "--target", TARGET).read().context("asking rustc")?;
    if Path::new(&folder).exists() {
        return Ok(());
    }
    // Said aloud rather than left to rustup, which some machines forbid to install anything by itself.
    run::shown("adding the browser target: rustup target add", &cmd!("rustup", "target", "add", TARGET))
        .context(format!("Rust cannot compile for the browser; install its target {TARGET}"))
}

/// Builds wasm-bindgen's command line and test runner from our lock file.
pub(crate) fn wasm_tools(ws: &Workspace) -> Result<PathBuf> {
    let build = cmd!(cargo(), "build", "--quiet", "--package", "wasm-tools").dir(ws.root());
    let binary = ws.binary("wasm-tools");
    run::quiet(&patience("wasm-bindgen, from the lock file", &binary), &build)?;
    Ok(binary)
}

/// Builds the client for the browser, small.
pub(crate) fn client_wasm(ws: &Workspace) -> Result<PathBuf> {
    let build = cmd!(cargo(), "build", "--quiet", "--lib", "--profile", "wasm", "--target", TARGET);
    let wasm = ws.raw_wasm();
    run::quiet(&patience("the client for the browser", &wasm), &build.dir(ws.root()))?;
    Ok(wasm)
}

/// Builds the relay. In the dev profile: it is ready in half the time and quick enough for a demo and for tests.
pub(crate) fn relay(ws: &Workspace) -> Result<PathBuf> {
    let build = cmd!(cargo(), "build", "--quiet", "--package", RELAY, "--bin", RELAY);
    let binary = ws.binary(RELAY);
    run::quiet(&patience("the relay", &binary), &build.dir(ws.root()))?;
    Ok(binary)
}

// Tells newcomers that silence is not a hang.
fn patience(what: &str, product: &Path) -> String {
    if product.exists() { what.to_owned() } else { format!("{what} (minutes the first time)") }
}
