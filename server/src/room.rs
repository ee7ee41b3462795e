//! One user's room: the log's one ordered queue and the connections that hear it. Decides what each message of a
//! device causes, and in which order the devices hear of it; never touches a socket.
//! Entered by `socket`, found through `Rooms`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crsqlite_sync::wire::{
    Body, Change, Cursor, Message, Run, SiteId, SyncPush, SyncRequest, SyncResponse, WireError,
};
use tokio::sync::{Mutex as OrderedMutex, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::clock::now_ms;
use crate::comparison::Comparison;
use crate::error::Error;
use crate::log::Log;
use crate::log::core::{Clock, Item, Query, Record, Start};
use crate::mail::{Letter, To};
use crate::metrics::{Metrics, Presence};
use crate::outbox::{Bound, Outbox};
use crate::pushes::{Incoming, Waiting};
use crate::reply::{self, Hint, Origin, Stored};
use crate::rooms::Rooms;
use crate::user::User;

/// A peer that knows only the seed answers with all that it has: it is not asked more often.
const ASK_PAUSE: Duration = Duration::from_secs(30);

/// Requests of one user over HTTP that are carried out at once.
const CALLS: usize = 16;

/// All connections of one user, over the user's log.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) user: User,
    pub(crate) log: Arc<dyn Log>,
    /// This server's run.
    pub(crate) run: Run,
    pub(crate) answer_bytes: usize,
    /// Held from reading or writing the log until its messages are queued, so that every connection hears of offsets
    /// in their order. Fair: messages are taken in the order in which they came.
    pub(crate) order: OrderedMutex<Told>,
    pub(crate) waiting: Waiting,
    /// So much of it is appended at once.
    pub(crate) together: Bound,
    /// Somebody will look soon how far the log has come.
    looking: AtomicBool,
    members: Mutex<Members>,
    /// One for each request over HTTP that is under way.
    pub(crate) calls: Arc<Semaphore>,
    comparison: Arc<Comparison>,
    pub(crate) metrics: Arc<Metrics>,
    _presence: Presence,
    registry: Weak<Rooms>,
    /// Repeats the head while the room is in use.
    beat: OnceLock<AbortHandle>,
}

/// How much is read for an answer, and appended at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portions {
    pub(crate) answer_bytes: usize,
    pub(crate) together: Bound,
}

/// How far the connections have been told of the log; nothing before the first one came.
#[derive(Debug, Default)]
pub(crate) struct Told(Option<Cursor>);

impl Told {
    pub(crate) fn set(&mut self, run: &Run, head: i64) {
        self.0 = Some(Cursor { run: run.clone(), version: head, head: None });
    }
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    present: BTreeMap<u64, Member>,
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Relay,
    PushPull,
}

#[derive(Debug)]
struct Member {
    outbox: Arc<Outbox>,
    speaks: Protocol,
    /// When the relay asked this connection for its rows (a peer that knows only the seed): an answer is welcome.
    asked: Option<Instant>,
    /// It will be asked again.
    asks: bool,
}

/// A connection's place in its room; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    room: Arc<Room>,
    id: u64,
    outbox: Arc<Outbox>,
}

impl Room {
    pub(crate) fn new(
        user: User,
        log: Arc<dyn Log>,
        run: Run,
        portions: Portions,
        comparison: Arc<Comparison>,
        metrics: Arc<Metrics>,
        registry: Weak<Rooms>,
    ) -> Self {
        Room {
            user,
            log,
            run,
            answer_bytes: portions.answer_bytes,
            order: OrderedMutex::default(),
            waiting: Waiting::default(),
            together: portions.together,
            looking: AtomicBool::new(false),
            members: Mutex::default(),
            calls: Arc::new(Semaphore::new(CALLS)),
            comparison,
            _presence: Presence::of(&metrics.users),
            metrics,
            registry,
            beat: OnceLock::new(),
        }
    }

