//! Replication of one database, over the relay protocol or with a server of the push-pull contract: what to ask, what to
//! answer, what to send, and when. Never touches the database itself: it orders transactions ([`super::txn::Job`]) one at a time, and every cursor
//! moves inside one. Called by `web::driver` and by the simulator.
//!
//! - getters: [`Replica::status`], [`Replica::poll_timeout`]
//! - the one way in: [`Replica::handle`]
//! - the one way out: [`Replica::poll_output`]
//!
//! Invariants: at most one job is out; frames of a connection are handled in the order in which they came; nothing
//! of a connection outlives it; the lists in memory (tasks, window, asks) are bounded.

mod account;
mod applied;
mod ask;
mod conn;
mod digest;
mod inbound;
mod io;
mod jobs;
mod plain;
mod records;
mod show;
mod trace;
mod upload;
mod wait;

pub use io::*;
pub use trace::Frame;

use self::conn::{Conn, Mode};
use self::digest::Proof;
use self::jobs::{Running, Task};
use self::records::Recount;
use self::show::Counters;
use self::trace::Trace;
use self::wait::Wait;
use super::clock::{Duration, Jitter, Now};
use super::store::Budget;
use super::txn::{Scope, View};
use crate::queue::Queue;
use crate::sorted::SortedSet;
use crate::wire::{Body, Message, Run, SiteId};

/// Local changes that come faster are read together.
const COALESCE: Duration = Duration::from_millis(8);
/// How many tasks may wait before the connection is given up; what they would have brought is asked for again.
const MAX_TASKS: usize = 1024;
/// The same bound in bytes of rows.
const MAX_QUEUED_BYTES: usize = 32 << 20;

/// What the replica is allowed to do.
#[derive(Debug)]
enum Phase {
    Stopped,
    /// The start's transaction is on its way.
    Starting(Run),
    Running(Run),
    /// Nothing goes on until the app does something about it.
    Halted {
        run: Run,
        started: bool,
        problem: Problem,
    },
    /// The relay has named another account than the database's, this one: nothing is sent or applied.
    Refused {
        run: Run,
        account: Option<String>,
    },
    /// The next connection is asked whom it speaks to; until it has said so nothing is sent or applied.
    Checking {
        run: Run,
        /// The one that was refused before.
        account: Option<String>,
        /// The app wants it, if it is still named then.
        accepted: bool,
    },
}

impl Phase {
    fn run(&self) -> Option<&Run> {
        match self {
            Phase::Running(run)
            | Phase::Starting(run)
            | Phase::Halted { run, .. }
            | Phase::Refused { run, .. }
            | Phase::Checking { run, .. } => Some(run),
            Phase::Stopped => None,
        }
    }

    /// Work with the connection goes on.
    fn is_running(&self) -> bool {
        matches!(self, Phase::Running(_) | Phase::Checking { .. })
    }
}

/// The state machine of replication.
#[derive(Debug)]
pub struct Replica {
    config: Config,
    jitter: Jitter,
    phase: Phase,
    now: Now,
    outputs: Queue<Output>,
    tasks: Queue<Task>,
    running: Option<Running>,
    next_job: JobId,
    /// Jobs wait until then: the app holds a transaction, or the database failed.
    jobs_not_before: Option<Duration>,
    job_failures: u32,
    /// The state as the last job left it: to show and to ask, never to move a cursor.
    view: View,
    link: LinkState,
    conn: Option<Conn>,
    /// Something may have changed that was not read yet.
    dirty: bool,
    /// Something was written that was not counted yet.
    uncounted: bool,
    last_read: Option<Duration>,
    poll_at: Option<Duration>,
    /// Halved while the peer finds messages too large.
    budget: Budget,
    /// Rows of ours that a receiver will never take; they stand in the rejected list.
    refused: SortedSet<upload::RowId>,
    next_call: CallId,
    recount: Recount,
    proof: Proof,
    waits: Vec<Wait>,
    counters: Counters,
    trace: Trace,
    status: Status,
    shown: Status,
}

