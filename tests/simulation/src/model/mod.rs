//! One cr-sqlite 0.16.0 database in memory: what its tables, clock tables and version counter hold.
//! Never decides anything about replication, and knows nothing of SQL text.
//! Used by `store`, which is the engine's port to it, and by the worlds, which play the app.

mod compare;
mod local;
mod merge;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crsqlite_sync::engine::store::{Budget, KeptRow, Stretch};
use crsqlite_sync::wire::{Change, Pk, SENTINEL, SiteId, Value};

pub use compare::compare;
pub use local::Op;
pub use schema::TableDef;

/// A row of a clock table (`t__crsql_clock`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) col_version: i64,
    pub(crate) db_version: i64,
    pub(crate) site: SiteId,
    pub(crate) seq: i64,
}

/// One replicated table with its bookkeeping.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) def: TableDef,
    /// The base table: only what is not NULL.
    pub(crate) rows: BTreeMap<Pk, BTreeMap<String, Value>>,
    /// The clock table, by key (`t__crsql_pks`) and column.
    pub(crate) clocks: BTreeMap<Pk, BTreeMap<String, Clock>>,
}

/// A database and the state of the one connection to it. A clone is a copy of the file.
#[derive(Debug, Clone)]
pub struct Database {
    site: SiteId,
    pub(crate) tables: BTreeMap<String, Arc<Table>>,
    /// `crsql_master.pre_compact_dbversion`.
    floor: i64,
    schema_version: i64,
    /// Our own tables.
    pub(crate) meta: Arc<BTreeMap<String, String>>,
    pub(crate) quarantine: Arc<Vec<KeptRow>>,
    pub(crate) rejected: Arc<Vec<KeptRow>>,
    /// What the connection remembers: cr-sqlite's `dbVersion`, `pendingDbVersion` and `seq`.
    cached: Option<i64>,
    pending: Option<i64>,
    seq: i64,
    /// The transaction has written something, whatever it was.
    pub(crate) dirty: bool,
}

impl Database {
    #[must_use]
    pub fn new(site: SiteId) -> Self {
        Database {
            site,
            tables: BTreeMap::new(),
            floor: 0,
            schema_version: 1,
            meta: Arc::default(),
            quarantine: Arc::default(),
            rejected: Arc::default(),
            cached: None,
            pending: None,
            seq: 0,
            dirty: false,
        }
    }

    /// `crsql_site_id()`.
    #[must_use]
    pub fn site(&self) -> SiteId {
        self.site
    }

    /// The replication state in it.
    #[must_use]
    pub fn meta_entries(&self) -> BTreeMap<String, String> {
        (*self.meta).clone()
    }

    /// Rows that were kept aside.
    #[must_use]
    pub fn quarantine(&self) -> &[KeptRow] {
        &self.quarantine
    }

    /// Rows of ours that were refused.
    #[must_use]
    pub fn rejected(&self) -> &[KeptRow] {
        &self.rejected
    }

    /// Closes and opens the connection: what it remembered is gone.
    pub fn reopen(&mut self) {
        (self.cached, self.pending, self.seq) = (None, None, 0);
    }

