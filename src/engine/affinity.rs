//! What SQLite makes of a value when it is stored in a column (sqlite.org/datatype3.html, section 3). cr-sqlite
//! compares an incoming value before that happens, so an unnormalised tie makes replicas differ for ever.
//! Called by [`super::txn`] for every row before it is merged.

use crate::text;
use crate::wire::Value;
use crate::wire::json::number;

/// A column's affinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Affinity {
    Integer,
    Text,
    #[default]
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// From the declared type, by SQLite's substring rules.
    #[must_use]
    pub fn of_declared_type(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| text::after(&declared, part).is_some();
        if has("INT") {
            Affinity::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if declared.is_empty() || has("BLOB") {
            Affinity::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }

    /// The value as a column of this affinity holds it.
    #[must_use]
    pub fn apply(self, value: Value) -> Value {
        match self {
            Affinity::Blob => value,
            Affinity::Text => match value {
                Value::Integer(n) => Value::Text(n.to_string()),
                Value::Real(x) => Value::Text(real_to_text(x)),
                Value::Null | Value::Text(_) | Value::RawText(_) | Value::Blob(_) => value,
            },
            Affinity::Integer | Affinity::Numeric => match numeric(value) {
                Value::Real(x) => exact_integer(x).map_or(Value::Real(x), Value::Integer),
                other => other,
            },
            #[allow(clippy::cast_precision_loss)] // SQLite does the same
            Affinity::Real => match numeric(value) {
                Value::Integer(n) => Value::Real(n as f64),
                other => other,
            },
        }
    }
}

/// Text that is a well-formed number becomes that number.
fn numeric(value: Value) -> Value {
    let Value::Text(text) = &value else { return value };
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let shaped = digits.bytes().next().is_some_and(|b| b.is_ascii_digit() || b == b'.')
        && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if !shaped {
        return value;
    }
    if let Ok(integer) = trimmed.parse::<i64>() {
        return Value::Integer(integer);
    }
    number::parse(trimmed).map_or(value, Value::real)
}

/// The integer that a REAL stands for, if it stands for one that SQLite would convert.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::float_cmp)]
fn exact_integer(x: f64) -> Option<i64> {
    let integer = x as i64;
    (integer as f64 == x && integer > i64::MIN && integer < i64::MAX).then_some(integer)
}

/// SQLite's `%!.15g`.
fn real_to_text(x: f64) -> String {
    if x.is_infinite() {
        return if x > 0.0 { "Inf".into() } else { "-Inf".into() };
    }
    if x == 0.0 {
        return "0.0".into();
    }
    let (digits, exponent) = number::digits(x, Some(15));
    let digits: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    let digits = digits.trim_end_matches('0');
    let sign = if x < 0.0 { "-" } else { "" };
    let or_zero = |digits: &str| if digits.is_empty() { "0".to_owned() } else { digits.to_owned() };
    if let Some(count) = usize::try_from(exponent).ok().filter(|exponent| *exponent < 15) {
        let padding = "0".repeat((count + 1).saturating_sub(digits.len()));
        let padded = [digits, &padding].concat();
        let (whole, fraction) = padded.split_at_checked(count + 1).unwrap_or((&padded, ""));
        return [sign, whole, ".", &or_zero(fraction)].concat();
    }
    if (-4..0).contains(&exponent) {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return [sign, "0.", &zeros, digits].concat();
    }
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
    let exponent_sign = if exponent < 0 { "-" } else { "+" };
    let padding = if exponent.abs() < 10 { "0" } else { "" };
    let power = exponent.unsigned_abs().to_string();
    [sign, first, ".", &or_zero(rest), "e", exponent_sign, padding, &power].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn declared_types_have_the_affinity_that_sqlite_gives_them() {
        for (declared, affinity) in [
            ("INTEGER", Affinity::Integer),
            ("bigint", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("varchar(20)", Affinity::Text),
            ("", Affinity::Blob),
            ("BLOB", Affinity::Blob),
            ("double precision", Affinity::Real),
            ("DECIMAL(10,5)", Affinity::Numeric),
            ("ANY", Affinity::Numeric),
        ] {
            assert_eq!(Affinity::of_declared_type(declared), affinity, "{declared}");
        }
    }

    #[test]
    fn a_value_becomes_what_the_column_would_hold() {
        for (affinity, from, to) in [
            (Affinity::Integer, Value::Real(5.0), Value::Integer(5)),
            (Affinity::Integer, Value::Real(5.5), Value::Real(5.5)),
            (Affinity::Integer, Value::Real(1e300), Value::Real(1e300)),
            (Affinity::Integer, text(" 12 "), Value::Integer(12)),
            (Affinity::Integer, text("1e3"), Value::Integer(1000)),
            (Affinity::Numeric, text("0x10"), text("0x10")),
            (Affinity::Numeric, text("inf"), text("inf")),
            (Affinity::Real, Value::Integer(5), Value::Real(5.0)),
            (Affinity::Real, text("5"), Value::Real(5.0)),
            (Affinity::Real, text("five"), text("five")),
            (Affinity::Text, Value::Integer(-7), text("-7")),
            (Affinity::Text, Value::Real(5.0), text("5.0")),
            (Affinity::Text, Value::Real(1e15), text("1.0e+15")),
            (Affinity::Text, Value::Real(0.0001), text("0.0001")),
            (Affinity::Text, Value::Real(-0.000_01), text("-1.0e-05")),
            (Affinity::Text, Value::Real(123_456.75), text("123456.75")),
            (Affinity::Text, Value::Blob(vec![1]), Value::Blob(vec![1])),
            (Affinity::Blob, Value::Integer(5), Value::Integer(5)),
            (Affinity::Integer, Value::Null, Value::Null),
        ] {
            assert_eq!(affinity.apply(from.clone()), to, "{affinity:?} {from:?}");
        }
    }
}
