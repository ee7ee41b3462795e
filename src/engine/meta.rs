//! The replication state that lives in the replicated database, and what it means: which runs our clock has had,
//! what we have received of whom, what each log has stored of ours. Pure; read at the start of each transaction
//! and written at its end by [`super::txn`], so that a crash undoes it together with the rows it speaks of.

use crate::rules::{self, Rule};
use crate::sorted::SortedMap;
use crate::wire::json::{self, Fault, Object, Reader};
use crate::wire::{Cursor, Run, SiteId};

/// How many runs are remembered; a cursor of an older one starts over.
const MAX_RUNS: usize = 64;

/// Where a run of our clock began: everything up to there is as the runs before it left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStart(pub Run, pub i64);

/// What one log has of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogState {
    /// Everything up to this version of our clock is stored there.
    pub uploaded: i64,
    /// Version ranges (both ends included) that applying this log's own messages made.
    pub ranges: Vec<(i64, i64)>,
    /// The highest place of the log that we have seen.
    pub stored: Option<Cursor>,
    /// The quarantine has been sent since *uploaded* was last reset.
    pub kept_sent: bool,
    /// Where the next pull from a server of the push-pull contract begins: the JSON that it gave us.
    pub cursor: Option<String>,
    /// What *uploaded* was when the last complete round of pulls began: all that is behind the cursor, if it counts.
    pub echoed: i64,
    /// The server has shown again what is behind the cursor: it may have started over.
    pub doubt: bool,
    /// The rows that it has refused are to be sent once more.
    pub resend: bool,
}

impl LogState {
    /// Notes that versions `after+1..=upto` were made by applying the log's own messages.
    pub fn note_range(&mut self, after: i64, upto: i64) {
        if upto <= after {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.1 >= after => last.1 = last.1.max(upto),
            Some(_) | None => self.ranges.push((after + 1, upto)),
        }
    }

    /// Moves *uploaded*, and drops what lies behind it.
    pub fn uploaded_to(&mut self, version: i64) {
        self.uploaded = self.uploaded.max(version);
        let uploaded = self.uploaded;
        self.ranges.retain(|range| range.1 > uploaded);
    }

    /// The log has less than it had: everything is sent again.
    pub fn reset(&mut self) {
        let ranges = if rules::holds(Rule::ResetDropsRanges) { Vec::new() } else { self.ranges.split_off(0) };
        *self = LogState { ranges, ..LogState::default() };
    }
}

/// The whole state for one remote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// The highest version that any leader of this database has recorded.
    pub high: i64,
    /// The runs of our clock, oldest first; the last is the current one.
    pub runs: Vec<RunStart>,
    /// The `tables` option of the last leader; `None` before the first.
    pub tables: Option<Option<Vec<String>>>,
    /// Whose log this database belongs to.
    pub account: Option<String>,
    /// The log that we last synced with.
    pub log: Option<SiteId>,
    pub received: SortedMap<SiteId, Cursor>,
    pub logs: SortedMap<SiteId, LogState>,
    /// Where *received* goes back to when the schema changes: rows after it found no room in the quarantine.
    pub rewind: SortedMap<SiteId, Cursor>,
    /// The schema version under which the quarantine was last tried.
    pub schema: i64,
    /// The head of our clock when the rows of the quarantine that the database refused were last tried, if there are any.
    pub refused: Option<i64>,
    /// Up to where our own rows were handed to a plain relay.
    pub pushed: i64,
    pub first_synced: bool,
    pub last_synced_at: Option<i64>,
    pub pending_since: Option<PendingSince>,
}

/// Since when something of ours waits to be stored (plain relay: to be pushed). Persisted: a reload is no news to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingSince {
    /// What was stored then,
    pub stored: i64,
    /// and the highest version that is known to have waited: with it stored, what waits is newer.
    pub upto: i64,
    /// Milliseconds since 1970.
    pub wall_ms: i64,
}

impl Meta {
    /// From the stored entries. An entry that cannot be read counts as absent: dropping a cursor is always safe.
    #[must_use]
    pub fn read(entries: &[(String, String)]) -> Self {
        let mut meta = Meta::default();
        for (key, value) in entries {
            meta.read_entry(key, value);
        }
        meta
    }

