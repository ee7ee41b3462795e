//! Where an answer is cut. Decides which entries still fit a byte budget, and that whatever revives a row brings
//! all of that row along; never reads entries itself.
//! Fed by the logs, entry by entry in the order of offsets.

use std::collections::HashSet;

use crsqlite_sync::wire::Change;

use super::clock::Clock;

/// The rows of an answer; the `db_version` of each is its offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The log's clock in the snapshot that the rows were read from.
    pub clock: Clock,
    /// The live entries after `base` up to `current`, and what they bring along, in the order of offsets.
    pub rows: Vec<Change>,
    pub base: i64,
    pub current: i64,
    /// There are entries after `current`.
    pub more: bool,
}

/// Collects a page. At least one entry is always taken, however large.
#[derive(Debug)]
pub struct Cut {
    budget: usize,
    size: usize,
    rows: Vec<Change>,
    taken: HashSet<i64>,
    current: i64,
    full: bool,
}

impl Cut {
    /// A page of about `budget` bytes of rows after the offset `base`.
    #[must_use]
    pub fn new(base: i64, budget: usize) -> Self {
        Cut { budget, size: 0, rows: Vec::new(), taken: HashSet::new(), current: base, full: false }
    }

    /// Takes the next entry, together with the live entries of its row if it revives one (which may repeat the entry,
    /// and have any offset). False if it no longer fits: the page ends before it.
    pub fn offer(&mut self, entry: Change, row: Vec<Change>) -> bool {
        let offset = entry.db_version;
        let mut fresh = vec![entry];
        fresh.extend(row.into_iter().filter(|mate| mate.db_version != offset));
        fresh.retain(|change| !self.taken.contains(&change.db_version));
        let size: usize = fresh.iter().map(Change::wire_size).sum();
        if size > 0 && !self.rows.is_empty() && self.size.saturating_add(size) > self.budget {
            self.full = true;
            return false;
        }
        self.size = self.size.saturating_add(size);
        self.taken.extend(fresh.iter().map(|change| change.db_version));
        self.rows.extend(fresh);
        self.current = offset;
        true
    }

    /// The page. `exhausted` says that every live entry after the base was offered.
    #[must_use]
    pub fn finish(mut self, clock: Clock, base: i64, exhausted: bool) -> Page {
        self.rows.sort_unstable_by_key(|change| change.db_version);
        let more = self.full || !exhausted;
        let current = if more { self.current } else { clock.head };
        Page { clock, rows: self.rows, base, current, more }
    }
}
