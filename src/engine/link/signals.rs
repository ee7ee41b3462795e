//! What a link does about the world around it: network, page, sleep, silence. Decides when a socket is doubted, when
//! it is given up, and when an attempt need not wait its turn. Called by [`Link::handle`] only.

use super::watch::Finding;
use super::{Doubt, LONGEST, Link, Output, PROVEN_AFTER, State};
use crate::engine::clock::{Duration, Now};

impl Link {
    pub(super) fn online(&mut self, now: Now) {
        self.around.offline = false;
        if let State::Offline { until, early } = self.state {
            self.hurry_from(now, State::Waiting { until, reason: "offline", early });
        } else {
            self.signal(now);
        }
    }

    /// The device may be wrong, so an open socket is only doubted.
    pub(super) fn offline(&mut self, now: Now) {
        self.around.offline = true;
        if let State::Waiting { .. } = self.state {
            self.become_state(State::Offline { until: now.at + LONGEST, early: false });
        }
        self.suspect(now);
    }

    pub(super) fn shown(&mut self, now: Now) {
        if self.around.shown(now) {
            self.suspect(now);
        }
        if self.socket().is_some() {
            // The deadlines of a page that is seen are nearer.
            self.look(now);
        } else {
            self.hurry(now);
        }
    }

    /// Nobody can say when it goes on, so nothing is judged until then.
    pub(super) fn frozen(&mut self, now: Now) {
        let rhythm = self.around.rhythm();
        if let State::Open { watch, .. } = &mut self.state {
            watch.adjourn(now.at, rhythm);
        }
    }

    pub(super) fn page_hidden(&mut self, now: Now) {
        self.around.away = true;
        match self.state {
            State::Connecting { .. } | State::Open { .. } | State::Waiting { .. } | State::Offline { .. } => {
                self.credit(now);
                self.end_socket();
                self.become_state(State::Parked);
            }
            State::Idle | State::Parked | State::NeedsAuth { .. } | State::Failed { .. } | State::Closed => {}
        }
    }

    pub(super) fn page_shown(&mut self, now: Now, restored: bool) {
        self.around.away = false;
        if let State::Parked = self.state {
            if self.backoff.is_fresh() && self.pause_until <= now.at {
                return self.open(now, None);
            }
            let until = now.at + LONGEST;
            self.hurry_from(now, State::Waiting { until, reason: "page-hidden", early: false });
        } else if restored {
            self.signal(now);
        }
    }

    /// Now is a good moment to try, and a bad one for sockets that were open before.
    pub(super) fn signal(&mut self, now: Now) {
        self.suspect(now);
        self.hurry(now);
    }

    /// The machine has slept. A wait that began before is over; one that has begun since is not.
    pub(super) fn woke(&mut self, now: Now, waited_for: Option<Duration>) {
        let rhythm = self.around.rhythm();
        if let State::Open { socket, watch } = &mut self.state
            && watch.woke(now.at, rhythm)
        {
            self.outputs.push_back(Output::Probe { socket: *socket, doubt: Doubt::Signal });
        }
        if self.poll_timeout() == waited_for {
            self.hurry(now);
        }
    }

    pub(super) fn suspect(&mut self, now: Now) {
        let rhythm = self.around.rhythm();
        if let State::Open { socket, watch } = &mut self.state
            && watch.suspect(now.at, rhythm)
        {
            self.outputs.push_back(Output::Probe { socket: *socket, doubt: Doubt::Signal });
        }
    }

    /// Looks after the open socket.
    pub(super) fn look(&mut self, now: Now) {
        let rhythm = self.around.rhythm();
        let State::Open { socket, watch } = &mut self.state else { return };
        match watch.look(now.at, rhythm) {
            Finding::Fine => {}
            Finding::Silent => {
                self.outputs.push_back(Output::Probe { socket: *socket, doubt: Doubt::Silence });
            }
            Finding::Dead(reason) => {
                // Whatever came after its last byte is no credit to it.
                if watch.heard_for() >= PROVEN_AFTER {
                    self.proven();
                }
                self.end_socket();
                self.replace(now, reason);
            }
        }
    }

    /// After a connection that died in silence. Where the peer had proved itself, waiting would help nobody; the
    /// attempt counts, so that it happens once.
    fn replace(&mut self, now: Now, reason: &'static str) {
        let at_once = self.backoff.is_fresh() && self.pause_until <= now.at;
        if at_once && !self.around.offline && !self.around.away {
            self.backoff.next();
            self.open(now, Some(reason));
        } else {
            self.retry(now, reason);
        }
    }

    fn hurry_from(&mut self, now: Now, waiting: State) {
        self.state = waiting;
        if !self.hurry(now) {
            self.outputs.push_back(Output::Changed);
        }
    }

    /// Brings the next attempt forward, to this moment if signals have not made others of late, but never into a
    /// pause that the server asked for. `false` when there is nothing to bring forward.
    fn hurry(&mut self, now: Now) -> bool {
        let next = now.at.max(self.early_from).max(self.pause_until);
        match &mut self.state {
            State::Waiting { until, early, .. } | State::Offline { until, early }
                if next == now.at || next < *until =>
            {
                (*until, *early) = (next, true);
            }
            State::Idle
            | State::Connecting { .. }
            | State::Open { .. }
            | State::Waiting { .. }
            | State::Offline { .. }
            | State::Parked
            | State::NeedsAuth { .. }
            | State::Failed { .. }
            | State::Closed => return false,
        }
        if next == now.at {
            self.open_early(now)
        } else {
            self.outputs.push_back(Output::Changed)
        }
        true
    }

    /// An attempt that a signal has made.
    pub(super) fn open_early(&mut self, now: Now) {
        self.early_from = now.at + self.backoff.spacing();
        self.open(now, None);
    }
}
