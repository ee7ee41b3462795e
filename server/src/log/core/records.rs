//! Ordinary records of the push-pull contract: of each (collection, recordId) a log keeps the newest, a deleted one as a
//! tombstone. Decides which of two writes stays; never orders what a clock cannot tell apart but by its id.
//! Used by the logs in the transaction that stores; `push_pull` makes records from what it is sent.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use crsqlite_sync::wire::Run;
use serde::{Deserialize, Serialize};

/// Of so many records of a log it is remembered that they were accepted: a client that heard no answer sends them again.
pub const REMEMBERED: usize = 10_000;

/// What a record does to the one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Create,
    Update,
    Delete,
}

/// A write of one record of an app's own collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Names the write.
    pub id: String,
    pub collection: String,
    /// JSON, text or a number, in one spelling.
    pub record_id: String,
    pub kind: Kind,
    /// JSON, an object. None for a deleted one: deleted content leaves the server.
    pub data: Option<String>,
    /// As its writer spelled it.
    pub timestamp: String,
    /// The same in milliseconds since 1970.
    pub at: i64,
}

impl Record {
    /// About how many bytes it takes in a page.
    #[must_use]
    pub fn size(&self) -> usize {
        let names = self.id.len() + self.collection.len() + self.record_id.len() + self.timestamp.len();
        120 + names + self.data.as_ref().map_or(0, String::len)
    }
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was stored, now or before: the server's time then, in milliseconds since 1970.
    Accepted { at: i64 },
    /// The log has a newer one of this name, which stays.
    Conflict(Box<Record>),
}

/// What storing records did to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The run that the offsets below belong to.
    pub run: Run,
    /// The head before.
    pub base: i64,
    /// The head after; as before when nothing was new.
    pub head: i64,
    /// One for each record, in their order.
    pub fates: Vec<Fate>,
    /// The records that are new and were not replaced by later ones of the same batch, as indices.
    pub stored: Vec<usize>,
}

/// Whether `incoming` replaces what is stored under its name: the later write stays, and at one moment the one with the
/// greater id, so that all logs agree.
#[must_use]
pub fn replaces(stored: &Record, incoming: &Record) -> bool {
    (incoming.at, &incoming.id).cmp(&(stored.at, &stored.id)) != Ordering::Less
}

/// The ids that were accepted last, with the server's time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    order: VecDeque<String>,
    at: HashMap<String, i64>,
}

impl Remembered {
    #[must_use]
    pub fn at(&self, id: &str) -> Option<i64> {
        self.at.get(id).copied()
    }

    pub fn insert(&mut self, id: &str, at: i64) {
        if self.at.insert(id.to_owned(), at).is_none() {
            self.order.push_back(id.to_owned());
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.at.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, at: i64) -> Record {
        Record {
            id: id.to_owned(),
            collection: "todos".to_owned(),
            record_id: "7".to_owned(),
            kind: Kind::Update,
            data: None,
            timestamp: String::new(),
            at,
        }
    }

    #[test]
    fn the_later_write_stays_and_of_one_moment_the_greater_id() {
        for (stored, incoming, expected) in [
            (("b", 5), ("a", 6), true),
            (("a", 6), ("b", 5), false),
            (("a", 5), ("b", 5), true),
            (("b", 5), ("a", 5), false),
        ] {
            let replaces = replaces(&record(stored.0, stored.1), &record(incoming.0, incoming.1));
            assert_eq!(replaces, expected, "{incoming:?} after {stored:?}");
        }
    }

    #[test]
    fn the_last_ids_are_remembered_with_their_time() {
        let mut remembered = Remembered::default();
        for n in 0..REMEMBERED + 5 {
            remembered.insert(&n.to_string(), n as i64);
        }
        remembered.insert("7", 7);
        assert_eq!((remembered.at("4"), remembered.at("6")), (None, Some(6)));
        assert_eq!(remembered.order.len(), REMEMBERED);
    }
}
