//! One user's log in memory. Keeps the same promises as a log in a database, so it is the model that those are tested
//! against and the relay of the client's simulator. Never durable.

use std::collections::{BTreeMap, HashMap, HashSet};

use crsqlite_sync::wire::{Change, Run};

use super::Appended;
use super::clock::{Clock, Start};
use super::compact::{Entry, compact_within, exact};
use super::digest::{Counter, Sums};
use super::page::{Cut, Feed, Item, Page, Query};
use super::records::{ACCEPTED_KEPT, Known, Put, Record, StoredRecord, judge};

/// A log as a value: clone it and it is a backup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    pub clock: Clock,
    /// The live entries by offset; the `db_version` of each is its offset.
    pub entries: BTreeMap<i64, Change>,
    /// The newest record of each thing, by offset.
    pub records: BTreeMap<i64, StoredRecord>,
    /// The ids of the records that were accepted last, and when, by offset.
    pub accepted: BTreeMap<i64, (String, i64)>,
    /// Entries and records that there may be.
    pub most_rows: Option<u64>,
}

impl Ledger {
    /// Stores what of `changes` is not dominated; `run` is the writing server's.
    pub fn append(&mut self, run: &Run, changes: &[Change]) -> Appended {
        let touched: HashSet<_> = changes.iter().map(|change| (&change.table, &change.pk)).collect();
        let existing: Vec<Entry> = self
            .entries
            .values()
            .filter(|change| touched.contains(&(&change.table, &change.pk)))
            .map(|change| Entry {
                offset: change.db_version,
                table: change.table.clone(),
                pk: change.pk.clone(),
                cid: change.cid.clone(),
                col_version: change.col_version,
                cl: change.cl,
                value: exact(&change.val),
                size: change.val.wire_size(),
            })
            .collect();
        let plan = compact_within(self.room(), &existing, changes, exact);
        let base = self.clock.head;
        if !plan.insert.is_empty() {
            self.clock.record(run);
        }
        for offset in plan.delete {
            self.entries.remove(&offset);
        }
        for change in plan.insert.iter().filter_map(|&index| changes.get(index)) {
            self.clock.head += 1;
            self.entries.insert(self.clock.head, Change { db_version: self.clock.head, ..change.clone() });
        }
        let run = self.clock.run(run).clone();
        Appended { run, base, head: self.clock.head, stored: plan.insert, refused: plan.refuse }
    }

    /// Stores the records that are newer than what is there.
    pub fn put_records(&mut self, run: &Run, records: &[Record], now: i64) -> Put {
        let base = self.clock.head;
        let about: HashSet<_> =
            records.iter().map(|record| (&record.collection, &record.record_id)).collect();
        let is_about =
            |stored: &&StoredRecord| about.contains(&(&stored.record.collection, &stored.record.record_id));
        let known = Known {
            head: base,
            accepted: self.accepted.values().cloned().collect::<HashMap<_, _>>(),
            newest: self.records.values().filter(is_about).cloned().collect(),
            room: self.room(),
        };
        let judged = judge(known, records, now);
        for stored in &judged.newest {
            let same = |other: &StoredRecord| {
                (&other.record.collection, &other.record.record_id)
                    == (&stored.record.collection, &stored.record.record_id)
            };
            self.records.retain(|_, other| !same(other));
            self.records.insert(stored.offset, stored.clone());
        }
        if !judged.stored.is_empty() {
            self.clock.record(run);
        }
        for record in judged.stored.iter().filter_map(|&index| records.get(index)) {
            self.clock.head += 1;
            self.accepted.insert(self.clock.head, (record.id.clone(), now));
        }
        while i64::try_from(self.accepted.len()).unwrap_or(i64::MAX) > ACCEPTED_KEPT {
            self.accepted.pop_first();
        }
        let run = self.clock.run(run).clone();
        Put { run, base, head: self.clock.head, outcomes: judged.outcomes, stored: judged.stored }
    }

    fn room(&self) -> Option<u64> {
        let rows = u64::try_from(self.entries.len() + self.records.len()).unwrap_or(u64::MAX);
        self.most_rows.map(|most| most.saturating_sub(rows))
    }

    /// The rows of an answer of about `budget` bytes.
    #[must_use]
    pub fn page(&self, start: &Start, budget: usize) -> Page {
        self.feed(start, &Query::rows(budget)).into()
    }

    /// The items of an answer.
    #[must_use]
    pub fn feed(&self, start: &Start, query: &Query) -> Feed {
        let base = self.clock.start(start);
        let mut cut = Cut::new(base, query.most, query.budget);
        let entries =
            self.entries.range(base + 1..).map(|(offset, entry)| (*offset, Item::Entry(entry.clone())));
        let records = self.records.range(base + 1..).filter(|_| query.records);
        let records = records.map(|(offset, stored)| (*offset, Item::Record(stored.clone())));
        let items: BTreeMap<i64, Item> = entries.chain(records).collect();
        let exhausted = items.into_values().filter(|item| query.wants(collection(item))).all(|item| {
            let row = match &item {
                Item::Entry(entry) if entry.revives_row() => self.row(entry),
                Item::Entry(_) | Item::Record(_) => Vec::new(),
            };
            cut.offer(item, row)
        });
        cut.finish(self.clock.clone(), base, exhausted)
    }

    /// What the log holds, added up.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let mut entries: Vec<&Change> = self.entries.values().collect();
        entries.sort_by(|one, other| (&one.table, &one.pk).cmp(&(&other.table, &other.pk)));
        let mut counter = Counter::default();
        for entry in entries {
            counter.add(&entry.table, &entry.pk, &entry.cid, entry.col_version, entry.cl);
        }
        counter.finish()
    }

    fn row(&self, of: &Change) -> Vec<Change> {
        let same = |change: &&Change| change.table == of.table && change.pk == of.pk;
        self.entries.values().filter(same).cloned().collect()
    }
}

