//! Merging rows and moving the cursor that speaks of them, in one transaction. Decides which rows fit, which are
//! kept aside, and whether a message may move *received*.

use super::doubt;
use super::{Advance, Applied, Apply, Durable, PullPage, Txn, What};
use crate::engine::affinity::Affinity;
use crate::engine::meta::{LogState, Meta};
use crate::engine::store::{KeptRow, List, Schema, Store, StoreError};
use crate::rules::{self, Rule};
use crate::seen::{self, Seen};
use crate::sorted::sorted;
use crate::wire::{BadRow, Change, Cursor, Pk, Place, Row, RowCode, Run, SiteId, Value};

/// How many rows the quarantine holds.
pub(super) const QUARANTINE_ROWS: usize = 10_000;
/// How often rows of one message are tried.
const MOST_TRIALS: usize = 16;

pub(super) async fn apply<S: Store>(txn: &mut Txn<'_, S>, apply: &Apply) -> Result<What, StoreError> {
    let mut applied = Applied::default();
    if let Some(durable) = &apply.durable {
        match judge(&mut txn.meta, apply.sender, durable) {
            Verdict::OtherAccount => return Ok(What::OtherAccount(durable.account.clone())),
            Verdict::Less => applied.reset = true,
            Verdict::Stands => {}
        }
    }
    let before = txn.store.max_version().await?;
    // Whose cursor moves over these rows: of a forwarded push it is the log's, not the device's.
    let owner = apply.log.unwrap_or(apply.sender);
    let mut held = txn.meta.received.get(&owner).cloned();
    if let Advance::Answer { run, base: 0, .. } = &apply.advance
        && held.as_ref().is_some_and(|held| held.run != *run)
    {
        // From the beginning: what found no room before comes again now.
        txn.meta.rewind.remove(&owner);
        held = None;
    }
    if let (Some(log), Advance::Page(PullPage { asked: Some(_), reset: true, .. })) =
        (apply.log, &apply.advance)
    {
        // What of ours it holds is found out by asking for everything; a log that is empty shows nothing to tell it by.
        txn.meta.logs.or_default(log).doubt = true;
    }
    let (mut refused, mut revives) = (false, false);
    if !apply.rows.is_empty() {
        revives = apply.rows.iter().flatten().any(|row| row.cl > 2);
        let schema = txn.store.schema().await?;
        if let (Some(log), Advance::Page(PullPage { asked: Some(_), first: true, .. })) =
            (apply.log, &apply.advance)
            && doubt::has_started_over(txn, &schema, log, apply).await?
        {
            txn.meta.logs.or_default(log).doubt = true;
        }
        let merged = merge_rows(txn.store, &schema, apply.tables.as_ref(), &apply.rows).await?;
        applied.taken = merged.keys_taken;
        applied.quarantined = merged.refused.len();
        refused = merged.refused.iter().any(|(_, bad)| bad.code == RowCode::Refused);
        keep_aside(txn, apply.sender, (owner, held.as_ref()), &merged, schema.version).await?;
        applied.touched = merged.keys;
        if !rules::holds(Rule::SendersClock) {
            for row in apply.rows.iter().flatten() {
                if let Some(held) = txn.meta.received.get_mut(&row.site_id) {
                    held.version = held.version.max(row.db_version);
                }
            }
        }
    }
    let after = txn.record_head().await?.max(before);
    if refused {
        txn.meta.refused = Some(txn.store.max_version().await?);
    }
    let moved = txn.store.max_version().await? > before;
    if !moved {
        applied.touched.clear();
    }
    if let Some(log) = apply.log
        && moved
    {
        let state = txn.meta.logs.or_default(log);
        let of_relay = matches!(apply.advance, Advance::Answer { .. } | Advance::Forward(_));
        if of_relay && !revives && state.uploaded >= before {
            // It has all that was here before and all that came now. A revival zeroes columns, which it may not have.
            state.uploaded_to(after);
        } else {
            state.note_range(before, after);
        }
    }
    applied.gap = advance(&mut txn.meta, apply.sender, &apply.advance);
    let is_last = matches!(apply.advance, Advance::Answer { head: None, .. } | Advance::Forward(_));
    let stored = txn.meta.current_log().is_some_and(|log| log.uploaded >= after);
    if moved && is_last && !applied.gap && stored && txn.meta.first_synced {
        txn.meta.last_synced_at = Some(apply.wall_ms);
    }
    if let (Some(log), Advance::Answer { run, current, .. }) = (apply.log, &apply.advance) {
        see(txn.meta.logs.or_default(log), run, *current);
    }
    Ok(What::Applied(applied))
}

