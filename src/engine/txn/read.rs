//! Reading what is sent: the facts of a request, and the rows of answers, pushes and uploads. Decides which rows a
//! message carries beside those that were asked for. Every watermark is the upper bound of the scan itself.

use super::book::still_rejected;
use super::{Point, Scope, Txn, What};
use crate::engine::store::{List, Page, Rows, Scan, Store, StoreError};
use crate::rules::{self, Rule};
use crate::sorted::sorted;
use crate::wire::{Change, Pk, SiteId};

pub(super) async fn request<S: Store>(txn: &mut Txn<'_, S>) -> Result<What, StoreError> {
    txn.record_head().await?;
    let stored = txn.meta.log.and_then(|log| {
        txn.meta.logs.get(&log).and_then(|state| state.stored.clone()).map(|cursor| (log, cursor))
    });
    Ok(What::Request { cursors: txn.meta.received.clone(), stored })
}

pub(super) async fn answer<S: Store>(
    txn: &mut Txn<'_, S>,
    from: &Point,
    scope: &Scope,
) -> Result<What, StoreError> {
    let head = txn.record_head().await?;
    let base = match from {
        Point::Cursor(cursor) => txn.meta.resolve(cursor.as_ref()),
        Point::After(version) => *version,
    };
    let page = page(txn.store, base, head, Rows::All, scope).await?;
    Ok(What::Answer { base, current: page.reached, head, changes: page.changes })
}

pub(super) async fn push<S: Store>(
    txn: &mut Txn<'_, S>,
    after: i64,
    scope: &Scope,
) -> Result<What, StoreError> {
    let head = txn.record_head().await?;
    let page = page(txn.store, after, head, Rows::Own, scope).await?;
    let whole = page.reached >= head && fits(&page, scope);
    Ok(What::Push { changes: whole.then_some(page.changes), head })
}

pub(super) async fn upload<S: Store>(
    txn: &mut Txn<'_, S>,
    log: SiteId,
    after: i64,
    scope: &Scope,
) -> Result<What, StoreError> {
    let head = txn.record_head().await?;
    let state = txn.meta.logs.or_default(log);
    let (ranges, kept_sent, resend) = (state.ranges.clone(), state.kept_sent, state.resend);
    let mut kept = if kept_sent { Vec::new() } else { kept_rows(txn.store).await? };
    if resend {
        kept.extend(still_rejected(txn, scope).await?);
    }
    if kept.is_empty() {
        let state = txn.meta.logs.or_default(log);
        (state.kept_sent, state.resend) = (true, false);
    }
    let rows = if rules::holds(Rule::UploadEveryOrigin) { Rows::Outside(ranges) } else { Rows::Own };
    let page = page(txn.store, after, head, rows, scope).await?;
    Ok(What::Upload { base: after, current: page.reached, kept, changes: page.changes })
}

/// What was kept aside, as it came: a log that has lost it needs it from whoever still has it.
async fn kept_rows<S: Store>(store: &mut S) -> Result<Vec<Change>, StoreError> {
    let kept = store.kept(List::Quarantine).await?;
    Ok(kept.into_iter().filter_map(|row| Change::from_json(&row.row).ok()).collect())
}

/// Whole versions after `after`, and the rows that have to travel with them.
async fn page<S: Store>(
    store: &mut S,
    after: i64,
    upto: i64,
    rows: Rows,
    scope: &Scope,
) -> Result<Page, StoreError> {
    if after >= upto {
        return Ok(Page { changes: Vec::new(), reached: after });
    }
    let answers = rows == Rows::All;
    let scan = Scan { after, upto, rows, tables: scope.tables.clone() };
    let mut page = store.scan(&scan, scope.budget).await?;
    let keys: Vec<(String, Pk)> = page
        .changes
        .iter()
        .filter(|change| change.revives_row())
        .map(|change| (change.table.clone(), change.pk.clone()))
        .collect();
    let whole_rows = rules::holds(Rule::Additions) && (!answers || rules::holds(Rule::AdditionsInAnswers));
    if keys.is_empty() || !whole_rows {
        return Ok(page);
    }
    let mut keys = sorted(keys);
    keys.dedup();
    let present = sorted(page.changes.iter().map(identity).collect());
    let additions = store.rows_of(&keys).await?;
    page.changes
        .extend(additions.into_iter().filter(|change| present.binary_search(&identity(change)).is_err()));
    Ok(page)
}

/// Table and column in one, so that a list of these sorts with the code that sorts keys; no name of SQLite has a NUL.
fn identity(change: &Change) -> (String, Pk) {
    ([&change.table, "\0", &change.cid].concat(), change.pk.clone())
}

fn fits(page: &Page, scope: &Scope) -> bool {
    page.changes.len() <= scope.budget.changes
        && page.changes.iter().map(Change::wire_size).sum::<usize>() <= scope.budget.bytes
}
