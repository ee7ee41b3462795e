//! What is known of one connection and dies with it: what was asked, what was seen, and which kind of relay is at
//! the other end. Decides when the kind is settled.

use super::ask::{Asked, Asks};
use super::plain::Plain;
use super::records::Records;
use super::upload::Upload;
use super::{CallId, ConnId};
use crate::engine::clock::Duration;
use crate::engine::store::Budget;
use crate::queue::Queue;
use crate::sorted::SortedMap;
use crate::wire::{Change, Cursor, Run, SiteId};

/// A relay that stores answers within this; without an answer one that never stored anything of ours is taken for a
/// plain one (until it answers). One that did is silent, and nothing is in step until it speaks.
const PROBE: Duration = Duration::from_secs(10);
/// Copies of one database that are both alive are served this seldom.
const CLONE_PAUSE: Duration = Duration::from_secs(300);
/// How long two copies are taken to be alive after the last proof of it.
const CLONE_MEMORY: Duration = Duration::from_secs(3600);
/// What a former run has sent does not take this long to arrive.
const LATE: Duration = Duration::from_secs(60);

/// What kind of relay this is.
#[derive(Debug)]
pub(super) enum Mode {
    /// Nothing is pushed until it is clear. Where no log is known, a plain relay at the latest at this time.
    Probing(Duration),
    Plain(Plain),
    Storing(Upload),
    /// No relay at all: a server of the push-pull contract.
    Records(Box<Records>),
}

impl Mode {
    /// Uploading, to whatever stores.
    pub(super) fn upload(&self) -> Option<&Upload> {
        match self {
            Mode::Probing(_) | Mode::Plain(_) => None,
            Mode::Storing(upload) => Some(upload),
            Mode::Records(records) => Some(&records.upload),
        }
    }

    pub(super) fn upload_mut(&mut self) -> Option<&mut Upload> {
        match self {
            Mode::Probing(_) | Mode::Plain(_) => None,
            Mode::Storing(upload) => Some(upload),
            Mode::Records(records) => Some(&mut records.upload),
        }
    }
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) mode: Mode,
    pub(super) asks: Asks,
    /// Requests of this connection by `ref`, oldest first.
    pub(super) asked: Queue<Asked>,
    /// The head that our last broadcast request stated.
    pub(super) stated: Option<i64>,
    /// How far the pushes of each site reach without a gap.
    pub(super) seen: SortedMap<SiteId, (Run, i64)>,
    /// The sites that state their runs.
    pub(super) sites: SortedMap<SiteId, Site>,
    /// Another run than ours whose pushes a log has stored under our site, and when the first of them came.
    double: Option<(Run, Duration)>,
    /// The next part of an answer that came in parts.
    pub(super) parts: SortedMap<SiteId, (String, u32)>,
    pub(super) caught_up: bool,
    /// The largest message with rows that has gone out, and the row itself if it was one.
    pub(super) largest: Option<(Budget, Option<Change>)>,
    pub(super) next_ref: u64,
    /// Malformed frames on this connection.
    pub(super) garbage: u32,
}

/// What is known of a site that states its runs.
#[derive(Debug, Default)]
pub(super) struct Site {
    /// When two runs of it were last seen to be alive: two copies of one database are.
    cloned_at: Option<Duration>,
    /// When the other copy was last followed instead of the one before.
    turned_at: Option<Duration>,
    asked_at: Option<Duration>,
    /// Whom of the copies we have answered last, and when: neither may starve while the other is served.
    answered: Option<(Option<Run>, Duration)>,
}

impl Conn {
    /// `log` stands for a server of the push-pull contract, which is called and not asked.
    pub(super) fn new(id: ConnId, log: Option<SiteId>, now: Duration) -> Self {
        let (mode, asks) = match log {
            Some(log) => (Mode::Records(Box::new(Records::new(log))), Asks::default()),
            None => (Mode::Probing(now + PROBE), Asks::everyone(now)),
        };
        Conn {
            id,
            mode,
            asks,
            asked: Queue::new(),
            stated: None,
            seen: SortedMap::new(),
            sites: SortedMap::new(),
            double: None,
            parts: SortedMap::new(),
            caught_up: false,
            largest: None,
            next_ref: 0,
            garbage: 0,
        }
    }

