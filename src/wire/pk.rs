//! The packed primary key, as `crsql_changes.pk` holds it. Decides what is a well-formed key and what its one
//! canonical form is: cr-sqlite unpacks keys without bounds checks, so a malformed one must never reach it.
//! Used by `change` on arrival, by the merge to compare with the local schema, by the relay to name rows.
//!
//! Layout: `[columns u8]`, then per column `[(n << 3) | type]`, `n` bytes big-endian, and for text and blobs
//! as many bytes as that number says. Types: 1 INTEGER, 2 REAL (no size bits, 8 bytes), 3 TEXT, 4 BLOB, 5 NULL.

use std::fmt;

use super::value::Value;
use crate::rules::{self, Rule};

const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;
const NULL: u8 = 5;

/// One column of a primary key.
pub type KeyColumn = Value;

/// A well-formed primary key in canonical packed form; equal keys have equal bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pk(Vec<u8>);

impl Pk {
    /// Packs key columns.
    ///
    /// `None` for no columns or for more than 255, which the format cannot say.
    #[must_use]
    pub fn pack(columns: &[KeyColumn]) -> Option<Self> {
        let count = u8::try_from(columns.len()).ok().filter(|&n| n > 0)?;
        let mut out = vec![count];
        for column in columns {
            match column {
                Value::Null => out.push(NULL),
                Value::Integer(n) => push_number(&mut out, INTEGER, n.cast_unsigned()),
                Value::Real(x) => {
                    out.push(REAL);
                    out.extend_from_slice(&x.to_be_bytes());
                }
                Value::Text(text) => push_bytes(&mut out, TEXT, text.as_bytes()),
                Value::RawText(bytes) => push_bytes(&mut out, TEXT, bytes),
                Value::Blob(bytes) => push_bytes(&mut out, BLOB, bytes),
            }
        }
        Some(Pk(out))
    }

    /// Reads the bytes of a message's `pk`: a packed key in any spelling, or the raw bytes of a single TEXT key
    /// (the seed's own example sends those), which are UTF-8 and do not begin with a control character: what does
    /// is a packed key that was damaged.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if !rules::holds(Rule::CheckedKeys) {
            return Some(Pk(bytes.to_vec()));
        }
        if let Some(columns) = unpack(bytes) {
            return Pk::pack(&columns);
        }
        match bytes.first() {
            None | Some(..0x20) => None,
            Some(_) => std::str::from_utf8(bytes).ok().and_then(|text| Pk::pack(&[Value::Text(text.into())])),
        }
    }

    /// The key's columns, in the order of the table's primary key.
    #[must_use]
    pub fn columns(&self) -> Vec<KeyColumn> {
        unpack(&self.0).unwrap_or_default()
    }

    /// The packed bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pk(")?;
        for byte in &self.0 {
            write!(f, "{byte:02X}")?;
        }
        write!(f, ")")
    }
}

/// The fewest bytes that hold the number as unsigned; none for 0.
fn push_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes = number.to_be_bytes();
    let skip = number.leading_zeros() as usize / 8;
    let used = bytes.get(skip..).unwrap_or_default();
    #[allow(clippy::cast_possible_truncation)] // at most 8
    out.push(((used.len() as u8) << 3) | kind);
    out.extend_from_slice(used);
}

