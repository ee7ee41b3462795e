//! What is in the logs, in words for whoever runs the relay. Decides what of a log is shown: values only when they are
//! asked for. Never writes to a log. Called by the command `inspect`.

use std::io::Write;

use crsqlite_sync::wire::{Change, Value, encode_base64};

use crate::error::Error;
use crate::log::core::{Item, Query, Record, Start};
use crate::log::{Held, Holding, Size, View};
use crate::user::{Owner, User};

/// A piece of a log that is read at once.
const PIECE_BYTES: usize = 1 << 20;

/// What of one log is listed.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Every entry of this table, or record of this collection.
    pub table: Option<String>,
    /// With what users have written.
    pub values: bool,
}

/// The largest logs, one a line.
///
/// # Errors
/// When the storage fails, or nobody takes the words.
pub async fn users(view: &mut dyn View, most: u32, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let (sizes, count) = view.largest(most).await?;
    let secret = view.log_secret().await?;
    writeln!(out, "{count} users")?;
    writeln!(out, "{:>14} {:>12} {:>12}  in logs   sub", "bytes", "rows", "head")?;
    for Size { owner, head, rows, bytes } in sizes {
        let tag = User::new(owner.clone(), &secret).tag();
        writeln!(out, "{bytes:>14} {rows:>12} {head:>12}  {tag}  {}", named(&owner))?;
    }
    Ok(())
}

/// One log.
///
/// # Errors
/// When the storage fails, or nobody takes the words.
pub async fn user(
    view: &mut dyn View,
    owner: &Owner,
    listing: &Listing,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let clock = view.clock(owner).await?;
    let user = User::new(owner.clone(), &view.log_secret().await?);
    writeln!(out, "user     {}, {} in logs", named(owner), user.tag())?;
    writeln!(out, "log      {}", encode_base64(&user.site_id.0))?;
    writeln!(out, "account  {}", user.account)?;
    writeln!(out, "head     {}", clock.head)?;
    for start in clock.runs.iter().rev() {
        writeln!(out, "run      {} from {}", plain(start.run.as_str()), start.begin)?;
    }
    let held = view.held(owner).await?;
    writeln!(out, "bytes    {}", held.iter().map(|held| held.bytes).sum::<i64>())?;
    writeln!(out, "\n{:>14} {:>12} {:>12} {:>12}", "bytes", "living", "deleted", "entries")?;
    for Held { of, name, living, deleted, entries, bytes } in held {
        let of = match of {
            Holding::Rows => "rows of",
            Holding::Records => "records of",
        };
        writeln!(out, "{bytes:>14} {living:>12} {deleted:>12} {entries:>12}  {of} {name:?}")?;
    }
    match &listing.table {
        Some(table) => list(view, owner, table, listing.values, out).await,
        None => Ok(()),
    }
}

/// All entries and records under one name, in the order of offsets.
async fn list(
    view: &mut dyn View,
    owner: &Owner,
    table: &str,
    values: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let collections = Some(vec![table.to_owned()]);
    let query = Query { collections, records: true, most: usize::MAX, budget: PIECE_BYTES };
    let mut base = 0;
    writeln!(out)?;
    loop {
        let feed = view.feed(owner, &Start::Offset(base), &query).await?;
        for item in &feed.items {
            // What a piece brings along of other places comes at its own.
            if (base + 1..=feed.current).contains(&item.offset()) {
                tell(item, values, out)?;
            }
        }
        if !feed.more || feed.current <= base {
            return Ok(());
        }
        base = feed.current;
    }
}

/// One entry or record, on a line of its own.
fn tell(item: &Item, values: bool, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let offset = item.offset();
    let val = match item {
        Item::Entry(Change { cid, col_version, cl, pk, val, .. }) => {
            let key: Vec<String> = pk.columns().iter().map(Value::to_json).collect();
            let key = plain(&key.join(", "));
            write!(out, "{offset:>14}  key ({key})  {cid:?}  col_version {col_version}  cl {cl}")?;
            val.to_json()
        }
        Item::Record(stored) => {
            let Record { id, record_id, kind, timestamp, data, .. } = &stored.record;
            let (kind, record_id) = (kind.as_str(), plain(record_id));
            write!(out, "{offset:>14}  record {record_id}  {kind} at {timestamp:?}  id {id:?}")?;
            data.clone()
        }
    };
    if values {
        write!(out, "  {}", plain(&val))?;
    }
    writeln!(out)?;
    Ok(())
}

fn named(owner: &Owner) -> String {
    match owner.namespace() {
        "" => format!("{:?}", owner.sub()),
        namespace => format!("{:?} of {namespace}", owner.sub()),
    }
}

/// JSON as it is, but for what would do something to a terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_have_written_does_nothing_to_a_terminal() {
        assert_eq!(plain("\"it's\\n fine — ok\""), "\"it's\\n fine — ok\"");
        for bad in ["\u{1b}[2J", "\u{9b}2J", "\u{202e}", "\r", "\n"] {
            assert!(plain(bad).starts_with('\\'), "{bad:?}");
        }
    }
}
