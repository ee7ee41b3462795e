//! The relays of a world: one that only forwards, and one that stores, on the server's own pure core. Decides what
//! the server's room decides, at one instant; the network around it is the world's.

use std::collections::{BTreeMap, BTreeSet};

use crsqlite_sync::engine::replica::ConnId;
use crsqlite_sync::wire::{
    Body, Change, Cursor, Decoded, Message, Place, Rejected, Row, Run, SiteId, SyncAck, SyncError, SyncPush,
    SyncRequest, SyncResponse,
};

use self::core::{Appended, Clock, Ledger, Page, Start, Verdict, Witness};
use self::lax::Lax;
use crate::rng::Rng;

// The server is a program with a runtime and a database; its decisions are these files alone.
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../../server/src/log/core/mod.rs"]
mod core;
mod lax;

/// Such a peer answers with all that it has: it is not asked more often.
const ASK_PAUSE: u64 = 30_000;

/// What leaves a relay.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Reply(String),
    /// Asks the one who has spoken for its rows, so many milliseconds from now.
    AskLater(u64),
    Others(String),
}

/// A user's log, and what it has promised to keep.
#[derive(Debug, Clone)]
struct Log {
    ledger: Ledger,
    site: SiteId,
    account: u64,
    /// Every row that was ever acknowledged as durable.
    promised: Vec<Change>,
}

/// A relay that stores, with one user.
#[derive(Debug)]
pub(crate) struct Storing {
    log: Log,
    backups: Vec<Log>,
    run: Run,
    answer_bytes: usize,
    /// When each peer that knows only the seed was asked for its rows, and who will be again.
    asked: BTreeMap<ConnId, u64>,
    asks: BTreeSet<ConnId>,
    /// Virtual milliseconds, as the world last said.
    pub(crate) now: u64,
    lax: Lax,
    /// What devices have stated of their values.
    witness: Witness,
    /// The storage does not answer.
    pub(crate) failing: bool,
}

impl Storing {
    pub(crate) fn new(rng: &mut Rng, answer_bytes: usize) -> Self {
        let log = Log { ledger: Ledger::default(), site: log_site(rng), account: 1, promised: Vec::new() };
        let run = Run::from_random(rng.next_u64());
        Storing {
            log,
            backups: Vec::new(),
            run,
            answer_bytes,
            asked: BTreeMap::new(),
            asks: BTreeSet::new(),
            now: 0,
            lax: Lax::default(),
            witness: Witness::default(),
            failing: false,
        }
    }

    /// A new process over the same log.
    pub(crate) fn restart(&mut self, rng: &mut Rng) {
        self.lax.crash(&mut self.log.ledger);
        self.run = Run::from_random(rng.next_u64());
        self.asked.clear();
        self.asks.clear();
        self.witness = Witness::default();
        self.failing = false;
    }

    pub(crate) fn back_up(&mut self) {
        self.backups.push(self.log.clone());
    }

    /// An older copy takes the log's place, with a new process over it.
    pub(crate) fn restore(&mut self, rng: &mut Rng) -> bool {
        if self.backups.is_empty() {
            return false;
        }
        self.log = rng.pick(&self.backups).clone();
        self.lax = Lax::default();
        self.restart(rng);
        true
    }

    /// The log is lost, with the secret that names it or without.
    /// The user is another one from now on, with an empty log.
    pub(crate) fn change_account(&mut self, rng: &mut Rng) {
        let account = self.log.account + 1;
        self.log = Log { ledger: Ledger::default(), site: log_site(rng), account, promised: Vec::new() };
        self.backups.clear();
        self.restart(rng);
    }

    pub(crate) fn wipe(&mut self, rng: &mut Rng) {
        let site = if rng.chance(50) { log_site(rng) } else { self.log.site };
        let account = self.log.account;
        self.log = Log { ledger: Ledger::default(), site, account, promised: Vec::new() };
        self.lax = Lax::default();
        self.restart(rng);
    }

    /// Names the log.
    pub(crate) fn site(&self) -> SiteId {
        self.log.site
    }

    /// What is not sent to who holds this cursor.
    pub(crate) fn covered(&self, cursor: &Cursor) -> Vec<Change> {
        let upto = self.log.ledger.clock.resolve(cursor);
        self.log.ledger.entries.range(..=upto).map(|(_, row)| row.clone()).collect()
    }

    pub(crate) fn promised(&self) -> &[Change] {
        &self.log.promised
    }

    pub(crate) fn head(&self) -> i64 {
        self.log.ledger.clock.head
    }

