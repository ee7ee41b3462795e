//! Uploading to a relay that stores: a window of messages in the order of our clock, and what their
//! acknowledgements allow. Decides what to send again; *uploaded* itself moves in a transaction only.

use super::conn::{Conn, Mode};
use super::jobs::Task;
use super::{Event, Output, Problem, Replica};
use crate::engine::clock::Duration;
use crate::engine::store::Budget;
use crate::engine::txn::{Acked, What};
use crate::queue::Queue;
use crate::rules::{self, Rule};
use crate::wire::{Body, Change, Place, Rejected, RowCode, SiteId, SyncAck, SyncError, SyncPush};

/// How many messages may wait for their acknowledgement.
const WINDOW: usize = 8;
/// A relay that has not acknowledged by then is not there any more, whatever the socket says.
const ACK_DEADLINE: Duration = Duration::from_secs(60);
/// The pause after an error that says nothing about one.
const DEFAULT_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Batches are not halved below this; a row that does not fit alone is rejected.
const SMALLEST_BYTES: usize = 1024;

/// Names one state of one column of one row.
pub(super) type RowId = (String, crate::wire::Pk, String, i64, i64);

pub(super) fn row_id(change: &Change) -> RowId {
    (change.table.clone(), change.pk.clone(), change.cid.clone(), change.col_version, change.cl)
}

/// One message on its way.
#[derive(Debug)]
pub(super) struct Sent {
    /// `None`: nothing was sent, the versions hold no row for the log.
    reference: Option<String>,
    base: i64,
    current: i64,
    /// Those whose fate is open.
    pub(super) rows: Vec<Change>,
    /// The last message of the quarantine.
    kept: bool,
    pub(super) acked: bool,
    pub(super) sent_at: Duration,
}

/// Whether the quarantine has gone to this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Unsent,
    Sent,
}

/// The upload to one log over one connection.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) log: SiteId,
    /// Up to where our clock was read for sending.
    pub(super) sent: i64,
    window: Queue<Sent>,
    kept: Kept,
    pub(super) paused_until: Option<Duration>,
    /// There is more to read than one message took.
    pub(super) more: bool,
    held: bool,
}

impl Upload {
    pub(super) fn new(log: SiteId, uploaded: i64) -> Self {
        Upload {
            log,
            sent: uploaded,
            window: Queue::new(),
            kept: Kept::Unsent,
            paused_until: None,
            more: true,
            held: false,
        }
    }

    /// Forgets what is on its way: it will be sent again, and its acknowledgements count no more.
    pub(super) fn restart(&mut self, uploaded: i64) {
        let paused_until = self.paused_until;
        *self = Upload { paused_until, ..Upload::new(self.log, uploaded) };
    }

    /// Nothing is uploaded before the relay's first durable answer has been judged.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// What was applied is in the log already: it need not be read for sending.
    pub(super) fn skip_to(&mut self, uploaded: i64) {
        if self.window.is_empty() {
            self.sent = self.sent.max(uploaded);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.window.len() < WINDOW && self.paused_until.is_none() && !self.held
    }

    /// The first message that is not acknowledged.
    pub(super) fn front(&mut self) -> Option<&mut Sent> {
        self.window.iter_mut().find(|sent| !sent.acked)
    }

    /// Nothing is on its way, and all that was read is not less than this.
    pub(super) fn is_through(&self, head: i64) -> bool {
        self.window.is_empty() && !self.held && !self.more && self.sent >= head
    }

    /// When the oldest acknowledgement is so late that the connection must be dead.
    fn ack_due(&self) -> Option<Duration> {
        self.window.iter().find(|sent| !sent.acked).map(|sent| sent.sent_at + ACK_DEADLINE)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.paused_until.into_iter().chain(self.ack_due()).min()
    }

    /// Takes off the front what is acknowledged without a gap.
    fn settled(&mut self) -> (Vec<(i64, i64)>, bool) {
        let mut steps = Vec::new();
        let mut kept = false;
        let skips = !rules::holds(Rule::ContiguousAcks);
        let settled = |sent: &Sent| sent.acked;
        while self.window.first().is_some_and(settled) || (skips && self.window.iter().any(settled)) {
            if let Some(sent) = self.window.pop_front() {
                steps.push((sent.base, sent.current));
                kept |= sent.kept;
            }
        }
        (steps, kept)
    }
}

impl Replica {
    /// A relay has yet to acknowledge some of an upload: what that settles is taken off the number that was counted.
    pub(super) fn goes_on(&self) -> bool {
        let Some(Mode::Storing(upload)) = self.conn.as_ref().map(|conn| &conn.mode) else { return false };
        upload.window.iter().any(|sent| !sent.acked)
    }

