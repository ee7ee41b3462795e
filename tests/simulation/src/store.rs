//! A device's database as the engine's port to it sees it: the model of cr-sqlite with transactions, a history of
//! commits that a crash can undo, and failures on demand. Decides nothing about replication.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crsqlite_sync::engine::store::{
    Budget, KeptRow, List, Page, Rows, Scan, Schema, Store, StoreError, Stretch,
};
use crsqlite_sync::rules::{Rule, holds};
use crsqlite_sync::wire::{Change, Pk, RowCode};

use crate::model::{Database, Op};

/// How many transactions a crash can undo.
pub const HISTORY: usize = 6;

/// One database file with its connection.
#[derive(Debug)]
pub struct Disk {
    db: Database,
    /// What the database was before the transaction that is open.
    ours: Option<Database>,
    app: Option<Database>,
    /// The states after the last commits, the latest last.
    history: VecDeque<Database>,
    /// Fails the call that many calls from now.
    pub fail_in: Option<(u32, StoreError)>,
    /// A constraint or a trigger of the app: whether the database takes this row now.
    pub constraint: Option<fn(&Database, &Change) -> bool>,
    /// Our transactions are savepoints (as `db.tx` makes them), so a rollback leaves a gap in the versions.
    pub savepoints: bool,
}

impl Disk {
    #[must_use]
    pub fn new(db: Database) -> Self {
        let history = VecDeque::from([db.clone()]);
        Disk { db, ours: None, app: None, history, fail_in: None, constraint: None, savepoints: true }
    }

    #[must_use]
    pub fn db(&self) -> &Database {
        &self.db
    }

    /// A copy of the file as it is on the disk.
    #[must_use]
    pub fn copy(&self) -> Database {
        self.history.back().expect("there is always a state").clone()
    }

    /// Something of the app or of its migrations, in a transaction of its own.
    pub fn app(&mut self, work: impl FnOnce(&mut Database)) {
        assert!(self.app.is_none() && self.ours.is_none(), "one transaction at a time");
        work(&mut self.db);
        self.db.commit();
        self.remember();
    }

    #[must_use]
    pub fn app_is_in_transaction(&self) -> bool {
        self.app.is_some()
    }

    /// The app's own BEGIN.
    pub fn app_begin(&mut self) {
        if self.app.is_none() {
            self.app = Some(self.db.clone());
        }
    }

    pub fn app_run(&mut self, op: &Op) -> bool {
        self.db.run(op)
    }

    /// More inside the app's own transaction.
    pub fn app_goes_on(&mut self, work: impl FnOnce(&mut Database)) {
        assert!(self.app.is_some(), "the app has begun");
        work(&mut self.db);
    }

    pub fn app_end(&mut self, keep: bool) {
        let Some(before) = self.app.take() else { return };
        if keep {
            self.db.commit();
            self.remember();
        } else {
            self.db.roll_back(before, false);
        }
    }

    /// The process dies: what was open is gone, and so are the last `lost` transactions.
    pub fn crash(&mut self, lost: usize) {
        (self.ours, self.app, self.fail_in) = (None, None, None);
        for _ in 0..lost.min(self.history.len() - 1) {
            self.history.pop_back();
        }
        self.db = self.copy();
        self.db.reopen();
    }

    /// Another copy of this database takes the file's place.
    pub fn replace(&mut self, mut copy: Database) {
        copy.reopen();
        *self = Disk { savepoints: self.savepoints, ..Disk::new(copy) };
    }