    /// A row of the log is damaged: its place is gone, although no clock says so.
    pub(crate) fn lose(&mut self, table: &str) -> bool {
        let lost = |entry: &&Change| entry.table == table && !entry.is_sentinel();
        let place = self.log.ledger.entries.values().find(lost).map(|entry| entry.db_version);
        place.is_some_and(|place| self.log.ledger.entries.remove(&place).is_some())
    }

    /// The empty push that an idle relay repeats.
    pub(crate) fn beat(&self) -> String {
        self.say_head(Vec::new())
    }

    fn say_head(&self, doubted: Vec<String>) -> String {
        let clock = &self.log.ledger.clock;
        let run = clock.run(&self.run).clone();
        self.say(Body::Push(SyncPush {
            base_version: clock.head,
            current_version: Some(clock.head),
            run: Some(run.clone()),
            head: Some(clock.head),
            differ: (!doubted.is_empty()).then_some(doubted),
            relay: Some(Place { site_id: self.log.site, run, base_version: clock.head, version: clock.head }),
            ..SyncPush::default()
        }))
    }

    pub(crate) fn handle(&mut self, conn: ConnId, text: &str) -> Vec<Outgoing> {
        let Ok(Decoded::Message(message)) = Message::decode(text) else { return Vec::new() };
        let Message { site_id, timestamp, body } = message;
        match body {
            Body::Request(request) => self.answer(conn, site_id, &request),
            Body::Push(push) if push.changes.is_empty() && push.reference.is_none() => Vec::new(),
            Body::Push(push) => {
                // A peer that knows only the seed leaves rows behind when it moves or revives one: ask it again.
                let incomplete = push.run.is_none()
                    && push.changes.iter().any(|row| row.as_ref().is_ok_and(Change::revives_row));
                let plain = push.run.is_none();
                let mut out = self.store(site_id, timestamp, push, true);
                if incomplete || (plain && self.failing) {
                    out.extend(self.ask_later(conn));
                }
                out
            }
            Body::Response(answer) if self.asked.contains_key(&conn) && !answer.changes.is_empty() => {
                let push = SyncPush {
                    base_version: answer.base_version.unwrap_or(0),
                    current_version: Some(answer.current_version),
                    run: answer.run,
                    reference: answer.reference,
                    changes: answer.changes,
                    ..SyncPush::default()
                };
                let plain = push.run.is_none();
                let mut out = self.store(site_id, timestamp, push, false);
                if plain && self.failing {
                    out.extend(self.ask_later(conn));
                }
                out
            }
            Body::Response(_) | Body::Ack(_) | Body::Error(_) => Vec::new(),
        }
    }

    fn answer(&mut self, conn: ConnId, from: SiteId, request: &SyncRequest) -> Vec<Outgoing> {
        if request.to.is_some_and(|to| to != self.log.site) {
            return Vec::new();
        }
        if self.failing {
            return vec![self.failure(from, request.reference.clone())];
        }
        let seed_only = request.cursors.is_none();
        let mut start = if seed_only {
            Start::Offset(request.since_version)
        } else {
            Start::Cursor(request.cursor_of(self.log.site).cloned())
        };
        let mut out = Vec::new();
        loop {
            let page = self.log.ledger.page(&start, self.answer_bytes);
            let more = page.more;
            start = Start::Offset(page.current);
            let verdict = self.compare(request, &page.clock);
            let (differ, doubted) = verdict.map(|found| (found.differ, found.doubted)).unzip();
            out.push(Outgoing::Reply(self.response(from, request, page, differ)));
            if let Some(doubted) = doubted.filter(|tables: &Vec<String>| !tables.is_empty()) {
                out.push(Outgoing::Others(self.say_head(doubted)));
            }
            if seed_only && !self.asked.contains_key(&conn) {
                self.asked.insert(conn, self.now);
                out.push(self.request());
            }
            if !seed_only || !more {
                return out;
            }
        }
    }

    /// A peer that knows only the seed has left rows behind, or sent some that could not be stored.
    fn ask_later(&mut self, conn: ConnId) -> Option<Outgoing> {
        let earliest = self.asked.get(&conn).map_or(self.now, |at| at + ASK_PAUSE);
        self.asks.insert(conn).then(|| Outgoing::AskLater(earliest.saturating_sub(self.now)))
    }

