//! `cargo xtask pack`: from the Rust crate to the npm package.
//! Decides what is in the package and in which order it is made; the public API is the crate's, the loader's
//! (`src/web/js/`) and the types' beside it. Called by `main`, and by every task that needs the package.

mod glue;
mod mutants;
mod names;
mod size;
mod template;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};
use duct::{Expression, cmd};

use crate::fresh::{Inputs, Stamp, listed};
use crate::npm::{self, NPM};
use crate::run;
use crate::rust;
use crate::workspace::Workspace;

pub(crate) use mutants::with_mutants;

const TEMPLATE: &str = "pkg.json.template";
const LOADERS: &str = "src/web/js";
/// The hand-written types, and what the package calls them.
const TYPES: [(&str, &str); 2] =
    [("src/web/types.d.ts", "index.d.ts"), ("src/web/testing.d.ts", "testing.d.ts")];
/// Where npm installs wasm-opt; shared with the tests.
pub(crate) const TOOLS: &str = "tests";

const LICENSES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];
const PAGES: [&str; 4] = ["README.md", "CHANGELOG.md", "PROTOCOL.md", "server/README.md"];
/// The rest of what the README links to.
const GUIDES: &str = "docs";

/// Fails when what was packed is too heavy.
pub(crate) fn gate(ws: &Workspace) -> Result<()> {
    size::weigh(&ws.pkg())?.gate()
}

/// The brotli bytes of wasm and glue that an app downloads.
pub(crate) fn weight(ws: &Workspace) -> Result<u64> {
    Ok(size::weigh(&ws.pkg())?.total())
}

/// Makes pkg/ and the tarball, unless nothing changed. Of any weight: a demo is better than none.
pub(crate) fn pack(ws: &Workspace) -> Result<()> {
    npm::ensure_node()?;
    rust::ensure_target()?;
    let (wasm, tools) = build(ws)?;

    let word = inputs(ws, &wasm, &tools)?.word();
    let stamp = Stamp::at(ws.scratch()?.join("pack.stamp"));
    let sizes = ws.scratch()?.join("sizes.txt");
    if stamp.says(&word) && ws.tarball().exists() && ws.pkg().join("package.json").exists() {
        run::step("the package is up to date");
        print!("{}", run::read(&sizes)?);
        return Ok(());
    }

    fill(ws, &wasm, &tools)?;
    let report = size::weigh(&ws.pkg())?.to_string();
    print!("{report}");
    tie(ws)?;
    run::write(&sizes, &report)?;
    stamp.set(&word)
}

// Three things that do not wait for each other: the linker works on one core, npm on the network.
fn build(ws: &Workspace) -> Result<(PathBuf, PathBuf)> {
    thread::scope(|scope| {
        let npm = scope.spawn(|| npm::install(ws, TOOLS));
        let tools = scope.spawn(|| rust::wasm_tools(ws));
        let wasm = rust::client_wasm(ws);
        npm.join().map_err(|_| anyhow::anyhow!("npm's thread panicked"))??;
        let tools = tools.join().map_err(|_| anyhow::anyhow!("cargo's thread panicked"))??;
        Ok((wasm?, tools))
    })
}

fn inputs(ws: &Workspace, wasm: &Path, tools: &Path) -> Result<Inputs> {
    let mut inputs = Inputs::of_this_tool()?;
    inputs.file(wasm)?;
    inputs.file(tools)?;
    inputs.file(&ws.path("Cargo.toml"))?;
    inputs.file(&ws.path(TEMPLATE))?;
    for (types, _) in TYPES {
        inputs.file(&ws.path(types))?;
    }
    inputs.file(&ws.path(TOOLS).join("package-lock.json"))?;
    inputs.folder(&ws.path(LOADERS), &[])?;
    for page in LICENSES.iter().chain(&PAGES).map(|name| ws.path(name)).filter(|path| path.exists()) {
        inputs.file(&page)?;
    }
    inputs.folder(&ws.path(GUIDES), &[])?;
    Ok(inputs)
}

