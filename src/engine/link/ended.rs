//! What follows when an attempt or a connection has ended: the verdict, the wait, the question for new credentials.
//! Never decides that a living socket must go. Called by [`Link::handle`] and its other parts.

use super::{AskId, ConnectError, LONGEST, Link, Output, PROVEN_AFTER, SocketId, State};
use crate::engine::clock::{Duration, Now};
use crate::engine::retry::{self, Judgement, Verdict};
use crate::wire::CloseCode;

impl Link {
    pub(super) fn drop_socket(&mut self, now: Now, number: SocketId) {
        if self.is_connecting(number) {
            self.close(number);
            self.attempt_failed(now, ConnectError::Failed { code: None }, "dropped");
        } else if self.socket() == Some(number) {
            self.credit(now);
            self.end_socket();
            self.retry(now, "dropped");
        }
    }

    pub(super) fn closed(&mut self, now: Now, socket: SocketId, code: CloseCode, text: String) {
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

    pub(super) fn attempt_failed(&mut self, now: Now, error: ConnectError, reason: &'static str) {
        self.close = None;
        self.settle(Err(error));
        self.retry(now, reason);
    }

    fn follow(&mut self, now: Now, judgement: Judgement, stated: Duration) {
        let reason = judgement.reason;
        match judgement.verdict {
            // What a smaller message is, the one who sends knows.
            Verdict::Retry | Verdict::RetrySmaller => self.retry(now, reason),
            Verdict::RetryLater => {
                self.pause_until = self.pause_until.max(now.at + stated.min(LONGEST));
                self.retry(now, reason);
            }
            Verdict::NeedsAuth => self.refused(reason),
            Verdict::Fail => self.become_state(State::Failed { reason }),
        }
    }

    pub(super) fn retry(&mut self, now: Now, reason: &'static str) {
        if self.around.away {
            return self.become_state(State::Parked);
        }
        if self.around.offline {
            // Not counted: being offline is no reason to give up.
            return self.become_state(State::Offline { until: now.at + LONGEST, early: false });
        }
        match self.backoff.next() {
            Some(wait) => {
                let until = (now.at + wait).max(self.pause_until);
                self.become_state(State::Waiting { until, reason, early: false });
            }
            None => self.become_state(State::Failed { reason: "gave-up" }),
        }
    }

    /// The server refuses our credentials.
    fn refused(&mut self, reason: &'static str) {
        let asking = std::mem::take(&mut self.may_ask).then(|| {
            self.last_ask += 1;
            self.questions += 1;
            self.last_ask
        });
        self.become_state(State::NeedsAuth { reason, asking });
        if let Some(ask) = asking {
            self.outputs.push_back(Output::AskAuth { ask });
        }
    }

    pub(super) fn auth_answered(&mut self, now: Now, ask: AskId, kept: bool) {
        if let State::NeedsAuth { asking, .. } = &mut self.state
            && *asking == Some(ask)
        {
            *asking = None;
            if kept && self.around.away {
                self.become_state(State::Parked);
            } else if kept {
                // It counts: a server that refuses what it has just taken is not to be hammered.
                self.backoff.next();
                self.open(now, None);
            } else {
                self.outputs.push_back(Output::Changed);
            }
        }
    }

    /// Being open for a while is proof of health. Judged when it ends, so that no timer runs meanwhile.
    pub(super) fn credit(&mut self, now: Now) {
        if let State::Open { watch, .. } = &self.state
            && watch.up_for(now.at) >= PROVEN_AFTER
        {
            self.proven();
        }
    }

    /// The peer is good for more attempts, and the app for another question.
    pub(super) fn proven(&mut self) {
        self.backoff.reset();
        self.may_ask = self.asks_auth;
        self.questions = 0;
    }
}
