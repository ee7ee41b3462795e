//! The database file, only to look at it. Decides nothing: a file of another format is refused, not changed, and none is
//! made. Opened by the command `inspect`.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Sqlite, Transaction};

use super::format;
use super::statements::Statements;
use crate::error::Error;
use crate::log::core::{Clock, Feed, Query, Start};
use crate::log::transaction::Transaction as _;
use crate::log::view::{Held, Holding, Size, View};
use crate::log::{Answer, program};
use crate::user::Owner;

/// The logs of one file. Keeps the relay's write-ahead log from shrinking as long as it lives.
#[derive(Debug)]
pub struct SqliteView(Transaction<'static, Sqlite>);

impl SqliteView {
    /// # Errors
    /// When there is no such file, or it is not a relay's of this format.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let options =
            SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(5));
        let file = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        // The first read makes the moment.
        let mut tx = file.begin().await?;
        format::check(&mut tx, path).await?;
        Ok(SqliteView(tx))
    }

    async fn read_largest(&mut self, most: u32) -> Result<(Vec<Size>, i64), Error> {
        let count = sqlx::query_scalar("SELECT count(*) FROM log").fetch_one(&mut *self.0).await?;
        let rows: Vec<(String, String, i64, i64, i64)> = sqlx::query_as(
            "SELECT namespace, sub, head, rows,
               (SELECT coalesce(sum(octet_length(tbl) + octet_length(pk) + octet_length(cid) + octet_length(val)), 0)
                FROM entry WHERE entry.log = log.id)
               + (SELECT coalesce(sum(octet_length(collection) + octet_length(record_id) + octet_length(data)), 0)
                  FROM record WHERE record.log = log.id) AS bytes
             FROM log ORDER BY bytes DESC, namespace, sub LIMIT ?",
        )
        .bind(most)
        .fetch_all(&mut *self.0)
        .await?;
        let sizes = rows.into_iter().map(|(namespace, sub, head, rows, bytes)| {
            let owner = Owner::within(&namespace, &sub).ok_or(Error::CorruptLog("namespace"))?;
            Ok(Size { owner, head, rows, bytes })
        });
        Ok((sizes.collect::<Result<_, Error>>()?, count))
    }

    async fn read_held(&mut self, owner: &Owner) -> Result<Vec<Held>, Error> {
        let Some(found) = Statements(&mut self.0).find(owner).await? else { return Ok(Vec::new()) };
        let rows: Vec<(bool, String, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT false, tbl, count(DISTINCT CASE cl % 2 WHEN 1 THEN pk END),
               count(DISTINCT CASE cl % 2 WHEN 0 THEN pk END), count(*),
               sum(octet_length(tbl) + octet_length(pk) + octet_length(cid) + octet_length(val))
             FROM entry WHERE log = ?1 GROUP BY tbl
             UNION ALL
             SELECT true, collection, count(*) FILTER (WHERE kind <> 'delete'),
               count(*) FILTER (WHERE kind = 'delete'), count(*),
               sum(octet_length(collection) + octet_length(record_id) + octet_length(data))
             FROM record WHERE log = ?1 GROUP BY collection
             ORDER BY 1, 2",
        )
        .bind(found.id)
        .fetch_all(&mut *self.0)
        .await?;
        let held = rows.into_iter().map(|(records, name, living, deleted, entries, bytes)| {
            let of = if records { Holding::Records } else { Holding::Rows };
            Held { of, name, living, deleted, entries, bytes }
        });
        Ok(held.collect())
    }

    async fn read_log_secret(&mut self) -> Result<Vec<u8>, Error> {
        let found = sqlx::query_scalar("SELECT value FROM secret WHERE name = 'log'");
        Ok(found.fetch_optional(&mut *self.0).await?.unwrap_or_default())
    }
}

impl View for SqliteView {
    fn largest(&mut self, most: u32) -> Answer<'_, (Vec<Size>, i64)> {
        Box::pin(self.read_largest(most))
    }

    fn clock<'a>(&'a mut self, owner: &'a Owner) -> Answer<'a, Clock> {
        Box::pin(async { program::clock(&mut Statements(&mut self.0), owner).await })
    }

    fn held<'a>(&'a mut self, owner: &'a Owner) -> Answer<'a, Vec<Held>> {
        Box::pin(self.read_held(owner))
    }

    fn feed<'a>(&'a mut self, owner: &'a Owner, start: &'a Start, query: &'a Query) -> Answer<'a, Feed> {
        Box::pin(async { program::feed(&mut Statements(&mut self.0), owner, start, query).await })
    }

    fn log_secret(&mut self) -> Answer<'_, Vec<u8>> {
        Box::pin(self.read_log_secret())
    }
}
