//! What the package weighs over the wire, and the limit that it must keep.
//! Measures with Node's brotli, because browsers get brotli; never changes the files. Called by `pack`.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run;

/// What an app may download to use the main entry, brotli bytes in all: the design's budget.
const BUDGET: u64 = 100_000;
/// While the budget is not met, a ratchet: whoever makes the package lighter lowers this. It was raised for whole
/// capabilities only: `HttpTransport`, replication over push-pull, and the proof that live means equal with all that
/// heals and reports what is not; for telling a newcomer what is wrong where nothing else would; for costs that do not grow with
/// the number of tables; and for asking ahead of what is being applied.
const LIMIT: u64 = 181_800;
const WASM: &str = "crsqlite_sync_bg.wasm";
const SCRIPTS: [&str; 4] = ["crsqlite_sync.js", "index.js", "load.js", "error.js"];

const MEASURE: &str = include_str!("measure.mjs");
const INLINE: &str = include_str!("inline.mjs");

#[derive(Debug)]
pub(super) struct Report {
    wasm: Weight,
    scripts: Weight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weight {
    raw: u64,
    brotli: u64,
}

pub(super) fn weigh(pkg: &Path) -> Result<Report> {
    Ok(Report { wasm: measure(pkg, &[WASM])?, scripts: measure(pkg, &SCRIPTS)? })
}

/// Writes the module that the entry `./inline` carries.
pub(super) fn inline(wasm: &Path, to: &Path) -> Result<()> {
    let call = duct::cmd!("node", "--input-type=module", "--eval", INLINE, wasm, to);
    run::quiet("the wasm as text for the inline entry", &call)
}

fn measure(pkg: &Path, names: &[&str]) -> Result<Weight> {
    let args = ["--input-type=module", "--eval", MEASURE].iter().chain(names);
    let answer = duct::cmd("node", args).dir(pkg).read().context("measuring with node")?;
    weight(&answer).with_context(|| format!("node measured {answer:?}"))
}

fn weight(answer: &str) -> Option<Weight> {
    let (raw, brotli) = answer.trim().split_once(' ')?;
    Some(Weight { raw: raw.parse().ok()?, brotli: brotli.parse().ok()? })
}

impl Report {
    pub(super) fn gate(&self) -> Result<()> {
        let total = self.total();
        if total > LIMIT {
            bail!("the package is too heavy: {total} brotli bytes of wasm and glue, {LIMIT} are allowed");
        }
        Ok(())
    }

    pub(super) fn total(&self) -> u64 {
        self.wasm.brotli + self.scripts.brotli
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  wasm  {:>8} bytes, {:>7} brotli", self.wasm.raw, self.wasm.brotli)?;
        writeln!(
            f,
            "  glue  {:>8} bytes, {:>7} brotli (with the loader)",
            self.scripts.raw, self.scripts.brotli
        )?;
        writeln!(
            f,
            "  both  {:>8} bytes, {:>7} brotli, limit {LIMIT}, budget {BUDGET}",
            self.wasm.raw + self.scripts.raw,
            self.total()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_counts_wasm_and_glue_together() {
        let report = |wasm, scripts| Report {
            wasm: Weight { raw: 0, brotli: wasm },
            scripts: Weight { raw: 0, brotli: scripts },
        };
        assert!(report(LIMIT - 10, 10).gate().is_ok());
        assert!(report(LIMIT - 10, 11).gate().is_err());
    }

    #[test]
    fn an_answer_of_node_is_two_numbers() {
        assert_eq!(weight("12 5\n"), Some(Weight { raw: 12, brotli: 5 }));
        assert_eq!(weight("12"), None);
    }
}