    pub(super) fn tick_upload(&mut self) {
        let now = self.now.at;
        let Some(Mode::Storing(upload)) = self.conn.as_mut().map(|conn| &mut conn.mode) else { return };
        if upload.paused_until.is_some_and(|until| until <= now) {
            upload.paused_until = None;
            upload.more = true;
        }
        if upload.ack_due().is_some_and(|at| at <= now) {
            self.drop_connection(Problem::passing("request-timeout", "the relay does not acknowledge"));
        }
    }

    /// An upload was read: send it, in as many messages as it takes.
    pub(super) fn send_upload(&mut self, what: What) {
        let What::Upload { base, current, kept, changes } = what else { return };
        let head = self.view.head;
        let budget = self.budget;
        let now = self.now.at;
        let Some(upload) = self.conn.as_mut().and_then(|conn| conn.mode.upload_mut()) else { return };
        if upload.sent != base || upload.paused_until.is_some() {
            // Read for a window that was closed since, or from where there is nothing to be sent any more.
            upload.more = true;
            return;
        }
        upload.sent = current.max(base);
        upload.more = upload.sent < head;
        let mut messages: Vec<(Vec<Change>, i64, bool)> = Vec::new();
        let first = upload.kept == Kept::Unsent;
        upload.kept = Kept::Sent;
        if first {
            let none = kept.is_empty();
            let kept = kept.into_iter().filter(|change| self.has_to_be_sent(change)).collect();
            let mut parts = split(kept, budget).into_iter().peekable();
            if parts.peek().is_none() && !none {
                // All of them were refused on this connection already: settled.
                self.send_nothing(base, base, true, now);
            }
            while let Some(part) = parts.next() {
                messages.push((part, base, parts.peek().is_none()));
            }
        }
        let rows: Vec<Change> = changes.into_iter().filter(|change| self.has_to_be_sent(change)).collect();
        let mut parts = split(rows, budget).into_iter().peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            messages.push((part, if last { current } else { base }, false));
        }
        let nothing = messages.last().is_none_or(|last| last.1 != current);
        for (rows, current, kept) in messages {
            self.send_one(rows, base, current, kept, now);
        }
        if nothing && current > base {
            // Versions without a row for this log: nothing to wait for but what went before.
            self.send_nothing(base, current, false, now);
        }
    }

    fn send_nothing(&mut self, base: i64, current: i64, kept: bool, now: Duration) {
        if let Some(upload) = self.conn.as_mut().and_then(|conn| conn.mode.upload_mut()) {
            let rows = Vec::new();
            let sent = Sent { reference: None, base, current, rows, kept, acked: true, sent_at: now };
            upload.window.push_back(sent);
        }
        self.book_settled(None, Vec::new(), Vec::new());
    }

    /// What was refused gets another chance: the next read for sending brings it. What is on its way goes again.
    pub(super) fn resend(&mut self) {
        self.refused.clear();
        let uploaded = self.view.uploaded;
        self.abort_push();
        let upload = self.conn.as_mut().and_then(|conn| conn.mode.upload_mut());
        if let Some(upload) = upload.filter(|upload| !upload.held) {
            upload.restart(uploaded);
        }
        self.dirty = true;
    }

    /// Not refused for good, and not known to be there.
    fn has_to_be_sent(&self, change: &Change) -> bool {
        !self.refused.contains(&row_id(change)) && !self.recount.has_seen(change)
    }

    fn send_one(&mut self, rows: Vec<Change>, base: i64, current: i64, kept: bool, now: Duration) {
        let run = self.run().cloned();
        let Some(conn) = &mut self.conn else { return };
        let reference = conn.reference(run.as_ref());
        let called = matches!(conn.mode, Mode::Records(_));
        let Some(upload) = conn.mode.upload_mut() else { return };
        upload.window.push_back(Sent {
            reference: Some(reference.clone()),
            base,
            current,
            rows: rows.clone(),
            kept,
            acked: false,
            sent_at: now,
        });
        if called {
            return; // one after the other: `records` does
        }
        self.send(Body::Push(SyncPush {
            changes: rows.into_iter().map(Ok).collect(),
            base_version: base,
            run,
            reference: Some(reference),
            current_version: Some(current),
            ..SyncPush::default()
        }));
    }

