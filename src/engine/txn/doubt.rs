//! Whether a server of the push-pull contract has started over: it shows again what lies behind the cursor that it was
//! asked with. Decides from a sample of the rows of a page; what is done about it is the replica's. Called by `apply`.

use super::apply::fit;
use super::{Apply, Txn};
use crate::engine::store::{Schema, Store, StoreError};
use crate::rules::{self, Rule};
use crate::sorted::sorted;
use crate::wire::{Change, Pk, SiteId};

/// A server whose cursor includes the row that it names shows that row again.
const REPEATED: usize = 1;
/// How many rows of a page are looked at: a server that starts over begins with what it has longest.
const SAMPLE: usize = 64;

/// All rows of our clock up to `echoed` were on the server when the last complete round began, so they lie behind its
/// cursor, and one of them that is still current cannot come again.
pub(super) async fn has_started_over<S: Store>(
    txn: &mut Txn<'_, S>,
    schema: &Schema,
    log: SiteId,
    apply: &Apply,
) -> Result<bool, StoreError> {
    let echoed = txn.meta.logs.get(&log).map_or(0, |state| state.echoed);
    if echoed == 0 || !rules::holds(Rule::Doubt) {
        return Ok(false);
    }
    let taken = |change: &&Change| apply.tables.as_ref().is_none_or(|tables| tables.contains(&change.table));
    let sample: Vec<Change> = apply
        .rows
        .iter()
        .take(SAMPLE)
        .filter_map(|row| row.as_ref().ok())
        .filter(taken)
        .filter_map(|change| fit(schema, change).ok())
        .collect();
    let keys: Vec<(String, Pk)> =
        sample.iter().map(|change| (change.table.clone(), change.pk.clone())).collect();
    let mut keys = sorted(keys);
    keys.dedup();
    let current = txn.store.rows_of(&keys).await?;
    let known = sample.iter().filter(|change| {
        let of_row = |ours: &&Change| ours.table == change.table && ours.pk == change.pk;
        // A row that was moved or has come back keeps the old versions of its columns under a new key.
        let settled =
            current.iter().filter(of_row).all(|ours| !ours.is_sentinel() || ours.db_version <= echoed);
        settled
            && current
                .iter()
                .filter(of_row)
                .any(|ours| ours.db_version <= echoed && says_the_same(ours, change))
    });
    Ok(known.count() > REPEATED)
}

/// Whether two rows of one key are the same write.
pub(super) fn says_the_same(one: &Change, other: &Change) -> bool {
    one.cid == other.cid
        && one.val == other.val
        && one.col_version == other.col_version
        && one.cl == other.cl
        && one.site_id == other.site_id
}
