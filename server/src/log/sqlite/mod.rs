//! The logs in one SQLite file. Carries out what `core` decides, in one transaction per append that is synced to the
//! disk before it returns; never decides what stays. One writer, a few readers, WAL between them.

use std::path::Path;
use std::time::Duration;

use crsqlite_sync::wire::{Change, Run};
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use self::statements::{clock, count, delete, entries_after, insert, name, record, row_of, touched};
use super::Log;
use super::core::{Appended, Clock, Cut, Page, Start, Sums, compact};
use crate::error::Error;

mod statements;

/// "crsr": tells a relay's database from any other.
const APPLICATION_ID: i64 = 0x6372_7372;
const FORMAT: i64 = 1;
const READERS: u32 = 4;
/// Rows that a reader fetches ahead; each may be as large as a message.
const READ_AHEAD: usize = 8;

/// Every user's log in one database file.
#[derive(Debug)]
pub struct SqliteLog {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteLog {
    /// Opens the database, and makes it if there is none.
    ///
    /// # Errors
    /// When the file cannot be opened, is not a relay's, or was made by a later version.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true);
        // First without what would change a file that is not ours.
        let mut db = SqliteConnection::connect_with(&options).await?;
        let prepared = prepare(&mut db, path).await;
        db.close().await?;
        prepared?;
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // On macOS a plain sync does not reach the disk.
            .pragma("fullfsync", "1")
            // What users delete leaves the file, too.
            .pragma("secure_delete", "1")
            .row_buffer_size(READ_AHEAD);
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let writer = pool().max_connections(1).connect_lazy_with(options.clone());
        let readers = pool().max_connections(READERS).connect_lazy_with(options.pragma("query_only", "1"));
        Ok(SqliteLog { writer, readers })
    }

    async fn read_clock(&self, user: &str) -> Result<Clock, Error> {
        let mut snapshot = self.readers.begin().await?;
        Ok(clock(&mut snapshot, user).await?.1)
    }

    async fn read_page(&self, user: &str, start: &Start, budget: usize) -> Result<Page, Error> {
        let mut snapshot = self.readers.begin().await?;
        let (log, clock) = clock(&mut snapshot, user).await?;
        let base = clock.start(start);
        let mut cut = Cut::new(base, budget);
        let (entries, mut exhausted) = entries_after(&mut snapshot, log, base, budget).await?;
        for entry in entries {
            let row =
                if entry.revives_row() { row_of(&mut snapshot, log, &entry).await? } else { Vec::new() };
            if !cut.offer(entry, row) {
                exhausted = false;
                break;
            }
        }
        Ok(cut.finish(clock, base, exhausted))
    }

    async fn read_sums(&self, user: &str) -> Result<(Clock, Sums), Error> {
        let mut snapshot = self.readers.begin().await?;
        let (log, clock) = clock(&mut snapshot, user).await?;
        Ok((clock, count(&mut snapshot, log).await?))
    }

    async fn write(&self, user: &str, run: &Run, changes: &[Change]) -> Result<Appended, Error> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let (log, mut clock) = clock(&mut tx, user).await?;
        let existing = touched(&mut tx, log, changes).await?;
        let plan = compact(&existing, changes, name);
        let base = clock.head;
        if plan.insert.is_empty() {
            return Ok(Appended { run: clock.run(run).clone(), base, head: base, stored: Vec::new() });
        }
        let log = match log {
            Some(log) => log,
            None => {
                sqlx::query_scalar("INSERT INTO log (sub, head) VALUES (?, 0) RETURNING id")
                    .bind(user)
                    .fetch_one(&mut *tx)
                    .await?
            }
        };
        if clock.record(run) {
            record(&mut tx, log, run, base).await?;
        }
        delete(&mut tx, log, &plan.delete).await?;
        let rows: Vec<(i64, &Change)> =
            (base + 1..).zip(plan.insert.iter().filter_map(|&index| changes.get(index))).collect();
        insert(&mut tx, log, &rows).await?;
        let head = rows.last().map_or(base, |(offset, _)| *offset);
        sqlx::query("UPDATE log SET head = ? WHERE id = ?").bind(head).bind(log).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(Appended { run: clock.run(run).clone(), base, head, stored: plan.insert })
    }

    async fn read_secret(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh)?;
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
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
    fn clock<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Clock, Error>> {
        Box::pin(self.read_clock(user))
    }

    fn page<'a>(
        &'a self,
        user: &'a str,
        start: &'a Start,
        budget: usize,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        Box::pin(self.read_page(user, start, budget))
    }

    fn sums<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<(Clock, Sums), Error>> {
        Box::pin(self.read_sums(user))
    }

    fn append<'a>(
        &'a self,
        user: &'a str,
        run: &'a Run,
        changes: &'a [Change],
    ) -> BoxFuture<'a, Result<Appended, Error>> {
        Box::pin(self.write(user, run, changes))
    }

    fn secret<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
        Box::pin(self.read_secret(name))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.readers.close().await;
            self.writer.close().await;
        })
    }
}

/// Makes the schema in an empty file; refuses a file that is not ours.
async fn prepare(db: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let mut tx = db.begin_with("BEGIN IMMEDIATE").await?;
    let objects: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *tx).await?;
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *tx).await?;
    let format: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await?;
    if objects == 0 {
        sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *tx).await?;
        let mark = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(mark)).execute(&mut *tx).await?;
    } else if application != APPLICATION_ID {
        return Err(Error::ForeignDatabase(path.to_owned()));
    } else if format != FORMAT {
        return Err(Error::NewerDatabase(format));
    }
    tx.commit().await?;
    Ok(())
}
