//! Replication with a server of the push-pull contract, which only keeps records: one push and one pull at a time. Decides
//! when each is made, what its failure means, and when it is made again. Never calls anything itself, and moves no
//! cursor. Called by the rest of the replica; `records::push` and `records::pull` know what the calls carry.

mod pull;
mod push;
mod recount;

pub(super) use self::recount::Recount;

use self::pull::Round;
use super::conn::Mode;
use super::upload::Upload;
use super::{CallId, ConnId, Event, Failure, LinkState, Output, Problem, Replica, State};
use crate::engine::clock::Duration;
use crate::engine::retry::{self, Judgement, Verdict};
use crate::engine::store::Budget;
use crate::wire::{CloseCode, SiteId};

/// About how many bytes a record takes beside its value.
pub(super) const RECORD_BYTES: usize = 500;
/// A call that takes longer will never end.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that a server may ask for.
const LONGEST_STATED: Duration = Duration::from_secs(3600);
/// What is no larger takes no line too long: then the server is slow, or not there.
const SMALL: Budget = Budget { changes: 64, bytes: 32 << 10 };
/// A server that refuses for good may be one that is being set up.
const SECOND_LOOK: Duration = Duration::from_secs(300);

/// What one kind of call is doing.
#[derive(Debug, Default)]
struct Lane {
    /// The call that is out, and when it is given up.
    call: Option<(CallId, Duration)>,
    /// Calls in a row that failed.
    failures: u32,
    not_before: Option<Duration>,
}

impl Lane {
    fn is_free(&self) -> bool {
        self.call.is_none() && self.not_before.is_none()
    }

    fn deadline(&self) -> Option<Duration> {
        self.call.map(|(_, deadline)| deadline).or(self.not_before)
    }

    fn ended(&mut self, call: CallId) -> bool {
        let ours = self.call.is_some_and(|(out, _)| out == call);
        if ours {
            self.call = None;
        }
        ours
    }
}

/// Whether calls make sense.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Good,
    /// Until the app has done something about it.
    NeedsAuth,
    Failed {
        reason: &'static str,
        message: String,
        until: Duration,
    },
}

/// What is known of the remote over one connection.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) upload: Upload,
    push: Lane,
    pull: Lane,
    /// The names of the records that the push carries, in the order of the message's rows.
    batch: Vec<String>,
    round: Option<Round>,
    /// Another round has a reason.
    pub(super) wanted: bool,
    next_round: Option<Duration>,
    /// Halved while pages are too large.
    page: Option<usize>,
    standing: Standing,
    /// The server has asked for so much patience, whatever the app wants.
    stated_until: Duration,
    /// Calls up to this one were made with credentials that may be old.
    renewed_at: CallId,
}

impl Records {
    pub(super) fn new(log: SiteId) -> Self {
        let mut upload = Upload::new(log, 0);
        upload.hold(); // until the replica runs
        Records {
            upload,
            push: Lane::default(),
            pull: Lane::default(),
            batch: Vec::new(),
            round: None,
            wanted: true,
            next_round: None,
            page: None,
            standing: Standing::Good,
            stated_until: Duration::ZERO,
            renewed_at: 0,
        }
    }

    pub(super) fn calls_out(&self) -> Vec<CallId> {
        [&self.push, &self.pull].into_iter().filter_map(|lane| lane.call).map(|(call, _)| call).collect()
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let lanes = [self.push.deadline(), self.pull.deadline()].into_iter().flatten();
        let next = match &self.standing {
            Standing::Good => self.next_round,
            Standing::NeedsAuth => None,
            Standing::Failed { until, .. } => Some(*until),
        };
        lanes.chain(next).min()
    }

    /// All rounds that had a reason are over.
    pub(super) fn is_done(&self) -> bool {
        self.round.is_none() && !self.wanted
    }

