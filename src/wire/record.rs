//! One change of cr-sqlite as one record of the push-pull contract, and what a server says of records that it was
//! given. Decides a record's name, which records are ours, and which of those are well formed; never what to send.
//! Called by `engine::replica`, which gets and gives JSON text, and by servers that keep records and rows in one log.

use sha2::{Digest, Sha256};

use super::bytes::{SiteId, decode_base64, encode_base64, encode_base64url};
use super::change::{BadRow, Change, Row, RowCode};
use super::error::WireError;
use super::json::{self, Fault, Object, Reader};
use super::pk::Pk;
use super::value::Value;

/// SHA-256 of what the change says, whoever sends it and whenever: the packed columns (see `pk`) of table, key, column,
/// typed value, `col_version`, `cl` and origin.
#[must_use]
pub fn digest(change: &Change) -> [u8; 32] {
    let columns = [
        Value::Text(change.table.clone()),
        Value::Blob(change.pk.as_bytes().to_vec()),
        Value::Text(change.cid.clone()),
        change.val.clone(),
        Value::Integer(change.col_version),
        Value::Integer(change.cl),
        Value::Blob(change.site_id.0.to_vec()),
    ];
    // Seven columns always fit the format.
    let packed = Pk::pack(&columns);
    Sha256::digest(packed.as_ref().map_or(&[][..], Pk::as_bytes)).into()
}

/// The name that every device gives this change: `id` and `recordId` of its record.
#[must_use]
pub fn id(change: &Change) -> String {
    encode_base64url(&digest(change))
}

/// The site that stands for a remote which has none: a server of the contract keeps records, and no clock.
#[must_use]
pub fn site_of(remote: &str) -> SiteId {
    let hash: [u8; 32] = Sha256::digest(remote.as_bytes()).into();
    let mut site = [0; 16];
    site.iter_mut().zip(hash).for_each(|(place, byte)| *place = byte);
    SiteId(site)
}

/// The JSON of what `push` is given: an array of `SyncChangeRecord`. Each change comes with its [`id`].
#[must_use]
pub fn write(changes: &[(String, Change)], wall_ms: i64) -> String {
    let mut out = String::new();
    let now = iso(wall_ms);
    json::array(&mut out, changes, |out, (id, change)| {
        let mut record = Object::new(out);
        record.text("id", id);
        record.text("collection", &change.table);
        record.text("recordId", id);
        record.text("type", "create");
        write_data(record.name("data"), change);
        record.name("prevData").push_str("null");
        record.text("timestamp", &now);
        record.text("status", "pending");
        record.integer("retries", 0);
        record.name("errorMessage").push_str("null");
        record.text("createdAt", &now);
        record.text("updatedAt", &now);
        record.end();
    });
    out
}

/// The change as a server's page shows it, stamped with the server's time: without what only its writer knows.
#[must_use]
pub fn shown(change: &Change, wall_ms: i64) -> String {
    let (mut out, id) = (String::new(), id(change));
    let mut record = Object::new(&mut out);
    record.text("id", &id);
    record.text("collection", &change.table);
    record.text("recordId", &id);
    record.text("type", "create");
    write_data(record.name("data"), change);
    record.text("timestamp", &iso(wall_ms));
    record.end();
    out
}

fn write_data(out: &mut String, change: &Change) {
    let mut data = Object::new(out);
    data.text("pk", &encode_base64(change.pk.as_bytes()));
    data.text("cid", &change.cid);
    change.val.write_for_objects(data.name("val"));
    data.integer("col_version", change.col_version);
    data.integer("cl", change.cl);
    data.text("site_id", &encode_base64(&change.site_id.0));
    data.end();
}

/// Reads the JSON of a page's `changes`. Records of other kinds are passed over; one of ours that is malformed, or that
/// is not what its name says, is kept with its text.
///
/// # Errors
/// When the text is no JSON array.
pub fn read(text: &str) -> Result<Vec<Row>, WireError> {
    // A page may be full of records that are not ours: none of those takes the place of a row.
    let records = json::parse(text, |reader| reader.list(Reader::skip))?;
    Ok(records.into_iter().filter_map(read_record).collect())
}

/// Reads one record. `None` for one that is not ours.
#[must_use]
pub fn read_record(text: &str) -> Option<Row> {
    let names = ["id", "recordId", "collection", "type", "data"];
    let [name, record, collection, kind, data] = fields(text, names)?;
    let data = Data::read(data?).filter(|_| kind != Some("\"delete\""))?;
    let row = data.change(collection).and_then(|change| {
        // A server may name its records anew, but not what they are about.
        let id = id(&change);
        let named = [record, name].into_iter().flatten().filter_map(string).any(|name| name == id);
        if named { Ok(change) } else { Err(RowCode::MalformedRow) }
    });
    Some(row.map_err(|code| BadRow { code, text: text.to_owned() }))
}

