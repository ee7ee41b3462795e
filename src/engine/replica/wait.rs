//! Barriers: promises that settle when what is committed now has come as far as asked. Decides when.

use super::account::account_changed;
use super::conn::Mode;
use super::jobs::Task;
use super::{Level, LinkState, Output, Phase, Problem, Replica, WaitId};

#[derive(Debug)]
pub(super) struct Wait {
    pub(super) id: WaitId,
    level: Level,
    /// The head of our clock when the barrier was taken, once it has been read.
    target: Option<i64>,
    /// A retry has made room for rows that have to be asked for.
    asks: bool,
}

impl Replica {
    pub(super) fn wait(&mut self, id: WaitId, level: Level) {
        if matches!(self.phase, Phase::Stopped) {
            let problem = Problem::fatal("stopped", "the client is not started");
            self.outputs.push_back(Output::Settled { wait: id, result: Err(problem) });
            return;
        }
        if level == Level::Round {
            self.check_account();
        }
        if let Phase::Refused { .. } = self.phase {
            // What it would do beforehand is not to be done.
            self.outputs.push_back(Output::Settled { wait: id, result: Err(account_changed()) });
            return;
        }
        self.waits.push(Wait { id, level, target: None, asks: false });
        match level {
            Level::Resync => self.tasks.push_back(Task::Resync { rejected: true }),
            Level::Retry => self.tasks.push_back(Task::Retry),
            Level::FirstSync | Level::Sent | Level::Stored | Level::Round | Level::Account => {}
        }
        self.tasks.push_back(Task::Barrier(id));
        self.dirty = true;
    }

    pub(super) fn reached_barrier(&mut self, id: WaitId) {
        let head = self.view.head;
        if let Some(wait) = self.waits.iter_mut().find(|wait| wait.id == id) {
            wait.target = Some(head);
        }
    }

    /// What was kept aside was tried.
    pub(super) fn retried(&mut self, rewound: bool) {
        let tried = self.waits.iter_mut().filter(|wait| wait.level == Level::Retry && wait.target.is_none());
        tried.for_each(|wait| wait.asks |= rewound);
    }

    pub(super) fn fail_waits(&mut self, problem: &Problem) {
        for wait in std::mem::take(&mut self.waits) {
            self.outputs.push_back(Output::Settled { wait: wait.id, result: Err(problem.clone()) });
        }
    }

    pub(super) fn settle_waits(&mut self) {
        if self.waits.is_empty() {
            return;
        }
        let waits = std::mem::take(&mut self.waits);
        for wait in waits {
            match self.verdict(&wait) {
                None => self.waits.push(wait),
                Some(result) => self.outputs.push_back(Output::Settled { wait: wait.id, result }),
            }
        }
    }

    fn verdict(&self, wait: &Wait) -> Option<Result<(), Problem>> {
        if let Phase::Halted { problem, .. } = &self.phase {
            return Some(Err(problem.clone()));
        }
        match self.phase {
            Phase::Refused { .. } => return Some(Err(account_changed())),
            Phase::Checking { .. } => return self.gave_up(),
            Phase::Halted { .. } | Phase::Running(_) | Phase::Starting(_) | Phase::Stopped => {}
        }
        if wait.level == Level::FirstSync {
            return if self.view.first_synced { Some(Ok(())) } else { self.gave_up() };
        }
        if let Some(given_up) = self.gave_up() {
            return Some(given_up);
        }
        let target = wait.target?;
        let conn = self.conn.as_ref();
        let mode = conn.map(|conn| &conn.mode);
        let stored = self.view.log.is_some() && self.view.uploaded >= target;
        let sent = match mode {
            Some(Mode::Plain(plain)) => plain.read >= target,
            Some(Mode::Storing(upload)) => stored || upload.sent >= target,
            Some(Mode::Records(_)) => stored,
            Some(Mode::Probing(_)) | None => false,
        };
        let plain = matches!(mode, Some(Mode::Plain(_)));
        match wait.level {
            Level::FirstSync => None,
            Level::Account => Some(Ok(())),
            Level::Retry if !wait.asks && (plain || !self.view.resend) => Some(Ok(())),
            Level::Sent => sent.then_some(Ok(())),
            Level::Stored if plain => {
                Some(Err(Problem::fatal("not-storing", "this relay forwards and does not store")))
            }
            Level::Stored => stored.then_some(Ok(())),
            Level::Round | Level::Resync | Level::Retry => {
                if let Some(Mode::Records(records)) = mode
                    && let Some(problem) = records.problem()
                {
                    return Some(Err(problem));
                }
                let answered = conn.is_some_and(|conn| conn.caught_up && conn.asks.only_everyone());
                let settled = if plain { sent } else { stored && conn.is_some_and(|c| c.asks.is_empty()) };
                let applying = self.tasks.iter().any(|task| matches!(task, Task::Apply(..)));
                let called = !matches!(mode, Some(Mode::Records(records)) if !records.is_done());
                let resent = plain || wait.level != Level::Retry || !self.view.resend;
                let done = answered && called && settled && resent && !applying;
                (done && self.running.is_none()).then_some(Ok(()))
            }
        }
    }

    /// The transport has stopped by itself: nothing comes about before somebody starts it again.
    fn gave_up(&self) -> Option<Result<(), Problem>> {
        match (&self.conn, &self.link) {
            (None, LinkState::Failed { reason }) => {
                let message = ["the transport has failed: ", reason].concat();
                Some(Err(Problem { code: "gave-up", message, retryable: true }))
            }
            _ => None,
        }
    }
}
