//! The queue of transactions: what waits, what is out, and what its outcome leads to. Decides the order (first
//! come, first served, one at a time) and what to do when the database says no.

use super::conn::Mode;
use super::upload::{row_id, split};
use super::{COALESCE, Event, JobId, Output, Phase, Problem, Replica, WaitId};
use crate::engine::clock::Duration;
use crate::engine::store::StoreError;
use crate::engine::txn::{Acked, Advance, Applied, Apply, Job, KeyPlace, Outcome, Point, What};
use crate::rules::{self, Rule};
use crate::wire::{Body, Cursor, Part, Run, SiteId, SyncResponse};

const BUSY_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_BUSY_PAUSE: Duration = Duration::from_millis(400);
const FAILED_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_FAILED_PAUSE: Duration = Duration::from_secs(60);

/// Something to do in a transaction, and what is needed to go on after it.
#[derive(Debug)]
pub(super) enum Task {
    Start(Run),
    Request(super::ask::Target),
    Answer(Answer),
    /// Reads local changes for whatever kind of relay there is.
    Read,
    Beat,
    Apply(Box<Apply>, After),
    Acked(Acked),
    Poll,
    /// Tries what was kept aside, because the app has asked for it.
    Retry,
    Barrier(WaitId),
    CaughtUp,
    /// Somebody else speaks for our site: if this transaction is still ours to make, it is a copy.
    Doubled,
    AcceptAccount(Option<String>),
    /// Adds up what is held, from this place on.
    Digest(KeyPlace),
    /// Forgets what was exchanged with the remote; `rejected`: also what it refused.
    Resync {
        rejected: bool,
    },
}

/// An answer that somebody waits for.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) to: SiteId,
    pub(super) reference: Option<String>,
    pub(super) from: Point,
    /// The asker knows only the seed: everything is sent in a row.
    pub(super) seed: bool,
    /// Such a peer has asked for this once more while it was being served.
    pub(super) again: Option<Point>,
}

/// What an applied message leads to.
#[derive(Debug, Clone)]
pub(super) enum After {
    Answer(super::applied::Answered),
    Push(super::applied::Pushed),
    /// A page of a pull; `ends`: the last one of its round.
    Page {
        log: SiteId,
        ends: bool,
    },
    /// What a server has sent unasked.
    ServerPush {
        log: SiteId,
    },
}

impl Task {
    /// The sender of the answer that this applies.
    pub(super) fn applies_answer_of(&self) -> Option<SiteId> {
        match self {
            Task::Apply(_, After::Answer(answered)) => Some(answered.from),
            _ => None,
        }
    }

    /// Where the log stands after the answer to us that this applies, and whether there is more.
    pub(super) fn page_of(&self, log: SiteId) -> Option<(Cursor, bool)> {
        match self {
            Task::Apply(apply, After::Answer(answered)) if answered.from == log && answered.ours => {
                let Advance::Answer { run, current, head, .. } = &apply.advance else { return None };
                Some((Cursor { run: run.clone(), version: *current, head: *head }, answered.more))
            }
            _ => None,
        }
    }

    /// What is pending is counted with it.
    fn counts(&self) -> bool {
        matches!(self, Task::Start(_) | Task::Read | Task::Poll | Task::Retry | Task::Barrier(_))
    }

    /// Worth doing when the connection that led to it is gone.
    pub(super) fn outlives_connection(&self) -> bool {
        match self {
            Task::Start(_)
            | Task::Acked(_)
            | Task::Poll
            | Task::Retry
            | Task::Barrier(_)
            | Task::CaughtUp
            | Task::Doubled
            | Task::AcceptAccount(_)
            | Task::Digest(_)
            | Task::Resync { .. } => true,
            Task::Request(_) | Task::Answer(_) | Task::Read | Task::Beat | Task::Apply(..) => false,
        }
    }
}

/// The job that is out.
#[derive(Debug)]
pub(super) struct Running {
    id: JobId,
    pub(super) task: Task,
    /// Its connection is gone: the outcome is noted, nothing follows from it.
    pub(super) orphaned: bool,
    /// It counts what was written before it.
    pub(super) counts: bool,
}

impl Replica {
    pub(super) fn push_front(&mut self, task: Task) {
        self.tasks.push_front(task);
    }

