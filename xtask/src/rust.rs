//! Rust's side of a build: the browser target, wasm-bindgen's tools, the relay, the simulator.
//! Decides how cargo is called for them; never installs a toolchain. Called by `pack`, `suites`, `demo` and `ready`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use crate::run;
use crate::workspace::{CLIENT, RELAY, Workspace, cargo};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// LLVM likes to inline what is called in one place only, at almost any length, but in long functions every local has a
/// longer and rarer number, which compresses badly. All costs a hundred times as high: that bonus counts for a hundredth,
/// and everything else is weighed as before.
const NO_LONG_FUNCTIONS: &str =
    "-Cllvm-args=-inline-instr-cost=500 -inline-call-penalty=2500 -inline-threshold=500";

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
    let flags = [without_paths(ws)?, vec![NO_LONG_FUNCTIONS.to_owned()]].concat().join("\u{1f}");
    let build = build.dir(ws.root()).env("CARGO_ENCODED_RUSTFLAGS", flags);
    run::quiet(&patience("the client for the browser", &wasm), &build)?;
    Ok(wasm)
}

/// Builds the client for the browser with the feature that lets a test leave a rule out: quickly, in the profile of the
/// tests in a browser, whose dependencies it shares.
pub(crate) fn client_with_mutants(ws: &Workspace) -> Result<PathBuf> {
    let client = ["build", "--quiet", "--package", CLIENT, "--lib"];
    let how = ["--profile", "test", "--features", "mutants", "--target", TARGET];
    let wasm = ws.quick_wasm();
    let build = duct::cmd(cargo(), client.iter().chain(&how)).dir(ws.root());
    run::quiet(&patience("the client for the tests of its rules", &wasm), &build)?;
    Ok(wasm)
}

/// What is shipped tells nobody where it was built: panic messages name source files.
fn without_paths(ws: &Workspace) -> Result<Vec<String>> {
    let home = |name: &str| std::env::var(name).map(PathBuf::from).ok();
    let cargo_home = home("CARGO_HOME")
        .or_else(|| home("HOME").or_else(|| home("USERPROFILE")).map(|home| home.join(".cargo")));
    // Where the sources of std are installed, rustc names them where they lie.
    let sysroot = cmd!("rustc", "--print", "sysroot").dir(ws.root()).read().context("asking rustc")?;
    let std = Path::new(&sysroot).join("lib/rustlib/src/rust");
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let cargo_home = cargo_home.iter().map(|from| remap(from, "/cargo"));
    Ok(cargo_home.chain([remap(&std, "/rust"), remap(ws.root(), "/crsqlite-sync")]).collect())
}

/// What is built for this machine. wasm-tools only calls a library: it has no tests, and would cost two minutes.
pub(crate) const NATIVE: [&str; 3] = ["--workspace", "--exclude", "wasm-tools"];

/// Builds the relay. In the dev profile: it is ready in half the time and quick enough for a demo and for tests.
pub(crate) fn relay(ws: &Workspace) -> Result<PathBuf> {
    program(ws, "the relay", RELAY)
}

/// Builds the relay with the feature that leaves a rule out. A copy, because cargo gives both the same place: to be built
/// before the other, which others start from there.
pub(crate) fn relay_with_mutants(ws: &Workspace) -> Result<PathBuf> {
    let copy = ws.scratch()?.join(format!("{RELAY}-mutants{}", std::env::consts::EXE_SUFFIX));
    let what = patience("the relay for the tests of its rules", &copy);
    build(ws, &what, RELAY, &["--features", "crsqlite-relay/mutants"])?;
    run::copy(&ws.binary(RELAY), &copy)?;
    Ok(copy)
}

/// Builds the simulator, whose model of cr-sqlite is compared with the package itself.
pub(crate) fn simulator(ws: &Workspace) -> Result<PathBuf> {
    program(ws, "the simulator", "simulator")
}

/// Builds a program of the workspace; returns where it is.
pub(crate) fn program(ws: &Workspace, what: &str, name: &str) -> Result<PathBuf> {
    let binary = ws.binary(name);
    build(ws, &patience(what, &binary), name, &[])?;
    Ok(binary)
}

// Of the whole workspace: cargo keeps one build of each crate, and makes it anew for a program that alone would have it with
// fewer features.
fn build(ws: &Workspace, what: &str, name: &str, with: &[&str]) -> Result<()> {
    let of_it = ["--bin", name];
    let call = ["build", "--quiet"].iter().chain(&NATIVE).chain(&of_it).chain(with);
    run::quiet(what, &duct::cmd(cargo(), call).dir(ws.root()))
}

// Tells newcomers that silence is not a hang.
fn patience(what: &str, product: &Path) -> String {
    if product.exists() { what.to_owned() } else { format!("{what} (minutes the first time)") }
}
