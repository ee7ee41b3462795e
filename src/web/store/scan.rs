//! Scanning changes in the order of their versions. Decides how many rows come at once, and stops at whole versions. Called
//! by `store`.
//!
//! `ORDER BY db_version` alone is what makes the scan lazy: cr-sqlite then walks the clock indexes instead of
//! sorting everything after the cursor for every page.

use std::ops::ControlFlow;

use super::connection::Connection;
use super::pace::Pace;
use super::read::{PACKED, ReadError, change, packed_change, rows_filter, tables_filter};
use super::statement::{Arg, Cell};
use crate::engine::store::{Budget, Page, Scan};
use crate::rules::{self, Rule};
use crate::wire::{Change, SiteId, unpack_next};

/// A scan reads this many rows at once to begin with, because they may be large; then what the page has room for.
const FIRST_STRETCH: usize = 4;
const LONGEST_STRETCH: usize = 512;
/// A version of more is read row by row, so that the page can breathe, and so that it is in memory once.
const LARGEST_VERSION: usize = 2048;
const LARGEST_VERSION_BYTES: usize = 4 << 20;

pub(super) async fn scan(
    connection: &mut Connection,
    own: SiteId,
    scan: &Scan,
    budget: Budget,
) -> Result<Page, ReadError> {
    let sql = format!(
        "SELECT {PACKED} AS change FROM crsql_changes WHERE db_version > ?1 AND db_version <= ?2{}{} \
         ORDER BY db_version",
        tables_filter(scan),
        rows_filter(&scan.rows, "site_id = crsql_site_id()")
    );
    let mut page = PageBuilder::new(scan, budget);
    let mut pace = Pace::start();
    if connection.is_utf8() && read_stretches(connection, own, &sql, &mut page, &mut pace).await? {
        return Ok(page.finish());
    }
    let mut malformed = false;
    connection
        .each_paced(&sql, &[Arg::Integer(page.last()), Arg::Integer(scan.upto)], &mut pace, &mut |row| {
            let Some(change) = packed_change(row.at(0), own) else {
                malformed = true;
                return ControlFlow::Break(());
            };
            page.add(change)
        })
        .await?;
    if malformed { Err(ReadError::Malformed) } else { Ok(page.finish()) }
}

/// Many rows in one value: the packed form says where each ends, and to step through rows costs more than to read them.
/// False where the rest has to be read row by row, because a version is too large.
async fn read_stretches(
    connection: &mut Connection,
    own: SiteId,
    sql: &str,
    page: &mut PageBuilder,
    pace: &mut Pace,
) -> Result<bool, ReadError> {
    let sql = format!("SELECT CAST(group_concat(change, '') AS BLOB) FROM ({sql} LIMIT ?3)");
    let mut most = FIRST_STRETCH;
    loop {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let args = [Arg::Integer(page.last()), Arg::Integer(page.upto), Arg::Integer(limit)];
        let row = connection.row(&sql, &args).await?;
        let bytes = match row.as_ref().map(|row| row.at(0)) {
            Some(Cell::Blob(bytes)) => bytes,
            Some(Cell::Null) => return Ok(true),
            _ => return Ok(false),
        };
        let Some(changes) = packed_changes(bytes, own) else { return Ok(false) };
        // The last version may go on where the stretch ends.
        let open = if changes.len() < most { None } else { changes.last().map(|last| last.db_version) };
        if open.is_some() && open == changes.first().map(|first| first.db_version) {
            let fit = LARGEST_VERSION_BYTES / (bytes.len() / changes.len()).max(1);
            let more = (most * 8).min(LARGEST_VERSION).min(fit);
            if more <= most {
                return Ok(false);
            }
            most = more;
            continue;
        }
        for change in changes {
            if Some(change.db_version) == open {
                break;
            }
            if page.add(change).is_break() {
                return Ok(true);
            }
        }
        if open.is_none() {
            return Ok(true);
        }
        most = page.room();
        pace.breathe().await;
    }
}

/// Takes changes in the order of their versions and cuts before the version that does not fit.
struct PageBuilder {
    budget: Budget,
    changes: Vec<Change>,
    bytes: usize,
    /// Where the version that is being read began in `changes`.
    version_start: usize,
    /// The last version that is whole.
    reached: i64,
    upto: i64,
    full: bool,
}

impl PageBuilder {
    fn new(scan: &Scan, budget: Budget) -> Self {
        PageBuilder {
            budget,
            changes: Vec::new(),
            bytes: 0,
            version_start: 0,
            reached: scan.after,
            upto: scan.upto,
            full: false,
        }
    }

    fn add(&mut self, change: Change) -> ControlFlow<()> {
        let last = self.changes.last().map(|last| last.db_version);
        if let Some(last) = last
            && last != change.db_version
        {
            self.reached = last;
            self.version_start = self.changes.len();
        }
        let bytes = self.bytes + change.wire_size();
        let over = self.changes.len() >= self.budget.changes || bytes > self.budget.bytes;
        if over
            && !rules::holds(Rule::WholeVersions)
            && let Some(last) = last
        {
            self.reached = last;
            self.full = true;
            return ControlFlow::Break(());
        }
        // The first version is taken whole, however large.
        if over && self.version_start > 0 {
            self.changes.truncate(self.version_start);
            self.full = true;
            return ControlFlow::Break(());
        }
        self.bytes = bytes;
        self.changes.push(change);
        ControlFlow::Continue(())
    }

    /// The version of the last change, or where the scan begins.
    fn last(&self) -> i64 {
        self.changes.last().map_or(self.reached, |last| last.db_version)
    }

    /// About how many more changes there is room for.
    fn room(&self) -> usize {
        let each = self.bytes / self.changes.len().max(1);
        let fit = self.budget.bytes.saturating_sub(self.bytes) / each.max(1);
        fit.min(self.budget.changes.saturating_sub(self.changes.len()))
            .clamp(FIRST_STRETCH / 2, LONGEST_STRETCH)
    }

    fn finish(mut self) -> Page {
        if !self.full {
            self.reached = self.upto;
        }
        Page { changes: self.changes, reached: self.reached }
    }
}

/// Changes that stand one after the other, in the order of their versions.
fn packed_changes(mut bytes: &[u8], own: SiteId) -> Option<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    while !bytes.is_empty() {
        let change = change(unpack_next(&mut bytes)?, own)?;
        if changes.last().is_some_and(|last| last.db_version > change.db_version) {
            return None;
        }
        changes.push(change);
    }
    Some(changes)
}