    /// Hands out the next job, if none is out and none has to wait.
    pub(super) fn run_next(&mut self) {
        if self.running.is_some() || matches!(self.phase, Phase::Stopped) {
            return;
        }
        if self.jobs_not_before.is_some_and(|at| at > self.now.at) {
            return;
        }
        self.jobs_not_before = None;
        while let Some(task) = self.tasks.pop_front() {
            let run = self.run().cloned();
            if let (Some(run), Some(what)) = (run, self.job(&task)) {
                self.next_job += 1;
                let job = self.next_job;
                self.outputs.push_back(Output::Run { job, run, what });
                let counts = task.counts() && std::mem::take(&mut self.uncounted);
                self.running = Some(Running { id: job, task, orphaned: false, counts });
                return;
            }
        }
    }

    /// The transaction that the task needs now; `None` when it has become pointless.
    fn job(&self, task: &Task) -> Option<Job> {
        let scope = self.scope();
        let tables = self.config.tables.clone();
        match task {
            Task::Start(_) => {
                let log = self.config.records.as_ref().map(|records| records.log);
                Some(Job::Start { tables, log })
            }
            Task::Request(_) | Task::Beat | Task::Doubled => Some(Job::Request),
            Task::Answer(answer) => Some(Job::Answer { from: answer.from.clone(), scope }),
            Task::Read => match &self.conn.as_ref()?.mode {
                Mode::Probing(_) => None,
                Mode::Plain(plain) => Some(Job::Push { after: plain.read, scope }),
                mode @ (Mode::Storing(_) | Mode::Records(_)) => {
                    mode.upload().filter(|upload| upload.has_room()).map(|upload| {
                        let known = self.goes_on() && !self.uncounted && self.view.pending != Some(0);
                        Job::Upload { log: upload.log, after: upload.sent, scope, counts: !known }
                    })
                }
            },
            Task::Apply(apply, _) => Some(Job::Apply(apply.clone())),
            Task::Acked(acked) => Some(Job::Acked(Box::new(acked.clone()))),
            Task::Poll | Task::Barrier(_) => Some(Job::Poll { scope }),
            Task::Retry => Some(Job::Retry { scope }),
            Task::CaughtUp => Some(Job::CaughtUp { wall_ms: self.now.wall_ms }),
            Task::AcceptAccount(account) => Some(Job::AcceptAccount { account: account.clone() }),
            Task::Digest(from) => Some(Job::Digest { from: from.clone(), scope: self.slice() }),
            Task::Resync { rejected } => Some(Job::Resync { rejected: *rejected }),
        }
    }

    /// Takes a job's end; one that is not out (stopped since) is not ours.
    pub(super) fn job_done(&mut self, job: JobId, result: Result<Outcome, StoreError>) {
        if self.running.as_ref().is_none_or(|running| running.id != job) {
            return;
        }
        let Some(Running { task, orphaned, counts, .. }) = self.running.take() else { return };
        match result {
            Ok(outcome) => {
                self.job_failures = 0;
                let again = matches!(task, Task::Retry) || !self.view.resend;
                self.look(&outcome);
                self.follow(task, outcome.what, orphaned);
                if again && self.view.resend {
                    self.resend();
                }
            }
            Err(error) => {
                self.uncounted |= counts;
                self.job_failed(task, orphaned, &error);
            }
        }
    }

    fn look(&mut self, outcome: &Outcome) {
        let pending = outcome.view.pending.or(self.view.pending);
        let quarantined = outcome.view.quarantined.or(self.view.quarantined);
        let rejected = outcome.view.rejected.or(self.view.rejected);
        self.view = outcome.view.clone();
        self.view.pending = pending;
        self.view.quarantined = quarantined;
        self.view.rejected = rejected;
        let (log, uploaded) = (self.view.log, self.view.uploaded);
        if let Some(upload) = self.conn.as_mut().and_then(|conn| conn.mode.upload_mut())
            && Some(upload.log) == log
        {
            upload.skip_to(uploaded);
        }
    }

