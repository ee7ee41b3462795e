//! A leader starts, and the regular look at the database. Decides where a run begins, when progress is forgotten,
//! and when the quarantine is tried again.

use super::apply::{QUARANTINE_ROWS, merge_rows, restate};
use super::{Txn, What};
use crate::engine::meta::Meta;
use crate::engine::store::{KeptRow, List, Store, StoreError};
use crate::rules::{self, Rule};
use crate::wire::{Change, Row, RowCode, Run, SiteId};

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
    let schema = txn.store.schema().await?;
    let before = txn.store.max_version().await?;
    let newer = schema.version != txn.meta.schema;
    let moved = txn.meta.refused.is_some_and(|tried| tried != before);
    let left_out = !txn.meta.rewind.is_empty();
    if !(newer || moved || left_out) || !rules::holds(Rule::QuarantineRetry) {
        return Ok(What::Polled { retried: Vec::new(), rewound: false });
    }
    txn.meta.schema = schema.version;
    let kept = txn.store.kept(List::Quarantine).await?;
    let due = |row: &&KeptRow| newer || (moved && row.code == RowCode::Refused);
    let parsed = |row: &KeptRow| Change::from_json(&row.row).ok();
    let candidates: Vec<Row> = kept.iter().filter(due).filter_map(parsed).map(Ok).collect();
    let tried = candidates.len();
    let merged = merge_rows(txn.store, &schema, tables, candidates).await?;
    let fits = |row: &&KeptRow| {
        due(row) && parsed(row).is_some() && !merged.refused.iter().any(|bad| bad.text == row.row)
    };
    let (settled, still): (Vec<KeptRow>, Vec<KeptRow>) = kept.into_iter().partition(|row| fits(&row));
    if tried > 0 {
        txn.store.forget(List::Quarantine, &settled).await?;
    }
    if newer {
        restate(txn.store, &still, &merged, schema.version).await?;
    }
    txn.quarantined = Some(still.len() as u64);
    txn.record_head().await?;
    let after = txn.store.max_version().await?;
    let refused = |row: &KeptRow| {
        let now = merged.refused.iter().find(|bad| bad.text == row.row);
        now.map_or(row.code, |bad| bad.code) == RowCode::Refused
    };
    txn.meta.refused = still.iter().any(refused).then_some(after);
    let rewound = left_out && (newer || still.len() <= QUARANTINE_ROWS / 2);
    if rewound {
        rewind(&mut txn.meta);
    }
    Ok(What::Polled { retried: if after > before { merged.keys } else { Vec::new() }, rewound })
}

/// Goes back to where rows have found no room in the quarantine.
fn rewind(meta: &mut Meta) {
    for (site, cursor) in std::mem::take(&mut meta.rewind) {
        match meta.logs.get_mut(&site) {
            // A server that has no clock is asked from the beginning.
            Some(log) if log.cursor.is_some() => (log.cursor, log.echoed) = (None, 0),
            Some(_) | None => meta.received.insert(site, cursor),
        }
    }
}
