//! Who is to be asked, and when again. Decides the pace: one request per site outstanding, repeated with backoff,
//! and gaps of one site lead to a request at most once in a while.

use super::conn::Mode;
use super::digest::Pair;
use super::jobs::Task;
use super::{Problem, Replica};
use crate::engine::clock::Duration;
use crate::engine::txn::What;
use crate::sorted::SortedMap;
use crate::wire::{Body, Cursor, MAX_DB_VERSION, Run, SiteId, SyncRequest};

/// A gap in a device's pushes leads to a request at most this often.
pub(super) const GAP_PAUSE: Duration = Duration::from_secs(30);
/// A gap in a log's forwards: the log is one hop away and answers at once.
pub(super) const LOG_GAP_PAUSE: Duration = Duration::from_secs(1);
const FIRST_REPEAT: Duration = Duration::from_secs(5);
const LONGEST_REPEAT: Duration = Duration::from_secs(60);
/// How long a request waits for an answer that is being applied.
const APPLYING_PAUSE: Duration = Duration::from_millis(500);
/// After so many unanswered requests a site is taken to be gone; it will say when it is back.
const MAX_ATTEMPTS: usize = 5;
/// How many requests of a connection are remembered.
pub(super) const MAX_ASKED: usize = 64;

/// Nobody in particular, or one site.
pub(super) type Target = Option<SiteId>;

/// A request that has gone out.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) reference: String,
    pub(super) cursors: SortedMap<SiteId, Cursor>,
    pub(super) stored: Option<(SiteId, Cursor)>,
    /// Who has answered, and in which run.
    pub(super) answered: Vec<(SiteId, Run)>,
    /// What its digest spoke of.
    pub(super) stated: Option<Pair>,
}

#[derive(Debug)]
struct Ask {
    /// When to send it, or to send it again.
    due: Duration,
    /// The requests that have gone out for it.
    sent: Vec<String>,
    queued: bool,
}

impl Ask {
    fn due(at: Duration) -> Self {
        Ask { due: at, sent: Vec::new(), queued: false }
    }

    /// Nothing has gone out for it, nor is about to.
    fn is_planned(&self) -> bool {
        self.sent.is_empty() && !self.queued
    }
}

/// The outstanding requests.
#[derive(Debug, Default)]
pub(super) struct Asks {
    open: SortedMap<Target, Ask>,
    /// When each site was last asked.
    last: SortedMap<SiteId, Duration>,
}

impl Asks {
    pub(super) fn everyone(now: Duration) -> Self {
        let mut asks = Asks::default();
        asks.everyone_now(now);
        asks
    }

    pub(super) fn everyone_now(&mut self, now: Duration) {
        self.open.insert(None, Ask::due(now));
    }

    /// Asks a site at `at`, or earlier if that is planned already.
    pub(super) fn at(&mut self, site: SiteId, at: Duration) {
        let ask = self.open.or_insert_with(Some(site), || Ask::due(at));
        if ask.is_planned() {
            ask.due = ask.due.min(at);
        }
    }

    /// Asks a site anew, whatever was asked of it before.
    pub(super) fn again(&mut self, site: SiteId, now: Duration) {
        self.open.insert(Some(site), Ask::due(now));
    }

    /// Asks because something is missing, not more often than every `pause`.
    pub(super) fn for_gap(&mut self, site: SiteId, now: Duration, pause: Duration) {
        let earliest = self.last.get(&site).map_or(now, |last| (*last + pause).max(now));
        self.at(site, earliest);
    }

    /// An answer has come, to the request of this name if it names one. A later request stays open: were it closed
    /// by the answer to an earlier one, each of the two would be followed by a request, and so on with every page.
    pub(super) fn answered(&mut self, target: Target, reference: Option<&String>) {
        let closed = |ask: &Ask| ask.is_planned() || reference.is_none_or(|name| ask.sent.contains(name));
        if self.open.get(&target).is_some_and(closed) {
            self.open.remove(&target);
        }
    }

    /// The peer wants to be left alone for a while.
    pub(super) fn postpone(&mut self, target: Target, until: Duration) {
        if let Some(ask) = self.open.get_mut(&target) {
            ask.due = ask.due.max(until);
        }
    }