    fn follow(&mut self, task: Task, what: What, orphaned: bool) {
        match task {
            Task::Start(run) => {
                if let What::Started { too_large } = what {
                    self.refused.insert_all(too_large.iter().map(row_id).collect());
                }
                self.phase = Phase::Running(run);
                self.dirty = true;
                self.poll_at = Some(self.now.at + self.config.poll);
            }
            Task::Acked(acked) => {
                if !acked.rejected.is_empty() {
                    let count = acked.rejected.len();
                    self.outputs.push_back(Output::Event(Event::Rejected { by: acked.log, count }));
                }
                // An acknowledgement in the log's clock may show that something before it is missing.
                self.dirty |= self.view.pending != Some(0) && !self.goes_on();
                self.check_log_gap();
            }
            Task::Poll | Task::Retry => self.polled(what),
            Task::Barrier(wait) => {
                self.reached_barrier(wait);
                self.polled(what);
            }
            Task::CaughtUp => {}
            Task::Doubled => self.tell_of_clone(self.config.site),
            Task::AcceptAccount(_) => {
                if let Some(conn) = &mut self.conn {
                    conn.restart(self.now.at);
                }
            }
            Task::Digest(_) => self.added_up(what),
            Task::Resync { rejected } => self.forgotten(rejected),
            Task::Apply(_, after) => self.applied(after, what, orphaned),
            Task::Request(_) | Task::Answer(_) | Task::Read | Task::Beat if orphaned => {}
            Task::Request(target) => self.send_request(target, what),
            Task::Answer(answer) => self.send_answer(answer, what),
            Task::Read => {
                if matches!(what, What::Push { .. }) {
                    self.send_push(what);
                } else {
                    self.send_upload(what);
                }
            }
            Task::Beat => self.send_beat(what),
        }
    }

    fn polled(&mut self, what: What) {
        let What::Polled { retried, rewound } = what else { return };
        if !retried.is_empty() {
            let from = self.config.site;
            self.outputs.push_back(Output::Event(Event::Applied { from, rows: retried }));
        }
        if rewound && let Some(conn) = &mut self.conn {
            conn.ask_again_now(self.now.at);
        }
        self.retried(rewound);
        if self.unsent() {
            self.dirty = true;
        }
    }

    /// The database has versions that were not read for this connection yet.
    fn unsent(&self) -> bool {
        match self.conn.as_ref().map(|conn| &conn.mode) {
            Some(Mode::Plain(plain)) => plain.read < self.view.head,
            Some(mode @ (Mode::Storing(_) | Mode::Records(_))) => {
                mode.upload().is_some_and(|upload| upload.sent < self.view.head || upload.more)
            }
            Some(Mode::Probing(_)) | None => false,
        }
    }

    fn job_failed(&mut self, task: Task, orphaned: bool, error: &StoreError) {
        self.job_failures = self.job_failures.saturating_add(1);
        let pause = |first: Duration, longest: Duration, failures: u32| {
            (first * 2_u32.saturating_pow((failures - 1).min(10))).min(longest)
        };
        match error {
            StoreError::Busy => {
                let wait = pause(BUSY_PAUSE, LONGEST_BUSY_PAUSE, self.job_failures);
                self.jobs_not_before = Some(self.now.at + wait);
                if !orphaned {
                    self.push_front(task);
                }
            }
            StoreError::Full(_) | StoreError::OrphanClockTable(_) => {
                self.halt(Problem::passing(error.code(), error.to_string()));
            }
            StoreError::NotLeading => self.lead_lost(),
            StoreError::Closed => self.halt(Problem::fatal(error.code(), error.to_string())),
            StoreError::Failed(_) => {
                let wait = pause(FAILED_PAUSE, LONGEST_FAILED_PAUSE, self.job_failures);
                self.jobs_not_before = Some(self.now.at + wait);
                let problem = Problem::passing(error.code(), error.to_string());
                self.outputs.push_back(Output::Event(Event::Error(problem)));
                if orphaned {
                    return;
                }
                match task {
                    // The rest of what that sender said is dropped and asked for again.
                    Task::Apply(apply, after) => self.apply_failed(&apply, &after),
                    task => self.push_front(task),
                }
            }
        }
    }

