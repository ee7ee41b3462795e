//! The cursor of a pull: a place in the user's log, as one word of text that a client keeps and gives back. Decides how
//! it is spelled and what it is still worth; never reads a log. Used by `exchange`.

use std::collections::BTreeSet;
use std::fmt;

use crsqlite_sync::wire::{Cursor, Run, SiteId};
use sha2::{Digest as _, Sha256};

use crate::log::core::Start;

/// Spellings to come begin with another one. The first one did not name the log.
const SPELLING: &str = "2";
/// The longest that is looked at.
const LONGEST: usize = 200;

/// Which collections a pull asks for; none named are all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter(pub(crate) BTreeSet<String>);

impl Filter {
    /// Stands for the filter in a cursor; empty for all collections.
    fn name(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut hash = Sha256::new();
        for collection in &self.0 {
            hash.update(collection.len().to_be_bytes());
            hash.update(collection);
        }
        let hash: [u8; 32] = hash.finalize().into();
        beginning(&hash)
    }
}

/// Eight bytes, in hex.
fn beginning(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A place in a log, and what of the log was shown up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullCursor {
    pub(crate) place: Cursor,
    /// Stands for the log: those of all users are written in the runs of one server.
    log: String,
    /// See [`Filter::name`].
    filter: String,
}

impl PullCursor {
    pub(crate) fn new(place: Cursor, log: SiteId, filter: &Filter) -> Self {
        PullCursor { place, log: beginning(&log.0), filter: filter.name() }
    }

    /// `None` for what no relay of ours has spelled.
    fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut parts = text.split('.');
        let (spelling, place, run) = (parts.next()?, parts.next()?, parts.next()?);
        let (log, filter) = (parts.next()?.to_owned(), parts.next().unwrap_or_default().to_owned());
        if spelling != SPELLING || parts.next().is_some() {
            return None;
        }
        let (version, head) = match place.split_once('-') {
            Some((version, head)) => (version, Some(head.parse().ok()?)),
            None => (place, None),
        };
        let place = Cursor { run: Run::new(run)?, version: version.parse().ok()?, head };
        (place.version >= 0).then_some(PullCursor { place, log, filter })
    }

    /// Where a reader goes on who gives back this text. From the beginning, if it has passed over collections which are
    /// wanted now: it would hide them for ever. What is no cursor of this log stands for all of a log that is gone.
    pub(crate) fn start(text: Option<&str>, log: SiteId, filter: &Filter) -> Start {
        let Some(text) = text else { return Start::Offset(0) };
        match PullCursor::read(text).filter(|cursor| cursor.log == beginning(&log.0)) {
            Some(cursor) if cursor.filter.is_empty() || cursor.filter == filter.name() => {
                Start::Cursor(Some(cursor.place))
            }
            Some(_) => Start::Offset(0),
            None => Start::Cursor(Some(Cursor { run: Run::from_random(0), version: i64::MAX, head: None })),
        }
    }
}

/// Whether a log whose answer to `start` begins after `base` has lost some of what its reader was shown (a restored
/// backup). It is shown from the beginning then, so that its reader can compare and send what is missing.
pub(crate) fn is_lost(start: &Start, base: i64) -> bool {
    match start {
        Start::Cursor(Some(place)) => base < place.version,
        Start::Cursor(None) | Start::Offset(_) => false,
    }
}

