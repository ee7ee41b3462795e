//! Replication of one database over the relay protocol (being written).
mod io;
use super::clock::Now;
pub use io::*;
use std::time::Duration;

/// The state machine of replication.
#[derive(Debug)]
pub struct Replica {
    status: Status,
}

impl Replica {
    #[must_use]
    pub fn new(_config: Config) -> Self {
        Replica {
            status: Status {
                state: State::Stopped,
                reason: None,
                pending_changes: 0,
                oldest_pending_at: None,
                last_synced_at: None,
                quarantined: 0,
                rejected: 0,
                retry_at: None,
                round_trip: None,
                progress: Progress::default(),
            },
        }
    }
    /// Takes one input. Drain [`Replica::poll_output`] before the next.
    pub fn handle(&mut self, _now: Now, _input: Input) {}
    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
    /// When to feed [`Input::Timeout`], if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        None
    }
    /// What to show.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }
}
