//! The statements of the logs in PostgreSQL's words, each inside the caller's transaction. Decides nothing.
//! Ordered by `program`.

use std::collections::HashMap;

use crsqlite_sync::wire::{Change, Pk, Run, SiteId, Value};
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use crate::error::Error;
use crate::log::core::{
    ACCEPTED_KEPT, Clock, Counter, Entry, Kind, Query, RUNS_KEPT, Record, RunStart, StoredRecord, Sums, exact,
};
use crate::log::names;
use crate::log::transaction::{Found, Taken, Transaction};
use crate::user::{Owner, OwnerDigest};

/// Keys or rows in one statement.
const BATCH: usize = 1_000;
/// So many rows at once, unless they are large, are read for an answer.
const CHUNK: i64 = 1_000;
/// Half a digest is enough where the names are compared, too.
const KEY_BYTES: usize = 16;

/// Tells this start of the database, and this storage of the logs, from others: the numbers of the database and of the
/// table's file change when a backup takes their place.
macro_rules! database_start {
    () => {
        "concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
                   (SELECT oid FROM pg_database WHERE datname = current_database()),
                   pg_relation_filenode('crsqlite_relay.log'))"
    };
}

/// Which start of the database this is.
pub(super) async fn start(db: &mut PgConnection) -> Result<String, Error> {
    Ok(sqlx::query_scalar(concat!("SELECT ", database_start!())).fetch_one(db).await?)
}

/// A transaction that somebody else begins and ends.
#[derive(Debug)]
pub(super) struct Statements<'a> {
    db: &'a mut PgConnection,
    /// The start that this server has seen first.
    opened: &'a str,
    /// The one that is written to: known once a log was entered.
    start: String,
    /// What the other servers are to be told.
    pub(super) untold: Option<Untold>,
}

/// A row of `untold`.
#[derive(Debug)]
pub(super) struct Untold {
    pub(super) id: i64,
    pub(super) owner: OwnerDigest,
}

impl<'a> Statements<'a> {
    pub(super) fn new(db: &'a mut PgConnection, opened: &'a str) -> Self {
        Statements { db, opened, start: String::new(), untold: None }
    }

    async fn runs(&mut self, log: i64) -> Result<Vec<RunStart>, Error> {
        let starts: Vec<(String, i64)> =
            sqlx::query_as("SELECT run, begins FROM crsqlite_relay.run WHERE log = $1 ORDER BY number")
                .bind(log)
                .fetch_all(&mut *self.db)
                .await?;
        let read = |(run, begin): (String, i64)| {
            Ok(RunStart { run: Run::new(run).ok_or(Error::CorruptLog("run"))?, begin })
        };
        starts.into_iter().map(read).collect()
    }
}

/// A digest of names, none of which runs into the next.
fn digest(names: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for name in names {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
    }
    digest.finalize().into()
}

fn key_of_row(table: &str, pk: &Pk) -> Vec<u8> {
    digest(&[table.as_bytes(), pk.as_bytes()]).into_iter().take(KEY_BYTES).collect()
}

fn key_of_record(collection: &str, record_id: &str) -> [u8; 32] {
    digest(&[collection.as_bytes(), record_id.as_bytes()])
}

pub(super) fn text(bytes: Vec<u8>, what: &'static str) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::CorruptLog(what))
}

/// A row of `entry`: place, tbl, pk, cid, col_version, cl, seq, site_id, val.
type EntryRow = (i64, Vec<u8>, Vec<u8>, Vec<u8>, i64, i64, i64, Vec<u8>, Vec<u8>);

/// Before it, the bytes of the rows up to this one.
type SizedEntryRow = (i64, i64, Vec<u8>, Vec<u8>, Vec<u8>, i64, i64, i64, Vec<u8>, Vec<u8>);

fn change((place, table, pk, cid, col_version, cl, seq, site_id, val): EntryRow) -> Result<Change, Error> {
    Ok(Change {
        table: text(table, "tbl")?,
        pk: Pk::parse(&pk).ok_or(Error::CorruptLog("pk"))?,
        cid: text(cid, "cid")?,
        val: Value::from_json(&text(val, "val")?).map_err(|_| Error::CorruptLog("val"))?,
        col_version,
        db_version: place,
        site_id: SiteId::from_slice(&site_id).ok_or(Error::CorruptLog("site_id"))?,
        cl,
        seq,
    })
}

