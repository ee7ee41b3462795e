//! What the app sees of a replica: the status object, the events, and who listens to them. Decides their JavaScript
//! shape (types.d.ts); a listener that throws becomes an error event, and never stops the others.
//! Called by the driver, with no borrow held.

use std::cell::{Cell, RefCell};

use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

use super::diagnostics::ErrorLog;
use super::error::{SyncError, report, report_thrown};
use super::interop::{field, has_method, object};
use super::store::site_to_hex;
use super::timer;
use crate::engine::replica::{State, Status};
use crate::engine::store::KeptRow;
use crate::sorted::SortedMap;
use crate::wire::{Pk, SiteId, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventName {
    Status,
    Applied,
    Rejected,
    Error,
}

impl EventName {
    pub(super) fn parse(name: &str) -> Result<Self, SyncError> {
        match name {
            "status" => Ok(EventName::Status),
            "applied" => Ok(EventName::Applied),
            "rejected" => Ok(EventName::Rejected),
            "error" => Ok(EventName::Error),
            _ => Err(SyncError::new(
                "bad-option",
                "on() knows the events \"status\", \"applied\", \"rejected\" and \"error\"",
            )),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            EventName::Status => "status",
            EventName::Applied => "applied",
            EventName::Rejected => "rejected",
            EventName::Error => "error",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Listeners {
    next: Cell<u32>,
    list: RefCell<Vec<(u32, EventName, Function)>>,
    logger: JsValue,
    pub(super) errors: ErrorLog,
}

impl Listeners {
    pub(super) fn new(logger: JsValue) -> Self {
        Listeners { logger, ..Listeners::default() }
    }

    /// The number that [`Listeners::remove`] wants.
    pub(super) fn add(&self, name: EventName, listener: Function) -> u32 {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        self.list.borrow_mut().push((id, name, listener));
        id
    }

    pub(super) fn remove(&self, id: u32) {
        self.list.borrow_mut().retain(|(other, _, _)| *other != id);
    }

    pub(super) fn emit(&self, name: EventName, value: &JsValue) {
        let listening = self.listening(name);
        if name == EventName::Error {
            self.errors.note(value);
        }
        if name == EventName::Error && listening.is_empty() && !self.log("error", value) {
            report(value);
        }
        for listener in listening {
            let Err(thrown) = listener.call1(&JsValue::UNDEFINED, value) else { continue };
            let what = format!("\"{}\"", name.as_str());
            if name == EventName::Error {
                report_thrown(&what, &thrown);
            } else {
                let error = SyncError::new("listener-threw", format!("a listener of {what} threw"));
                self.emit(EventName::Error, &error.cause(&thrown).into());
            }
        }
    }

    /// Tells the app's logger, or the console where there is none.
    pub(super) fn warn(&self, text: &str) {
        let text = text.into();
        if !self.log("warn", &text) {
            web_sys::console::warn_2(&"crsqlite-sync".into(), &text);
        }
    }

    /// Tells the app's logger, if it has one that listens.
    pub(super) fn log(&self, level: &str, what: &JsValue) -> bool {
        if !self.logger.is_object() || !has_method(&self.logger, level) {
            return false;
        }
        let method: Function = field(&self.logger, level).unchecked_into();
        if let Err(thrown) = method.call2(&self.logger, &"crsqlite-sync".into(), what) {
            report_thrown("the logger", &thrown);
        }
        true
    }

    fn listening(&self, name: EventName) -> Vec<Function> {
        let list = self.list.borrow();
        list.iter().filter(|(_, other, _)| *other == name).map(|(_, _, listener)| listener.clone()).collect()
    }
}

/// `SyncStatus`; `instead` takes the place of state and reason.
pub(super) fn status_object(status: &Status, instead: Option<(State, Option<&str>)>) -> JsValue {
    let (state, reason) = instead.unwrap_or((status.state, status.reason.as_deref()));
    let now = timer::now();
    let progress = object(&[
        ("received", count(status.progress.received)),
        ("sent", count(status.progress.sent)),
        ("remainingVersions", status.progress.remaining_versions.map_or(JsValue::UNDEFINED, count)),
    ]);
    object(&[
        ("state", state_word(state).into()),
        ("reason", reason.map_or(JsValue::UNDEFINED, JsValue::from)),
        ("pendingChanges", count(status.pending_changes)),
        ("oldestPendingAt", moment(status.oldest_pending_at)),
        ("lastSyncedAt", moment(status.last_synced_at)),
        ("verifiedAt", moment(status.verified_at)),
        ("quarantined", count(status.quarantined)),
        ("rejected", count(status.rejected)),
        ("retryAt", status.retry_at.map_or(JsValue::UNDEFINED, |at| timer::wall_at(at, now).into())),
        ("roundTripMs", status.round_trip.map_or(JsValue::UNDEFINED, |time| time.as_ms().into())),
        ("progress", progress),
    ])
}

pub(super) fn state_word(state: State) -> &'static str {
    match state {
        State::Stopped => "stopped",
        State::Standby => "standby",
        State::Offline => "offline",
        State::Connecting => "connecting",
        State::CatchingUp => "catching-up",
        State::Live => "live",
        State::NeedsAuth => "needs-auth",
        State::Failed => "failed",
    }
}

/// The most keys that one event names: each is an object, here and in every other tab.
const MOST_KEYS: usize = 5000;

/// Table → keys; without keys where there are too many.
pub(super) fn touched_tables(rows: &[(String, Pk)]) -> JsValue {
    let mut tables: SortedMap<&str, Array> = SortedMap::new();
    for (table, pk) in rows {
        let keys = tables.or_default(table);
        if rows.len() <= MOST_KEYS {
            keys.push(&pk.columns().iter().map(key_value).collect::<Array>());
        }
    }
    let fields: Vec<(&str, JsValue)> = tables.into_iter().map(|(table, keys)| (table, keys.into())).collect();
    object(&fields)
}

/// `AppliedEvent`.
pub(super) fn applied(from: SiteId, source: &str, tables: &JsValue) -> JsValue {
    object(&[("from", site_to_hex(from).into()), ("source", source.into()), ("tables", tables.clone())])
}

/// A list of `KeptRow`.
pub(super) fn kept_rows(rows: &[KeptRow]) -> JsValue {
    let list: Array = rows
        .iter()
        .map(|kept| {
            let row = js_sys::JSON::parse(&kept.row).unwrap_or_else(|_| kept.row.as_str().into());
            object(&[
                ("peer", site_to_hex(kept.peer).into()),
                ("code", kept.code.as_str().into()),
                ("row", row),
            ])
        })
        .collect();
    list.into()
}

/// A key column as JavaScript reads it from the database.
fn key_value(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        #[allow(clippy::cast_precision_loss)] // only where it is exact
        Value::Integer(number) if number.unsigned_abs() < 1 << 53 => (*number as f64).into(),
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => text.into(),
        Value::RawText(bytes) | Value::Blob(bytes) => js_sys::Uint8Array::from(bytes.as_slice()).into(),
    }
}

#[allow(clippy::cast_precision_loss)] // counts stay far below 2^53
pub(super) fn count(number: u64) -> JsValue {
    (number as f64).into()
}

#[allow(clippy::cast_precision_loss)] // milliseconds since 1970
pub(super) fn moment(wall_ms: Option<i64>) -> JsValue {
    wall_ms.map_or(JsValue::UNDEFINED, |ms| (ms as f64).into())
}
