//! The push-pull contract (PROTOCOL section 12) over the same logs as the relay protocol: HTTP endpoints, and the same
//! over a socket. Decides what of a push is a row and what an ordinary record; never what stays, which is `log::core`'s.
//! Routed by `http`; whatever one protocol stores, the room tells to the connections of both.

mod absent;
mod answer;
mod batch;
mod cursor;
mod endpoints;
mod exchange;
mod live;
mod moment;
mod query;
mod refused;

use serde::Deserialize;

pub(crate) use self::absent::absent;
pub(crate) use self::answer::news;
pub(crate) use self::endpoints::routes;

/// Reads a JSON object; serde would take an array for one, by the order of its fields. The error names a place only, for
/// its words could quote what was sent.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, NoObject> {
    if !text.trim_start().starts_with('{') {
        return Err(NoObject { line: 1, column: 0 });
    }
    serde_json::from_str(text).map_err(|error| NoObject { line: error.line(), column: error.column() })
}

/// Where reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}")]
struct NoObject {
    line: usize,
    column: usize,
}
