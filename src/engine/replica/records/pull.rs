//! Pulls: rounds of pages from the cursor to the end. Decides when a round begins, which page is its last one, and what a
//! page may move. Each page is applied with its cursor in one transaction before the next one is asked for.

use super::{Replica, Standing};
use crate::engine::clock::Duration;
use crate::engine::replica::jobs::After;
use crate::engine::replica::trace;
use crate::engine::replica::{CallId, ConnId, Event, Output, Problem, Pulled};
use crate::engine::txn::{Advance, Complete, PullPage};
use crate::wire::record;

/// What is known of the round that is under way.
#[derive(Debug)]
pub(super) struct Round {
    /// *uploaded* when it began.
    uploaded: i64,
    /// The cursors that it has been at; the last one was asked with.
    cursors: Vec<Option<String>>,
    /// Pages in a row that had nothing.
    empty: u32,
    /// A page waits to be applied.
    applying: bool,
}

/// The most records that a page is asked for.
const PAGE: usize = 1000;
/// After so many empty pages in a row a server is taken to go round in circles, however new its cursors look.
const MAX_EMPTY: u32 = 1000;

impl Replica {
    /// Begins a round that has a reason, or asks for the next page.
    pub(super) fn tick_pull(&mut self) {
        let (uploaded, cursor) = (self.view.uploaded, self.view.cursor.clone());
        let most = self.config.budget.changes.min(PAGE);
        let Some(records) = self.records() else { return };
        if records.round.is_none() && records.wanted {
            records.wanted = false;
            records.next_round = None;
            records.round = Some(Round { uploaded, cursors: Vec::new(), empty: 0, applying: false });
        }
        let free = records.pull.is_free();
        let Some(round) = records.round.as_mut().filter(|round| free && !round.applying) else { return };
        // A call that is made again asks for the same page.
        if round.cursors.last() != Some(&cursor) {
            round.cursors.push(cursor.clone());
        }
        let batch = records.page.unwrap_or(most);
        let out = self.new_call();
        let Some(conn) = self.conn.as_ref().map(|conn| conn.id) else { return };
        self.trace_call(true, "pull", 0, &mut std::iter::empty());
        let Some(records) = self.records() else { return };
        records.pull.call = Some(out);
        self.outputs.push_back(Output::Pull { conn, call: out.0, cursor, batch });
    }

    pub(in crate::engine::replica) fn pulled(&mut self, conn: ConnId, call: CallId, page: Pulled) {
        if !self.is_out(conn, call) {
            return;
        }
        let rows = match record::read(&page.changes) {
            Ok(rows) => rows,
            Err(error) => return self.call_misunderstood(call, error.to_string()),
        };
        self.trace_call(false, "pull_result", page.changes.len(), &mut rows.iter().map(trace::table));
        let wall_ms = self.now.wall_ms;
        let Some(records) = self.records() else { return };
        if !records.pull.ended(call) {
            return;
        }
        records.pull.failures = 0;
        let Some(round) = &mut records.round else { return };
        round.applying = true;
        let asked = round.cursors.last().cloned().flatten();
        let first = round.cursors.len() == 1;
        let moves = page.cursor.is_some() && !round.cursors.contains(&page.cursor);
        round.empty = if page.changes == "[]" { round.empty + 1 } else { 0 };
        let lost = round.empty > MAX_EMPTY;
        // A page that leads nowhere may say that there is more; asked again it would say the same.
        let ends = !page.has_more || !moves || lost;
        let complete = (ends && !lost).then_some(Complete { uploaded: round.uploaded, wall_ms });
        let log = records.upload.log;
        self.counters.received += rows.len() as u64;
        self.recount.saw(&rows);
        let cursor = page.cursor.filter(|_| moves);
        let advance = Advance::Page(PullPage { asked, cursor, first, reset: page.reset, complete });
        self.queue_apply(log, rows, advance, Some(log), None, After::Page { log, ends });
    }

    /// A page is in the database. `stale`: it was asked with a cursor that is not ours any more.
    pub(in crate::engine::replica) fn page_applied(&mut self, ends: bool, stale: bool) {
        if stale {
            return self.start_round_over();
        }
        let next = self.next_round();
        let Some(records) = self.records() else { return };
        if !ends {
            if let Some(round) = &mut records.round {
                round.applying = false;
            }
            return;
        }
        records.round = None;
        records.next_round = next;
        if let Some(conn) = &mut self.conn {
            conn.caught_up = true;
        }
        let uploaded = self.view.uploaded;
        if self.recount.complete()
            && let Some(records) = self.records()
        {
            records.upload.restart(uploaded);
        }
    }

    /// When there is a round without another reason.
    fn next_round(&mut self) -> Option<Duration> {
        let every = self.config.records.as_ref()?.pull_every?;
        Some(self.now.at + every.mul_f64(0.9 + self.jitter.unit() / 5.0))
    }

    /// What the round has brought is not what it should have been: from the cursor in the database again.
    pub(in crate::engine::replica) fn start_round_over(&mut self) {
        let Some(records) = self.records() else { return };
        let out = records.pull.call.take();
        records.round = None;
        records.wanted = true;
        self.outputs.extend(out.map(|(call, _)| Output::Abort { call }));
    }

    /// The page was too large for somebody on the way. `least`: no page is made smaller than that.
    pub(super) fn ask_for_less(&mut self, least: usize) {
        let most = self.config.budget.changes.min(PAGE);
        let Some(records) = self.records() else { return };
        let page = records.page.unwrap_or(most);
        records.page = Some((page / 2).max(least.min(page)));
    }

    /// Changes that nobody asked for: applied at once, and asked for as well, because they move no cursor.
    pub(in crate::engine::replica) fn server_push(&mut self, conn: ConnId, changes: &str) {
        if !self.is_running() || self.conn.as_ref().is_none_or(|known| known.id != conn) {
            return;
        }
        let overloaded = self.has_too_much_to_do();
        let Some(records) = self.records() else { return };
        records.wanted = true;
        let log = records.upload.log;
        if overloaded || records.standing != Standing::Good {
            return;
        }
        match record::read(changes) {
            Ok(rows) => {
                self.counters.received += rows.len() as u64;
                self.trace_call(false, "server_push", changes.len(), &mut rows.iter().map(trace::table));
                self.queue_apply(log, rows, Advance::Nothing, Some(log), None, After::ServerPush { log });
            }
            Err(error) => {
                let problem = Problem::passing(error.code(), error.to_string());
                self.outputs.push_back(Output::Event(Event::Error(problem)));
            }
        }
    }

    /// The exchange with the remote is forgotten.
    pub(in crate::engine::replica) fn forgotten(&mut self, rejected: bool) {
        // What the remote has said before is void.
        self.drop_bookings();
        self.drop_conn_tasks();
        self.abort_calls();
        if rejected {
            self.refused.clear();
        }
        if self.config.records.is_some() {
            self.recount.begin();
        }
        if let Some(conn) = &mut self.conn {
            conn.restart(self.now.at);
        }
        self.dirty = true;
    }
}