// Writes pkg/ from nothing.
fn fill(ws: &Workspace, wasm: &Path, tools: &Path) -> Result<()> {
    let pkg = ws.pkg();
    for old in if pkg.exists() { listed(&pkg)? } else { Vec::new() } {
        let removed = if old.is_dir() { std::fs::remove_dir_all(&old) } else { std::fs::remove_file(&old) };
        removed.with_context(|| format!("removing {}", old.display()))?;
    }
    run::write(&pkg.join("package.json"), &template::render(&run::read(&ws.path(TEMPLATE))?, ws)?)?;

    let raw = bindgen(ws, wasm, tools, "bindgen")?;
    let generated = named(&raw)?;
    let optimised = pkg.join("crsqlite_sync_bg.wasm");
    run::quiet("wasm-opt", &wasm_opt(ws, &raw.join("crsqlite_sync_bg.wasm"), &optimised)?)?;
    run::write(&pkg.join("crsqlite_sync.js"), &glue::guard(&generated)?)?;
    size::inline(&optimised, &pkg.join("crsqlite_sync_bg.base64.js"))?;

    for file in listed(&ws.path(LOADERS))? {
        let name = file.file_name().context("a loader without a name")?;
        run::copy(&file, &pkg.join(name))?;
    }
    for (types, name) in TYPES {
        run::copy(&ws.path(types), &pkg.join(name))?;
    }
    for name in LICENSES {
        run::copy(&ws.path(name), &pkg.join(name))?;
    }
    for name in PAGES {
        if ws.path(name).exists() {
            run::copy(&ws.path(name), &pkg.join(name))?;
        } else {
            run::step(&format!("there is no {name} yet: the package goes without it"));
        }
    }
    for guide in listed(&ws.path(GUIDES))? {
        let name = guide.file_name().context("a guide without a name")?;
        run::copy(&guide, &pkg.join(GUIDES).join(name))?;
    }
    Ok(())
}

// wasm-bindgen's own output, in a folder of our scratch. Without its types (ours are written by hand) and without its own
// address of the .wasm, because the package must name that file exactly once, in the loader.
fn bindgen(ws: &Workspace, wasm: &Path, tools: &Path, folder: &str) -> Result<PathBuf> {
    let out = ws.scratch()?.join(folder);
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
    }
    let call = cmd!(
        tools,
        "bindgen",
        "--target",
        "web",
        "--no-typescript",
        "--omit-default-module-path",
        "--out-name",
        "crsqlite_sync",
        "--out-dir",
        &out,
        wasm
    );
    run::quiet("wasm-bindgen", &call)?;
    if out.join("snippets").exists() {
        bail!("the crate uses inline JavaScript (snippets), which the package does not carry");
    }
    Ok(out)
}

// The glue, after its imports and those of the wasm beside it have got names that compress.
fn named(raw: &Path) -> Result<String> {
    let glue = run::read(&raw.join("crsqlite_sync.js"))?;
    let path = raw.join("crsqlite_sync_bg.wasm");
    let mut wasm = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let glue = names::without_hashes(&glue, &mut wasm)?;
    std::fs::write(&path, wasm).with_context(|| format!("writing {}", path.display()))?;
    Ok(glue)
}

// Beside the usual: no alignment hints, which engines ignore and which do not compress; and constant offsets moved into
// loads and stores, which is right unless an address lies within the lowest KiB, the very end of the stack.
fn wasm_opt(ws: &Workspace, from: &Path, to: &Path) -> Result<Expression> {
    let script = ws.path(TOOLS).join("node_modules/binaryen/bin/wasm-opt");
    // Measured in brotli bytes: -Os folds what brotli would have folded better, and costs 4 kB more.
    let flags = ["-O1", "--shrink-level=1", "--dealign", "--low-memory-unused", "--dae-optimizing"];
    // First of all, and only what is hardly longer than a call of it: LLVM's own inliner leaves many such.
    let inlining = "--inlining --always-inline-max-function-size 4 --flexible-inline-max-function-size 0 \
                    --one-caller-inline-max-function-size 0";
    let flags = inlining.split_whitespace().chain(flags).chain(["-o"]).map(OsStr::new);
    npm::node(&script, [from.as_os_str()].into_iter().chain(flags).chain([to.as_os_str()]))
}

fn tie(ws: &Workspace) -> Result<()> {
    let tarball = ws.tarball();
    let folder = tarball.parent().context("the tarball lies nowhere")?;
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let call = cmd!(NPM, "pack", "--silent", "--ignore-scripts", "--pack-destination", folder).dir(ws.pkg());
    run::quiet("npm pack", &call)?;
    let versioned = folder.join(format!("{}-{}.tgz", ws.field("name")?, ws.field("version")?));
    run::copy(&versioned, &tarball)?;
    println!("  {}", tarball.display());
    Ok(())
}
