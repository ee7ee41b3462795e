//! A page of rows and records together, as the push-pull contract pulls them. Decides which items still fit a number and a
//! byte budget, and that whatever revives a row brings all of that row along; never reads items itself.
//! Fed by the logs, item by item in the order of offsets.

use std::collections::{BTreeSet, HashSet};

use crsqlite_sync::wire::Change;

use super::clock::Clock;
use super::records::Record;

/// What a feed is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Tables and collections; none named are all.
    pub collections: BTreeSet<String>,
    /// At most so many items, and what they bring along.
    pub items: usize,
    /// About so many bytes; at least one item is given.
    pub bytes: usize,
}

impl Wanted {
    #[must_use]
    pub fn takes(&self, collection: &str) -> bool {
        self.collections.is_empty() || self.collections.contains(collection)
    }
}

/// One place of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Its `db_version` is its offset.
    Entry(Change),
    Record(i64, Record),
}

impl Item {
    #[must_use]
    pub fn offset(&self) -> i64 {
        match self {
            Item::Entry(change) => change.db_version,
            Item::Record(offset, _) => *offset,
        }
    }

    #[must_use]
    pub fn collection(&self) -> &str {
        match self {
            Item::Entry(change) => &change.table,
            Item::Record(_, record) => &record.collection,
        }
    }

    /// About how many bytes it takes in a page.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Item::Entry(change) => change.wire_size(),
            Item::Record(_, record) => record.size(),
        }
    }
}

/// Rows and records together, in the order of their offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The log's clock in the snapshot that the items were read from.
    pub clock: Clock,
    /// What is wanted after `base` up to `current`, and what it brings along.
    pub items: Vec<Item>,
    pub base: i64,
    /// Nothing that is wanted lies between the last item and here: the head, unless there is `more`.
    pub current: i64,
    /// There are wanted ones after `current`.
    pub more: bool,
}

/// Collects a feed. At least one item is always taken, however large.
#[derive(Debug)]
pub struct FeedCut {
    items_left: usize,
    bytes_left: usize,
    items: Vec<Item>,
    taken: HashSet<i64>,
    current: i64,
    full: bool,
}

impl FeedCut {
    #[must_use]
    pub fn new(base: i64, wanted: &Wanted) -> Self {
        FeedCut {
            items_left: wanted.items,
            bytes_left: wanted.bytes,
            items: Vec::new(),
            taken: HashSet::new(),
            current: base,
            full: false,
        }
    }

    /// Takes the next item, together with the live entries of its row if it revives one (which may repeat it, and have any
    /// offset). False if it no longer fits: the feed ends before it.
    pub fn offer(&mut self, item: Item, row: Vec<Change>) -> bool {
        let offset = item.offset();
        let mates = row.into_iter().map(Item::Entry).filter(|mate| mate.offset() != offset);
        let mut fresh: Vec<Item> = std::iter::once(item).chain(mates).collect();
        fresh.retain(|item| !self.taken.contains(&item.offset()));
        let size: usize = fresh.iter().map(Item::size).sum();
        let fits = fresh.len() <= self.items_left && size <= self.bytes_left;
        if !fresh.is_empty() && !self.items.is_empty() && !fits {
            self.full = true;
            return false;
        }
        self.items_left = self.items_left.saturating_sub(fresh.len());
        self.bytes_left = self.bytes_left.saturating_sub(size);
        self.taken.extend(fresh.iter().map(Item::offset));
        self.items.extend(fresh);
        self.current = offset;
        true
    }

    /// The feed. `exhausted` says that every wanted item after the base was offered.
    #[must_use]
    pub fn finish(mut self, clock: Clock, base: i64, exhausted: bool) -> Feed {
        self.items.sort_unstable_by_key(Item::offset);
        let more = self.full || !exhausted;
        let current = if more { self.current } else { clock.head };
        Feed { clock, items: self.items, base, current, more }
    }
}
