//! What goes into the replica and what comes out: the whole surface between the decisions and the world.
//! Decides nothing itself.

use crate::engine::clock::Duration;
use crate::engine::store::{Budget, StoreError};
use crate::engine::txn::{Job, Outcome};
use crate::wire::{Pk, Run, SiteId};

/// What stays the same for the life of a replica.
#[derive(Debug, Clone)]
pub struct Config {
    /// `crsql_site_id()` of the database.
    pub site: SiteId,
    /// Only these tables are sent and applied; all replicated ones without.
    pub tables: Option<Vec<String>>,
    /// The most that one message carries.
    pub budget: Budget,
    /// Seeds the jitter.
    pub seed: u64,
    /// How often the database is looked at for changes that nobody announced (other tabs, raw SQL).
    pub poll: Duration,
    /// Set where the remote is a server of the push-pull contract.
    pub records: Option<RecordsConfig>,
}

/// A remote that keeps records, and has neither a clock nor a name.
#[derive(Debug, Clone)]
pub struct RecordsConfig {
    /// Stands for it in the bookkeeping ([`crate::wire::record::site_of`]).
    pub log: SiteId,
    /// How often it is asked for news; only for a reason without.
    pub pull_every: Option<Duration>,
}

/// A job's number: its answer names it.
pub type JobId = u64;
/// A waiter's number, chosen by the driver.
pub type WaitId = u64;
/// A connection's number, chosen by the driver, never used twice.
pub type ConnId = u64;
/// The number of a call of `push` or `pull`: its end names it. Never used twice.
pub type CallId = u64;

/// What happens to a replica.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // moved once, never stored
pub enum Input {
    /// This tab leads from now on. `run` is drawn at random for this start.
    Start { run: Run },
    /// Let go: nothing is read, written or sent any more.
    Stop,
    /// The transport is connecting, or cannot.
    Link(LinkState),
    /// The transport is open; frames of this connection follow.
    Opened { conn: ConnId },
    /// The connection is gone.
    Closed { conn: ConnId, close_code: Option<u16> },
    /// A text frame arrived.
    Received { conn: ConnId, text: String },
    /// A push has its result, as JSON.
    Pushed { conn: ConnId, call: CallId, result: String },
    /// A pull has its page.
    Pulled { conn: ConnId, call: CallId, page: Pulled },
    /// A call has failed.
    CallFailed { conn: ConnId, call: CallId, failure: Failure },
    /// The server has sent changes unasked, as JSON.
    ServerPush { conn: ConnId, changes: String },
    /// The transport doubts its connection: make the peer speak. See [`super::Replica::must_be_answered`].
    Probe,
    /// A job ended.
    JobDone { job: JobId, result: Result<Outcome, StoreError> },
    /// The app, another tab or the poll says that the database may have changed.
    LocalChange,
    /// Ask everybody again, now.
    SyncNow,
    /// Settle `wait` when everything committed until now has come as far as `level`.
    Wait { wait: WaitId, level: Level },
    /// The waiter lost interest.
    Cancel { wait: WaitId },
    /// The app has answered an account change: go on with the account that was refused, if a new connection still names it.
    AcceptAccount,
    /// A deadline of [`super::Replica::poll_timeout`] has passed.
    Timeout,
}

/// How far a local change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The first catch-up of this database with this remote is complete.
    FirstSync,
    /// Handed to an open connection.
    Sent,
    /// Acknowledged by a relay that stores.
    Stored,
    /// Everything asked was answered and everything local is sent (and stored, where a relay stores).
    Round,
    /// The same, after what was exchanged with the remote was forgotten.
    Resync,
    /// What was kept aside was tried again here, and what was refused was sent again and answered.
    Retry,
    /// Whatever account was refused and then accepted is ours now.
    Account,
}

/// A page of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The changes, as JSON.
    pub changes: String,
    /// The cursor, as JSON; none where the server gave none.
    pub cursor: Option<String>,
    pub has_more: bool,
    /// The server says that it has lost some of what it had shown up to the cursor that it was asked with.
    pub reset: bool,
}

/// What is known of a call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// The HTTP status that was the answer.
    pub status: Option<u16>,
    /// How the connection was closed.
    pub close_code: Option<u16>,
    pub retry_after: Option<Duration>,
    /// The credentials were refused.
    pub needs_auth: bool,
    /// It has taken too long: what it carries, or asks for, may be too much for the line.
    pub timed_out: bool,
    pub message: String,
}

