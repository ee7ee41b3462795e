//! A scenario as a line of JSON: what the tests need that play it on the real package. Decides nothing.

use crsqlite_sync::engine::replica::Level;
use serde_json::{Value as Json, json};

use super::{Scenario, Server, Statement, Step, What, sql};
use crate::app;
use crate::model::Op;

impl Scenario {
    /// Everything but the relay's own ways: those are `served`.
    #[must_use]
    pub fn json(&self) -> Json {
        let plan = &self.plan;
        let remote = match (plan.records.is_some(), plan.storing) {
            (true, _) => "push-pull",
            (false, true) => "storing",
            (false, false) => "plain",
        };
        let devices = self.devices.iter().map(
            |device| json!({ "schema": sql::schema(device.old), "tables": device.tables, "at": device.at }),
        );
        json!({
            "seed": self.seed,
            "kind": format!("{:?}", plan.kind),
            "remote": remote,
            "manners": plan.records.map(|manners| format!("{manners:?}")),
            "calmAt": plan.chaos,
            "batchChanges": plan.budget,
            "pullIntervalMs": plan.pull_every,
            "callFaults": plan.call_faults,
            "latency": plan.latency,
            "jobDelay": plan.job_delay,
            "loss": plan.loss,
            "duplicates": plan.duplicates,
            "reorder": plan.reorder,
            "largestFrame": plan.largest_frame,
            "devices": devices.collect::<Vec<_>>(),
            "newest": { "schema": sql::schema(false), "tables": app::names(), "migration": migration(self.seed) },
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
        })
    }
}

/// What an old database lacks: each part is done where its table or column is missing.
fn migration(seed: u64) -> Json {
    let (table, column, _) = app::LATE_COLUMN;
    json!([
        { "unless": [app::LATE_TABLE, null], "sql": sql::late_table(seed) },
        { "unless": [table, column], "sql": sql::late_column() },
    ])
}

fn step(Step { at, what }: &Step) -> Json {
    let mut json = match what {
        What::Write { device, statements, keep } => {
            let statements: Vec<Json> = statements.iter().map(statement).collect();
            json!({ "do": "write", "device": device, "keep": keep, "statements": statements })
        }
        What::Begin { device } => json!({ "do": "begin", "device": device }),
        What::End { device, keep } => json!({ "do": "end", "device": device, "keep": keep }),
        What::Migrate { device, seed } => {
            json!({ "do": "migrate", "device": device, "migration": migration(*seed) })
        }
        What::Scratch { device, seed } => {
            let gone = [
                format!("SELECT crsql_as_table('{}')", app::SCRATCH),
                format!("DROP TABLE {}", app::SCRATCH),
            ];
            json!({ "do": "toggle", "device": device, "table": app::SCRATCH, "comes": sql::scratch(*seed), "goes": gone })
        }
        What::Crash { device, lose, down } => {
            json!({ "do": "crash", "device": device, "lose": lose, "down": down })
        }
        What::Copy { device } => json!({ "do": "copy", "device": device }),
        // Half of 64 bits: JavaScript reads it exactly.
        What::Restore { device, pick, down } => {
            json!({ "do": "restore", "device": device, "pick": pick >> 32, "down": down })
        }
        What::Client { device, grow } => json!({ "do": "client", "device": device, "grow": grow }),
        What::Cut { device } => json!({ "do": "cut", "device": device }),
        What::Offline { device, away } => json!({ "do": "offline", "device": device, "away": away }),
        What::SyncNow { device } => json!({ "do": "syncNow", "device": device }),
        What::Wait { device, level } => json!({ "do": "wait", "device": device, "level": word(*level) }),
        What::Server(Server::Fail { long }) => json!({ "do": "server", "what": "fail", "long": long }),
        What::Server(what) => json!({ "do": "server", "what": format!("{what:?}") }),
    };
    json["at"] = json!(at);
    json
}

fn statement(one: &Statement) -> Json {
    let late = |table: &str, set: &[(String, _)]| {
        let column =
            set.iter().any(|(cid, _)| (table, cid.as_str()) == (app::LATE_COLUMN.0, app::LATE_COLUMN.1));
        let needs = if column { Some(app::LATE_COLUMN.1) } else { None };
        (column || table == app::LATE_TABLE).then(|| json!([table, needs]))
    };
    let needs = match &one.op {
        Op::Insert { table, set, .. }
        | Op::Replace { table, set, .. }
        | Op::Update { table, set, .. }
        | Op::Rekey { table, set, .. } => late(table, set),
        Op::Delete { table, .. } => late(table, &[]),
    };
    json!({ "sql": sql::statement(one), "needs": needs })
}

fn word(level: Level) -> &'static str {
    match level {
        Level::FirstSync => "first",
        Level::Sent => "sent",
        Level::Stored => "stored",
        Level::Round | Level::Resync | Level::Retry | Level::Account => "round",
    }
}
