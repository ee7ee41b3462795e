//! Tells the app what keeps a transport from connecting: once for an outage, and once where it ends in a standstill.
//! Decides what is worth an `"error"` event; never what happens next. Called by `link`.

use std::cell::Cell;

use wasm_bindgen::prelude::*;

use super::Driver;
use crate::web::diagnostics::address;
use crate::web::error::SyncError;
use crate::web::events::EventName;
use crate::web::interop::field;

/// A server that is started anew is back by then.
const ATTEMPTS: u32 = 3;

/// What was told since the transport was last open.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// An attempt is being made: the next state is how it has ended.
    trying: Cell<bool>,
    failed: Cell<u32>,
    told: Cell<bool>,
    standing_still: Cell<bool>,
}

impl Outage {
    pub(super) fn over(&self) {
        self.trying.set(false);
        self.failed.set(0);
        self.told.set(false);
        self.standing_still.set(false);
    }
}

impl Driver {
    /// `status`: a `TransportStatus`.
    pub(super) fn tell_outage(&self, status: &JsValue) {
        let word = |name| field(status, name).as_string().unwrap_or_default();
        let outage = &self.outage;
        match word("state").as_str() {
            "open" => outage.over(),
            "connecting" => {
                outage.trying.set(true);
                outage.standing_still.set(false);
            }
            "waiting" if outage.trying.replace(false) && word("reason").starts_with("connect-") => {
                outage.failed.set(outage.failed.get().saturating_add(1));
                let cause = field(status, "cause");
                let worth = outage.failed.get() >= ATTEMPTS || !cause.is_undefined();
                if worth && !outage.told.replace(true) {
                    self.listeners.emit(EventName::Error, &self.unreachable(&cause).into());
                }
            }
            state @ ("failed" | "needs-auth")
                if !self.auth.is_asking() && !outage.standing_still.replace(true) =>
            {
                let (code, text) = match state {
                    "failed" => ("gave-up", ["the transport has failed: ", &word("reason")].concat()),
                    _ => ("needs-auth", "the server refuses the credentials".to_owned()),
                };
                let said = word("closeReason");
                let text = if said.is_empty() { text } else { [&text, ": ", &said].concat() };
                let error = SyncError::new(code, text);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
                let error = match field(status, "closeCode").as_f64() {
                    Some(code) => error.close_code(code as u16),
                    None => error,
                };
                self.listeners.emit(EventName::Error, &error.into());
            }
            _ => {}
        }
    }

    fn unreachable(&self, cause: &JsValue) -> SyncError {
        let url = field(&self.options.transport, "url").as_string();
        let server = url.map_or_else(|| "the server".to_owned(), |url| address(&url));
        let error = |why| {
            SyncError::new("connect-failed", ["no connection to ", &server, why].concat()).retryable(true)
        };
        if cause.is_undefined() {
            error(": is it running, and is this its path?")
        } else {
            error(": see the cause").cause(cause)
        }
    }
}
