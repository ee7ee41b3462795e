//! What arrives: frames become tasks, applied messages become asks, gaps and acknowledgements. Decides whom to
//! answer and whether something is missing.

use std::time::Duration;

use super::conn::Mode;
use super::jobs::{After, Answer, Task};
use super::upload::Upload;
use super::{Event, MAX_QUEUED_BYTES, MAX_TASKS, Output, Problem, Replica};
use crate::engine::txn::{Advance, Applied, Apply, Durable, Point, What};
use crate::wire::{
    Body, Change, Cursor, Decoded, Message, Row, Run, SiteId, SyncAck, SyncPush, SyncRequest, SyncResponse,
};

/// Devices ask back within this, so that many do not ask at once.
const ASK_BACK: Duration = Duration::from_secs(2);
/// With this much to do, answers to others are passed over.
const BUSY_TASKS: usize = 64;
/// A peer that sends this much rubbish is no peer.
const MAX_GARBAGE: u32 = 100;

/// An answer that is being applied.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    from: SiteId,
    /// It answers a request of ours on this connection.
    ours: bool,
    /// For whom: `None` is everybody.
    addressed: bool,
    run: Option<Run>,
    current: i64,
    head: Option<i64>,
    more: bool,
    /// More parts follow.
    partial: bool,
    durable: bool,
}

impl Answered {
    pub(super) fn from(&self) -> SiteId {
        self.from
    }
}

/// A push that is being applied.
#[derive(Debug, Clone)]
pub(super) struct Pushed {
    from: SiteId,
    chain: Chain,
    /// The sender's stated head.
    head: Option<i64>,
    run: Option<Run>,
    /// A peer that knows only the seed wants to hear that it arrived.
    ack: Option<i64>,
}

/// How a push hangs together with what came before.
#[derive(Debug, Clone)]
enum Chain {
    /// A log's forward: its place decides.
    Log(SiteId),
    /// A device's own chain.
    Device { run: Run, base: i64, current: i64 },
    /// Nothing is said; an odd sentinel may have left rows behind.
    Seed { odd_sentinel: bool },
}

impl Replica {
    pub(super) fn received(&mut self, id: super::ConnId, text: &str) {
        if !self.is_running() || self.conn.as_ref().is_none_or(|conn| conn.id != id) {
            return;
        }
        if self.tasks.len() >= MAX_TASKS || self.queued_bytes() > MAX_QUEUED_BYTES {
            let why = Problem::passing("inbox-overflow", "messages come faster than they can be applied");
            self.drop_connection(why);
            return;
        }
        match Message::decode(text) {
            Ok(Decoded::Message(message)) => self.message(message),
            Ok(Decoded::UnknownType(_)) => {}
            Err(error) => {
                let problem = Problem::fatal(error.code(), error.to_string());
                self.outputs.push_back(Output::Event(Event::Error(problem.clone())));
                let Some(conn) = &mut self.conn else { return };
                conn.garbage += 1;
                if conn.garbage > MAX_GARBAGE {
                    self.drop_connection(problem);
                }
            }
        }
    }

    /// About how much the messages that wait to be applied hold in memory.
    fn queued_bytes(&self) -> usize {
        let bytes = |task: &Task| match task {
            Task::Apply(apply, _) => apply.rows.iter().map(wire_size).sum(),
            _ => 0_usize,
        };
        // A few messages are bounded by what the transport takes at once.
        if self.tasks.len() < 16 { 0 } else { self.tasks.iter().map(bytes).sum() }
    }

    fn message(&mut self, message: Message) {
        let from = message.site_id;
        let run = match &message.body {
            Body::Request(body) => body.run.clone(),
            Body::Response(body) => body.run.clone(),
            // A relay forwards what was pushed a while ago: no sign of life of that run.
            Body::Push(body) if body.relay.is_none() => body.run.clone(),
            Body::Push(_) | Body::Ack(_) | Body::Error(_) => None,
        };
        if let Some(run) = &run {
            self.note_run(from, run, matches!(message.body, Body::Request(_)));
        }
        match message.body {
            Body::Request(request) => self.request(from, request),
            Body::Response(response) => self.response(from, response),
            Body::Push(push) => self.push(from, push),
            Body::Ack(ack) => {
                if ack.to.is_none_or(|to| self.is_ours(to)) {
                    self.ack(from, ack);
                }
            }
            Body::Error(error) => {
                if error.to.is_none_or(|to| self.is_ours(to)) {
                    self.peer_error(from, &error);
                }
            }
        }
    }

