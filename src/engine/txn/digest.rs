//! Adding up what the replicated tables hold, slice by slice, so that the database is never kept for long. Decides how
//! much one transaction reads; what an entry is worth is `wire`'s, what a slice leads to the replica's.
//! Reads only: a slice says nothing when the head has moved since the one before.

use super::{KeyPlace, Scope, Txn, What};
use crate::engine::store::{Budget, Store, StoreError};
use crate::wire::{Change, Digest, TableDigest};

pub(super) async fn digest<S: Store>(
    txn: &mut Txn<'_, S>,
    from: &KeyPlace,
    scope: &Scope,
) -> Result<What, StoreError> {
    let schema = txn.store.schema().await?;
    let (first, mut after) = from.clone();
    let mut budget = scope.budget;
    let mut tables: Digest = Vec::new();
    let wanted = |table: &&String| scope.tables.as_ref().is_none_or(|tables| tables.contains(table));
    for table in schema.tables.keys().filter(wanted).filter(|table| **table >= first) {
        if *table != first {
            after = 0;
        }
        if budget.changes == 0 {
            return Ok(What::Digest { tables, next: Some((table.clone(), after)) });
        }
        let stretch = txn.store.walk(table, after, budget).await?;
        budget = less(budget, &stretch.changes);
        tables.push((table.clone(), of(table, &stretch.changes)));
        if let Some(reached) = stretch.reached {
            return Ok(What::Digest { tables, next: Some((table.clone(), reached)) });
        }
    }
    Ok(What::Digest { tables, next: None })
}

fn less(budget: Budget, read: &[Change]) -> Budget {
    let bytes = read.iter().map(Change::wire_size).sum();
    Budget { changes: budget.changes.saturating_sub(read.len()), bytes: budget.bytes.saturating_sub(bytes) }
}

fn of(table: &str, changes: &[Change]) -> TableDigest {
    let mut sums = TableDigest::default();
    for row in changes.chunk_by(|one, other| one.pk == other.pk) {
        let Some(first) = row.first() else { continue };
        let columns = row.iter().filter(|change| !change.is_sentinel());
        let columns = columns.map(|change| (change.cid.as_str(), change.col_version, &change.val));
        sums.add_row(table, &first.pk, first.cl, columns);
    }
    sums
}