    /// Why nothing will happen until the app does something.
    pub(super) fn problem(&self) -> Option<Problem> {
        match &self.standing {
            Standing::Good => None,
            Standing::NeedsAuth => Some(Problem::fatal("needs-auth", "the remote refuses our credentials")),
            Standing::Failed { message, .. } => Some(Problem::fatal("http-status", message.clone())),
        }
    }
}

impl Replica {
    pub(super) fn records(&mut self) -> Option<&mut Records> {
        match self.conn.as_mut().map(|conn| &mut conn.mode) {
            Some(Mode::Records(records)) => Some(records),
            Some(Mode::Probing(_) | Mode::Plain(_) | Mode::Storing(_)) | None => None,
        }
    }

    /// The calls that are due, and those that are overdue.
    pub(super) fn tick_records(&mut self) {
        let now = self.now.at;
        let uploaded = self.view.uploaded;
        let counting = self.recount.is_counting();
        let Some(records) = self.records() else { return };
        if records.upload.is_held() && !counting {
            records.upload.restart(uploaded);
        }
        if let Standing::Failed { until, .. } = records.standing
            && until <= now
        {
            records.standing = Standing::Good;
        }
        if records.next_round.is_some_and(|at| at <= now) {
            records.next_round = None;
            records.wanted = true;
        }
        let mut overdue = Vec::new();
        for lane in [&mut records.push, &mut records.pull] {
            lane.not_before = lane.not_before.filter(|at| *at > now);
            overdue.extend(lane.call.filter(|(_, deadline)| *deadline <= now).map(|(call, _)| call));
        }
        for call in overdue {
            self.outputs.push_back(Output::Abort { call });
            let message = "the remote does not answer".to_owned();
            self.call_ended_badly(call, &Failure { message, timed_out: true, ..Failure::default() });
        }
        self.tick_recount();
        if self.records().is_some_and(|records| records.standing == Standing::Good) {
            self.tick_pull();
            self.tick_push();
        }
    }

    /// The number of a new call, and when it is given up.
    fn new_call(&mut self) -> (CallId, Duration) {
        self.next_call += 1;
        (self.next_call, self.now.at + CALL_DEADLINE)
    }

    /// Nobody waits for what is out any more.
    pub(super) fn abort_calls(&mut self) {
        let Some(records) = self.records() else { return };
        let calls = [records.push.call.take(), records.pull.call.take()];
        self.outputs.extend(calls.into_iter().flatten().map(|(call, _)| Output::Abort { call }));
    }

    /// The app is impatient, or has done something about a failure.
    pub(super) fn try_calls_now(&mut self) {
        let (now, newest) = (self.now.at, self.next_call);
        let Some(records) = self.records() else { return };
        records.standing = Standing::Good;
        records.renewed_at = newest;
        let stated = Some(records.stated_until).filter(|until| *until > now);
        for lane in [&mut records.push, &mut records.pull] {
            lane.not_before = stated;
            lane.failures = 0;
        }
        self.link = LinkState::TRYING;
    }

    fn is_out(&mut self, conn: ConnId, call: CallId) -> bool {
        let same = self.is_running() && self.conn.as_ref().is_some_and(|known| known.id == conn);
        same && self.records().is_some_and(|records| {
            [&records.push, &records.pull].iter().any(|lane| lane.call.is_some_and(|(out, _)| out == call))
        })
    }

    pub(super) fn call_failed(&mut self, conn: ConnId, call: CallId, failure: &Failure) {
        if self.is_out(conn, call) {
            self.call_ended_badly(call, failure);
        }
    }

    /// An answer that cannot be read is a failure, too.
    fn call_misunderstood(&mut self, call: CallId, why: String) {
        self.call_ended_badly(call, &Failure { message: why, ..Failure::default() });
    }

