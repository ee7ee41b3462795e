//! What an applied message leads to: asks for what is missing, the next page, an acknowledgement, and the moment at
//! which everything that was asked has been answered. Decides whether something is missing; never applies itself.

use super::conn::Mode;
use super::digest::{Pair, Statement};
use super::jobs::{After, Task};
use super::{Output, Replica};
use crate::engine::txn::{Applied, Apply, What};
use crate::wire::{Body, Cursor, Run, SiteId, SyncAck};

/// An answer that is being applied.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) from: SiteId,
    /// It answers a request of ours on this connection.
    pub(super) ours: bool,
    /// For whom: `None` is everybody.
    pub(super) addressed: bool,
    pub(super) run: Option<Run>,
    pub(super) current: i64,
    pub(super) head: Option<i64>,
    pub(super) more: bool,
    /// More parts follow.
    pub(super) partial: bool,
    pub(super) durable: bool,
    /// What we stated with the request, and which tables the log has otherwise.
    pub(super) compared: Option<(Pair, Vec<String>)>,
}

/// A push that is being applied.
#[derive(Debug, Clone)]
pub(super) struct Pushed {
    pub(super) from: SiteId,
    pub(super) chain: Chain,
    /// The sender's stated head.
    pub(super) head: Option<i64>,
    pub(super) run: Option<Run>,
    /// A peer that knows only the seed wants to hear that it arrived.
    pub(super) ack: Option<i64>,
    /// What the sender holds.
    pub(super) statement: Option<Statement>,
    /// The log has heard different things of its devices.
    pub(super) doubted: bool,
}

/// How a push hangs together with what came before.
#[derive(Debug, Clone)]
pub(super) enum Chain {
    /// A log's forward: its place decides.
    Log(SiteId),
    /// A device's own chain.
    Device { run: Run, base: i64, current: i64 },
    /// Nothing is said; an odd sentinel may have left rows behind.
    Seed { odd_sentinel: bool },
}

impl Replica {
    pub(super) fn has_received(&self, site: SiteId, run: &Run, head: i64) -> bool {
        self.view
            .received
            .get(&site)
            .is_some_and(|held| held.run == *run && held.head.is_none() && held.version >= head)
    }

    /// A message is in the database.
    pub(super) fn applied(&mut self, after: After, what: What, orphaned: bool) {
        let applied = match what {
            What::Applied(applied) => applied,
            What::OtherAccount(account) => {
                if !orphaned {
                    self.other_account(account);
                }
                return;
            }
            _ => return,
        };
        let from = match &after {
            After::Answer(answered) => answered.from,
            After::Push(pushed) => pushed.from,
            After::Page { log, .. } | After::ServerPush { log } => *log,
        };
        self.announce(from, &applied);
        if orphaned {
            return;
        }
        self.own_account(&after);
        self.healthy();
        match after {
            After::Answer(answered) => self.answer_applied(&answered, &applied),
            After::Push(pushed) => self.push_applied(pushed, &applied),
            After::Page { ends, .. } => self.page_applied(ends, applied.gap),
            After::ServerPush { .. } => {}
        }
    }

    fn answer_applied(&mut self, answered: &Answered, applied: &Applied) {
        let now = self.now.at;
        let uploaded = self.view.uploaded;
        if applied.reset {
            // What the log said before it lost its rows is void.
            self.tasks.retain(|task| !matches!(task, Task::Acked(_)));
            self.refused.clear();
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
        let further = |(cursor, _): (Cursor, bool)| {
            cursor.version > answered.current && Some(&cursor.run) == answered.run.as_ref()
        };
        if answered.more && answered.ours {
            if self.tasks.iter().filter_map(|task| task.page_of(answered.from)).any(further) {
                self.ask_ahead(answered.from);
            } else {
                conn.asks.at(answered.from, now);
            }
        } else if applied.gap && answered.run.is_some() {
            self.ask_for_gap(answered.from);
        } else if answered.durable
            && !applied.reset
            && let Some((pair, differ)) = &answered.compared
        {
            self.log_compared(pair.clone(), differ);
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
        } else if matches!(pushed.chain, Chain::Log(log) if pushed.doubted && Some(log) == self.view.log) {
            self.doubted();
        } else if let (Chain::Device { .. }, Some(statement), Some(_)) =
            (&pushed.chain, &pushed.statement, pushed.head)
        {
            self.device_stated(statement);
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
        if self.config.records.is_some() {
            self.start_round_over();
        } else if let Some(conn) = &mut self.conn {
            conn.seen.remove(&sender);
            // Parts that are still to come count for nothing.
            if let Some(open) = conn.parts.get_mut(&apply.sender) {
                open.1 = u32::MAX;
            }
            if judged && matches!(&conn.mode, Mode::Storing(upload) if upload.is_held()) {
                // Not judged yet: start over with the relay.
                conn.restart(self.now.at);
                return;
            }
            let again = sender != self.config.site || conn.has_clone(sender, self.now.at);
            if again {
                conn.asks.again(sender, self.now.at);
            }
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
            conn.heard_nobody(now);
        }
        self.tick_asks();
        self.tick_plain();
        self.tick_upload();
        self.tick_records();
        let waiting = self.tasks.iter().chain(self.running.as_ref().map(|running| &running.task));
        let applying = waiting.into_iter().any(|task| matches!(task, Task::Apply(..)));
        let Some(conn) = &mut self.conn else { return };
        let settled = match &conn.mode {
            Mode::Probing(_) | Mode::Records(_) => false,
            Mode::Plain(plain) if plain.alone => conn.asks.is_empty(),
            Mode::Plain(_) => conn.asks.only_everyone(),
            Mode::Storing(upload) => conn.asks.is_empty() && !upload.is_held(),
        };
        if settled && !applying && !conn.caught_up {
            conn.caught_up = true;
            self.tasks.push_back(Task::CaughtUp);
        }
    }
}
