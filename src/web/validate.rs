//! What a server of the push-pull contract may answer. Decides what is refused, with the contract's own messages, and
//! with `strict` also what its types say. Returns the very object that it was given.
//! Exported for apps, and called by the transports for every answer.

mod error;
mod strict;

use js_sys::{Array, Reflect, Set};
use wasm_bindgen::prelude::*;

use super::interop::{field, object};
use crate::engine::requests::Kind;
pub use error::SyncResponseValidationError;
use error::{Issue, refuse};

/// Checks the answer to a push.
///
/// # Errors
/// `SyncResponseValidationError`
#[wasm_bindgen(js_name = validatePushResult)]
pub fn push_result(value: &JsValue, options: &JsValue) -> Result<JsValue, JsValue> {
    check(check_push(value), strict::push(value), value, options)
}

/// Checks the answer to a pull.
///
/// # Errors
/// `SyncResponseValidationError`
#[wasm_bindgen(js_name = validatePullResult)]
pub fn pull_result(value: &JsValue, options: &JsValue) -> Result<JsValue, JsValue> {
    check(check_pull(value), strict::pull(value), value, options)
}

/// Checks changes that the server sends unasked.
pub(super) fn server_push(changes: &JsValue) -> Result<(), JsValue> {
    if !Array::is_array(changes) {
        return Err(refuse(&[Issue::new("Server push must be an array", "")]));
    }
    check_changes(changes).map_err(|issue| refuse(&[issue]))
}

/// Checks the answer to a request of a transport, and completes it.
pub(super) fn read(kind: Kind, changes: &JsValue, answer: &JsValue) -> Result<JsValue, JsValue> {
    match kind {
        Kind::Push => {
            let result = push_result(answer, &JsValue::UNDEFINED)?;
            complete(changes, &result);
            Ok(result)
        }
        Kind::Pull => pull_result(answer, &JsValue::UNDEFINED),
    }
}

fn check(
    first: Result<(), Issue>,
    strict: impl FnOnce() -> Vec<Issue>,
    value: &JsValue,
    options: &JsValue,
) -> Result<JsValue, JsValue> {
    first.map_err(|issue| refuse(&[issue]))?;
    if field(options, "strict").is_truthy() {
        let issues = strict();
        if !issues.is_empty() {
            return Err(refuse(&issues));
        }
    }
    Ok(value.clone())
}

fn check_push(value: &JsValue) -> Result<(), Issue> {
    if !value.is_object() {
        return Err(Issue::new("Push result must be an object", ""));
    }
    for (name, message) in [
        ("accepted", "Push result missing 'accepted' array"),
        ("conflicts", "Push result missing 'conflicts' array"),
        ("errors", "Push result missing 'errors' array"),
    ] {
        if !Array::is_array(&field(value, name)) {
            return Err(Issue::new(message, name));
        }
    }
    each(value, "accepted", |entry, path| {
        text(entry, "id", path, "Each 'accepted' entry must have a string 'id'")
    })?;
    each(value, "conflicts", |entry, path| {
        if !entry.is_object() {
            return Err(Issue::new("Each 'conflicts' entry must be an object", path));
        }
        text(entry, "changeId", path, "Each 'conflicts' entry must have a string 'changeId'")
    })?;
    each(value, "errors", |entry, path| {
        text(entry, "id", path, "Each 'errors' entry must have a string 'id'")
    })
}

fn check_pull(value: &JsValue) -> Result<(), Issue> {
    if !value.is_object() {
        return Err(Issue::new("Pull result must be an object", ""));
    }
    let changes = field(value, "changes");
    if !Array::is_array(&changes) {
        return Err(Issue::new("Pull result missing 'changes' array", "changes"));
    }
    check_changes(&changes)
}

fn check_changes(changes: &JsValue) -> Result<(), Issue> {
    each(&object(&[("changes", changes.clone())]), "changes", |entry, path| {
        if !entry.is_object() {
            return Err(Issue::new("Each 'changes' entry must be an object", path));
        }
        let id = field(entry, "id");
        if !id.is_string() && id.as_f64().is_none() {
            return Err(Issue::new("Each 'changes' entry must have an 'id' field", format!("{path}.id")));
        }
        text(entry, "collection", path, "Each 'changes' entry must have a string 'collection'")?;
        text(entry, "type", path, "Each 'changes' entry must have a string 'type'")
    })
}

fn text(entry: &JsValue, name: &str, path: &str, message: &'static str) -> Result<(), Issue> {
    if field(entry, name).is_string() { Ok(()) } else { Err(Issue::new(message, format!("{path}.{name}"))) }
}

/// Calls `rule` with each element of an array, and its path.
fn each(
    value: &JsValue,
    name: &str,
    mut rule: impl FnMut(&JsValue, &str) -> Result<(), Issue>,
) -> Result<(), Issue> {
    for (index, entry) in Array::from(&field(value, name)).iter().enumerate() {
        rule(&entry, &format!("{name}[{index}]"))?;
    }
    Ok(())
}

/// Makes a push result speak of exactly what was pushed: an id that it leaves out becomes an error, so that the engine
/// knows what to do with it, and an accepted id that nobody pushed is taken out.
fn complete(changes: &JsValue, result: &JsValue) {
    if !Array::is_array(changes) {
        return;
    }
    let pushed: Array = Array::from(changes).iter().map(|change| field(&change, "id")).collect();
    if pushed.length() == 0 {
        return;
    }
    let open = Set::new(&pushed);
    let accepted = Array::from(&field(result, "accepted"));
    let ours: Array = accepted.iter().filter(|entry| open.has(&field(entry, "id"))).collect();
    if ours.length() < accepted.length() {
        let _ = Reflect::set(result, &"accepted".into(), &ours);
    }
    for (list, id) in [("accepted", "id"), ("conflicts", "changeId"), ("errors", "id")] {
        for entry in Array::from(&field(result, list)).iter() {
            open.delete(&field(&entry, id));
        }
    }
    if open.size() == 0 {
        return;
    }
    let errors = Array::from(&field(result, "errors"));
    for id in pushed.iter().filter(|id| open.has(id)) {
        errors.push(&object(&[
            ("id", id),
            ("error", "The server's answer does not mention this change".into()),
            // Ours alone, to be told from an error that the server has stated.
            ("code", "not-mentioned".into()),
        ]));
    }
    let _ = Reflect::set(result, &"errors".into(), &errors);
}
