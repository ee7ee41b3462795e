//! How cr-sqlite orders two values at a tie: by storage class first (INTEGER > REAL > TEXT > BLOB > NULL), then by
//! value within the class. Decides which of two equal versions stays. Called by `merge` and `local`.

use std::cmp::Ordering;

use crsqlite_sync::wire::Value;

/// `crsql_compare_sqlite_values(left, right)`.
#[must_use]
pub fn compare(left: &Value, right: &Value) -> Ordering {
    class(left).cmp(&class(right)).then_with(|| match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => left.cmp(right),
        (Value::Real(left), Value::Real(right)) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
        _ => bytes(left).cmp(bytes(right)),
    })
}

fn class(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Blob(_) => 1,
        Value::Text(_) | Value::RawText(_) => 2,
        Value::Real(_) => 3,
        Value::Integer(_) => 4,
    }
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Text(text) => text.as_bytes(),
        Value::RawText(bytes) | Value::Blob(bytes) => bytes,
        Value::Null | Value::Integer(_) | Value::Real(_) => &[],
    }
}