    fn send_answer(&mut self, answer: Answer, what: What) {
        let What::Answer { base, current, head, mut changes } = what else { return };
        self.leave_out_refused(&mut changes);
        if !rules::holds(Rule::RequestersOwnRows) {
            changes.retain(|change| change.site_id != answer.to);
        }
        let run = self.run().cloned();
        let more = current < head;
        let parts = split(changes, self.budget);
        let count = u32::try_from(parts.len().max(1)).unwrap_or(u32::MAX);
        let mut parts = parts.into_iter();
        for index in 0..count {
            let rows = parts.next().unwrap_or_default();
            self.note_size(&rows);
            self.counters.sent += rows.len() as u64;
            self.send(Body::Response(SyncResponse {
                changes: rows.into_iter().map(Ok).collect(),
                current_version: current,
                run: run.clone(),
                to: Some(answer.to),
                reference: answer.reference.clone(),
                base_version: Some(base),
                head: Some(head),
                more: more && !answer.seed,
                part: (count > 1).then_some(Part(index, count)),
                durable: false,
                account: None,
                stored: None,
                differ: None,
            }));
        }
        if more && answer.seed {
            self.tasks.push_back(Task::Answer(Answer { from: Point::After(current), ..answer }));
        } else if let Some(from) = answer.again {
            self.tasks.push_back(Task::Answer(Answer { from, again: None, ..answer }));
        }
    }

    /// What is being sent to a peer that knows only the seed, all of it in a row.
    pub(super) fn serving(&mut self, peer: SiteId) -> Option<&mut Answer> {
        let running = self.running.as_mut().map(|running| &mut running.task);
        self.tasks.iter_mut().chain(running).find_map(|task| match task {
            Task::Answer(answer) if answer.seed && answer.to == peer => Some(answer),
            _ => None,
        })
    }

    /// A read for sending makes sense now.
    pub(super) fn wants_to_read(&self) -> bool {
        if self.tasks.iter().any(|task| matches!(task, Task::Read))
            || self.running.as_ref().is_some_and(|running| matches!(running.task, Task::Read))
        {
            return false;
        }
        match self.conn.as_ref().map(|conn| &conn.mode) {
            Some(Mode::Plain(plain)) => self.dirty || plain.unread || plain.read < self.view.head,
            Some(mode @ (Mode::Storing(_) | Mode::Records(_))) => {
                mode.upload().is_some_and(|upload| (self.dirty || upload.more) && upload.has_room())
            }
            Some(Mode::Probing(_)) | None => self.dirty,
        }
    }

    pub(super) fn may_read_at(&self) -> Option<Duration> {
        Some(self.last_read.map_or(self.now.at, |last| last + COALESCE))
    }

    /// Reads local changes: for sending, or (without a peer) to count them.
    pub(super) fn tick_read(&mut self) {
        if !self.wants_to_read() || self.may_read_at().is_some_and(|at| at > self.now.at) {
            return;
        }
        self.last_read = Some(self.now.at);
        self.dirty = false;
        let mode = self.conn.as_mut().map(|conn| &mut conn.mode);
        let online = mode.as_ref().is_some_and(|mode| !matches!(mode, Mode::Probing(_)));
        if online {
            if let Some(upload) = mode.and_then(Mode::upload_mut) {
                upload.more = false;
            }
            self.tasks.push_back(Task::Read);
        } else if !self.tasks.iter().any(|task| matches!(task, Task::Poll)) {
            self.tasks.push_back(Task::Poll);
        }
    }

    /// The safety net under the announcements of local changes.
    pub(super) fn tick_poll(&mut self) {
        if self.poll_at.is_some_and(|at| at <= self.now.at) {
            self.poll_at = Some(self.now.at + self.config.poll);
            if !self.tasks.iter().any(|task| matches!(task, Task::Poll)) {
                self.tasks.push_back(Task::Poll);
            }
        }
    }

    /// Rows of another device are in the database.
    pub(super) fn announce(&mut self, from: SiteId, applied: &Applied) {
        if !applied.touched.is_empty() {
            let rows = applied.touched.clone();
            self.outputs.push_back(Output::Event(Event::Applied { from, rows }));
        }
        if applied.quarantined > 0 {
            let count = applied.quarantined;
            self.outputs.push_back(Output::Event(Event::Quarantined { from, count }));
        }
    }
}
