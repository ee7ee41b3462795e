//! The logs in one SQLite file. Decides where a reader's snapshot begins; what is written goes to the one `writer`,
//! who syncs it to the disk before it answers. Never decides what stays. A few readers, WAL between them.

use std::path::Path;
use std::time::Duration;

use crsqlite_sync::wire::{Change, Run};
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool};

use self::statements::Statements;
pub use self::view::SqliteView;
use self::writer::{Work, Writer};
use super::core::{Appended, Clock, Feed, Put, Query, Record, Start, Sums};
use super::{Answer, Log, program};
use crate::error::Error;
use crate::user::Owner;

mod format;
mod statements;
mod view;
mod writer;

const READERS: u32 = 4;
/// Rows that a reader fetches ahead; each may be as large as a message.
const READ_AHEAD: usize = 8;

/// Statements that a connection keeps prepared: those about several rows differ by how many.
const STATEMENTS: usize = 512;

/// Every user's log in one database file.
#[derive(Debug)]
pub struct SqliteLog {
    pool: SqlitePool,
    writer: Writer,
    readers: SqlitePool,
}

impl SqliteLog {
    /// Opens the database, and makes it if there is none.
    ///
    /// # Errors
    /// When the file cannot be opened, is not a relay's, or was made by a later version.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        SqliteLog::open_within(path, None).await
    }

    /// Like [`SqliteLog::open`], where each owner may have so many entries and records; `None` for any number.
    ///
    /// # Errors
    /// When the file cannot be opened, is not a relay's, or was made by a later version.
    pub async fn open_within(path: &Path, most_rows: Option<u64>) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true);
        // First without what would change a file that is not ours.
        let mut db = SqliteConnection::connect_with(&options).await?;
        let prepared = format::prepare(&mut db, path).await;
        db.close().await?;
        prepared?;
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // On macOS a plain sync does not reach the disk.
            .pragma("fullfsync", "1")
            // What users delete leaves the file, too.
            .pragma("secure_delete", "1")
            .statement_cache_capacity(STATEMENTS)
            .row_buffer_size(READ_AHEAD);
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let writing = pool().max_connections(1).connect_lazy_with(options.clone());
        let readers = pool().max_connections(READERS).connect_lazy_with(options.pragma("query_only", "1"));
        let writer = Writer::start(writing.clone(), most_rows);
        Ok(SqliteLog { pool: writing, writer, readers })
    }

    async fn read(&self) -> Result<sqlx::Transaction<'_, Sqlite>, Error> {
        Ok(self.readers.begin().await?)
    }

    async fn read_secret(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh)?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO secret (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(fresh.as_slice())
            .execute(&mut *tx)
            .await?;
        let secret = sqlx::query_scalar("SELECT value FROM secret WHERE name = ?")
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(secret)
    }
}

impl Log for SqliteLog {
    fn clock<'a>(&'a self, owner: &'a Owner) -> Answer<'a, Clock> {
        Box::pin(async { program::clock(&mut Statements(&mut *self.read().await?), owner).await })
    }

    fn feed<'a>(&'a self, owner: &'a Owner, start: &'a Start, query: &'a Query) -> Answer<'a, Feed> {
        Box::pin(async {
            program::feed(&mut Statements(&mut *self.read().await?), owner, start, query).await
        })
    }

    fn sums<'a>(&'a self, owner: &'a Owner) -> Answer<'a, (Clock, Sums)> {
        Box::pin(async { program::sums(&mut Statements(&mut *self.read().await?), owner).await })
    }

    fn append_each<'a>(
        &'a self,
        owner: &'a Owner,
        run: &'a Run,
        pushes: &'a [&'a [Change]],
    ) -> Answer<'a, Vec<Result<Appended, Error>>> {
        let pushes = pushes.iter().map(|push| push.to_vec()).collect();
        Box::pin(self.writer.ask(owner, run, |answer| Work::Append(pushes, answer)))
    }

    fn put_records<'a>(
        &'a self,
        owner: &'a Owner,
        run: &'a Run,
        records: &'a [Record],
        now: i64,
    ) -> Answer<'a, Put> {
        let records = records.to_vec();
        Box::pin(self.writer.ask(owner, run, move |answer| Work::Put(records, now, answer)))
    }

    fn secret<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<u8>> {
        Box::pin(self.read_secret(name))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.writer.close().await;
            self.readers.close().await;
            self.pool.close().await;
        })
    }
}
