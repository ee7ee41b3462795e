//! Comparing what devices state of themselves with one user's log. Decides when the log is added up again; what differs
//! is `log::core`'s. Never tells anybody: called by `room`, which answers and forwards.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crsqlite_sync::wire::{Run, SiteId, SyncRequest};
use tokio::sync::Mutex as SharedMutex;
use tokio::time::Instant;
use tracing::warn;

use crate::log::Log;
use crate::log::core::{Clock, Sums, Verdict, Witness};

/// A file may change although no clock does.
const COUNT_LASTS: Duration = Duration::from_secs(3600);

/// One user's log, added up, and what the user's devices have stated.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    counted: SharedMutex<Option<Counted>>,
    witness: Mutex<Witness>,
}

#[derive(Debug)]
struct Counted {
    at: Instant,
    clock: Clock,
    sums: Sums,
}

impl Comparison {
    /// Adds the log up, unless that was done at this head. Takes as long as the log is large: nothing else of the user
    /// may wait for it.
    pub(crate) async fn count(&self, log: &dyn Log, user: &str) {
        let mut counted = self.counted.lock().await;
        if let (Some(known), Ok(clock)) = (&*counted, log.clock(user).await)
            && known.clock == clock
            && known.at.elapsed() < COUNT_LASTS
        {
            return;
        }
        *counted = match log.sums(user).await {
            Ok((clock, sums)) => Some(Counted { at: Instant::now(), clock, sums }),
            Err(error) => {
                warn!(%error, "the log cannot be added up");
                None
            }
        };
    }

    /// What comparing this request gives; nothing where its sender has not received all of the log, or the log has moved
    /// on since it was added up.
    pub(crate) async fn verdict(
        &self,
        request: &SyncRequest,
        log: SiteId,
        run: &Run,
        clock: &Clock,
    ) -> Option<Verdict> {
        let stated = request.digest.as_ref()?;
        let has_all = request.cursor_of(log).is_some_and(|cursor| clock.is_head(run, cursor));
        let stands = request.stored.as_ref().is_none_or(|place| clock.resolve(place) >= place.version);
        let counted = self.counted.lock().await;
        let known = counted.as_ref().filter(|known| has_all && stands && known.clock == *clock)?;
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        Some(witness.compare(run, clock, &known.sums, stated))
    }
}
