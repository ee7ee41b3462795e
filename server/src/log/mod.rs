//! The users' logs: what a relay keeps of each user's rows. Decides nothing itself: `core` decides, an implementation
//! of [`Log`] carries it out in one transaction. Called by `room`, which keeps one user's calls in order.

pub mod core;
mod nothing;
mod sqlite;

use std::fmt;

use crsqlite_sync::wire::{Change, Run};
use futures_util::future::BoxFuture;

use self::core::{Appended, Clock, Page, Start, Sums};
pub use self::nothing::NoLog;
pub use self::sqlite::SqliteLog;
use crate::error::Error;

/// Where logs are kept. Several servers may share one: the user's lock is taken in the transaction, and whatever is
/// answered is read in one snapshot.
pub trait Log: fmt::Debug + Send + Sync {
    /// How far the user's log has come.
    fn clock<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Clock, Error>>;

    /// The rows of an answer of about `budget` bytes.
    fn page<'a>(
        &'a self,
        user: &'a str,
        start: &'a Start,
        budget: usize,
    ) -> BoxFuture<'a, Result<Page, Error>>;

    /// What the log holds, added up from its entries, and its clock in the same snapshot.
    fn sums<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<(Clock, Sums), Error>>;

    /// Stores what of `changes` is not dominated, each row at the next offset, and takes away what it dominates.
    /// `run` is this server's. When it returns, everything that `changes` says is on the disk.
    fn append<'a>(
        &'a self,
        user: &'a str,
        run: &'a Run,
        changes: &'a [Change],
    ) -> BoxFuture<'a, Result<Appended, Error>>;

    /// Random bytes that belong to these logs and live as long as they do: made at the first call with this name.
    fn secret<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<u8>, Error>>;

    /// Finishes what is under way and lets go of the storage.
    fn close(&self) -> BoxFuture<'_, ()>;
}