enum Verdict {
    Stands,
    /// The log is new to us, or holds less than it did.
    Less,
    OtherAccount,
}

/// Whether this is our account's log, and whether it still has what it acknowledged.
fn judge(meta: &mut Meta, log: SiteId, durable: &Durable) -> Verdict {
    if let (Some(ours), Some(theirs)) = (&meta.account, &durable.account)
        && ours != theirs
    {
        return Verdict::OtherAccount;
    }
    if meta.account.is_none() {
        meta.account.clone_from(&durable.account);
    }
    let known = meta.log == Some(log) && meta.logs.contains_key(&log);
    let stands = match &durable.claimed {
        _ if !rules::holds(Rule::StoredClaim) => true,
        Some((site, claim)) if *site == log => durable.stored.unwrap_or(0) >= claim.version,
        // We claimed nothing of this log: right only while we have seen nothing of it.
        Some(_) | None => meta.logs.get(&log).is_none_or(|state| state.stored.is_none()),
    };
    meta.log = Some(log);
    let state = meta.logs.or_default(log);
    if known && stands {
        return Verdict::Stands;
    }
    if !stands {
        state.reset();
    }
    Verdict::Less
}

/// Moves *received* if this message continues it. True when the message begins after it: something is missing.
fn advance(meta: &mut Meta, sender: SiteId, advance: &Advance) -> bool {
    match advance {
        Advance::Nothing => false,
        Advance::Answer { run, base, current, head, carried } => {
            let held = meta.received.get(&sender);
            let to_held = carried.as_ref().is_some_and(|carried| carried.as_ref() == held);
            let continues = match held {
                _ if !rules::holds(Rule::BaseCheck) => true,
                Some(held) if held.run == *run => *base <= held.version,
                Some(_) | None => *base == 0 || to_held,
            };
            // A sender that knows what we hold and begins before it has lost what lies between: there is more to come.
            let behind = held.is_some_and(|held| held.run == *run && *current < held.version) && !to_held;
            if continues && !behind {
                let cursor = Cursor { run: run.clone(), version: *current, head: *head };
                meta.received.insert(sender, cursor);
            }
            !continues
        }
        Advance::Forward(place) => forward(meta, place),
        Advance::Page(page) => turn(meta, sender, page),
    }
}

/// Moves the cursor for a server's pages. True when the page was asked with another than the one that we hold.
fn turn(meta: &mut Meta, log: SiteId, page: &PullPage) -> bool {
    let state = meta.logs.or_default(log);
    if state.cursor != page.asked {
        return true;
    }
    if page.cursor.is_some() {
        state.cursor.clone_from(&page.cursor);
    }
    if let Some(complete) = &page.complete {
        state.echoed = complete.uploaded;
        meta.first_synced = true;
        if meta.logs.get(&log).is_some_and(|state| state.uploaded >= meta.high) {
            meta.last_synced_at = Some(complete.wall_ms);
        }
    }
    false
}

/// Books a place of a log that was forwarded or acknowledged. True when places before it are missing.
///
/// A forward may come before the connection's first answer was judged: one of another run leaves what we claim to
/// have seen alone, or a log that has lost rows would be asked about the places that it has just given anew.
pub(super) fn forward(meta: &mut Meta, place: &Place) -> bool {
    let state = meta.logs.or_default(place.site_id);
    if state.stored.as_ref().is_none_or(|seen| seen.run == place.run) {
        see(state, &place.run, place.version);
    }
    let follows = |held: &Cursor| place.base_version <= held.version || !rules::holds(Rule::PlaceBase);
    let seen_all = match meta.received.get_mut(&place.site_id) {
        Some(held) if held.run == place.run && held.head.is_none() && follows(held) => {
            held.version = held.version.max(place.version);
            true
        }
        // Behind what we have, or while a page is pending: the answer to come covers it.
        Some(held) => held.run == place.run && place.version <= held.version,
        None => false,
    };
    !seen_all
}