    /// Starts to repeat the log's head: whoever missed something asks.
    pub(crate) fn start_beat(self: &Arc<Self>, every: Duration) {
        let room = Arc::downgrade(self);
        let beat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(room) = room.upgrade() else { return };
                room.repeat_head().await;
            }
        });
        let _ = self.beat.set(beat.abort_handle());
    }

    /// Lets a connection in. `None` if the user has `most` of them already.
    pub(crate) fn join(
        self: &Arc<Self>,
        outbox: Arc<Outbox>,
        most: usize,
        speaks: Protocol,
    ) -> Option<Membership> {
        let mut members = self.members();
        if members.present.len() >= most {
            return None;
        }
        let id = members.next;
        members.next += 1;
        members.present.insert(id, Member { outbox: Arc::clone(&outbox), speaks, asked: None, asks: false });
        drop(members);
        Some(Membership { room: Arc::clone(self), id, outbox })
    }

    async fn repeat_head(&self) {
        let mut told = self.order.lock().await;
        if let Some(clock) = self.look_at_head(&mut told).await {
            self.tell_others(None, || reply::head(&self.user, &self.run, &clock, Vec::new(), now_ms()));
        }
    }

    /// Another server has written, or may have: the connections are told. Whoever asks for it while somebody is about to
    /// look need not look as well.
    pub(crate) async fn look(&self) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut told = self.order.lock().await;
        self.looking.store(false, Ordering::Release);
        self.look_at_head(&mut told).await;
    }

    /// The first connection that comes sees from here on what is written.
    pub(crate) async fn settle(&self) {
        let mut told = self.order.lock().await;
        if told.0.is_none() {
            self.look_at_head(&mut told).await;
        }
    }

    async fn look_at_head(&self, told: &mut Told) -> Option<Clock> {
        match self.log.clock(&self.user.owner).await {
            Ok(clock) => {
                self.catch_up(told, None, clock.run(&self.run), clock.head).await;
                Some(clock)
            }
            Err(error) => {
                self.failed(&error, "cannot read the head");
                None
            }
        }
    }

    /// Tells all connections but one what was written to the log up to `head` and not told here: by another server, or in a
    /// transaction of which nobody knew whether it was committed.
    pub(crate) async fn catch_up(&self, told: &mut Told, except: Option<u64>, run: &Run, head: i64) {
        let Some(cursor) = told.0.take() else { return told.set(run, head) };
        told.set(run, head);
        if cursor.run == *run && cursor.version >= head {
            return;
        }
        let query = Query { records: true, ..Query::rows(self.answer_bytes) };
        let start = Start::Cursor(Some(cursor.clone()));
        let feed = match self.log.feed(&self.user.owner, &start, &query).await {
            Ok(feed) => feed,
            Err(error) => {
                // Whoever looks next tries again; what is appended now is told after a gap, and the devices ask.
                told.0 = Some(cursor);
                return self.failed(&error, "cannot read what was written elsewhere");
            }
        };
        let whole = !feed.more || feed.current >= head;
        let (mut rows, mut records) = (Vec::new(), Vec::new());
        for item in feed.items.into_iter().filter(|item| item.offset() <= head) {
            match item {
                Item::Entry(change) => rows.push(change),
                Item::Record(stored) => records.push(stored.record),
            }
        }
        if feed.base >= head {
            return;
        }
        debug!(rows = rows.len(), records = records.len(), "written elsewhere");
        let now = now_ms();
        if !(rows.is_empty() && records.is_empty()) {
            self.tell_news(except, &rows, &records.iter().collect::<Vec<_>>(), now);
        }
        // More than one message holds: the devices find the gap and ask, each for what it lacks.
        let (rows, base) = if whole { (rows, feed.base) } else { (Vec::new(), head) };
        self.tell_others(except, || reply::news(&self.user, rows, Stored { run, base, head }, now));
    }

    pub(crate) fn failed(&self, error: &Error, what: &str) {
        self.metrics.storage_failed();
        warn!(%error, user = self.user.tag(), "{what}");
    }

    /// Asks one connection for its rows. False if that has to be tried again.
    async fn ask(&self, id: u64) -> bool {
        let _order = self.order.lock().await;
        let clock = self.log.clock(&self.user.owner).await;
        let mut members = self.members();
        let Some(member) = members.present.get_mut(&id) else { return true };
        match clock {
            Ok(clock) => {
                (member.asked, member.asks) = (Some(Instant::now()), false);
                let request = reply::request(&self.user, &self.run, &clock, now_ms());
                let letter = Letter::message(To::One(id), request);
                self.metrics.sent(letter.kind, 1);
                member.outbox.push_all([letter.frame]);
                true
            }
            Err(error) => {
                self.failed(&error, "cannot read the head");
                false
            }
        }
    }

    /// A peer that knows only the seed has left rows behind, or sent some that could not be stored: it is asked for
    /// everything again, at most once in a while.
    pub(crate) fn ask_again(self: &Arc<Self>, id: u64) {
        let mut members = self.members();
        let Some(member) = members.present.get_mut(&id) else { return };
        if std::mem::replace(&mut member.asks, true) {
            return;
        }
        let mut wait = member.asked.map_or(Duration::ZERO, |at| ASK_PAUSE.saturating_sub(at.elapsed()));
        let room = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(wait).await;
                let Some(room) = room.upgrade() else { return };
                if room.ask(id).await {
                    return;
                }
                wait = ASK_PAUSE;
            }
        });
    }

    /// Queues a message for all connections of the relay protocol but one.
    pub(crate) fn tell_others(&self, except: Option<u64>, message: impl FnOnce() -> Message) {
        let to = To::Others(Protocol::Relay, except);
        if self.is_heard(to) {
            self.post(vec![Letter::message(to, message())]);
        }
    }

    /// Queues a frame for all connections of the push-pull contract but one.
    pub(crate) fn tell_news(&self, except: Option<u64>, rows: &[Change], records: &[&Record], now: i64) {
        let to = To::Others(Protocol::PushPull, except);
        if self.is_heard(to) {
            self.post(vec![Letter::news(to, rows, records, now)]);
        }
    }

    /// Whether anybody is there for it.
    pub(crate) fn is_heard(&self, to: To) -> bool {
        self.members().present.iter().any(|(&id, member)| to.reaches(id, member.speaks))
    }

    /// Queues these for all whom they are for; each gets its own at once, so that they can be sent at once.
    pub(crate) fn post(&self, letters: Vec<Letter>) {
        let members = self.members();
        for (&id, member) in &members.present {
            let own = letters.iter().filter(|letter| letter.to.reaches(id, member.speaks));
            member.outbox.push_all(own.map(|letter| letter.frame.clone()));
        }
        for letter in letters {
            let hearers = || members.present.iter().filter(|(id, m)| letter.to.reaches(**id, m.speaks));
            self.metrics.sent(letter.kind, hearers().count());
            if letter.is_large() {
                let hearers = hearers().map(|(_, member)| Arc::clone(&member.outbox)).collect();
                letter.write_for(hearers);
            }
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // Nothing in here panics half way, so what a poisoned lock guards is whole.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(beat) = self.beat.get() {
            beat.abort();
        }
        if let Some(rooms) = self.registry.upgrade() {
            rooms.forget(&self.user.owner);
        }
    }
}

