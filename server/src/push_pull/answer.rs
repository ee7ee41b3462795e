//! What the relay says in the push-pull contract: results of pushes, pages of pulls, and what it tells unasked. Builds
//! JSON from what a log returned; never decides what is stored. Called by `exchange`, and by `room` for news.

use std::collections::BTreeSet;

use crsqlite_sync::wire::{Change, push_pull, record};
use serde_json::{Map, Value, json};

use crate::log::core::{Item, Record, StoredRecord};

/// The result of a push: each id of the batch stands in one of the lists.
#[derive(Debug, Default)]
pub(super) struct PushResult {
    accepted: Vec<String>,
    conflicts: Vec<String>,
    errors: Vec<String>,
}

impl PushResult {
    /// `at` is the server's time, in milliseconds since 1970.
    pub(super) fn accept(&mut self, id: &str, at: i64) {
        self.accepted.push(json!({ "id": id, "serverTimestamp": record::iso(at) }).to_string());
    }

    pub(super) fn refuse(&mut self, id: &str, why: &str) {
        self.errors.push(json!({ "id": id, "error": why }).to_string());
    }

    /// Both sides; `before` is what the local one started from, where it says so.
    pub(super) fn conflict(&mut self, local: &Record, before: Option<&str>, remote: &Record) {
        let fields = field_conflicts(&local.data, before, &remote.data);
        let mut conflict = String::from("{");
        for (name, value) in [
            ("changeId", text(&local.id)),
            ("recordId", local.record_id.clone()),
            ("collection", text(&local.collection)),
            ("local", local.data.clone()),
            ("remote", remote.data.clone()),
            ("localTimestamp", text(&local.timestamp)),
            ("remoteTimestamp", text(&remote.timestamp)),
            ("fieldConflicts", json!(fields).to_string()),
        ] {
            field(&mut conflict, name, &value);
        }
        conflict.push('}');
        self.conflicts.push(conflict);
    }

    pub(super) fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (name, list) in
            [("accepted", &self.accepted), ("conflicts", &self.conflicts), ("errors", &self.errors)]
        {
            field(&mut out, name, &array(list));
        }
        out.push('}');
        out
    }
}

/// A page; `now` stamps the rows, whose own time nobody knows. `reset` is ours: other clients pass over it.
pub(super) fn page(items: &[Item], cursor: &str, more: bool, reset: bool, now: i64) -> String {
    let changes: Vec<String> = items
        .iter()
        .map(|item| match item {
            Item::Entry(change) => record::shown(change, now),
            Item::Record(StoredRecord { record, .. }) => shown(record),
        })
        .collect();
    let mut out = String::from("{");
    field(&mut out, "changes", &array(&changes));
    field(&mut out, "cursor", &text(cursor));
    field(&mut out, "hasMore", if more { "true" } else { "false" });
    if reset {
        field(&mut out, "reset", "true");
    }
    out.push('}');
    out
}

/// The frame that tells a connection what others have stored.
pub(crate) fn news<'a>(
    changes: impl IntoIterator<Item = &'a Change>,
    records: impl IntoIterator<Item = &'a Record>,
    now: i64,
) -> String {
    let rows = changes.into_iter().map(|change| record::shown(change, now));
    let list: Vec<String> = rows.chain(records.into_iter().map(shown)).collect();
    push_pull::encode("server_push", None, &array(&list))
}

fn shown(record: &Record) -> String {
    let mut out = String::from("{");
    for (name, value) in [
        ("id", text(&record.id)),
        ("collection", text(&record.collection)),
        ("recordId", record.record_id.clone()),
        ("type", text(record.kind.as_str())),
        ("data", record.data.clone()),
        ("timestamp", text(&record.timestamp)),
    ] {
        field(&mut out, name, &value);
    }
    out.push('}');
    out
}

/// The fields that both sides have changed, in different ways. Where nobody says from what, those that differ; none where
/// one side is deleted: then all of it is in conflict.
fn field_conflicts(local: &str, before: Option<&str>, remote: &str) -> Vec<String> {
    let fields = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
    let (Some(local), Some(remote)) = (fields(local), fields(remote)) else { return Vec::new() };
    let before = before.and_then(fields);
    let names: BTreeSet<&String> = local.keys().chain(remote.keys()).collect();
    let changed = |side: &Map<String, Value>, name: &str| {
        before.as_ref().is_none_or(|before| !same(before.get(name), side.get(name)))
    };
    let conflicts = |name: &str| {
        !same(local.get(name), remote.get(name)) && changed(&local, name) && changed(&remote, name)
    };
    names.into_iter().filter(|name| conflicts(name)).cloned().collect()
}

/// Whether JavaScript would take these for the same: `5` and `5.0` are one number.
fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(Value::Number(one)), Some(Value::Number(other))) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(Some(one), Some(other)))
        }
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            one.len() == other.len() && one.iter().all(|(name, value)| same(Some(value), other.get(name)))
        }
        (one, other) => one == other,
    }
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// `value` is JSON.
fn field(out: &mut String, name: &str, value: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&text(name));
    out.push(':');
    out.push_str(value);
}

/// `list` is JSON.
fn array(list: &[String]) -> String {
    format!("[{}]", list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_conflict_where_both_sides_have_changed_them_in_different_ways() {
        let (local, remote) =
            (r#"{"a":1,"b":2,"c":3,"d":[1,{"x":5}]}"#, r#"{"a":1.0,"b":7,"c":8,"d":[1,{"x":5.0}],"e":0}"#);
        assert_eq!(field_conflicts(local, None, remote), ["b", "c", "e"]);
        let before = r#"{"a":0,"b":2,"c":0,"d":null}"#;
        assert_eq!(field_conflicts(local, Some(before), remote), ["c"], "b is as it was, e was not there");
        assert_eq!(field_conflicts("null", None, remote), Vec::<String>::new());
    }

    #[test]
    fn an_object_is_written_with_commas_between_its_fields_only() {
        let mut result = PushResult::default();
        result.accept("a\"", 0);
        result.refuse("b", "no");
        let value: Value = serde_json::from_str(&result.to_json()).unwrap();
        let expected = json!({ "accepted": [{ "id": "a\"", "serverTimestamp": "1970-01-01T00:00:00.000Z" }],
            "conflicts": [], "errors": [{ "id": "b", "error": "no" }] });
        assert_eq!(value, expected);
    }
}
