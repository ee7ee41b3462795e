//! The logs in PostgreSQL, only to look at them, in one snapshot. Decides nothing: a schema of another format is refused,
//! not changed, and none is made. Opened by the command `inspect`.

use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Postgres, Transaction};

use super::statements::{Statements, text};
use super::{CONNECT_DEADLINE, format};
use crate::error::Error;
use crate::log::core::{Clock, Feed, Query, Start};
use crate::log::transaction::Transaction as _;
use crate::log::view::{Held, Holding, Size, View};
use crate::log::{Answer, program};
use crate::user::Owner;

/// The logs of one database. Keeps PostgreSQL from tidying up as long as it lives.
#[derive(Debug)]
pub struct PostgresView(Transaction<'static, Postgres>);

impl PostgresView {
    /// # Errors
    /// When the database does not answer, or holds no logs of this format.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("crsqlite-relay inspect");
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_DEADLINE);
        let pool = pool.connect_with(options).await?;
        let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        format::check(&mut tx).await?;
        Ok(PostgresView(tx))
    }

    /// It only reads, so that no start of the database has to be named.
    fn statements(&mut self) -> Statements<'_> {
        Statements::new(&mut self.0, "")
    }

    async fn read_largest(&mut self, most: u32) -> Result<(Vec<Size>, i64), Error> {
        let count =
            sqlx::query_scalar("SELECT count(*) FROM crsqlite_relay.log").fetch_one(&mut *self.0).await?;
        type Row = (Vec<u8>, Vec<u8>, i64, i64, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT namespace, sub, head, rows,
               (SELECT coalesce(sum(octet_length(tbl) + octet_length(pk) + octet_length(cid) + octet_length(val)), 0)
                FROM crsqlite_relay.entry WHERE entry.log = log.id)
               + (SELECT coalesce(sum(octet_length(collection) + octet_length(record_id) + octet_length(data)), 0)
                  FROM crsqlite_relay.record WHERE record.log = log.id) AS bytes
             FROM crsqlite_relay.log ORDER BY bytes DESC, namespace, sub LIMIT $1",
        )
        .bind(i64::from(most))
        .fetch_all(&mut *self.0)
        .await?;
        let sizes = rows.into_iter().map(|(namespace, sub, head, rows, bytes)| {
            let (namespace, sub) = (text(namespace, "namespace")?, text(sub, "sub")?);
            let owner = Owner::within(&namespace, &sub).ok_or(Error::CorruptLog("namespace"))?;
            Ok(Size { owner, head, rows, bytes })
        });
        Ok((sizes.collect::<Result<_, Error>>()?, count))
    }

    async fn read_held(&mut self, owner: &Owner) -> Result<Vec<Held>, Error> {
        let Some(found) = self.statements().find(owner).await? else { return Ok(Vec::new()) };
        type Row = (bool, Vec<u8>, i64, i64, i64, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT false, tbl, count(DISTINCT pk) FILTER (WHERE cl % 2 = 1),
               count(DISTINCT pk) FILTER (WHERE cl % 2 = 0), count(*),
               sum(octet_length(tbl) + octet_length(pk) + octet_length(cid) + octet_length(val))
             FROM crsqlite_relay.entry WHERE log = $1 GROUP BY tbl
             UNION ALL
             SELECT true, collection, count(*) FILTER (WHERE kind <> 'delete'),
               count(*) FILTER (WHERE kind = 'delete'), count(*),
               sum(octet_length(collection) + octet_length(record_id) + octet_length(data))
             FROM crsqlite_relay.record WHERE log = $1 GROUP BY collection
             ORDER BY 1, 2",
        )
        .bind(found.id)
        .fetch_all(&mut *self.0)
        .await?;
        let held = rows.into_iter().map(|(records, name, living, deleted, entries, bytes)| {
            let of = if records { Holding::Records } else { Holding::Rows };
            Ok(Held { of, name: text(name, "name")?, living, deleted, entries, bytes })
        });
        held.collect()
    }

    async fn read_log_secret(&mut self) -> Result<Vec<u8>, Error> {
        let found = sqlx::query_scalar("SELECT value FROM crsqlite_relay.secret WHERE name = 'log'");
        Ok(found.fetch_optional(&mut *self.0).await?.unwrap_or_default())
    }
}

impl View for PostgresView {
    fn largest(&mut self, most: u32) -> Answer<'_, (Vec<Size>, i64)> {
        Box::pin(self.read_largest(most))
    }

    fn clock<'a>(&'a mut self, owner: &'a Owner) -> Answer<'a, Clock> {
        Box::pin(async { program::clock(&mut self.statements(), owner).await })
    }

    fn held<'a>(&'a mut self, owner: &'a Owner) -> Answer<'a, Vec<Held>> {
        Box::pin(self.read_held(owner))
    }

    fn feed<'a>(&'a mut self, owner: &'a Owner, start: &'a Start, query: &'a Query) -> Answer<'a, Feed> {
        Box::pin(async { program::feed(&mut self.statements(), owner, start, query).await })
    }

    fn log_secret(&mut self) -> Answer<'_, Vec<u8>> {
        Box::pin(self.read_log_secret())
    }
}
