//! The programs that run inside one transaction of the replicated database: each reads the state, does its work,
//! and writes rows and state together. Decides everything that must hold across a crash; never talks to a peer.
//! Called by whoever carries out [`super::replica::Output::Run`], over any [`Store`].

mod apply;
mod book;
mod digest;
mod doubt;
mod read;
mod start;

use std::rc::Rc;

use super::meta::Meta;
use super::store::{Budget, Rows, Scan, Store, StoreError};
use crate::rules::{Rule, holds};
use crate::sorted::SortedMap;
use crate::wire::{Change, Cursor, Digest, Pk, Place, Row, RowCode, Run, SiteId};

/// One transaction's worth of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// A leader starts, and with it a new run. `log` stands for a server of the push-pull contract.
    Start {
        tables: Option<Vec<String>>,
        log: Option<SiteId>,
    },
    /// Reads what a request says of us.
    Request,
    /// Reads an answer.
    Answer {
        from: Point,
        scope: Scope,
    },
    /// Reads a live push for a plain relay: our own rows after `after`.
    Push {
        after: i64,
        scope: Scope,
    },
    /// Reads an upload for a log: rows of every origin after `after`.
    ///
    /// `counts`: what is pending is counted with it, all of it; in the middle of many messages that is known.
    Upload {
        log: SiteId,
        after: i64,
        scope: Scope,
        counts: bool,
    },
    Apply(Box<Apply>),
    Acked(Box<Acked>),
    /// Looks whether anything has changed; tries the quarantine again when the schema has.
    Poll {
        scope: Scope,
    },
    /// Tries what was kept aside again, whatever the schema says: the app may have relaxed a trigger.
    Retry {
        scope: Scope,
    },
    /// Everything that was asked has been answered and applied.
    CaughtUp {
        wall_ms: i64,
    },
    /// The app has accepted this account: the state of the old one is dropped.
    AcceptAccount {
        account: Option<String>,
    },
    /// Adds up what is held, from this place on: one slice of it.
    Digest {
        from: KeyPlace,
        scope: Scope,
    },
    /// Starts over with the remote; the rows that it refused get another chance if the app wants that.
    Resync {
        rejected: bool,
    },
}

/// What may be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    pub tables: Option<Vec<String>>,
    pub budget: Budget,
    /// Up to where our own rows were handed to a plain relay over this connection; 0 where nothing was.
    pub pushed: i64,
    pub wall_ms: i64,
}

/// Where an answer begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// Where the asker's cursor for us leads.
    Cursor(Option<Cursor>),
    /// After this version of our clock: a plain peer's `sinceVersion`, or the next message for it.
    After(i64),
}

/// A place in the replicated tables: a table's name, and the number of the last key that was read of it.
pub type KeyPlace = (String, i64);

/// Rows to merge, and what they do to the cursor of their sender.
#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    pub sender: SiteId,
    /// Shared: the same rows go into each try.
    pub rows: Rc<Vec<Row>>,
    pub tables: Option<Vec<String>>,
    pub advance: Advance,
    /// The rows are this log's own message.
    pub log: Option<SiteId>,
    /// Set on an answer of a relay that stores.
    pub durable: Option<Durable>,
    /// When it came.
    pub wall_ms: i64,
}

/// How a message moves *received* of its sender.
#[derive(Debug, Clone, PartialEq)]
pub enum Advance {
    Nothing,
    Answer {
        run: Run,
        base: i64,
        current: i64,
        /// The snapshot's head, when there is more of it.
        head: Option<i64>,
        /// The cursor that our request carried, if this answers one of this connection.
        carried: Option<Option<Cursor>>,
    },
    /// A push that a log has stored.
    Forward(Place),
    Page(PullPage),
}

/// How a page of a server of the push-pull contract moves the cursor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PullPage {
    /// The cursor that it was asked with: the page counts while that is the one we hold.
    pub asked: Option<String>,
    /// Where the next one begins, if that is elsewhere.
    pub cursor: Option<String>,
    /// Nothing of this round came before it.
    pub first: bool,
    /// The server has lost some of what lay before that cursor, and says so.
    pub reset: bool,
    /// Nothing comes after it.
    pub complete: Option<Complete>,
}

/// The end of a round of pulls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    /// *uploaded* when the round began.
    pub uploaded: i64,
    pub wall_ms: i64,
}

/// What a durable answer says beside its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Durable {
    pub account: Option<String>,
    /// What our request said that we had seen, and of which log.
    pub claimed: Option<(SiteId, Cursor)>,
    /// How much of it still stands.
    pub stored: Option<i64>,
}

