//! What is done inside one transaction, the same over every database. Decides the order of the statements; what stays,
//! what wins and where an answer ends is `core`'s. Never begins or commits: the log of each database does, around this.

use std::collections::{BTreeMap, HashMap, HashSet};

use crsqlite_sync::wire::{Change, Pk, Run};

use super::core::{
    Appended, Clock, Cut, Entry, Feed, Item, Known, Put, Query, Record, Start, Sums, compact_within, exact,
    judge,
};
use super::names;
use super::transaction::{Found, Transaction, rows_of};
use crate::error::Error;
use crate::user::Owner;

/// So many entries are held in memory to see what pushes replace; what touches more is taken in pieces.
const MOST_TOUCHED: usize = 20_000;

/// How far the owner's log has come.
pub(super) async fn clock(tx: &mut impl Transaction, owner: &Owner) -> Result<Clock, Error> {
    Ok(tx.find(owner).await?.map(|found| found.clock).unwrap_or_default())
}

/// What the log holds, added up.
pub(super) async fn sums(tx: &mut impl Transaction, owner: &Owner) -> Result<(Clock, Sums), Error> {
    match tx.find(owner).await? {
        Some(found) => Ok((found.clock, tx.count(found.id).await?)),
        None => Ok(Default::default()),
    }
}

/// The items of an answer.
pub(super) async fn feed(
    tx: &mut impl Transaction,
    owner: &Owner,
    start: &Start,
    query: &Query,
) -> Result<Feed, Error> {
    let Some(Found { id, clock, .. }) = tx.find(owner).await? else {
        let cut = Cut::new(0, query.most, query.budget);
        return Ok(cut.finish(Clock::default(), 0, true));
    };
    let base = clock.start(start);
    let mut cut = Cut::new(base, query.most, query.budget);
    let (entries, all_entries) = tx.entries_after(id, base, query).await?;
    let (records, all_records) =
        if query.records { tx.records_after(id, base, query).await? } else { (Vec::new(), true) };
    // Beyond the last one that was read of either kind there may be more of that kind.
    let last_entry = entries.last().filter(|_| !all_entries).map(|entry| entry.db_version);
    let last_record = records.last().filter(|_| !all_records).map(|stored| stored.offset);
    let horizon = last_entry.into_iter().chain(last_record).min().unwrap_or(i64::MAX);
    let mut items: Vec<Item> = entries.into_iter().map(Item::Entry).collect();
    items.extend(records.into_iter().map(Item::Record));
    items.retain(|item| item.offset() <= horizon);
    items.sort_unstable_by_key(Item::offset);
    let mut exhausted = all_entries && all_records;
    for item in items {
        let row = match &item {
            Item::Entry(entry) if entry.revives_row() => tx.row_of(id, entry).await?,
            Item::Entry(_) | Item::Record(_) => Vec::new(),
        };
        if !cut.offer(item, row) {
            exhausted = false;
            break;
        }
    }
    Ok(cut.finish(clock, base, exhausted))
}

