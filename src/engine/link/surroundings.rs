//! What is known of the device and the page around a link: network, visibility, and whether time has jumped.
//! Decides what counts as a jump; never what follows. Used by [`super::Link`].

use super::watch::Rhythm;
use crate::engine::clock::{Duration, Now};

/// Time that passed without us: a timer so late, a wall clock so far ahead, a page so long unseen.
const ABSENCE: Duration = Duration::from_secs(20);
/// Timers of a hidden page are throttled, and nobody looks: everything may take so much longer.
const HIDDEN_FACTOR: u32 = 4;

#[derive(Debug)]
pub(super) struct Surroundings {
    /// The device says that it has no network. It may be wrong.
    pub(super) offline: bool,
    /// The page was left, and may end any moment.
    pub(super) away: bool,
    hidden_since: Option<Duration>,
    last: Option<Now>,
    rhythm: Rhythm,
}

impl Surroundings {
    /// `rhythm` of a page that is seen.
    pub(super) fn new(rhythm: Rhythm) -> Self {
        Surroundings { offline: false, away: false, hidden_since: None, last: None, rhythm }
    }

    pub(super) fn rhythm(&self) -> Rhythm {
        let heartbeat = self.rhythm.heartbeat.map(|heartbeat| heartbeat * self.factor());
        Rhythm { heartbeat, patience: self.rhythm.patience }
    }

    /// The wall clock has moved far more than the monotonic one, which stands still while some machines sleep.
    /// Asked once for each input.
    pub(super) fn leapt(&mut self, now: Now) -> bool {
        let Some(last) = self.last.replace(now) else { return false };
        let wall = u64::try_from(now.wall_ms.saturating_sub(last.wall_ms)).unwrap_or(0);
        Duration::from_millis(wall) > now.at.saturating_sub(last.at) + ABSENCE
    }

    /// No throttling explains a timer that is so late.
    pub(super) fn slept(&self, late: Duration) -> bool {
        late > ABSENCE * self.factor()
    }

    pub(super) fn hidden(&mut self, now: Now) {
        self.hidden_since.get_or_insert(now.at);
    }

    /// Whether the page was hidden for long.
    pub(super) fn shown(&mut self, now: Now) -> bool {
        self.hidden_since.take().is_some_and(|since| now.at.saturating_sub(since) >= ABSENCE)
    }

    fn factor(&self) -> u32 {
        if self.hidden_since.is_some() { HIDDEN_FACTOR } else { 1 }
    }
}
