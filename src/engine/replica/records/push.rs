//! Pushes: the messages of the upload window one after the other, each until the server has said of every record what
//! became of it. Decides which records go again; *uploaded* moves in a transaction, over settled messages only.

use super::{Records, SMALL};
use crate::engine::replica::upload::size;
use crate::engine::replica::{CallId, ConnId, Event, Output, Problem, Replica};
use crate::wire::record::{self, Fate};
use crate::wire::{Change, RowCode, SiteId};

impl Replica {
    pub(super) fn tick_push(&mut self) {
        let now = self.now;
        let Some(records) = self.records() else { return };
        if !records.push.is_free() {
            return;
        }
        let Some(sent) = records.upload.front() else { return };
        sent.sent_at = now.at;
        let named: Vec<(String, Change)> =
            sent.rows.iter().map(|row| (record::id(row), row.clone())).collect();
        let text = record::write(&named, now.wall_ms);
        let tables = &mut named.iter().map(|(_, row)| row.table.as_str());
        self.trace_call(true, "push", text.len(), tables);
        let out = self.new_call();
        let Some(conn) = self.conn.as_ref().map(|conn| conn.id) else { return };
        let Some(records) = self.records() else { return };
        records.push.call = Some(out);
        records.batch = named.into_iter().map(|(id, _)| id).collect();
        self.outputs.push_back(Output::Push { conn, call: out.0, records: text });
    }

    pub(in crate::engine::replica) fn pushed(&mut self, conn: ConnId, call: CallId, result: &str) {
        if !self.is_out(conn, call) {
            return;
        }
        let fates = match record::read_result(result) {
            Ok(fates) => fates,
            Err(error) => return self.call_misunderstood(call, error.to_string()),
        };
        self.trace_call(false, "push_result", result.len(), &mut std::iter::empty());
        let now = self.now.at;
        let Some(records) = self.records() else { return };
        if !records.push.ended(call) {
            return;
        }
        let batch = std::mem::take(&mut records.batch);
        let Some(sent) = records.upload.front() else { return };
        let sent_at = sent.sent_at;
        let (mut open, mut taken, mut refused, mut words) = (Vec::new(), Vec::new(), Vec::new(), None);
        let before = sent.rows.len();
        for (row, id) in std::mem::take(&mut sent.rows).into_iter().zip(batch) {
            match fates.iter().find(|(name, _)| *name == id).map(|(_, fate)| fate) {
                Some(Fate::Accepted) => taken.push(row),
                Some(Fate::Conflict) => refused.push((row, RowCode::Conflict)),
                Some(Fate::Refused(why)) => {
                    words.get_or_insert_with(|| why.clone());
                    refused.push((row, RowCode::Refused));
                }
                // Not mentioned: it may be there or not.
                None => open.push(row),
            }
        }
        let got_on = open.len() < before;
        let settled_rows = before - open.len();
        sent.acked = open.is_empty();
        sent.rows = open;
        let settled = sent.acked;
        let lane = &mut records.push;
        lane.failures = match (settled, got_on) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => lane.failures.saturating_add(1),
        };
        if !settled {
            lane.not_before = Some(now + super::pause(lane.failures));
        }
        if got_on {
            self.counters.round_trip = Some(now.saturating_sub(sent_at));
            self.healthy();
        }
        if let Some(words) = words {
            self.outputs.push_back(Output::Event(Event::Error(Problem::fatal("peer-error", words))));
        }
        self.counters.sent += settled_rows as u64;
        self.book_settled(None, taken, refused);
    }

    /// The push that is out does not count any more.
    pub(in crate::engine::replica) fn abort_push(&mut self) {
        let Some(records) = self.records() else { return };
        let out = records.push.call.take();
        self.outputs.extend(out.map(|(call, _)| Output::Abort { call }));
    }

    /// The push was too large for the server.
    pub(super) fn send_smaller(&mut self) {
        let uploaded = self.view.uploaded;
        let Some(records) = self.records() else { return };
        let Some(rows) = records.upload.front().map(|sent| std::mem::take(&mut sent.rows)) else { return };
        let log = records.upload.log;
        records.push.failures = 0;
        records.upload.restart(uploaded);
        self.too_large(log, rows);
    }

    /// The push took too long. What was in it goes again, in smaller messages, when it is tried next.
    pub(super) fn push_less(&mut self) {
        let uploaded = self.view.uploaded;
        let Some(records) = self.records() else { return };
        let Some(was) = records.upload.front().map(|sent| size(&sent.rows)) else { return };
        if was.changes > SMALL.changes || was.bytes > SMALL.bytes {
            records.upload.restart(uploaded);
            self.halve(was);
        }
    }

    /// The connection was closed (1009) with this push under way.
    pub(in crate::engine::replica) fn push_too_large(&mut self, records: &mut Records) {
        if records.push.call.is_some()
            && let Some(sent) = records.upload.front()
        {
            let rows = std::mem::take(&mut sent.rows);
            self.too_large(records.upload.log, rows);
        }
    }

    fn too_large(&mut self, log: SiteId, rows: Vec<Change>) {
        if rows.len() > 1 { self.halve(size(&rows)) } else { self.refuse_as_too_large(log, rows) }
    }
}