    fn note_run(&mut self, from: SiteId, run: &Run, is_request: bool) {
        let own = self.is_ours(from) && is_request && self.run() != Some(run);
        let Some(conn) = &mut self.conn else { return };
        let returned = conn.note_run(from, run);
        if returned || own {
            let message = format!("two live copies of one database share the site id {from}");
            self.outputs.push_back(Output::Event(Event::Error(Problem::fatal("cloned-database", message))));
        }
    }

    fn request(&mut self, from: SiteId, request: SyncRequest) {
        if request.to.is_some_and(|to| !self.is_ours(to)) {
            return;
        }
        let now = self.now.at;
        let me = self.config.site.to_string();
        let back = now + self.jitter.up_to(ASK_BACK);
        let Some(conn) = &mut self.conn else { return };
        conn.heard_a_peer(now);
        let seed = request.cursors.is_none();
        if conn.paused_until(from).is_none_or(|until| until <= now) {
            conn.served(from, now);
            let cursor = request.cursors.as_ref().and_then(|cursors| cursors.get(&me).cloned());
            let point = if seed { Point::After(request.since_version) } else { Point::Cursor(cursor) };
            let answer = Answer { to: from, reference: request.reference, from: point, seed };
            // A newer request of the same asker replaces an older one that still waits.
            self.tasks.retain(|task| !matches!(task, Task::Answer(waiting) if waiting.to == from));
            self.tasks.push_back(Task::Answer(answer));
        }
        if request.to.is_some() {
            return;
        }
        let have = match (&request.run, request.head) {
            (Some(run), Some(head)) => self.has_received(from, run, head),
            // A peer that states neither may have written while it was away.
            _ => false,
        };
        if !have && let Some(conn) = &mut self.conn {
            let at = conn.paused_until(from).unwrap_or(back).max(back);
            conn.asks.at(from, at);
        }
    }

    fn has_received(&self, site: SiteId, run: &Run, head: i64) -> bool {
        self.view
            .received
            .get(&site)
            .is_some_and(|held| held.run == *run && held.head.is_none() && held.version >= head)
    }

    fn response(&mut self, from: SiteId, response: SyncResponse) {
        let SyncResponse { changes, current_version: current, run, to, reference, base_version, .. } =
            response;
        let addressed = to.is_none_or(|to| self.is_ours(to));
        if !addressed && self.tasks.len() >= BUSY_TASKS {
            return; // good for us as well, but whoever asked may be served first; we ask for ourselves
        }
        let now = self.now.at;
        let uploaded = self.view.uploaded;
        let Some(conn) = &mut self.conn else { return };
        let asked = conn.asked.iter().find(|asked| Some(&asked.reference) == reference.as_ref());
        let carried: Option<Option<Cursor>> =
            asked.filter(|_| addressed).map(|asked| asked.cursors.get(&from).cloned());
        let claimed = asked.and_then(|asked| asked.stored.clone());
        let facts = Durable { account: response.account, claimed, stored: response.stored };
        let durable = (response.durable && addressed).then_some(facts);
        if durable.is_some() {
            let same = matches!(&conn.mode, Mode::Storing(upload) if upload.log == from);
            if !same {
                let mut upload = Upload::new(from, uploaded);
                upload.hold(); // until this answer has been judged
                conn.mode = Mode::Storing(upload);
            }
        } else if addressed || base_version.is_none() {
            conn.heard_a_peer(now);
        }
        let whole = match response.part {
            None => true,
            Some(part) => {
                let expected = match conn.parts.get(&from) {
                    Some((open, next)) if Some(open) == reference.as_ref() => *next,
                    Some(_) | None => 0,
                };
                let in_order = part.0 == expected && expected != u32::MAX;
                let next = if in_order { expected + 1 } else { u32::MAX };
                conn.parts.insert(from, (reference.clone().unwrap_or_default(), next));
                in_order && part.is_last()
            }
        };
        let last_part = response.part.is_none_or(|part| part.is_last());
        if addressed && last_part && (reference.is_none() || carried.is_some()) {
            // An answer to our broadcast settles what we wanted of this sender, and that somebody is there.
            conn.asks.answered(Some(from));
            if carried.is_some() {
                conn.asks.answered(None);
            }
        }
        let advance = match (&run, base_version) {
            (Some(run), Some(base)) if whole => Advance::Answer {
                run: run.clone(),
                base,
                current,
                head: response.more.then_some(response.head.unwrap_or(current)),
                carried: carried.clone(),
            },
            _ => Advance::Nothing,
        };
        let after = After::Answer(Answered {
            from,
            ours: carried.is_some(),
            addressed,
            run,
            current,
            head: response.head,
            more: response.more,
            partial: !last_part,
            durable: durable.is_some(),
        });
        self.counters.received += changes.len() as u64;
        let log = durable.is_some().then_some(from);
        self.queue_apply(from, changes, advance, log, durable, after);
    }