    fn remember(&mut self) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(self.db.clone());
    }

    fn check(&mut self) -> Result<(), StoreError> {
        match &mut self.fail_in {
            Some((0, error)) => {
                let error = error.clone();
                self.fail_in = None;
                Err(error)
            }
            Some((calls, _)) => {
                *calls -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn scanned(&self, scan: &Scan) -> Vec<Change> {
        let site = self.db.site();
        let zeroed = |col_version| col_version == 0 && holds(Rule::ZeroedRows);
        self.db.changes(|table, _, _, version, origin, col_version| {
            let passes = match &scan.rows {
                Rows::All => true,
                Rows::Own => origin == site || zeroed(col_version),
                Rows::Outside(ranges) => {
                    zeroed(col_version) || !ranges.iter().any(|range| (range.0..=range.1).contains(&version))
                }
            };
            passes
                && version > scan.after
                && version <= scan.upto
                && scan.tables.as_ref().is_none_or(|tables| tables.iter().any(|name| name == table))
        })
    }

    fn list(&mut self, list: List) -> &mut Vec<KeptRow> {
        self.db.dirty = true;
        Arc::make_mut(match list {
            List::Quarantine => &mut self.db.quarantine,
            List::Rejected => &mut self.db.rejected,
        })
    }
}

impl Store for Disk {
    async fn begin(&mut self) -> Result<(), StoreError> {
        if self.app.is_some() && holds(Rule::AppTransaction) {
            return Err(StoreError::Busy);
        }
        assert!(self.ours.is_none(), "a transaction inside a transaction");
        self.check()?;
        self.ours = Some(self.db.clone());
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.check()?;
        assert!(self.ours.take().is_some(), "a commit without a transaction");
        if self.app.is_some() {
            return Ok(()); // a savepoint inside the app's transaction: that one decides
        }
        let wrote = self.db.dirty;
        self.db.commit();
        if wrote {
            self.remember();
        }
        Ok(())
    }

    async fn rollback(&mut self) {
        if let Some(before) = self.ours.take() {
            self.db.roll_back(before, self.savepoints);
        }
    }

    async fn read_meta(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        self.check()?;
        Ok(self.db.meta.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn write_meta(&mut self, entries: Vec<(String, Option<String>)>) -> Result<(), StoreError> {
        self.check()?;
        self.db.dirty = true;
        let meta: &mut BTreeMap<String, String> = Arc::make_mut(&mut self.db.meta);
        for (key, value) in entries {
            match value {
                Some(value) => meta.insert(key, value),
                None => meta.remove(&key),
            };
        }
        Ok(())
    }

    async fn max_version(&mut self) -> Result<i64, StoreError> {
        self.check()?;
        Ok(if holds(Rule::MaxOfRows) { self.db.max_version() } else { self.db.known_version() })
    }

    async fn set_floor(&mut self, version: i64) -> Result<(), StoreError> {
        self.check()?;
        self.db.set_floor(version);
        Ok(())
    }

    async fn schema(&mut self) -> Result<Schema, StoreError> {
        self.check()?;
        Ok(self.db.schema())
    }

    async fn scan(&mut self, scan: &Scan, budget: Budget) -> Result<Page, StoreError> {
        self.check()?;
        let rows = self.scanned(scan);
        let mut page = Page { changes: Vec::new(), reached: scan.after };
        let mut bytes = 0;
        let together =
            |one: &Change, other: &Change| one.db_version == other.db_version && holds(Rule::WholeVersions);
        for version in rows.chunk_by(together) {
            let size: usize = version.iter().map(Change::wire_size).sum();
            let fits = page.changes.len() + version.len() <= budget.changes && bytes + size <= budget.bytes;
            if !fits && !page.changes.is_empty() {
                return Ok(page);
            }
            bytes += size;
            page.reached = version[0].db_version;
            page.changes.extend_from_slice(version);
        }
        page.reached = scan.upto;
        Ok(page)
    }

    async fn count(&mut self, scan: &Scan) -> Result<u64, StoreError> {
        self.check()?;
        Ok(self.scanned(scan).len() as u64)
    }

    async fn rows_of(&mut self, keys: &[(String, Pk)]) -> Result<Vec<Change>, StoreError> {
        self.check()?;
        let keys: BTreeSet<(&str, &Pk)> = keys.iter().map(|(table, pk)| (table.as_str(), pk)).collect();
        let (site, any) = (self.db.site(), holds(Rule::AdditionsOfAnyOrigin));
        Ok(self
            .db
            .changes(|table, pk, _, _, origin, _| keys.contains(&(table, pk)) && (any || origin == site)))
    }

    async fn walk(&mut self, table: &str, after: i64, budget: Budget) -> Result<Stretch, StoreError> {
        self.check()?;
        Ok(self.db.walk(table, after, budget))
    }

    async fn merge(&mut self, rows: &[Change]) -> Result<Vec<(usize, RowCode)>, StoreError> {
        self.check()?;
        let mut refused = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let fits = self.constraint.is_none_or(|fits| fits(&self.db, row));
            let merged = if fits { self.db.merge(row) } else { Err(RowCode::Refused) };
            if let Err(code) = merged {
                refused.push((index, code));
            }
        }
        Ok(refused)
    }

    async fn keep(&mut self, list: List, rows: &[KeptRow]) -> Result<(), StoreError> {
        self.check()?;
        self.list(list).extend_from_slice(rows);
        Ok(())
    }

    async fn kept(&mut self, list: List) -> Result<Vec<KeptRow>, StoreError> {
        self.check()?;
        Ok(match list {
            List::Quarantine => self.db.quarantine.to_vec(),
            List::Rejected => self.db.rejected.to_vec(),
        })
    }

    async fn count_kept(&mut self, list: List) -> Result<u64, StoreError> {
        self.check()?;
        Ok(self.list(list).len() as u64)
    }

    async fn forget(&mut self, list: List, rows: &[KeptRow]) -> Result<(), StoreError> {
        self.check()?;
        self.list(list).retain(|kept| !rows.iter().any(|row| row.peer == kept.peer && row.row == kept.row));
        Ok(())
    }
}