    /// Forgets what was going on, not the connection: a late answer to what was sent before matches nothing.
    pub(super) fn restart(&mut self, now: Duration) {
        let next_ref = self.next_ref;
        let log = match &self.mode {
            Mode::Records(records) => Some(records.upload.log),
            Mode::Probing(_) | Mode::Plain(_) | Mode::Storing(_) => None,
        };
        *self = Conn { next_ref, ..Conn::new(self.id, log, now) };
    }

    /// The broadcast request has gone out, and stated our head: from now on an answer can be expected.
    pub(super) fn broadcast(&mut self, head: i64, now: Duration) {
        if self.stated.is_none()
            && let Mode::Probing(until) = &mut self.mode
        {
            *until = now + PROBE;
        }
        self.stated = Some(head);
    }

    /// The calls of a push-pull remote that are under way.
    pub(super) fn calls_out(&self) -> Vec<CallId> {
        match &self.mode {
            Mode::Records(records) => records.calls_out(),
            Mode::Probing(_) | Mode::Plain(_) | Mode::Storing(_) => Vec::new(),
        }
    }

    /// A new name for a message. It names the run too: an answer to another copy of the database is none to us.
    pub(super) fn reference(&mut self, run: Option<&Run>) -> String {
        self.next_ref += 1;
        let run = run.and_then(|run| run.as_str().get(..8)).unwrap_or_default();
        format!("{run}-{}-{}", self.id, self.next_ref)
    }

    pub(super) fn ask_again_now(&mut self, now: Duration) {
        match &mut self.mode {
            Mode::Storing(upload) => self.asks.again(upload.log, now),
            Mode::Records(records) => records.wanted = true,
            Mode::Probing(_) | Mode::Plain(_) => self.asks.everyone_now(now),
        }
    }

    /// Evidence that nobody stores here: another device was heard as only a plain relay lets one be heard.
    pub(super) fn heard_a_peer(&mut self, now: Duration) {
        self.take_for_plain(now);
        if let Mode::Plain(plain) = &mut self.mode {
            plain.alone = false;
        }
    }

    /// Nobody has answered for a while. That does not say that nobody will.
    pub(super) fn heard_nobody(&mut self, now: Duration) {
        self.take_for_plain(now);
    }

    fn take_for_plain(&mut self, now: Duration) {
        if let (Mode::Probing(_), Some(stated)) = (&self.mode, self.stated) {
            self.mode = Mode::Plain(Plain::new(stated, now));
        }
    }

    /// Notes that a site has answered a request of ours in this run, where `ours` is our own run and site. True when it
    /// shows for the first time that two copies of one database are alive: they have answered the same request. What a
    /// former run sent may arrive late, but it does not answer what was asked after its end.
    pub(super) fn answered_in(
        &mut self,
        site: SiteId,
        run: &Run,
        reference: Option<&String>,
        ours: (SiteId, Option<&Run>),
        now: Duration,
    ) -> bool {
        let Some(asked) = self.asked.iter_mut().find(|asked| Some(&asked.reference) == reference) else {
            return false;
        };
        let before = asked.answered.iter().find(|(other, _)| *other == site).map(|(_, run)| run);
        let before = if site == ours.0 { ours.1 } else { before };
        let cloned = before.is_some_and(|before| before != run);
        if before.is_none() {
            asked.answered.push((site, run.clone()));
        }
        cloned && self.is_cloned(site, now)
    }

    /// Notes that a log has stored a push of our own site in a run that is not ours. True when it shows for the first
    /// time that another copy of the database is alive: it goes on for longer than frames are on their way.
    pub(super) fn pushed_in(&mut self, site: SiteId, run: &Run, now: Duration) -> bool {
        match &self.double {
            Some((double, since)) if double == run => now >= *since + LATE && self.is_cloned(site, now),
            Some(_) | None => {
                self.double = Some((run.clone(), now));
                false
            }
        }
    }

