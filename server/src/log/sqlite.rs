//! The logs in one SQLite file. Carries out what `core` decides, in one transaction per append that is synced to the
//! disk before it returns; never decides what stays. One writer, a few readers, WAL between them.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use crsqlite_sync::wire::{Change, Pk, Run, SiteId, Value};
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::Log;
use super::core::{Appended, Clock, Cut, Entry, Page, RUNS_KEPT, RunStart, Start, compact};
use crate::error::Error;

/// "crsr": tells a relay's database from any other.
const APPLICATION_ID: i64 = 0x6372_7372;
const FORMAT: i64 = 1;
const READERS: u32 = 4;
/// Rows that a reader fetches ahead; each may be as large as a message.
const READ_AHEAD: usize = 8;
/// Keys or rows in one statement.
const BATCH: usize = 100;
/// Up to this length a value is compared itself, beyond it by its digest.
const COMPARED_ITSELF: usize = 64;

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
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // On macOS a plain sync does not reach the disk.
            .pragma("fullfsync", "1")
            // What users delete leaves the file, too.
            .pragma("secure_delete", "1")
            .row_buffer_size(READ_AHEAD);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        prepare(&writer, path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_lazy_with(options.pragma("query_only", "1"));
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
async fn prepare(writer: &SqlitePool, path: &Path) -> Result<(), Error> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
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

/// The log's row, if the user ever stored anything, and its clock.
async fn clock(db: &mut SqliteConnection, user: &str) -> Result<(Option<i64>, Clock), Error> {
    let found: Option<(i64, i64)> =
        sqlx::query_as("SELECT id, head FROM log WHERE sub = ?").bind(user).fetch_optional(&mut *db).await?;
    let Some((log, head)) = found else { return Ok((None, Clock::default())) };
    let starts: Vec<(String, i64)> =
        sqlx::query_as("SELECT run, begins FROM run WHERE log = ? ORDER BY number")
            .bind(log)
            .fetch_all(db)
            .await?;
    let mut runs = Vec::with_capacity(starts.len());
    for (run, begin) in starts {
        runs.push(RunStart { run: Run::new(run).ok_or(Error::CorruptLog("run"))?, begin });
    }
    Ok((Some(log), Clock { head, runs }))
}

async fn record(db: &mut SqliteConnection, log: i64, run: &Run, begin: i64) -> Result<(), Error> {
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO run (log, number, run, begins)
         SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM run WHERE log = ?1 RETURNING number",
    )
    .bind(log)
    .bind(run.as_str())
    .bind(begin)
    .fetch_one(&mut *db)
    .await?;
    let kept = i64::try_from(RUNS_KEPT).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM run WHERE log = ? AND number <= ?")
        .bind(log)
        .bind(number - kept)
        .execute(db)
        .await?;
    Ok(())
}

/// A row of `entry`: place, tbl, pk, cid, col_version, cl, seq, site_id, val.
type EntryRow = (i64, String, Vec<u8>, String, i64, i64, i64, Vec<u8>, String);

fn change((place, table, pk, cid, col_version, cl, seq, site_id, val): EntryRow) -> Result<Change, Error> {
    Ok(Change {
        table,
        pk: Pk::parse(&pk).ok_or(Error::CorruptLog("pk"))?,
        cid,
        val: serde_json::from_str(&val).map_err(|_| Error::CorruptLog("val"))?,
        col_version,
        db_version: place,
        site_id: SiteId::from_slice(&site_id).ok_or(Error::CorruptLog("site_id"))?,
        cl,
        seq,
    })
}

/// The live entries after `base` that an answer of `budget` bytes can hold, and whether these are all.
async fn entries_after(
    db: &mut SqliteConnection,
    log: Option<i64>,
    base: i64,
    budget: usize,
) -> Result<(Vec<Change>, bool), Error> {
    let mut rows = sqlx::query_as::<_, EntryRow>(
        "SELECT place, tbl, pk, cid, col_version, cl, seq, site_id, val
         FROM entry WHERE log = ? AND place > ? ORDER BY place",
    )
    .bind(log)
    .bind(base)
    .fetch(db);
    let (mut entries, mut size) = (Vec::new(), 0_usize);
    while let Some(row) = rows.try_next().await? {
        if size > budget {
            return Ok((entries, false));
        }
        let entry = change(row)?;
        size = size.saturating_add(entry.wire_size());
        entries.push(entry);
    }
    Ok((entries, true))
}

