//! `cargo xtask crash`: writers push while the relay is killed, many times over.
//! Decides how often and over which databases; what is tried is said in `server/tests/relay/crash`. Called by `main`.

use anyhow::{Result, bail};
use duct::cmd;

use crate::run;
use crate::workspace::{RELAY, Workspace, cargo};

const TEST: &str = "crash::whatever_was_acknowledged_is_there_however_often_the_relay_is_killed";

pub(crate) fn crash(ws: &Workspace, rounds: u64) -> Result<()> {
    for database in ["sqlite", "postgres"] {
        over(ws, rounds, database)?;
    }
    Ok(())
}

fn over(ws: &Workspace, rounds: u64, database: &str) -> Result<()> {
    let call =
        cmd!(cargo(), "test", "--package", RELAY, "--test", "relay", "--", TEST, "--exact", "--nocapture")
            .dir(ws.root())
            .env("CRASH_ROUNDS", rounds.to_string())
            .env("CRSQLITE_RELAY_TEST_DATABASE", database);
    let tested = run::tested(&format!("{rounds} kills, over {database}"), &call)?;
    if !tested.passed || tested.closing.is_empty() {
        bail!("something that was acknowledged is gone, or the test did not run");
    }
    Ok(())
}
