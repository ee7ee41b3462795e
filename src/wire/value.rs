//! One SQLite value and its JSON form. Decides how each storage class is written so that nothing is lost on
//! the way through JSON: 64-bit integers, integral and infinite reals, blobs, text that is not UTF-8.
//! Used by `change` for `val`, and by whoever stores rows as JSON.

use super::bytes::{decode_base64, encode_base64};
use super::error::WireError;
use super::json::{self, Fault, Number, Reader};

/// The largest integer that every JSON reader keeps exactly (2^53 - 1).
const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// A value as SQLite stores it; its five storage classes, and text whose bytes are not UTF-8.
///
/// JSON: `null`; a string; an integer within ±(2^53-1), else `{"$int":"…"}`; a number with a fraction or an
/// exponent, `{"$real":"Infinity"}` where JSON has none; `{"$blob":"base64"}`; `{"$text":"base64"}`.
#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Integer(i64),
    /// Never NaN: SQLite stores NaN as NULL.
    Real(f64),
    Text(String),
    /// TEXT that is not valid UTF-8, byte for byte.
    RawText(Vec<u8>),
    Blob(Vec<u8>),
}

impl Value {
    /// A REAL; NaN becomes NULL, as in SQLite.
    #[must_use]
    pub fn real(value: f64) -> Self {
        if value.is_nan() { Value::Null } else { Value::Real(value) }
    }

    /// TEXT from its bytes.
    #[must_use]
    pub fn text_from_bytes(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Value::Text(text),
            Err(error) => Value::RawText(error.into_bytes()),
        }
    }

    /// About how many bytes the value takes on the wire.
    #[must_use]
    pub fn wire_size(&self) -> usize {
        match self {
            Value::Null => 4,
            Value::Integer(_) | Value::Real(_) => 20,
            Value::Text(text) => text.len() + 2,
            Value::RawText(bytes) | Value::Blob(bytes) => bytes.len() * 4 / 3 + 14,
        }
    }
}

/// Bitwise: `-0.0` and `0.0` are different values on the wire.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::RawText(a), Value::RawText(b)) | (Value::Blob(a), Value::Blob(b)) => a == b,
            (
                Value::Null
                | Value::Integer(_)
                | Value::Real(_)
                | Value::Text(_)
                | Value::RawText(_)
                | Value::Blob(_),
                _,
            ) => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// When the text is not the JSON of a value.
    pub fn from_json(text: &str) -> Result<Self, WireError> {
        Ok(json::parse(text, Value::read)?)
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    pub(super) fn write(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Integer(n) if n.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs() => {
                json::integer(out, *n)
            }
            Value::Integer(n) => {
                out.push_str("{\"$int\":\"");
                json::integer(out, *n);
                out.push_str("\"}");
            }
            Value::Real(x) if x.is_finite() => json::number::write(out, *x),
            Value::Real(x) => tagged(out, "$real", if *x > 0.0 { "Infinity" } else { "-Infinity" }),
            Value::Text(text) => json::text(out, text),
            Value::RawText(bytes) => tagged(out, "$text", &encode_base64(bytes)),
            Value::Blob(bytes) => tagged(out, "$blob", &encode_base64(bytes)),
        }
    }

    /// The form that comes back from JavaScript's numbers as what it was: they know no `5.0`, and lose the sign of
    /// `-0.0`.
    pub(super) fn write_for_objects(&self, out: &mut String) {
        match self {
            Value::Real(x) if x.is_finite() && x.fract() == 0.0 => {
                let mut text = String::new();
                json::number::write(&mut text, *x);
                tagged(out, "$real", text.strip_suffix(".0").unwrap_or(&text));
            }
            _ => self.write(out),
        }
    }

    #[allow(clippy::cast_precision_loss)] // as said
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(match reader.peek() {
            Some(b'n') => reader.null().map(|_| Value::Null)?,
            Some(b'"') => Value::Text(reader.owned()?),
            Some(b'{') => Value::read_tagged(reader)?,
            // SQLite has no booleans; a sender that passes JavaScript values through means 0 and 1.
            Some(b't' | b'f') => Value::Integer(reader.boolean()?.into()),
            _ => match reader.number()? {
                // Beyond i64 SQLite itself reads an integer literal as REAL.
                Number::Unsigned(n) => i64::try_from(n).map_or(Value::Real(n as f64), Value::Integer),
                Number::Negative(n) => Value::Integer(n),
                Number::Real(x) => Value::real(x),
            },
        })
    }

    fn read_tagged(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        reader.object()?;
        let mut first = true;
        let Some(tag) = reader.name(&mut first)? else {
            return Err(reader.fault("an empty object is no value"));
        };
        let text = reader.string()?;
        let value = match &*tag {
            "$int" => text.parse().map(Value::Integer).ok(),
            "$real" => parse_real(&text),
            "$blob" => decode_base64(&text).map(Value::Blob),
            "$text" => decode_base64(&text).map(Value::text_from_bytes),
            _ => None,
        };
        let value = value.ok_or_else(|| reader.fault("an object that is no value"))?;
        if reader.name(&mut first)?.is_some() {
            return Err(reader.fault("a value object has one key"));
        }
        Ok(value)
    }
}

