//! PostgreSQL, for tests that start a server of their own.
//! Decides where people have its programs; installs them only where apt-get can, and says so. Never starts one.
//! Called by `suites` and `crash`.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apt;
use crate::fresh::listed;

/// Below each of these, a folder for each version with its programs in `bin`.
const VERSIONS: [&str; 4] = [
    "/usr/lib/postgresql",
    "/opt/homebrew/opt",
    "/usr/local/opt",
    "/Applications/Postgres.app/Contents/Versions",
];
const CURE: &str = "install PostgreSQL 14 or later (https://www.postgresql.org/download/; on Debian: apt-get install \
                    postgresql; with Homebrew: brew install postgresql), or set PG_BIN to the folder of its programs";

/// The folder of the programs, for `PG_BIN`.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(folder) = find() {
        return Ok(folder);
    }
    apt::install("PostgreSQL", &["postgresql"], CURE)?;
    find().with_context(|| format!("PostgreSQL was installed but cannot be found: {CURE}"))
}

fn find() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("PG_BIN").filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(folder)).filter(|folder| is_whole(folder));
    }
    let in_path = apt::in_path("initdb").and_then(|program| Some(program.parent()?.to_owned()));
    let versions = VERSIONS.iter().filter_map(|folder| {
        let mut found: Vec<PathBuf> =
            listed(Path::new(folder)).into_iter().flatten().map(|version| version.join("bin")).collect();
        found.retain(|folder| is_whole(folder));
        found.sort();
        found.pop()
    });
    in_path.into_iter().filter(|folder| is_whole(folder)).chain(versions).next()
}

fn is_whole(folder: &Path) -> bool {
    ["postgres", "initdb"].iter().all(|program| folder.join(program).is_file())
}
