//! `cargo xtask test`: the suites, from the quickest to the widest.
//! Decides what a suite needs and which runner runs it; goes on after a failure and ends with every runner's own
//! closing lines. Called by `main` and `ready`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;
use duct::{Expression, cmd};

use crate::browser;
use crate::demo;
use crate::fresh::listed;
use crate::npm;
use crate::pack::{self, TOOLS};
use crate::postgres;
use crate::run::{self, Tested};
use crate::rust;
use crate::workspace::{CLIENT, Workspace, cargo};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Rust on this machine: wire, engine, relay, simulator
    Native,
    /// Rust in a headless browser
    Wasm,
    /// The packed package, installed as a user would
    Package,
    /// Every code block of the pages, compiled or run
    Docs,
    /// The package with the real cr-sqlite under Node
    Node,
    /// Random worlds with the real cr-sqlite
    Worlds,
    /// The demo app in browsers, with a relay
    E2e,
    /// The packed package in the apps of every bundler, in every engine
    Matrix,
}

/// The tests of the apps, with their own tools from npm.
const MATRIX: &str = "tests/matrix";

/// Brings ahead of time what the suites take from the network. Whatever does not come is asked for again by the suite that
/// needs it, which fails if it has to.
pub(crate) fn fetch(ws: &Workspace) {
    let database = || if cfg!(unix) { postgres::ensure().map(drop) } else { Ok(()) };
    let system = || browser::ensure_all().map(drop).and_then(|()| database());
    let packages = || npm::install(ws, TOOLS).and_then(|()| npm::install(ws, MATRIX));
    for error in [system(), packages()].into_iter().filter_map(Result::err) {
        run::step(&format!("not there yet: {error:#}"));
    }
}

/// The matrix alone. `write` puts its table into the README.
pub(crate) fn only_matrix(ws: &Workspace, write: bool) -> Result<()> {
    told(vec![(Suite::Matrix, matrix(ws, write))])
}

/// Runs the named suites, or all of them when none is named.
pub(crate) fn test(ws: &Workspace, only: &[Suite]) -> Result<()> {
    let suites: Vec<Suite> =
        Suite::value_variants().iter().copied().filter(|s| only.is_empty() || only.contains(s)).collect();
    told(suites.into_iter().map(|suite| (suite, suite.run(ws))).collect())
}

fn told(endings: Vec<(Suite, Result<Tested>)>) -> Result<()> {
    println!("\nHow the suites ended:");
    let mut failed = Vec::new();
    for (suite, ending) in &endings {
        let name = suite.name();
        match ending {
            Ok(tested) if tested.closing.is_empty() => println!("  {name:8} no test ran"),
            Ok(tested) => println!("  {name:8} {}", tested.closing.join("; ")),
            Err(error) => println!("  {name:8} did not run: {error:#}"),
        }
        for line in ending.iter().flat_map(|tested| &tested.failures) {
            println!("           {line}");
        }
        // A runner that found nothing to run also ends well: that is no test.
        if !ending.as_ref().is_ok_and(|tested| tested.passed && !tested.closing.is_empty()) {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Wasm => "wasm",
            Self::Package => "package",
            Self::Docs => "docs",
            Self::Node => "node",
            Self::Worlds => "worlds",
            Self::E2e => "e2e",
            Self::Matrix => "matrix",
        }
    }

    fn run(self, ws: &Workspace) -> Result<Tested> {
        match self {
            Self::Native => native(ws),
            Self::Wasm => wasm(ws),
            Self::Package => package(ws),
            Self::Docs => docs(ws),
            Self::Node => real(ws),
            Self::Worlds => worlds(ws),
            Self::E2e => end_to_end(ws),
            Self::Matrix => matrix(ws, false),
        }
    }
}

fn native(ws: &Workspace) -> Result<Tested> {
    if !cfg!(unix) {
        run::step("PostgreSQL under the relay is tried on Unix only");
        return native_once(ws, None);
    }
    let postgres = postgres::ensure()?;
    let mut tested = native_once(ws, Some(&postgres))?;
    let shared = over_postgres(ws, &postgres)?;
    tested.passed &= shared.passed;
    tested.closing.extend(shared.closing);
    tested.failures.extend(shared.failures);
    Ok(tested)
}

/// The relay's tests once more, over the other database, of which all share one server.
fn over_postgres(ws: &Workspace, postgres: &Path) -> Result<Tested> {
    // These have a database of their own choice.
    let skipped = ["embedded::", "instances::", "crash::"].into_iter().flat_map(|module| ["--skip", module]);
    // Of the whole workspace, for else its crates are built again with fewer features.
    let call = ["test"].iter().chain(&rust::NATIVE).chain(&["--test", "relay", "--"]).copied().chain(skipped);
    let call = duct::cmd(cargo(), call).dir(ws.root()).env("CRSQLITE_RELAY_TEST_DATABASE", "postgres");
    run::tested("the relay's tests over PostgreSQL", &call.env("PG_BIN", postgres))
}

fn native_once(ws: &Workspace, postgres: Option<&Path>) -> Result<Tested> {
    let nextest = cmd!(cargo(), "nextest", "--version").stdout_null().stderr_null().unchecked().run()?;
    let run = |args: &[&str]| {
        let call = duct::cmd(cargo(), args.iter().chain(&rust::NATIVE)).dir(ws.root());
        postgres.iter().fold(call, |call, folder| call.env("PG_BIN", folder))
    };
    if !nextest.status.success() {
        return run::tested("native tests (cargo test)", &run(&["test", "--no-fail-fast"]));
    }
    let units = run::tested("native tests (cargo nextest)", &run(&["nextest", "run", "--no-fail-fast"]))?;
    // nextest leaves the examples in the documentation out.
    let docs = run::tested("examples in the documentation", &run(&["test", "--doc", "--quiet"]))?;
    Ok(Tested {
        passed: units.passed && docs.passed,
        closing: units.closing.into_iter().chain(docs.closing).collect(),
        failures: units.failures.into_iter().chain(docs.failures).collect(),
    })
}

