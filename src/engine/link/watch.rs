//! Whether the peer behind an open socket is still there: silence, doubt, a deadline. Decides when it is made to
//! speak and when it is given up; never what follows from that. Used by [`super::Link`], one per open socket.

use crate::engine::clock::Duration;

/// A timer that comes so late has let events pile up behind it.
const LATE: Duration = Duration::from_secs(1);
/// How long a socket that is closing may take to say how it was closed.
const ENDING: Duration = Duration::from_secs(2);

/// What is allowed to a peer: it changes while the page is hidden.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    /// The silence that raises doubt; none without.
    pub(super) heartbeat: Option<Duration>,
    /// How long a peer in doubt has for a byte.
    pub(super) patience: Duration,
}

/// What a look shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Fine,
    /// It was silent for long: make it speak.
    Silent,
    /// It is gone, for this reason.
    Dead(&'static str),
}

#[derive(Debug)]
pub(super) struct Watch {
    opened: Duration,
    heard: Duration,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    /// Looked at again then; bytes that come before do not move it, so that they cost no timer.
    Trusted { look_at: Option<Duration> },
    /// Gone unless something comes by then. Once more time is given when the timer was late.
    OnTrial { charge: Charge, until: Duration, extended: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    Silence,
    Signal,
    /// The socket itself says that it is closing: no byte acquits it.
    Ending,
}

impl Watch {
    pub(super) fn new(now: Duration, rhythm: Rhythm) -> Self {
        let standing = Standing::Trusted { look_at: rhythm.heartbeat.map(|heartbeat| now + heartbeat) };
        Watch { opened: now, heard: now, standing }
    }

    /// How long it has been open.
    pub(super) fn up_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.opened)
    }

    /// How long it has been open as far as the peer itself has shown.
    pub(super) fn heard_for(&self) -> Duration {
        self.heard.saturating_sub(self.opened)
    }

    /// Nothing has come after that moment.
    pub(super) fn silent_since(&self, moment: Duration) -> bool {
        self.heard <= moment
    }

    /// When to look.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        match self.standing {
            Standing::Trusted { look_at } => look_at,
            Standing::OnTrial { until, .. } => Some(until),
        }
    }

    /// A byte has come.
    pub(super) fn heard(&mut self, now: Duration, rhythm: Rhythm) {
        self.heard = now;
        self.adjourn(now, rhythm);
    }

    /// Nobody was made to speak, so silence proves nothing.
    pub(super) fn not_asked(&mut self, now: Duration, rhythm: Rhythm) {
        if let Standing::OnTrial { charge: Charge::Silence, .. } = self.standing {
            self.trust(now, rhythm);
        }
    }

    /// Ends a trial without a judgement.
    pub(super) fn adjourn(&mut self, now: Duration, rhythm: Rhythm) {
        match self.standing {
            Standing::OnTrial { charge: Charge::Silence | Charge::Signal, .. } => self.trust(now, rhythm),
            Standing::OnTrial { charge: Charge::Ending, .. } | Standing::Trusted { .. } => {}
        }
    }

    /// Something has happened that sockets do not survive. `true`: make the peer speak. One that is on trial
    /// already keeps its deadline, or signals that follow each other would keep a dead socket for ever.
    pub(super) fn suspect(&mut self, now: Duration, rhythm: Rhythm) -> bool {
        match self.standing {
            Standing::Trusted { .. } => {
                self.charge(Charge::Signal, now + rhythm.patience);
                true
            }
            Standing::OnTrial { .. } => false,
        }
    }

    /// The machine has slept: nothing that was known before counts, deadlines least of all. `true`: make the peer
    /// speak.
    pub(super) fn woke(&mut self, now: Duration, rhythm: Rhythm) -> bool {
        let until = now + rhythm.patience;
        match self.standing {
            _ if self.opened == now => false,
            Standing::OnTrial { charge: Charge::Ending, .. } => {
                self.charge(Charge::Ending, now + ENDING);
                false
            }
            Standing::OnTrial { charge: Charge::Silence | Charge::Signal, until: before, .. } => {
                self.charge(Charge::Signal, until);
                // It speaks already, if what has told of the sleep was a reason of its own.
                before != until
            }
            Standing::Trusted { .. } => {
                self.charge(Charge::Signal, until);
                true
            }
        }
    }

    /// The socket says that it is closing.
    pub(super) fn ending(&mut self, now: Duration) {
        match self.standing {
            Standing::OnTrial { charge: Charge::Ending, .. } => {}
            Standing::OnTrial { charge: Charge::Silence | Charge::Signal, .. } | Standing::Trusted { .. } => {
                self.charge(Charge::Ending, now + ENDING);
            }
        }
    }

    /// Looks, if it is time. A late timer never condemns by itself: what would acquit may wait behind it.
    pub(super) fn look(&mut self, now: Duration, rhythm: Rhythm) -> Finding {
        match &mut self.standing {
            Standing::Trusted { look_at } => {
                let Some(heartbeat) = rhythm.heartbeat else { return Finding::Fine };
                let silent_at = self.heard + heartbeat;
                if silent_at > now {
                    *look_at = Some(silent_at);
                    return Finding::Fine;
                }
                self.charge(Charge::Silence, now + rhythm.patience);
                Finding::Silent
            }
            Standing::OnTrial { until, .. } if *until > now => Finding::Fine,
            Standing::OnTrial { charge, until, extended } => {
                let (more, reason) = match charge {
                    Charge::Silence | Charge::Signal => (rhythm.patience, "heartbeat-timeout"),
                    Charge::Ending => (ENDING, "connection-lost"),
                };
                if *extended || now.saturating_sub(*until) <= LATE {
                    return Finding::Dead(reason);
                }
                (*until, *extended) = (now + more, true);
                Finding::Fine
            }
        }
    }

    fn trust(&mut self, now: Duration, rhythm: Rhythm) {
        self.standing = Standing::Trusted { look_at: rhythm.heartbeat.map(|heartbeat| now + heartbeat) };
    }

    fn charge(&mut self, charge: Charge, until: Duration) {
        self.standing = Standing::OnTrial { charge, until, extended: false };
    }
}
