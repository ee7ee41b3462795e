//! A log that keeps nothing, for a relay that only passes messages on. Decides nothing, and refuses to hold anything.
//! Opened by `server` in place of a database.

use crsqlite_sync::wire::{Change, Run};
use futures_util::future::{BoxFuture, ready};

use super::Log;
use super::core::{Appended, Clock, Page, Start, Sums};
use crate::error::Error;

/// Keeps nothing: every log is empty, and its secrets last as long as the process.
#[derive(Debug)]
pub struct NoLog;

fn refused<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, Error>> {
    Box::pin(ready(Err(Error::NotStored)))
}

impl Log for NoLog {
    fn clock<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Clock, Error>> {
        Box::pin(ready(Ok(Clock::default())))
    }

    fn page<'a>(&'a self, _: &'a str, _: &'a Start, _: usize) -> BoxFuture<'a, Result<Page, Error>> {
        refused()
    }

    fn sums<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(Clock, Sums), Error>> {
        refused()
    }

    fn append<'a>(
        &'a self,
        _: &'a str,
        _: &'a Run,
        _: &'a [Change],
    ) -> BoxFuture<'a, Result<Appended, Error>> {
        refused()
    }

    fn secret<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
        Box::pin(async {
            let mut fresh = vec![0; 32];
            getrandom::fill(&mut fresh)?;
            Ok(fresh)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}
