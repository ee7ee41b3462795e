//! Tables come, grow and go: CREATE TABLE with `crsql_as_crr` (and its backfill), ADD COLUMN between
//! `crsql_begin_alter` and `crsql_commit_alter`, `crsql_as_table` with DROP TABLE. Used by the worlds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::engine::store::{Schema, TableSchema};
use crsqlite_sync::wire::{Pk, SENTINEL, Value};

use super::{Clock, Database, Table};

/// The shape of a replicated table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDef {
    pub name: String,
    pub key: Vec<Affinity>,
    pub columns: BTreeMap<String, Affinity>,
    /// The columns in the order of the table.
    pub(crate) order: Vec<String>,
}

impl TableDef {
    #[must_use]
    pub fn new(name: &str, key: &[Affinity], columns: &[(&str, Affinity)]) -> Self {
        TableDef {
            name: name.to_owned(),
            key: key.to_vec(),
            columns: columns.iter().map(|(cid, affinity)| ((*cid).to_owned(), *affinity)).collect(),
            order: columns.iter().map(|(cid, _)| (*cid).to_owned()).collect(),
        }
    }

    /// The same table before some column was added.
    #[must_use]
    pub fn without(&self, cid: &str) -> Self {
        let mut older = self.clone();
        older.columns.remove(cid);
        older.order.retain(|column| column != cid);
        older
    }

    /// Values as the base table holds them; NULLs and unknown columns are left out.
    pub(super) fn row(&self, set: &[(String, Value)]) -> BTreeMap<String, Value> {
        let known = set.iter().filter_map(|(cid, value)| {
            let affinity = self.columns.get(cid)?;
            (*value != Value::Null).then(|| (cid.clone(), affinity.apply(value.clone())))
        });
        known.collect()
    }
}

impl Database {
    /// CREATE TABLE (with these rows already in it) and `crsql_as_crr`, which backfills them under the next version.
    pub fn create_table(&mut self, def: &TableDef, rows: &[(Pk, Vec<(String, Value)>)]) {
        let name = def.name.clone();
        let table = Table { def: def.clone(), rows: BTreeMap::new(), clocks: BTreeMap::new() };
        self.tables.insert(name.clone(), Arc::new(table));
        self.schema_version += 1;
        self.dirty = true;
        for (pk, set) in rows {
            let version = self.next_version(0);
            let values = def.row(set);
            self.table_mut(&name).expect("just made").rows.insert(pk.clone(), values);
            self.backfill(&name, pk, version);
        }
    }

    /// Clocks for a row that has none.
    fn backfill(&mut self, name: &str, pk: &Pk, db_version: i64) {
        let order = self.tables[name].def.order.clone();
        let cids = if order.is_empty() { vec![SENTINEL.to_owned()] } else { order };
        for cid in cids {
            let clock = Clock { col_version: 1, db_version, site: self.site, seq: self.next_seq() };
            self.clocks_of(name, pk).insert(cid, clock);
        }
    }

    /// ALTER TABLE ADD COLUMN (NULL by default) between `crsql_begin_alter` and `crsql_commit_alter`: backfills
    /// nothing.
    pub fn add_column(&mut self, table: &str, cid: &str, affinity: Affinity) {
        self.altered();
        let table = self.table_mut(table).expect("the world knows its tables");
        table.def.columns.insert(cid.to_owned(), affinity);
        table.def.order.push(cid.to_owned());
    }

    /// UPDATE of a row after [`Database::add_column`], before `crsql_commit_alter`, which then backfills what is not NULL
    /// at the current version.
    pub fn fill_column(&mut self, table: &str, cid: &str, pk: &Pk, value: Value) {
        let clock = Clock { col_version: 1, db_version: self.floor, site: self.site, seq: self.next_seq() };
        self.clocks_of(table, pk).insert(cid.to_owned(), clock);
        let table = self.table_mut(table).expect("the world knows its tables");
        table.rows.entry(pk.clone()).or_default().insert(cid.to_owned(), value);
    }

    /// ALTER TABLE DROP COLUMN between `crsql_begin_alter` and `crsql_commit_alter`.
    pub fn drop_column(&mut self, name: &str, cid: &str) {
        self.altered();
        let table = self.table_mut(name).expect("the world knows its tables");
        table.def = table.def.without(cid);
        for row in table.rows.values_mut() {
            row.remove(cid);
        }
        for clocks in table.clocks.values_mut() {
            clocks.remove(cid);
        }
        table.clocks.retain(|_, clocks| !clocks.is_empty());
        // A live row that has lost its last clock is taken for a new one.
        let bare = table.rows.keys().filter(|pk| !table.clocks.contains_key(*pk)).cloned();
        for pk in bare.collect::<Vec<_>>() {
            self.backfill(name, &pk, self.floor);
        }
    }

    /// What `crsql_commit_alter` does whatever has changed: it leaves the current version as the floor.
    fn altered(&mut self) {
        let current = self.known_version();
        self.cached = Some(current);
        self.floor = current;
        self.schema_version += 1;
        self.dirty = true;
    }

    /// `crsql_as_table` and DROP TABLE: the rows and their versions are gone.
    pub fn drop_table(&mut self, table: &str) {
        self.tables.remove(table);
        self.schema_version += 1;
        self.dirty = true;
    }

    #[must_use]
    pub fn schema(&self) -> Schema {
        let tables = self.tables.iter().map(|(name, table)| {
            let schema = TableSchema {
                key: table.def.key.clone(),
                columns: table.def.columns.clone().into_iter().collect(),
            };
            (name.clone(), schema)
        });
        Schema { version: self.schema_version, tables: tables.collect() }
    }

    /// The shape of a table as it is now.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableDef> {
        self.tables.get(name).map(|table| &table.def)
    }

    #[must_use]
    pub fn has_table(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    #[must_use]
    pub fn has_column(&self, table: &str, cid: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.def.columns.contains_key(cid))
    }
}
