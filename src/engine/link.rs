//! The life of a socket, as one state machine: when to open one, when to give it up, how long to wait for the next.
//! Never touches a socket or a clock and never looks into a frame. Driven by `web::ws`; one per transport.

mod backoff;
mod io;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub use backoff::LONGEST;
pub use io::{Config, ConnectError, Input, Output, Phase, SocketId, Status};

use super::clock::Now;
use super::retry::{self, Judgement, Verdict};
use crate::wire::CloseCode;
use backoff::Backoff;

/// A socket that stayed open so long has proved the peer's health, whatever it said.
pub const PROVEN_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug)]
enum State {
    /// Never asked to connect.
    Idle,
    Connecting {
        socket: SocketId,
        deadline: Option<Duration>,
    },
    Open {
        socket: SocketId,
        since: Duration,
    },
    Waiting {
        until: Duration,
        reason: &'static str,
    },
    /// The device says that it has no network. It may be wrong, so one attempt is made now and then.
    Offline {
        until: Duration,
    },
    NeedsAuth {
        reason: &'static str,
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
/// a socket that is not alive changes nothing; a call to connect is settled exactly once.
#[derive(Debug)]
pub struct Link {
    state: State,
    backoff: Backoff,
    connect_timeout: Option<Duration>,
    next_socket: SocketId,
    /// Someone waits for [`Output::ConnectSettled`].
    asked: bool,
    offline: bool,
    /// The server asked for a pause until then.
    pause_until: Duration,
    close: Option<(CloseCode, String)>,
    outputs: VecDeque<Output>,
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
            offline: false,
            pause_until: Duration::ZERO,
            close: None,
            outputs: VecDeque::new(),
        }
    }

    /// What to show.
    #[must_use]
    pub fn status(&self) -> Status {
        let (state, reason, retry_at) = match self.state {
            State::Idle => (Phase::Idle, None, None),
            State::Connecting { .. } => (Phase::Connecting, None, None),
            State::Open { .. } => (Phase::Open, None, None),
            State::Waiting { until, reason } => (Phase::Waiting, Some(reason), Some(until)),
            State::Offline { until } => (Phase::Offline, Some("offline"), Some(until)),
            State::NeedsAuth { reason } => (Phase::NeedsAuth, Some(reason), None),
            State::Failed { reason } => (Phase::Failed, Some(reason), None),
            State::Closed => (Phase::Closed, None, None),
        };
        Status { state, reason, close: self.close.clone(), retry_at }
    }

