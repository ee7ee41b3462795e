//! Proving that live means equal: when nothing has moved for a while, what is held is added up, and stated to a log or in
//! a beat. Decides when, and what follows where somebody else holds something else; a proof never moves a cursor.
//! Sums are read in slices that leave most of the time to others, and stay known until the head moves.

use super::ask::Target;
use super::conn::Mode;
use super::jobs::Task;
use super::{Event, Output, Problem, Replica};
use crate::engine::clock::Duration;
use crate::engine::store::Budget;
use crate::engine::txn::{KeyPlace, Scope, What};
use crate::wire::{Cursor, Digest, Run, TableDigest};

/// Nothing has moved for this long.
const IDLE: Duration = Duration::from_secs(30);
/// Sums are read, and a log is asked, at most this often.
const PAUSE: Duration = Duration::from_secs(15 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// What was proved this long ago is proved again: a file may change although no clock does.
const PROOF_LASTS: Duration = Duration::from_secs(24 * 3600);
/// The most that one slice reads.
const SLICE: Budget = Budget { changes: 2000, bytes: 256 << 10 };
/// After a slice others have the database for so many times as long.
const OTHERS: u32 = 3;
/// Devices that a relay makes state their sums do not do so all at once.
const SPREAD: Duration = Duration::from_secs(2);

/// What a proof speaks of: our head, and up to where we have received a log, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    head: i64,
    log: Option<Cursor>,
}

/// What another device states of itself in a beat.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// How far it has received us.
    pub(super) cursor: Option<Cursor>,
    pub(super) digest: Digest,
}

/// How far the proof of the present state is.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// What is to be proved, and since when it stands.
    pair: Option<Pair>,
    since: Duration,
    sums: Sums,
    /// The next request to the log is to state the sums.
    asking: bool,
    not_before: Duration,
    proved: Option<(Pair, Duration)>,
    heals: u32,
    heal_not_before: Duration,
    /// The two sides that were healed last: once more would change nothing.
    healed: Option<(u64, u64)>,
    /// Wall-clock milliseconds at which equality was proved last.
    pub(super) verified_at: Option<i64>,
}

#[derive(Debug, Default)]
enum Sums {
    #[default]
    Unknown,
    /// A slice is out (since `began`), or the next one goes out at `next_at`.
    Reading {
        head: i64,
        tables: Digest,
        next: KeyPlace,
        began: Duration,
        next_at: Option<Duration>,
    },
    Known {
        head: i64,
        tables: Digest,
        until: Duration,
    },
}

impl Sums {
    fn begin(head: i64) -> Self {
        let next = (String::new(), 0);
        Sums::Reading { head, tables: Vec::new(), next, began: Duration::ZERO, next_at: Some(Duration::ZERO) }
    }

    fn known_at(&self, at: i64) -> Option<&Digest> {
        match self {
            Sums::Known { head, tables, .. } if *head == at => Some(tables),
            Sums::Unknown | Sums::Reading { .. } | Sums::Known { .. } => None,
        }
    }
}

impl Proof {
    /// The slice that is out will not come back.
    pub(super) fn stop_reading(&mut self) {
        if let Sums::Reading { .. } = self.sums {
            self.sums = Sums::Unknown;
        }
    }

    /// Puts the next heal off, each time twice as long.
    fn count_heal(&mut self, now: Duration) {
        let pause = PAUSE * 2_u32.saturating_pow(self.heals.min(16));
        self.heals += 1;
        self.heal_not_before = now + pause.min(LONGEST_PAUSE);
    }

    /// A proof ends the doubling only when nothing has had to be healed for long: what differs for ever may be proved
    /// equal in between, by a device that agrees with what was stated last.
    fn forget_heals(&mut self, now: Duration) {
        if now > self.heal_not_before + LONGEST_PAUSE {
            self.heals = 0;
        }
    }