    fn read_entry(&mut self, key: &str, value: &str) {
        match key.split_once('/') {
            Some((kind, site)) => {
                let Some(site) = SiteId::from_base64(site) else { return };
                match kind {
                    "received" => insert(&mut self.received, site, value, Cursor::read),
                    "log" => insert(&mut self.logs, site, value, LogState::read),
                    "rewind" => insert(&mut self.rewind, site, value, Cursor::read),
                    _ => {}
                }
            }
            None => match key {
                "db.high" => self.high = read(value, Reader::integer).unwrap_or_default(),
                "runs" => self.runs = read(value, |reader| reader.list(RunStart::read)).unwrap_or_default(),
                "tables" => self.tables = read(value, read_tables),
                "account" => self.account = read(value, Reader::owned),
                "current-log" => self.log = read(value, SiteId::read),
                "schema" => self.schema = read(value, Reader::integer).unwrap_or_default(),
                "refused" => self.refused = read(value, Reader::integer),
                "pushed" => self.pushed = read(value, Reader::integer).unwrap_or_default(),
                "first-synced" => self.first_synced = read(value, Reader::boolean).unwrap_or_default(),
                "last-synced-at" => self.last_synced_at = read(value, Reader::integer),
                "pending-since" => self.pending_since = PendingSince::read(value),
                _ => {}
            },
        }
    }

    fn entries(&self) -> SortedMap<String, String> {
        let mut out = SortedMap::new();
        let mut put = |key: String, write: &dyn Fn(&mut String)| {
            let mut value = String::new();
            write(&mut value);
            out.insert(key, value);
        };
        put("db.high".into(), &|out| json::integer(out, self.high));
        put("runs".into(), &|out| json::array(out, &self.runs, |out, start| start.write(out)));
        if let Some(tables) = &self.tables {
            put("tables".into(), &|out| match tables {
                Some(tables) => json::array(out, tables, |out, table| json::text(out, table)),
                None => out.push_str("null"),
            });
        }
        if let Some(account) = &self.account {
            put("account".into(), &|out| json::text(out, account));
        }
        if let Some(log) = &self.log {
            put("current-log".into(), &|out| json::text(out, &log.to_string()));
        }
        put("schema".into(), &|out| json::integer(out, self.schema));
        if let Some(tried) = self.refused {
            put("refused".into(), &|out| json::integer(out, tried));
        }
        put("pushed".into(), &|out| json::integer(out, self.pushed));
        put("first-synced".into(), &|out| out.push_str(if self.first_synced { "true" } else { "false" }));
        if let Some(at) = self.last_synced_at {
            put("last-synced-at".into(), &|out| json::integer(out, at));
        }
        if let Some(since) = &self.pending_since {
            let parts = [since.stored, since.upto, since.wall_ms];
            put("pending-since".into(), &|out| {
                json::array(out, &parts, |out, part| json::integer(out, *part))
            });
        }
        for (site, cursor) in self.received.iter() {
            put(format!("received/{site}"), &|out| cursor.write(out));
        }
        for (site, log) in self.logs.iter() {
            put(format!("log/{site}"), &|out| log.write(out));
        }
        for (site, cursor) in self.rewind.iter() {
            put(format!("rewind/{site}"), &|out| cursor.write(out));
        }
        out
    }

