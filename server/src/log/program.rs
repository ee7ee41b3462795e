//! What is done inside one transaction, the same over every database. Decides the order of the statements; what stays,
//! what wins and where an answer ends is `core`'s. Never begins or commits: the log of each database does, around this.

use std::collections::HashSet;

use crsqlite_sync::wire::{Change, Run};

use super::core::{
    Appended, Clock, Cut, Feed, Item, Known, Put, Query, Record, Start, Sums, compact_within, judge,
};
use super::names;
use super::transaction::{Found, Transaction};
use crate::error::Error;
use crate::user::Owner;

/// So many entries are held in memory to see what a push replaces; one that touches more is taken in pieces.
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

/// Stores what of `changes` is not dominated, and takes away what it dominates.
pub(super) async fn append(
    tx: &mut impl Transaction,
    owner: &Owner,
    run: &Run,
    changes: &[Change],
    most_rows: Option<u64>,
) -> Result<Appended, Error> {
    if changes.is_empty() {
        let clock = clock(tx, owner).await?;
        let (run, head) = (clock.run(run).clone(), clock.head);
        return Ok(Appended { run, base: head, head, stored: Vec::new(), refused: Vec::new() });
    }
    let Found { id, mut clock, mut rows } = tx.enter(owner).await?;
    let base = clock.head;
    let (mut head, mut stored, mut refused) = (base, Vec::new(), Vec::new());
    let mut pieces = vec![(0, changes)];
    while let Some((first, piece)) = pieces.pop() {
        let most = if piece.len() > 1 { MOST_TOUCHED } else { usize::MAX };
        let Some(mut existing) = tx.touched(id, piece, most).await? else {
            // One after the other they do the same.
            let (one, other) = piece.split_at(piece.len() / 2);
            pieces.extend([(first + one.len(), other), (first, one)]);
            continue;
        };
        existing.sort_unstable_by_key(|entry| entry.offset);
        let plan = compact_within(room(most_rows, rows), &existing, piece, names::of);
        refused.extend(plan.refuse.iter().map(|index| first + index));
        if plan.insert.is_empty() {
            continue;
        }
        begin(tx, id, &mut clock, run).await?;
        tx.delete(id, &plan.delete).await?;
        let new: Vec<(i64, &Change)> =
            (head + 1..).zip(plan.insert.iter().filter_map(|&index| piece.get(index))).collect();
        tx.insert(id, &new).await?;
        head = new.last().map_or(head, |(offset, _)| *offset);
        rows += count(new.len()) - count(plan.delete.len());
        stored.extend(plan.insert.iter().map(|index| first + index));
    }
    if head > base {
        tx.set_head(id, head, rows).await?;
    }
    Ok(Appended { run: clock.run(run).clone(), base, head, stored, refused })
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
