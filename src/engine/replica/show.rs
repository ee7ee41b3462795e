//! The status: what a user may be told, kept true after every input. Decides words only.

use super::account::ACCOUNT_CHANGED;
use super::{LinkState, Output, Phase, Progress, Replica, State, Status};
use crate::engine::clock::Duration;

/// What is counted for showing.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) remaining: Option<u64>,
    pub(super) round_trip: Option<Duration>,
    /// When something was first seen pending, where no transaction has booked it yet.
    pending_since: Option<i64>,
}

impl Counters {
    pub(super) fn forget_progress(&mut self) {
        self.received = 0;
        self.sent = 0;
        self.remaining = None;
    }
}

pub(super) fn initial() -> Status {
    Status {
        state: State::Stopped,
        reason: None,
        pending_changes: 0,
        oldest_pending_at: None,
        last_synced_at: None,
        verified_at: None,
        quarantined: 0,
        rejected: 0,
        retry_at: None,
        round_trip: None,
        progress: Progress::default(),
    }
}

impl Replica {
    /// Recomputes the status and says so if it has changed.
    pub(super) fn show(&mut self) {
        let (state, reason) = self.state();
        let covers = self.running.as_ref().is_some_and(|running| running.counts);
        let pending = self.view.pending.unwrap_or(0).max(u64::from(self.uncounted || covers));
        self.counters.pending_since = match (pending, self.counters.pending_since) {
            (0, _) => None,
            (_, Some(since)) => Some(since),
            (_, None) => Some(self.now.wall_ms),
        };
        let retry_at = match &self.link {
            _ if self.conn.is_some() => self.calls_retry_at(),
            LinkState::Connecting { retry_at, .. } => *retry_at,
            LinkState::Offline { .. } | LinkState::NeedsAuth { .. } | LinkState::Failed { .. } => None,
        };
        self.status = Status {
            state,
            reason,
            pending_changes: pending,
            oldest_pending_at: self
                .counters
                .pending_since
                .map(|seen| self.view.pending_since.unwrap_or(seen)),
            last_synced_at: self.view.last_synced_at,
            verified_at: self.proof.verified_at,
            quarantined: self.view.quarantined.unwrap_or(0),
            rejected: self.view.rejected.unwrap_or(0),
            retry_at,
            round_trip: self.counters.round_trip,
            progress: Progress {
                received: self.counters.received,
                sent: self.counters.sent,
                remaining_versions: self.counters.remaining,
            },
        };
        if self.status != self.shown {
            self.shown = self.status.clone();
            self.outputs.push_back(Output::StatusChanged);
        }
    }

    fn state(&self) -> (State, Option<String>) {
        match (&self.phase, &self.conn, &self.link) {
            (Phase::Stopped, _, _) => (State::Stopped, None),
            (Phase::Halted { problem, .. }, _, _) => (State::Failed, Some(problem.code.to_owned())),
            (Phase::Checking { .. }, None, LinkState::NeedsAuth { reason }) => {
                (State::NeedsAuth, Some(reason.clone()))
            }
            (Phase::Refused { .. } | Phase::Checking { .. }, _, _) => {
                (State::Failed, Some(ACCOUNT_CHANGED.to_owned()))
            }
            (Phase::Starting(_) | Phase::Running(_), Some(conn), link) => {
                if let Some(shown) = self.calls_state(link) {
                    return shown;
                }
                (if conn.caught_up { State::Live } else { State::CatchingUp }, None)
            }
            (Phase::Starting(_) | Phase::Running(_), None, link) => match link {
                LinkState::Connecting { reason, .. } => (State::Connecting, reason.clone()),
                LinkState::Offline { reason } => (State::Offline, Some(reason.clone())),
                LinkState::NeedsAuth { reason } => (State::NeedsAuth, Some(reason.clone())),
                LinkState::Failed { reason } => (State::Failed, Some(reason.clone())),
            },
        }
    }
}
