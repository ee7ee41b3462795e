//! Ordinary records of the push-pull contract: of each (collection, record id) the newest one, deletes included. Decides
//! which of those that arrive is accepted, which is in conflict and with what, and which was accepted before; never
//! looks into their data. Used by the logs in the transaction that stores them; changes of cr-sqlite never come here.

use std::collections::HashMap;

use crsqlite_sync::wire::Run;

/// The ids of so many records that a log accepted are remembered, the latest.
pub const ACCEPTED_KEPT: i64 = 10_000;
/// How far a device's clock may be ahead of the log's, in milliseconds. A moment beyond that counts as this far ahead of the
/// record's arrival, or one wrong clock would win against everything that is written for years.
const AHEAD_MS: i64 = 60_000;
/// About how many bytes a record takes on the wire beside its texts.
const OVERHEAD: usize = 160;

/// What a record does to the thing that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Create,
    Update,
    Delete,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Create, Kind::Update, Kind::Delete];

    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Create => "create",
            Kind::Update => "update",
            Kind::Delete => "delete",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A record as a device pushes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Names this change: a repeated one says that an answer was lost.
    pub id: String,
    pub collection: String,
    /// The JSON of the contract's `recordId`, a string or a number.
    pub record_id: String,
    pub kind: Kind,
    /// The JSON of an object, or `null`.
    pub data: String,
    /// When it was made, as the device wrote it.
    pub timestamp: String,
    /// The same in milliseconds since 1970: decides conflicts.
    pub made_at: i64,
}

impl Record {
    /// About how many bytes it takes in an answer.
    #[must_use]
    pub fn wire_size(&self) -> usize {
        let texts = [&self.id, &self.collection, &self.record_id, &self.data, &self.timestamp];
        texts.iter().fold(OVERHEAD, |size, text| size.saturating_add(text.len()))
    }

    /// What decides conflicts, of a record that arrived at `now`: of two about one thing the later one wins, at the same
    /// moment the one with the larger id. What one device with a wrong clock sends at once stays in its order.
    fn rank(&self, now: i64) -> (i64, i64, &str) {
        (self.made_at.min(now.saturating_add(AHEAD_MS)), self.made_at, &self.id)
    }
}

/// A record in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    pub offset: i64,
    /// When the log took it, in milliseconds since 1970.
    pub server_timestamp: i64,
    pub record: Record,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The log has it, or had it; since when, in milliseconds since 1970.
    Accepted { server_timestamp: i64 },
    /// The log has a newer one about the same thing, and keeps that.
    Conflict(Box<StoredRecord>),
    /// The user has no room left for another one.
    OverQuota,
}

/// What storing records did to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The run that the offsets below belong to.
    pub run: Run,
    /// The head before.
    pub base: i64,
    /// The head after; as before when nothing was stored.
    pub head: i64,
    /// One for each record.
    pub outcomes: Vec<Outcome>,
    /// Those that were not there before, as indices, in the order of their new offsets.
    pub stored: Vec<usize>,
}

/// What the log knows of the records that arrive.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub head: i64,
    /// When each of their ids was accepted, if it was.
    pub accepted: HashMap<String, i64>,
    /// The newest record about each of their things.
    pub newest: Vec<StoredRecord>,
    /// How many more things the user may have; `None` for any number.
    pub room: Option<u64>,
}

/// What an arrival does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// One for each record.
    pub outcomes: Vec<Outcome>,
    /// The indices of those that were accepted now; each takes the next offset.
    pub stored: Vec<usize>,
    /// The newest record about each thing that changes, the log's or not: each takes the place of the one before.
    pub newest: Vec<StoredRecord>,
    /// How many things are new to the log.
    pub added: u64,
}