impl Replica {
    #[must_use]
    pub fn new(config: Config) -> Self {
        let status = show::initial();
        let mut budget = config.budget;
        if config.records.is_some() {
            budget.changes = budget.changes.min(budget.bytes / records::RECORD_BYTES).max(1);
        }
        Replica {
            jitter: Jitter::new(config.seed),
            budget,
            config,
            phase: Phase::Stopped,
            now: Now::default(),
            outputs: Queue::new(),
            tasks: Queue::new(),
            running: None,
            next_job: 0,
            jobs_not_before: None,
            job_failures: 0,
            view: View::default(),
            link: LinkState::TRYING,
            conn: None,
            dirty: false,
            uncounted: false,
            last_read: None,
            poll_at: None,
            refused: SortedSet::new(),
            next_call: 0,
            recount: Recount::default(),
            proof: Proof::default(),
            waits: Vec::new(),
            counters: Counters::default(),
            trace: Trace::default(),
            shown: status.clone(),
            status,
        }
    }

    /// What to show.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The last messages, oldest first: what can be told of them to anybody.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.trace.frames()
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes one input. Drain [`Replica::poll_output`] before the next.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Start { run } => self.start(run),
            Input::Stop => self.stop(),
            Input::Link(link) => self.link = link.after(&self.link),
            Input::Opened { conn } => self.opened(conn),
            Input::Closed { conn, close_code } => self.closed(conn, close_code),
            Input::Received { conn, text } => self.received(conn, &text),
            Input::Pushed { conn, call, result } => self.pushed(conn, call, &result),
            Input::Pulled { conn, call, page } => self.pulled(conn, call, page),
            Input::CallFailed { conn, call, failure } => self.call_failed(conn, call, &failure),
            Input::ServerPush { conn, changes } => self.server_push(conn, &changes),
            Input::Probe => self.probe(),
            Input::JobDone { job, result } => self.job_done(job, result),
            Input::LocalChange => (self.dirty, self.uncounted) = (true, true),
            Input::SyncNow => self.sync_now(),
            Input::Wait { wait, level } => self.wait(wait, level),
            Input::Cancel { wait } => self.waits.retain(|waiting| waiting.id != wait),
            Input::AcceptAccount => self.accept_account(),
            Input::Timeout => {}
        }
        self.settle();
    }

    /// When to feed [`Input::Timeout`], if at all. Never before the `now` of the last input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if !self.is_running() {
            return self.jobs_not_before.filter(|_| matches!(self.phase, Phase::Starting(_)));
        }
        let read_at = if self.wants_to_read() { self.may_read_at() } else { None };
        let knows_a_log = self.view.log.is_some();
        let conn = self.conn.as_ref().and_then(|conn| conn.deadline(knows_a_log));
        let jobs = self.jobs_not_before.filter(|_| !self.tasks.is_empty());
        let recount = self.recount_due();
        [self.poll_at, read_at, conn, jobs, recount, self.proof.due()]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(self.now.at + Duration::from_millis(1)))
    }

    /// Whatever has become due, and what follows from it, until nothing more does.
    fn settle(&mut self) {
        if self.is_running() {
            self.tick_poll();
            self.tick_conn();
            self.tick_read();
            self.tick_proof();
        }
        self.run_next();
        self.settle_waits();
        self.show();
    }

    fn start(&mut self, run: Run) {
        match self.phase {
            Phase::Stopped | Phase::Halted { .. } => {
                self.phase = Phase::Starting(run.clone());
                self.push_front(Task::Start(run));
            }
            Phase::Refused { .. } => self.check_account(),
            Phase::Starting(_) | Phase::Running(_) | Phase::Checking { .. } => {}
        }
    }

    fn stop(&mut self) {
        self.let_go();
        self.fail_waits(&Problem::fatal("stopped", "the client was stopped"));
    }

    /// The database has had another leader since: nothing that this one knows counts any more.
    fn lead_lost(&mut self) {
        self.let_go();
        self.waits.clear();
        self.outputs.push_back(Output::LeadLost);
    }

    fn let_go(&mut self) {
        self.phase = Phase::Stopped;
        self.tasks.clear();
        // What was not booked has to be refused again.
        self.refused.clear();
        // A job that is out ends by itself; its answer is not ours any more.
        self.running = None;
        self.uncounted = false;
        self.abort_calls();
        self.conn = None;
        self.recount.stop();
        self.proof = Proof::default();
        self.poll_at = None;
        self.jobs_not_before = None;
    }

    /// Nothing more is done until the app says so.
    fn halt(&mut self, problem: Problem) {
        let phase = std::mem::replace(&mut self.phase, Phase::Stopped);
        self.phase = match phase {
            Phase::Running(run) => Phase::Halted { run, started: true, problem: problem.clone() },
            Phase::Starting(run) => Phase::Halted { run, started: false, problem: problem.clone() },
            Phase::Refused { run, .. } | Phase::Checking { run, .. } => {
                Phase::Halted { run, started: true, problem: problem.clone() }
            }
            Phase::Stopped | Phase::Halted { .. } => phase,
        };
        self.tasks.clear();
        self.give_up_work();
        self.outputs.push_back(Output::Event(Event::Error(problem)));
    }

    /// Ends what was going on over the connection, not the connection.
    fn give_up_work(&mut self) {
        self.proof.stop_reading();
        self.refused.clear();
        self.abort_calls();
        if let Some(conn) = &mut self.conn {
            conn.restart(self.now.at);
        }
    }

    fn sync_now(&mut self) {
        if let Phase::Halted { run, started, problem } = &self.phase
            && problem.retryable
        {
            let (run, started) = (run.clone(), *started);
            if started {
                self.phase = Phase::Running(run);
            } else {
                self.phase = Phase::Stopped;
                self.start(run);
            }
        }
        if let LinkState::Failed { .. } = self.link {
            self.link = LinkState::TRYING; // the transport was told to try again
        }
        self.jobs_not_before = None;
        self.dirty = true;
        self.try_calls_now();
        if let Some(conn) = &mut self.conn {
            conn.ask_again_now(self.now.at);
        }
    }

    /// The transport asks for a sign of life.
    fn probe(&mut self) {
        if self.is_running()
            && let Some(conn) = &mut self.conn
        {
            conn.ask_again_now(self.now.at);
        }
    }

    /// Whether a healthy peer must answer what [`Input::Probe`] leads to: only a relay that stores, and only if the
    /// request can go out at once.
    #[must_use]
    pub fn must_be_answered(&self) -> bool {
        let stores = matches!(self.conn.as_ref().map(|conn| &conn.mode), Some(Mode::Storing(_)));
        stores && self.is_running() && self.jobs_not_before.is_none()
    }

    fn opened(&mut self, conn: ConnId) {
        self.drop_conn_tasks();
        self.abort_calls();
        self.ask_whose();
        let log = self.config.records.as_ref().map(|records| records.log);
        self.conn = Some(Conn::new(conn, log, self.now.at));
        self.link = LinkState::TRYING;
        self.dirty = true;
        self.counters.forget_progress();
    }

    fn closed(&mut self, id: ConnId, close_code: Option<u16>) {
        // A late event of an older connection is not ours.
        if self.conn.as_ref().is_none_or(|conn| conn.id != id) {
            return;
        }
        let conn = self.conn.take();
        self.drop_conn_tasks();
        self.outputs.extend(conn.iter().flat_map(Conn::calls_out).map(|call| Output::Abort { call }));
        if let Some(conn) = conn
            && close_code == Some(crate::wire::CloseCode::TOO_BIG.0)
        {
            self.too_big(conn);
        }
    }

    fn drop_conn_tasks(&mut self) {
        self.tasks.retain(Task::outlives_connection);
        if let Some(running) = &mut self.running
            && !running.task.outlives_connection()
        {
            running.orphaned = true;
        }
    }

    /// Gives up the connection; another one starts from what the database says.
    fn drop_connection(&mut self, why: Problem) {
        self.abort_calls();
        if let Some(conn) = self.conn.take() {
            self.drop_conn_tasks();
            self.outputs.push_back(Output::Drop { conn: conn.id, why });
        }
    }

    fn run(&self) -> Option<&Run> {
        self.phase.run()
    }

    fn is_running(&self) -> bool {
        self.phase.is_running()
    }

    fn scope(&self) -> Scope {
        let pushed = match self.conn.as_ref().map(|conn| &conn.mode) {
            Some(Mode::Plain(plain)) if !plain.unread => plain.read,
            Some(Mode::Plain(_) | Mode::Probing(_) | Mode::Storing(_) | Mode::Records(_)) | None => 0,
        };
        Scope { tables: self.config.tables.clone(), budget: self.budget, pushed, wall_ms: self.now.wall_ms }
    }

    fn send(&mut self, body: Body) {
        let Some(conn) = &self.conn else { return };
        let message = Message { site_id: self.config.site, timestamp: self.now.wall_ms, body };
        let text = message.encode();
        self.trace.message(true, &message, text.len(), self.now.wall_ms);
        self.outputs.push_back(Output::Send { conn: conn.id, text });
    }

    fn is_ours(&self, site: SiteId) -> bool {
        site == self.config.site
    }
}
