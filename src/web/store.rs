//! The database port over a cr-sqlite database of JavaScript: one transaction of ours at a time, exact in every
//! value. Decides how the engine's questions become SQL; never what to ask. Called by the driver through `txn::run`.

mod connection;
mod db;
mod failure;
mod merge;
pub(crate) mod pace;
mod read;
mod scan;
mod schema;
mod state;
mod statement;

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::JsValue;

use crate::engine::store::{Budget, KeptRow, List, Page, Rows, Scan, Schema, Store, StoreError, Stretch};
use crate::wire::{Change, Pk, RowCode, SiteId};
use connection::Connection;
pub(crate) use db::Database;
use merge::MergeError;
use read::ReadError;
pub(crate) use state::{TABLE_PREFIX, site_from_hex, site_to_hex};
use statement::Arg;

/// What was looked up in this transaction and is still so. Nobody else writes before it ends.
#[derive(Debug, Default)]
struct Seen {
    /// The schema is the one that we know.
    schema: bool,
    /// The highest version; until rows are merged.
    version: Option<i64>,
}

/// One user of the database. Statements stay prepared until [`JsStore::close`].
#[derive(Debug)]
pub(crate) struct JsStore {
    connection: Connection,
    own: SiteId,
    remote: String,
    schema: Option<Schema>,
    seen: Seen,
    /// The replicated tables, as they were read anew; until somebody asks.
    tables_read: Option<Vec<String>>,
    created: bool,
    /// A transaction of ours is open: what the update hook says now, we wrote.
    writing: Rc<Cell<bool>>,
}

impl JsStore {
    pub(crate) fn new(db: Database, own: SiteId, remote: String, writing: Rc<Cell<bool>>) -> Self {
        JsStore {
            connection: Connection::new(db),
            own,
            remote,
            schema: None,
            seen: Seen::default(),
            tables_read: None,
            created: false,
            writing,
        }
    }

    /// The replicated tables, where the schema was read since this was last asked.
    pub(crate) fn take_tables(&mut self) -> Option<Vec<String>> {
        self.tables_read.take()
    }

    /// Gives the prepared statements back.
    pub(crate) async fn close(&mut self) {
        self.connection.close().await;
    }

    /// The tables with rows of this device above a version, and the highest version of all.
    pub(crate) async fn ours_since(&mut self, since: i64) -> Result<(Vec<String>, i64), StoreError> {
        self.begin().await?;
        let found = self.find_ours(since).await;
        // Not rolled back: that would make us forget what we know of the schema.
        self.commit().await.and(found)
    }

    async fn find_ours(&mut self, since: i64) -> Result<(Vec<String>, i64), StoreError> {
        self.look_at_schema().await?;
        let tables = schema::names(self.schema.as_ref());
        let found = read::ours_since(&mut self.connection, &tables, since).await;
        Ok((self.read(found).await?, self.max_version().await?))
    }

    /// Knows the schema as it is now.
    async fn look_at_schema(&mut self) -> Result<(), StoreError> {
        if self.seen.schema {
            return Ok(());
        }
        let version = schema::version(&mut self.connection).await;
        let version = self.read(version).await?;
        if self.schema.as_ref().is_none_or(|schema| schema.version != version) {
            let schema = schema::read(&mut self.connection, version).await;
            let schema = self.read(schema).await??;
            self.connection.forget_statements().await;
            self.tables_read = Some(schema.tables.keys().cloned().collect());
            self.schema = Some(schema);
        }
        self.seen.schema = true;
        Ok(())
    }

    /// What a bug report says of the database beside the state, in the same form.
    pub(crate) async fn describe(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let told = state::describe(&mut self.connection, &self.remote).await;
        self.read(told).await
    }

    /// What a failed read means: where a table was dropped without its clocks, every read fails.
    async fn failed(&mut self, thrown: JsValue) -> StoreError {
        if let Ok(Some(table)) = schema::orphan(&mut self.connection).await {
            return StoreError::OrphanClockTable(table);
        }
        failure::store_error(&thrown).await
    }

    async fn read<T>(&mut self, result: Result<T, JsValue>) -> Result<T, StoreError> {
        match result {
            Ok(value) => Ok(value),
            Err(thrown) => Err(self.failed(thrown).await),
        }
    }

    async fn found<T>(&mut self, result: Result<T, ReadError>) -> Result<T, StoreError> {
        match result {
            Ok(value) => Ok(value),
            Err(ReadError::Thrown(thrown)) => Err(self.failed(thrown).await),
            Err(ReadError::Malformed) => Err(ReadError::malformed()),
        }
    }
}