/// Stores pushes one after the other: of each what is not dominated, and takes away what it dominates. Each is told what it
/// would hear if it came alone; what one of them stores and a later one takes away again is never written.
pub(super) async fn append(
    tx: &mut impl Transaction,
    owner: &Owner,
    run: &Run,
    pushes: &[&[Change]],
    most_rows: Option<u64>,
) -> Result<Vec<Appended>, Error> {
    if pushes.iter().all(|push| push.is_empty()) {
        let clock = clock(tx, owner).await?;
        return Ok(pushes.iter().map(|_| unchanged(clock.run(run), clock.head)).collect());
    }
    let Found { id, mut clock, mut rows } = tx.enter(owner).await?;
    let base = clock.head;
    let (mut head, mut done) = (base, Vec::<Appended>::with_capacity(pushes.len()));
    let mut groups = vec![Piece::all(pushes)];
    while let Some(group) = groups.pop() {
        let keys = rows_of(group.iter().flat_map(|piece| piece.changes));
        let most = if keys.len() > 1 { MOST_TOUCHED } else { usize::MAX };
        let Some(existing) = tx.touched(id, &keys, most).await? else {
            // One after the other they do the same.
            let (one, other) = Piece::halves(group);
            groups.extend([other, one]);
            continue;
        };
        let mut touched = Touched::new(&keys, existing);
        let mut pieces = group.into_iter().peekable();
        while let Some(Piece { push, first, changes }) = pieces.next() {
            let existing = touched.entries_of(changes);
            let mut plan = compact_within(room(most_rows, rows), &existing, changes, names::of);
            let (before, new) = (head, plan.insert.iter().filter_map(|&index| changes.get(index)));
            let new: Vec<(i64, &Change)> = (head + 1..).zip(new).collect();
            if let Some((last, _)) = new.last() {
                begin(tx, id, &mut clock, run).await?;
                head = *last;
                rows += count(new.len()) - count(plan.delete.len());
            } else {
                plan.delete.clear();
            }
            touched.settle(existing, &plan.delete, new, pieces.peek().is_some());
            if done.len() <= push {
                done.push(unchanged(clock.run(run), before));
            }
            if let Some(appended) = done.last_mut() {
                (appended.run, appended.head) = (clock.run(run).clone(), head);
                appended.stored.extend(plan.insert.iter().map(|index| first + index));
                appended.refused.extend(plan.refuse.iter().map(|index| first + index));
            }
        }
        tx.delete(id, &touched.gone).await?;
        tx.insert(id, &Vec::from_iter(touched.new)).await?;
    }
    if head > base {
        tx.set_head(id, head, rows).await?;
    }
    Ok(done)
}

fn unchanged(run: &Run, head: i64) -> Appended {
    Appended { run: run.clone(), base: head, head, stored: Vec::new(), refused: Vec::new() }
}

/// A push, or a stretch of one that touches more than is held in memory.
#[derive(Debug)]
struct Piece<'a> {
    /// Which push.
    push: usize,
    /// The place of its first change in there.
    first: usize,
    changes: &'a [Change],
}

impl<'a> Piece<'a> {
    fn all(pushes: &[&'a [Change]]) -> Vec<Self> {
        pushes.iter().enumerate().map(|(push, &changes)| Piece { push, first: 0, changes }).collect()
    }

    fn halves(mut group: Vec<Self>) -> (Vec<Self>, Vec<Self>) {
        if let [Piece { push, first, changes }] = *group {
            let (one, other) = changes.split_at(changes.len() / 2);
            let other = Piece { push, first: first + one.len(), changes: other };
            return (vec![Piece { push, first, changes: one }], vec![other]);
        }
        let other = group.split_off(group.len() / 2);
        (group, other)
    }
}

/// The rows that a group touches, as they are after each of its pieces, and how the log comes to hold that.
#[derive(Debug)]
struct Touched<'a> {
    places: HashMap<(&'a str, &'a Pk), usize>,
    rows: Vec<Vec<Entry>>,
    /// The offsets of entries that are stored.
    gone: Vec<i64>,
    new: BTreeMap<i64, &'a Change>,
}

impl<'a> Touched<'a> {
    fn new(keys: &[(&'a str, &'a Pk)], existing: Vec<Entry>) -> Self {
        let mut touched = Touched {
            places: keys.iter().copied().zip(0..).collect(),
            rows: keys.iter().map(|_| Vec::new()).collect(),
            gone: Vec::new(),
            new: BTreeMap::new(),
        };
        existing.into_iter().for_each(|entry| touched.add(entry));
        touched
    }

    fn row(&mut self, table: &str, pk: &Pk) -> Option<&mut Vec<Entry>> {
        self.places.get(&(table, pk)).and_then(|&place| self.rows.get_mut(place))
    }

