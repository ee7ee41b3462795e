//! What arrives: frames become tasks. Decides whom to answer, which answers are whole, and what a message may move;
//! what an applied one leads to is `applied`'s.

use super::applied::{Answered, Chain, Pushed};
use super::conn::Mode;
use super::digest::Statement;
use super::jobs::{After, Answer, Task};
use super::upload::Upload;
use super::{Event, MAX_QUEUED_BYTES, MAX_TASKS, Output, Problem, Replica};
use crate::engine::clock::Duration;
use crate::engine::txn::{Advance, Applied, Apply, Durable, Point, What};
use crate::rules::{self, Rule};
use crate::wire::{
    Body, Change, Cursor, Decoded, Message, Row, SiteId, SyncPush, SyncRequest, SyncResponse, cursor_of,
};

/// Devices ask back within this, so that many do not ask at once.
const ASK_BACK: Duration = Duration::from_secs(2);
/// With this much to do, answers to others are passed over.
const BUSY_TASKS: usize = 64;
/// A peer that sends this much rubbish is no peer.
const MAX_GARBAGE: u32 = 100;

impl Replica {
    pub(super) fn received(&mut self, id: super::ConnId, text: &str) {
        if !self.is_running() || self.conn.as_ref().is_none_or(|conn| conn.id != id) {
            return;
        }
        if self.has_too_much_to_do() {
            let why = Problem::passing("inbox-overflow", "messages come faster than they can be applied");
            self.outputs.push_back(Output::Event(Event::Error(why.clone())));
            self.drop_connection(why);
            return;
        }
        match Message::decode(text) {
            Ok(Decoded::Message(message)) => {
                self.trace.message(false, &message, text.len(), self.now.wall_ms);
                if !self.may_be_a_strangers(&message) {
                    self.message(message);
                }
            }
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

    pub(super) fn has_too_much_to_do(&self) -> bool {
        self.tasks.len() >= MAX_TASKS || self.queued_bytes() > MAX_QUEUED_BYTES
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
            Body::Request(body) => body.run.as_ref(),
            Body::Response(body) => body.run.as_ref(),
            Body::Push(body) => body.run.as_ref(),
            Body::Ack(_) | Body::Error(_) => None,
        };
        if let Some(conn) = &mut self.conn
            && run.is_some()
        {
            conn.sites.or_default(from);
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

    fn cloned(&mut self, site: SiteId) {
        if self.is_ours(site) {
            // Or a leader that has taken our place.
            self.tasks.push_back(Task::Doubled);
        } else {
            self.tell_of_clone(site);
        }
    }

    pub(super) fn tell_of_clone(&mut self, site: SiteId) {
        let message = format!("two live copies of one database share the site id {site}");
        self.outputs.push_back(Output::Event(Event::Error(Problem::fatal("cloned-database", message))));
    }

    /// Whether a site can be asked. What says our own is mostly what we have sent in a former run, and nobody answers
    /// to it.
    pub(super) fn can_be_asked(&self, site: SiteId) -> bool {
        !self.is_ours(site) || self.conn.as_ref().is_some_and(|conn| conn.has_clone(site, self.now.at))
    }

    fn request(&mut self, from: SiteId, request: SyncRequest) {
        if request.to.is_some_and(|to| !self.is_ours(to)) {
            return;
        }
        let now = self.now.at;
        let me = self.config.site;
        let back = now + self.jitter.up_to(ASK_BACK);
        let Some(conn) = &mut self.conn else { return };
        conn.heard_a_peer(now);
        let seed = request.cursors.is_none();
        // The next page of an answer is due to whoever has the one before.
        let pages = request.cursor_of(me).is_some_and(|cursor| cursor.head.is_some());
        if pages || conn.may_answer(from, request.run.as_ref(), now) {
            let cursor = request.cursor_of(me).cloned();
            let point = if seed { Point::After(request.since_version) } else { Point::Cursor(cursor) };
            if let Some(serving) = self.serving(from).filter(|_| seed) {
                // Were the answer begun anew for each request, who asks often would never see its end.
                serving.again = Some(point);
            } else {
                // A newer request of the same asker replaces an older one that still waits.
                self.tasks.retain(|task| !matches!(task, Task::Answer(waiting) if waiting.to == from));
                let reference = request.reference;
                self.tasks.push_back(Task::Answer(Answer {
                    to: from,
                    reference,
                    from: point,
                    seed,
                    again: None,
                }));
            }
        }
        if request.to.is_some() {
            return;
        }
        let have = match (&request.run, request.head) {
            (Some(run), Some(head)) => self.has_received(from, run, head),
            // A peer that states neither may have written while it was away.
            _ => false,
        };
        if !have
            && rules::holds(Rule::AskBackAndBeat)
            && self.can_be_asked(from)
            && let Some(conn) = &mut self.conn
        {
            let at = conn.paused_until(from, now).unwrap_or(back).max(back);
            conn.asks.at(from, at);
        }
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
        let ours = self.run().cloned();
        let me = self.config.site;
        let Some(conn) = &mut self.conn else { return };
        if let Some(run) = &run
            && conn.answered_in(from, run, reference.as_ref(), (me, ours.as_ref()), now)
        {
            self.cloned(from);
        }
        let held = self.view.received.get(&from);
        let Some(conn) = &mut self.conn else { return };
        let asked = conn.asked.iter().find(|asked| Some(&asked.reference) == reference.as_ref());
        let carried: Option<Option<Cursor>> =
            asked.filter(|_| addressed).map(|asked| asked.cursors.get(&from).cloned());
        let claimed = asked.and_then(|asked| asked.stored.clone());
        let compared = asked.and_then(|asked| asked.stated.clone()).zip(response.differ);
        let facts = Durable { account: response.account, claimed, stored: response.stored };
        let durable = (response.durable && addressed).then_some(facts);
        if durable.is_some() {
            let same = matches!(&conn.mode, Mode::Storing(upload) if upload.log == from);
            if !same {
                let mut upload = Upload::new(from, uploaded);
                upload.hold(); // until this answer has been judged
                conn.mode = Mode::Storing(upload);
                conn.caught_up = false;
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
                let in_order =
                    (part.0 == expected && expected != u32::MAX) || !rules::holds(Rule::PartsInOrder);
                let next = if in_order { part.0.saturating_add(1) } else { u32::MAX };
                conn.parts.insert(from, (reference.clone().unwrap_or_default(), next));
                in_order && part.is_last()
            }
        };
        // Whoever is followed next is so for an answer that does move the cursor: for the last of its parts.
        let moves = whole && (base_version == Some(0) || carried.is_some());
        let follows = run.as_ref().is_none_or(|run| conn.follows(from, run, held, moves, now));
        let last_part = response.part.is_none_or(|part| part.is_last());
        if addressed && last_part && (reference.is_none() || carried.is_some()) {
            // An answer to our broadcast settles what we wanted of this sender, and that somebody is there.
            conn.asks.answered(Some(from), reference.as_ref());
            if carried.is_some() {
                conn.asks.answered(None, reference.as_ref());
            }
        }
        let advance = match (&run, base_version) {
            (Some(run), Some(base)) if whole && follows => Advance::Answer {
                run: run.clone(),
                base,
                current,
                head: (response.more && rules::holds(Rule::PageHead))
                    .then_some(response.head.unwrap_or(current)),
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
            more: response.more && follows,
            partial: !last_part,
            durable: durable.is_some(),
            compared,
        });
        self.counters.received += changes.len() as u64;
        let log = durable.is_some().then_some(from);
        self.queue_apply(from, changes, advance, log, durable, after);
        let waiting = self.tasks.iter().chain(self.running.as_ref().map(|running| &running.task));
        if waiting.filter(|task| task.applies_answer_of() == Some(from)).count() == 1 {
            self.ask_ahead(from);
        }
    }

    fn push(&mut self, from: SiteId, push: SyncPush) {
        let now = self.now.at;
        if let (Some(conn), Some(run), Some(ours)) = (&mut self.conn, &push.run, self.phase.run())
            && from == self.config.site
            && push.relay.is_some()
            && run != ours
            && conn.pushed_in(from, run, now)
        {
            self.cloned(from);
        }
        let mut ack = None;
        let (chain, advance, log) = match (push.relay, &push.run, push.current_version) {
            (Some(place), _, _) => {
                let log = place.site_id;
                (Chain::Log(log), Advance::Forward(place), Some(log))
            }
            (None, Some(run), Some(current)) => {
                let (run, base) = (run.clone(), push.base_version);
                let advance = if rules::holds(Rule::PushMovesNothing) {
                    Advance::Nothing
                } else {
                    Advance::Answer { run: run.clone(), base, current, head: None, carried: None }
                };
                (Chain::Device { run, base, current }, advance, None)
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
        let doubted = push.differ.is_some_and(|tables| !tables.is_empty());
        let cursor = push.cursors.and_then(|cursors| cursor_of(&cursors, self.config.site).cloned());
        let statement = push.digest.map(|digest| Statement { cursor, digest });
        let pushed = Pushed { from, chain, head: push.head, run: push.run, ack, statement, doubted };
        let after = After::Push(pushed);
        self.queue_apply(from, push.changes, advance, log, None, after);
    }

    pub(super) fn queue_apply(
        &mut self,
        sender: SiteId,
        rows: Vec<Row>,
        advance: Advance,
        log: Option<SiteId>,
        durable: Option<Durable>,
        after: After,
    ) {
        let tables = self.config.tables.clone();
        let wall_ms = self.now.wall_ms;
        let apply = Apply { sender, rows: rows.into(), tables, advance, log, durable, wall_ms };
        let nothing = apply.rows.is_empty() && apply.advance == Advance::Nothing && apply.durable.is_none();
        if nothing && self.tasks.is_empty() && self.running.is_none() {
            // An empty push: nothing to write, and nothing before it that is still being written.
            self.applied(after, What::Applied(Applied::default()), false);
        } else {
            self.tasks.push_back(Task::Apply(Box::new(apply), after));
        }
    }
}

fn wire_size(row: &Row) -> usize {
    match row {
        Ok(change) => change.wire_size(),
        Err(bad) => bad.text.len(),
    }
}