    fn call_ended_badly(&mut self, call: CallId, failure: &Failure) {
        self.trace_call(false, "call_failed", 0, &mut std::iter::empty());
        let now = self.now.at;
        let jitter = 0.75 + self.jitter.unit() / 2.0;
        let Some(records) = self.records() else { return };
        let pushed = records.push.ended(call);
        if !pushed && !records.pull.ended(call) {
            return;
        }
        let lane = if pushed { &mut records.push } else { &mut records.pull };
        lane.failures = lane.failures.saturating_add(1);
        let first = lane.failures == 1;
        let own = pause(lane.failures).mul_f64(jitter);
        let pause = failure.retry_after.map_or(own, |stated| stated.min(LONGEST_STATED).max(own));
        let Judgement { mut verdict, reason } = judge(failure);
        if verdict == Verdict::NeedsAuth && call <= records.renewed_at {
            verdict = Verdict::Retry; // with the credentials that the app has found since
        }
        let mut code = "peer-error";
        match verdict {
            Verdict::Retry => lane.not_before = Some(now + pause),
            Verdict::RetryLater => {
                code = "rate-limited";
                if failure.retry_after.is_some() {
                    records.stated_until = now + pause;
                }
                for lane in [&mut records.push, &mut records.pull] {
                    lane.not_before = Some(now + pause);
                }
            }
            Verdict::RetrySmaller => {
                lane.not_before = Some(now + pause).filter(|_| !pushed);
                return if pushed { self.send_smaller() } else { self.ask_for_less(1) };
            }
            Verdict::NeedsAuth => {
                code = "needs-auth";
                records.standing = Standing::NeedsAuth;
                self.outputs.push_back(Output::AuthRequired);
            }
            Verdict::Fail => {
                code = "http-status";
                let (message, until) = (failure.message.clone(), now + SECOND_LOOK);
                records.standing = Standing::Failed { reason, message, until };
            }
        }
        if failure.timed_out && verdict == Verdict::Retry {
            if pushed { self.push_less() } else { self.ask_for_less(SMALL.changes) }
        }
        if first || verdict == Verdict::Fail {
            let retryable = matches!(verdict, Verdict::Retry | Verdict::RetryLater);
            let problem = Problem { code, message: failure.message.clone(), retryable };
            self.outputs.push_back(Output::Event(Event::Error(problem)));
        }
    }

    /// When a call that failed is made again.
    pub(super) fn calls_retry_at(&self) -> Option<Duration> {
        let Some(Mode::Records(records)) = self.conn.as_ref().map(|conn| &conn.mode) else { return None };
        let failing = [&records.push, &records.pull].into_iter().filter(|lane| lane.failures > 0);
        failing.filter_map(|lane| lane.not_before).min()
    }

    /// What to show where calls do not succeed.
    pub(super) fn calls_state(&self, link: &LinkState) -> Option<(State, Option<String>)> {
        let Some(Mode::Records(records)) = self.conn.as_ref().map(|conn| &conn.mode) else { return None };
        match &records.standing {
            Standing::NeedsAuth => Some((State::NeedsAuth, Some("unauthenticated".to_owned()))),
            Standing::Failed { reason, .. } => Some((State::Failed, Some((*reason).to_owned()))),
            Standing::Good => match link {
                LinkState::Offline { reason } => Some((State::Offline, Some(reason.clone()))),
                // The transport asks for new credentials; the end of the call tells whether it got any.
                LinkState::NeedsAuth { reason } => Some((State::Connecting, Some(reason.clone()))),
                LinkState::Connecting { .. } | LinkState::Failed { .. } => {
                    (records.push.failures + records.pull.failures > 0).then_some((State::Connecting, None))
                }
            },
        }
    }
}

/// Before the call after so many failures.
fn pause(failures: u32) -> Duration {
    (FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1).min(6))).min(LONGEST_PAUSE)
}

fn judge(failure: &Failure) -> Judgement {
    match (failure.needs_auth, failure.status, failure.close_code) {
        (true, _, _) => retry::after_status(401),
        (false, Some(status), _) => retry::after_status(status),
        (false, None, Some(code)) => retry::after_close(CloseCode(code)),
        (false, None, None) => {
            let verdict = if failure.retry_after.is_some() { Verdict::RetryLater } else { Verdict::Retry };
            Judgement { verdict, reason: "server-error" }
        }
    }
}
