//! The options of `HttpTransport`: what is accepted, what is assumed, and a clear `bad-option` for the rest.
//! Never asks a function of the app: that is the request's. Called by the class's constructor.

use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::request::text;
use crate::engine::options::{self, Given, number};
use crate::web::error::SyncError;
use crate::web::given::{bad, given};
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
    pub(super) fn parse(object: &JsValue) -> Result<Self, SyncError> {
        let url = field(object, "url");
        if !url.is_function() && text(&url).is_none() {
            return Err(bad(
                "new HttpTransport() needs an object with at least { url }, a string or a function",
            ));
        }
        let pull_by_get = options::by_get(&given(object, "pullMethod"))
            .ok_or_else(|| bad("pullMethod must be \"POST\" or \"GET\""))?;
        let timeout_ms = limit(number("timeoutMs", &given(object, "timeoutMs"), 0.0).map_err(bad)?);
        let ping_endpoint = match given(object, "pingEndpoint").or_null() {
            Given::Missing => String::new(),
            Given::Text(endpoint) => endpoint,
            Given::Null | Given::Bool(_) | Given::Number(_) | Given::Other => {
                return Err(bad("pingEndpoint must be a string"));
            }
        };
        let on_auth_required = match optional(object, "onAuthRequired") {
            None => None,
            Some(ask) => Some(ask.dyn_into().map_err(|_| bad("onAuthRequired must be a function"))?),
        };
        Ok(Options {
            url,
            headers: field(object, "headers"),
            pull_by_get,
            timeout_ms,
            fetch_options: field(object, "fetchOptions"),
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