    /// Two copies of a site's database are alive. True for the first time.
    fn is_cloned(&mut self, site: SiteId, now: Duration) -> bool {
        let known = self.sites.or_default(site);
        known.cloned_at.replace(now).is_none()
    }

    /// Whether a live copy of a site's database stands beside it.
    pub(super) fn has_clone(&self, site: SiteId, now: Duration) -> bool {
        let cloned_at = self.sites.get(&site).and_then(|known| known.cloned_at);
        cloned_at.is_some_and(|at| now < at + CLONE_MEMORY)
    }

    /// Whether an answer of a site in this run may move the cursor that we hold. Two live copies answer each request: one
    /// of them is followed to its end, then the other, from an answer on that `moves` a cursor of another run, and not more
    /// often than they are served.
    pub(super) fn follows(
        &mut self,
        site: SiteId,
        run: &Run,
        held: Option<&Cursor>,
        moves: bool,
        now: Duration,
    ) -> bool {
        let cloned = self.has_clone(site, now);
        let (Some(known), Some(held)) = (self.sites.get_mut(&site), held) else { return true };
        if !cloned || held.run == *run {
            return true;
        }
        let turns = moves && held.head.is_none() && known.turned_at.is_none_or(|at| now >= at + CLONE_PAUSE);
        if turns {
            known.turned_at = Some(now);
        }
        turns
    }

    /// Notes that a site is asked now.
    pub(super) fn asks_site(&mut self, site: SiteId, now: Duration) {
        if let Some(known) = self.sites.get_mut(&site) {
            known.asked_at = Some(now);
        }
    }

    /// Whether a request of a site is answered now: of two live copies, each in its turn.
    pub(super) fn may_answer(&mut self, site: SiteId, run: Option<&Run>, now: Duration) -> bool {
        let cloned = self.has_clone(site, now);
        let Some(known) = self.sites.get_mut(&site) else { return true };
        let waits = |(last, at): &(Option<Run>, Duration)| last.as_ref() == run && now < *at + CLONE_PAUSE;
        if cloned && known.answered.as_ref().is_some_and(waits) {
            return false;
        }
        known.answered = Some((run.cloned(), now));
        true
    }

    /// The pushes of a site reach so far without a gap.
    pub(super) fn saw(&mut self, site: SiteId, run: &Run, version: i64) {
        match self.seen.get_mut(&site) {
            Some((seen, reached)) if seen == run => *reached = (*reached).max(version),
            Some(_) | None => {
                self.seen.insert(site, (run.clone(), version));
            }
        }
    }

    /// Until when a site of which two copies are alive is not asked.
    pub(super) fn paused_until(&self, site: SiteId, now: Duration) -> Option<Duration> {
        let known = self.sites.get(&site).filter(|_| self.has_clone(site, now))?;
        known.asked_at.map(|at| at + CLONE_PAUSE)
    }

    /// The next moment at which something of this connection is due.
    pub(super) fn deadline(&self, knows_a_log: bool) -> Option<Duration> {
        let asks = self.asks.deadline();
        let mode = match &self.mode {
            Mode::Probing(until) => self.stated.filter(|_| !knows_a_log).map(|_| *until),
            Mode::Plain(plain) => plain.deadline(),
            Mode::Storing(upload) => upload.deadline(),
            Mode::Records(records) => records.deadline(),
        };
        asks.into_iter().chain(mode).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_of_two_live_copies_is_followed_from_an_answer_on_that_moves_a_cursor() {
        let site = SiteId([3; 16]);
        let [one, other] = ["a", "b"].map(|run| Run::new(run).unwrap());
        let mut conn = Conn::new(1, None, Duration::ZERO);
        conn.sites.insert(site, Site { cloned_at: Some(Duration::ZERO), ..Site::default() });
        let held = Cursor { run: one.clone(), version: 9, head: None };
        let mut follows = |run, moves| conn.follows(site, run, Some(&held), moves, Duration::from_secs(1));
        assert!(follows(&one, true));
        assert!(!follows(&other, false), "the first part of an answer, or one from where we are not");
        assert!(follows(&other, true));
        assert!(!follows(&other, true), "not as often as it answers");
    }
}