    fn is_open(&self, site: SiteId) -> bool {
        self.open.contains_key(&Some(site))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// No site in particular still owes an answer. (Over a plain relay nobody may be there to answer everyone.)
    pub(super) fn only_everyone(&self) -> bool {
        self.open.keys().all(Option::is_none)
    }

    /// An answer of this site is still being applied: asking again would only bring it twice.
    fn wait_for(&mut self, site: SiteId, until: Duration) {
        if let Some(ask) = self.open.get_mut(&Some(site))
            && !ask.queued
        {
            ask.due = ask.due.max(until);
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.open.values().filter(|ask| !ask.queued).map(|ask| ask.due).min()
    }

    /// Gives up on whoever never answers.
    fn take_hopeless(&mut self, now: Duration) -> Vec<Target> {
        let hopeless = |ask: &Ask| !ask.queued && ask.due <= now && ask.sent.len() >= MAX_ATTEMPTS;
        let gone: Vec<Target> =
            self.open.iter().filter(|(_, ask)| hopeless(ask)).map(|(target, _)| *target).collect();
        self.open.retain(|_, ask| !hopeless(ask));
        gone
    }

    /// Takes what is due.
    fn take_due(&mut self, now: Duration) -> Vec<Target> {
        let mut due = Vec::new();
        for (target, ask) in self.open.iter_mut() {
            if !ask.queued && ask.due <= now {
                ask.queued = true;
                due.push(*target);
            }
        }
        due
    }

    fn sent(&mut self, target: Target, reference: &str, now: Duration) {
        if let Some(site) = target {
            self.last.insert(site, now);
        }
        if let Some(ask) = self.open.get_mut(&target) {
            let attempts = u32::try_from(ask.sent.len()).unwrap_or(u32::MAX);
            let wait = FIRST_REPEAT * 2_u32.saturating_pow(attempts.min(6));
            ask.queued = false;
            ask.sent.push(reference.to_owned());
            ask.due = now + wait.min(LONGEST_REPEAT);
        }
    }
}

impl Replica {
    /// Queues the requests that are due.
    pub(super) fn tick_asks(&mut self) {
        let later = self.now.at + APPLYING_PAUSE;
        let waiting = self.tasks.iter().chain(self.running.as_ref().map(|running| &running.task));
        let applying: Vec<SiteId> = waiting.filter_map(Task::applies_answer_of).collect();
        let Some(conn) = &mut self.conn else { return };
        for site in applying {
            conn.asks.wait_for(site, later);
        }
        let gone = conn.asks.take_hopeless(self.now.at);
        let silent = match &conn.mode {
            Mode::Storing(upload) => gone.iter().any(|target| target.is_none_or(|site| site == upload.log)),
            Mode::Probing(_) => self.view.log.is_some() && gone.contains(&None),
            Mode::Plain(_) | Mode::Records(_) => false,
        };
        if silent {
            // A device may have left; the relay is the other end of this very connection.
            self.drop_connection(Problem::passing("request-timeout", "the relay does not answer"));
            return;
        }
        for target in conn.asks.take_due(self.now.at) {
            self.tasks.push_back(Task::Request(target));
        }
    }

    /// The request's facts were read and recorded: send it.
    pub(super) fn send_request(&mut self, target: Target, what: What) {
        let What::Request { cursors, stored } = what else { return };
        self.ask(target, cursors, stored, Some(self.view.head));
        if let (None, Some(conn)) = (target, &mut self.conn) {
            conn.broadcast(self.view.head, self.now.at);
        }
    }

    /// Asks a log for the page after one that waits to be applied, so that it comes meanwhile. With a cursor that is not held
    /// yet: where the page before it fails, this one does not continue what is held, and moves nothing.
    pub(super) fn ask_ahead(&mut self, log: SiteId) {
        let Some(conn) = &mut self.conn else { return };
        let judged = matches!(&conn.mode, Mode::Storing(upload) if upload.log == log && !upload.is_held());
        // A claim to have seen nothing would be wrong when the answer comes.
        let Some(stored) = self.view.stored.clone().filter(|_| judged && !conn.asks.is_open(log)) else {
            return;
        };
        let Some((cursor, true)) = self.tasks.iter().filter_map(|task| task.page_of(log)).next_back() else {
            return;
        };
        conn.asks.at(log, self.now.at);
        let mut cursors = SortedMap::new();
        cursors.insert(log, cursor);
        // Without our head: no transaction has recorded it for this.
        self.ask(Some(log), cursors, Some((log, stored)), None);
    }

    fn ask(
        &mut self,
        target: Target,
        cursors: SortedMap<SiteId, Cursor>,
        stored: Option<(SiteId, Cursor)>,
        head: Option<i64>,
    ) {
        let run = self.run().cloned();
        let now = self.now.at;
        let (stated, digest) = self.take_statement(target).unzip();
        let Some(conn) = &mut self.conn else { return };
        let reference = conn.reference(run.as_ref());
        conn.asks.sent(target, &reference, now);
        if let Some(site) = target {
            conn.asks_site(site, now);
        }
        if conn.asked.len() >= MAX_ASKED {
            conn.asked.pop_front();
        }
        // Plain peers hear what is addressed to others, and answer it: with nothing, asked like this.
        let since_version = match target {
            Some(site) if conn.sites.contains_key(&site) => MAX_DB_VERSION,
            Some(_) | None => 0,
        };
        let request = SyncRequest {
            since_version,
            run,
            cursors: Some(cursors.iter().map(|(site, cursor)| (site.to_string(), cursor.clone())).collect()),
            head,
            to: target,
            reference: Some(reference.clone()),
            stored: stored.as_ref().map(|(_, cursor)| cursor.clone()),
            digest,
        };
        conn.asked.push_back(Asked { reference, cursors, stored, stated, answered: Vec::new() });
        self.send(Body::Request(request));
    }

    /// Something of this site is missing.
    pub(super) fn ask_for_gap(&mut self, site: SiteId) {
        let now = self.now.at;
        if !self.can_be_asked(site) {
            return;
        }
        let Some(conn) = &mut self.conn else { return };
        let pause = match &conn.mode {
            Mode::Storing(upload) if upload.log == site => LOG_GAP_PAUSE,
            Mode::Storing(_) | Mode::Plain(_) | Mode::Probing(_) | Mode::Records(_) => GAP_PAUSE,
        };
        let earliest = conn.paused_until(site, now).unwrap_or(now).max(now);
        conn.asks.for_gap(site, earliest, pause);
    }
}