    pub(super) fn ack(&mut self, from: SiteId, ack: SyncAck) {
        let now = self.now.at;
        let Some(Mode::Storing(upload)) = self.conn.as_mut().map(|conn| &mut conn.mode) else { return };
        if !ack.durable || upload.log != from {
            return;
        }
        let Some(sent) = upload.window.iter_mut().find(|sent| sent.reference == ack.reference && !sent.acked)
        else {
            return;
        };
        sent.acked = true;
        self.counters.round_trip = Some(now.saturating_sub(sent.sent_at));
        let rows = std::mem::take(&mut sent.rows);
        self.counters.sent += rows.len() as u64;
        // Never to nothing: that nothing is left, the transaction says that books it.
        let left = |pending: u64| pending.saturating_sub(rows.len() as u64).max(1).min(pending);
        self.view.pending = self.view.pending.map(left);
        let rejected = refused_rows(&rows, &ack.rejected);
        let bad = |at: &usize| ack.rejected.iter().any(|rejected| rejected.index == *at);
        let taken = rows.into_iter().enumerate().filter(|(at, _)| !bad(at)).map(|(_, row)| row).collect();
        self.healthy();
        self.book_settled(ack.relay, taken, rejected);
    }

    /// Books what is acknowledged without a gap, where it stands in the log, what was taken and what was refused.
    pub(super) fn book_settled(
        &mut self,
        place: Option<Place>,
        mut taken: Vec<Change>,
        rejected: Vec<(Change, RowCode)>,
    ) {
        if self.view.rejected == Some(0) {
            taken.clear(); // there is no list that they could leave
        }
        let wall_ms = self.now.wall_ms;
        let Some(upload) = self.conn.as_mut().and_then(|conn| conn.mode.upload_mut()) else { return };
        let (steps, kept) = upload.settled();
        let log = upload.log;
        if steps.is_empty() && place.is_none() && rejected.is_empty() && taken.is_empty() {
            return;
        }
        self.refused.insert_all(rejected.iter().map(|(change, _)| row_id(change)).collect());
        self.tasks.push_back(Task::Acked(Acked { log, steps, place, kept, taken, rejected, wall_ms }));
    }

    /// Drops what waits to be booked; a refusal that stands in no list was none.
    pub(super) fn drop_bookings(&mut self) {
        for task in &self.tasks {
            if let Task::Acked(acked) = task {
                for (change, _) in &acked.rejected {
                    self.refused.remove(&row_id(change));
                }
            }
        }
        self.tasks.retain(|task| !matches!(task, Task::Acked(_)));
    }

    /// An error about something that we sent. Others are only reported.
    pub(super) fn peer_error(&mut self, from: SiteId, error: &SyncError) {
        let now = self.now.at;
        let wait =
            error.retry_after.map(|ms| Duration::from_millis(ms).min(LONGEST_PAUSE)).unwrap_or(DEFAULT_PAUSE);
        let text = format!("{}: {}", error.code, error.message);
        let uploaded = self.view.uploaded;
        let Some(conn) = &mut self.conn else { return };
        let asked = conn.asked.iter().any(|asked| Some(&asked.reference) == error.reference.as_ref());
        if asked {
            conn.asks.postpone(None, now + wait);
            conn.asks.postpone(Some(from), now + wait);
        }
        let mut rejected = Vec::new();
        let mut halve = None;
        let mut ours = asked;
        if let Mode::Storing(upload) = &mut conn.mode
            && upload.log == from
            && let Some(sent) = upload
                .window
                .iter()
                .find(|sent| sent.reference == error.reference && sent.reference.is_some())
        {
            ours = true;
            rejected = refused_rows(&sent.rows, &error.rejected);
            let permanent = error.retry_after.is_none() && rejected.is_empty();
            if permanent && let [only] = sent.rows.as_slice() {
                rejected.push((only.clone(), RowCode::TooLarge));
            } else {
                halve = permanent.then(|| size(&sent.rows));
            }
            // Refused rows were named: the others can go at once.
            upload.paused_until = rejected.is_empty().then_some(now + wait);
            upload.restart(uploaded);
        }
        if let Some(size) = halve {
            self.halve(size);
        }
        if !rejected.is_empty() {
            self.book_settled(None, Vec::new(), rejected);
        }
        if ours {
            let problem = Problem::passing("peer-error", text);
            self.outputs.push_back(Output::Event(Event::Error(problem)));
        }
    }