fn collection(item: &Item) -> &str {
    match item {
        Item::Entry(change) => &change.table,
        Item::Record(stored) => &stored.record.collection,
    }
}

#[cfg(test)]
mod tests {
    use crsqlite_sync::wire::{Pk, SENTINEL, SiteId, Value};

    use super::*;

    /// splitmix64: enough for tests, and a seed replays.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) % n
        }

        fn change(&mut self) -> Change {
            let cid = ["a", "b", SENTINEL][self.below(3) as usize];
            let cl = self.below(5) as i64;
            let (cid, col_version) =
                if cl % 2 == 0 || cid == SENTINEL { (SENTINEL, cl) } else { (cid, self.below(3) as i64) };
            let values = [Value::Null, Value::Integer(1), Value::Real(1.0), Value::Text("1".into())];
            let val = if cid == SENTINEL { Value::Null } else { values[self.below(4) as usize].clone() };
            let change = Change {
                table: "t".into(),
                pk: Pk::pack(&[Value::Integer(self.below(3) as i64)]).unwrap(),
                cid: cid.into(),
                val,
                col_version,
                db_version: self.below(100) as i64,
                site_id: SiteId([self.below(3) as u8; 16]),
                cl,
                seq: 0,
            };
            assert_eq!(change.check(), Ok(()));
            change
        }

        fn shuffle(&mut self, changes: &mut [Change]) {
            for i in (1..changes.len()).rev() {
                changes.swap(i, self.below(i as u64 + 1) as usize);
            }
        }
    }

    fn run() -> Run {
        Run::from_random(1)
    }

    /// What of the live rows matters to a device.
    fn content(ledger: &Ledger) -> Vec<String> {
        let mut rows: Vec<_> = ledger
            .entries
            .values()
            .map(|c| format!("{:?} {} {} {} {}", c.pk, c.cl, c.cid, c.col_version, exact(&c.val)))
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn the_live_rows_do_not_depend_on_order_or_grouping_and_repeating_them_changes_nothing() {
        for seed in 0..2_000 {
            let mut random = Random(seed);
            let count = random.below(25) as usize;
            let mut changes: Vec<_> = (0..count).map(|_| random.change()).collect();
            let mut one = Ledger::default();
            for change in &changes {
                one.append(&run(), std::slice::from_ref(change));
            }
            let expected = content(&one);
            random.shuffle(&mut changes);
            let mut other = Ledger::default();
            let (head, tail) = changes.split_at(random.below(count as u64 + 1) as usize);
            other.append(&run(), head);
            let second = other.append(&run(), tail);
            assert_eq!(content(&other), expected, "seed {seed}");
            assert_eq!(other.sums(), one.sums(), "seed {seed}");
            assert_eq!(second.head - second.base, second.stored.len() as i64, "seed {seed}");
            assert!(other.entries.keys().all(|offset| *offset <= other.clock.head), "seed {seed}");

            let again = other.clone();
            assert_eq!(other.append(&run(), &changes).stored, Vec::<usize>::new(), "seed {seed}");
            assert_eq!(other, again, "seed {seed}");
        }
    }

    #[test]
    fn pages_in_a_row_bring_the_whole_log_whatever_the_budget() {
        for seed in 0..300 {
            let mut random = Random(seed);
            let mut ledger = Ledger::default();
            for _ in 0..40 {
                ledger.append(&run(), &[random.change()]);
            }
            let (mut copy, mut start) = (Ledger::default(), Start::Cursor(None));
            let budget = random.below(2_000) as usize;
            loop {
                let page = ledger.page(&start, budget);
                assert!(page.rows.iter().all(|row| ledger.entries.contains_key(&row.db_version)));
                copy.append(&run(), &page.rows);
                if !page.more {
                    assert_eq!(page.current, ledger.clock.head, "seed {seed}");
                    break;
                }
                assert!(page.current > page.base, "seed {seed}");
                start = Start::Offset(page.current);
            }
            assert_eq!(content(&copy), content(&ledger), "seed {seed}");
            assert_eq!(copy.sums(), ledger.sums(), "seed {seed}");
        }
    }

    #[test]
    fn an_odd_sentinel_brings_the_row_along_also_what_lies_before_the_base() {
        let change = |cid: &str, col_version| Change {
            table: "t".into(),
            pk: Pk::pack(&[Value::Integer(1)]).unwrap(),
            cid: cid.into(),
            val: Value::Null,
            col_version,
            db_version: 0,
            site_id: SiteId([1; 16]),
            cl: 1,
            seq: 0,
        };
        let mut ledger = Ledger::default();
        ledger.append(&run(), &[change("a", 3), change("b", 3)]);
        ledger.append(&run(), &[change(SENTINEL, 1), change("c", 1)]);
        let page = ledger.page(&Start::Offset(2), 1);
        let offsets: Vec<_> = page.rows.iter().map(|row| row.db_version).collect();
        assert_eq!((offsets, page.current, page.more), (vec![1, 2, 3, 4], 4, false));
    }

    #[test]
    fn a_log_that_nobody_wrote_to_has_no_run_of_its_own() {
        let mut ledger = Ledger::default();
        let nothing = ledger.append(&run(), &[]);
        assert_eq!((nothing.run, nothing.head, ledger.clock.runs.len()), (run(), 0, 0));
    }
}