    /// The time has come to ask again; later if the storage does not answer.
    pub(crate) fn ask_again(&mut self, conn: ConnId) -> Vec<Outgoing> {
        if !self.asks.contains(&conn) {
            return Vec::new(); // it was another process
        }
        if self.failing {
            return vec![Outgoing::AskLater(ASK_PAUSE)];
        }
        self.asks.remove(&conn);
        self.asked.insert(conn, self.now);
        vec![self.request()]
    }

    /// Asks a peer that knows only the seed for everything it has.
    fn request(&self) -> Outgoing {
        let run = self.log.ledger.clock.run(&self.run).clone();
        let request = SyncRequest { run: Some(run), ..SyncRequest::default() };
        Outgoing::Reply(self.say(Body::Request(request)))
    }

    fn compare(&mut self, request: &SyncRequest, clock: &Clock) -> Option<Verdict> {
        let stated = request.digest.as_ref()?;
        let has_all = request.cursor_of(self.log.site).is_some_and(|cursor| clock.is_head(&self.run, cursor));
        let stands = request.stored.as_ref().is_none_or(|place| clock.resolve(place) >= place.version);
        let sums = self.log.ledger.sums();
        (has_all && stands).then(|| self.witness.compare(&self.run, clock, &sums, stated))
    }

    fn response(&self, to: SiteId, request: &SyncRequest, page: Page, differ: Option<Vec<String>>) -> String {
        let stored = request.stored.as_ref().map(|place| page.clock.resolve(place));
        self.say(Body::Response(SyncResponse {
            current_version: page.current,
            run: Some(page.clock.run(&self.run).clone()),
            to: Some(to),
            reference: request.reference.clone(),
            base_version: Some(page.base),
            head: Some(page.clock.head),
            more: page.more,
            durable: true,
            account: Some(self.log.account.to_string()),
            stored,
            differ,
            changes: page.rows.into_iter().map(Ok).collect(),
            ..SyncResponse::default()
        }))
    }

    fn store(&mut self, from: SiteId, timestamp: i64, push: SyncPush, acknowledge: bool) -> Vec<Outgoing> {
        if self.failing {
            return vec![self.failure(from, push.reference)];
        }
        let (good, rejected) = sort(push.changes);
        let appended: Appended = self.lax.append(&mut self.log.ledger, &self.run, &good);
        let place = Place {
            site_id: self.log.site,
            run: appended.run.clone(),
            base_version: appended.base,
            version: appended.head,
        };
        let mut out = Vec::new();
        if acknowledge {
            self.log.promised.extend(good.iter().cloned());
            let highest = good.iter().map(|change| change.db_version).max();
            out.push(Outgoing::Reply(self.say(Body::Ack(SyncAck {
                received_version: push.current_version.or(highest).unwrap_or(push.base_version),
                applied_count: good.len() as u64,
                run: Some(appended.run.clone()),
                to: Some(from),
                reference: push.reference,
                durable: true,
                rejected,
                relay: Some(place.clone()),
            }))));
        }
        let stored: Vec<Row> = appended.stored.iter().map(|index| Ok(good[*index].clone())).collect();
        if !stored.is_empty() {
            let body = Body::Push(SyncPush {
                changes: stored,
                base_version: push.base_version,
                run: push.run,
                current_version: push.current_version,
                relay: Some(place),
                ..SyncPush::default()
            });
            out.push(Outgoing::Others(Message { site_id: from, timestamp, body }.encode()));
        }
        out
    }

    fn failure(&self, to: SiteId, reference: Option<String>) -> Outgoing {
        Outgoing::Reply(self.say(Body::Error(SyncError {
            code: "storage-unavailable".to_owned(),
            message: "the relay could not reach its storage".to_owned(),
            retry_after: Some(5_000),
            to: Some(to),
            reference,
            ..SyncError::default()
        })))
    }

    fn say(&self, body: Body) -> String {
        Message { site_id: self.log.site, timestamp: 0, body }.encode()
    }

    /// The live entries, for reports.
    pub(crate) fn entries(&self) -> &BTreeMap<i64, Change> {
        &self.log.ledger.entries
    }
}

fn log_site(rng: &mut Rng) -> SiteId {
    let mut bytes = [0xEE; 16];
    bytes[8..].copy_from_slice(&rng.next_u64().to_be_bytes());
    SiteId(bytes)
}

fn sort(rows: Vec<Row>) -> (Vec<Change>, Vec<Rejected>) {
    let (mut good, mut rejected) = (Vec::new(), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        match row {
            Ok(change) => good.push(change),
            Err(bad) => rejected.push(Rejected { index, code: bad.code }),
        }
    }
    (good, rejected)
}
