//! What a database must be able to do inside one transaction. Decides nothing and never ends a transaction: `program`
//! says what is done in which order, and the log of each database begins and commits.
//! Carried out by `sqlite::statements` and `postgres::statements`.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use crsqlite_sync::wire::{Change, Pk, Run};

use super::core::{Clock, Entry, Query, StoredRecord, Sums};
use crate::error::Error;
use crate::user::Owner;

/// A log that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) clock: Clock,
    /// How many entries and records it holds.
    pub(super) rows: i64,
}

type Answer<T> = Result<T, Error>;

/// One transaction over the logs.
pub(super) trait Transaction: Send {
    /// The owner's log, if anything was ever stored.
    fn find(&mut self, owner: &Owner) -> impl Future<Output = Answer<Option<Found>>> + Send;

    /// The owner's log, made if there is none; nobody else writes to it until this transaction ends.
    fn enter(&mut self, owner: &Owner) -> impl Future<Output = Answer<Found>> + Send;

    /// The run to write in: this server's, or one that also names the database's own start.
    fn run(&mut self, own: &Run) -> impl Future<Output = Answer<Run>> + Send;

    /// Records that a run has begun, and forgets the oldest ones.
    fn begin_run(&mut self, log: i64, run: &Run, begin: i64) -> impl Future<Output = Answer<()>> + Send;

    /// States the head and the number of entries and records.
    fn set_head(&mut self, log: i64, head: i64, rows: i64) -> impl Future<Output = Answer<()>> + Send;

    /// All entries of these rows, without their values; nothing if there are more than `most`.
    fn touched(
        &mut self,
        log: i64,
        rows: &[(&str, &Pk)],
        most: usize,
    ) -> impl Future<Output = Answer<Option<Vec<Entry>>>> + Send;

    fn delete(&mut self, log: i64, offsets: &[i64]) -> impl Future<Output = Answer<()>> + Send;

    fn insert(&mut self, log: i64, rows: &[(i64, &Change)]) -> impl Future<Output = Answer<()>> + Send;

    /// The live entries after `base` that an answer can hold, and whether these are all.
    fn entries_after(
        &mut self,
        log: i64,
        base: i64,
        query: &Query,
    ) -> impl Future<Output = Answer<(Vec<Change>, bool)>> + Send;

    /// All live entries of this one's row.
    fn row_of(&mut self, log: i64, of: &Change) -> impl Future<Output = Answer<Vec<Change>>> + Send;

    /// Adds up all live entries, row by row.
    fn count(&mut self, log: i64) -> impl Future<Output = Answer<Sums>> + Send;

    /// Which of these ids were accepted lately, and when.
    fn accepted(
        &mut self,
        log: i64,
        ids: &[&str],
    ) -> impl Future<Output = Answer<HashMap<String, i64>>> + Send;

    /// Remembers what was accepted: offset, id, when. Forgets the oldest.
    fn accept(&mut self, log: i64, ids: &[(i64, &str, i64)]) -> impl Future<Output = Answer<()>> + Send;

    /// The newest records about these things: collection and record id.
    fn newest(
        &mut self,
        log: i64,
        about: &[(&str, &str)],
    ) -> impl Future<Output = Answer<Vec<StoredRecord>>> + Send;

    /// Each takes the place of the one about the same thing.
    fn put(&mut self, log: i64, records: &[StoredRecord]) -> impl Future<Output = Answer<()>> + Send;

    /// The records after `base` that an answer can hold, and whether these are all.
    fn records_after(
        &mut self,
        log: i64,
        base: i64,
        query: &Query,
    ) -> impl Future<Output = Answer<(Vec<StoredRecord>, bool)>> + Send;
}

/// The rows that changes are about, each once: table and key.
pub(super) fn rows_of<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Vec<(&'a str, &'a Pk)> {
    let mut seen = HashSet::new();
    let rows = changes.into_iter().map(|change| (change.table.as_str(), &change.pk));
    rows.filter(|row| seen.insert(*row)).collect()
}

/// Collects what an answer can hold of rows that a database gives one by one.
#[derive(Debug)]
pub(super) struct Taken<T> {
    pub(super) items: Vec<T>,
    most: usize,
    budget: usize,
    size: usize,
}

impl<T> Taken<T> {
    pub(super) fn new(query: &Query) -> Self {
        Taken { items: Vec::new(), most: query.most.max(1), budget: query.budget, size: 0 }
    }

    /// Nothing more would fit.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= self.most || self.size > self.budget
    }

    /// So many bytes more would fit.
    pub(super) fn left(&self) -> usize {
        self.budget.saturating_sub(self.size)
    }

    pub(super) fn push(&mut self, item: T, size: usize) {
        self.size = self.size.saturating_add(size);
        self.items.push(item);
    }
}
