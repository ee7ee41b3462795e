//! `cargo xtask bench`: what the package exists for, measured beside what a user would pick instead and beside the limit.
//! Decides what is built for it; what is measured and how it is judged is said in `tests/bench`. Called by `main`.

use anyhow::Result;

use crate::browser;
use crate::load;
use crate::npm;
use crate::pack;
use crate::postgres;
use crate::run;
use crate::workspace::Workspace;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Less of everything, in less than two minutes; fails where a ratio is out of its loose bounds
    #[arg(long)]
    quick: bool,
    /// Only these parts, separated by commas
    #[arg(long, value_name = "PARTS")]
    only: Option<String>,
    /// Puts the table into the README
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,
}

impl Options {
    /// What CI runs.
    pub(crate) fn quick() -> Self {
        Options { quick: true, ..Options::default() }
    }
}

pub(crate) fn bench(ws: &Workspace, options: &Options) -> Result<()> {
    let chrome = browser::ensure()?;
    pack::pack(ws)?;
    let Options { quick, only, write } = options;
    // The bounds of the quick run are for what the tests have built: it is there to catch what has become slower.
    let [relay, load] = if *quick { load::build_for_tests(ws)? } else { load::build(ws)? };
    let flags = [(*quick, "--quick"), (*write, "--write")].into_iter().filter(|(set, _)| *set);
    let only = only.iter().flat_map(|parts| ["--only", parts.as_str()]);
    let measure = npm::node(&ws.path("tests/bench/main.mjs"), flags.map(|(_, flag)| flag).chain(only))?
        .env("CHROME", chrome)
        .env("CRSQLITE_SYNC_PKG", ws.pkg())
        .env("CRSQLITE_PACKAGE_BYTES", pack::weight(ws)?.to_string())
        .env("CRSQLITE_RELAY", relay)
        .env("CRSQLITE_LOAD", load)
        .env("PG_BIN", postgres::ensure()?);
    run::shown("the bench", &measure)
}