    /// When the next step is due, if there is anything to prove.
    pub(super) fn due(&self) -> Option<Duration> {
        let pair = self.pair.as_ref()?;
        let calm = self.since + IDLE;
        match &self.sums {
            Sums::Reading { next_at: None, .. } => return None,
            Sums::Reading { head, next_at: Some(at), .. } if *head == pair.head => {
                return Some(calm.max(*at));
            }
            // The next beat states it.
            Sums::Known { head, until, .. } if *head == pair.head && pair.log.is_none() => {
                return Some(*until);
            }
            Sums::Unknown | Sums::Reading { .. } | Sums::Known { .. } => {}
        }
        let proved = self.proved.as_ref().filter(|(proved, _)| proved == pair);
        let lasts = proved.map_or(Duration::ZERO, |(_, at)| *at + PROOF_LASTS);
        Some(calm.max(self.not_before).max(lasts))
    }
}

impl Replica {
    /// What is held now was proved equal to what the relay or another device holds.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        let pair = self.provable();
        pair.is_some() && self.proof.proved.as_ref().map(|(proved, _)| proved) == pair.as_ref()
    }

    /// What can be proved now: everything that was asked is answered, nothing local waits, nothing was put aside.
    fn provable(&self) -> Option<Pair> {
        let conn = self.conn.as_ref().filter(|conn| conn.caught_up && self.is_running())?;
        let view = &self.view;
        if (view.pending, view.quarantined, view.rejected) != (Some(0), Some(0), Some(0)) {
            return None;
        }
        let log = match &conn.mode {
            Mode::Storing(upload) => {
                let held = view.received.get(&upload.log).filter(|held| held.head.is_none());
                Some(held.filter(|_| upload.is_through(view.head))?.clone())
            }
            Mode::Plain(plain) if !plain.alone && plain.read >= view.head => None,
            Mode::Plain(_) | Mode::Probing(_) | Mode::Records(_) => return None,
        };
        Some(Pair { head: view.head, log })
    }

    /// The next step of a proof, when it is due.
    pub(super) fn tick_proof(&mut self) {
        let now = self.now.at;
        let pair = self.provable();
        if self.proof.pair != pair {
            self.proof.pair = pair;
            self.proof.since = now;
        }
        if self.proof.due().is_none_or(|due| due > now) {
            return;
        }
        let Some(Pair { head, .. }) = self.proof.pair else { return };
        match &mut self.proof.sums {
            Sums::Reading { head: reading, next, began, next_at, .. } if *reading == head => {
                (*began, *next_at) = (now, None);
                let place = next.clone();
                self.tasks.push_back(Task::Digest(place));
            }
            Sums::Known { head: known, until, .. } if *known == head && *until > now => {
                self.proof.asking = true;
                self.proof.not_before = now + PAUSE;
                if let Some(conn) = &mut self.conn {
                    conn.ask_again_now(now);
                }
            }
            Sums::Unknown | Sums::Reading { .. } | Sums::Known { .. } => {
                self.proof.sums = Sums::begin(head);
                self.tick_proof();
            }
        }
    }

    /// How much a slice reads, and of which tables.
    pub(super) fn slice(&self) -> Scope {
        let scope = self.scope();
        let changes = scope.budget.changes.min(SLICE.changes);
        Scope { budget: Budget { changes, ..SLICE }, ..scope }
    }

    /// A slice was added up.
    pub(super) fn added_up(&mut self, what: What) {
        let What::Digest { tables: slice, next: rest } = what else { return };
        let now = self.now.at;
        let states_itself = self.proof.pair.as_ref().is_some_and(|pair| pair.log.is_none());
        let Sums::Reading { head, tables, next, began, next_at } = &mut self.proof.sums else { return };
        if *head != self.view.head {
            self.proof.sums = Sums::Unknown;
            return;
        }
        for (table, sums) in slice {
            match tables.last_mut() {
                Some((last, total)) if *last == table => total.add(&sums),
                Some(_) | None => tables.push((table, sums)),
            }
        }
        if let Some(place) = rest {
            (*next, *next_at) = (place, Some(now + now.saturating_sub(*began) * OTHERS));
            return;
        }
        let (head, tables) = (*head, std::mem::take(tables));
        self.proof.sums = Sums::Known { head, tables, until: now + PROOF_LASTS };
        if states_itself {
            self.proof.not_before = now + PAUSE;
        }
    }

    /// What a request to the log states, if it is to be compared.
    pub(super) fn take_statement(&mut self, target: Target) -> Option<(Pair, Digest)> {
        if !self.proof.asking || target.is_some_and(|site| Some(site) != self.view.log) {
            return None;
        }
        self.proof.asking = false;
        let pair = self.provable().filter(|pair| pair.log.is_some())?;
        let digest = self.proof.sums.known_at(pair.head)?.clone();
        Some((pair, digest))
    }

    /// What a beat states, if it is known.
    pub(super) fn beat_states(&self) -> Option<Digest> {
        let pair = self.provable()?;
        self.proof.sums.known_at(pair.head).cloned()
    }

    /// A log has compared what we stated of this pair.
    pub(super) fn log_compared(&mut self, pair: Pair, differ: &[String]) {
        let place = pair.log.as_ref().map_or(0, |cursor| cursor.version.cast_unsigned());
        self.compared(pair, place, differ);
    }

    /// Devices have stated different things to the log: this one may be it.
    pub(super) fn doubted(&mut self) {
        if self.proof.proved.take().is_some() {
            self.proof.not_before = self.now.at + self.jitter.up_to(SPREAD);
        }
    }

    /// Another device states what it holds. Comparable if each has received everything of the other.
    pub(super) fn device_stated(&mut self, statement: &Statement) {
        let Some(pair) = self.provable().filter(|pair| pair.log.is_none()) else { return };
        let has_all_of_us = |cursor: &Cursor, run: &Run| {
            cursor.run == *run && cursor.head.is_none() && cursor.version >= pair.head
        };
        if !statement.cursor.as_ref().zip(self.run()).is_some_and(|(cursor, run)| has_all_of_us(cursor, run))
        {
            return;
        }
        let Some(own) = self.proof.sums.known_at(pair.head) else { return };
        let (mut common, mut differ) = (false, Vec::new());
        for (table, theirs) in &statement.digest {
            if let Ok(place) = own.binary_search_by(|(name, _)| name.cmp(table)) {
                common = true;
                if own.get(place).is_some_and(|(_, ours)| ours != theirs) {
                    differ.push(table.clone());
                }
            }
        }
        if common {
            self.compared(pair, mark(&statement.digest), &differ);
        }
    }

    fn compared(&mut self, pair: Pair, theirs: u64, differ: &[String]) {
        let now = self.now.at;
        if differ.is_empty() {
            self.proof.proved = Some((pair, now));
            self.proof.forget_heals(now);
            self.proof.verified_at = Some(self.now.wall_ms);
            return;
        }
        let ours = self.proof.sums.known_at(pair.head).map_or(0, mark);
        if self.proof.healed == Some((ours, theirs)) || self.proof.heal_not_before > now {
            self.proof.not_before = self.proof.heal_not_before.max(now + PAUSE);
            return;
        }
        self.proof.healed = Some((ours, theirs));
        self.proof.count_heal(now);
        self.proof.not_before = now;
        let text = ["replicas differ in ", &differ.join(", "), ": all is compared anew"].concat();
        self.outputs.push_back(Output::Event(Event::Error(Problem::passing("replicas-differed", text))));
        self.tasks.push_back(Task::Resync { rejected: false });
    }
}

/// Tells one state from another.
fn mark(digest: &Digest) -> u64 {
    let of = |sums: &TableDigest| sums.entries.wrapping_add(sums.clocks).wrapping_add(sums.values);
    digest.iter().fold(0, |mark, (_, sums)| mark.wrapping_mul(31).wrapping_add(of(sums)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_heals_doubles_to_a_day_whatever_is_proved_in_between() {
        let (mut proof, mut now, mut pauses) = (Proof::default(), Duration::from_secs(1), Vec::new());
        for _ in 0..20 {
            proof.count_heal(now);
            pauses.push((proof.heal_not_before - now).as_millis() / 60_000);
            now = proof.heal_not_before + PAUSE;
            proof.forget_heals(now);
        }
        assert_eq!(pauses[..8], [15, 30, 60, 120, 240, 480, 960, 1440]);
        assert!(pauses[8..].iter().all(|pause| *pause == 1440));
        proof.forget_heals(proof.heal_not_before + LONGEST_PAUSE + PAUSE);
        proof.count_heal(now);
        assert_eq!(proof.heal_not_before - now, PAUSE, "it was well for long enough");
    }
}