/// Remembers the highest place of the log that we have seen. What was seen in an earlier run and still stands has the
/// same places in this one.
pub(super) fn see(state: &mut LogState, run: &Run, version: i64) {
    let version = state.stored.as_ref().map_or(version, |seen| seen.version.max(version));
    state.stored = Some(Cursor { run: run.clone(), version, head: None });
}

/// What merging a message's rows gave.
pub(super) struct Merged {
    /// Keys of the rows that were taken.
    pub(super) keys: Vec<(String, Pk)>,
    pub(super) keys_taken: usize,
    /// With their places among the rows, in order.
    pub(super) refused: Vec<(usize, BadRow)>,
}

/// Fits rows to the schema and merges those that fit; rows of other tables than `tables` are passed over.
pub(super) async fn merge_rows<S: Store>(
    store: &mut S,
    schema: &Schema,
    tables: Option<&Vec<String>>,
    rows: &[Row],
) -> Result<Merged, StoreError> {
    let (mut originals, mut fitted) = (Vec::new(), Vec::new());
    let mut fates: Vec<Option<BadRow>> = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let mut fate = None;
        match row {
            Err(bad) => fate = Some(bad.clone()),
            Ok(change) if tables.is_some_and(|tables| !tables.contains(&change.table)) => {}
            Ok(change) => match fit(schema, change) {
                Ok(fits) => {
                    originals.push((at, change));
                    fitted.push(fits);
                }
                Err(code) => fate = Some(refused(code, change)),
            },
        }
        fates.push(fate);
    }
    let failed = merge_all(store, &fitted).await?;
    let mut failed = failed.into_iter().peekable();
    let mut keys = Vec::new();
    for ((index, fits), (at, original)) in fitted.into_iter().enumerate().zip(originals) {
        match (failed.next_if(|(bad, _)| *bad == index), fates.get_mut(at)) {
            (Some((_, code)), Some(fate)) => *fate = Some(refused(code, original)),
            _ => keys.push((fits.table, fits.pk)),
        }
    }
    let keys_taken = keys.len();
    // Columns of a row come after each other: before the sorting most of it is done.
    keys.dedup();
    let mut keys = sorted(keys);
    keys.dedup();
    let refused = fates.into_iter().enumerate().filter_map(|(at, fate)| Some((at, fate?))).collect();
    Ok(Merged { keys, keys_taken, refused })
}

/// Without the clock of the sender, so that the row is known again when it comes from somebody else.
fn refused(code: RowCode, change: &Change) -> BadRow {
    BadRow { code, text: Change { db_version: 0, ..change.clone() }.to_json() }
}

/// Merges, and tries what was refused again as long as that helps: a check over two columns or a trigger may refuse a
/// row only because another one of the same message came after it. Returns the places of those that fail, in order.
async fn merge_all<S: Store>(store: &mut S, rows: &[Change]) -> Result<Vec<(usize, RowCode)>, StoreError> {
    let mut failed = store.merge(rows).await?;
    let mut tried = rows.len();
    for _ in 0..MOST_TRIALS {
        if failed.is_empty() || failed.len() == tried {
            break;
        }
        tried = failed.len();
        // The other way round: rows that wait for each other in a long chain come after each other in one of the two.
        failed.reverse();
        let again: Vec<Change> = failed.iter().filter_map(|(index, _)| rows.get(*index)).cloned().collect();
        let still = store.merge(&again).await?;
        failed = still
            .into_iter()
            .filter_map(|(place, code)| failed.get(place).map(|(index, _)| (*index, code)))
            .collect();
    }
    if failed.first().map(|(index, _)| index) > failed.last().map(|(index, _)| index) {
        failed.reverse();
    }
    Ok(failed)
}

