//! The port to the replicated database: what a transaction of ours can do. Implemented by `web::store` over
//! crsqlite-wasm and by the simulator over a model of cr-sqlite. Decides nothing: the programs of [`super::txn`] do.

use super::affinity::Affinity;
use crate::sorted::SortedMap;
use crate::wire::{Change, Pk, RowCode, SiteId};

/// Why a transaction could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The app holds a transaction open on the same connection: try again shortly.
    #[error("the app holds a transaction open")]
    Busy,
    /// The disk or the quota is full.
    #[error("the storage is full: {0}")]
    Full(String),
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// A replicated table was dropped without its clock tables: no read of `crsql_changes` works any more.
    #[error("a dropped table left its clock tables behind: {0}")]
    OrphanClockTable(String),
    /// Anything else that SQLite said.
    #[error("the database failed: {0}")]
    Failed(String),
    /// The transaction was asked for by a leader that another one has replaced since.
    #[error("another tab leads now")]
    NotLeading,
}

impl StoreError {
    /// The stable kebab-case code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::Busy => "database-busy",
            StoreError::Full(_) => "storage-full",
            StoreError::Closed => "database-closed",
            StoreError::OrphanClockTable(_) => "orphan-clock-table",
            StoreError::Failed(_) => "database-failed",
            StoreError::NotLeading => "not-leading",
        }
    }
}

/// The replicated tables as they are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// `PRAGMA schema_version`, or anything that changes when a table does.
    pub version: i64,
    pub tables: SortedMap<String, TableSchema>,
}

/// One replicated table (CRR).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableSchema {
    /// Affinity of each key column, in the order of the primary key.
    pub key: Vec<Affinity>,
    /// The other columns.
    pub columns: SortedMap<String, Affinity>,
}

/// Which rows a scan returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// Of every origin: an answer.
    All,
    /// Of our own site, and those with col_version 0 of any origin: a live push.
    Own,
    /// Of every origin, but not in these version ranges (both ends included) unless col_version is 0: an upload.
    Outside(Vec<(i64, i64)>),
}

/// A read of `crsql_changes`: `after < db_version <= upto`, ordered by db_version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    pub after: i64,
    pub upto: i64,
    pub rows: Rows,
    /// Only these tables; all replicated ones without.
    pub tables: Option<Vec<String>>,
}

/// How much one message may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub changes: usize,
    pub bytes: usize,
}

/// What a scan found: whole versions only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    pub changes: Vec<Change>,
    /// Everything up to here was looked at: `upto`, or the last whole version that fitted (at least one version is
    /// always taken, however large).
    pub reached: i64,
}

/// A stretch of one table: whole keys, the changes of each together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretch {
    pub changes: Vec<Change>,
    /// The last key, in cr-sqlite's own numbers; `None` when nothing comes after it.
    pub reached: Option<i64>,
}

/// A row kept aside: quarantined (it could not be applied) or rejected (a receiver refused it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// Who sent it to us, or who refused it.
    pub peer: SiteId,
    /// The row's JSON, whole.
    pub row: String,
    pub code: RowCode,
    /// The schema version under which it failed.
    pub schema: i64,
}

/// Which list a kept row stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    Quarantine,
    Rejected,
}

/// One connection to the replicated database. All calls but `begin` happen inside a transaction.
///
/// Guarantees of an implementation: `merge` binds db_version 0, leaves change tracking on after an error, and a row
/// that it reports as refused has left no trace; `scan` and `rows_of` are exact in every value.
#[allow(async_fn_in_trait)] // single-threaded by design: wasm, or a simulator that is always ready
pub trait Store {
    /// Opens a transaction that excludes the app's own statements.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while the app holds one open.
    async fn begin(&mut self) -> Result<(), StoreError>;
    async fn commit(&mut self) -> Result<(), StoreError>;
    async fn rollback(&mut self);

    /// Every key of the replication state. Creates our tables on first use.
    async fn read_meta(&mut self) -> Result<Vec<(String, String)>, StoreError>;
    /// Sets (`Some`) or removes (`None`) keys. Keys that begin with `db.` are shared by all remotes.
    async fn write_meta(&mut self, entries: Vec<(String, Option<String>)>) -> Result<(), StoreError>;

    /// MAX(db_version) over the rows of `crsql_changes`, 0 without any; never `crsql_db_version()`.
    async fn max_version(&mut self) -> Result<i64, StoreError>;
    /// cr-sqlite's own floor: versions of this database never go below it again.
    async fn set_floor(&mut self, version: i64) -> Result<(), StoreError>;
    async fn schema(&mut self) -> Result<Schema, StoreError>;

    async fn scan(&mut self, scan: &Scan, budget: Budget) -> Result<Page, StoreError>;
    /// How many rows a scan without a budget would return.
    async fn count(&mut self, scan: &Scan) -> Result<u64, StoreError>;
    /// All current rows of these keys, of any origin and version.
    async fn rows_of(&mut self, keys: &[(String, Pk)]) -> Result<Vec<Change>, StoreError>;
    /// The changes of a table key by key, after the key of this number: of at least one key, however large, and of no
    /// more than the budget holds otherwise.
    async fn walk(&mut self, table: &str, after: i64, budget: Budget) -> Result<Stretch, StoreError>;
    /// Merges rows; returns the index and the reason of each that the database refused.
    async fn merge(&mut self, rows: &[Change]) -> Result<Vec<(usize, RowCode)>, StoreError>;

    async fn keep(&mut self, list: List, rows: &[KeptRow]) -> Result<(), StoreError>;
    async fn kept(&mut self, list: List) -> Result<Vec<KeptRow>, StoreError>;
    /// How many rows `kept` would return, without reading them.
    async fn count_kept(&mut self, list: List) -> Result<u64, StoreError>;
    /// Removes what equals one of these (peer and row).
    async fn forget(&mut self, list: List, rows: &[KeptRow]) -> Result<(), StoreError>;
}
