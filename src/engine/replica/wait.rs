//! Barriers: promises that settle when what is committed now has come as far as asked. Decides when.

use super::conn::Mode;
use super::jobs::Task;
use super::{Level, Output, Phase, Problem, Replica, WaitId};

#[derive(Debug)]
pub(super) struct Wait {
    pub(super) id: WaitId,
    level: Level,
    /// The head of our clock when the barrier was taken, once it has been read.
    target: Option<i64>,
}

impl Replica {
    pub(super) fn wait(&mut self, id: WaitId, level: Level) {
        if matches!(self.phase, Phase::Stopped) {
            let problem = Problem::fatal("stopped", "the client is not started");
            self.outputs.push_back(Output::Settled { wait: id, result: Err(problem) });
            return;
        }
        self.waits.push(Wait { id, level, target: None });
        if level == Level::Resync {
            self.tasks.push_back(Task::Resync { rejected: true });
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
        if wait.level == Level::FirstSync {
            return self.view.first_synced.then_some(Ok(()));
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
            Level::Sent => sent.then_some(Ok(())),
            Level::Stored if plain => {
                Some(Err(Problem::fatal("not-storing", "this relay forwards and does not store")))
            }
            Level::Stored => stored.then_some(Ok(())),
            Level::Round | Level::Resync => {
                if let Some(Mode::Records(records)) = mode
                    && let Some(problem) = records.problem()
                {
                    return Some(Err(problem));
                }
                let answered = conn.is_some_and(|conn| conn.caught_up && conn.asks.only_everyone());
                let settled = if plain { sent } else { stored && conn.is_some_and(|c| c.asks.is_empty()) };
                let applying = self.tasks.iter().any(|task| matches!(task, Task::Apply(..)));
                let called = !matches!(mode, Some(Mode::Records(records)) if !records.is_done());
                (answered && called && settled && !applying && self.running.is_none()).then_some(Ok(()))
            }
        }
    }
}