    /// What to write so that the stored entries say `self`, where they say `before` now.
    #[must_use]
    pub fn changes_since(&self, before: &Meta) -> Vec<(String, Option<String>)> {
        if self == before {
            return Vec::new();
        }
        let (old, new) = (before.entries(), self.entries());
        let removed = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), None));
        let set = new
            .iter()
            .filter(|(key, value)| old.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), Some(value.clone())));
        removed.chain(set).collect()
    }

    /// The current run, once a leader has started.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.runs.last().map(|start| &start.0)
    }

    /// Begins a run of our clock, where `max` is the highest version in the database.
    ///
    /// Not at `max` alone: after a crash that undid transactions the app may have used their versions again before
    /// a leader started, and what was sent of the old ones lies above `high` as the crash left it.
    pub fn begin_run(&mut self, run: Run, max: i64) {
        let begin = if rules::holds(Rule::RunBeginsAtHigh) { self.high.min(max) } else { max };
        self.runs.push(RunStart(run, begin));
        if self.runs.len() > MAX_RUNS {
            self.runs.drain(..self.runs.len() - MAX_RUNS);
        }
    }

    /// The point of our clock after which somebody who asks with this cursor may lack rows.
    #[must_use]
    pub fn resolve(&self, cursor: Option<&Cursor>) -> i64 {
        let Some(cursor) = cursor else { return 0 };
        if !rules::holds(Rule::DeviceRuns) {
            return cursor.version;
        }
        let Some(place) = self.runs.iter().position(|start| start.0 == cursor.run) else { return 0 };
        match self.runs.iter().skip(place + 1).map(|start| start.1).min() {
            None => cursor.version,
            // A page may have left out rows that had moved above it and that the rollback brought back.
            Some(begin) if cursor.head.is_some_and(|head| begin < head) => 0,
            Some(begin) => cursor.version.min(begin),
        }
    }

    /// Whether `now` replicates a table that the last leader did not.
    #[must_use]
    pub fn gains_table(&self, now: Option<&Vec<String>>) -> bool {
        match (&self.tables, now) {
            (None | Some(None), _) => false,
            (Some(Some(_)), None) => true,
            (Some(Some(before)), Some(now)) => now.iter().any(|table| !before.contains(table)),
        }
    }

    /// Starts over with everybody: `tables` has gained one, whose rows nobody was sent and we took from nobody.
    pub fn forget_progress(&mut self) {
        self.runs.clear();
        self.received.clear();
        self.rewind.clear();
        self.pushed = 0;
        for log in self.logs.values_mut() {
            let stored = log.stored.take();
            log.reset();
            log.stored = stored;
        }
    }

    /// Forgets what was exchanged with the remote; our own clock stays.
    pub fn forget_exchange(&mut self) {
        self.received.clear();
        self.rewind.clear();
        self.pushed = 0;
        self.logs.values_mut().for_each(LogState::reset);
    }

    /// Notes whether anything waits that is not among what is `stored`, where `head` is our highest version.
    ///
    /// A write of its own costs a commit: what came while nothing was sent is added when the head is recorded anyway.
    pub fn note_pending(&mut self, any: bool, stored: i64, head: i64, wall_ms: i64) {
        self.pending_since = match self.pending_since {
            _ if !any => None,
            Some(since) if stored < since.upto => {
                let all_of_it = stored == since.stored && head <= self.high;
                Some(PendingSince { upto: if all_of_it { head } else { since.upto }, ..since })
            }
            Some(_) | None => Some(PendingSince { stored, upto: head, wall_ms }),
        };
    }

    /// What the current log has of ours.
    #[must_use]
    pub fn current_log(&self) -> Option<&LogState> {
        self.log.and_then(|log| self.logs.get(&log))
    }
}

fn read<'a, T>(value: &'a str, read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>) -> Option<T> {
    json::parse(value, read).ok()
}

fn insert<'a, T>(
    map: &mut SortedMap<SiteId, T>,
    site: SiteId,
    value: &'a str,
    form: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
) {
    if let Some(value) = read(value, form) {
        map.insert(site, value);
    }
}

fn read_tables(reader: &mut Reader<'_>) -> Result<Option<Vec<String>>, Fault> {
    if reader.null()? { Ok(None) } else { reader.list(Reader::owned).map(Some) }
}

fn read_range(reader: &mut Reader<'_>) -> Result<(i64, i64), Fault> {
    let mut first = true;
    reader.array()?;
    reader.next(&mut first)?;
    let from = reader.integer()?;
    reader.next(&mut first)?;
    let upto = reader.integer()?;
    reader.close()?;
    Ok((from, upto))
}

impl PendingSince {
    fn read(value: &str) -> Option<Self> {
        match read(value, |reader| reader.list(Reader::integer))?.as_slice() {
            [stored, upto, wall_ms] => Some(PendingSince { stored: *stored, upto: *upto, wall_ms: *wall_ms }),
            _ => None,
        }
    }
}

impl RunStart {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut first = true;
        reader.array()?;
        reader.next(&mut first)?;
        let run = Run::read(reader)?;
        reader.next(&mut first)?;
        let at = reader.integer()?;
        reader.close()?;
        Ok(RunStart(run, at))
    }

    fn write(&self, out: &mut String) {
        out.push('[');
        json::text(out, self.0.as_str());
        out.push(',');
        json::integer(out, self.1);
        out.push(']');
    }
}

