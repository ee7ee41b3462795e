//! What is known about a server that is asked over HTTP: whether it can be reached, whether it takes our credentials,
//! when it wants to be asked again. Never asks and never waits: each request tells how it ended, and is told what comes
//! next for it. Driven by `web::http`; one per transport.

#[cfg(test)]
mod tests;

use super::clock::{Duration, Now};
use super::link::Phase;
use super::requests::Kind;
use super::retry::{self, Verdict};

/// Counts the credentials that we have had, so that a refusal of older ones is told from one of the present ones.
pub type Credentials = u32;

/// What a request has shown, or what the app has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A check whether the server can be reached has begun.
    Check,
    /// The app wants a fresh start: with new credentials, or on another network.
    Reconnect,
    Disconnect,
    /// A push or a pull was answered as the contract says.
    Served {
        kind: Kind,
        sent_with: Credentials,
    },
    /// The check has found the server.
    Reached,
    /// The check got an answer, but not the one that it needs.
    CheckRefused {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// A push or a pull was answered with a status that is no success.
    Refused {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// No answer came.
    Lost(Loss),
    /// The server does not take the credentials that a request was sent with. `kind`: none for a check. `repeated`: this
    /// request was sent once more already.
    Unauthenticated {
        kind: Option<Kind>,
        sent_with: Credentials,
        repeated: bool,
    },
    /// The app has new credentials, or (`false`) has failed to get any.
    Asked {
        done: bool,
    },
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The device says that it has no network.
    Offline,
    Network,
    TimedOut,
}

/// What comes next for the request that an input speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is over, as it has ended.
    Settle,
    /// Ask the app for credentials; then send it once more.
    Ask,
    /// The app is being asked: wait for that, then send it once more.
    Wait,
    /// There are newer credentials than it was sent with: send it once more.
    Repeat,
}

/// For the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    pub state: Phase,
    /// A stable word for why, where the state alone does not say.
    pub reason: Option<&'static str>,
    /// When the server wants to be asked again, in milliseconds since 1970.
    pub retry_at_wall_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Never asked.
    Idle,
    /// Being checked, and not known to be there.
    Connecting,
    Open,
    /// `there`: it answers, though not with what we want.
    Waiting {
        reason: &'static str,
        retry_at_wall_ms: Option<i64>,
        there: bool,
    },
    Offline,
    /// Until a request proves our credentials, or the app says that it has new credentials. `there` as above.
    NeedsAuth {
        there: bool,
    },
    /// The app disconnected it.
    Closed,
}

/// What was refused last.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    /// None for a check.
    kind: Option<Kind>,
    credentials: Credentials,
}

/// Whether the app can be asked for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// It has given us nobody to ask.
    Never,
    May,
    Now,
    /// It was asked, and nothing has shown since that it helped.
    Spent,
}

/// - getters: [`status`](Reach::status), [`is_reachable`](Reach::is_reachable), [`credentials`](Reach::credentials)
/// - [`handle`](Reach::handle) takes one input and says what comes next for its request.
///
/// Invariants: between two proofs that credentials are good, or calls to reconnect, the app is asked once; a success is
/// such a proof where its credentials are newer than the refused ones, or where its like was refused; only such a proof,
/// `Reconnect` and `Disconnect` leave `NeedsAuth`; only what the server or the network has shown moves the state, never
/// the end of a request by our own side.
#[derive(Debug)]
pub struct Reach {
    state: State,
    asking: Asking,
    credentials: Credentials,
    refusal: Option<Refusal>,
}

impl Reach {
    /// `can_ask`: the app has given a function that gets new credentials.
    #[must_use]
    pub fn new(can_ask: bool) -> Self {
        let asking = if can_ask { Asking::May } else { Asking::Never };
        Reach { state: State::Idle, asking, credentials: 0, refusal: None }
    }

    /// What to show.
    #[must_use]
    pub fn status(&self) -> Status {
        let (state, reason, retry_at_wall_ms) = match self.state {
            State::Idle => (Phase::Idle, None, None),
            State::Connecting => (Phase::Connecting, None, None),
            State::Open => (Phase::Open, None, None),
            State::Waiting { reason, retry_at_wall_ms, .. } => {
                (Phase::Waiting, Some(reason), retry_at_wall_ms)
            }
            State::Offline => (Phase::Offline, Some("offline"), None),
            State::NeedsAuth { .. } => (Phase::NeedsAuth, Some("unauthenticated"), None),
            State::Closed => (Phase::Closed, None, None),
        };
        Status { state, reason, retry_at_wall_ms }
    }

