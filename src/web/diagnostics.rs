//! What a bug report may say: sizes, counts, codes, versions and names of tables. Decides what is told of an error, a
//! message and the bookkeeping; never tells a value, a key, a credential, or the words of somebody else.
//! Called by the driver, which gathers, and by the listeners, through which every error goes.

use std::cell::RefCell;

use js_sys::{Array, Date, Reflect};
use wasm_bindgen::prelude::*;

use super::events::{count, moment};
use super::interop::{field, object, parse_json};
use super::store::site_to_hex;
use crate::engine::replica::Frame;
use crate::queue::Queue;
use crate::text;

/// How many errors are remembered.
const ERRORS: usize = 50;
/// The errors whose messages we write ourselves. Others quote SQLite, a trigger, a server or a transport.
const OURS: [&str; 14] = [
    "account-changed",
    "cloned-database",
    "connect-failed",
    "database-busy",
    "database-closed",
    "inbox-overflow",
    "listener-threw",
    "malformed-message",
    "not-connected",
    "orphan-clock-table",
    "outbox-overflow",
    "remote-reset",
    "request-timeout",
    "unsupported-version",
];

/// The last errors that the app was told.
#[derive(Debug, Default)]
pub(super) struct ErrorLog(RefCell<Queue<JsValue>>);

impl ErrorLog {
    pub(super) fn note(&self, error: &JsValue) {
        let code = word(error, "code");
        let message = field(error, "message");
        let ours = code.as_string().is_some_and(|code| OURS.contains(&code.as_str()));
        let length = message.as_string().map_or(JsValue::UNDEFINED, |text| count(text.len() as u64));
        let (told, withheld) =
            if ours { (message, JsValue::UNDEFINED) } else { (JsValue::UNDEFINED, length) };
        let cause = field(error, "cause");
        let noted = object(&[
            ("at", Date::now().into()),
            ("code", code),
            ("message", told),
            ("withheld", withheld),
            ("retryable", field(error, "retryable")),
            ("status", number(&cause, "status")),
            ("closeCode", number(&cause, "closeCode")),
        ]);
        let mut list = self.0.borrow_mut();
        if list.len() == ERRORS {
            list.pop_front();
        }
        list.push_back(noted);
    }

    pub(super) fn told(&self) -> JsValue {
        array(&mut self.0.borrow().iter().cloned())
    }
}

fn number(of: &JsValue, name: &str) -> JsValue {
    Some(field(of, name)).filter(|value| value.as_f64().is_some()).unwrap_or_default()
}

/// A stable word, of ours or of a transport that uses such; a sentence is left out.
pub(super) fn word(of: &JsValue, name: &str) -> JsValue {
    let plain = |text: &String| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    field(of, name).as_string().filter(plain).map_or(JsValue::UNDEFINED, JsValue::from)
}

/// `TransportStatus`, without the server's words.
pub(super) fn transport(transport: &JsValue, status: &JsValue) -> JsValue {
    object(&[
        ("name", word(transport, "name")),
        ("protocol", word(transport, "protocol")),
        ("state", word(status, "state")),
        ("reason", word(status, "reason")),
        ("closeCode", number(status, "closeCode")),
        ("retryAt", number(status, "retryAt")),
    ])
}

/// An address without its query, and without a user's name and password.
pub(super) fn address(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some(rest) = text::after(text, "://") else { return text.to_owned() };
    let scheme = text.get(..text.len() - rest.len()).unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    let user = host.bytes().rposition(|byte| byte == b'@').map_or(0, |at| at + 1);
    [scheme, rest.get(user..).unwrap_or_default()].concat()
}

/// The bookkeeping as it stands in the database, and what else is known of it. A server's cursor and the name of the
/// account are somebody else's words: that there is one has to do.
pub(super) fn bookkeeping(state: &[(String, String)], more: &[(String, String)]) -> JsValue {
    let all = object(&[]);
    for (key, value) in state.iter().chain(more) {
        let parsed = parse_json(&value.into()).unwrap_or_default();
        if !field(&parsed, "cursor").is_undefined() {
            set(&parsed, "cursor", &JsValue::TRUE);
        }
        let told = if key == "account" { JsValue::TRUE } else { parsed };
        set(&all, key, &told);
    }
    all
}

pub(super) fn array(items: &mut dyn Iterator<Item = JsValue>) -> JsValue {
    let array = Array::new();
    for item in items {
        array.push(&item);
    }
    array.into()
}

/// A plain object takes every field.
pub(super) fn set(object: &JsValue, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &name.into(), value);
}

pub(super) fn frame(frame: &Frame) -> JsValue {
    let tables: Vec<(&str, JsValue)> =
        frame.tables.iter().map(|(table, rows)| (table.as_str(), (*rows).into())).collect();
    object(&[
        ("at", moment(Some(frame.wall_ms))),
        ("direction", if frame.sent { "sent" } else { "received" }.into()),
        ("type", frame.kind.into()),
        ("bytes", count(frame.bytes as u64)),
        ("from", frame.from.map_or(JsValue::UNDEFINED, |site| site_to_hex(site).into())),
        ("baseVersion", moment(frame.base)),
        ("currentVersion", moment(frame.current)),
        ("head", moment(frame.head)),
        ("rows", if tables.is_empty() { JsValue::UNDEFINED } else { object(&tables) }),
    ])
}
