//! What a client pushes: rows of cr-sqlite and ordinary records, read from the JSON of a push. Decides which records are
//! usable and which name a row; never whether one conflicts. Used by the endpoints before anything is stored.

use std::collections::HashSet;

use crsqlite_sync::wire::{Change, record};
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;

use super::moment;
use super::object;
use crate::log::core::{Kind, Record};

/// Longer names are nobody's, and would be kept for as long as the log.
const LONGEST_NAME: usize = 1_024;
/// Numbers up to here are the same to every reader.
const LARGEST_EXACT: f64 = 9_007_199_254_740_991.0;

/// Why a push cannot be read. Nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPush {
    #[error("a push is an object with `changes`, an array of records: {0}")]
    Malformed(String),
    #[error("the record at index {0} has no `id` that is text: no result could name it")]
    NoId(usize),
    #[error("a push of {0} records: at most {1} are taken")]
    TooMany(usize, usize),
}

/// One record of a push. Every id stands in a batch once: a record that is repeated says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    /// What its writer started from, where a record says so. JSON, an object.
    pub(crate) before: Option<String>,
    pub(crate) says: Says,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Says {
    Row(Change),
    /// One of an app's own collections.
    Record(Record),
    /// It will never be taken, in words for the client.
    Nothing(String),
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    changes: Vec<&'a RawValue>,
}

/// Every field as it came, so that one bad field costs no other record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    collection: Option<&'a RawValue>,
    #[serde(borrow)]
    record_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    prev_data: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

/// Reads the JSON of `{changes}`.
///
/// # Errors
/// When it is no such object, holds more than `most` records, or one whose fate no result could tell.
pub(crate) fn read(text: &str, most: usize) -> Result<Vec<Sent>, BadPush> {
    let push: Push<'_> = object(text).map_err(|error| BadPush::Malformed(error.to_string()))?;
    if push.changes.len() > most {
        return Err(BadPush::TooMany(push.changes.len(), most));
    }
    let (mut batch, mut known) = (Vec::with_capacity(push.changes.len()), HashSet::new());
    for (index, change) in push.changes.into_iter().enumerate() {
        let fields: Fields<'_> = object(change.get()).map_err(|_| BadPush::NoId(index))?;
        let id = string(fields.id).filter(|id| !id.is_empty()).ok_or(BadPush::NoId(index))?;
        if known.insert(id.clone()) {
            let says = match record::read_record(change.get()) {
                Some(Ok(row)) => Says::Row(row),
                Some(Err(bad)) => {
                    Says::Nothing(format!("{}: this is no row of cr-sqlite", bad.code.as_str()))
                }
                None => fields.record(&id).map_or_else(|why| Says::Nothing(why.to_owned()), Says::Record),
            };
            let before = object_text(fields.prev_data).ok().flatten();
            batch.push(Sent { id, before, says });
        }
    }
    Ok(batch)
}

impl Fields<'_> {
    fn record(&self, id: &str) -> Result<Record, &'static str> {
        let collection = string(self.collection).filter(|name| !name.is_empty());
        let collection = collection.ok_or("malformed-record: `collection` is no text")?;
        let record_id = self.record_id.and_then(|raw| name(raw.get()));
        let record_id = record_id.ok_or("malformed-record: `recordId` is neither text nor a number")?;
        if [id, &collection, &record_id].iter().any(|name| name.len() > LONGEST_NAME) {
            return Err("malformed-record: a name is too long");
        }
        let kind = string(self.kind).and_then(|name| Kind::from_name(&name));
        let kind = kind.ok_or("malformed-record: `type` is not create, update or delete")?;
        let data =
            object_text(self.data).map_err(|()| "malformed-record: `data` is neither an object nor null")?;
        let timestamp = string(self.timestamp).filter(|text| text.len() <= LONGEST_NAME);
        let at = timestamp.as_deref().and_then(moment::milliseconds);
        Ok(Record {
            id: id.to_owned(),
            collection,
            record_id,
            kind,
            // Deleted content leaves the server.
            data: data.filter(|_| kind != Kind::Delete).unwrap_or_else(|| "null".to_owned()),
            timestamp: timestamp.ok_or("malformed-record: `timestamp` is no text")?,
            made_at: at.ok_or("malformed-record: `timestamp` is no moment with a zone")?,
        })
    }
}

/// Text; nothing for half a surrogate pair, which no text of ours can hold.
fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

fn object_text(raw: Option<&RawValue>) -> Result<Option<String>, ()> {
    match raw.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(text) if text.starts_with('{') => Ok(Some(text.to_owned())),
        Some(_) => Err(()),
    }
}

/// The one spelling of a name: `7.0` is 7, and `"\u0061"` is `"a"`.
fn name(raw: &str) -> Option<String> {
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw).ok()?;
        return serde_json::to_string(&text).ok();
    }
    let number: Number = serde_json::from_str(raw).ok()?;
    let real = number.as_f64()?;
    #[allow(clippy::cast_possible_truncation)] // it has no fraction, and fits
    Some(if real.fract() == 0.0 && real.abs() <= LARGEST_EXACT {
        (real as i64).to_string()
    } else {
        Number::from_f64(real)?.to_string()
    })
}

