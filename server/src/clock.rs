//! The relay's edge to the wall clock. Everything that decides gets the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods)] // the one place
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Seconds since 1970, as tokens state them.
pub(crate) fn now_seconds() -> i64 {
    now_ms() / 1_000
}