/// The JSON of these fields of an object, in this order; others are passed over. `None` for what is no object.
fn fields<'a, const N: usize>(text: &'a str, names: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut found = [None; N];
    find(text, &names, &mut found).ok().map(|()| found)
}

// Apart, so that the wasm holds it once.
fn find<'a>(text: &'a str, names: &[&str], found: &mut [Option<&'a str>]) -> Result<(), Fault> {
    json::parse(text, |reader| {
        let mut first = true;
        reader.object()?;
        while let Some(name) = reader.name(&mut first)? {
            let raw = reader.skip()?;
            let known = names.iter().position(|known| *known == name);
            if let Some(place) = known.and_then(|place| found.get_mut(place)) {
                *place = Some(raw);
            }
        }
        Ok(())
    })
}

/// The fields of a record's `data`, as the JSON of each.
struct Data<'a> {
    pk: &'a str,
    cid: &'a str,
    col_version: &'a str,
    cl: &'a str,
    val: Option<&'a str>,
    site_id: Option<&'a str>,
}

impl<'a> Data<'a> {
    /// `None` unless there is what an app's own collection would hardly have all at once.
    fn read(text: &'a str) -> Option<Self> {
        let names = ["pk", "cid", "col_version", "cl", "val", "site_id"];
        let [Some(pk), Some(cid), Some(col_version), Some(cl), val, site_id] = fields(text, names)? else {
            return None;
        };
        Some(Data { pk, cid, col_version, cl, val, site_id })
    }

    fn change(&self, collection: Option<&str>) -> Result<Change, RowCode> {
        let malformed = RowCode::MalformedRow;
        let text = |raw: Option<&str>| raw.and_then(string).ok_or(malformed);
        let integer = |raw: &str| json::parse(raw, Reader::integer).map_err(|_| malformed);
        let key = decode_base64(&text(Some(self.pk))?).and_then(|bytes| Pk::parse(&bytes));
        let site = SiteId::from_base64(&text(self.site_id)?);
        let change = Change {
            table: text(collection)?,
            pk: key.ok_or(RowCode::MalformedKey)?,
            cid: text(Some(self.cid))?,
            val: self.val.map_or(Ok(Value::Null), Value::from_json).map_err(|_| malformed)?,
            col_version: integer(self.col_version)?,
            // The clocks of senders have no meaning here: the record is the same whoever sent it.
            db_version: 0,
            site_id: site.ok_or(RowCode::MalformedSiteId)?,
            cl: integer(self.cl)?,
            seq: 0,
        };
        change.check().map(|()| change)
    }
}

fn string(raw: &str) -> Option<String> {
    json::parse(raw, Reader::owned).ok()
}

/// What became of a record that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The server has it.
    Accepted,
    /// The server has something else under this name.
    Conflict,
    /// The server will not take it, in its own words.
    Refused(String),
}

/// Reads the JSON of a `SyncPushResult`: the fate of each record that it names. An entry that says only that the
/// server did not mention a record (`code: "not-mentioned"`) says nothing; a conflict with what is equal is none.
///
/// # Errors
/// When it is no such object.
pub fn read_result(text: &str) -> Result<Vec<(String, Fate)>, WireError> {
    let lists = fields(text, ["accepted", "conflicts", "errors"]).filter(|lists| *lists != [None; 3]);
    let lists = lists.ok_or_else(|| WireError::Malformed("no result of a push".to_owned()))?;
    // Accepted first: where a server says two things of one record, the better one counts.
    let mut fates = Vec::new();
    for (list, is_error) in lists.into_iter().zip([false, false, true]) {
        let Some(list) = list else { continue };
        let entries = json::parse(list, |reader| reader.list(Reader::skip))?;
        fates.extend(entries.into_iter().filter_map(|entry| read_fate(entry, is_error)));
    }
    Ok(fates)
}

/// An entry of one of the three lists, which tell themselves apart by their fields.
fn read_fate(entry: &str, is_error: bool) -> Option<(String, Fate)> {
    let names = ["id", "changeId", "collection", "remote", "error", "code"];
    let [name, conflict, collection, remote, error, code] = fields(entry, names)?;
    if let Some(name) = conflict {
        let name = string(name)?;
        let remote = remote.and_then(Data::read).and_then(|data| data.change(collection).ok());
        let equal = remote.is_some_and(|change| id(&change) == name);
        return Some((name, if equal { Fate::Accepted } else { Fate::Conflict }));
    }
    let name = string(name?)?;
    match code {
        _ if !is_error => Some((name, Fate::Accepted)),
        Some("\"not-mentioned\"") => None,
        _ => Some((name, Fate::Refused(error.and_then(string).unwrap_or_default()))),
    }
}