#[cfg(test)]
mod tests {
    use crsqlite_sync::wire::{Pk, SiteId, Value};

    use super::*;

    const RECORD: &str = r#"{"id":"c1","collection":"todos","recordId":7,"type":"update","data":{"a": 1.0},
        "prevData":{"a":0},"timestamp":"2023-12-01T00:00:01.007Z","status":"pending"}"#;

    fn push(changes: &[&str]) -> Result<Vec<Sent>, BadPush> {
        read(&format!("{{\"changes\":[{}]}}", changes.join(",")), 10)
    }

    fn says(change: &str) -> Says {
        push(&[change]).unwrap().remove(0).says
    }

    fn row() -> Change {
        Change {
            table: "notes".into(),
            pk: Pk::pack(&[Value::Integer(1)]).unwrap(),
            cid: "body".into(),
            val: Value::Real(5.0),
            col_version: 1,
            db_version: 0,
            site_id: SiteId([7; 16]),
            cl: 1,
            seq: 0,
        }
    }

    #[test]
    fn an_ordinary_record_is_kept_as_it_was_written() {
        let sent = push(&[RECORD]).unwrap().remove(0);
        let Says::Record(record) = sent.says else { panic!("no record") };
        assert_eq!((record.collection.as_str(), record.record_id.as_str()), ("todos", "7"));
        assert_eq!((record.data.as_str(), sent.before.as_deref()), (r#"{"a": 1.0}"#, Some(r#"{"a":0}"#)));
        assert_eq!((record.kind, record.made_at), (Kind::Update, 1_701_388_801_007));
        let Says::Record(deleted) = says(&RECORD.replace("update", "delete")) else { panic!("no record") };
        assert_eq!((deleted.kind, deleted.data.as_str()), (Kind::Delete, "null"));
    }

    #[test]
    fn a_row_is_told_by_its_data_and_is_nothing_under_another_name() {
        let text = record::shown(&row(), 0);
        assert_eq!(says(&text), Says::Row(row()));
        let Says::Nothing(why) = says(&text.replace("\"5\"", "\"6\"")) else { panic!("taken") };
        assert!(why.starts_with("malformed-row"), "{why}");
    }

    #[test]
    fn names_have_one_spelling() {
        for (raw, expected) in [
            ("7", "7"),
            ("7.0", "7"),
            ("7e0", "7"),
            ("-0", "0"),
            ("0.5", "0.5"),
            ("\"7\"", "\"7\""),
            (r#""\u0061""#, "\"a\""),
        ] {
            assert_eq!(name(raw).as_deref(), Some(expected), "{raw}");
        }
        for raw in ["null", "{}", "[]", "true", r#""\ud800""#] {
            assert_eq!(name(raw), None, "{raw}");
        }
    }

    #[test]
    fn what_is_wrong_with_one_record_is_said_of_it_alone() {
        for (from, to) in [
            (r#""todos""#, "7"),
            (r#""todos""#, r#""""#),
            (r#""recordId":7"#, r#""recordId":null"#),
            (r#""update""#, r#""upsert""#),
            (r#"{"a": 1.0}"#, "[1]"),
            ("2023-12-01T00:00:01.007Z", "yesterday"),
            (r#""timestamp""#, r#""time""#),
        ] {
            let bad = RECORD.replace(from, to).replace("c1", "c2");
            let batch = push(&[&bad, RECORD]).unwrap();
            let [Sent { id, says: Says::Nothing(why), .. }, Sent { says: Says::Record(_), .. }] =
                batch.as_slice()
            else {
                panic!("{batch:?}")
            };
            assert!(id == "c2" && why.starts_with("malformed-record"), "{why}");
        }
    }

    #[test]
    fn a_repeated_id_stands_once_and_one_that_cannot_be_named_costs_the_push() {
        assert_eq!(push(&[RECORD, RECORD]).unwrap().len(), 1);
        for nameless in [
            "{}",
            "null",
            "[]",
            r#"{"id":7}"#,
            r#"["c1"]"#,
            r#"{"id":""}"#,
            r#"{"id":"a","id":"b"}"#,
            r#"{"id":"\udc00"}"#,
        ] {
            assert_eq!(push(&[RECORD, nameless]), Err(BadPush::NoId(1)), "{nameless}");
        }
    }

    #[test]
    fn what_is_no_push_is_refused_whole_and_nesting_costs_no_stack() {
        for text in
            ["", "[]", "{}", r#"{"changes":{}}"#, r#"{"changes":null}"#, r#"{"changes":[]} x"#, "[[]]"]
        {
            assert!(matches!(read(text, 10), Err(BadPush::Malformed(_))), "{text}");
        }
        assert_eq!(
            read(&format!("{{\"changes\":[{}]}}", [RECORD; 11].join(",")), 10),
            Err(BadPush::TooMany(11, 10))
        );
        let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
        let Says::Record(record) = says(&RECORD.replace("\"a\": 1.0", &format!("\"a\": {deep}"))) else {
            panic!("refused")
        };
        assert!(record.data.contains(&deep));
    }
}
