//! A server of the push-pull contract: one list of records, behind cursors that mean nothing to anybody else. As well
//! behaved, or as odd, as the plan wants it. Decides answers at one instant; the calls around it are `calls`'s.

use std::collections::BTreeSet;

use crsqlite_sync::engine::replica::Pulled;
use crsqlite_sync::wire::{Change, record};
use serde_json::{Value as Json, json};

use crate::rng::Rng;

/// What such servers differ in.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// A record that is there already is not kept twice.
    pub dedupes: bool,
    /// Every page says that there is more; the last one does not move the cursor.
    pub always_more: bool,
    /// An empty page has no cursor.
    pub null_cursor: bool,
    /// The moment and the status are its own, and so are some fields more.
    pub rewrites: bool,
    /// The most records in a page.
    pub page: usize,
    /// The most records that it takes at once: more is answered with 413.
    pub most: usize,
    /// Percent of pushed records that it does not mention, having kept them or not.
    pub forgets: u64,
    /// Percent of pushed records that it refuses.
    pub refuses: u64,
    pub server_push: bool,
}

/// The list, and what was promised to stand in it.
#[derive(Debug, Clone, Default)]
struct Log {
    records: Vec<Json>,
    names: BTreeSet<String>,
    promised: Vec<Change>,
}

#[derive(Debug)]
pub(crate) struct Contract {
    log: Log,
    /// Cursors of another generation begin from the beginning.
    generation: u64,
    manners: Manners,
    backups: Vec<Log>,
    /// Somebody has to tell the clients that the server has lost data.
    pub(crate) has_lost: bool,
}

impl Contract {
    pub(crate) fn new(manners: Manners) -> Self {
        Contract { log: Log::default(), generation: 1, manners, backups: Vec::new(), has_lost: false }
    }

    pub(crate) fn manners(&self) -> Manners {
        self.manners
    }

    pub(crate) fn promised(&self) -> &[Change] {
        &self.log.promised
    }

    pub(crate) fn len(&self) -> usize {
        self.log.records.len()
    }

    /// The result of a push, and the records that are new.
    pub(crate) fn push(&mut self, text: &str, chaos: bool, rng: &mut Rng) -> (String, Vec<Json>) {
        let records: Vec<Json> = serde_json::from_str(text).expect("records are JSON");
        let (mut accepted, mut conflicts, mut errors, mut news) = (vec![], vec![], vec![], vec![]);
        for mut record in records {
            let id = record["id"].clone();
            let name = id.as_str().expect("a name").to_owned();
            assert_eq!(record["recordId"], id);
            let text = format!("[{record}]");
            let change =
                record::read(&text).expect("a list").remove(0).expect("what is pushed is well formed");
            if chaos && rng.chance(self.manners.refuses) {
                errors.push(json!({ "id": id, "error": "not today" }));
                continue;
            }
            let forgotten = chaos && rng.chance(self.manners.forgets);
            if forgotten && rng.chance(50) {
                continue;
            }
            if self.manners.rewrites {
                record["timestamp"] = json!("2030-01-01T00:00:00.000Z");
                record["status"] = json!("committed");
                record["serverSeq"] = json!(self.log.records.len());
            }
            let known = !self.log.names.insert(name);
            if known && self.manners.dedupes && rng.chance(20) {
                let data = record["data"].clone();
                conflicts.push(json!({ "changeId": id, "collection": record["collection"], "remote": data }));
                continue;
            }
            if !known || !self.manners.dedupes {
                self.log.records.push(record.clone());
                news.push(record);
            }
            if forgotten {
                if rng.chance(50) {
                    errors.push(json!({ "id": id, "error": "?", "code": "not-mentioned" }));
                }
                continue;
            }
            self.log.promised.push(change);
            accepted.push(json!({ "id": id, "serverTimestamp": "2030-01-01T00:00:00.000Z" }));
        }
        if chaos && rng.chance(5) {
            accepted.push(json!({ "id": "somebody else's", "serverTimestamp": "" }));
        }
        (json!({ "accepted": accepted, "conflicts": conflicts, "errors": errors }).to_string(), news)
    }

    pub(crate) fn pull(&self, cursor: Option<&str>, batch: usize) -> Pulled {
        let start = cursor.map_or(0, |text| {
            let cursor: Json = serde_json::from_str(text).expect("our own cursor came back");
            let cursor = cursor.as_str().expect("a cursor is text").to_owned();
            let (generation, at) = cursor.split_once(':').expect("our own cursor");
            let at: usize = at.parse().expect("our own cursor");
            let known = generation == self.generation.to_string() && at <= self.len();
            if known { at } else { 0 }
        });
        let end = (start + batch.min(self.manners.page)).min(self.len());
        let records = &self.log.records[start..end];
        let changes: Vec<Json> = records
            .iter()
            .map(|record| {
                json!({
                    "id": record["id"], "collection": record["collection"], "recordId": record["recordId"],
                    "type": record["type"], "data": record["data"], "timestamp": record["timestamp"],
                })
            })
            .collect();
        let cursor = json!(format!("{}:{end}", self.generation)).to_string();
        let cursor = Some(cursor).filter(|_| !(changes.is_empty() && self.manners.null_cursor));
        let has_more = end < self.len() || self.manners.always_more;
        Pulled { changes: json!(changes).to_string(), cursor, has_more, reset: false }
    }

    pub(crate) fn back_up(&mut self) {
        self.backups.push(self.log.clone());
    }

    /// An older copy takes the list's place; cursors may go on counting in it.
    pub(crate) fn restore(&mut self, rng: &mut Rng) -> bool {
        if self.backups.is_empty() {
            return false;
        }
        self.log = rng.pick(&self.backups).clone();
        self.start_over(rng);
        true
    }

    pub(crate) fn wipe(&mut self, rng: &mut Rng) {
        self.log = Log::default();
        self.start_over(rng);
    }

    fn start_over(&mut self, rng: &mut Rng) {
        self.has_lost = true;
        if rng.chance(70) {
            self.generation += 1;
        }
    }

    /// Cursors are forgotten, the records are not.
    pub(crate) fn restart(&mut self) {
        self.generation += 1;
    }
}
