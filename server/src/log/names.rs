//! The names of values in compaction: the JSON of a short one, the digest of a long one, so that the log need not be
//! read to compare. Decides nothing else. Used by `program`, and by the statements that store values and find them.

use crsqlite_sync::wire::Value;
use sha2::{Digest as _, Sha256};

use super::core::exact;
use crate::error::Error;

/// Up to this many bytes of JSON a value is compared itself, beyond it by its digest.
const COMPARED_ITSELF: usize = 64;
/// No JSON text begins like a digest.
const DIGEST: char = '#';

/// The name of a value: its JSON, or the digest of a long one.
pub(super) fn of(value: &Value) -> String {
    let json = exact(value);
    digest(&json).unwrap_or(json)
}

/// The name of a stored value. Its JSON may have been written by a version that spells numbers differently.
pub(super) fn of_stored(stored: String) -> Result<String, Error> {
    if stored.starts_with(DIGEST) {
        return Ok(stored);
    }
    Value::from_json(&stored).map(|value| exact(&value)).map_err(|_| Error::CorruptLog("val"))
}

/// What is stored beside a long value. Long values are strings and blobs, which have one spelling.
pub(super) fn digest(json: &str) -> Option<String> {
    (json.len() > COMPARED_ITSELF).then(|| format!("{DIGEST}{:x}", Sha256::digest(json)))
}
