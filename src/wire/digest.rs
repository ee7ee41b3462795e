//! What two sides compare to know that they hold the same: of each table how many entries, and two sums over them.
//! Decides what an entry is worth, whoever wrote it and whenever; never when it is compared, nor with whom.
//! Called by `engine::txn`, which reads a database, and by relays, which read a log.

use sha2::{Digest as _, Sha256};

use super::SENTINEL;
use super::json::{self, Fault, Object, Reader};
use super::pk::Pk;
use super::value::Value;

/// What is stated of each table. A list as it came: to sort what a stranger sends would cost too much.
pub type Digest = Vec<(String, TableDigest)>;

/// What one table holds, in three numbers. Sums are wrapping, so that rows can be added in any order and in slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableDigest {
    /// One for each row that is known, living or dead, and one for each of its columns that has a clock.
    pub entries: u64,
    /// Over what the clocks say.
    pub clocks: u64,
    /// The same with the values. Only who knows the affinity of each column can tell which of tied values stays.
    pub values: u64,
}

impl TableDigest {
    /// Adds a row: its key, its causal length, and name, version and value of each column that has a clock.
    ///
    /// Whether there is a sentinel says nothing (a row that was moved onto a known one has none), so the row itself
    /// counts as one, once.
    pub fn add_row<'a>(
        &mut self,
        table: &str,
        pk: &Pk,
        cl: i64,
        columns: impl Iterator<Item = (&'a str, i64, &'a Value)>,
    ) {
        let mut packed = vec![
            Value::Text(table.to_owned()),
            Value::Blob(pk.as_bytes().to_vec()),
            Value::Text(SENTINEL.to_owned()),
            Value::Integer(cl),
            Value::Integer(cl),
        ];
        self.add_entry(&mut packed, Value::Null);
        for (cid, col_version, val) in columns {
            packed.truncate(2);
            packed.extend([Value::Text(cid.to_owned()), Value::Integer(col_version), Value::Integer(cl)]);
            self.add_entry(&mut packed, comparable(val));
        }
    }

    fn add_entry(&mut self, packed: &mut Vec<Value>, val: Value) {
        self.entries += 1;
        self.clocks = self.clocks.wrapping_add(short(packed));
        packed.push(val);
        self.values = self.values.wrapping_add(short(packed));
    }

    /// Adds what another slice of the same table has given.
    pub fn add(&mut self, slice: &TableDigest) {
        self.entries += slice.entries;
        self.clocks = self.clocks.wrapping_add(slice.clocks);
        self.values = self.values.wrapping_add(slice.values);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut first = true;
        reader.array()?;
        reader.next(&mut first)?;
        let entries = reader.unsigned()?;
        reader.next(&mut first)?;
        let clocks = read_sum(reader)?;
        reader.next(&mut first)?;
        let values = read_sum(reader)?;
        // What some later version adds.
        while reader.element(&mut first)? {
            reader.skip()?;
        }
        Ok(TableDigest { entries, clocks, values })
    }

    fn write(&self, out: &mut String) {
        out.push('[');
        json::unsigned(out, self.entries);
        for sum in [self.clocks, self.values] {
            out.push_str(",\"");
            for place in (0..16).rev() {
                let nibble = (sum >> (place * 4)) & 15;
                #[allow(clippy::cast_possible_truncation)] // four bits
                out.push(char::from_digit(nibble as u32, 16).unwrap_or_default());
            }
            out.push('"');
        }
        out.push(']');
    }
}

