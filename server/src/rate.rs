//! How much in how much time. Decides how long somebody has to wait; never waits itself and never reads a clock.
//! Asked by `door` and by the sockets, which wait, or send away.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// From how many on it is looked who may be forgotten.
const FEW: usize = 1_024;

/// So much in such a time, and at once what would be allowed in `burst`. An amount of 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) amount: u64,
    pub(crate) per: Duration,
    pub(crate) burst: Duration,
}

impl Rate {
    /// How long it takes until this amount is allowed once more.
    fn time(self, amount: u64) -> Duration {
        let nanos = u128::from(amount).saturating_mul(self.per.as_nanos()) / u128::from(self.amount.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What each of many has used up of one rate.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    rate: Rate,
    used: Mutex<Used<K>>,
}

#[derive(Debug)]
struct Used<K> {
    /// When what somebody has used is forgotten: the later, the more it was.
    until: HashMap<K, Instant>,
    /// At how many the forgotten ones are dropped.
    full: usize,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Rates { rate, used: Mutex::new(Used { until: HashMap::new(), full: FEW }) }
    }

    /// Uses an amount, and says how long to wait until it is within the rate.
    pub(crate) fn take(&self, key: &K, amount: u64, now: Instant) -> Duration {
        if self.rate.amount == 0 {
            return Duration::ZERO;
        }
        let mut used = self.used();
        let from = used.until.get(key).map_or(now, |until| (*until).max(now));
        // Further than this nobody looks.
        let until = from.checked_add(self.rate.time(amount)).unwrap_or(from);
        match used.until.get_mut(key) {
            Some(known) => *known = until,
            None => used.add(key.clone(), until, now),
        }
        until.saturating_duration_since(now).saturating_sub(self.rate.burst)
    }

    /// How long to wait until anything is within the rate. Uses nothing.
    pub(crate) fn wait(&self, key: &K, now: Instant) -> Duration {
        let until = self.used().until.get(key).copied();
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(now).saturating_sub(self.rate.burst)
        })
    }

    fn used(&self) -> MutexGuard<'_, Used<K>> {
        // Nothing in here panics half way, so what a poisoned lock guards is whole.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Used<K> {
    fn add(&mut self, key: K, until: Instant, now: Instant) {
        if self.until.len() >= self.full {
            self.until.retain(|_, until| *until > now);
            self.full = (self.until.len() * 2).max(FEW);
        }
        self.until.insert(key, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_second: u64, burst: u64) -> Rates<&'static str> {
        Rates::new(Rate {
            amount: per_second,
            per: Duration::from_secs(1),
            burst: Duration::from_secs(burst),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_what_follows_at_the_rate() {
        let (rates, start) = (rates(10, 2), Instant::now());
        for _ in 0..20 {
            assert_eq!(rates.take(&"alice", 1, start), Duration::ZERO);
        }
        for n in 1..=5 {
            assert_eq!(rates.take(&"alice", 1, start), Duration::from_millis(100) * n);
        }
        assert_eq!(rates.wait(&"alice", start), Duration::from_millis(500));
        assert_eq!(rates.take(&"bob", 1, start), Duration::ZERO, "others are not concerned");
        let later = start + Duration::from_secs(60);
        assert_eq!(rates.take(&"alice", 20, later), Duration::ZERO, "no more than a burst is saved up");
        assert_eq!(rates.take(&"alice", 1, later), Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn no_amount_and_no_rate_overflows() {
        let now = Instant::now();
        for per_second in [0, 1, u64::MAX] {
            let rates = rates(per_second, u64::MAX);
            for _ in 0..3 {
                rates.take(&"alice", u64::MAX, now);
                rates.wait(&"alice", now);
            }
        }
        assert_eq!(rates(0, 0).take(&"alice", u64::MAX, now), Duration::ZERO, "0 is no limit");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_used_nothing_for_a_while_is_forgotten() {
        let second = Duration::from_secs(1);
        let rates = Rates::new(Rate { amount: 1, per: second, burst: second });
        let start = Instant::now();
        for n in 0..100_000_u64 {
            rates.take(&n, 1, start + Duration::from_millis(n));
        }
        assert!(rates.used().until.len() <= 2 * FEW + 1, "{}", rates.used().until.len());
    }
}