fn wasm(ws: &Workspace) -> Result<Tested> {
    rust::ensure_target()?;
    let browser = browser::ensure_with_driver()?;
    rust::wasm_tools(ws)?;
    let call =
        cmd!(cargo(), "test", "--package", CLIENT, "--tests", "--no-fail-fast", "--target", rust::TARGET)
            .dir(ws.root())
            .env("CHROMEDRIVER", &browser.driver)
            .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", browser::capabilities(ws, &browser)?);
    run::tested("tests in a headless browser", &call)
}

fn package(ws: &Workspace) -> Result<Tested> {
    let chrome = browser::ensure()?;
    pack::pack(ws)?;
    let mut tested = node_tests(ws, "tests/package", |call| call.env("CHROME", &chrome))?;
    if let Err(error) = pack::gate(ws) {
        tested.passed = false;
        tested.closing.push(format!("{error:#}"));
    }
    Ok(tested)
}

/// The pages are held against the programs that they speak of, this one included.
fn docs(ws: &Workspace) -> Result<Tested> {
    let chrome = browser::ensure()?;
    pack::pack(ws)?;
    let relay = rust::relay(ws)?;
    let xtask = std::env::current_exe()?;
    // Its files mostly wait, and Node keeps one core free where it is not told.
    node_tests_at_once(ws, "tests/docs", &["--test-concurrency=2"], |call| {
        call.env("CHROME", &chrome).env("CRSQLITE_RELAY", &relay).env("CRSQLITE_XTASK", &xtask)
    })
}

fn real(ws: &Workspace) -> Result<Tested> {
    pack::pack(ws)?;
    let (mutants, relay_with_mutants) = (pack::with_mutants(ws)?, rust::relay_with_mutants(ws)?);
    let (relay, simulator) = (rust::relay(ws)?, rust::simulator(ws)?);
    // Its files mostly wait: more of them than there are cores, and Node would keep one core free where it is not told.
    node_tests_at_once(ws, "tests/node", &["--test-concurrency=3"], |call| {
        let call = call.env("CRSQLITE_RELAY", &relay).env("CRSQLITE_SIMULATOR", &simulator);
        call.env("CRSQLITE_SYNC_MUTANTS", &mutants).env("CRSQLITE_RELAY_MUTANTS", &relay_with_mutants)
    })
}

fn worlds(ws: &Workspace) -> Result<Tested> {
    pack::pack(ws)?;
    let (simulator, mutants) = (rust::simulator(ws)?, pack::with_mutants(ws)?);
    // Its files want nothing but the processor, and Node keeps one core free where it is not told.
    node_tests_at_once(ws, "tests/worlds", &["--test-concurrency=2"], |call| {
        call.env("CRSQLITE_SIMULATOR", &simulator).env("CRSQLITE_SYNC_MUTANTS", &mutants)
    })
}

fn end_to_end(ws: &Workspace) -> Result<Tested> {
    // Asked first, so that nobody waits for a build that cannot be used.
    let chrome = browser::ensure()?;
    let app = demo::app(ws)?;
    let relay = rust::relay(ws)?;
    // Its files mostly wait, each for browsers of its own.
    node_tests_at_once(ws, "tests/e2e", &["--test-concurrency=2"], |call| {
        call.env("CHROME", &chrome).env("CRSQLITE_RELAY", &relay).env("CRSQLITE_SYNC_APP", &app)
    })
}

/// `write`: the README's table is made of what is seen, where else it is compared.
fn matrix(ws: &Workspace, write: bool) -> Result<Tested> {
    // Asked first, so that nobody waits for a build that cannot be used.
    let engines = browser::ensure_all()?;
    pack::pack(ws)?;
    let relay = rust::relay(ws)?;
    npm::install(ws, MATRIX)?;
    let mut tested = node_tests(ws, MATRIX, |call| {
        let call = engines.variables.iter().fold(call, |call, (name, path)| call.env(name, path));
        let call = call.env("CRSQLITE_RELAY", &relay);
        if write { call.env("CRSQLITE_MATRIX_WRITE", "1") } else { call }
    })?;
    tested.closing.extend(engines.missing);
    Ok(tested)
}

// Files named one by one, because `node --test` reads folders differently in every major version.
fn node_tests(ws: &Workspace, folder: &str, with: impl FnOnce(Expression) -> Expression) -> Result<Tested> {
    node_tests_at_once(ws, folder, &[], with)
}

fn node_tests_at_once(
    ws: &Workspace,
    folder: &str,
    flags: &[&str],
    with: impl FnOnce(Expression) -> Expression,
) -> Result<Tested> {
    npm::install(ws, TOOLS)?;
    let files = tests_in(&ws.path(folder))?;
    if files.is_empty() {
        let closing = vec![format!("there are no tests in {folder}/ yet")];
        return Ok(Tested { closing, passed: true, ..Tested::default() });
    }
    let flags = ["--test", "--test-reporter=spec"].iter().chain(flags).map(PathBuf::from);
    let call = duct::cmd("node", flags.chain(files)).dir(ws.root());
    let call = call.env("CRSQLITE_SYNC_TARBALL", ws.tarball()).env("CRSQLITE_SYNC_PKG", ws.pkg());
    run::tested(&format!("tests of {folder}/ (node --test)"), &with(call))
}

fn tests_in(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = listed(folder)?;
    files.retain(|path| path.to_string_lossy().ends_with(".test.mjs"));
    Ok(files)
}
