//! What a user's devices push, on its way into the log. Decides which pushes share a transaction: whatever has arrived
//! while the disk was busy is appended at once, each push of its own. Acknowledges and forwards after the commit, in the
//! order of the log. Called by `room` and `socket`.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crsqlite_sync::wire::{Change, Rejected, Row, RowCode};
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::clock::now_ms;
use crate::error::Error;
use crate::log::core::Appended;
use crate::mail::{Letter, To};
use crate::metrics::RowFate;
use crate::outbox::Bound;
use crate::reply::{self, Origin};
use crate::room::{Protocol, Room, Told};

/// So much is taken at once at most, whatever queues have room for.
const MOST: Bound = Bound { messages: 64, bytes: 64 << 10 };

/// How much is taken at once where so much may wait for a connection: a device that reads on is never too slow for it.
pub(crate) fn together(queue: Bound) -> Bound {
    let quarter = |of: usize, most: usize| (of / 4).clamp(1, most);
    Bound { messages: quarter(queue.messages, MOST.messages), bytes: quarter(queue.bytes, MOST.bytes) }
}

/// A push of a device, or its answer to the relay's question.
#[derive(Debug)]
pub(crate) struct Incoming {
    from: u64,
    origin: Origin,
    /// The rows that can be taken, which ones they are, and those that cannot.
    good: Vec<Change>,
    places: Vec<usize>,
    rejected: Vec<Rejected>,
    bytes: usize,
    acknowledge: bool,
}

impl Incoming {
    pub(crate) fn new(from: u64, origin: Origin, rows: Vec<Row>, acknowledge: bool) -> Self {
        let (mut good, mut places, mut rejected) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
        for (index, row) in rows.into_iter().enumerate() {
            match row {
                Ok(change) => {
                    good.push(change);
                    places.push(index);
                }
                Err(bad) => rejected.push(Rejected { index, code: bad.code }),
            }
        }
        let bytes = good.iter().map(Change::wire_size).sum();
        Incoming { from, origin, good, places, rejected, bytes, acknowledge }
    }
}

/// What waits to be appended, in the order in which it came.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<VecDeque<Batch>>);

/// What one connection has sent without a pause.
#[derive(Debug)]
struct Batch {
    pushes: Vec<Incoming>,
    /// Tells that connection that it is done.
    done: oneshot::Sender<()>,
}

impl Waiting {
    fn add(&self, pushes: Vec<Incoming>) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        self.queue().push_back(Batch { pushes, done });
        is_done
    }

    /// What comes first, and whatever else fits beside it.
    fn take(&self, most: Bound) -> Vec<Batch> {
        let mut queue = self.queue();
        let (mut messages, mut bytes) = (0_usize, 0_usize);
        let fits = |batch: &&Batch| {
            messages = messages.saturating_add(batch.pushes.len());
            bytes = batch.pushes.iter().fold(bytes, |bytes, push| bytes.saturating_add(push.bytes));
            messages <= most.messages && bytes <= most.bytes
        };
        let count = queue.iter().take_while(fits).count().max(1).min(queue.len());
        queue.drain(..count).collect()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Batch>> {
        // Nothing in here panics half way, so what a poisoned lock guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Appends pushes of one connection, then tells the sender of each (if it wants an acknowledgement) and everybody
    /// else, in this order and before anything later is appended.
    pub(crate) async fn store(self: &Arc<Self>, pushes: Vec<Incoming>) {
        if pushes.is_empty() {
            return;
        }
        let mut done = self.waiting.add(pushes);
        let mut told = self.order.lock().await;
        // Nobody else is in the middle of it now: either somebody's turn has brought it, or it still waits.
        while let Err(TryRecvError::Empty) = done.try_recv() {
            let (mut pushes, mut senders) = (Vec::new(), Vec::new());
            for batch in self.waiting.take(self.together) {
                pushes.extend(batch.pushes);
                senders.push(batch.done);
            }
            self.append(&mut told, pushes).await;
            for sender in senders {
                // Whoever waits may have left.
                let _ = sender.send(());
            }
        }
    }

    async fn append(self: &Arc<Self>, told: &mut Told, batch: Vec<Incoming>) {
        let rows: Vec<&[Change]> = batch.iter().map(|push| push.good.as_slice()).collect();
        let storing = self.log.append_each(&self.user.owner, &self.run, &rows);
        let done = match self.metrics.append.measure(storing).await {
            Ok(done) => done,
            Err(error) => {
                let letters = batch.into_iter().map(|push| self.refuse(push, &error)).collect();
                return self.post(letters);
            }
        };
        // What was appended at once has nothing between it.
        if let Some(first) = done.iter().flatten().next() {
            self.catch_up(told, None, &first.run, first.base).await;
        }
        if let Some(last) = done.iter().flatten().last() {
            told.set(&last.run, last.head);
        }
        let mut letters = Vec::with_capacity(2 * batch.len());
        for (push, done) in batch.into_iter().zip(done) {
            match done {
                Ok(appended) => self.report(push, &appended, &mut letters),
                Err(error) => letters.push(self.refuse(push, &error)),
            }
        }
        self.post(letters);
    }

    /// What is said of a push that is on the disk.
    fn report(&self, push: Incoming, appended: &Appended, letters: &mut Vec<Letter>) {
        let Incoming { from, origin, good, places, mut rejected, acknowledge, .. } = push;
        if !appended.refused.is_empty() {
            self.metrics.limited("max-rows-per-user");
            let over = appended.refused.iter().filter_map(|&index| places.get(index));
            rejected.extend(over.map(|&index| Rejected { index, code: RowCode::Refused }));
            rejected.sort_unstable_by_key(|rejected| rejected.index);
        }
        let taken = good.len().saturating_sub(appended.refused.len());
        self.metrics.rows(RowFate::Rejected, rejected.len());
        self.metrics.rows(RowFate::Stored, appended.stored.len());
        self.metrics.rows(RowFate::Dominated, taken.saturating_sub(appended.stored.len()));
        let now = now_ms();
        if acknowledge {
            let ack = reply::ack(&self.user, &origin, &good, rejected, appended, now);
            letters.push(Letter::message(To::One(from), ack));
        }
        if appended.stored.is_empty() {
            return;
        }
        let stored = select(good, appended);
        let news = To::Others(Protocol::PushPull, Some(from));
        if self.is_heard(news) {
            letters.push(Letter::news(news, &stored, &[], now));
        }
        let others = To::Others(Protocol::Relay, Some(from));
        if self.is_heard(others) {
            letters.push(Letter::message(others, reply::forward(&self.user, origin, stored, appended)));
        }
    }

    /// What is said of a push of which nothing was stored.
    fn refuse(self: &Arc<Self>, push: Incoming, error: &Error) -> Letter {
        let Origin { site_id, run, reference, .. } = push.origin;
        if run.is_none() && reference.is_none() {
            self.ask_again(push.from);
        }
        self.failed(error, "a message could not be served");
        let failure = reply::failure(&self.user, site_id, reference, error, now_ms());
        Letter::message(To::One(push.from), failure)
    }
}

fn select(changes: Vec<Change>, appended: &Appended) -> Vec<Change> {
    let stored: HashSet<usize> = appended.stored.iter().copied().collect();
    changes
        .into_iter()
        .enumerate()
        .filter(|(index, _)| stored.contains(index))
        .map(|(_, change)| change)
        .collect()
}