    fn add(&mut self, entry: Entry) {
        if let Some(row) = self.row(&entry.table, &entry.pk) {
            row.push(entry);
        }
    }

    /// Takes out what the rows of these changes hold, by offset.
    fn entries_of(&mut self, changes: &[Change]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (table, pk) in rows_of(changes) {
            self.row(table, pk).into_iter().for_each(|row| entries.append(row));
        }
        entries.sort_unstable_by_key(|entry| entry.offset);
        entries
    }

    /// Of what was taken out some goes, and something new comes. Puts it back where there are `more` pieces to see it.
    fn settle(&mut self, existing: Vec<Entry>, gone: &[i64], new: Vec<(i64, &'a Change)>, more: bool) {
        if more {
            let gone: HashSet<i64> = gone.iter().copied().collect();
            let stays = existing.into_iter().filter(|entry| !gone.contains(&entry.offset));
            stays.chain(new.iter().map(|&(offset, change)| entry(offset, change))).for_each(|e| self.add(e));
        }
        self.gone.extend(gone.iter().filter(|&offset| self.new.remove(offset).is_none()));
        self.new.extend(new);
    }
}

/// A change as `Transaction::touched` would find it.
fn entry(offset: i64, change: &Change) -> Entry {
    let value = exact(&change.val);
    Entry {
        offset,
        table: change.table.clone(),
        pk: change.pk.clone(),
        cid: change.cid.clone(),
        col_version: change.col_version,
        cl: change.cl,
        size: value.len(),
        value: names::digest(&value).unwrap_or(value),
    }
}

/// Stores the records that are newer than what is there.
pub(super) async fn put_records(
    tx: &mut impl Transaction,
    owner: &Owner,
    run: &Run,
    records: &[Record],
    now: i64,
    most_rows: Option<u64>,
) -> Result<Put, Error> {
    if records.is_empty() {
        let clock = clock(tx, owner).await?;
        let (run, head) = (clock.run(run).clone(), clock.head);
        return Ok(Put { run, base: head, head, outcomes: Vec::new(), stored: Vec::new() });
    }
    let Found { id, mut clock, rows } = tx.enter(owner).await?;
    let base = clock.head;
    let ids: HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    let about: HashSet<(&str, &str)> =
        records.iter().map(|record| (record.collection.as_str(), record.record_id.as_str())).collect();
    let known = Known {
        head: base,
        accepted: tx.accepted(id, &ids.into_iter().collect::<Vec<_>>()).await?,
        newest: tx.newest(id, &about.into_iter().collect::<Vec<_>>()).await?,
        room: room(most_rows, rows),
    };
    let judged = judge(known, records, now);
    let mut head = base;
    if !judged.stored.is_empty() {
        begin(tx, id, &mut clock, run).await?;
        tx.put(id, &judged.newest).await?;
        let new = judged.stored.iter().filter_map(|&index| records.get(index));
        let new: Vec<(i64, &str, i64)> =
            (base + 1..).zip(new).map(|(offset, record)| (offset, record.id.as_str(), now)).collect();
        tx.accept(id, &new).await?;
        head = new.last().map_or(base, |(offset, ..)| *offset);
        tx.set_head(id, head, rows.saturating_add_unsigned(judged.added)).await?;
    }
    let run = clock.run(run).clone();
    Ok(Put { run, base, head, outcomes: judged.outcomes, stored: judged.stored })
}

/// The writer's run stands in the log before anything that it writes.
async fn begin(tx: &mut impl Transaction, log: i64, clock: &mut Clock, own: &Run) -> Result<(), Error> {
    let run = tx.run(own).await?;
    if clock.record(&run) {
        tx.begin_run(log, &run, clock.head).await?;
    }
    Ok(())
}

fn room(most_rows: Option<u64>, rows: i64) -> Option<u64> {
    most_rows.map(|most| most.saturating_sub(u64::try_from(rows).unwrap_or(0)))
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
