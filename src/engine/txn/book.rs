//! Booking what others have confirmed: acknowledgements of a log, a finished catch-up, another account.

use super::apply::{forward, see};
use super::{Acked, Txn, What};
use crate::engine::meta::{LogState, Meta};
use crate::engine::store::{KeptRow, List, Store, StoreError};
use crate::rules::{self, Rule};

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
    }
    if log.uploaded >= head && txn.meta.first_synced {
        txn.meta.last_synced_at = Some(acked.wall_ms);
    }
    if let Some(place) = &acked.place {
        // Acknowledgements come after this connection's first answer: what we have seen stands.
        see(txn.meta.logs.or_default(place.site_id), &place.run, place.version);
        forward(&mut txn.meta, place);
    }
    if !acked.rejected.is_empty() {
        let schema = txn.store.schema().await?.version;
        let kept = txn.store.kept(List::Rejected).await?.len();
        let rows: Vec<KeptRow> = acked
            .rejected
            .iter()
            .take(REJECTED_ROWS.saturating_sub(kept))
            .map(|(change, code)| KeptRow { peer: acked.log, row: change.to_json(), code: *code, schema })
            .collect();
        txn.store.keep(List::Rejected, &rows).await?;
        txn.rejected = Some(txn.store.kept(List::Rejected).await?.len() as u64);
    }
    Ok(What::Acked)
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
        let refused = txn.store.kept(List::Rejected).await?;
        txn.store.forget(List::Rejected, &refused).await?;
        txn.rejected = Some(0);
    }
    Ok(What::Forgotten)
}

/// Drops what was agreed with the old account's log; the data and our own clock stay.
pub(super) async fn accept_account<S: Store>(txn: &mut Txn<'_, S>) -> Result<What, StoreError> {
    let Meta { high, runs, tables, schema, .. } = txn.meta.clone();
    txn.meta = Meta { high, runs, tables, schema, ..Meta::default() };
    Ok(What::AccountAccepted)
}
