//! The end of a relay that people are connected to. Decides when each connection is told to leave and how long it stays
//! away, so that thousands do not come back in the same second; never closes one itself. Begun by `server`, waited for
//! by `socket`, asked by `http`.

use std::sync::OnceLock;
use std::time::Duration;

use crsqlite_sync::wire::CloseCode;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::outbox::End;

/// So fast may connections leave at least: a few of them are not worth waiting for.
const PER_CONNECTION: Duration = Duration::from_millis(5);

/// Whether the relay is about to end, and how.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun: CancellationToken,
    plan: OnceLock<Plan>,
}

/// Connections leave one after the other within `spread`, and stay away for as long, so they come back after it and
/// as far apart as they left.
#[derive(Debug, Clone, Copy)]
struct Plan {
    from: Instant,
    spread: Duration,
}

impl Drain {
    /// From now on connections leave, and nobody is let in. Returns how long that takes: at most `longest`. What was
    /// begun stays as it is.
    pub(crate) fn begin(&self, connections: usize, longest: Duration) -> Duration {
        let count = u32::try_from(connections).unwrap_or(u32::MAX);
        let spread = longest.min(PER_CONNECTION.saturating_mul(count));
        let plan = self.plan.get_or_init(|| Plan { from: Instant::now(), spread });
        self.begun.cancel();
        plan.spread
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until this connection has to leave. Safe to cancel.
    pub(crate) async fn turn(&self, connection: u64) -> End {
        self.begun.cancelled().await;
        let Some(plan) = self.plan.get() else { return LEAVE };
        sleep_until(plan.from + share(connection, plan.spread)).await;
        LEAVE.after(plan.spread)
    }

    /// What a connection is told that comes now; nothing if it may come in.
    pub(crate) fn refusal(&self, connection: u64) -> Option<End> {
        let plan = self.plan.get()?;
        let left = plan.spread.saturating_sub(plan.from.elapsed());
        Some(LEAVE.after(left + share(connection, plan.spread)))
    }
}

const LEAVE: End = End::new(CloseCode::TRY_AGAIN_LATER, "restarting");

/// A connection's share of a duration: numbers in a row lie far apart, and any stretch of them fills it evenly.
fn share(connection: u64, of: Duration) -> Duration {
    /// 2^64 divided by the golden ratio.
    const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;
    #[allow(clippy::cast_precision_loss)] // of no account here
    let fraction = connection.wrapping_mul(STRIDE) as f64 / u64::MAX as f64;
    of.mul_f64(fraction.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_any_stretch_of_connections_are_spread_evenly() {
        let second = Duration::from_secs(1);
        for first in [0, 1, 1_000_000, u64::MAX - 500] {
            let mut tenths = [0; 10];
            for connection in 0..1_000_u64 {
                let share = share(first.wrapping_add(connection), second);
                tenths[((share.as_millis() / 100) as usize).min(9)] += 1;
            }
            assert!(tenths.iter().all(|count| (90..=110).contains(count)), "{tenths:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_leave_within_the_time_and_come_back_after_it() {
        let drain = Drain::default();
        assert!(!drain.has_begun() && drain.refusal(1).is_none());
        let longest = Duration::from_secs(10);
        let began = Instant::now();
        assert_eq!(drain.begin(100_000, longest), longest);
        for connection in [3, 4, 5] {
            let end = drain.turn(connection).await;
            assert_eq!((end.code, end.retry_after), (CloseCode::TRY_AGAIN_LATER, Some(longest)));
            assert!(began.elapsed() <= longest);
            let late = drain.refusal(connection).unwrap().retry_after.unwrap();
            assert!(began.elapsed() + late >= longest && began.elapsed() + late <= longest * 2);
        }
        assert!(began.elapsed() > Duration::from_secs(1), "not all at once");
    }

    #[test]
    fn a_few_connections_do_not_keep_the_relay() {
        assert_eq!(Drain::default().begin(0, Duration::from_secs(10)), Duration::ZERO);
        assert_eq!(Drain::default().begin(2, Duration::from_secs(10)), PER_CONNECTION * 2);
        assert_eq!(Drain::default().begin(usize::MAX, Duration::from_secs(10)), Duration::from_secs(10));
    }
}