    fn push(&mut self, from: SiteId, push: SyncPush) {
        let now = self.now.at;
        let mut ack = None;
        let (chain, advance, log) = match (push.relay, &push.run, push.current_version) {
            (Some(place), _, _) => {
                let log = place.site_id;
                (Chain::Log(log), Advance::Forward(place), Some(log))
            }
            (None, Some(run), Some(current)) => {
                let chain = Chain::Device { run: run.clone(), base: push.base_version, current };
                (chain, Advance::Nothing, None)
            }
            (None, _, _) => {
                let odd = |row: &Row| row.as_ref().is_ok_and(Change::revives_row);
                let odd_sentinel = push.changes.iter().any(odd);
                let versions =
                    push.changes.iter().filter_map(|row| row.as_ref().ok()).map(|row| row.db_version);
                ack = Some(versions.max().unwrap_or(push.base_version));
                (Chain::Seed { odd_sentinel }, Advance::Nothing, None)
            }
        };
        if log.is_none()
            && let Some(conn) = &mut self.conn
        {
            conn.heard_a_peer(now);
        }
        self.counters.received += push.changes.len() as u64;
        let after = After::Push(Pushed { from, chain, head: push.head, run: push.run, ack });
        self.queue_apply(from, push.changes, advance, log, None, after);
    }

    fn queue_apply(
        &mut self,
        sender: SiteId,
        rows: Vec<Row>,
        advance: Advance,
        log: Option<SiteId>,
        durable: Option<Durable>,
        after: After,
    ) {
        let tables = self.config.tables.clone();
        let apply = Apply { sender, rows, tables, advance, log, durable };
        let nothing = apply.rows.is_empty() && apply.advance == Advance::Nothing && apply.durable.is_none();
        if nothing && self.tasks.is_empty() && self.running.is_none() {
            // An empty push: nothing to write, and nothing before it that is still being written.
            self.applied(after, What::Applied(Applied::default()), false);
        } else {
            self.tasks.push_back(Task::Apply(Box::new(apply), after));
        }
    }

    /// A message is in the database.
    pub(super) fn applied(&mut self, after: After, what: What, orphaned: bool) {
        let applied = match what {
            What::Applied(applied) => applied,
            What::OtherAccount => {
                let text = "this database was synced with another account; call acceptAccount to go on";
                self.halt(Problem::fatal("account-changed", text));
                return;
            }
            _ => return,
        };
        let from = match &after {
            After::Answer(answered) => answered.from,
            After::Push(pushed) => pushed.from,
        };
        self.announce(from, &applied);
        if orphaned {
            return;
        }
        self.healthy();
        match after {
            After::Answer(answered) => self.answer_applied(&answered, &applied),
            After::Push(pushed) => self.push_applied(pushed, &applied),
        }
    }

    fn answer_applied(&mut self, answered: &Answered, applied: &Applied) {
        let now = self.now.at;
        let uploaded = self.view.uploaded;
        if applied.reset {
            // What the log said before it lost its rows is void.
            self.tasks.retain(|task| !matches!(task, Task::Acked(_)));
        }
        let Some(conn) = &mut self.conn else { return };
        if let Mode::Storing(upload) = &mut conn.mode
            && answered.durable
        {
            if applied.reset || upload.is_held() {
                upload.restart(uploaded);
            }
            self.counters.remaining = Some(
                answered.head.unwrap_or(answered.current).saturating_sub(answered.current).max(0) as u64,
            );
        }
        if answered.partial {
            return;
        }
        if let Some(run) = &answered.run {
            conn.saw(answered.from, run, answered.current);
        }
        if !answered.addressed {
            // Somebody else's answer: rows between may be missing here.
            return;
        }
        if answered.more && answered.ours {
            conn.asks.now(answered.from, now);
        } else if applied.gap && answered.run.is_some() {
            self.ask_for_gap(answered.from);
        }
    }

