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
            return append_all(ledger, run, changes);
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

    /// A while has passed.
    pub(super) fn idle(ledger: &mut Ledger) {
        if !holds(Rule::CompactAtOnce) {
            let entries: Vec<Change> = ledger.entries.values().cloned().collect();
            let stays: BTreeSet<usize> = compact(&[], &entries, exact).insert.into_iter().collect();
            let dominated = entries.iter().enumerate().filter(|(index, _)| !stays.contains(index));
            dominated.for_each(|(_, entry)| drop(ledger.entries.remove(&entry.db_version)));
        }
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
    Appended { run: ledger.clock.run(run).clone(), base, head: ledger.clock.head, stored }
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