impl Membership {
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Takes one message of the device. Must run to its end.
    pub(crate) async fn handle(&self, message: Message) {
        let Message { site_id, timestamp, body } = message;
        match body {
            Body::Request(request) => self.answer(site_id, &request).await,
            Body::Push(push) => {
                let pushes = self.incoming(site_id, timestamp, push);
                self.room.store(pushes.into_iter().collect()).await;
            }
            Body::Response(response) => self.take_answer(site_id, timestamp, response).await,
            // Between devices nothing depends on these, and neither is ever answered.
            Body::Ack(_) | Body::Error(_) => {}
        }
    }

    /// Tells the device that a frame of its could not be read.
    pub(crate) async fn complain(&self, text: &str, error: &WireError) {
        let _order = self.room.order.lock().await;
        let clock = self.room.log.clock(&self.room.user.owner).await.ok();
        let run = clock.map(|clock| clock.run(&self.room.run).clone());
        self.reply(reply::complaint(&self.room.user, run, Hint::of(text), error, now_ms()));
    }

    /// Answers a request, to the requester only. A peer of ours asks for page after page; a peer that knows only the
    /// seed gets all of them, each when it has taken the one before, and is asked for its own rows.
    async fn answer(&self, from: SiteId, request: &SyncRequest) {
        let room = &self.room;
        if request.to.is_some_and(|to| to != room.user.site_id) {
            return;
        }
        let seed_only = request.cursors.is_none();
        let mut start = if seed_only {
            Start::Offset(request.since_version)
        } else {
            Start::Cursor(request.cursor_of(room.user.site_id).cloned())
        };
        let counted = match request.digest {
            Some(_) => room.comparison.count(&*room.log, &room.user.owner).await,
            None => None,
        };
        loop {
            let mut told = room.order.lock().await;
            let reading = room.log.page(&room.user.owner, &start, room.answer_bytes);
            let page = match room.metrics.answer.measure(reading).await {
                Ok(page) => page,
                Err(error) => return self.fail(from, request.reference.clone(), &error),
            };
            let (clock, more) = (page.clock.clone(), page.more);
            room.catch_up(&mut told, Some(self.id), clock.run(&room.run), clock.head).await;
            start = Start::Offset(page.current);
            let verdict = counted.as_ref().and_then(|counted| {
                room.comparison.verdict(counted, from, request, room.user.site_id, &room.run, &clock)
            });
            let (differ, doubted) = verdict.map(|found| (found.differ, found.doubted)).unzip();
            self.reply(reply::response(&room.user, &room.run, from, request, page, differ, now_ms()));
            if let Some(doubted) = doubted.filter(|tables| !tables.is_empty()) {
                let head = || reply::head(&room.user, &room.run, &clock, doubted, now_ms());
                room.tell_others(Some(self.id), head);
            }
            if seed_only && self.may_ask() {
                self.reply(reply::request(&room.user, &room.run, &clock, now_ms()));
            }
            drop(told);
            if !seed_only || !more || !self.outbox.drained().await {
                return;
            }
        }
    }

