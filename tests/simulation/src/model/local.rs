//! What the app's own statements do: the effect of cr-sqlite's insert, update and delete triggers on the clock
//! tables. Decides nothing; the worlds choose the statements.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crsqlite_sync::wire::{Pk, SENTINEL, SiteId, Value};

use super::compare::compare;
use super::{Clock, Database};

/// A statement of the app on one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `INSERT OR IGNORE`; columns that are not named are NULL.
    Insert {
        table: String,
        pk: Pk,
        set: Vec<(String, Value)>,
    },
    /// `INSERT OR REPLACE`, on a live row too.
    Replace {
        table: String,
        pk: Pk,
        set: Vec<(String, Value)>,
    },
    /// `UPDATE … WHERE pk`.
    Update {
        table: String,
        pk: Pk,
        set: Vec<(String, Value)>,
    },
    /// `UPDATE OR IGNORE` of the key itself, with columns.
    Rekey {
        table: String,
        pk: Pk,
        to: Pk,
        set: Vec<(String, Value)>,
    },
    Delete {
        table: String,
        pk: Pk,
    },
}

impl Database {
    /// Runs one statement inside the app's transaction; false if it touched no row.
    pub fn run(&mut self, op: &Op) -> bool {
        self.dirty = true;
        match op {
            Op::Insert { table, pk, set } => !self.is_live(table, pk) && self.insert(table, pk, set),
            Op::Replace { table, pk, set } => self.insert(table, pk, set),
            Op::Update { table, pk, set } => self.update(table, pk, pk, set),
            Op::Rekey { table, pk, to, set } => {
                (pk == to || !self.is_live(table, to)) && self.update(table, pk, to, set)
            }
            Op::Delete { table, pk } => self.delete(table, pk),
        }
    }

    #[must_use]
    pub fn is_live(&self, table: &str, pk: &Pk) -> bool {
        self.tables.get(table).is_some_and(|table| table.rows.contains_key(pk))
    }

    /// The keys of the live rows of a table.
    #[must_use]
    pub fn live_keys(&self, table: &str) -> Vec<Pk> {
        self.tables.get(table).map(|table| table.rows.keys().cloned().collect()).unwrap_or_default()
    }

    fn insert(&mut self, name: &str, pk: &Pk, set: &[(String, Value)]) -> bool {
        let Some(table) = self.table_mut(name) else { return false };
        let columns: Vec<String> = table.def.columns.keys().cloned().collect();
        let in_order = table.def.order.clone();
        let row = table.def.row(set);
        table.rows.insert(pk.clone(), row);
        let known = table.clocks.contains_key(pk);
        let version = self.next_version(0);
        if columns.is_empty() {
            self.mark_created(name, pk, version);
            return true;
        }
        if known {
            let seq = self.next_seq();
            let site = self.site;
            let clocks = self.clocks_of(name, pk);
            if let Some(sentinel) = clocks.get_mut(SENTINEL) {
                *sentinel =
                    Clock { col_version: next_odd(sentinel.col_version), db_version: version, site, seq };
            }
        }
        for cid in in_order {
            self.mark_updated(name, pk, &cid, version);
        }
        true
    }

    fn update(&mut self, name: &str, from: &Pk, to: &Pk, set: &[(String, Value)]) -> bool {
        let Some(table) = self.table_mut(name) else { return false };
        let Some(old) = table.rows.remove(from) else { return false };
        let mut new = old.clone();
        for (cid, value) in table.def.row(set) {
            new.insert(cid, value);
        }
        for (cid, value) in set {
            if *value == Value::Null {
                new.remove(cid);
            }
        }
        let in_order = table.def.order.clone();
        table.rows.insert(to.clone(), new.clone());
        let version = self.next_version(0);
        if from != to {
            self.mark_deleted(name, from, version);
            let table = self.table_mut(name).expect("it was there");
            let moved: Vec<(String, Clock)> = {
                let clocks = table.clocks.entry(from.clone()).or_default();
                let cids: Vec<String> = clocks.keys().filter(|cid| *cid != SENTINEL).cloned().collect();
                cids.into_iter().filter_map(|cid| clocks.remove_entry(&cid)).collect()
            };
            table.clocks.entry(to.clone()).or_default().extend(moved);
            self.mark_created(name, to, version);
        }
        let value = |row: &BTreeMap<String, Value>, cid: &str| row.get(cid).cloned().unwrap_or(Value::Null);
        for cid in in_order {
            if compare(&value(&old, &cid), &value(&new, &cid)) != Ordering::Equal {
                self.mark_updated(name, to, &cid, version);
            }
        }
        true
    }

    fn delete(&mut self, name: &str, pk: &Pk) -> bool {
        let Some(table) = self.table_mut(name) else { return false };
        if table.rows.remove(pk).is_none() {
            return false;
        }
        let version = self.next_version(0);
        self.mark_deleted(name, pk, version);
        self.clocks_of(name, pk).retain(|cid, _| cid == SENTINEL);
        true
    }

    pub(super) fn clocks_of(&mut self, name: &str, pk: &Pk) -> &mut BTreeMap<String, Clock> {
        let table = self.table_mut(name).expect("the caller looked the table up");
        table.clocks.entry(pk.clone()).or_default()
    }

    fn mark(
        &mut self,
        name: &str,
        pk: &Pk,
        cid: &str,
        db_version: i64,
        col_version: impl Fn(Option<i64>) -> i64,
    ) {
        let seq = self.next_seq();
        let site: SiteId = self.site;
        let clocks = self.clocks_of(name, pk);
        let col_version = col_version(clocks.get(cid).map(|clock| clock.col_version));
        clocks.insert(cid.to_owned(), Clock { col_version, db_version, site, seq });
    }

    fn mark_created(&mut self, name: &str, pk: &Pk, version: i64) {
        self.mark(name, pk, SENTINEL, version, |old| old.map_or(1, next_odd));
    }

    fn mark_deleted(&mut self, name: &str, pk: &Pk, version: i64) {
        self.mark(name, pk, SENTINEL, version, |old| old.map_or(2, |old| old + 1));
    }

    pub(super) fn mark_updated(&mut self, name: &str, pk: &Pk, cid: &str, version: i64) {
        self.mark(name, pk, cid, version, |old| old.map_or(1, |old| old + 1));
    }
}

/// The next causal length of a row that is created: cr-sqlite's CASE in the sentinel's upsert.
fn next_odd(cl: i64) -> i64 {
    if cl % 2 == 0 { cl + 1 } else { cl + 2 }
}