    /// The end of a transaction that is kept. One that wrote but drew no version makes the connection forget the
    /// version that it knew (cr-sqlite's commit hook).
    pub fn commit(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.cached = self.pending.take();
        }
        self.seq = 0;
    }

    /// The end of a transaction that is not: everything is as in `before`. With `savepoint` the connection keeps
    /// the version that was drawn (ROLLBACK TO tells cr-sqlite nothing), so that a gap is left.
    pub fn roll_back(&mut self, before: Database, savepoint: bool) {
        let pending = self.pending;
        *self = before;
        if savepoint {
            self.cached = pending;
        }
    }

    /// ROLLBACK TO a savepoint inside a transaction that goes on: the rows are as they were, the version that was drawn
    /// and the seq stay with the connection.
    pub fn rewind(&mut self, before: Database) {
        let (cached, pending, seq) = (self.cached, self.pending, self.seq);
        *self = Database { cached, pending, seq, dirty: true, ..before };
    }

    /// MAX(db_version) of `crsql_changes`.
    #[must_use]
    pub fn max_version(&self) -> i64 {
        self.clock_rows().map(|(_, _, _, clock)| clock.db_version).max().unwrap_or(0)
    }

    /// `crsql_db_version()`: what the connection believes, which a ROLLBACK TO leaves too high.
    #[must_use]
    pub fn known_version(&self) -> i64 {
        self.cached.unwrap_or_else(|| self.max_version().max(self.floor))
    }

    /// `crsql_next_db_version()`: one version for a whole transaction, unless a merged row brings a higher one.
    fn next_version(&mut self, merged: i64) -> i64 {
        let known = self.known_version();
        self.cached = Some(known);
        let next = self.pending.unwrap_or(0).max(known + 1).max(merged);
        self.pending = Some(next);
        next
    }

    fn next_seq(&mut self) -> i64 {
        self.seq += 1;
        self.seq - 1
    }

    /// `crsql_master.pre_compact_dbversion`.
    pub fn set_floor(&mut self, version: i64) {
        self.dirty = true;
        self.floor = version;
    }

    fn clock_rows(&self) -> impl Iterator<Item = (&str, &Pk, &str, &Clock)> {
        self.tables.iter().flat_map(|(name, table)| {
            table.clocks.iter().flat_map(move |(pk, columns)| {
                columns.iter().map(move |(cid, clock)| (name.as_str(), pk, cid.as_str(), clock))
            })
        })
    }

    /// The rows of `crsql_changes` that pass, in cr-sqlite's order.
    #[must_use]
    pub fn changes(&self, pass: impl Fn(&str, &Pk, &str, i64, SiteId, i64) -> bool) -> Vec<Change> {
        let mut rows: Vec<Change> = self
            .clock_rows()
            .filter(|(table, pk, cid, clock)| {
                pass(table, pk, cid, clock.db_version, clock.site, clock.col_version)
            })
            .map(|(table, pk, cid, clock)| Change {
                table: table.to_owned(),
                pk: pk.clone(),
                cid: cid.to_owned(),
                val: self.value(table, pk, cid),
                col_version: clock.col_version,
                db_version: clock.db_version,
                site_id: clock.site,
                cl: self.causal_length(table, pk),
                seq: clock.seq,
            })
            .collect();
        rows.sort_by_key(|row| (row.db_version, row.seq));
        rows
    }

    /// The changes of a table key by key; keys are numbered in their order here.
    #[must_use]
    pub fn walk(&self, table: &str, after: i64, budget: Budget) -> Stretch {
        let mut stretch = Stretch::default();
        let Some(clocks) = self.tables.get(table).map(|table| &table.clocks) else { return stretch };
        let mut changes = self.changes(|name, _, _, _, _, _| name == table);
        changes.sort_by(|one, other| (&one.pk, &one.cid).cmp(&(&other.pk, &other.cid)));
        let numbers: BTreeMap<&Pk, i64> = clocks.keys().zip(1..).collect();
        let mut bytes = 0;
        for row in changes.chunk_by(|one, other| one.pk == other.pk) {
            let number = numbers[&row[0].pk];
            if number <= after {
                continue;
            }
            if stretch.changes.len() >= budget.changes.max(1) || bytes > budget.bytes {
                return stretch;
            }
            bytes += row.iter().map(Change::wire_size).sum::<usize>();
            stretch.changes.extend_from_slice(row);
            stretch.reached = Some(number);
        }
        stretch.reached = None;
        stretch
    }

    /// Everything that replicas must agree on: base rows with their clocks, without site, version and seq.
    #[must_use]
    pub fn digest(&self, tables: &BTreeSet<String>) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        for name in tables {
            let Some(table) = self.tables.get(name) else { continue };
            for (pk, columns) in &table.clocks {
                let cl = self.causal_length(name, pk);
                for (cid, clock) in columns {
                    if cid == SENTINEL && cl == 1 {
                        continue; // says no more than that the row is there
                    }
                    let value = self.value(name, pk, cid);
                    let key = pk.columns();
                    out.insert(format!("{name} {key:?} {cid} = {value:?} v{} cl{cl}", clock.col_version));
                }
            }
            for (pk, row) in &table.rows {
                out.insert(format!("{name} {:?} is {row:?}", pk.columns()));
            }
        }
        out
    }

    fn value(&self, table: &str, pk: &Pk, cid: &str) -> Value {
        let row = self.tables.get(table).and_then(|table| table.rows.get(pk));
        row.and_then(|row| row.get(cid)).cloned().unwrap_or(Value::Null)
    }

    /// As `crsql_changes.cl` has it: the sentinel's version, 1 without one.
    fn causal_length(&self, table: &str, pk: &Pk) -> i64 {
        let clocks = self.tables.get(table).and_then(|table| table.clocks.get(pk));
        clocks.and_then(|clocks| clocks.get(SENTINEL)).map_or(1, |clock| clock.col_version)
    }

    pub(crate) fn table_mut(&mut self, name: &str) -> Option<&mut Table> {
        self.tables.get_mut(name).map(Arc::make_mut)
    }
}