impl LogState {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut log, mut uploaded) = (LogState::default(), None);
        let mut first = true;
        reader.object()?;
        while let Some(name) = reader.name(&mut first)? {
            match &*name {
                "uploaded" => uploaded = Some(reader.integer()?),
                "ranges" => log.ranges = reader.list(read_range)?,
                "stored" => log.stored = if reader.null()? { None } else { Some(Cursor::read(reader)?) },
                "kept_sent" => log.kept_sent = reader.boolean()?,
                "cursor" => log.cursor = Some(reader.owned()?),
                "echoed" => log.echoed = reader.integer()?,
                "doubt" => log.doubt = reader.boolean()?,
                "resend" => log.resend = reader.boolean()?,
                _ => {
                    reader.skip()?;
                }
            }
        }
        log.uploaded = uploaded.ok_or_else(|| reader.fault("missing").within("uploaded"))?;
        Ok(log)
    }

    fn write(&self, out: &mut String) {
        let mut log = Object::new(out);
        log.integer("uploaded", self.uploaded);
        json::array(log.name("ranges"), &self.ranges, |out, (from, upto)| {
            json::array(out, &[*from, *upto], |out, end| json::integer(out, *end));
        });
        match &self.stored {
            Some(stored) => stored.write(log.name("stored")),
            None => log.name("stored").push_str("null"),
        }
        log.name("kept_sent").push_str(if self.kept_sent { "true" } else { "false" });
        if let Some(cursor) = &self.cursor {
            log.text("cursor", cursor);
        }
        if self.echoed > 0 {
            log.integer("echoed", self.echoed);
        }
        log.flag("doubt", self.doubt);
        log.flag("resend", self.resend);
        log.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> Run {
        Run::new(name).unwrap()
    }

    fn cursor(name: &str, version: i64, head: Option<i64>) -> Cursor {
        Cursor { run: run(name), version, head }
    }

    fn with_runs(runs: &[(&str, i64)]) -> Meta {
        Meta { runs: runs.iter().map(|(name, at)| RunStart(run(name), *at)).collect(), ..Meta::default() }
    }

    #[test]
    fn a_cursor_counts_as_far_as_the_runs_since_agree_with_it() {
        let meta = with_runs(&[("a", 0), ("b", 7), ("c", 20)]);
        assert_eq!(meta.resolve(Some(&cursor("c", 25, None))), 25);
        assert_eq!(meta.resolve(Some(&cursor("b", 25, None))), 20);
        assert_eq!(meta.resolve(Some(&cursor("b", 12, None))), 12);
        assert_eq!(meta.resolve(Some(&cursor("a", 25, None))), 7);
        assert_eq!(meta.resolve(Some(&cursor("z", 25, None))), 0);
        assert_eq!(meta.resolve(None), 0);
    }

    #[test]
    fn a_page_of_a_snapshot_that_was_rolled_back_counts_for_nothing() {
        let meta = with_runs(&[("a", 0), ("b", 7)]);
        assert_eq!(meta.resolve(Some(&cursor("a", 5, Some(9)))), 0);
        assert_eq!(meta.resolve(Some(&cursor("a", 5, Some(7)))), 5);
    }

    #[test]
    fn a_run_begins_below_versions_that_a_crash_may_have_reused() {
        let mut meta = Meta { high: 5, ..Meta::default() };
        meta.begin_run(run("a"), 9);
        assert_eq!(meta.runs, vec![RunStart(run("a"), 5)]);
    }

    #[test]
    fn the_state_comes_back_as_it_was_written() {
        let mut meta = with_runs(&[("a", 3)]);
        meta.high = 9;
        meta.tables = Some(Some(vec!["t".into()]));
        meta.account = Some("me".into());
        meta.note_pending(true, 2, 9, 1_700_000_000_000);
        let site = SiteId([7; 16]);
        meta.log = Some(site);
        meta.received.insert(site, cursor("x", 4, Some(6)));
        let mut log = LogState { uploaded: 2, ..LogState::default() };
        (log.cursor, log.echoed, log.doubt, log.resend) = (Some("\"c\\n1\"".into()), 1, true, true);
        log.note_range(3, 4);
        log.note_range(4, 5);
        log.note_range(7, 8);
        assert_eq!(log.ranges, vec![(4, 5), (8, 8)]);
        meta.logs.insert(site, log);
        let written: Vec<_> = meta
            .changes_since(&Meta::default())
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        assert_eq!(Meta::read(&written), meta);
        let mut later = meta.clone();
        later.received.clear();
        assert_eq!(later.changes_since(&meta), vec![(format!("received/{site}"), None)]);
    }

    #[test]
    fn pending_since_is_when_the_oldest_that_waits_was_first_seen() {
        let mut meta = Meta { high: 5, ..Meta::default() };
        let mut noted = |any, stored, head, high, now| {
            meta.high = high;
            meta.note_pending(any, stored, head, now);
            meta.pending_since.map(|since| since.wall_ms)
        };
        assert_eq!(noted(true, 5, 6, 5, 100), Some(100), "written offline");
        assert_eq!(noted(true, 5, 9, 5, 200), Some(100), "and more");
        assert_eq!(noted(true, 5, 9, 9, 300), Some(100), "read for sending");
        assert_eq!(noted(true, 7, 9, 9, 400), Some(100), "a part of it is stored");
        assert_eq!(noted(true, 9, 11, 11, 500), Some(500), "all of it is, and newer rows wait");
        assert_eq!(noted(false, 11, 11, 11, 600), None);
    }

    #[test]
    fn a_garbled_entry_counts_as_absent() {
        let meta = Meta::read(&[("runs".into(), "{".into()), ("received/x".into(), "1".into())]);
        assert_eq!(meta, Meta::default());
    }
}
