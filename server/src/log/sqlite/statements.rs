//! The statements of the logs in SQLite's words, each inside the caller's transaction. Decides nothing.
//! Ordered by `program`.

use std::collections::HashMap;

use crsqlite_sync::wire::{Change, Pk, Run, SiteId, Value};
use futures_util::TryStreamExt as _;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::error::Error;
use crate::log::core::{
    ACCEPTED_KEPT, Clock, Counter, Entry, Kind, Query, RUNS_KEPT, Record, RunStart, StoredRecord, Sums, exact,
};
use crate::log::names;
use crate::log::transaction::{Found, Taken, Transaction};
use crate::user::Owner;

/// Keys or rows in one statement.
const BATCH: usize = 100;

/// A transaction that somebody else begins and ends.
#[derive(Debug)]
pub(super) struct Statements<'a>(pub(super) &'a mut SqliteConnection);

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

/// A row of `record`: place, `server_timestamp`, id, collection, `record_id`, kind, data, timestamp, `made_at`.
type RecordRow = (i64, i64, String, String, String, String, String, String, i64);

fn stored(row: RecordRow) -> Result<StoredRecord, Error> {
    let (offset, server_timestamp, id, collection, record_id, kind, data, timestamp, made_at) = row;
    let kind = Kind::from_name(&kind).ok_or(Error::CorruptLog("kind"))?;
    let record = Record { id, collection, record_id, kind, data, timestamp, made_at };
    Ok(StoredRecord { offset, server_timestamp, record })
}

/// Ends a query over a log: after a place, of these collections, in order.
fn after(
    select: &'static str,
    column: &'static str,
    log: i64,
    base: i64,
    query: &Query,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(select);
    sql.push(" WHERE log = ").push_bind(log).push(" AND place > ").push_bind(base);
    if let Some(collections) = &query.collections {
        sql.push(" AND ").push(column).push(" IN (");
        let mut list = sql.separated(", ");
        for collection in collections {
            list.push_bind(collection.as_str());
        }
        list.push_unseparated(")");
    }
    sql.push(" ORDER BY place");
    sql
}