/// A row of `record`: place, server_timestamp, id, collection, record_id, kind, data, timestamp, made_at.
type RecordRow = (i64, i64, Vec<u8>, Vec<u8>, Vec<u8>, String, Vec<u8>, Vec<u8>, i64);

/// Before it, the bytes of the records up to this one.
type SizedRecordRow = (i64, i64, i64, Vec<u8>, Vec<u8>, Vec<u8>, String, Vec<u8>, Vec<u8>, i64);

fn stored(row: RecordRow) -> Result<StoredRecord, Error> {
    let (offset, server_timestamp, id, collection, record_id, kind, data, timestamp, made_at) = row;
    let record = Record {
        id: text(id, "id")?,
        collection: text(collection, "collection")?,
        record_id: text(record_id, "record_id")?,
        kind: Kind::from_name(&kind).ok_or(Error::CorruptLog("kind"))?,
        data: text(data, "data")?,
        timestamp: text(timestamp, "timestamp")?,
        made_at,
    };
    Ok(StoredRecord { offset, server_timestamp, record })
}

/// Bytes of a list of names.
fn bytes<T: AsRef<[u8]>>(of: impl IntoIterator<Item = T>) -> Vec<Vec<u8>> {
    of.into_iter().map(|name| name.as_ref().to_vec()).collect()
}

/// The names of collections, as a statement takes them; no list for all.
fn wanted(query: &Query) -> Option<Vec<Vec<u8>>> {
    query.collections.as_ref().map(bytes)
}