    /// Whether the server answered the last time; a refusal is an answer.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        match self.state {
            State::Open => true,
            State::Waiting { there, .. } | State::NeedsAuth { there } => there,
            State::Idle | State::Connecting | State::Offline | State::Closed => false,
        }
    }

    /// What a request that is sent now is sent with.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.credentials
    }

    pub fn handle(&mut self, now: Now, input: Input) -> Next {
        match input {
            Input::Check => self.check(),
            Input::Reconnect => {
                self.credentials += 1;
                self.may_ask_again();
                if let State::NeedsAuth { .. } = self.state {
                    self.state = State::Connecting;
                }
                self.check();
            }
            Input::Disconnect => self.state = State::Closed,
            Input::Served { kind, sent_with } => {
                if self.proves(kind, sent_with) {
                    self.may_ask_again();
                    self.state = State::Open;
                } else {
                    self.answered(State::Open);
                }
            }
            Input::Reached => self.answered(State::Open),
            Input::CheckRefused { status, retry_after } => {
                // Even where it is our mistake, such as a 404: the app has said that this must succeed.
                let there = self.is_reachable() && status < 500;
                self.answered(waiting(now, status, retry_after, there));
            }
            Input::Refused { status, retry_after } => match retry::after_status(status).verdict {
                Verdict::Retry | Verdict::RetryLater => {
                    self.answered(waiting(now, status, retry_after, status < 500));
                }
                // Nothing is wrong with the server.
                Verdict::RetrySmaller | Verdict::NeedsAuth | Verdict::Fail => self.answered(State::Open),
            },
            Input::Lost(loss) => self.lost(loss),
            Input::Unauthenticated { kind, sent_with, repeated } => {
                return self.unauthenticated(kind, sent_with, repeated);
            }
            Input::Asked { done } => {
                self.asking = Asking::Spent;
                self.credentials += u32::from(done);
            }
        }
        Next::Settle
    }

    fn check(&mut self) {
        match self.state {
            State::Idle | State::Offline | State::Closed | State::Waiting { there: false, .. } => {
                self.state = State::Connecting;
            }
            // What is known to be there stays so until something shows that it is gone.
            State::Connecting
            | State::Open
            | State::Waiting { there: true, .. }
            | State::NeedsAuth { .. } => {}
        }
    }

    fn answered(&mut self, state: State) {
        match self.state {
            State::NeedsAuth { .. } => self.state = State::NeedsAuth { there: true },
            State::Idle
            | State::Connecting
            | State::Open
            | State::Waiting { .. }
            | State::Offline
            | State::Closed => self.state = state,
        }
    }

    fn lost(&mut self, loss: Loss) {
        let waiting = |reason| State::Waiting { reason, retry_at_wall_ms: None, there: false };
        self.state = match (self.state, loss) {
            (State::NeedsAuth { .. }, _) => State::NeedsAuth { there: false },
            (_, Loss::Offline) => State::Offline,
            (_, Loss::Network) => waiting("network"),
            (_, Loss::TimedOut) => waiting("request-timeout"),
        };
    }

    fn unauthenticated(&mut self, kind: Option<Kind>, sent_with: Credentials, repeated: bool) -> Next {
        if sent_with != self.credentials {
            // Of the present ones nothing is known.
            return if repeated { Next::Settle } else { Next::Repeat };
        }
        self.state = State::NeedsAuth { there: true };
        self.refusal = Some(Refusal { kind, credentials: sent_with });
        match self.asking {
            Asking::May if repeated => {
                // Another request has found them good, but they are what the app was asked for.
                self.asking = Asking::Spent;
                Next::Settle
            }
            _ if repeated => Next::Settle,
            Asking::May => {
                self.asking = Asking::Now;
                Next::Ask
            }
            Asking::Now => Next::Wait,
            Asking::Never | Asking::Spent => Next::Settle,
        }
    }

    /// A server that refuses pushes may well serve pulls: that says nothing new of the credentials.
    fn proves(&self, served: Kind, sent_with: Credentials) -> bool {
        self.refusal.is_none_or(|Refusal { kind, credentials }| {
            credentials < sent_with || kind.is_none_or(|refused| refused == served)
        })
    }

    /// Credentials are good, or the app says that they are new.
    fn may_ask_again(&mut self) {
        match self.asking {
            Asking::Spent => self.asking = Asking::May,
            Asking::Never | Asking::May | Asking::Now => {}
        }
    }
}

fn waiting(now: Now, status: u16, retry_after: Option<Duration>, there: bool) -> State {
    let reason = retry::after_status(status).reason;
    let ahead = |delay: Duration| i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    let retry_at_wall_ms = retry_after.map(|delay| now.wall_ms.saturating_add(ahead(delay)));
    State::Waiting { reason, retry_at_wall_ms, there }
}