impl Transaction for Statements<'_> {
    async fn find(&mut self, owner: &Owner) -> Result<Option<Found>, Error> {
        type Row = (i64, i64, i64, Option<String>, Option<i64>);
        let found: Vec<Row> = sqlx::query_as(
            "SELECT l.id, l.head, l.rows, r.run, r.begins FROM log l LEFT JOIN run r ON r.log = l.id
             WHERE l.namespace = ? AND l.sub = ? ORDER BY r.number",
        )
        .bind(owner.namespace())
        .bind(owner.sub())
        .fetch_all(&mut *self.0)
        .await?;
        let Some(&(id, head, rows, ..)) = found.first() else { return Ok(None) };
        let mut runs = Vec::with_capacity(found.len());
        for (.., run, begins) in found {
            // A log that nobody has written to has none.
            if let (Some(run), Some(begin)) = (run, begins) {
                runs.push(RunStart { run: Run::new(run).ok_or(Error::CorruptLog("run"))?, begin });
            }
        }
        Ok(Some(Found { id, clock: Clock { head, runs }, rows }))
    }

    /// The database has one writer at a time.
    async fn enter(&mut self, owner: &Owner) -> Result<Found, Error> {
        if let Some(found) = self.find(owner).await? {
            return Ok(found);
        }
        let id = sqlx::query_scalar(
            "INSERT INTO log (namespace, sub, head, rows) VALUES (?, ?, 0, 0) RETURNING id",
        )
        .bind(owner.namespace())
        .bind(owner.sub())
        .fetch_one(&mut *self.0)
        .await?;
        Ok(Found { id, clock: Clock::default(), rows: 0 })
    }

    /// The file is read and written by this server alone.
    async fn run(&mut self, own: &Run) -> Result<Run, Error> {
        Ok(own.clone())
    }

    async fn begin_run(&mut self, log: i64, run: &Run, begin: i64) -> Result<(), Error> {
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO run (log, number, run, begins)
             SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM run WHERE log = ?1 RETURNING number",
        )
        .bind(log)
        .bind(run.as_str())
        .bind(begin)
        .fetch_one(&mut *self.0)
        .await?;
        let kept = i64::try_from(RUNS_KEPT).unwrap_or(i64::MAX);
        sqlx::query("DELETE FROM run WHERE log = ? AND number <= ?")
            .bind(log)
            .bind(number - kept)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn set_head(&mut self, log: i64, head: i64, rows: i64) -> Result<(), Error> {
        sqlx::query("UPDATE log SET head = ?, rows = ? WHERE id = ?")
            .bind(head)
            .bind(rows)
            .bind(log)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn touched(
        &mut self,
        log: i64,
        rows: &[(&str, &Pk)],
        most: usize,
    ) -> Result<Option<Vec<Entry>>, Error> {
        let mut entries = Vec::new();
        for batch in rows.chunks(BATCH) {
            let mut query = QueryBuilder::<Sqlite>::new("WITH key (tbl, pk) AS (");
            query.push_values(batch, |mut tuple, (table, pk)| {
                tuple.push_bind(*table).push_bind(pk.as_bytes());
            });
            // CROSS JOIN: SQLite keeps this order, one look into the index per key.
            query.push(
                ") SELECT e.place, e.tbl, e.pk, e.cid, e.col_version, e.cl, coalesce(e.digest, e.val),
                        octet_length(e.val)
                 FROM key CROSS JOIN entry e ON e.tbl = key.tbl AND e.pk = key.pk AND e.log = ",
            );
            query.push_bind(log);
            type Row = (i64, String, Vec<u8>, String, i64, i64, String, i64);
            let mut rows = query.build_query_as::<Row>().fetch(&mut *self.0);
            while let Some((offset, table, pk, cid, col_version, cl, value, size)) = rows.try_next().await? {
                if entries.len() >= most {
                    return Ok(None);
                }
                let pk = Pk::parse(&pk).ok_or(Error::CorruptLog("pk"))?;
                let value = names::of_stored(value)?;
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                entries.push(Entry { offset, table, pk, cid, col_version, cl, value, size });
            }
        }
        Ok(Some(entries))
    }

    async fn delete(&mut self, log: i64, offsets: &[i64]) -> Result<(), Error> {
        for batch in offsets.chunks(BATCH) {
            let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM entry WHERE log = ");
            query.push_bind(log).push(" AND place IN (");
            let mut list = query.separated(", ");
            for offset in batch {
                list.push_bind(*offset);
            }
            list.push_unseparated(")");
            query.build().execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn insert(&mut self, log: i64, rows: &[(i64, &Change)]) -> Result<(), Error> {
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
                    .push_bind(names::digest(&val))
                    .push_bind(val);
            });
            query.build().execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn entries_after(
        &mut self,
        log: i64,
        base: i64,
        query: &Query,
    ) -> Result<(Vec<Change>, bool), Error> {
        let select = "SELECT place, tbl, pk, cid, col_version, cl, seq, site_id, val FROM entry";
        let mut sql = after(select, "tbl", log, base, query);
        let mut rows = sql.build_query_as::<EntryRow>().fetch(&mut *self.0);
        let mut taken = Taken::new(query);
        while let Some(row) = rows.try_next().await? {
            if taken.is_full() {
                return Ok((taken.items, false));
            }
            let entry = change(row)?;
            let size = entry.wire_size();
            taken.push(entry, size);
        }
        Ok((taken.items, true))
    }

    async fn row_of(&mut self, log: i64, of: &Change) -> Result<Vec<Change>, Error> {
        let rows: Vec<EntryRow> = sqlx::query_as(
            "SELECT place, tbl, pk, cid, col_version, cl, seq, site_id, val
             FROM entry WHERE log = ? AND tbl = ? AND pk = ? ORDER BY place",
        )
        .bind(log)
        .bind(&of.table)
        .bind(of.pk.as_bytes())
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(change).collect()
    }

    async fn count(&mut self, log: i64) -> Result<Sums, Error> {
        type Row = (String, Vec<u8>, String, i64, i64);
        let mut rows = sqlx::query_as::<_, Row>(
            "SELECT tbl, pk, cid, col_version, cl FROM entry WHERE log = ? ORDER BY tbl, pk",
        )
        .bind(log)
        .fetch(&mut *self.0);
        let mut counter = Counter::default();
        while let Some((table, pk, cid, col_version, cl)) = rows.try_next().await? {
            let pk = Pk::parse(&pk).ok_or(Error::CorruptLog("pk"))?;
            counter.add(&table, &pk, &cid, col_version, cl);
        }
        Ok(counter.finish())
    }

    async fn accepted(&mut self, log: i64, ids: &[&str]) -> Result<HashMap<String, i64>, Error> {
        let mut accepted = HashMap::new();
        for batch in ids.chunks(BATCH) {
            let mut query =
                QueryBuilder::<Sqlite>::new("SELECT id, server_timestamp FROM accepted WHERE log = ");
            query.push_bind(log).push(" AND id IN (");
            let mut list = query.separated(", ");
            for id in batch {
                list.push_bind(*id);
            }
            list.push_unseparated(")");
            let rows: Vec<(String, i64)> = query.build_query_as().fetch_all(&mut *self.0).await?;
            accepted.extend(rows);
        }
        Ok(accepted)
    }

    async fn accept(&mut self, log: i64, ids: &[(i64, &str, i64)]) -> Result<(), Error> {
        for batch in ids.chunks(BATCH) {
            let mut query =
                QueryBuilder::<Sqlite>::new("INSERT INTO accepted (log, place, id, server_timestamp) ");
            query.push_values(batch, |mut tuple, (offset, id, at)| {
                tuple.push_bind(log).push_bind(*offset).push_bind(*id).push_bind(*at);
            });
            query.build().execute(&mut *self.0).await?;
        }
        sqlx::query(
            "DELETE FROM accepted WHERE log = ?1 AND place <=
             (SELECT place FROM accepted WHERE log = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(log)
        .bind(ACCEPTED_KEPT)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn newest(&mut self, log: i64, about: &[(&str, &str)]) -> Result<Vec<StoredRecord>, Error> {
        let mut newest = Vec::new();
        for batch in about.chunks(BATCH) {
            let mut query = QueryBuilder::<Sqlite>::new("WITH thing (collection, record_id) AS (");
            query.push_values(batch, |mut tuple, (collection, record_id)| {
                tuple.push_bind(*collection).push_bind(*record_id);
            });
            query.push(
                ") SELECT r.place, r.server_timestamp, r.id, r.collection, r.record_id, r.kind, r.data,
                          r.timestamp, r.made_at
                 FROM thing CROSS JOIN record r ON r.collection = thing.collection
                  AND r.record_id = thing.record_id AND r.log = ",
            );
            query.push_bind(log);
            let rows: Vec<RecordRow> = query.build_query_as().fetch_all(&mut *self.0).await?;
            for row in rows {
                newest.push(stored(row)?);
            }
        }
        Ok(newest)
    }

    async fn put(&mut self, log: i64, records: &[StoredRecord]) -> Result<(), Error> {
        for batch in records.chunks(BATCH) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO record (log, place, server_timestamp, id, collection, record_id, kind, data,
                                     timestamp, made_at) ",
            );
            query.push_values(batch, |mut tuple, stored| {
                let record = &stored.record;
                tuple
                    .push_bind(log)
                    .push_bind(stored.offset)
                    .push_bind(stored.server_timestamp)
                    .push_bind(record.id.as_str())
                    .push_bind(record.collection.as_str())
                    .push_bind(record.record_id.as_str())
                    .push_bind(record.kind.as_str())
                    .push_bind(record.data.as_str())
                    .push_bind(record.timestamp.as_str())
                    .push_bind(record.made_at);
            });
            query.push(
                " ON CONFLICT (log, collection, record_id) DO UPDATE SET place = excluded.place,
                  server_timestamp = excluded.server_timestamp, id = excluded.id, kind = excluded.kind,
                  data = excluded.data, timestamp = excluded.timestamp, made_at = excluded.made_at",
            );
            query.build().execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn records_after(
        &mut self,
        log: i64,
        base: i64,
        query: &Query,
    ) -> Result<(Vec<StoredRecord>, bool), Error> {
        let select =
            "SELECT place, server_timestamp, id, collection, record_id, kind, data, timestamp, made_at
                      FROM record";
        let mut sql = after(select, "collection", log, base, query);
        let mut rows = sql.build_query_as::<RecordRow>().fetch(&mut *self.0);
        let mut taken = Taken::new(query);
        while let Some(row) = rows.try_next().await? {
            if taken.is_full() {
                return Ok((taken.items, false));
            }
            let stored = stored(row)?;
            let size = stored.record.wire_size();
            taken.push(stored, size);
        }
        Ok((taken.items, true))
    }
}
