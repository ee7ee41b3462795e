//! The users' logs: what a relay keeps of each user's rows. Decides nothing itself: `core` decides, an implementation
//! of [`Log`] carries it out in one transaction. Called by `room`, which keeps one user's calls in order.

pub mod core;
mod names;
mod nothing;
mod postgres;
mod program;
mod sqlite;
mod transaction;
mod view;

use std::fmt;

use crsqlite_sync::wire::{Change, Run};
use futures_util::future::BoxFuture;

use self::core::{Appended, Clock, Feed, Page, Put, Query, Record, Start, Sums};
pub use self::nothing::NoLog;
pub use self::postgres::{PostgresLog, PostgresView};
pub use self::sqlite::{SqliteLog, SqliteView};
pub use self::view::{Held, Holding, Size, View};
use crate::error::Error;
use crate::user::{Owner, OwnerDigest};

/// What a log answers, later.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// What is heard of the other servers that share the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// This owner's log may have come further.
    Written(OwnerDigest),
    /// Something may have been missed: any log may have come further.
    Missed,
}

/// Where logs are kept. Several servers may share one: the owner's lock is taken in the transaction, and whatever is
/// answered is read in one snapshot.
pub trait Log: fmt::Debug + Send + Sync {
    /// How far the owner's log has come.
    fn clock<'a>(&'a self, owner: &'a Owner) -> Answer<'a, Clock>;

    /// The items of an answer, of both protocols.
    fn feed<'a>(&'a self, owner: &'a Owner, start: &'a Start, query: &'a Query) -> Answer<'a, Feed>;

    /// The rows of an answer of about `budget` bytes.
    fn page<'a>(&'a self, owner: &'a Owner, start: &'a Start, budget: usize) -> Answer<'a, Page> {
        Box::pin(async move { Ok(self.feed(owner, start, &Query::rows(budget)).await?.into()) })
    }

    /// What the log holds, added up from its entries, and its clock in the same snapshot.
    fn sums<'a>(&'a self, owner: &'a Owner) -> Answer<'a, (Clock, Sums)>;

    /// Stores what of `changes` is not dominated, each row at the next offset, and takes away what it dominates.
    /// `run` is this server's. When it returns, everything that `changes` says is on the disk, but for what was
    /// refused.
    fn append<'a>(&'a self, owner: &'a Owner, run: &'a Run, changes: &'a [Change]) -> Answer<'a, Appended> {
        Box::pin(async move {
            let mut done = self.append_each(owner, run, &[changes]).await?;
            done.pop().unwrap_or(Err(Error::NotStored))
        })
    }

    /// Appends these one after the other, with nothing between them, and syncs the disk once. One that fails takes back
    /// nothing of the others.
    fn append_each<'a>(
        &'a self,
        owner: &'a Owner,
        run: &'a Run,
        pushes: &'a [&'a [Change]],
    ) -> Answer<'a, Vec<Result<Appended, Error>>>;

    /// Stores ordinary records that are newer than what is there, each at the next offset; `now` in milliseconds since
    /// 1970. When it returns, all that were accepted are on the disk.
    fn put_records<'a>(
        &'a self,
        owner: &'a Owner,
        run: &'a Run,
        records: &'a [Record],
        now: i64,
    ) -> Answer<'a, Put>;

    /// Random bytes that belong to these logs and live as long as they do: made at the first call with this name.
    fn secret<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<u8>>;

    /// What is heard next of the other servers that share these logs; never anything where there are none. For one caller
    /// at a time. Nothing depends on it but how soon a device hears of what was written elsewhere.
    fn hear(&self) -> BoxFuture<'_, Heard> {
        Box::pin(std::future::pending())
    }

    /// Finishes what is under way and lets go of the storage.
    fn close(&self) -> BoxFuture<'_, ()>;
}
