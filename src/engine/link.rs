//! The life of a socket, as one state machine: when to open one, when to give it up, how long to wait for the next.
//! Never touches a socket or a clock and never looks into a frame. Driven by `web::ws`; one per transport.

mod backoff;
mod ended;
mod io;
mod signals;
mod surroundings;
#[cfg(test)]
mod tests;
mod watch;

pub use backoff::LONGEST;
pub use io::{AskId, Config, ConnectError, Doubt, Input, Output, Phase, SocketId, Status};

use super::clock::{Duration, Now};
use crate::queue::Queue;
use crate::wire::CloseCode;
use backoff::Backoff;
use surroundings::Surroundings;
use watch::{Rhythm, Watch};

/// A socket that stayed open so long has proved the peer's health, whatever it said.
pub const PROVEN_AFTER: Duration = Duration::from_secs(30);

/// So often the app is asked where each answer helps for a moment only: a server may serve first and refuse then.
pub const QUESTIONS: u32 = 3;

#[derive(Debug)]
enum State {
    /// Never asked to connect.
    Idle,
    Connecting {
        socket: SocketId,
        deadline: Option<Duration>,
        /// Why it connects again, where it did not wait.
        reason: Option<&'static str>,
    },
    Open {
        socket: SocketId,
        watch: Watch,
    },
    Waiting {
        until: Duration,
        reason: &'static str,
        /// A signal has brought it forward.
        early: bool,
    },
    /// The device says that it has no network. It may be wrong, so one attempt is made now and then.
    Offline {
        until: Duration,
        early: bool,
    },
    /// The page was left: nothing is tried until somebody is back.
    Parked,
    NeedsAuth {
        reason: &'static str,
        /// The app was asked for new credentials, and has not answered.
        asking: Option<AskId>,
    },
    /// Only the app can start it again.
    Failed {
        reason: &'static str,
    },
    /// The app disconnected it.
    Closed,
}

/// Keeps one socket open.
///
/// - getters: [`status`](Link::status), [`socket`](Link::socket), [`owns`](Link::owns)
/// - [`handle`](Link::handle) takes one input, at a time;
/// - [`poll_output`](Link::poll_output) must be drained after each `handle`, before the next;
/// - [`poll_timeout`](Link::poll_timeout) says when to feed [`Input::Timeout`].
///
/// Invariants: at most one socket is alive, and its number is greater than that of every other before it; an event of
/// a socket that is not alive changes nothing; a call to connect is settled exactly once; only an open socket is
/// probed; the app is asked for credentials once for each proof of health or word of its own, and no more than
/// [`QUESTIONS`] times between two sockets that stayed open.
#[derive(Debug)]
pub struct Link {
    state: State,
    backoff: Backoff,
    connect_timeout: Option<Duration>,
    next_socket: SocketId,
    /// Someone waits for [`Output::ConnectSettled`].
    asked: bool,
    around: Surroundings,
    /// The server asked for a pause until then.
    pause_until: Duration,
    /// No signal makes an attempt before then.
    early_from: Duration,
    asks_auth: bool,
    /// Whether a refusal may ask the app: not again before the peer or the app has done something for it.
    may_ask: bool,
    /// That were asked since a socket has stayed open.
    questions: u32,
    last_ask: AskId,
    close: Option<(CloseCode, String)>,
    outputs: Queue<Output>,
}

