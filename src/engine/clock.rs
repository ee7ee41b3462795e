//! Time as an argument. Decides nothing; every machine of the engine is told the time with each input and
//! never reads a clock itself.

use std::time::Duration;

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