/// The moment as JavaScript's `toISOString` writes it; years beyond four digits are cut off.
#[must_use]
pub fn iso(wall_ms: i64) -> String {
    const DAY: i64 = 86_400_000;
    let wall_ms = wall_ms.clamp(0, 253_402_300_799_999);
    let (days, rest) = (wall_ms / DAY, wall_ms % DAY);
    // Days since 0000-03-01, in eras of 400 years: the leap day is the last of its year.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (month, date) = ((month + 2) % 12 + 1, of_year - (153 * month + 2) / 5 + 1);
    let year = era * 400 + year + i64::from(month < 3);
    let parts = [
        (year, 4, '-'),
        (month, 2, '-'),
        (date, 2, 'T'),
        (rest / 3_600_000, 2, ':'),
        (rest / 60_000 % 60, 2, ':'),
        (rest / 1_000 % 60, 2, '.'),
        (rest % 1_000, 3, 'Z'),
    ];
    let mut out = String::new();
    for (number, width, after) in parts {
        let mut digits = String::new();
        json::integer(&mut digits, number);
        for _ in digits.len()..width {
            out.push('0');
        }
        out.push_str(&digits);
        out.push(after);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Change {
        Change {
            table: "notes".into(),
            pk: Pk::pack(&[Value::Integer(1)]).unwrap(),
            cid: "body".into(),
            val: Value::Real(5.0),
            col_version: 1,
            db_version: 7,
            site_id: SiteId(*b"abcdefghijklmnop"),
            cl: 1,
            seq: 3,
        }
    }

    fn record(change: &Change) -> String {
        write(&[(id(change), change.clone())], 0)
    }

    #[test]
    fn a_record_says_the_same_whoever_sends_it() {
        let change = change();
        let other = Change { db_version: 99, seq: 4, ..change.clone() };
        assert_eq!(record(&change), record(&other));
        let read = read(&record(&change)).unwrap();
        assert_eq!(read, vec![Ok(Change { db_version: 0, seq: 0, ..change })]);
    }

    #[test]
    fn a_page_shows_what_the_writer_has_sent() {
        let change = change();
        let shown = shown(&change, 1_701_388_801_007);
        let held = Change { db_version: 0, seq: 0, ..change.clone() };
        assert_eq!(read_record(&shown), Some(Ok(held)));
        let (data, sent) = (fields(&shown, ["data"]).unwrap(), record(&change));
        assert!(sent.contains(data[0].unwrap()));
        assert!(shown.ends_with(r#","timestamp":"2023-12-01T00:00:01.007Z"}"#), "{shown}");
    }

    #[test]
    fn whatever_a_change_says_is_in_its_name() {
        let change = change();
        let others = [
            Change { table: "note".into(), cid: "sbody".into(), ..change.clone() },
            Change { pk: Pk::pack(&[Value::Text("1".into())]).unwrap(), ..change.clone() },
            Change { val: Value::Integer(5), ..change.clone() },
            Change { val: Value::Text("5".into()), ..change.clone() },
            Change { val: Value::Blob(b"5".to_vec()), ..change.clone() },
            Change { val: Value::Null, ..change.clone() },
            Change { col_version: 2, ..change.clone() },
            Change { cl: 3, ..change.clone() },
            Change { site_id: SiteId([0; 16]), ..change.clone() },
        ];
        for other in others {
            assert_ne!(id(&other), id(&change), "{other:?}");
        }
    }

    #[test]
    fn a_record_that_is_not_what_its_name_says_is_kept_aside() {
        let text = record(&change()).replace("{\"$real\":\"5\"}", "{\"$real\":\"6\"}");
        let rows = read(&text).unwrap();
        let bad = rows[0].as_ref().unwrap_err();
        assert_eq!(bad.code, RowCode::MalformedRow);
        assert_eq!(format!("[{}]", bad.text), text);
    }

    #[test]
    fn of_two_fates_the_better_one_comes_first() {
        let text = r#"{"errors":[{"id":"a","error":"no"},{"id":"c","error":"?","code":"not-mentioned"}],
            "conflicts":[{"changeId":"b","collection":"notes","remote":{}}],"accepted":[{"id":"a"}],"more":1}"#;
        assert_eq!(
            read_result(text).unwrap(),
            vec![
                ("a".into(), Fate::Accepted),
                ("b".into(), Fate::Conflict),
                ("a".into(), Fate::Refused("no".into())),
            ]
        );
        assert!(read_result("[]").is_err());
        assert!(read_result("{}").is_err());
    }

    #[test]
    fn a_conflict_with_what_is_equal_is_none() {
        let change = change();
        let mut remote = String::new();
        write_data(&mut remote, &change);
        let conflict = |remote: &str| {
            let name = id(&change);
            let text = format!(
                r#"{{"conflicts":[{{"changeId":"{name}","collection":"notes","remote":{remote}}}]}}"#
            );
            read_result(&text).unwrap()[0].1.clone()
        };
        assert_eq!(conflict(&remote), Fate::Accepted);
        assert_eq!(conflict(&remote.replace(":\"5\"", ":\"6\"")), Fate::Conflict);
        assert_eq!(conflict("null"), Fate::Conflict);
    }

    #[test]
    fn moments_are_written_as_javascript_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_701_388_801_007, "2023-12-01T00:00:01.007Z"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (-1, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso(ms), text);
        }
    }
}
