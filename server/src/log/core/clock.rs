//! The clock of a log: offsets that only grow, and the runs of the servers that wrote them. Decides what is left of
//! a place that somebody remembers; a place of a run that the log does not know means nothing.
//! Used by the logs to answer requests and to number what they append.

use crsqlite_sync::rules::{self, Rule};
use crsqlite_sync::wire::{Cursor, Run};

/// How many runs a log remembers.
pub const RUNS_KEPT: usize = 64;

/// One server's stretch of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStart {
    pub run: Run,
    /// The head when this run wrote first: what it wrote comes after.
    pub begin: i64,
}

/// Where the rows of an answer start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After what the requester remembers of this log; from the beginning when it remembers nothing.
    Cursor(Option<Cursor>),
    /// After an offset (a peer that knows only the seed, or the next page for it).
    Offset(i64),
}

/// How far one user's log has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clock {
    /// The highest offset ever given. A counter: compaction takes entries away, never the number.
    pub head: i64,
    /// The last [`RUNS_KEPT`] runs, the oldest first.
    pub runs: Vec<RunStart>,
}

impl Clock {
    /// The run in which the head is stated: the last recorded one, or `own` while nothing was ever written.
    #[must_use]
    pub fn run<'a>(&'a self, own: &'a Run) -> &'a Run {
        self.runs.last().map_or(own, |last| &last.run)
    }

    /// Whether somebody who remembers `cursor` has all of the log, and knows that.
    #[must_use]
    pub fn is_head(&self, own: &Run, cursor: &Cursor) -> bool {
        cursor.run == *self.run(own) && cursor.version == self.head && cursor.head.is_none()
    }

    /// How much of the log somebody has who remembers `cursor`.
    ///
    /// Offsets of an earlier run count up to where the runs after it began: beyond that they may have been given
    /// to other rows (a restored backup). A page of a snapshot that reached `head` may have left out rows which a
    /// restored log has again, so it counts for nothing once the log is known to end before that head.
    #[must_use]
    pub fn resolve(&self, cursor: &Cursor) -> i64 {
        if !rules::holds(Rule::LogRuns) {
            return cursor.version.min(self.head);
        }
        let Some(index) = self.runs.iter().rposition(|start| start.run == cursor.run) else { return 0 };
        let later = self.runs.iter().skip(index + 1).map(|start| start.begin);
        let bound = later.fold(self.head, i64::min);
        let cut_short = cursor.head.is_some_and(|head| bound < head) && rules::holds(Rule::LogPageHead);
        if cut_short { 0 } else { cursor.version.min(bound) }
    }

    /// The offset after which an answer starts.
    #[must_use]
    pub fn start(&self, start: &Start) -> i64 {
        match start {
            Start::Cursor(cursor) => cursor.as_ref().map_or(0, |cursor| self.resolve(cursor)),
            // A place that this log never had is of another log: sending rows twice is cheap.
            Start::Offset(offset) => Some(*offset).filter(|offset| *offset <= self.head).unwrap_or(0),
        }
    }

    /// Records `run` as the writer from here on, unless it is known. True if it was recorded.
    pub fn record(&mut self, run: &Run) -> bool {
        if self.runs.iter().any(|start| start.run == *run) {
            return false;
        }
        self.runs.push(RunStart { run: run.clone(), begin: self.head });
        let excess = self.runs.len().saturating_sub(RUNS_KEPT);
        self.runs.drain(..excess);
        true
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

    /// Run a wrote 1 to 10, b from 10 on, c from 15 on; the head is 20.
    fn clock() -> Clock {
        let start = |name, begin| RunStart { run: run(name), begin };
        Clock { head: 20, runs: vec![start("a", 0), start("b", 10), start("c", 15)] }
    }

    #[test]
    fn a_cursor_of_the_last_run_counts_up_to_the_head() {
        assert_eq!(clock().resolve(&cursor("c", 17, None)), 17);
        assert_eq!(clock().resolve(&cursor("c", 99, None)), 20);
    }

    #[test]
    fn a_cursor_of_an_earlier_run_counts_up_to_where_the_later_ones_began() {
        assert_eq!(clock().resolve(&cursor("a", 7, None)), 7);
        assert_eq!(clock().resolve(&cursor("a", 14, None)), 10);
        assert_eq!(clock().resolve(&cursor("b", 14, None)), 14);
        assert_eq!(clock().resolve(&cursor("b", 19, None)), 15);
    }

    #[test]
    fn a_restored_log_counts_from_the_lowest_begin_of_the_later_runs() {
        let mut clock = clock();
        clock.head = 12;
        assert!(clock.record(&run("d")));
        clock.head = 30;
        assert_eq!(clock.resolve(&cursor("b", 14, None)), 12);
        assert_eq!(clock.resolve(&cursor("c", 20, None)), 12);
        assert_eq!(clock.resolve(&cursor("d", 20, None)), 20);
    }

    #[test]
    fn a_cursor_of_an_unknown_run_counts_for_nothing() {
        assert_eq!(clock().resolve(&cursor("x", 7, None)), 0);
        assert_eq!(Clock::default().resolve(&cursor("a", 7, None)), 0);
    }

    #[test]
    fn a_page_of_a_snapshot_that_the_log_no_longer_reaches_counts_for_nothing() {
        assert_eq!(clock().resolve(&cursor("c", 3, Some(20))), 3);
        assert_eq!(clock().resolve(&cursor("c", 3, Some(21))), 0);
        assert_eq!(clock().resolve(&cursor("a", 3, Some(10))), 3);
        assert_eq!(clock().resolve(&cursor("a", 3, Some(11))), 0);
    }

    #[test]
    fn only_a_cursor_of_the_last_run_with_nothing_pending_is_at_the_head() {
        let (own, clock) = (run("own"), clock());
        assert!(clock.is_head(&own, &cursor("c", 20, None)));
        for behind in [cursor("c", 19, None), cursor("b", 20, None), cursor("c", 20, Some(20))] {
            assert!(!clock.is_head(&own, &behind), "{behind:?}");
        }
        assert!(Clock::default().is_head(&own, &cursor("own", 0, None)));
    }

    #[test]
    fn a_seeds_cursor_beyond_the_head_is_of_another_log_and_starts_over() {
        assert_eq!(clock().start(&Start::Offset(20)), 20);
        assert_eq!(clock().start(&Start::Offset(21)), 0);
        assert_eq!(clock().start(&Start::Cursor(None)), 0);
    }

    #[test]
    fn a_log_remembers_its_last_runs_only() {
        let mut clock = Clock::default();
        for n in 0..100 {
            clock.head = n;
            assert!(clock.record(&run(&format!("r{n}"))));
        }
        assert_eq!(clock.runs.len(), RUNS_KEPT);
        assert_eq!(clock.resolve(&cursor("r35", 35, None)), 0);
        assert_eq!(clock.resolve(&cursor("r36", 36, None)), 36);
        assert!(!clock.record(&run("r99")), "a run that is known begins once");
    }
}