async fn written<T>(result: Result<T, JsValue>) -> Result<T, StoreError> {
    match result {
        Ok(value) => Ok(value),
        Err(thrown) => Err(failure::store_error(&thrown).await),
    }
}

impl Store for JsStore {
    async fn begin(&mut self) -> Result<(), StoreError> {
        self.connection.begin().await?;
        self.seen = Seen::default();
        self.writing.set(true);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let committed = self.connection.commit().await;
        self.writing.set(false);
        committed
    }

    async fn rollback(&mut self) {
        self.connection.rollback().await;
        self.writing.set(false);
        // Whatever this transaction created or saw is gone.
        self.created = false;
        self.schema = None;
    }

    async fn read_meta(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        if !self.created {
            written(state::create(&mut self.connection).await).await?;
            self.created = true;
        }
        let read = state::read(&mut self.connection, &self.remote).await;
        self.read(read).await
    }

    async fn write_meta(&mut self, entries: Vec<(String, Option<String>)>) -> Result<(), StoreError> {
        written(state::write(&mut self.connection, &self.remote, &entries).await).await
    }

    async fn max_version(&mut self) -> Result<i64, StoreError> {
        if let Some(version) = self.seen.version {
            return Ok(version);
        }
        self.look_at_schema().await?;
        let tables = schema::names(self.schema.as_ref());
        let version = read::max_version(&mut self.connection, &tables).await;
        let version = self.read(version).await?;
        self.seen.version = Some(version);
        Ok(version)
    }

    async fn set_floor(&mut self, version: i64) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO crsql_master (key, value) VALUES ('pre_compact_dbversion', ?1)";
        written(self.connection.run(sql, &[Arg::Integer(version)]).await).await
    }

    async fn schema(&mut self) -> Result<Schema, StoreError> {
        self.look_at_schema().await?;
        Ok(self.schema.clone().unwrap_or_default())
    }

    async fn scan(&mut self, scan: &Scan, budget: Budget) -> Result<Page, StoreError> {
        let mut scan = scan.clone();
        if scan.rows != Rows::All {
            // What came from others stands in between, and reading a row there costs as much as merging a third of one.
            self.look_at_schema().await?;
            let tables = schema::names(self.schema.as_ref());
            let first = read::first_version(&mut self.connection, &tables, &scan).await;
            let Some(first) = self.read(first).await? else {
                return Ok(Page { changes: Vec::new(), reached: scan.upto });
            };
            scan.after = first - 1;
        }
        let page = scan::scan(&mut self.connection, self.own, &scan, budget).await;
        self.found(page).await
    }

    async fn count(&mut self, scan: &Scan) -> Result<u64, StoreError> {
        self.look_at_schema().await?;
        let tables = schema::names(self.schema.as_ref());
        let count = read::count(&mut self.connection, &tables, scan).await;
        self.read(count).await
    }

    async fn rows_of(&mut self, keys: &[(String, Pk)]) -> Result<Vec<Change>, StoreError> {
        self.look_at_schema().await?;
        let tables = schema::names(self.schema.as_ref());
        let rows = read::rows_of(&mut self.connection, &tables, self.own, keys).await;
        self.found(rows).await
    }

    async fn walk(&mut self, table: &str, after: i64, budget: Budget) -> Result<Stretch, StoreError> {
        self.look_at_schema().await?;
        let tables = schema::names(self.schema.as_ref());
        let stretch = read::walk(&mut self.connection, &tables, self.own, table, after, budget).await;
        self.found(stretch).await
    }

    async fn merge(&mut self, rows: &[Change]) -> Result<Vec<(usize, RowCode)>, StoreError> {
        self.seen.version = None;
        match merge::merge(&mut self.connection, rows).await {
            Ok(refused) => Ok(refused),
            Err(MergeError::Thrown(thrown)) => Err(self.failed(thrown).await),
            Err(MergeError::Store(error)) => Err(error),
        }
    }

    async fn keep(&mut self, list: List, rows: &[KeptRow]) -> Result<(), StoreError> {
        written(state::keep(&mut self.connection, &self.remote, list, rows).await).await
    }

    async fn kept(&mut self, list: List) -> Result<Vec<KeptRow>, StoreError> {
        let kept = state::kept(&mut self.connection, &self.remote, list).await;
        self.read(kept).await
    }

    async fn count_kept(&mut self, list: List) -> Result<u64, StoreError> {
        let count = state::count_kept(&mut self.connection, &self.remote, list).await;
        self.read(count).await
    }

    async fn forget(&mut self, list: List, rows: &[KeptRow]) -> Result<(), StoreError> {
        written(state::forget(&mut self.connection, &self.remote, list, rows).await).await
    }
}