/// Acknowledgements of uploads, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Acked {
    pub log: SiteId,
    /// `(base, current)` of the messages that are now acknowledged without a gap.
    pub steps: Vec<(i64, i64)>,
    /// Where the acknowledged push stands in the log.
    pub place: Option<Place>,
    /// The quarantine's rows were among them.
    pub kept: bool,
    /// Rows that were taken, where any stand in the rejected list: these, and what they overwrote, leave it.
    pub taken: Vec<Change>,
    pub rejected: Vec<(Change, RowCode)>,
    pub wall_ms: i64,
}

/// What a job found, and the state after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub view: View,
    pub what: What,
}

/// What the replica may know of the state: for showing and for asking, never to move a cursor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    pub received: SortedMap<SiteId, Cursor>,
    pub log: Option<SiteId>,
    pub uploaded: i64,
    pub stored: Option<Cursor>,
    /// See [`super::meta::LogState`].
    pub cursor: Option<String>,
    pub doubt: bool,
    /// The quarantine has yet to be uploaded.
    pub kept_unsent: bool,
    /// Highest version of our clock.
    pub head: i64,
    /// Local changes that are not stored (plain relay: not pushed); `None` where the job did not count.
    pub pending: Option<u64>,
    /// Milliseconds since 1970; see [`super::meta::PendingSince`].
    pub pending_since: Option<i64>,
    /// The rejected rows have yet to be sent again.
    pub resend: bool,
    pub first_synced: bool,
    pub last_synced_at: Option<i64>,
    /// Sizes of the lists, where the job touched them.
    pub quarantined: Option<u64>,
    pub rejected: Option<u64>,
}

/// The finding itself, by job.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Started {
        /// Rows that stand in the list of the rejected because they fit in no message.
        too_large: Vec<Change>,
    },
    Request {
        cursors: SortedMap<SiteId, Cursor>,
        stored: Option<(SiteId, Cursor)>,
    },
    Answer {
        base: i64,
        current: i64,
        head: i64,
        changes: Vec<Change>,
    },
    /// `None`: more than one message; the hearers are made to ask.
    Push {
        changes: Option<Vec<Change>>,
        head: i64,
    },
    Upload {
        base: i64,
        current: i64,
        /// Well-formed rows that were kept aside, as they came, and those that get another chance; they go first.
        kept: Vec<Change>,
        changes: Vec<Change>,
    },
    Applied(Applied),
    /// The answer is of another account, this one: nothing was done.
    OtherAccount(Option<String>),
    Acked,
    Polled {
        /// The schema has changed, or the app has asked: rows were tried again, cursors may have gone back.
        retried: Vec<(String, Pk)>,
        rewound: bool,
    },
    CaughtUp,
    AccountAccepted,
    Forgotten,
    /// What the slice adds to each table, and where the next one begins.
    Digest {
        tables: Digest,
        next: Option<KeyPlace>,
    },
}

/// What applying did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Applied {
    /// Keys that may have changed; empty when nothing did.
    pub touched: Vec<(String, Pk)>,
    /// Rows that were merged or found merged already.
    pub taken: usize,
    pub quarantined: usize,
    /// The message begins after what we have: rows between are missing.
    pub gap: bool,
    /// The log has less of ours than it had: upload everything again.
    pub reset: bool,
}

/// Runs a job of the leader of this run: begin, the program, commit; rollback on any error.
///
/// # Errors
/// What the store said, or that another leader has started since; nothing of the job has happened then.
pub async fn run<S: Store>(store: &mut S, run: &Run, job: &Job) -> Result<Outcome, StoreError> {
    store.begin().await?;
    let result = match program(store, run, job).await {
        Ok(outcome) => store.commit().await.map(|()| outcome),
        Err(error) => Err(error),
    };
    if result.is_err() {
        store.rollback().await;
    }
    result
}