impl Link {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Link {
            state: State::Idle,
            backoff: Backoff::new(config.base, config.max_attempts, config.seed),
            connect_timeout: config.connect_timeout,
            next_socket: 1,
            asked: false,
            around: Surroundings::new(Rhythm {
                heartbeat: config.heartbeat,
                patience: config.heartbeat_timeout,
            }),
            pause_until: Duration::ZERO,
            early_from: Duration::ZERO,
            asks_auth: config.asks_auth,
            may_ask: config.asks_auth,
            questions: 0,
            last_ask: 0,
            close: None,
            outputs: Queue::new(),
        }
    }

    /// What to show.
    #[must_use]
    pub fn status(&self) -> Status {
        let (state, reason, retry_at) = match self.state {
            State::Idle => (Phase::Idle, None, None),
            State::Connecting { reason, .. } => (Phase::Connecting, reason, None),
            State::Open { .. } => (Phase::Open, None, None),
            State::Waiting { until, reason, .. } => (Phase::Waiting, Some(reason), Some(until)),
            State::Offline { until, .. } => (Phase::Offline, Some("offline"), Some(until)),
            State::Parked => (Phase::Waiting, Some("page-hidden"), None),
            // Not final: it goes on by itself when the app has answered.
            State::NeedsAuth { reason, asking: Some(_) } => (Phase::Connecting, Some(reason), None),
            State::NeedsAuth { reason, asking: None } => (Phase::NeedsAuth, Some(reason), None),
            State::Failed { reason } => (Phase::Failed, Some(reason), None),
            State::Closed => (Phase::Closed, None, None),
        };
        Status { state, reason, close: self.close.clone(), retry_at }
    }

    /// The socket that is open.
    #[must_use]
    pub fn socket(&self) -> Option<SocketId> {
        if let State::Open { socket, .. } = self.state { Some(socket) } else { None }
    }

    /// This socket is the one that is alive; events of any other are not ours.
    #[must_use]
    pub fn owns(&self, number: SocketId) -> bool {
        self.alive() == Some(number)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to feed [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Connecting { deadline, .. } => deadline,
            State::Open { ref watch, .. } => watch.poll_timeout(),
            State::Waiting { until, .. } | State::Offline { until, .. } => Some(until),
            State::Idle | State::Parked | State::NeedsAuth { .. } | State::Failed { .. } | State::Closed => {
                None
            }
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input) {
        // What was waited for when the machine fell asleep.
        let slept = self.around.leapt(now).then(|| self.poll_timeout());
        match input {
            Input::Connect => self.connect(now),
            Input::Disconnect => self.disconnect(),
            Input::Reconnect => self.reconnect(now),
            Input::Drop { socket } => self.drop_socket(now, socket),
            Input::Opened { socket } => self.opened(now, socket),
            Input::OpenFailed { socket } => {
                if self.is_connecting(socket) {
                    self.attempt_failed(now, ConnectError::Failed { code: None }, "connect-failed");
                }
            }
            // While open nothing is decided here: the close that follows says more.
            Input::SocketError { socket } => {
                if self.is_connecting(socket) {
                    self.close(socket);
                    self.attempt_failed(now, ConnectError::Failed { code: None }, "connect-failed");
                }
            }
            Input::Closed { socket, code, text } => self.closed(now, socket, code, text),
            Input::Ending { socket } => {
                if let Some((watch, _)) = self.watch_of(socket) {
                    watch.ending(now.at);
                }
            }
            Input::Heard { socket } => {
                if let Some((watch, rhythm)) = self.watch_of(socket) {
                    watch.heard(now.at, rhythm);
                }
            }
            Input::NoProbe { socket } => {
                if let Some((watch, rhythm)) = self.watch_of(socket) {
                    watch.not_asked(now.at, rhythm);
                }
            }
            Input::Unanswered { socket, sent } => {
                if self.watch_of(socket).is_some_and(|(watch, _)| watch.silent_since(sent)) {
                    self.suspect(now);
                }
            }
            Input::Healthy { socket } => {
                if self.socket() == Some(socket) {
                    self.backoff.reset();
                    self.may_ask = self.asks_auth && self.questions < QUESTIONS;
                }
            }
            Input::Pause { delay } => self.pause_until = now.at + delay.min(LONGEST),
            Input::AuthAnswered { ask, kept } => self.auth_answered(now, ask, kept),
            Input::Online => self.online(now),
            Input::Offline => self.offline(now),
            Input::Shown => self.shown(now),
            Input::Hidden => self.around.hidden(now),
            Input::Frozen => self.frozen(now),
            Input::Resumed => self.signal(now),
            Input::PageHidden => self.page_hidden(now),
            Input::PageShown { restored } => self.page_shown(now, restored),
            // What time has run over is judged anew below, not by its old deadline.
            Input::Timeout if slept.is_some() && self.socket().is_some() => {}
            Input::Timeout => self.timeout(now),
        }
        if let Some(waited_for) = slept {
            self.woke(now, waited_for);
        }
    }

    fn connect(&mut self, now: Now) {
        match self.state {
            State::Open { .. } => self.outputs.push_back(Output::ConnectSettled(Ok(()))),
            State::Connecting { .. } => self.asked = true,
            State::Idle
            | State::Waiting { .. }
            | State::Offline { .. }
            | State::Parked
            | State::NeedsAuth { .. }
            | State::Failed { .. }
            | State::Closed => {
                self.asked = true;
                self.start_over(now);
            }
        }
    }

    fn disconnect(&mut self) {
        self.end_socket();
        self.settle(Err(ConnectError::Disconnected));
        self.close = None;
        if !matches!(self.state, State::Idle | State::Closed) {
            self.become_state(State::Closed);
        }
    }

    fn reconnect(&mut self, now: Now) {
        self.may_ask = self.asks_auth;
        self.questions = 0;
        self.end_socket();
        self.start_over(now);
    }

    fn opened(&mut self, now: Now, socket: SocketId) {
        if self.is_connecting(socket) {
            self.close = None;
            let watch = Watch::new(now.at, self.around.rhythm());
            self.become_state(State::Open { socket, watch });
            self.settle(Ok(()));
        }
    }

    fn timeout(&mut self, now: Now) {
        let Some(deadline) = self.poll_timeout().filter(|deadline| *deadline <= now.at) else { return };
        match self.state {
            State::Connecting { socket, .. } => {
                self.close(socket);
                self.attempt_failed(now, ConnectError::TimedOut, "connect-timeout");
            }
            State::Open { .. } if self.around.slept(now.at.saturating_sub(deadline)) => {
                self.woke(now, Some(deadline));
            }
            State::Open { .. } => self.look(now),
            State::Waiting { early, .. } | State::Offline { early, .. } => {
                if early {
                    self.open_early(now)
                } else {
                    self.open(now, None)
                }
            }
            State::Idle | State::Parked | State::NeedsAuth { .. } | State::Failed { .. } | State::Closed => {}
        }
    }

    /// An attempt that the app asks for. A link that had stopped by itself gets all its attempts back.
    fn start_over(&mut self, now: Now) {
        self.around.away = false;
        match self.state {
            State::Idle | State::NeedsAuth { .. } | State::Failed { .. } | State::Closed => self.proven(),
            State::Connecting { .. }
            | State::Open { .. }
            | State::Waiting { .. }
            | State::Offline { .. }
            | State::Parked => {}
        }
        self.open(now, None);
    }

    fn open(&mut self, now: Now, reason: Option<&'static str>) {
        let socket = self.next_socket;
        self.next_socket += 1;
        self.pause_until = Duration::ZERO;
        self.outputs.push_back(Output::Open { socket });
        let deadline = self.connect_timeout.map(|timeout| now.at + timeout);
        self.become_state(State::Connecting { socket, deadline, reason });
    }

    /// Ends whatever socket is alive, from our side.
    fn end_socket(&mut self) {
        let Some(socket) = self.alive() else { return };
        self.close(socket);
        if self.socket().is_some() {
            self.outputs.push_back(Output::Lost { socket });
        }
    }

    fn close(&mut self, socket: SocketId) {
        self.outputs.push_back(Output::Close { socket, code: CloseCode::NORMAL });
    }

    fn settle(&mut self, result: Result<(), ConnectError>) {
        if std::mem::take(&mut self.asked) {
            self.outputs.push_back(Output::ConnectSettled(result));
        }
    }

    fn become_state(&mut self, state: State) {
        self.state = state;
        self.outputs.push_back(Output::Changed);
    }

    fn alive(&self) -> Option<SocketId> {
        if let State::Connecting { socket, .. } = self.state { Some(socket) } else { self.socket() }
    }

    fn watch_of(&mut self, number: SocketId) -> Option<(&mut Watch, Rhythm)> {
        let rhythm = self.around.rhythm();
        if let State::Open { socket, watch } = &mut self.state
            && *socket == number
        {
            return Some((watch, rhythm));
        }
        None
    }

    fn is_connecting(&self, number: SocketId) -> bool {
        matches!(self.state, State::Connecting { socket, .. } if socket == number)
    }
}
