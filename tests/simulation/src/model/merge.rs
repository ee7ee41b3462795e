//! What `INSERT INTO crsql_changes` does with one row of another replica, bound to db_version 0.
//! Decides as cr-sqlite decides; the rules are those of crsqlite's `merge_insert`. Called by `store`.

use std::cmp::Ordering;

use crsqlite_sync::wire::{Change, Pk, RowCode, SENTINEL, SiteId, Value};

use super::compare::compare;
use super::{Clock, Database};

impl Database {
    /// Merges a row; true if anything changed.
    ///
    /// # Errors
    /// The table or the column is unknown; nothing has changed then.
    pub fn merge(&mut self, row: &Change) -> Result<bool, RowCode> {
        let Some(table) = self.tables.get(&row.table) else { return Err(RowCode::UnknownTable) };
        if row.cid != SENTINEL && !table.def.columns.contains_key(&row.cid) {
            return Err(RowCode::UnknownColumn);
        }
        if row.pk.columns().len() != table.def.key.len() {
            return Err(RowCode::KeyMismatch);
        }
        self.dirty = true;
        let table = &self.tables[&row.table];
        let local = table.clocks.get(&row.pk).filter(|clocks| !clocks.is_empty());
        let local_cl = local.map_or(0, |clocks| clocks.get(SENTINEL).map_or(1, |clock| clock.col_version));
        if row.cl < local_cl || (row.cl % 2 == 0 && row.cl == local_cl) {
            return Ok(false);
        }
        if row.cl % 2 == 0 {
            self.merge_delete(row);
            return Ok(true);
        }
        if row.cid == SENTINEL {
            if row.cl == local_cl {
                return Ok(false);
            }
            self.resurrect(row, row.col_version);
            return Ok(true);
        }
        let newer_life = row.cl > local_cl;
        let mut changed = false;
        if newer_life && row.cl > 1 {
            self.resurrect(row, row.cl);
            changed = true;
        }
        if !(newer_life || local_cl == 0 || self.column_wins(row)) {
            return Ok(changed);
        }
        self.write_column(&row.table, &row.pk, &row.cid, row.val.clone());
        self.set_winner(row, &row.cid, row.col_version);
        Ok(true)
    }

    fn column_wins(&self, row: &Change) -> bool {
        let table = &self.tables[&row.table];
        let Some(clock) = table.clocks.get(&row.pk).and_then(|clocks| clocks.get(&row.cid)) else {
            return true;
        };
        match row.col_version.cmp(&clock.col_version) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => {
                let value = self.value(&row.table, &row.pk, &row.cid);
                compare(&row.val, &value) == Ordering::Greater
            }
        }
    }

    fn merge_delete(&mut self, row: &Change) {
        let table = self.table_mut(&row.table).expect("merge looked it up");
        table.rows.remove(&row.pk);
        self.set_winner(row, SENTINEL, row.col_version);
        self.clocks_of(&row.table, &row.pk).retain(|cid, _| cid == SENTINEL);
    }

    /// The row lives (again): its columns start over at version 0, under our next version.
    fn resurrect(&mut self, row: &Change, col_version: i64) {
        let table = self.table_mut(&row.table).expect("merge looked it up");
        table.rows.entry(row.pk.clone()).or_default();
        let zeroes = self.clocks_of(&row.table, &row.pk).keys().any(|cid| cid != SENTINEL);
        if zeroes {
            let version = self.next_version(row.db_version);
            for (cid, clock) in self.clocks_of(&row.table, &row.pk) {
                if cid != SENTINEL {
                    (clock.col_version, clock.db_version) = (0, version);
                }
            }
        }
        self.set_winner(row, SENTINEL, col_version);
    }

    fn set_winner(&mut self, row: &Change, cid: &str, col_version: i64) {
        let db_version = self.next_version(row.db_version);
        let site: SiteId = row.site_id;
        let clock = Clock { col_version, db_version, site, seq: row.seq };
        self.clocks_of(&row.table, &row.pk).insert(cid.to_owned(), clock);
    }

    fn write_column(&mut self, table: &str, pk: &Pk, cid: &str, value: Value) {
        let table = self.table_mut(table).expect("merge looked it up");
        let value = table.def.columns[cid].apply(value);
        let row = table.rows.entry(pk.clone()).or_default();
        if value == Value::Null {
            row.remove(cid);
        } else {
            row.insert(cid.to_owned(), value);
        }
    }
}