async fn row_of(db: &mut SqliteConnection, log: Option<i64>, of: &Change) -> Result<Vec<Change>, Error> {
    let rows: Vec<EntryRow> = sqlx::query_as(
        "SELECT place, tbl, pk, cid, col_version, cl, seq, site_id, val
         FROM entry WHERE log = ? AND tbl = ? AND pk = ? ORDER BY place",
    )
    .bind(log)
    .bind(&of.table)
    .bind(of.pk.as_bytes())
    .fetch_all(db)
    .await?;
    rows.into_iter().map(change).collect()
}

/// All entries of the rows that `changes` touch, without their values.
async fn touched(
    db: &mut SqliteConnection,
    log: Option<i64>,
    changes: &[Change],
) -> Result<Vec<Entry>, Error> {
    let Some(log) = log else { return Ok(Vec::new()) };
    let mut seen = HashSet::new();
    let keys: Vec<(&str, &Pk)> = changes
        .iter()
        .map(|change| (change.table.as_str(), &change.pk))
        .filter(|key| seen.insert(*key))
        .collect();
    let mut entries = Vec::new();
    for batch in keys.chunks(BATCH) {
        let mut query = QueryBuilder::<Sqlite>::new("WITH key (tbl, pk) AS (");
        query.push_values(batch, |mut tuple, (table, pk)| {
            tuple.push_bind(*table).push_bind(pk.as_bytes());
        });
        // CROSS JOIN: SQLite keeps this order, one look into the index per key.
        query.push(
            ") SELECT e.place, e.tbl, e.pk, e.cid, e.col_version, e.cl, coalesce(e.digest, e.val)
             FROM key CROSS JOIN entry e ON e.tbl = key.tbl AND e.pk = key.pk AND e.log = ",
        );
        query.push_bind(log).push(" ORDER BY e.place");
        type Row = (i64, String, Vec<u8>, String, i64, i64, String);
        let rows: Vec<Row> = query.build_query_as().fetch_all(&mut *db).await?;
        for (offset, table, pk, cid, col_version, cl, value) in rows {
            let pk = Pk::parse(&pk).ok_or(Error::CorruptLog("pk"))?;
            entries.push(Entry { offset, table, pk, cid, col_version, cl, value });
        }
    }
    Ok(entries)
}

async fn delete(db: &mut SqliteConnection, log: i64, offsets: &[i64]) -> Result<(), Error> {
    for batch in offsets.chunks(BATCH) {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM entry WHERE log = ");
        query.push_bind(log).push(" AND place IN (");
        let mut list = query.separated(", ");
        for offset in batch {
            list.push_bind(*offset);
        }
        list.push_unseparated(")");
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

async fn insert(db: &mut SqliteConnection, log: i64, rows: &[(i64, &Change)]) -> Result<(), Error> {
    for batch in rows.chunks(BATCH) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO entry (log, place, tbl, pk, cid, col_version, cl, seq, site_id, digest, val) ",
        );
        query.push_values(batch, |mut tuple, (offset, change)| {
            let val = super::core::exact(&change.val);
            tuple
                .push_bind(log)
                .push_bind(*offset)
                .push_bind(change.table.as_str())
                .push_bind(change.pk.as_bytes())
                .push_bind(change.cid.as_str())
                .push_bind(change.col_version)
                .push_bind(change.cl)
                .push_bind(change.seq)
                .push_bind(change.site_id.0.to_vec())
                .push_bind(digest(&val))
                .push_bind(val);
        });
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// The name of a value in compaction: its JSON, or the digest of a long one.
fn name(value: &Value) -> String {
    let json = super::core::exact(value);
    digest(&json).unwrap_or(json)
}

/// No JSON text begins like a digest.
fn digest(json: &str) -> Option<String> {
    (json.len() > COMPARED_ITSELF).then(|| format!("#{:x}", Sha256::digest(json)))
}