    /// The connection was closed because a message was too large (1009).
    pub(super) fn too_big(&mut self, conn: Conn) {
        let upload = match conn.mode {
            Mode::Storing(upload) => upload,
            Mode::Records(mut records) => return self.push_too_large(&mut records),
            Mode::Probing(_) | Mode::Plain(_) => return self.too_big_for_plain(conn.largest),
        };
        let log = upload.log;
        let unacked = upload.window.into_iter().filter(|sent| !sent.acked);
        match unacked.max_by_key(|sent| size(&sent.rows).bytes) {
            Some(sent) if sent.rows.len() == 1 => self.refuse_as_too_large(log, sent.rows),
            Some(sent) => self.halve(size(&sent.rows)),
            None => self.halve(self.budget),
        }
    }

    /// A relay that forwards does not say which message it was: the largest was too large, if any was.
    fn too_big_for_plain(&mut self, largest: Option<(Budget, Option<Change>)>) {
        match largest {
            // Below the smallest batch it was something else that did not fit.
            Some((size, Some(row))) if size.bytes >= SMALLEST_BYTES => {
                self.refuse_as_too_large(self.config.site, vec![row])
            }
            Some((size, _)) => self.halve(size),
            None => self.halve(self.budget),
        }
    }

    /// Notes a message for devices before it goes out.
    pub(super) fn note_size(&mut self, rows: &[Change]) {
        let now = size(rows);
        let Some(conn) = &mut self.conn else { return };
        if conn.largest.as_ref().is_none_or(|(largest, _)| largest.bytes < now.bytes) {
            let only = if let [only] = rows { Some(only.clone()) } else { None };
            conn.largest = Some((now, only));
        }
    }

    /// Leaves out what was refused for good.
    pub(super) fn leave_out_refused(&self, rows: &mut Vec<Change>) {
        if !self.refused.is_empty() {
            rows.retain(|row| !self.refused.contains(&row_id(row)));
        }
    }

    /// Rows that do not fit alone. Booked without the connection, which may be gone.
    pub(super) fn refuse_as_too_large(&mut self, log: SiteId, rows: Vec<Change>) {
        let rejected: Vec<_> = rows.into_iter().map(|row| (row, RowCode::TooLarge)).collect();
        self.refused.insert_all(rejected.iter().map(|(change, _)| row_id(change)).collect());
        let wall_ms = self.now.wall_ms;
        let (steps, taken) = (Vec::new(), Vec::new());
        let acked = Acked { log, steps, place: None, kept: false, taken, rejected, wall_ms };
        self.tasks.push_back(Task::Acked(acked));
    }

    /// From now on messages are half as large as this one was.
    pub(super) fn halve(&mut self, was: Budget) {
        let changes = (was.changes / 2).clamp(1, self.config.budget.changes.max(1));
        let bytes = (was.bytes / 2).clamp(SMALLEST_BYTES, self.config.budget.bytes.max(SMALLEST_BYTES));
        self.budget = Budget { changes, bytes };
    }
}

pub(super) fn size(rows: &[Change]) -> Budget {
    Budget { changes: rows.len(), bytes: rows.iter().map(Change::wire_size).sum() }
}

fn refused_rows(rows: &[Change], rejected: &[Rejected]) -> Vec<(Change, RowCode)> {
    rejected.iter().filter_map(|bad| rows.get(bad.index).map(|row| (row.clone(), bad.code))).collect()
}

/// Cuts changes into messages within the budget; each holds at least one.
pub(super) fn split(changes: Vec<Change>, budget: Budget) -> Vec<Vec<Change>> {
    let mut parts: Vec<Vec<Change>> = Vec::new();
    let mut bytes = 0;
    for change in changes {
        let size = change.wire_size();
        match parts.last_mut() {
            Some(part) if part.len() < budget.changes && bytes + size <= budget.bytes => {
                bytes += size;
                part.push(change);
            }
            Some(_) | None => {
                bytes = size;
                parts.push(vec![change]);
            }
        }
    }
    parts
}