impl fmt::Display for PullCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor { run, version, head } = &self.place;
        write!(f, "{SPELLING}.{version}")?;
        if let Some(head) = head {
            write!(f, "-{head}")?;
        }
        write!(f, ".{}.{}", run.as_str(), self.log)?;
        if self.filter.is_empty() { Ok(()) } else { write!(f, ".{}", self.filter) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::core::{Clock, RunStart};

    fn run(name: &str) -> Run {
        Run::new(name).unwrap()
    }

    fn clock() -> Clock {
        let start = |name, begin| RunStart { run: run(name), begin };
        Clock { head: 20, runs: vec![start("a", 0), start("b", 10)] }
    }

    fn only(collections: &[&str]) -> Filter {
        Filter(collections.iter().map(|&name| name.to_owned()).collect())
    }

    const LOG: SiteId = SiteId([0xab; 16]);

    fn text(name: &str, version: i64, head: Option<i64>, filter: &Filter) -> String {
        PullCursor::new(Cursor { run: run(name), version, head }, LOG, filter).to_string()
    }

    /// Where the answer begins, and whether something was lost.
    fn begin(text: Option<&str>, filter: &Filter) -> (i64, bool) {
        let start = PullCursor::start(text, LOG, filter);
        let base = clock().start(&start);
        (base, is_lost(&start, base))
    }

    fn resolve(text: &str, filter: &Filter) -> (i64, bool) {
        begin(Some(text), filter)
    }

    #[test]
    fn a_cursor_comes_back_as_it_went_and_needs_no_escapes_in_an_address() {
        for (head, filter) in [(None, only(&[])), (Some(19), only(&[])), (Some(19), only(&["a", "b"]))] {
            let text = text("0123456789abcdef", 7, head, &filter);
            let read = PullCursor::read(&text).unwrap();
            assert_eq!((read.place.version, read.place.head), (7, head));
            assert_eq!(read.to_string(), text);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)), "{text}");
        }
    }

    #[test]
    fn a_place_that_stands_is_gone_on_from_and_of_any_other_it_is_known_that_something_is_lost() {
        let all = only(&[]);
        assert_eq!(begin(None, &all), (0, false));
        assert_eq!(resolve(&text("b", 17, None, &all), &all), (17, false));
        assert_eq!(resolve(&text("a", 10, None, &all), &all), (10, false));
        for (gone, base) in [
            (text("a", 11, None, &all), 10),
            (text("b", 21, None, &all), 20),
            (text("b", 3, Some(21), &all), 0),
            (text("x", 3, None, &all), 0),
        ] {
            assert_eq!(resolve(&gone, &all), (base, true), "{gone}");
        }
        assert_eq!(resolve(&text("x", 0, None, &all), &all), (0, false), "nothing was claimed");
    }

    #[test]
    fn a_place_in_the_log_of_somebody_else_is_none_in_this_one() {
        let place = Cursor { run: run("b"), version: 17, head: None };
        let other = PullCursor::new(place, SiteId([0xba; 16]), &only(&[])).to_string();
        assert_eq!(resolve(&other, &only(&[])), (0, true));
    }

    #[test]
    fn what_is_no_cursor_of_ours_starts_from_the_beginning() {
        let garbage = [
            "",
            "2",
            "2.7",
            "2.7.b",
            "1.7.b",
            "1.7.b.abababababababab",
            "2.x.b.abababababababab",
            "2.-7.b.abababababababab",
            "2.7-.b.abababababababab",
            "2.7.b.abababababababab.f.g",
            "2.7.b.",
            "last",
            "2.7.",
            "é",
            "2.99999999999999999999.b.abababababababab",
        ];
        for text in garbage.map(str::to_owned).into_iter().chain(["9".repeat(10_000)]) {
            assert_eq!(resolve(&text, &only(&[])), (0, true), "{text}");
        }
    }

    #[test]
    fn a_cursor_that_has_passed_over_what_is_wanted_now_starts_from_the_beginning() {
        let (notes, both) = (only(&["notes"]), only(&["notes", "todos"]));
        assert_eq!(resolve(&text("b", 17, None, &notes), &notes), (17, false));
        assert_eq!(resolve(&text("b", 17, None, &notes), &both), (0, false));
        assert_eq!(resolve(&text("b", 17, None, &notes), &only(&[])), (0, false));
        assert_eq!(
            resolve(&text("b", 17, None, &only(&[])), &notes),
            (17, false),
            "it has passed over nothing"
        );
    }
}