async fn program<S: Store>(store: &mut S, run: &Run, job: &Job) -> Result<Outcome, StoreError> {
    let mut txn = Txn::open(store).await?;
    let starts = matches!(job, Job::Start { .. });
    // A tab that slept through its replacement, or whose lock was stolen, still has jobs under way.
    if !starts && txn.meta.run() != Some(run) && holds(Rule::OneLeader) {
        return Err(StoreError::NotLeading);
    }
    let what = match job {
        Job::Start { tables, log } => start::start(&mut txn, run, tables.as_ref(), *log).await?,
        Job::Request => read::request(&mut txn).await?,
        Job::Answer { from, scope } => read::answer(&mut txn, from, scope).await?,
        Job::Push { after, scope } => read::push(&mut txn, *after, scope).await?,
        Job::Upload { log, after, scope, .. } => read::upload(&mut txn, *log, *after, scope).await?,
        Job::Apply(apply) => apply::apply(&mut txn, apply).await?,
        Job::Acked(acked) => book::acked(&mut txn, acked).await?,
        Job::Poll { scope } => start::poll(&mut txn, scope.tables.as_ref()).await?,
        Job::Retry { scope } => start::retry(&mut txn, scope.tables.as_ref(), true, true).await?,
        Job::CaughtUp { wall_ms } => book::caught_up(&mut txn, *wall_ms).await?,
        Job::AcceptAccount { account } => book::accept_account(&mut txn, account).await?,
        Job::Digest { from, scope } => digest::digest(&mut txn, from, scope).await?,
        Job::Resync { rejected } => book::forget(&mut txn, *rejected).await?,
    };
    if let Job::Push { scope, .. } | Job::Poll { scope } | Job::Retry { scope } = job {
        txn.meta.pushed = txn.meta.pushed.max(scope.pushed);
    }
    let count = match job {
        Job::Start { tables, .. } => Some((tables, None)),
        Job::Push { scope, .. }
        | Job::Upload { scope, counts: true, .. }
        | Job::Poll { scope }
        | Job::Retry { scope } => Some((&scope.tables, Some(scope.wall_ms))),
        Job::Upload { counts: false, .. }
        | Job::Acked(_)
        | Job::Apply(_)
        | Job::Request
        | Job::Answer { .. } => None,
        Job::CaughtUp { .. } | Job::AcceptAccount { .. } | Job::Digest { .. } | Job::Resync { .. } => None,
    };
    let view = txn.close(count).await?;
    Ok(Outcome { view, what })
}

/// An open transaction: the store, the state as it was, and as it will be.
struct Txn<'a, S> {
    store: &'a mut S,
    before: Meta,
    meta: Meta,
    quarantined: Option<u64>,
    rejected: Option<u64>,
}

impl<'a, S: Store> Txn<'a, S> {
    async fn open(store: &'a mut S) -> Result<Self, StoreError> {
        let before = Meta::read(&store.read_meta().await?);
        let meta = before.clone();
        Ok(Txn { store, before, meta, quarantined: None, rejected: None })
    }

    /// The highest version of our clock, recorded: from here on no version up to it is ever used again.
    ///
    /// Called by whatever reads for sending, applies, or books an ack, before the message leaves.
    async fn record_head(&mut self) -> Result<i64, StoreError> {
        let max = self.store.max_version().await?;
        // A dropped table may have taken rows, never versions.
        self.meta.high = self.meta.high.max(max);
        if self.meta.high != self.before.high && holds(Rule::Floor) {
            self.store.set_floor(self.meta.high + 1).await?;
        }
        Ok(self.meta.high)
    }

    /// What is ours and not yet where it should be.
    fn pending(&self, head: i64, tables: &Option<Vec<String>>) -> Scan {
        let (after, rows) = match self.meta.current_log() {
            Some(log) => (log.uploaded, Rows::Outside(log.ranges.clone())),
            None => (self.meta.pushed, Rows::Own),
        };
        Scan { after, upto: head, rows, tables: tables.clone() }
    }

    /// `count`: of which tables what is pending is counted, and when.
    async fn close(mut self, count: Option<(&Option<Vec<String>>, Option<i64>)>) -> Result<View, StoreError> {
        let head = self.store.max_version().await?.max(self.meta.high);
        let pending = match count {
            Some((tables, wall_ms)) => {
                let scan = self.pending(head, tables);
                let pending = if scan.after >= head { 0 } else { self.store.count(&scan).await? };
                if let Some(wall_ms) = wall_ms {
                    self.meta.note_pending(pending > 0, scan.after, head, wall_ms);
                }
                Some(pending)
            }
            // Where nothing is left, that need not be counted: an acknowledgement mostly finds it so.
            None => (self.pending(head, &None).after >= head).then_some(0),
        };
        let changes = self.meta.changes_since(&self.before);
        if !changes.is_empty() {
            self.store.write_meta(changes).await?;
        }
        let log = self.meta.current_log();
        Ok(View {
            log: self.meta.log,
            uploaded: log.map_or(0, |log| log.uploaded),
            stored: log.and_then(|log| log.stored.clone()),
            cursor: log.and_then(|log| log.cursor.clone()),
            doubt: log.is_some_and(|log| log.doubt),
            kept_unsent: log.is_some_and(|log| !log.kept_sent),
            head,
            pending,
            pending_since: self.meta.pending_since.map(|since| since.wall_ms),
            resend: log.is_some_and(|log| log.resend),
            first_synced: self.meta.first_synced,
            last_synced_at: self.meta.last_synced_at,
            quarantined: self.quarantined,
            rejected: self.rejected,
            received: self.meta.received,
        })
    }
}