/// Judges records in their order, each against what the ones before it have left.
#[must_use]
pub fn judge(known: Known, incoming: &[Record], now: i64) -> Judgement {
    let mut judgement = Judgement::default();
    let mut accepted = known.accepted;
    let key = |record: &Record| (record.collection.clone(), record.record_id.clone());
    let mut newest: HashMap<(String, String), StoredRecord> =
        known.newest.into_iter().map(|stored| (key(&stored.record), stored)).collect();
    let mut head = known.head;
    for (index, record) in incoming.iter().enumerate() {
        let before = newest.get(&key(record));
        // One that was accepted so long ago that its id is forgotten may still be the newest.
        let again = before.filter(|stored| stored.record.id == record.id).map(|s| s.server_timestamp);
        if let Some(at) = accepted.get(&record.id).copied().or(again) {
            judgement.outcomes.push(Outcome::Accepted { server_timestamp: at });
            continue;
        }
        let outranks =
            |stored: &&StoredRecord| record.rank(now) <= stored.record.rank(stored.server_timestamp);
        if let Some(stored) = before.filter(outranks) {
            judgement.outcomes.push(Outcome::Conflict(Box::new(stored.clone())));
            continue;
        }
        if before.is_none() {
            if known.room.is_some_and(|room| judgement.added >= room) {
                judgement.outcomes.push(Outcome::OverQuota);
                continue;
            }
            judgement.added += 1;
        }
        head += 1;
        accepted.insert(record.id.clone(), now);
        let stored = StoredRecord { offset: head, server_timestamp: now, record: record.clone() };
        newest.insert(key(record), stored);
        judgement.outcomes.push(Outcome::Accepted { server_timestamp: now });
        judgement.stored.push(index);
    }
    judgement.newest = newest.into_values().filter(|stored| stored.offset > known.head).collect();
    judgement.newest.sort_unstable_by_key(|stored| stored.offset);
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, about: &str, made_at: i64) -> Record {
        Record {
            id: id.into(),
            collection: "notes".into(),
            record_id: format!("\"{about}\""),
            kind: Kind::Update,
            data: "{}".into(),
            timestamp: format!("at {made_at}"),
            made_at,
        }
    }

    fn stored(offset: i64, record: Record) -> StoredRecord {
        StoredRecord { offset, server_timestamp: 1_000 + offset, record }
    }

    fn log(newest: &[StoredRecord]) -> Known {
        let head = newest.iter().map(|stored| stored.offset).max().unwrap_or(0);
        Known { head, newest: newest.to_vec(), ..Known::default() }
    }

    #[test]
    fn the_newer_one_takes_the_place_of_the_older_and_the_next_offset() {
        let judged = judge(log(&[stored(7, record("a", "x", 10))]), &[record("b", "x", 11)], 5_000);
        assert_eq!(judged.outcomes, [Outcome::Accepted { server_timestamp: 5_000 }]);
        let new = StoredRecord { offset: 8, server_timestamp: 5_000, record: record("b", "x", 11) };
        assert_eq!((judged.stored, judged.newest, judged.added), (vec![0], vec![new], 0));
    }

    #[test]
    fn an_older_one_and_at_a_tie_the_smaller_id_is_in_conflict_with_what_is_there() {
        let there = stored(7, record("m", "x", 10));
        for loser in [record("z", "x", 9), record("a", "x", 10)] {
            let judged = judge(log(std::slice::from_ref(&there)), &[loser], 5_000);
            assert_eq!(judged.outcomes, [Outcome::Conflict(Box::new(there.clone()))]);
            assert!(judged.stored.is_empty() && judged.newest.is_empty());
        }
        let judged = judge(log(&[there]), &[record("z", "x", 10)], 5_000);
        assert_eq!(judged.stored, [0], "the larger id wins");
    }

    #[test]
    fn a_clock_that_is_far_ahead_wins_for_a_minute_and_not_for_years() {
        const YEARS: i64 = 1 << 40;
        let there = StoredRecord { offset: 7, server_timestamp: 5_000, record: record("z", "x", YEARS) };
        let wins = |made_at, now| {
            let judged = judge(log(std::slice::from_ref(&there)), &[record("a", "x", made_at)], now);
            !judged.stored.is_empty()
        };
        assert!(!wins(6_000, 6_000), "its clock may be right, and the other ones behind");
        assert!(!wins(5_000 + AHEAD_MS, YEARS), "what was written before is late");
        assert!(wins(5_001 + AHEAD_MS, 5_001 + AHEAD_MS));
        assert!(wins(YEARS / 2, 6_000), "neither does another one that is ahead lose for years");
        assert!(wins(YEARS + 1, 5_000), "nor the next one of the same device");
        let batch = [record("z", "x", YEARS), record("a", "x", YEARS + 1), record("b", "x", YEARS - 1)];
        assert_eq!(judge(Known::default(), &batch, 5_000).stored, [0, 1], "which stay in their order");
    }

    #[test]
    fn what_was_accepted_is_accepted_again_since_the_same_moment() {
        let mut known = log(&[stored(7, record("new", "x", 20))]);
        known.accepted.insert("old".into(), 42);
        let judged = judge(known, &[record("old", "x", 10), record("new", "x", 20)], 5_000);
        let at = |server_timestamp| Outcome::Accepted { server_timestamp };
        assert_eq!(judged.outcomes, [at(42), at(1_007)]);
        assert!(judged.stored.is_empty());
    }

    #[test]
    fn records_of_one_batch_see_each_other() {
        let batch = [record("a", "x", 10), record("a", "x", 10), record("b", "x", 11), record("c", "x", 9)];
        let judged = judge(Known::default(), &batch, 5_000);
        let taken = Outcome::Accepted { server_timestamp: 5_000 };
        let left = StoredRecord { offset: 2, server_timestamp: 5_000, record: record("b", "x", 11) };
        assert_eq!(judged.outcomes[..3], [taken.clone(), taken.clone(), taken]);
        assert_eq!(judged.outcomes[3], Outcome::Conflict(Box::new(left.clone())));
        assert_eq!((judged.stored, judged.newest, judged.added), (vec![0, 2], vec![left], 1));
    }

    #[test]
    fn who_has_no_room_may_change_and_delete_what_is_there() {
        let known = Known { room: Some(1), ..log(&[stored(1, record("a", "x", 10))]) };
        let batch = [record("b", "y", 10), record("c", "z", 10), record("d", "x", 11), record("e", "y", 12)];
        let judged = judge(known, &batch, 5_000);
        let taken = Outcome::Accepted { server_timestamp: 5_000 };
        assert_eq!(judged.outcomes, [taken.clone(), Outcome::OverQuota, taken.clone(), taken]);
        assert_eq!((judged.stored, judged.added), (vec![0, 2, 3], 1));
    }
}
