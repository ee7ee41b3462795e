//! The relay or the server of a scenario for worlds that are played elsewhere: one line of JSON is asked, one is
//! answered, at one instant. Decides what `relay` and `contract` decide; the network between is the asker's.

use std::io::{BufRead, Write};

use crsqlite_sync::wire::{Change, SiteId};
use serde_json::{Value as Json, json};

use crate::app;
use crate::contract::Contract;
use crate::model::Database;
use crate::peer::fit;
use crate::relay::{Outgoing, Storing};
use crate::rng::Rng;
use crate::scenario::{Scenario, merge};

/// Answers until the asker hangs up.
///
/// # Errors
/// A pipe is broken.
pub fn serve(asked: impl BufRead, mut answers: impl Write) -> std::io::Result<()> {
    let mut remote = Remote::of(0);
    for line in asked.lines() {
        let ask: Json = serde_json::from_str(&line?)?;
        if let Some(seed) = ask["world"].as_u64() {
            remote = Remote::of(seed);
        }
        writeln!(answers, "{}", remote.answer(&ask))?;
        answers.flush()?;
    }
    Ok(())
}

struct Remote {
    rng: Rng,
    kind: Kind,
}

enum Kind {
    Relay(Box<Storing>),
    Server(Box<Contract>),
}

impl Remote {
    fn of(seed: u64) -> Self {
        let plan = Scenario::of(seed).plan;
        let mut rng = Rng::new(!seed);
        let kind = match plan.records {
            Some(manners) => Kind::Server(Box::new(Contract::new(manners))),
            None => Kind::Relay(Box::new(Storing::new(&mut rng, plan.answer_bytes))),
        };
        Remote { rng, kind }
    }

    fn answer(&mut self, ask: &Json) -> Json {
        let Remote { rng, kind } = self;
        let what = ask["ask"].as_str().unwrap_or_default();
        match (kind, what) {
            (_, "begin") => json!({}),
            (Kind::Relay(relay), "frame") => {
                let conn = ask["conn"].as_u64().expect("every frame has its connection");
                let (mut replies, mut others) = (Vec::new(), Vec::new());
                for out in relay.handle(conn, ask["text"].as_str().expect("a frame is text")) {
                    match out {
                        Outgoing::Reply(text) => replies.push(text),
                        Outgoing::Others(text) => others.push(text),
                        // Peers that know only the seed take no part here.
                        Outgoing::AskLater(_) => {}
                    }
                }
                json!({ "replies": replies, "others": others })
            }
            (Kind::Relay(relay), "beat") => json!({ "others": [relay.beat()] }),
            (Kind::Relay(relay), "promised") => json!({ "sql": merges(relay.promised()), "resync": false }),
            (Kind::Relay(relay), "BackUp") => {
                relay.back_up();
                json!({ "drops": false })
            }
            (Kind::Relay(relay), "Restore") => json!({ "drops": relay.restore(rng) }),
            (Kind::Relay(relay), "Wipe") => {
                relay.wipe(rng);
                json!({ "drops": true })
            }
            (Kind::Relay(relay), "Restart") => {
                relay.restart(rng);
                json!({ "drops": true })
            }
            (Kind::Relay(relay), "fail" | "heal") => {
                relay.failing = what == "fail";
                json!({})
            }
            (Kind::Server(server), "push") => {
                let chaos = ask["chaos"].as_bool().unwrap_or_default();
                let records = ask["records"].as_array().expect("records are a list");
                if records.len() > server.manners().most {
                    return json!({ "status": 413 });
                }
                let (result, news) = server.push(&ask["records"].to_string(), chaos, rng);
                let result: Json = serde_json::from_str(&result).expect("a result is JSON");
                json!({ "result": result, "news": if server.manners().server_push { news } else { Vec::new() } })
            }
            (Kind::Server(server), "pull") => {
                let cursor = Some(&ask["cursor"]).filter(|cursor| !cursor.is_null()).map(Json::to_string);
                let batch = usize::try_from(ask["batchSize"].as_u64().expect("how many")).unwrap();
                let page = server.pull(cursor.as_deref(), batch);
                let json = |text: &str| -> Json { serde_json::from_str(text).expect("our own JSON") };
                let cursor = page.cursor.as_deref().map(json);
                json!({ "result": { "changes": json(&page.changes), "cursor": cursor, "hasMore": page.has_more } })
            }
            (Kind::Server(server), "promised") => {
                let resync = server.has_lost || server.manners().refuses > 0;
                json!({ "sql": merges(server.promised()), "resync": resync })
            }
            (Kind::Server(server), "BackUp") => {
                server.back_up();
                json!({})
            }
            (Kind::Server(server), "Restore") => json!({ "done": server.restore(rng) }),
            (Kind::Server(server), "Wipe") => {
                server.wipe(rng);
                json!({})
            }
            (Kind::Server(server), "Restart") => {
                server.restart();
                json!({})
            }
            (Kind::Server(_), "fail" | "heal") => json!({}),
            (Kind::Relay(_) | Kind::Server(_), _) => panic!("nobody can be asked {ask}"),
        }
    }
}

/// The rows as merges into a database of the app, with their values as its columns hold them.
fn merges(rows: &[Change]) -> Vec<String> {
    let mut db = Database::new(SiteId([1; 16]));
    app::install(&mut db, false);
    let tables = app::names();
    let replicated = rows.iter().filter(|row| tables.contains(&row.table));
    replicated.filter_map(|row| fit(&db, row)).map(|row| merge(&row)).collect()
}
