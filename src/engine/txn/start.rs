//! A leader starts, and the regular look at the database. Decides where a run begins, when progress is forgotten,
//! and when the quarantine is tried again.

use super::apply::{QUARANTINE_ROWS, merge_rows};
use super::{Txn, What};
use crate::engine::store::{KeptRow, List, Store, StoreError};
use crate::rules::{self, Rule};
use crate::sorted::SortedMap;
use crate::wire::{Change, Cursor, Row, RowCode, Run, SiteId};

/// Whenever other rows have come, so many refused ones are tried, and the rest where that has helped any. A schema that
/// changes, and the app, try all.
const PROBED: usize = 500;
/// What found no room in the quarantine is asked for again when it holds no more than this.
const ROOM_AGAIN: usize = QUARANTINE_ROWS / 2;

/// Begins a run, and starts over with everybody when `tables` has gained one.
pub(super) async fn start<S: Store>(
    txn: &mut Txn<'_, S>,
    run: &Run,
    tables: Option<&Vec<String>>,
    log: Option<SiteId>,
) -> Result<What, StoreError> {
    let max = txn.store.max_version().await?;
    if txn.meta.gains_table(tables) && rules::holds(Rule::TablesGrow) {
        txn.meta.forget_progress();
    }
    if let Some(log) = log {
        txn.meta.log = Some(log);
        txn.meta.logs.or_default(log);
    }
    txn.meta.begin_run(run.clone(), max);
    txn.meta.tables = Some(tables.cloned());
    if txn.meta.high > 0 && rules::holds(Rule::Floor) {
        // The floor stands in a table that the app's migrations may have rebuilt.
        txn.store.set_floor(txn.meta.high + 1).await?;
    }
    let quarantined = txn.store.kept(List::Quarantine).await?.len();
    let rejected = txn.store.kept(List::Rejected).await?;
    txn.quarantined = Some(quarantined as u64);
    txn.rejected = Some(rejected.len() as u64);
    let too_large = rejected.iter().filter(|row| row.code == RowCode::TooLarge);
    let too_large = too_large.filter_map(|row| Change::from_json(&row.row).ok()).collect();
    Ok(What::Started { too_large })
}

/// Notices a changed schema: what was kept aside may fit now, and what found no room there is asked for again. What a
/// constraint or a trigger has refused may fit as soon as other rows have come.
pub(super) async fn poll<S: Store>(
    txn: &mut Txn<'_, S>,
    tables: Option<&Vec<String>>,
) -> Result<What, StoreError> {
    let version = txn.store.schema().await?.version;
    let before = txn.store.max_version().await?;
    let newer = version != txn.meta.schema;
    let moved = txn.meta.refused.is_some_and(|tried| tried != before);
    let left_out = !txn.meta.rewind.is_empty();
    if !(newer || moved || left_out) || !rules::holds(Rule::QuarantineRetry) {
        return Ok(What::Polled { retried: Vec::new(), rewound: false });
    }
    if !(newer || moved) {
        // Nothing is tried, and to find no room is cheap.
        let kept = txn.store.count_kept(List::Quarantine).await?;
        if kept > ROOM_AGAIN as u64 {
            txn.quarantined = Some(kept);
            return Ok(What::Polled { retried: Vec::new(), rewound: false });
        }
    }
    txn.meta.schema = version;
    retry(txn, tables, newer, moved).await
}

/// Tries what was kept aside: `all` of it, which also sends again what the log has refused, or what was `refused` here.
/// What found no room is asked for again when there is some.
pub(super) async fn retry<S: Store>(
    txn: &mut Txn<'_, S>,
    tables: Option<&Vec<String>>,
    all: bool,
    refused: bool,
) -> Result<What, StoreError> {
    let schema = txn.store.schema().await?;
    let before = txn.store.max_version().await?;
    let kept = txn.store.kept(List::Quarantine).await?;
    let mut left = kept.len();
    let (mut tried, mut rows) = (Vec::<KeptRow>::new(), Vec::<Row>::new());
    let mut still_refused = false;
    for row in kept {
        let due = all || (refused && row.code == RowCode::Refused);
        match Change::from_json(&row.row) {
            Ok(change) if due => {
                tried.push(row);
                rows.push(Ok(change));
            }
            // One that cannot be read stays as it is.
            Ok(_) | Err(_) => still_refused |= row.code == RowCode::Refused,
        }
    }
    let rest = if all { Vec::new() } else { rows.split_off(rows.len().min(PROBED)) };
    let probed = rows.len();
    let mut merged = merge_rows(txn.store, &schema, tables, &rows).await?;
    if merged.refused.len() < probed {
        let more = merge_rows(txn.store, &schema, tables, &rest).await?;
        merged.refused.extend(more.refused.into_iter().map(|(at, bad)| (probed + at, bad)));
        merged.keys.extend(more.keys);
    } else {
        still_refused |= !rest.is_empty();
        tried.truncate(probed);
    }
    let mut bad = merged.refused.iter().peekable();
    let (mut gone, mut renewed) = (Vec::new(), Vec::new());
    for (at, row) in tried.into_iter().enumerate() {
        let code = bad.next_if(|(place, _)| *place == at).map(|(_, bad)| bad.code);
        still_refused |= code == Some(RowCode::Refused);
        if code == Some(row.code) {
            continue;
        }
        if let Some(code) = code {
            renewed.push(KeptRow { code, schema: schema.version, ..row.clone() });
        }
        gone.push(row);
    }
    if !gone.is_empty() {
        txn.store.forget(List::Quarantine, &gone).await?;
        txn.store.keep(List::Quarantine, &renewed).await?;
    }
    left = left - gone.len() + renewed.len();
    txn.quarantined = Some(left as u64);
    txn.record_head().await?;
    let after = txn.store.max_version().await?;
    txn.meta.refused = still_refused.then_some(after);
    let rewound = !txn.meta.rewind.is_empty() && (all || left <= ROOM_AGAIN);
    if rewound {
        for (site, cursor) in std::mem::take(&mut txn.meta.rewind) {
            match txn.meta.logs.get_mut(&site) {
                // A server that has no clock is asked from the beginning.
                Some(log) if log.cursor.is_some() => (log.cursor, log.echoed) = (None, 0),
                Some(_) | None => go_back(&mut txn.meta.received, site, cursor),
            }
        }
    }
    if let Some(log) = txn.meta.log.filter(|_| all)
        && !txn.store.kept(List::Rejected).await?.is_empty()
    {
        txn.meta.logs.or_default(log).resend = true;
    }
    Ok(What::Polled { retried: if after > before { merged.keys } else { Vec::new() }, rewound })
}

/// Back to where rows have found no room. Never forward: what was received since may have begun earlier.
fn go_back(received: &mut SortedMap<SiteId, Cursor>, site: SiteId, cursor: Cursor) {
    let earlier = |held: &Cursor| held.run == cursor.run && held.version <= cursor.version;
    if !received.get(&site).is_some_and(earlier) {
        received.insert(site, cursor);
    }
}
