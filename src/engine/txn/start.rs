//! A leader starts, and the regular look at the database. Decides where a run begins, when progress is forgotten,
//! and when the quarantine is tried again.

use super::apply::{merge_rows, restate};
use super::{Txn, What};
use crate::engine::store::{List, Store, StoreError};
use crate::rules::{self, Rule};
use crate::wire::{Change, Run, SiteId};

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
    let rejected = txn.store.kept(List::Rejected).await?.len();
    txn.quarantined = Some(quarantined as u64);
    txn.rejected = Some(rejected as u64);
    Ok(What::Started)
}

/// Notices a changed schema: what was kept aside may fit now, and what found no room there is asked for again.
pub(super) async fn poll<S: Store>(
    txn: &mut Txn<'_, S>,
    tables: Option<&Vec<String>>,
) -> Result<What, StoreError> {
    let schema = txn.store.schema().await?;
    if schema.version == txn.meta.schema || !rules::holds(Rule::QuarantineRetry) {
        return Ok(What::Polled { retried: Vec::new(), rewound: false });
    }
    txn.meta.schema = schema.version;
    let kept = txn.store.kept(List::Quarantine).await?;
    let candidates: Vec<Change> = kept.iter().filter_map(|row| Change::from_json(&row.row).ok()).collect();
    let before = txn.store.max_version().await?;
    let merged = merge_rows(txn.store, &schema, tables, candidates.into_iter().map(Ok).collect()).await?;
    let settled: Vec<_> = kept
        .iter()
        .filter(|row| {
            Change::from_json(&row.row).is_ok() && !merged.refused.iter().any(|bad| bad.text == row.row)
        })
        .cloned()
        .collect();
    txn.store.forget(List::Quarantine, &settled).await?;
    let still: Vec<_> = kept.iter().filter(|row| !settled.contains(row)).cloned().collect();
    restate(txn.store, &still, &merged, schema.version).await?;
    txn.quarantined = Some((kept.len() - settled.len()) as u64);
    txn.record_head().await?;
    let rewound = !txn.meta.rewind.is_empty();
    for (site, cursor) in std::mem::take(&mut txn.meta.rewind) {
        match txn.meta.logs.get_mut(&site) {
            // A server that has no clock is asked from the beginning.
            Some(log) if log.cursor.is_some() => (log.cursor, log.echoed) = (None, 0),
            Some(_) | None => txn.meta.received.insert(site, cursor),
        }
    }
    let moved = txn.store.max_version().await? > before;
    Ok(What::Polled { retried: if moved { merged.keys } else { Vec::new() }, rewound })
}
