//! The replication state that lives in the replicated database, and what it means: which runs our clock has had,
//! what we have received of whom, what each log has stored of ours. Pure; read at the start of each transaction
//! and written at its end by [`super::txn`], so that a crash undoes it together with the rows it speaks of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::{Cursor, Run, SiteId};

/// How many runs are remembered; a cursor of an older one starts over.
const MAX_RUNS: usize = 64;

/// Where a run of our clock began: everything up to there is as the runs before it left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStart(pub Run, pub i64);

/// What one log has of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogState {
    /// Everything up to this version of our clock is stored there.
    pub uploaded: i64,
    /// Version ranges (both ends included) that applying this log's own messages made.
    #[serde(default)]
    pub ranges: Vec<(i64, i64)>,
    /// The highest place of the log that we have seen.
    #[serde(default)]
    pub stored: Option<Cursor>,
    /// The quarantine has been sent since *uploaded* was last reset.
    #[serde(default)]
    pub kept_sent: bool,
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
        *self = LogState::default();
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
    pub received: BTreeMap<SiteId, Cursor>,
    pub logs: BTreeMap<SiteId, LogState>,
    /// Where *received* goes back to when the schema changes: rows after it found no room in the quarantine.
    pub rewind: BTreeMap<SiteId, Cursor>,
    /// The schema version under which the quarantine was last tried.
    pub schema: i64,
    /// Up to where our own rows were handed to a plain relay.
    pub pushed: i64,
    pub first_synced: bool,
    pub last_synced_at: Option<i64>,
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
                    "received" => insert_json(&mut self.received, site, value),
                    "log" => insert_json(&mut self.logs, site, value),
                    "rewind" => insert_json(&mut self.rewind, site, value),
                    _ => {}
                }
            }
            None => match key {
                "db.high" => self.high = json(value).unwrap_or_default(),
                "runs" => self.runs = json(value).unwrap_or_default(),
                "tables" => self.tables = json(value),
                "account" => self.account = json(value),
                "current-log" => self.log = json(value),
                "schema" => self.schema = json(value).unwrap_or_default(),
                "pushed" => self.pushed = json(value).unwrap_or_default(),
                "first-synced" => self.first_synced = json(value).unwrap_or_default(),
                "last-synced-at" => self.last_synced_at = json(value),
                _ => {}
            },
        }
    }

    fn entries(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        let mut put = |key: String, value: Option<String>| {
            if let Some(value) = value {
                out.insert(key, value);
            }
        };
        put("db.high".into(), text(&self.high));
        put("runs".into(), text(&self.runs));
        put("tables".into(), self.tables.as_ref().and_then(text));
        put("account".into(), self.account.as_ref().and_then(text));
        put("current-log".into(), self.log.as_ref().and_then(text));
        put("schema".into(), text(&self.schema));
        put("pushed".into(), text(&self.pushed));
        put("first-synced".into(), text(&self.first_synced));
        put("last-synced-at".into(), self.last_synced_at.as_ref().and_then(text));
        for (site, cursor) in &self.received {
            put(format!("received/{site}"), text(cursor));
        }
        for (site, log) in &self.logs {
            put(format!("log/{site}"), text(log));
        }
        for (site, cursor) in &self.rewind {
            put(format!("rewind/{site}"), text(cursor));
        }
        out
    }

    /// What to write so that the stored entries say `self`, where they say `before` now.
    #[must_use]
    pub fn changes_since(&self, before: &Meta) -> Vec<(String, Option<String>)> {
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
        self.runs.push(RunStart(run, self.high.min(max)));
        if self.runs.len() > MAX_RUNS {
            self.runs.drain(..self.runs.len() - MAX_RUNS);
        }
    }

    /// The point of our clock after which somebody who asks with this cursor may lack rows.
    #[must_use]
    pub fn resolve(&self, cursor: Option<&Cursor>) -> i64 {
        let Some(cursor) = cursor else { return 0 };
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

    /// What the current log has of ours.
    #[must_use]
    pub fn current_log(&self) -> Option<&LogState> {
        self.log.and_then(|log| self.logs.get(&log))
    }
}

fn json<'a, T: Deserialize<'a>>(value: &'a str) -> Option<T> {
    serde_json::from_str(value).ok()
}

fn text<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn insert_json<T: for<'a> Deserialize<'a>>(map: &mut BTreeMap<SiteId, T>, site: SiteId, value: &str) {
    if let Some(value) = json(value) {
        map.insert(site, value);
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
        let site = SiteId([7; 16]);
        meta.log = Some(site);
        meta.received.insert(site, cursor("x", 4, Some(6)));
        let mut log = LogState { uploaded: 2, ..LogState::default() };
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
    fn a_garbled_entry_counts_as_absent() {
        let meta = Meta::read(&[("runs".into(), "{".into()), ("received/x".into(), "1".into())]);
        assert_eq!(meta, Meta::default());
    }
}