fn push_bytes(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    push_number(out, kind, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The columns of anything that cr-sqlite has packed (`crsql_pack_columns`). `None` unless every byte is
/// accounted for.
#[must_use]
pub fn unpack(mut bytes: &[u8]) -> Option<Vec<KeyColumn>> {
    let columns = unpack_next(&mut bytes)?;
    bytes.is_empty().then_some(columns)
}

/// The first of several that stand one after the other; what comes after it is left.
#[must_use]
pub fn unpack_next(rest: &mut &[u8]) -> Option<Vec<KeyColumn>> {
    let (&count, tail) = rest.split_first()?;
    *rest = tail;
    if count == 0 {
        return None;
    }
    let mut columns = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        columns.push(unpack_column(rest)?);
    }
    Some(columns)
}

fn unpack_column(rest: &mut &[u8]) -> Option<KeyColumn> {
    let (&head, tail) = rest.split_first()?;
    *rest = tail;
    let (kind, size) = (head & 7, usize::from(head >> 3));
    match kind {
        INTEGER => number(rest, size).map(|n| Value::Integer(n.cast_signed())),
        REAL if size == 0 => {
            let bytes = take(rest, 8)?;
            let value = f64::from_be_bytes(bytes.try_into().ok()?);
            (!value.is_nan()).then_some(Value::Real(value))
        }
        TEXT | BLOB => {
            let length = usize::try_from(number(rest, size)?).ok()?;
            let bytes = take(rest, length)?.to_vec();
            Some(if kind == TEXT { Value::text_from_bytes(bytes) } else { Value::Blob(bytes) })
        }
        NULL if size == 0 => Some(Value::Null),
        _ => None,
    }
}

fn number(rest: &mut &[u8], size: usize) -> Option<u64> {
    if size > 8 {
        return None;
    }
    Some(take(rest, size)?.iter().fold(0, |n, &byte| (n << 8) | u64::from(byte)))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn keys_are_packed_as_crsqlite_packs_them() {
        for (value, packed) in [
            (Value::Integer(0), "0101"),
            (Value::Integer(1), "010901"),
            (Value::Integer(128), "010980"),
            (Value::Integer(256), "01110100"),
            (Value::Integer(-1), "0141FFFFFFFFFFFFFFFF"),
            (Value::Integer(i64::MAX), "01417FFFFFFFFFFFFFFF"),
            (Value::Real(1.5), "01023FF8000000000000"),
            (Value::Text(String::new()), "0103"),
            (Value::Text("a".into()), "010B0161"),
            (Value::Blob(vec![]), "0104"),
            (Value::Null, "0105"),
        ] {
            let key = Pk::pack(std::slice::from_ref(&value)).unwrap();
            assert_eq!(key.as_bytes(), hex(packed), "{value:?}");
            assert_eq!(key.columns(), vec![value]);
            assert_eq!(Pk::parse(key.as_bytes()), Some(key));
        }
    }

    #[test]
    fn a_long_spelling_of_a_key_becomes_the_canonical_one() {
        assert_eq!(Pk::parse(&hex("01110001")).unwrap().as_bytes(), hex("010901"));
        assert_eq!(Pk::parse(&hex("01130001" /* length 1 in two bytes */)), None);
        assert_eq!(Pk::parse(&hex("0113000161")).unwrap().as_bytes(), hex("010B0161"));
    }

    #[test]
    fn malformed_keys_are_refused() {
        for bad in [
            "",
            "00",
            "01",
            "0109",
            "01090100",
            "010B05",
            "010BFF61",
            "0106",
            "010A00",
            "0149FFFFFFFFFFFFFFFFFF",
        ] {
            assert_eq!(Pk::parse(&hex(bad)), None, "{bad}");
        }
    }

    #[test]
    fn raw_text_is_one_text_key() {
        let key = Pk::parse(b"msg-12345").unwrap();
        assert_eq!(key.columns(), vec![Value::Text("msg-12345".into())]);
        assert_eq!(Pk::parse(&[0xff, 0xfe]), None);
    }

    #[test]
    fn no_bytes_whatever_make_the_decoder_panic_and_every_key_it_takes_is_stable() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..200_000 {
            let mut bytes = Vec::new();
            for _ in 0..(seed % 14) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                bytes.push((seed >> 56) as u8 & if seed & 1 == 0 { 0x1f } else { 0xff });
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if let Some(key) = Pk::parse(&bytes) {
                assert_eq!(Pk::parse(key.as_bytes()), Some(key.clone()), "{bytes:?}");
            }
        }
    }
}
