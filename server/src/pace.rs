//! How fast one user's messages are taken. Decides when a socket is to wait before it reads on, and when it has waited
//! long enough to be sent away; HTTP cannot wait and is told when to come back. Asked by sockets and endpoints.

use std::time::Duration;

use crsqlite_sync::wire::CloseCode;
use tokio::time::{Instant, sleep};

use crate::config::Limits;
use crate::http::App;
use crate::outbox::{End, Outbox};
use crate::rate::{Rate, Rates};
use crate::user::Owner;

/// What a message is wrapped in may be as much again.
const WRAPPED: u64 = 2;
const SECOND: Duration = Duration::from_secs(1);

/// What all users have used up, each of their own.
#[derive(Debug)]
pub(crate) struct Pace {
    messages: Rates<Owner>,
    bytes: Rates<Owner>,
    /// Of sockets, with all that is around messages.
    raw: Rates<Owner>,
    patience: Duration,
    burst: Duration,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let burst = limits.rate_burst;
        Pace {
            messages: Rates::new(Rate { amount: limits.rate_messages, per: SECOND, burst }),
            bytes: Rates::new(Rate { amount: limits.rate_bytes, per: SECOND, burst }),
            raw: Rates::new(Rate { amount: limits.rate_bytes.saturating_mul(WRAPPED), per: SECOND, burst }),
            patience: limits.rate_patience,
            burst,
        }
    }

    /// Counts a message of a user, and says how long not to read on.
    fn take(&self, user: &Owner, bytes: usize, now: Instant) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.messages.take(user, 1, now).max(self.bytes.take(user, bytes, now))
    }

    /// Counts what has arrived on a user's sockets, whatever it is, and says how long not to read on.
    pub(crate) fn raw(&self, user: &Owner, bytes: usize, now: Instant) -> Duration {
        self.raw.take(user, u64::try_from(bytes).unwrap_or(u64::MAX), now)
    }

    /// Counts a request of a user, or says in how long it may come again. Then it is not counted.
    pub(crate) fn request(&self, user: &Owner, bytes: usize, now: Instant) -> Result<(), Duration> {
        let wait = self.messages.wait(user, now).max(self.bytes.wait(user, now));
        if wait.is_zero() {
            self.take(user, bytes, now);
            Ok(())
        } else {
            Err(wait)
        }
    }
}

/// One socket's share of the patience.
#[derive(Debug, Default)]
pub(crate) struct Haste {
    /// Since when each of its messages had to wait.
    since: Option<Instant>,
}

impl Haste {
    /// Counts a message of a user. `Ok` says how long not to read on.
    ///
    /// # Errors
    /// How the socket ends: it has sent too much for too long.
    pub(crate) fn take(
        &mut self,
        pace: &Pace,
        user: &Owner,
        bytes: usize,
        now: Instant,
    ) -> Result<Duration, End> {
        let wait = pace.take(user, bytes, now);
        if wait.is_zero() {
            self.since = None;
            return Ok(wait);
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since).saturating_add(wait) > pace.patience {
            let end = End::new(CloseCode::HTTP_TOO_MANY_REQUESTS, "too many messages");
            // Then all that may come at once may come again.
            return Err(end.after(wait.saturating_add(pace.burst)));
        }
        Ok(wait)
    }
}

impl Haste {
    /// Counts a message of a user, and says how long not to read on. `None` where the connection ends.
    pub(crate) fn count(
        &mut self,
        app: &App,
        outbox: &Outbox,
        user: &Owner,
        bytes: usize,
    ) -> Option<Duration> {
        let wait = self.take(&app.pace, user, bytes, Instant::now());
        wait.inspect_err(|&end| {
            app.metrics.limited("rate");
            outbox.end(end);
        })
        .ok()
    }

    /// Waits where the user sends too fast: what is not read the other side cannot go on to send. False at the end.
    pub(crate) async fn keep(&mut self, app: &App, outbox: &Outbox, user: &Owner, bytes: usize) -> bool {
        match self.count(app, outbox, user, bytes) {
            Some(wait) => rest(outbox, wait).await,
            None => false,
        }
    }
}

/// Reads nothing for so long. False if the connection ends.
pub(crate) async fn rest(outbox: &Outbox, wait: Duration) -> bool {
    if wait.is_zero() {
        return true;
    }
    tokio::select! {
        () = sleep(wait) => true,
        () = outbox.ended() => false,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Cli;

    fn pace(arguments: &[&str]) -> Pace {
        let arguments = ["crsqlite-relay", "--dev"].iter().chain(arguments);
        Pace::new(&Cli::parse_from(arguments).config.limits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_slowed_down_first_and_sent_away_when_it_goes_on() {
        let pace = pace(&["--rate-messages", "10", "--rate-burst", "1s", "--rate-patience", "5s"]);
        let (alice, mut haste, start) = (Owner::of("alice"), Haste::default(), Instant::now());
        let mut now = start;
        let end = loop {
            match haste.take(&pace, &alice, 1, now) {
                Ok(wait) => now += wait,
                Err(end) => break end,
            }
            assert!(now - start < Duration::from_secs(60), "it never ends");
        };
        assert!(now - start >= Duration::from_secs(4), "not before its patience is at an end");
        assert_eq!(end.code, CloseCode::HTTP_TOO_MANY_REQUESTS);
        assert!(end.retry_after.is_some_and(|delay| delay >= Duration::from_secs(1)));
        assert_eq!(Haste::default().take(&pace, &Owner::of("bob"), 1, now), Ok(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_as_told_is_never_sent_away_for_a_pause_between_bursts() {
        let pace = pace(&["--rate-bytes", "1000", "--rate-burst", "1s", "--rate-patience", "5s"]);
        let (alice, mut haste, mut now) = (Owner::of("alice"), Haste::default(), Instant::now());
        for _ in 0..50 {
            for _ in 0..3 {
                now += haste.take(&pace, &alice, 1_000, now).unwrap();
            }
            now += Duration::from_secs(3);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_told_to_wait_is_not_counted() {
        let pace = pace(&["--rate-messages", "1", "--rate-burst", "1s"]);
        let (alice, now) = (Owner::of("alice"), Instant::now());
        assert_eq!(pace.request(&alice, 9, now), Ok(()));
        assert_eq!(pace.request(&alice, 9, now), Ok(()), "what is within the burst so far may go beyond it");
        for _ in 0..10 {
            assert_eq!(pace.request(&alice, 9, now), Err(Duration::from_secs(1)));
        }
        assert_eq!(pace.request(&alice, 9, now + Duration::from_secs(1)), Ok(()));
    }
}
