//! The SQL of the logs. Each function is one kind of statement inside the caller's transaction; none decides what
//! stays or where an answer ends. Called by `SqliteLog`.

use std::collections::HashSet;

use crsqlite_sync::wire::{Change, Pk, Run, SiteId, Value};
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::error::Error;
use crate::log::core::{Clock, Counter, Entry, RUNS_KEPT, RunStart, Sums, exact};

/// Keys or rows in one statement.
const BATCH: usize = 100;
/// Up to this many bytes of JSON a value is compared itself, beyond it by its digest.
const COMPARED_ITSELF: usize = 64;
/// No JSON text begins like a digest.
const DIGEST: char = '#';

/// The log's row, if the user ever stored anything, and its clock.
pub(super) async fn clock(db: &mut SqliteConnection, user: &str) -> Result<(Option<i64>, Clock), Error> {
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

pub(super) async fn record(db: &mut SqliteConnection, log: i64, run: &Run, begin: i64) -> Result<(), Error> {
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
        val: Value::from_json(&val).map_err(|_| Error::CorruptLog("val"))?,
        col_version,
        db_version: place,
        site_id: SiteId::from_slice(&site_id).ok_or(Error::CorruptLog("site_id"))?,
        cl,
        seq,
    })
}

/// The live entries after `base` that an answer of `budget` bytes can hold, and whether these are all.
pub(super) async fn entries_after(
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

pub(super) async fn row_of(
    db: &mut SqliteConnection,
    log: Option<i64>,
    of: &Change,
) -> Result<Vec<Change>, Error> {
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

/// Adds up all live entries, row by row.
pub(super) async fn count(db: &mut SqliteConnection, log: Option<i64>) -> Result<Sums, Error> {
    type Row = (String, Vec<u8>, String, i64, i64);
    let mut rows = sqlx::query_as::<_, Row>(
        "SELECT tbl, pk, cid, col_version, cl FROM entry WHERE log = ? ORDER BY tbl, pk",
    )
    .bind(log)
    .fetch(db);
    let mut counter = Counter::default();
    while let Some((table, pk, cid, col_version, cl)) = rows.try_next().await? {
        let pk = Pk::parse(&pk).ok_or(Error::CorruptLog("pk"))?;
        counter.add(&table, &pk, &cid, col_version, cl);
    }
    Ok(counter.finish())
}

/// All entries of the rows that `changes` touch, without their values.
pub(super) async fn touched(
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
            let value = known_name(value)?;
            entries.push(Entry { offset, table, pk, cid, col_version, cl, value });
        }
    }
    Ok(entries)
}

pub(super) async fn delete(db: &mut SqliteConnection, log: i64, offsets: &[i64]) -> Result<(), Error> {
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

pub(super) async fn insert(
    db: &mut SqliteConnection,
    log: i64,
    rows: &[(i64, &Change)],
) -> Result<(), Error> {
    for batch in rows.chunks(BATCH) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO entry (log, place, tbl, pk, cid, col_version, cl, seq, site_id, digest, val) ",
        );
        query.push_values(batch, |mut tuple, (offset, change)| {
            let val = exact(&change.val);
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
pub(super) fn name(value: &Value) -> String {
    let json = exact(value);
    digest(&json).unwrap_or(json)
}

/// The name of a stored value. Its JSON may have been written by a version that spells numbers differently.
fn known_name(stored: String) -> Result<String, Error> {
    if stored.starts_with(DIGEST) {
        return Ok(stored);
    }
    Value::from_json(&stored).map(|value| exact(&value)).map_err(|_| Error::CorruptLog("val"))
}

/// Long values are strings and blobs, which have one spelling.
fn digest(json: &str) -> Option<String> {
    (json.len() > COMPARED_ITSELF).then(|| format!("{DIGEST}{:x}", Sha256::digest(json)))
}