    fn push_applied(&mut self, pushed: Pushed, applied: &Applied) {
        let missing = match &pushed.chain {
            Chain::Log(log) => {
                if applied.gap {
                    self.ask_for_gap(*log);
                }
                false
            }
            Chain::Device { run, base, current } => !self.continues(pushed.from, run, *base, *current),
            Chain::Seed { odd_sentinel } => *odd_sentinel,
        };
        let behind = match (&pushed.run, pushed.head) {
            (Some(run), Some(head)) if matches!(pushed.chain, Chain::Device { .. }) => {
                !self.has_received(pushed.from, run, head)
            }
            _ => false,
        };
        if missing || behind {
            self.ask_for_gap(pushed.from);
        }
        if let Some(version) = pushed.ack {
            let run = self.run().cloned();
            self.send(Body::Ack(SyncAck {
                received_version: version,
                applied_count: applied.taken as u64,
                run,
                to: Some(pushed.from),
                ..SyncAck::default()
            }));
        }
    }

    /// Whether a device's push follows on what is known of it; if so, the chain reaches further now.
    fn continues(&mut self, from: SiteId, run: &Run, base: i64, current: i64) -> bool {
        let received = self.view.received.get(&from);
        let received =
            received.filter(|held| held.run == *run && held.head.is_none()).map(|held| held.version);
        let Some(conn) = &mut self.conn else { return true };
        let seen = conn.seen.get(&from).filter(|(seen, _)| seen == run).map(|(_, version)| *version);
        let known = seen.max(received);
        let follows = known.is_some_and(|known| base <= known);
        if follows {
            conn.saw(from, run, current);
        }
        follows
    }

    /// An apply failed: what the same sender said after it is dropped, and asked for again.
    pub(super) fn apply_failed(&mut self, apply: &Apply, after: &After) {
        let sender = apply.log.unwrap_or(apply.sender);
        self.tasks.retain(|task| {
            !matches!(task, Task::Apply(waiting, _) if waiting.log.unwrap_or(waiting.sender) == sender)
        });
        let judged = matches!(after, After::Answer(answered) if answered.durable);
        if let Some(conn) = &mut self.conn {
            conn.seen.remove(&sender);
            // Parts that are still to come count for nothing.
            if let Some(open) = conn.parts.get_mut(&apply.sender) {
                open.1 = u32::MAX;
            }
            if judged && matches!(&conn.mode, Mode::Storing(upload) if upload.is_held()) {
                // Not judged yet: start over with the relay.
                conn.restart();
                return;
            }
            conn.asks.now(sender, self.now.at);
        }
    }

    /// After an acknowledgement: places of the log before it may be missing.
    pub(super) fn check_log_gap(&mut self) {
        let Some(Mode::Storing(upload)) = self.conn.as_ref().map(|conn| &conn.mode) else { return };
        let log = upload.log;
        let behind = match (&self.view.stored, self.view.received.get(&log)) {
            (Some(stored), Some(held)) => held.run != stored.run || held.version < stored.version,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if behind && self.view.log == Some(log) {
            self.ask_for_gap(log);
        }
    }

    pub(super) fn healthy(&mut self) {
        if let Some(conn) = &self.conn {
            self.outputs.push_back(Output::Healthy { conn: conn.id });
        }
    }

    /// What is due on the connection, and whether everything that was asked has been answered.
    pub(super) fn tick_conn(&mut self) {
        let now = self.now.at;
        if let Some(conn) = &mut self.conn
            && let Mode::Probing(until) = conn.mode
            && until <= now
            && self.view.log.is_none()
        {
            conn.heard_a_peer(now);
        }
        self.tick_asks();
        self.tick_plain();
        self.tick_upload();
        let waiting = self.tasks.iter().chain(self.running.as_ref().map(|running| &running.task));
        let applying = waiting.into_iter().any(|task| matches!(task, Task::Apply(..)));
        let Some(conn) = &mut self.conn else { return };
        let settled = match &conn.mode {
            Mode::Probing(_) => false,
            Mode::Plain(_) => conn.asks.only_everyone(),
            Mode::Storing(upload) => conn.asks.is_empty() && !upload.is_held(),
        };
        if settled && !applying && !conn.caught_up {
            conn.caught_up = true;
            self.tasks.push_back(Task::CaughtUp);
        }
    }
}

fn wire_size(row: &Row) -> usize {
    match row {
        Ok(change) => change.wire_size(),
        Err(bad) => bad.text.len(),
    }
}
