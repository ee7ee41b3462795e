//! Comparing what devices state of themselves with one user's log. Decides when the log is added up again; what differs
//! is `log::core`'s. Never tells anybody: called by `room`, which answers and forwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crsqlite_sync::wire::{Run, SiteId, SyncRequest};
use tokio::sync::{Mutex as SharedMutex, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::log::Log;
use crate::log::core::{Clock, Sums, Verdict, Witness, is_whole};
use crate::user::Owner;

/// A file may change although no clock does.
const COUNT_LASTS: Duration = Duration::from_secs(3600);
/// A user's log is added up so often at once, and then once in a pause. Beyond that nothing is compared: a device
/// that hears nothing states its sums again later.
const COUNTS: u32 = 8;
const COUNT_PAUSE: Duration = Duration::from_secs(60);
/// How long the log of one user waits for those of others.
const TURN: Duration = Duration::from_secs(5);

/// One user's log, added up, and what the user's devices have stated.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// All users' comparisons share it.
    counting: Arc<Semaphore>,
    counts: SharedMutex<Counts>,
    witness: Mutex<Witness>,
}

#[derive(Debug, Default)]
struct Counts {
    last: Option<Arc<Counted>>,
    allowance: Allowance,
}

/// A log, added up.
#[derive(Debug)]
pub(crate) struct Counted {
    at: Instant,
    clock: Clock,
    sums: Sums,
}

/// What was counted lately: each count is forgotten after a pause of its own.
#[derive(Debug, Default)]
struct Allowance {
    /// When all will be forgotten.
    until: Option<Instant>,
}

impl Allowance {
    /// False if there were too many.
    fn take(&mut self, now: Instant) -> bool {
        let until = self.until.map_or(now, |until| until.max(now)) + COUNT_PAUSE;
        let fits = until <= now + COUNT_PAUSE * COUNTS;
        if fits {
            self.until = Some(until);
        }
        fits
    }
}

impl Comparison {
    pub(crate) fn new(counting: Arc<Semaphore>) -> Self {
        Comparison { counting, counts: SharedMutex::default(), witness: Mutex::default() }
    }

    /// Adds the log up, unless that was done at this head, or too often. Takes as long as the log is large: nothing
    /// else of the user may wait for it.
    pub(crate) async fn count(&self, log: &dyn Log, owner: &Owner) -> Option<Arc<Counted>> {
        let mut counts = self.counts.lock().await;
        if let (Some(known), Ok(clock)) = (&counts.last, log.clock(owner).await)
            && known.clock == clock
            && known.at.elapsed() < COUNT_LASTS
        {
            return Some(Arc::clone(known));
        }
        let _turn = timeout(TURN, self.counting.acquire()).await.ok()?.ok()?;
        if !counts.allowance.take(Instant::now()) {
            return None;
        }
        counts.last = match log.sums(owner).await {
            Ok((_, sums)) if !is_whole(&sums) => None,
            Ok((clock, sums)) => Some(Arc::new(Counted { at: Instant::now(), clock, sums })),
            Err(error) => {
                warn!(%error, "the log cannot be added up");
                None
            }
        };
        counts.last.clone()
    }

    /// What comparing this request gives; nothing where its sender has not received all of the log, or the log has moved
    /// on since it was added up. Waits for nobody.
    pub(crate) fn verdict(
        &self,
        counted: &Counted,
        from: SiteId,
        request: &SyncRequest,
        log: SiteId,
        run: &Run,
        clock: &Clock,
    ) -> Option<Verdict> {
        let stated = request.digest.as_ref()?;
        let has_all = request.cursor_of(log).is_some_and(|cursor| clock.is_head(run, cursor));
        let stands = request.stored.as_ref().is_none_or(|place| clock.resolve(place) >= place.version);
        if !has_all || !stands || counted.clock != *clock {
            return None;
        }
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        Some(witness.compare_from(Some(from), run, clock, &counted.sums, stated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_counted_a_few_times_at_once_and_then_once_in_a_pause() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        assert!((0..COUNTS).all(|_| allowance.take(now)));
        assert!(!allowance.take(now));
        assert!(allowance.take(now + COUNT_PAUSE), "one is forgotten");
        assert!(!allowance.take(now + COUNT_PAUSE));
        let later = now + COUNT_PAUSE * (2 * COUNTS);
        assert!((0..COUNTS).all(|_| allowance.take(later)), "all are forgotten, and no more than all");
        assert!(!allowance.take(later));
    }
}
