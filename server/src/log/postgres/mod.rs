//! The logs in PostgreSQL, for any number of servers. Decides when a transaction begins and ends, and how long it may
//! take; never what stays, nor the order of statements. Servers write to one log in turns, under the lock of its row; the
//! database itself syncs together what commits at once.

use std::future::Future;
use std::str::FromStr as _;
use std::time::Duration;

use crsqlite_sync::wire::{Change, Run};
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};

use self::statements::Statements;
pub use self::view::PostgresView;
use self::words::Words;
use super::core::{Appended, Clock, Feed, Put, Query, Record, Start, Sums};
use super::{Answer, Heard, Log, program};
use crate::error::Error;
use crate::user::Owner;

mod format;
mod statements;
mod view;
mod words;

/// A database that does not answer for so long is one that fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// Adding up a large log takes longer.
const COUNT_DEADLINE: Duration = Duration::from_secs(300);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Said on each connection. Whatever the database's default is: what is acknowledged is on its disk. A server that stops
/// in the middle of a transaction holds up nobody for longer than the others wait.
const SETTINGS: &str = "
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
    SET idle_in_transaction_session_timeout = '20s';
    SET lock_timeout = '25s';
    SET statement_timeout = '300s';
";

/// Every user's log in one database that servers share.
#[derive(Debug)]
pub struct PostgresLog {
    pool: PgPool,
    most_rows: Option<u64>,
    /// Of the database, when it was opened.
    start: String,
    words: Words,
}

impl PostgresLog {
    /// Opens the database of this URL, and makes the relay's schema in it if there is none. Each owner may have so many
    /// entries and records; `None` for any number.
    ///
    /// # Errors
    /// When the database does not answer, does not let this server in, or was made by a later version.
    pub async fn open(url: &str, connections: u32, most_rows: Option<u64>) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("crsqlite-relay");
        let mut db =
            timed(CONNECT_DEADLINE, async { Ok(PgConnection::connect_with(&options).await?) }).await?;
        timed(COUNT_DEADLINE, format::prepare(&mut db)).await?;
        let start = statements::start(&mut db).await?;
        db.close().await?;
        let pool = |most| {
            PgPoolOptions::new().max_connections(most).acquire_timeout(CONNECT_DEADLINE).after_connect(
                |db, _| {
                    Box::pin(async move {
                        sqlx::raw_sql(SETTINGS).execute(db).await?;
                        Ok(())
                    })
                },
            )
        };
        let mut own = [0; 8];
        getrandom::fill(&mut own)?;
        let listening = options.clone().application_name("crsqlite-relay, listening");
        let listening = pool(1).connect_lazy_with(listening);
        let pool = pool(connections.max(1)).connect_lazy_with(options);
        let words = Words::start(pool.clone(), listening, u64::from_be_bytes(own));
        Ok(PostgresLog { pool, most_rows, start, words })
    }

    /// One snapshot for all that is read.
    async fn read(&self) -> Result<sqlx::Transaction<'_, Postgres>, Error> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    /// Each statement sees what was committed before it, so that whoever waited for the lock reads what stands then.
    async fn write(&self) -> Result<sqlx::Transaction<'_, Postgres>, Error> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?)
    }

    /// All at once, or where that fails each by itself.
    async fn append_pushes(
        &self,
        owner: &Owner,
        run: &Run,
        pushes: &[&[Change]],
    ) -> Result<Vec<Result<Appended, Error>>, Error> {
        match self.append_together(owner, run, pushes).await {
            Ok(done) => Ok(done.into_iter().map(Ok).collect()),
            Err(error) if pushes.len() < 2 => Err(error),
            Err(_) => {
                let mut each = Vec::with_capacity(pushes.len());
                for push in pushes {
                    let done = self.append_together(owner, run, &[push]).await;
                    each.push(done.and_then(|mut done| done.pop().ok_or(Error::NotStored)));
                }
                Ok(each)
            }
        }
    }

    async fn append_together(
        &self,
        owner: &Owner,
        run: &Run,
        pushes: &[&[Change]],
    ) -> Result<Vec<Appended>, Error> {
        let mut tx = self.write().await?;
        let mut statements = Statements::new(&mut tx, &self.start);
        let done = program::append(&mut statements, owner, run, pushes, self.most_rows).await?;
        let untold = statements.untold.take();
        tx.commit().await?;
        self.words.tell(untold);
        Ok(done)
    }

    async fn append_records(
        &self,
        owner: &Owner,
        run: &Run,
        records: &[Record],
        now: i64,
    ) -> Result<Put, Error> {
        let mut tx = self.write().await?;
        let mut statements = Statements::new(&mut tx, &self.start);
        let done = program::put_records(&mut statements, owner, run, records, now, self.most_rows).await?;
        let untold = statements.untold.take();
        tx.commit().await?;
        self.words.tell(untold);
        Ok(done)
    }

    async fn read_secret(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh)?;
        let mut tx = self.write().await?;
        sqlx::query("INSERT INTO crsqlite_relay.secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(fresh.as_slice())
            .execute(&mut *tx)
            .await?;
        let secret = sqlx::query_scalar("SELECT value FROM crsqlite_relay.secret WHERE name = $1")
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(secret)
    }
}

/// What fails where it takes longer. What was to be written may have been or not, as where the connection breaks.
async fn timed<T>(deadline: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(deadline, work).await.unwrap_or(Err(Error::Database(sqlx::Error::PoolTimedOut)))
}

impl Log for PostgresLog {
    fn clock<'a>(&'a self, owner: &'a Owner) -> Answer<'a, Clock> {
        Box::pin(timed(DEADLINE, async {
            program::clock(&mut Statements::new(&mut *self.read().await?, &self.start), owner).await
        }))
    }

    fn feed<'a>(&'a self, owner: &'a Owner, start: &'a Start, query: &'a Query) -> Answer<'a, Feed> {
        Box::pin(timed(DEADLINE, async {
            program::feed(&mut Statements::new(&mut *self.read().await?, &self.start), owner, start, query)
                .await
        }))
    }

    fn sums<'a>(&'a self, owner: &'a Owner) -> Answer<'a, (Clock, Sums)> {
        Box::pin(timed(COUNT_DEADLINE, async {
            program::sums(&mut Statements::new(&mut *self.read().await?, &self.start), owner).await
        }))
    }

    fn append_each<'a>(
        &'a self,
        owner: &'a Owner,
        run: &'a Run,
        pushes: &'a [&'a [Change]],
    ) -> Answer<'a, Vec<Result<Appended, Error>>> {
        Box::pin(timed(DEADLINE, self.append_pushes(owner, run, pushes)))
    }

    fn put_records<'a>(
        &'a self,
        owner: &'a Owner,
        run: &'a Run,
        records: &'a [Record],
        now: i64,
    ) -> Answer<'a, Put> {
        Box::pin(timed(DEADLINE, self.append_records(owner, run, records, now)))
    }

    fn secret<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<u8>> {
        Box::pin(timed(DEADLINE, self.read_secret(name)))
    }

    fn hear(&self) -> BoxFuture<'_, Heard> {
        Box::pin(self.words.hear())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.words.close().await;
            self.pool.close().await;
        })
    }
}
