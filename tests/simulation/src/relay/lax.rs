//! A relay that leaves out a rule by doing more than the real one does: comparing values, compacting later, answering before
//! it has committed. Decides nothing while all rules hold. Called by `relay` where the real one has nothing to do.

use std::collections::{BTreeMap, BTreeSet};

use crsqlite_sync::rules::{Rule, holds};
use crsqlite_sync::wire::{Change, Pk, Run};

use super::core::{Appended, Ledger, compact, exact};
use crate::model::compare;

/// How many appends a crash undoes where nothing is committed before it is said.
const UNCOMMITTED: usize = 3;

/// What such a relay has in mind.
#[derive(Debug, Default)]
pub(super) struct Lax {
    /// The log as it was before each of the last appends.
    before: Vec<Ledger>,
    /// What a compaction has found and not carried out yet.
    found: Option<Found>,
}

/// What stays of the rows that an append has touched, as far as was seen.
#[derive(Debug)]
struct Found {
    rows: BTreeSet<(String, Pk)>,
    stays: BTreeSet<i64>,
}

impl Lax {
    pub(super) fn append(&mut self, ledger: &mut Ledger, run: &Run, changes: &[Change]) -> Appended {
        if !holds(Rule::CommitBeforeForward) {
            self.before.push(ledger.clone());
            if self.before.len() > UNCOMMITTED {
                self.before.remove(0);
            }
        }
        if !holds(Rule::CompactAtOnce) {
            return self.append_and_compact_later(ledger, run, changes);
        }
        let mut appended = ledger.append(run, changes);
        if !holds(Rule::NoValueOrder) {
            let gone = keep_the_largest(ledger);
            let base = appended.base;
            let offset = |place: usize| base + 1 + i64::try_from(place).unwrap();
            let places = appended.stored.iter().enumerate();
            appended.stored = places
                .filter(|(place, _)| !gone.contains(&offset(*place)))
                .map(|(_, index)| *index)
                .collect();
        }
        appended
    }

    /// The process dies.
    pub(super) fn crash(&mut self, ledger: &mut Ledger) {
        if !self.before.is_empty() {
            *ledger = self.before.remove(0);
            self.before.clear();
        }
    }

    /// Compaction in a transaction of its own: what it found out about some rows is true no more when it acts. (One that
    /// takes away only what it saw dominated would do no harm: a log that keeps its head in a counter misses nothing.)
    fn append_and_compact_later(&mut self, ledger: &mut Ledger, run: &Run, changes: &[Change]) -> Appended {
        let appended = append_all(ledger, run, changes);
        if let Some(Found { rows, stays }) = self.found.take() {
            let touched = |entry: &Change| rows.contains(&(entry.table.clone(), entry.pk.clone()));
            ledger.entries.retain(|offset, entry| !touched(entry) || stays.contains(offset));
        }
        let rows = changes.iter().map(|change| (change.table.clone(), change.pk.clone())).collect();
        let entries: Vec<Change> = ledger.entries.values().cloned().collect();
        let stays = compact(&[], &entries, exact).insert.into_iter().map(|index| entries[index].db_version);
        self.found = Some(Found { rows, stays: stays.collect() });
        appended
    }
}

/// Every row gets a number, also one that the log dominates.
fn append_all(ledger: &mut Ledger, run: &Run, changes: &[Change]) -> Appended {
    let base = ledger.clock.head;
    if !changes.is_empty() {
        ledger.clock.record(run);
    }
    for change in changes {
        ledger.clock.head += 1;
        ledger.entries.insert(ledger.clock.head, Change { db_version: ledger.clock.head, ..change.clone() });
    }
    let stored = (0..changes.len()).collect();
    let run = ledger.clock.run(run).clone();
    Appended { run, base, head: ledger.clock.head, stored, refused: Vec::new() }
}

/// Of the values of a tie only the one that SQLite calls the largest stays; the offsets of the others.
fn keep_the_largest(ledger: &mut Ledger) -> BTreeSet<i64> {
    let mut best: BTreeMap<(&str, &Pk, &str), &Change> = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for entry in ledger.entries.values() {
        let key = (entry.table.as_str(), &entry.pk, entry.cid.as_str());
        let rival = best.entry(key).or_insert(entry);
        if rival.db_version != entry.db_version {
            let (loses, wins) =
                if compare(&entry.val, &rival.val).is_gt() { (*rival, entry) } else { (entry, *rival) };
            gone.insert(loses.db_version);
            *rival = wins;
        }
    }
    gone.iter().for_each(|offset| drop(ledger.entries.remove(offset)));
    gone
}