fn read_sum(reader: &mut Reader<'_>) -> Result<u64, Fault> {
    let text = reader.string()?;
    let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sum = u64::from_str_radix(&text, 16).ok().filter(|_| hex);
    sum.ok_or_else(|| reader.fault("a sum is 16 hex digits"))
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Digest, Fault> {
    let (mut digest, mut first) = (Vec::new(), true);
    reader.object()?;
    while let Some(table) = reader.name(&mut first)? {
        digest.push((table.into_owned(), TableDigest::read(reader)?));
    }
    Ok(digest)
}

pub(super) fn write(out: &mut String, digest: &[(String, TableDigest)]) {
    let mut tables = Object::new(out);
    for (table, sums) in digest {
        sums.write(tables.name(table));
    }
    tables.end();
}

/// SQLite takes `-0.0` and `0.0` for one value, so a merge leaves each where it is.
fn comparable(val: &Value) -> Value {
    match val {
        Value::Real(zero) if *zero == 0.0 => Value::Real(0.0),
        Value::Null
        | Value::Integer(_)
        | Value::Real(_)
        | Value::Text(_)
        | Value::RawText(_)
        | Value::Blob(_) => val.clone(),
    }
}

/// The first eight bytes of the SHA-256 of the packed columns.
fn short(columns: &[Value]) -> u64 {
    // A handful of columns always fits the format.
    let packed = Pk::pack(columns);
    let hash = Sha256::digest(packed.as_ref().map_or(&[][..], Pk::as_bytes));
    hash.iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: i64) -> Pk {
        Pk::pack(&[Value::Integer(n)]).unwrap()
    }

    /// Key, causal length, columns.
    type Row<'a> = (i64, i64, &'a [(&'a str, i64, Value)]);

    fn of(table: &str, rows: &[Row<'_>]) -> TableDigest {
        let mut sums = TableDigest::default();
        for (pk, cl, columns) in rows {
            sums.add_row(table, &key(*pk), *cl, columns.iter().map(|(cid, at, val)| (*cid, *at, val)));
        }
        sums
    }

    #[test]
    fn rows_count_in_any_order_and_in_slices() {
        let (one, two) = ((1, 1, &[("a", 2, Value::Null)][..]), (2, 2, &[][..]));
        let all = of("t", &[one, two]);
        assert_eq!(all, of("t", &[two, one]));
        let mut slices = of("t", &[one]);
        slices.add(&of("t", &[two]));
        assert_eq!((slices, all.entries), (all, 3));
    }

    #[test]
    fn whatever_the_clocks_and_the_values_say_counts() {
        let base = of("t", &[(1, 1, &[("a", 1, Value::Integer(5))])]);
        let others = [
            of("u", &[(1, 1, &[("a", 1, Value::Integer(5))])]),
            of("t", &[(2, 1, &[("a", 1, Value::Integer(5))])]),
            of("t", &[(1, 3, &[("a", 1, Value::Integer(5))])]),
            of("t", &[(1, 1, &[("b", 1, Value::Integer(5))])]),
            of("t", &[(1, 1, &[("a", 2, Value::Integer(5))])]),
        ];
        for other in others {
            assert!(other.clocks != base.clocks && other.values != base.values, "{other:?}");
        }
        for value in [Value::Integer(6), Value::Real(5.0), Value::Text("5".into()), Value::Null] {
            let other = of("t", &[(1, 1, &[("a", 1, value)])]);
            assert!(other.clocks == base.clocks && other.values != base.values, "{other:?}");
        }
    }

    #[test]
    fn what_sqlite_takes_for_one_value_is_one() {
        let with = |value| of("t", &[(1, 1, &[("a", 1, value)])]);
        assert_eq!(with(Value::Real(-0.0)), with(Value::Real(0.0)));
        assert_eq!(with(Value::RawText(b"x".to_vec())), with(Value::Text("x".into())));
        assert_ne!(with(Value::Real(0.0)), with(Value::Integer(0)));
    }

    #[test]
    fn sums_come_back_as_they_went_and_nothing_else_is_one() {
        let digest: Digest = vec![
            ("t".into(), TableDigest { entries: 3, clocks: 0x0123_4567_89ab_cdef, values: u64::MAX }),
            (String::new(), TableDigest::default()),
        ];
        let mut text = String::new();
        write(&mut text, &digest);
        assert_eq!(
            text,
            r#"{"t":[3,"0123456789abcdef","ffffffffffffffff"],"":[0,"0000000000000000","0000000000000000"]}"#
        );
        assert_eq!(json::parse(&text, read), Ok(digest));
        for bad in
            [r#"{"t":[1,"+123456789abcdef","0"]}"#, r#"{"t":[1,"0123456789abcdef"]}"#, r#"{"t":[-1]}"#, "[]"]
        {
            assert!(json::parse(bad, read).is_err(), "{bad}");
        }
    }
}
