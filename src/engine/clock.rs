//! Time as an argument. Decides nothing; every machine of the engine is told the time with each input and
//! never reads a clock itself.

use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// A span of time in whole microseconds, which is what the browser's clock is asked for. One number in place of std's two:
/// in the wasm each sum and comparison of those weighs several times as much. What does not fit stays at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

impl Duration {
    pub const ZERO: Duration = Duration(0);
    pub const MAX: Duration = Duration(u64::MAX);

    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Duration(seconds.saturating_mul(1_000_000))
    }

    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Duration(ms.saturating_mul(1000))
    }

    #[must_use]
    pub const fn from_micros(us: u64) -> Self {
        Duration(us)
    }

    /// `None` for what is negative, not a number, or further than a clock goes.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // checked before
    pub fn from_ms(ms: f64) -> Option<Self> {
        let us = (ms * 1000.0).round_ties_even();
        (0.0..u64::MAX as f64).contains(&us).then_some(Duration(us as u64))
    }

    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds, with their fraction.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // exact for 285 years
    pub fn as_ms(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn saturating_sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }

    /// A factor below zero leaves nothing.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // `as` saturates
    pub fn mul_f64(self, factor: f64) -> Duration {
        Duration((self.0 as f64 * factor) as u64)
    }
}

impl Add for Duration {
    type Output = Duration;

    fn add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, other: Duration) {
        *self = *self + other;
    }
}

impl Sub for Duration {
    type Output = Duration;

    fn sub(self, other: Duration) -> Duration {
        self.saturating_sub(other)
    }
}

impl Mul<u32> for Duration {
    type Output = Duration;

    fn mul(self, factor: u32) -> Duration {
        Duration(self.0.saturating_mul(factor.into()))
    }
}

impl Div<u32> for Duration {
    type Output = Duration;

    fn div(self, by: u32) -> Duration {
        Duration(self.0 / u64::from(by))
    }
}

/// For whoever has a clock of std's.
impl From<Duration> for std::time::Duration {
    fn from(span: Duration) -> Self {
        std::time::Duration::from_micros(span.0)
    }
}

/// A moment: monotonic time since the driver began, and the wall clock for messages and people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic. All deadlines are kept in this.
    pub at: Duration,
    /// Milliseconds since 1970. Used for one decision only: a wall clock that runs far ahead of `at` says that the
    /// machine has slept.
    pub wall_ms: i64,
}

/// Small seeded generator (SplitMix64) for jitter. The seed is the driver's randomness.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`.
    #[allow(clippy::cast_precision_loss)] // 53 bits fit
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A duration in `0..limit`.
    pub fn up_to(&mut self, limit: Duration) -> Duration {
        limit.mul_f64(self.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_keep_their_thousandths_both_ways() {
        for ms in [0.0, 0.001, 1.1, 1500.0, 86_400_000.25] {
            assert_eq!(Duration::from_ms(ms).map(Duration::as_ms), Some(ms));
        }
        for none in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Duration::from_ms(none), None, "{none}");
        }
    }

    #[test]
    fn what_does_not_fit_stays_at_the_end() {
        let second = Duration::from_secs(1);
        assert_eq!(Duration::MAX + second, Duration::MAX);
        assert_eq!(Duration::MAX * 2, Duration::MAX);
        assert_eq!(Duration::ZERO - second, Duration::ZERO);
        assert_eq!(second.mul_f64(-1.0), Duration::ZERO);
        assert_eq!(second.mul_f64(f64::INFINITY), Duration::MAX);
        assert_eq!(
            (second * 3 / 2, second.mul_f64(1.5)),
            (Duration::from_millis(1500), Duration::from_millis(1500))
        );
    }
}
