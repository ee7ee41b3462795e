//! Where an answer is cut. Decides which items still fit, and that whatever revives a row brings all of that row along;
//! never reads them itself. Fed by the logs, item by item in the order of offsets.

use std::collections::HashSet;

use crsqlite_sync::wire::Change;

use super::clock::Clock;
use super::records::StoredRecord;

/// One thing in a log. Rows and records share one sequence of offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The `db_version` is the offset.
    Entry(Change),
    Record(StoredRecord),
}

impl Item {
    #[must_use]
    pub fn offset(&self) -> i64 {
        match self {
            Item::Entry(change) => change.db_version,
            Item::Record(stored) => stored.offset,
        }
    }

    fn wire_size(&self) -> usize {
        match self {
            Item::Entry(change) => change.wire_size(),
            Item::Record(stored) => stored.record.wire_size(),
        }
    }
}

/// What an answer is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Only these tables and collections, a few hundred at most; `None` for all.
    pub collections: Option<Vec<String>>,
    /// Also the records; else only rows.
    pub records: bool,
    /// So many items, and what they bring along.
    pub most: usize,
    /// About so many bytes.
    pub budget: usize,
}

impl Query {
    /// The rows of an answer of the relay protocol.
    #[must_use]
    pub fn rows(budget: usize) -> Self {
        Query { collections: None, records: false, most: usize::MAX, budget }
    }

    /// Whether it asks for this table or collection.
    #[must_use]
    pub fn wants(&self, collection: &str) -> bool {
        self.collections.as_ref().is_none_or(|wanted| wanted.iter().any(|name| name == collection))
    }
}

/// The items of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The log's clock in the snapshot that the items were read from.
    pub clock: Clock,
    /// The live items after `base` up to `current`, and what they bring along, in the order of offsets.
    pub items: Vec<Item>,
    pub base: i64,
    pub current: i64,
    /// There is something after `current`.
    pub more: bool,
}

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

impl From<Feed> for Page {
    fn from(feed: Feed) -> Self {
        let row = |item| match item {
            Item::Entry(change) => Some(change),
            Item::Record(_) => None,
        };
        let rows = feed.items.into_iter().filter_map(row).collect();
        Page { clock: feed.clock, rows, base: feed.base, current: feed.current, more: feed.more }
    }
}

/// Collects an answer. At least one item is always taken, however large.
#[derive(Debug)]
pub struct Cut {
    budget: usize,
    left: usize,
    size: usize,
    items: Vec<Item>,
    taken: HashSet<i64>,
    current: i64,
    full: bool,
}

impl Cut {
    /// An answer of at most `most` items and about `budget` bytes after the offset `base`.
    #[must_use]
    pub fn new(base: i64, most: usize, budget: usize) -> Self {
        let (items, taken) = Default::default();
        Cut { budget, left: most.max(1), size: 0, items, taken, current: base, full: false }
    }

    /// Takes the next item, together with the live entries of its row if it revives one (which may repeat the item,
    /// and have any offset). False if it no longer fits: the answer ends before it.
    pub fn offer(&mut self, item: Item, row: Vec<Change>) -> bool {
        let offset = item.offset();
        let mut fresh = vec![item];
        fresh.extend(row.into_iter().filter(|mate| mate.db_version != offset).map(Item::Entry));
        fresh.retain(|item| !self.taken.contains(&item.offset()));
        let size: usize = fresh.iter().map(Item::wire_size).sum();
        let fits = size == 0 || self.size.saturating_add(size) <= self.budget;
        if !self.items.is_empty() && (self.left == 0 || !fits) {
            self.full = true;
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.size = self.size.saturating_add(size);
        self.taken.extend(fresh.iter().map(Item::offset));
        self.items.extend(fresh);
        self.current = offset;
        true
    }

    /// The answer. `exhausted` says that everything live after the base was offered.
    #[must_use]
    pub fn finish(mut self, clock: Clock, base: i64, exhausted: bool) -> Feed {
        self.items.sort_unstable_by_key(Item::offset);
        let more = self.full || !exhausted;
        let current = if more { self.current } else { clock.head };
        Feed { clock, items: self.items, base, current, more }
    }
}
