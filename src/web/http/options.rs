//! The options of `HttpTransport`: what is accepted, what is assumed, and a clear `bad-option` for the rest.
//! Never asks a function of the app: that is the request's. Called by the class's constructor.

use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::request::text;
use crate::web::error::SyncError;
use crate::web::interop::field;

#[derive(Debug)]
pub(super) struct Options {
    /// A value, or a function that is asked for one.
    pub(super) url: JsValue,
    /// The same; undefined without any.
    pub(super) headers: JsValue,
    /// Pulls ask with GET.
    pub(super) pull_by_get: bool,
    pub(super) timeout_ms: Option<f64>,
    pub(super) fetch_options: JsValue,
    /// Empty without one.
    pub(super) ping_endpoint: String,
    pub(super) on_auth_required: Option<Function>,
}

impl Options {
    pub(super) fn parse(options: &JsValue) -> Result<Self, SyncError> {
        let url = field(options, "url");
        if !url.is_function() && text(&url).is_none() {
            return Err(bad(
                "new HttpTransport() needs an object with at least { url }, a string or a function",
            ));
        }
        let pull_by_get = match optional(options, "pullMethod") {
            None => false,
            Some(method) => match method.as_string().as_deref() {
                Some("POST") => false,
                Some("GET") => true,
                Some(_) | None => return Err(bad("pullMethod must be \"POST\" or \"GET\"")),
            },
        };
        let timeout_ms = match optional(options, "timeoutMs") {
            None => None,
            Some(ms) => {
                let ms = ms.as_f64().filter(|ms| *ms >= 0.0);
                limit(ms.ok_or_else(|| bad("timeoutMs must be a number, 0 or more"))?)
            }
        };
        let ping_endpoint = match optional(options, "pingEndpoint") {
            None => String::new(),
            Some(endpoint) => endpoint.as_string().ok_or_else(|| bad("pingEndpoint must be a string"))?,
        };
        let on_auth_required = match optional(options, "onAuthRequired") {
            None => None,
            Some(ask) => Some(ask.dyn_into().map_err(|_| bad("onAuthRequired must be a function"))?),
        };
        Ok(Options {
            url,
            headers: field(options, "headers"),
            pull_by_get,
            timeout_ms,
            fetch_options: field(options, "fetchOptions"),
            ping_endpoint,
            on_auth_required,
        })
    }
}

/// Milliseconds; `None` (no limit) for 0 and for what no clock can hold.
pub(super) fn limit(ms: f64) -> Option<f64> {
    const LONGEST: f64 = 9_007_199_254_740_991.0;
    (ms > 0.0 && ms <= LONGEST).then_some(ms)
}

fn optional(options: &JsValue, name: &str) -> Option<JsValue> {
    Some(field(options, name)).filter(|value| !value.is_undefined() && !value.is_null())
}

fn bad(message: &str) -> SyncError {
    SyncError::new("bad-option", message)
}