/// What the replica wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Run this job of this run in a transaction and answer with [`Input::JobDone`]. One at a time.
    Run {
        job: JobId,
        run: Run,
        what: Job,
    },
    /// Send this text frame on this connection.
    Send {
        conn: ConnId,
        text: String,
    },
    /// Call `push` with these records (JSON).
    Push {
        conn: ConnId,
        call: CallId,
        records: String,
    },
    /// Call `pull` with this cursor (JSON), for so many changes.
    Pull {
        conn: ConnId,
        call: CallId,
        cursor: Option<String>,
        batch: usize,
    },
    /// Nobody waits for this call any more.
    Abort {
        call: CallId,
    },
    /// The remote wants other credentials.
    AuthRequired,
    /// Give up this connection; the transport will connect again.
    Drop {
        conn: ConnId,
        why: Problem,
    },
    /// Connect anew, now: the account is asked for of a connection that carries the credentials of this moment.
    Reconnect,
    /// The connection has proved itself: backoff may start over.
    Healthy {
        conn: ConnId,
    },
    /// Another leader has started on this database. This one has stopped; its waiters are the new one's to answer.
    LeadLost,
    /// [`super::Replica::status`] has changed.
    StatusChanged,
    Event(Event),
    Settled {
        wait: WaitId,
        result: Result<(), Problem>,
    },
}

/// What listeners hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Rows of another device were committed.
    Applied { from: SiteId, rows: Vec<(String, Pk)> },
    /// Rows could not be applied and were kept aside.
    Quarantined { from: SiteId, count: usize },
    /// A receiver refused rows of ours; they are kept aside.
    Rejected { by: SiteId, count: usize },
    /// Something went wrong that the app may want to know; the replica goes on by itself.
    Error(Problem),
}

/// A problem with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: &'static str,
    pub message: String,
    /// Trying again later may help.
    pub retryable: bool,
}

impl Problem {
    #[must_use]
    pub fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), retryable: false }
    }

    #[must_use]
    pub fn passing(code: &'static str, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), retryable: true }
    }
}

/// What the transport says of itself while it is not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Trying, or waiting to try. The reason is why that is necessary, where something has failed.
    Connecting {
        retry_at: Option<Duration>,
        reason: Option<String>,
    },
    /// The device is offline, or the transport was told to disconnect.
    Offline {
        reason: String,
    },
    NeedsAuth {
        reason: String,
    },
    Failed {
        reason: String,
    },
}

impl LinkState {
    /// For the first time, as far as is known.
    pub const TRYING: LinkState = LinkState::Connecting { retry_at: None, reason: None };

    /// An attempt that does not say why it is made is made for the reason that was told before.
    pub(super) fn after(mut self, before: &LinkState) -> LinkState {
        if let (
            LinkState::Connecting { reason: why @ None, .. },
            LinkState::Connecting { reason: known, .. },
        ) = (&mut self, before)
        {
            why.clone_from(known);
        }
        self
    }
}

/// The state of synchronisation, most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Stopped,
    Standby,
    Offline,
    Connecting,
    CatchingUp,
    Live,
    NeedsAuth,
    Failed,
}

/// What the app shows. Kept up to date, never throws.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub state: State,
    /// A stable word or code for why, where the state alone does not say.
    pub reason: Option<String>,
    /// Local changes (rows of `crsql_changes`) that no relay has stored yet, or that were not pushed to a plain one. At
    /// least 1 from the announcement of a write until it was counted.
    pub pending_changes: u64,
    /// Wall-clock milliseconds at which the oldest of them was first seen pending. Persisted.
    pub oldest_pending_at: Option<i64>,
    /// Wall-clock milliseconds at which this database last knew that it was up to date. Persisted.
    pub last_synced_at: Option<i64>,
    /// Wall-clock milliseconds at which what is held was last proved equal to what the relay or another device holds.
    pub verified_at: Option<i64>,
    pub quarantined: u64,
    pub rejected: u64,
    /// Driver time of the next attempt to connect.
    pub retry_at: Option<Duration>,
    /// From a push to its acknowledgement.
    pub round_trip: Option<Duration>,
    pub progress: Progress,
}

/// How far a catch-up is; numbers start over with each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Changes received.
    pub received: u64,
    /// Changes that were taken (plain relay: handed to it).
    pub sent: u64,
    /// Versions of the remote clock still to come, when it says so.
    pub remaining_versions: Option<u64>,
}