/// What a list has room for, as a number of the database.
fn room(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

impl Transaction for Statements<'_> {
    async fn find(&mut self, owner: &Owner) -> Result<Option<Found>, Error> {
        let found: Option<(i64, i64, i64)> =
            sqlx::query_as("SELECT id, head, rows FROM crsqlite_relay.log WHERE name = $1")
                .bind(owner.digest().0)
                .fetch_optional(&mut *self.db)
                .await?;
        match found {
            Some((id, head, rows)) => {
                Ok(Some(Found { id, clock: Clock { head, runs: self.runs(id).await? }, rows }))
            }
            None => Ok(None),
        }
    }

    /// The lock of the log's row is held until the end: whoever comes next reads what this transaction has written.
    async fn enter(&mut self, owner: &Owner) -> Result<Found, Error> {
        let name = owner.digest().0;
        loop {
            let found: Option<(i64, i64, i64, String)> = sqlx::query_as(concat!(
                "SELECT id, head, rows, ",
                database_start!(),
                " FROM crsqlite_relay.log WHERE name = $1 FOR NO KEY UPDATE",
            ))
            .bind(name)
            .fetch_optional(&mut *self.db)
            .await?;
            if let Some((id, head, rows, start)) = found {
                self.start = start;
                return Ok(Found { id, clock: Clock { head, runs: self.runs(id).await? }, rows });
            }
            // Somebody else may make it at the same moment.
            sqlx::query(
                "INSERT INTO crsqlite_relay.log (name, namespace, sub, head, rows) VALUES ($1, $2, $3, 0, 0)
                 ON CONFLICT (name) DO NOTHING",
            )
            .bind(name)
            .bind(owner.namespace().as_bytes())
            .bind(owner.sub().as_bytes())
            .execute(&mut *self.db)
            .await?;
        }
    }

    /// Another one where the database has started anew: commits may be missing that were acknowledged (a replica has taken
    /// over, a backup was restored) although no relay has started anew, and their offsets are given to other rows.
    async fn run(&mut self, own: &Run) -> Result<Run, Error> {
        if self.start == self.opened {
            return Ok(own.clone());
        }
        let digest = digest(&[own.as_str().as_bytes(), self.start.as_bytes()]);
        let (bits, _) = digest.split_first_chunk::<8>().ok_or(Error::CorruptLog("run"))?;
        Ok(Run::from_random(u64::from_be_bytes(*bits)))
    }

    async fn begin_run(&mut self, log: i64, run: &Run, begin: i64) -> Result<(), Error> {
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO crsqlite_relay.run (log, number, run, begins)
             SELECT $1, coalesce(max(number), 0) + 1, $2, $3 FROM crsqlite_relay.run WHERE log = $1
             RETURNING number",
        )
        .bind(log)
        .bind(run.as_str())
        .bind(begin)
        .fetch_one(&mut *self.db)
        .await?;
        sqlx::query("DELETE FROM crsqlite_relay.run WHERE log = $1 AND number <= $2")
            .bind(log)
            .bind(number - room(RUNS_KEPT))
            .execute(&mut *self.db)
            .await?;
        Ok(())
    }

    async fn set_head(&mut self, log: i64, head: i64, rows: i64) -> Result<(), Error> {
        let (id, name): (i64, Vec<u8>) = sqlx::query_as(
            "WITH log AS (UPDATE crsqlite_relay.log SET head = $2, rows = $3 WHERE id = $1 RETURNING name)
             INSERT INTO crsqlite_relay.untold (name) SELECT name FROM log RETURNING id, name",
        )
        .bind(log)
        .bind(head)
        .bind(rows)
        .fetch_one(&mut *self.db)
        .await?;
        let owner = OwnerDigest::from_slice(&name).ok_or(Error::CorruptLog("name"))?;
        self.untold = Some(Untold { id, owner });
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
            type Row = (i64, Vec<u8>, Vec<u8>, Vec<u8>, i64, i64, Option<String>, Option<Vec<u8>>, i32);
            // LATERAL with OFFSET: one look into the index per row, whatever the planner thinks of the list.
            let found: Vec<Row> = sqlx::query_as(
                "SELECT e.place, e.tbl, e.pk, e.cid, e.col_version, e.cl, e.digest,
                        CASE WHEN e.digest IS NULL THEN e.val END, octet_length(e.val)
                 FROM unnest($2::bytea[], $3::bytea[], $4::bytea[]) AS wanted (key, tbl, pk) CROSS JOIN LATERAL
                      (SELECT * FROM crsqlite_relay.entry WHERE log = $1 AND key = wanted.key OFFSET 0) e
                 WHERE e.tbl = wanted.tbl AND e.pk = wanted.pk LIMIT $5",
            )
            .bind(log)
            .bind(batch.iter().map(|(table, pk)| key_of_row(table, pk)).collect::<Vec<_>>())
            .bind(bytes(batch.iter().map(|(table, _)| table)))
            .bind(bytes(batch.iter().map(|(_, pk)| pk.as_bytes())))
            .bind(room(most.saturating_sub(entries.len()).saturating_add(1)))
            .fetch_all(&mut *self.db)
            .await?;
            for (offset, table, pk, cid, col_version, cl, digest, val, size) in found {
                let value = match (digest, val) {
                    (Some(digest), _) => digest,
                    (None, val) => names::of_stored(text(val.unwrap_or_default(), "val")?)?,
                };
                let (table, cid) = (text(table, "tbl")?, text(cid, "cid")?);
                let pk = Pk::parse(&pk).ok_or(Error::CorruptLog("pk"))?;
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                entries.push(Entry { offset, table, pk, cid, col_version, cl, value, size });
            }
            if entries.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(entries))
    }

    async fn delete(&mut self, log: i64, offsets: &[i64]) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        sqlx::query("DELETE FROM crsqlite_relay.entry WHERE log = $1 AND place = ANY($2)")
            .bind(log)
            .bind(offsets)
            .execute(&mut *self.db)
            .await?;
        Ok(())
    }

    async fn insert(&mut self, log: i64, rows: &[(i64, &Change)]) -> Result<(), Error> {
        for batch in rows.chunks(BATCH) {
            let vals: Vec<String> = batch.iter().map(|(_, change)| exact(&change.val)).collect();
            let all = || batch.iter().map(|(_, change)| *change);
            sqlx::query(
                "INSERT INTO crsqlite_relay.entry
                        (log, place, col_version, cl, seq, key, site_id, tbl, pk, cid, digest, val)
                 SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[],
                        $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::text[], $12::bytea[])",
            )
            .bind(log)
            .bind(batch.iter().map(|(offset, _)| *offset).collect::<Vec<_>>())
            .bind(all().map(|change| change.col_version).collect::<Vec<_>>())
            .bind(all().map(|change| change.cl).collect::<Vec<_>>())
            .bind(all().map(|change| change.seq).collect::<Vec<_>>())
            .bind(all().map(|change| key_of_row(&change.table, &change.pk)).collect::<Vec<_>>())
            .bind(bytes(all().map(|change| change.site_id.0)))
            .bind(bytes(all().map(|change| &change.table)))
            .bind(bytes(all().map(|change| change.pk.as_bytes())))
            .bind(bytes(all().map(|change| &change.cid)))
            .bind(vals.iter().map(|val| names::digest(val)).collect::<Vec<_>>())
            .bind(bytes(&vals))
            .execute(&mut *self.db)
            .await?;
        }
        Ok(())
    }

    async fn entries_after(
        &mut self,
        log: i64,
        base: i64,
        query: &Query,
    ) -> Result<(Vec<Change>, bool), Error> {
        let (collections, mut taken, mut after) = (wanted(query), Taken::new(query), base);
        loop {
            let left = room(taken.left());
            let mut chunk = sqlx::query_as::<_, SizedEntryRow>(
                "SELECT upto, place, tbl, pk, cid, col_version, cl, seq, site_id, val FROM
                  (SELECT *, sum(size) OVER (ORDER BY place) AS upto FROM
                    (SELECT *, octet_length(tbl) + octet_length(pk) + octet_length(cid) + octet_length(val) AS size
                     FROM crsqlite_relay.entry WHERE log = $1 AND place > $2 AND ($3::bytea[] IS NULL OR tbl = ANY($3))
                     ORDER BY place LIMIT $4) entry) sized
                 WHERE upto - size <= $5 ORDER BY place",
            )
            .bind(log)
            .bind(after)
            .bind(&collections)
            .bind(CHUNK)
            .bind(left)
            .fetch(&mut *self.db);
            let (mut count, mut sum) = (0, 0);
            while let Some((upto, place, table, pk, cid, col_version, cl, seq, site_id, val)) =
                chunk.try_next().await?
            {
                (count, sum, after) = (count + 1, upto, place);
                if taken.is_full() {
                    return Ok((taken.items, false));
                }
                let entry = change((place, table, pk, cid, col_version, cl, seq, site_id, val))?;
                let size = entry.wire_size();
                taken.push(entry, size);
            }
            if count < CHUNK && sum <= left {
                return Ok((taken.items, true));
            }
        }
    }

    async fn row_of(&mut self, log: i64, of: &Change) -> Result<Vec<Change>, Error> {
        let rows: Vec<EntryRow> = sqlx::query_as(
            "SELECT place, tbl, pk, cid, col_version, cl, seq, site_id, val FROM crsqlite_relay.entry
             WHERE log = $1 AND key = $2 AND tbl = $3 AND pk = $4 ORDER BY place",
        )
        .bind(log)
        .bind(key_of_row(&of.table, &of.pk))
        .bind(of.table.as_bytes())
        .bind(of.pk.as_bytes())
        .fetch_all(&mut *self.db)
        .await?;
        rows.into_iter().map(change).collect()
    }

    async fn count(&mut self, log: i64) -> Result<Sums, Error> {
        type Row = (Vec<u8>, Vec<u8>, Vec<u8>, i64, i64);
        let mut rows = sqlx::query_as::<_, Row>(
            "SELECT tbl, pk, cid, col_version, cl FROM crsqlite_relay.entry WHERE log = $1 ORDER BY key, tbl, pk",
        )
        .bind(log)
        .fetch(&mut *self.db);
        let mut counter = Counter::default();
        while let Some((table, pk, cid, col_version, cl)) = rows.try_next().await? {
            let pk = Pk::parse(&pk).ok_or(Error::CorruptLog("pk"))?;
            counter.add(&text(table, "tbl")?, &pk, &text(cid, "cid")?, col_version, cl);
        }
        Ok(counter.finish())
    }

    async fn accepted(&mut self, log: i64, ids: &[&str]) -> Result<HashMap<String, i64>, Error> {
        let mut names: HashMap<Vec<u8>, &str> =
            ids.iter().map(|id| (digest(&[id.as_bytes()]).to_vec(), *id)).collect();
        let found: Vec<(Vec<u8>, i64)> = sqlx::query_as(
            "SELECT key, server_timestamp FROM crsqlite_relay.accepted WHERE log = $1 AND key = ANY($2)",
        )
        .bind(log)
        .bind(names.keys().cloned().collect::<Vec<_>>())
        .fetch_all(&mut *self.db)
        .await?;
        Ok(found.into_iter().filter_map(|(key, at)| Some((names.remove(&key)?.to_owned(), at))).collect())
    }

    async fn accept(&mut self, log: i64, ids: &[(i64, &str, i64)]) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO crsqlite_relay.accepted (log, place, key, server_timestamp)
             SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::bigint[])",
        )
        .bind(log)
        .bind(ids.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>())
        .bind(bytes(ids.iter().map(|(_, id, _)| digest(&[id.as_bytes()]))))
        .bind(ids.iter().map(|(.., at)| *at).collect::<Vec<_>>())
        .execute(&mut *self.db)
        .await?;
        sqlx::query(
            "DELETE FROM crsqlite_relay.accepted WHERE log = $1 AND place <=
             (SELECT place FROM crsqlite_relay.accepted WHERE log = $1 ORDER BY place DESC LIMIT 1 OFFSET $2)",
        )
        .bind(log)
        .bind(ACCEPTED_KEPT)
        .execute(&mut *self.db)
        .await?;
        Ok(())
    }

    async fn newest(&mut self, log: i64, about: &[(&str, &str)]) -> Result<Vec<StoredRecord>, Error> {
        let keys = about.iter().map(|(collection, record_id)| key_of_record(collection, record_id));
        let rows: Vec<RecordRow> = sqlx::query_as(
            "SELECT place, server_timestamp, id, collection, record_id, kind, data, timestamp, made_at
             FROM crsqlite_relay.record WHERE log = $1 AND key = ANY($2)",
        )
        .bind(log)
        .bind(bytes(keys))
        .fetch_all(&mut *self.db)
        .await?;
        rows.into_iter().map(stored).collect()
    }

    async fn put(&mut self, log: i64, records: &[StoredRecord]) -> Result<(), Error> {
        for batch in records.chunks(BATCH) {
            let all = || batch.iter().map(|stored| &stored.record);
            let keys = all().map(|record| key_of_record(&record.collection, &record.record_id));
            sqlx::query(
                "INSERT INTO crsqlite_relay.record (log, place, server_timestamp, made_at, key, id, collection,
                                                    record_id, kind, data, timestamp)
                 SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[],
                                          $7::bytea[], $8::bytea[], $9::text[], $10::bytea[], $11::bytea[])
                 ON CONFLICT (log, key) DO UPDATE SET place = excluded.place,
                  server_timestamp = excluded.server_timestamp, made_at = excluded.made_at, id = excluded.id,
                  kind = excluded.kind, data = excluded.data, timestamp = excluded.timestamp",
            )
            .bind(log)
            .bind(batch.iter().map(|stored| stored.offset).collect::<Vec<_>>())
            .bind(batch.iter().map(|stored| stored.server_timestamp).collect::<Vec<_>>())
            .bind(all().map(|record| record.made_at).collect::<Vec<_>>())
            .bind(bytes(keys))
            .bind(bytes(all().map(|record| &record.id)))
            .bind(bytes(all().map(|record| &record.collection)))
            .bind(bytes(all().map(|record| &record.record_id)))
            .bind(all().map(|record| record.kind.as_str()).collect::<Vec<_>>())
            .bind(bytes(all().map(|record| &record.data)))
            .bind(bytes(all().map(|record| &record.timestamp)))
            .execute(&mut *self.db)
            .await?;
        }
        Ok(())
    }

    async fn records_after(
        &mut self,
        log: i64,
        base: i64,
        query: &Query,
    ) -> Result<(Vec<StoredRecord>, bool), Error> {
        let (collections, mut taken, mut after) = (wanted(query), Taken::new(query), base);
        loop {
            let left = room(taken.left());
            let mut chunk = sqlx::query_as::<_, SizedRecordRow>(
                "SELECT upto, place, server_timestamp, id, collection, record_id, kind, data, timestamp, made_at FROM
                  (SELECT *, sum(size) OVER (ORDER BY place) AS upto FROM
                    (SELECT *, octet_length(id) + octet_length(collection) + octet_length(record_id)
                               + octet_length(data) AS size
                     FROM crsqlite_relay.record
                     WHERE log = $1 AND place > $2 AND ($3::bytea[] IS NULL OR collection = ANY($3))
                     ORDER BY place LIMIT $4) record) sized
                 WHERE upto - size <= $5 ORDER BY place",
            )
            .bind(log)
            .bind(after)
            .bind(&collections)
            .bind(CHUNK)
            .bind(left)
            .fetch(&mut *self.db);
            let (mut count, mut sum) = (0, 0);
            while let Some(row) = chunk.try_next().await? {
                let (upto, place, at, id, collection, record_id, kind, data, timestamp, made_at) = row;
                (count, sum, after) = (count + 1, upto, place);
                if taken.is_full() {
                    return Ok((taken.items, false));
                }
                let stored = stored((place, at, id, collection, record_id, kind, data, timestamp, made_at))?;
                let size = stored.record.wire_size();
                taken.push(stored, size);
            }
            if count < CHUNK && sum <= left {
                return Ok((taken.items, true));
            }
        }
    }
}
