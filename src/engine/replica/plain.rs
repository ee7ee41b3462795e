//! Live pushes over a relay that only forwards: our own rows, chained by `baseVersion`, and the empty pushes that
//! make a lost one noticed. Decides when each goes out.

use super::Replica;
use super::conn::Mode;
use super::jobs::Task;
use crate::engine::clock::Duration;
use crate::engine::txn::What;
use crate::rules::{self, Rule};
use crate::wire::{Body, SyncPush};

/// An empty push repeats the last one's version after this.
const REPEAT: Duration = Duration::from_secs(5);
/// An empty push states our head this often.
const BEAT: Duration = Duration::from_secs(15 * 60);

/// The chain of our live pushes on one connection.
#[derive(Debug)]
pub(super) struct Plain {
    /// `currentVersion` of our last push: the next one's `baseVersion`.
    pub(super) base: i64,
    /// Up to where our rows were read.
    pub(super) read: i64,
    /// No peer was heard yet: whether there is something to catch up with is open until the request is given up.
    pub(super) alone: bool,
    /// Nothing was read on this connection yet: what the request stated counts as pushed once that has happened.
    pub(super) unread: bool,
    repeat_at: Option<Duration>,
    beat_at: Duration,
    beat_queued: bool,
}

impl Plain {
    pub(super) fn new(stated: i64, now: Duration) -> Self {
        let beat_at = now + BEAT;
        Plain {
            base: stated,
            read: stated,
            alone: true,
            unread: true,
            repeat_at: None,
            beat_at,
            beat_queued: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let beat = (!self.beat_queued).then_some(self.beat_at);
        self.repeat_at.into_iter().chain(beat).min()
    }
}

impl Replica {
    /// The empty pushes that are due.
    pub(super) fn tick_plain(&mut self) {
        let now = self.now.at;
        let Some(Mode::Plain(plain)) = self.conn.as_mut().map(|conn| &mut conn.mode) else { return };
        if plain.beat_at <= now && !plain.beat_queued {
            plain.beat_queued = true;
            self.tasks.push_back(Task::Beat);
        }
        if plain.repeat_at.is_some_and(|at| at <= now) {
            plain.repeat_at = None;
            let base = plain.base;
            self.send_plain(empty(base));
        }
    }

    /// A push was read.
    pub(super) fn send_push(&mut self, what: What) {
        let What::Push { mut changes, head } = what else { return };
        if let Some(rows) = &mut changes {
            self.leave_out_refused(rows);
            self.note_size(rows);
        }
        let now = self.now.at;
        let Some(Mode::Plain(plain)) = self.conn.as_mut().map(|conn| &mut conn.mode) else { return };
        plain.read = head;
        plain.unread = false;
        // Booked with the next count: of a push that never left nobody says that it has.
        self.view.pending = Some(0);
        let rows = match changes {
            Some(rows) if rows.is_empty() => return,
            Some(rows) => rows,
            // Too much for one message: an empty push from a later base makes everybody ask.
            None => {
                plain.base = head;
                Vec::new()
            }
        };
        let base = plain.base;
        plain.base = head;
        plain.repeat_at = Some(now + REPEAT);
        self.counters.sent += rows.len() as u64;
        let changes = rows.into_iter().map(Ok).collect();
        self.send_plain(SyncPush { changes, current_version: Some(head), ..empty(base) });
    }

    /// The head was read and recorded: state it, with what was received and, if it is known, what is held.
    pub(super) fn send_beat(&mut self, what: What) {
        let What::Request { cursors, .. } = what else { return };
        let now = self.now.at;
        let Some(Mode::Plain(plain)) = self.conn.as_mut().map(|conn| &mut conn.mode) else { return };
        plain.beat_at = now + BEAT;
        plain.beat_queued = false;
        let base = plain.base;
        if rules::holds(Rule::AskBackAndBeat) {
            let digest = self.beat_states();
            let cursors = cursors.iter().map(|(site, cursor)| (site.to_string(), cursor.clone()));
            self.send_plain(SyncPush {
                head: Some(self.view.head),
                cursors: digest.is_some().then(|| cursors.collect()),
                digest,
                ..empty(base)
            });
        }
    }

    fn send_plain(&mut self, push: SyncPush) {
        let run = self.run().cloned();
        self.send(Body::Push(SyncPush { run, ..push }));
    }
}

/// A push of nothing, that repeats the version of the last one.
fn empty(base: i64) -> SyncPush {
    SyncPush { base_version: base, current_version: Some(base), ..SyncPush::default() }
}
