//! What the contract's types say beyond what its validators always checked. Decides nothing by default: only for
//! `{ strict: true }`, and only about values that the ordinary checks have passed. Called by [`super`].

use js_sys::Array;
use wasm_bindgen::JsValue;

use super::error::Issue;
use crate::web::interop::field;

#[derive(Debug, Clone, Copy)]
enum Type {
    Text,
    TextOrNull,
    /// string or number
    Id,
    Boolean,
    ObjectOrNull,
    Texts,
    OneOfThree,
}

impl Type {
    fn holds(self, value: &JsValue) -> bool {
        match self {
            Type::Text => value.is_string(),
            Type::TextOrNull => value.is_string() || value.is_null(),
            Type::Id => value.is_string() || value.as_f64().is_some(),
            Type::Boolean => value.as_bool().is_some(),
            Type::ObjectOrNull => value.is_null() || (value.is_object() && !Array::is_array(value)),
            Type::Texts => Array::is_array(value) && Array::from(value).iter().all(|item| item.is_string()),
            Type::OneOfThree => {
                matches!(value.as_string().as_deref(), Some("create" | "update" | "delete"))
            }
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Type::Text => "a string",
            Type::TextOrNull => "a string or null",
            Type::Id => "a string or a number",
            Type::Boolean => "a boolean",
            Type::ObjectOrNull => "an object or null",
            Type::Texts => "an array of strings",
            Type::OneOfThree => "'create', 'update' or 'delete'",
        }
    }
}

type Fields = &'static [(&'static str, Type)];

const ACCEPTED: Fields = &[("serverTimestamp", Type::Text)];
const CONFLICTS: Fields = &[
    ("recordId", Type::Id),
    ("collection", Type::Text),
    ("local", Type::ObjectOrNull),
    ("remote", Type::ObjectOrNull),
    ("localTimestamp", Type::Text),
    ("remoteTimestamp", Type::Text),
    ("fieldConflicts", Type::Texts),
];
const ERRORS: Fields = &[("error", Type::Text)];
const CHANGES: Fields = &[
    ("id", Type::Text),
    ("recordId", Type::Id),
    ("type", Type::OneOfThree),
    ("data", Type::ObjectOrNull),
    ("timestamp", Type::Text),
];
const PAGE: Fields = &[("cursor", Type::TextOrNull), ("hasMore", Type::Boolean)];

pub(super) fn push(result: &JsValue) -> impl FnOnce() -> Vec<Issue> {
    let result = result.clone();
    move || {
        let lists = [("accepted", ACCEPTED), ("conflicts", CONFLICTS), ("errors", ERRORS)];
        lists.into_iter().flat_map(|(name, fields)| entries(&result, name, fields)).collect()
    }
}

pub(super) fn pull(result: &JsValue) -> impl FnOnce() -> Vec<Issue> {
    let result = result.clone();
    move || {
        let mut issues = entries(&result, "changes", CHANGES);
        issues.extend(object(&result, "", PAGE));
        issues
    }
}

fn entries(result: &JsValue, name: &str, fields: Fields) -> Vec<Issue> {
    let list = Array::from(&field(result, name));
    let checked = list.iter().enumerate();
    checked.flat_map(|(index, entry)| object(&entry, &format!("{name}[{index}]."), fields)).collect()
}

fn object(entry: &JsValue, prefix: &str, fields: Fields) -> Vec<Issue> {
    let wrong = fields.iter().filter(|(name, is)| !is.holds(&field(entry, name)));
    wrong
        .map(|(name, is)| {
            let path = format!("{prefix}{name}");
            Issue::new(format!("'{path}' must be {}", is.as_str()), path)
        })
        .collect()
}
