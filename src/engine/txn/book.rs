//! Booking what others have confirmed: acknowledgements of a log, a finished catch-up, another account.

use super::apply::{forward, see};
use super::doubt::says_the_same;
use super::{Acked, Scope, Txn, What};
use crate::engine::meta::{LogState, Meta};
use crate::engine::store::{KeptRow, List, Store, StoreError};
use crate::rules::{self, Rule};
use crate::sorted::sorted;
use crate::wire::{Change, Pk};

/// How many refused rows of ours are kept; the oldest reasons are the telling ones.
const REJECTED_ROWS: usize = 10_000;

/// Moves *uploaded* over messages that the log has acknowledged without a gap.
pub(super) async fn acked<S: Store>(txn: &mut Txn<'_, S>, acked: &Acked) -> Result<What, StoreError> {
    let head = txn.record_head().await?;
    let mut none = LogState::default();
    let log = if acked.steps.is_empty() && !acked.kept {
        // What a relay refuses that only forwards is booked under our own site, and that is no log.
        txn.meta.logs.get_mut(&acked.log).unwrap_or(&mut none)
    } else {
        txn.meta.logs.or_default(acked.log)
    };
    for (base, current) in &acked.steps {
        if *base <= log.uploaded || !rules::holds(Rule::AckBase) {
            log.uploaded_to(*current);
        }
    }
    if acked.kept {
        log.kept_sent = true;
        log.resend = false;
    }
    if log.uploaded >= head {
        txn.meta.pending_since = None;
    }
    if log.uploaded >= head && txn.meta.first_synced {
        txn.meta.last_synced_at = Some(acked.wall_ms);
    }
    if let Some(place) = &acked.place {
        // Acknowledgements come after this connection's first answer: what we have seen stands.
        see(txn.meta.logs.or_default(place.site_id), &place.run, place.version);
        forward(&mut txn.meta, place);
    }
    if !acked.rejected.is_empty() || !acked.taken.is_empty() {
        list(txn, acked).await?;
    }
    Ok(What::Acked)
}

/// Puts rows that were refused at the end of the rejected list, and takes off what this message settles.
async fn list<S: Store>(txn: &mut Txn<'_, S>, acked: &Acked) -> Result<(), StoreError> {
    let refused = acked.rejected.iter().map(|(change, _)| change);
    let settled = ByKey::new(acked.taken.iter().chain(refused).collect());
    let kept = txn.store.kept(List::Rejected).await?;
    let count = kept.len();
    let mut gone = Vec::new();
    for row in kept {
        let old = Change::from_json(&row.row);
        if old.is_ok_and(|old| settled.any(&old, &|new| overtakes(new, &old))) {
            gone.push(row);
        }
    }
    txn.store.forget(List::Rejected, &gone).await?;
    let left = count - gone.len();
    let schema = txn.store.schema().await?.version;
    let rows: Vec<KeptRow> = acked
        .rejected
        .iter()
        .take(REJECTED_ROWS.saturating_sub(left))
        .map(|(change, code)| KeptRow { peer: acked.log, row: change.to_json(), code: *code, schema })
        .collect();
    txn.store.keep(List::Rejected, &rows).await?;
    txn.rejected = Some((left + rows.len()) as u64);
    Ok(())
}

/// Whether nobody needs `old` any more where `new`, of the same row, was taken or refused.
fn overtakes(new: &Change, old: &Change) -> bool {
    new.cl > old.cl || (new.cl == old.cl && new.cid == old.cid && new.col_version >= old.col_version)
}

/// Those of the rejected rows that still say what the database says. The others leave the list.
pub(super) async fn still_rejected<S: Store>(
    txn: &mut Txn<'_, S>,
    scope: &Scope,
) -> Result<Vec<Change>, StoreError> {
    let kept = txn.store.kept(List::Rejected).await?;
    let count = kept.len();
    let (mut rows, mut keys) = (Vec::new(), Vec::new());
    for row in kept {
        if let Ok(change) = Change::from_json(&row.row) {
            keys.push((change.table.clone(), change.pk.clone()));
            rows.push((row, change));
        }
    }
    let mut keys = sorted(keys);
    keys.dedup();
    let current = txn.store.rows_of(&keys).await?;
    let current = ByKey::new(current.iter().collect());
    let (mut gone, mut still) = (Vec::new(), Vec::new());
    for (row, old) in rows {
        if !current.any(&old, &|now| says_the_same(now, &old)) {
            gone.push(row);
        } else if scope.tables.as_ref().is_none_or(|tables| tables.contains(&old.table)) {
            still.push(old);
        }
    }
    txn.store.forget(List::Rejected, &gone).await?;
    txn.rejected = Some((count - gone.len()) as u64);
    Ok(still)
}

/// Rows, found by their key.
struct ByKey<'a> {
    rows: Vec<&'a Change>,
    order: Vec<(&'a str, &'a Pk, usize)>,
}

impl<'a> ByKey<'a> {
    fn new(rows: Vec<&'a Change>) -> Self {
        let places = rows.iter().enumerate().map(|(at, row)| (row.table.as_str(), &row.pk, at));
        ByKey { order: sorted(places.collect()), rows }
    }

    /// Whether a row of this one's key is such a one.
    fn any(&self, of: &Change, such: &dyn Fn(&Change) -> bool) -> bool {
        let key = (of.table.as_str(), &of.pk);
        let first = self.order.partition_point(|(table, pk, _)| (*table, *pk) < key);
        let same = self.order.iter().skip(first).take_while(|(table, pk, _)| (*table, *pk) == key);
        same.filter_map(|(_, _, at)| self.rows.get(*at)).any(|row| such(row))
    }
}

/// Everything that was asked has been answered: for the first time ever, or once more.
pub(super) async fn caught_up<S: Store>(txn: &mut Txn<'_, S>, wall_ms: i64) -> Result<What, StoreError> {
    txn.meta.first_synced = true;
    let head = txn.store.max_version().await?;
    if txn.meta.current_log().is_none_or(|log| log.uploaded >= head) {
        txn.meta.last_synced_at = Some(wall_ms);
    }
    Ok(What::CaughtUp)
}

/// Starts over with the remote.
pub(super) async fn forget<S: Store>(txn: &mut Txn<'_, S>, rejected: bool) -> Result<What, StoreError> {
    txn.meta.forget_exchange();
    if rejected {
        drop_rejected(txn).await?;
    }
    Ok(What::Forgotten)
}

/// Drops what was agreed with the old account's log; the data, our own clock and the quarantine stay. Only this account is
/// meant: where yet another one answers next, nobody has accepted that.
pub(super) async fn accept_account<S: Store>(
    txn: &mut Txn<'_, S>,
    account: &Option<String>,
) -> Result<What, StoreError> {
    let Meta { high, runs, tables, schema, refused, pending_since, .. } = txn.meta.clone();
    let account = account.clone();
    txn.meta = Meta { high, runs, tables, schema, refused, pending_since, account, ..Meta::default() };
    drop_rejected(txn).await?;
    Ok(What::AccountAccepted)
}

/// Everything is sent again: what is refused then will be said again.
async fn drop_rejected<S: Store>(txn: &mut Txn<'_, S>) -> Result<(), StoreError> {
    let refused = txn.store.kept(List::Rejected).await?;
    txn.rejected = Some(0);
    txn.store.forget(List::Rejected, &refused).await
}