    /// The socket that is open.
    #[must_use]
    pub fn socket(&self) -> Option<SocketId> {
        match self.state {
            State::Open { socket, .. } => Some(socket),
            State::Idle
            | State::Connecting { .. }
            | State::Waiting { .. }
            | State::Offline { .. }
            | State::NeedsAuth { .. }
            | State::Failed { .. }
            | State::Closed => None,
        }
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

    /// When to feed [`Input::Timeout`]. None while open: nothing is decided then without an event.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Connecting { deadline, .. } => deadline,
            State::Waiting { until, .. } | State::Offline { until } => Some(until),
            State::Idle
            | State::Open { .. }
            | State::NeedsAuth { .. }
            | State::Failed { .. }
            | State::Closed => None,
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input) {
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
            Input::Healthy { socket } => {
                if self.socket() == Some(socket) {
                    self.backoff.reset();
                }
            }
            Input::Pause { delay } => self.pause_until = now.at + delay.min(LONGEST),
            Input::Online => {
                self.offline = false;
                if let State::Offline { .. } = self.state {
                    self.open(now);
                }
            }
            Input::Offline => {
                self.offline = true;
                if let State::Waiting { .. } = self.state {
                    self.become_state(State::Offline { until: now.at + LONGEST });
                }
            }
            Input::Timeout => self.timeout(now),
        }
    }

    fn connect(&mut self, now: Now) {
        match self.state {
            State::Open { .. } => self.outputs.push_back(Output::ConnectSettled(Ok(()))),
            State::Connecting { .. } => self.asked = true,
            State::Idle
            | State::Waiting { .. }
            | State::Offline { .. }
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
        self.end_socket();
        self.start_over(now);
    }

    fn drop_socket(&mut self, now: Now, number: SocketId) {
        if self.is_connecting(number) {
            self.close(number);
            self.attempt_failed(now, ConnectError::Failed { code: None }, "dropped");
        } else if self.socket() == Some(number) {
            self.credit(now);
            self.end_socket();
            self.retry(now, "dropped", Duration::ZERO);
        }
    }

    fn opened(&mut self, now: Now, socket: SocketId) {
        if self.is_connecting(socket) {
            self.close = None;
            self.become_state(State::Open { socket, since: now.at });
            self.settle(Ok(()));
        }
    }

    fn closed(&mut self, now: Now, socket: SocketId, code: CloseCode, text: String) {
        if !self.owns(socket) {
            return;
        }
        let mut judgement = retry::after_close(code);
        let stated = retry::stated_delay(&text);
        self.close = Some((code, text));
        if self.is_connecting(socket) {
            // A browser says no more than this of a handshake that was refused.
            if code == CloseCode::ABNORMAL {
                judgement.reason = "connect-failed";
            }
            self.settle(Err(ConnectError::Failed { code: Some(code) }));
        } else {
            self.credit(now);
            self.outputs.push_back(Output::Lost { socket });
        }
        self.follow(now, judgement, stated.unwrap_or_default());
    }

    fn timeout(&mut self, now: Now) {
        if self.poll_timeout().is_none_or(|deadline| now.at < deadline) {
            return;
        }
        match self.state {
            State::Connecting { socket, .. } => {
                self.close(socket);
                self.attempt_failed(now, ConnectError::TimedOut, "connect-timeout");
            }
            State::Waiting { .. } | State::Offline { .. } => self.open(now),
            State::Idle
            | State::Open { .. }
            | State::NeedsAuth { .. }
            | State::Failed { .. }
            | State::Closed => {}
        }
    }

    fn attempt_failed(&mut self, now: Now, error: ConnectError, reason: &'static str) {
        self.close = None;
        self.settle(Err(error));
        self.retry(now, reason, Duration::ZERO);
    }

    fn follow(&mut self, now: Now, judgement: Judgement, stated: Duration) {
        let reason = judgement.reason;
        match judgement.verdict {
            // What a smaller message is, the one who sends knows.
            Verdict::Retry | Verdict::RetrySmaller => self.retry(now, reason, Duration::ZERO),
            Verdict::RetryLater => self.retry(now, reason, stated),
            Verdict::NeedsAuth => self.become_state(State::NeedsAuth { reason }),
            Verdict::Fail => self.become_state(State::Failed { reason }),
        }
    }

    fn retry(&mut self, now: Now, reason: &'static str, at_least: Duration) {
        if self.offline {
            // Not counted: being offline is no reason to give up.
            return self.become_state(State::Offline { until: now.at + LONGEST });
        }
        let pause = self.pause_until.saturating_sub(now.at).max(at_least.min(LONGEST));
        match self.backoff.next() {
            Some(wait) => self.become_state(State::Waiting { until: now.at + wait.max(pause), reason }),
            None => self.become_state(State::Failed { reason: "gave-up" }),
        }
    }

    /// An attempt that the app asks for. A link that had stopped by itself gets all its attempts back.
    fn start_over(&mut self, now: Now) {
        match self.state {
            State::Idle | State::NeedsAuth { .. } | State::Failed { .. } | State::Closed => {
                self.backoff.reset();
            }
            State::Connecting { .. } | State::Open { .. } | State::Waiting { .. } | State::Offline { .. } => {
            }
        }
        self.open(now);
    }

    fn open(&mut self, now: Now) {
        let socket = self.next_socket;
        self.next_socket += 1;
        self.pause_until = Duration::ZERO;
        self.outputs.push_back(Output::Open { socket });
        let deadline = self.connect_timeout.map(|timeout| now.at + timeout);
        self.become_state(State::Connecting { socket, deadline });
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

    /// Being open for a while is proof of health. Judged when it ends, so that no timer runs meanwhile.
    fn credit(&mut self, now: Now) {
        if let State::Open { since, .. } = self.state
            && now.at.saturating_sub(since) >= PROVEN_AFTER
        {
            self.backoff.reset();
        }
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
        match self.state {
            State::Connecting { socket, .. } | State::Open { socket, .. } => Some(socket),
            State::Idle
            | State::Waiting { .. }
            | State::Offline { .. }
            | State::NeedsAuth { .. }
            | State::Failed { .. }
            | State::Closed => None,
        }
    }

    fn is_connecting(&self, number: SocketId) -> bool {
        matches!(self.state, State::Connecting { socket, .. } if socket == number)
    }
}
