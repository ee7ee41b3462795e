//! How long to wait before the next attempt. Decides the delay and when to give up; what counts as proof of health
//! is the link's to say. Used by [`super::Link`].

use crate::engine::clock::{Duration, Jitter};

/// No wait is longer, jitter included.
pub const LONGEST: Duration = Duration::from_secs(300);

/// So many attempts in a row may come early as often as the base allows.
const EAGER: u32 = 5;

/// Counts attempts since the last proof of health.
#[derive(Debug)]
pub(super) struct Backoff {
    base: Duration,
    /// 0 for no limit.
    limit: u32,
    attempts: u32,
    jitter: Jitter,
}

impl Backoff {
    pub(super) fn new(base: Duration, limit: u32, seed: u64) -> Self {
        Backoff { base, limit, attempts: 0, jitter: Jitter::new(seed) }
    }

    /// The peer has proved itself, or the app asks anew.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// No attempt was booked since the last proof of health.
    pub(super) fn is_fresh(&self) -> bool {
        self.attempts == 0
    }

    /// How far attempts must be apart that do not wait their turn, because something says that now is a good
    /// moment: such words are cheap, so the longer nothing helps the less they count.
    pub(super) fn spacing(&self) -> Duration {
        (if self.attempts > EAGER { self.base * 10 } else { self.base }).min(LONGEST)
    }

    /// Books one more attempt: the wait before it, or `None` when there were enough.
    pub(super) fn next(&mut self) -> Option<Duration> {
        if self.limit != 0 && self.attempts >= self.limit {
            return None;
        }
        self.attempts = self.attempts.saturating_add(1);
        let growth = 1.5_f64.powi(i32::try_from(self.attempts - 1).unwrap_or(i32::MAX));
        let jitter = 0.75 + self.jitter.unit() / 2.0;
        Some(self.base.mul_f64(growth * jitter).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_half_as_long_again_within_its_jitter_and_the_cap_comes_last() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(Duration::from_secs(3), 0, seed);
            let mut nominal = 3.0;
            for _ in 0..40 {
                let wait = backoff.next().unwrap().as_ms() / 1000.0;
                assert!(
                    wait >= (nominal * 0.75_f64).min(300.0) - 1e-6,
                    "seed {seed}: {wait} under {nominal}"
                );
                assert!(wait <= (nominal * 1.25_f64).min(300.0) + 1e-6, "seed {seed}: {wait} over {nominal}");
                nominal *= 1.5;
            }
        }
    }

    #[test]
    fn it_gives_up_after_the_limit_and_starts_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_secs(1), 2, 1);
        assert!(backoff.next().is_some() && backoff.next().is_some());
        assert_eq!(backoff.next(), None);
        backoff.reset();
        assert!(backoff.next().unwrap() <= Duration::from_millis(1250));
    }

    #[test]
    fn a_thousand_failures_neither_overflow_nor_stop_it() {
        let mut backoff = Backoff::new(Duration::from_secs(1), 0, 7);
        assert_eq!((0..3000).filter_map(|_| backoff.next()).last(), Some(LONGEST));
        let mut eager = Backoff::new(Duration::ZERO, 0, 7);
        assert!((0..3000).all(|_| eager.next().is_some()));
    }
}