fn tagged(out: &mut String, tag: &str, text: &str) {
    let mut object = json::Object::new(out);
    object.text(tag, text);
    object.end();
}

/// A decimal number or one of JavaScript's names for what JSON lacks; NaN is NULL.
fn parse_real(text: &str) -> Option<Value> {
    match text {
        "Infinity" => Some(Value::Real(f64::INFINITY)),
        "-Infinity" => Some(Value::Real(f64::NEG_INFINITY)),
        "NaN" => Some(Value::Null),
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => {
            json::number::parse(text).map(Value::real)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Value, String> {
        Value::from_json(json).map_err(|e| e.to_string())
    }

    fn write(value: &Value) -> String {
        value.to_json()
    }

    #[test]
    fn every_storage_class_comes_back_as_it_went() {
        let values = [
            Value::Null,
            Value::Integer(0),
            Value::Integer(MAX_SAFE_INTEGER),
            Value::Integer(MAX_SAFE_INTEGER + 1),
            Value::Integer(i64::MAX),
            Value::Integer(i64::MIN),
            Value::Real(5.0),
            Value::Real(-0.0),
            Value::Real(0.1 + 0.2),
            Value::Real(f64::MIN_POSITIVE),
            Value::Real(1e300),
            Value::Real(f64::INFINITY),
            Value::Real(f64::NEG_INFINITY),
            Value::Text(String::new()),
            Value::Text("a\u{0}b\u{10ffff}".into()),
            Value::RawText(vec![0x61, 0xff]),
            Value::Blob(vec![]),
            Value::Blob(vec![0, 255, 1]),
        ];
        for value in values {
            assert_eq!(read(&write(&value)), Ok(value.clone()), "{}", write(&value));
        }
    }

    #[test]
    fn a_real_stays_a_real_and_an_integer_an_integer() {
        assert_eq!(write(&Value::Real(5.0)), "5.0");
        assert_eq!(write(&Value::Integer(5)), "5");
        assert_eq!(read("5e0"), Ok(Value::Real(5.0)));
        assert_eq!(read(r#"{"$real":"5"}"#), Ok(Value::Real(5.0)));
        assert_eq!(read(r#"{"$int":"5"}"#), Ok(Value::Integer(5)));
        assert_eq!(read("18446744073709551615"), Ok(Value::Real(18_446_744_073_709_551_615.0)));
    }

    #[test]
    fn what_javascript_would_take_for_an_integer_is_tagged_for_its_objects() {
        for (real, text) in [
            (5.0, r#"{"$real":"5"}"#),
            (-0.0, r#"{"$real":"-0"}"#),
            (1e300, r#"{"$real":"1e+300"}"#),
            (0.5, "0.5"),
            (f64::INFINITY, r#"{"$real":"Infinity"}"#),
        ] {
            let mut out = String::new();
            Value::Real(real).write_for_objects(&mut out);
            assert_eq!(out, text);
            assert_eq!(read(text), Ok(Value::Real(real)));
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bad in [
            "{}",
            "[]",
            r#"{"$int":"1.5"}"#,
            r#"{"$int":"9223372036854775808"}"#,
            r#"{"$int":5}"#,
            r#"{"$real":"five"}"#,
            r#"{"$blob":"!"}"#,
            r#"{"$blob":"","x":1}"#,
            r#"{"a":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
