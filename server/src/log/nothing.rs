//! A log that keeps nothing, for a relay that only passes messages on. Decides nothing, and refuses to hold anything.
//! Opened by `server` in place of a database.

use crsqlite_sync::wire::{Change, Run};
use futures_util::future::{BoxFuture, ready};

use super::core::{Appended, Clock, Feed, Put, Query, Record, Start, Sums};
use super::{Answer, Log};
use crate::error::Error;
use crate::user::Owner;

/// Keeps nothing: every log is empty, and its secrets last as long as the process.
#[derive(Debug)]
pub struct NoLog;

fn refused<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(ready(Err(Error::NotStored)))
}

impl Log for NoLog {
    fn clock<'a>(&'a self, _: &'a Owner) -> Answer<'a, Clock> {
        Box::pin(ready(Ok(Clock::default())))
    }

    fn feed<'a>(&'a self, _: &'a Owner, _: &'a Start, _: &'a Query) -> Answer<'a, Feed> {
        refused()
    }

    fn sums<'a>(&'a self, _: &'a Owner) -> Answer<'a, (Clock, Sums)> {
        refused()
    }

    fn append_each<'a>(
        &'a self,
        _: &'a Owner,
        _: &'a Run,
        _: &'a [&'a [Change]],
    ) -> Answer<'a, Vec<Result<Appended, Error>>> {
        refused()
    }

    fn put_records<'a>(&'a self, _: &'a Owner, _: &'a Run, _: &'a [Record], _: i64) -> Answer<'a, Put> {
        refused()
    }

    fn secret<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<u8>> {
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