/// The row as the local schema would hold it.
pub(super) fn fit(schema: &Schema, change: &Change) -> Result<Change, RowCode> {
    let table = schema.tables.get(&change.table).ok_or(RowCode::UnknownTable)?;
    let mut fitted = change.clone();
    if rules::holds(Rule::CheckedKeys) {
        fitted.pk = fit_key(&table.key, &change.pk).ok_or(RowCode::KeyMismatch)?;
    }
    if rules::holds(Rule::BindZero) {
        fitted.db_version = 0;
    }
    if !fitted.is_sentinel() {
        let affinity = table.columns.get(&fitted.cid).ok_or(RowCode::UnknownColumn)?;
        fitted.val = as_held(*affinity, fitted.val);
    }
    Ok(fitted)
}

/// `None` for a key of another number of columns, or with a NULL.
fn fit_key(affinities: &[Affinity], pk: &Pk) -> Option<Pk> {
    let columns = pk.columns();
    if columns.len() != affinities.len() {
        return None;
    }
    let key: Vec<_> =
        columns.into_iter().zip(affinities).map(|(value, affinity)| as_held(*affinity, value)).collect();
    if key.contains(&Value::Null) { None } else { Pk::pack(&key) }
}

/// The value as a column of that affinity holds it: merging compares before SQLite would bring it there.
fn as_held(affinity: Affinity, value: Value) -> Value {
    if rules::holds(Rule::Affinity) { affinity.apply(value) } else { value }
}

/// Puts refused rows into the quarantine; where it is full, remembers the cursor to come back to.
async fn keep_aside<S: Store>(
    txn: &mut Txn<'_, S>,
    sender: SiteId,
    (owner, held): (SiteId, Option<&Cursor>),
    merged: &Merged,
    schema: i64,
) -> Result<(), StoreError> {
    if merged.refused.is_empty() || !rules::holds(Rule::Quarantine) {
        return Ok(());
    }
    let kept = txn.store.kept(List::Quarantine).await?;
    let mut seen = Seen::with_room(kept.len() + merged.refused.len());
    for row in &kept {
        seen.insert(seen::digest(row.row.as_bytes()));
    }
    let mut rows: Vec<KeptRow> = Vec::new();
    for (_, bad) in &merged.refused {
        let row = KeptRow { peer: sender, row: bad.text.clone(), code: bad.code, schema };
        let known = |other: &KeptRow| other.row == row.row;
        let maybe_known = seen.insert(seen::digest(row.row.as_bytes()));
        if !maybe_known || !kept.iter().chain(&rows).any(known) {
            rows.push(row);
        }
    }
    let room = QUARANTINE_ROWS.saturating_sub(kept.len());
    if rows.len() > room {
        rows.truncate(room);
        if let Some(held) = held {
            txn.meta.rewind.or_insert_with(owner, || held.clone());
        } else if let Some(run) = txn.meta.run().cloned() {
            // A cursor of a run that the sender does not know: it starts from the beginning.
            txn.meta.rewind.or_insert_with(owner, || Cursor { run, version: 0, head: None });
        }
    }
    txn.quarantined = Some((kept.len() + rows.len()) as u64);
    txn.store.keep(List::Quarantine, &rows).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_of_another_run_leaves_what_we_claim_of_a_log_alone() {
        let log = SiteId([7; 16]);
        let place = |run: &str, version| Place {
            site_id: log,
            run: Run::new(run).unwrap(),
            base_version: version - 1,
            version,
        };
        let mut meta = Meta::default();
        for (place, claim) in
            [(place("a", 20), ("a", 20)), (place("b", 6), ("a", 20)), (place("a", 21), ("a", 21))]
        {
            forward(&mut meta, &place);
            let stored = meta.logs.get(&log).unwrap().stored.clone().unwrap();
            assert_eq!((stored.run.as_str(), stored.version), claim);
        }
    }
}