    /// A push, to be stored. One that says nothing and wants no answer is none.
    pub(crate) fn incoming(&self, site_id: SiteId, timestamp: i64, push: SyncPush) -> Option<Incoming> {
        if push.changes.is_empty() && push.reference.is_none() {
            return None;
        }
        // Without the additions a row that was moved or has come back leaves columns behind.
        let incomplete = push.run.is_none()
            && push.reference.is_none()
            && push.changes.iter().any(|row| row.as_ref().is_ok_and(Change::revives_row));
        if incomplete {
            self.room.ask_again(self.id);
        }
        let origin = Origin {
            site_id,
            timestamp,
            run: push.run,
            reference: push.reference,
            base_version: push.base_version,
            current_version: push.current_version,
        };
        Some(Incoming::new(self.id, origin, push.changes, true))
    }

    /// Stores what a peer answers that the relay asked. Nobody else's answers are the relay's business.
    async fn take_answer(&self, site_id: SiteId, timestamp: i64, answer: SyncResponse) {
        if !self.was_asked() || answer.changes.is_empty() {
            return;
        }
        let origin = Origin {
            site_id,
            timestamp,
            run: answer.run,
            reference: answer.reference,
            base_version: answer.base_version.unwrap_or(0),
            current_version: Some(answer.current_version),
        };
        self.room.store(vec![Incoming::new(self.id, origin, answer.changes, false)]).await;
    }

    fn fail(&self, to: SiteId, reference: Option<String>, error: &Error) {
        self.room.failed(error, "a message could not be served");
        self.reply(reply::failure(&self.room.user, to, reference, error, now_ms()));
    }

    fn reply(&self, message: Message) {
        let letter = Letter::message(To::One(self.id), message);
        self.room.metrics.sent(letter.kind, 1);
        self.outbox.push_all([letter.frame.clone()]);
        letter.write_for(vec![Arc::clone(&self.outbox)]);
    }

    /// True the first time.
    fn may_ask(&self) -> bool {
        let mut members = self.room.members();
        let Some(member) = members.present.get_mut(&self.id) else { return false };
        let first = member.asked.is_none();
        member.asked.get_or_insert_with(Instant::now);
        first
    }

    fn was_asked(&self) -> bool {
        self.room.members().present.get(&self.id).is_some_and(|member| member.asked.is_some())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.room.members().present.remove(&self.id);
        debug!(connection = self.id, "left");
    }
}
