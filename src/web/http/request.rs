//! What is given to `fetch`: the address and the plain object beside it. Decides which headers and which parameters
//! a server sees; never waits for an answer. Called by [`super::exchange`].

use js_sys::{Array, Function, JsString, Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::web::error::SyncError;
use crate::web::interop::{field, has_method, object};
use crate::wire::http::address;

#[wasm_bindgen]
extern "C" {
    // As JavaScript has it: a cursor that is a number is taken too.
    #[wasm_bindgen(catch, js_name = encodeURIComponent)]
    fn encode(value: &JsValue) -> Result<String, JsValue>;
}

/// What stays the same when a request is sent once more.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) endpoint: String,
    /// The query, encoded.
    pub(super) parameters: String,
    pub(super) body: Option<JsString>,
}

/// Whether the global has a `fetch` at this moment.
pub(super) fn is_available() -> bool {
    has_method(&js_sys::global(), "fetch")
}

/// A string, or an address as an object of class `URL`.
pub(super) fn text(url: &JsValue) -> Option<String> {
    url.as_string().or_else(|| if url.is_function() { None } else { field(url, "href").as_string() })
}

/// `cursor`, `collections` and `batchSize`, as far as they say anything.
pub(super) fn asked(options: &JsValue) -> [(&'static str, JsValue); 3] {
    ["cursor", "collections", "batchSize"].map(|name| {
        let value = field(options, name);
        let says_nothing = value.is_falsy() || (Array::is_array(&value) && Array::from(&value).length() == 0);
        (name, if says_nothing { JsValue::UNDEFINED } else { value })
    })
}

/// These as a query. A list is its key once for each item: `collections=a&collections=b`.
pub(super) fn query(parameters: &[(&str, JsValue)]) -> Result<String, JsValue> {
    let mut query = String::new();
    for (name, value) in parameters {
        let items = match value {
            value if value.is_undefined() => continue,
            value if Array::is_array(value) => Array::from(value),
            value => Array::of1(value),
        };
        for item in items.iter() {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
            query.push_str(&encode(&item)?);
        }
    }
    Ok(query)
}

impl Request {
    /// Calls the `fetch` that the global has now.
    pub(super) fn send(
        &self,
        base: &str,
        headers: &JsValue,
        fetch_options: &JsValue,
        signal: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let global = js_sys::global();
        let gone = |_| JsValue::from(SyncError::new("network", "the global has no fetch any more"));
        let fetch: Function = field(&global, "fetch").dyn_into().map_err(gone)?;
        let url = address(base, &self.endpoint, &self.parameters);
        fetch.call2(&global, &url.into(), &self.init(headers, fetch_options, signal))
    }

    /// What is ours stands above what the app wants besides.
    fn init(&self, headers: &JsValue, fetch_options: &JsValue, signal: &JsValue) -> JsValue {
        let body = self.body.as_ref().map_or(JsValue::UNDEFINED, JsValue::from);
        let ours = object(&[
            ("method", self.method.into()),
            ("headers", merged(headers)),
            ("body", body),
            ("signal", signal.clone()),
        ]);
        let init = Object::new();
        if let Some(options) = fetch_options.dyn_ref::<Object>() {
            Object::assign(&init, options);
        }
        for name in ["body", "signal"] {
            let _ = Reflect::delete_property(&init, &name.into());
        }
        Object::assign(&init, ours.unchecked_ref()).into()
    }
}

/// The contract's header and the app's, who may replace it under any case of its name.
fn merged(headers: &JsValue) -> JsValue {
    const OURS: &str = "Content-Type";
    // `Headers`, a `Map` and a list of pairs have `entries`.
    let headers = if has_method(headers, "entries") {
        Object::from_entries(headers).ok()
    } else {
        headers.dyn_ref().cloned()
    };
    let merged = object(&[(OURS, "application/json".into())]);
    for entry in headers.map(|headers| Object::entries(&headers)).unwrap_or_default().iter() {
        let entry: Array = entry.unchecked_into();
        let (name, value) = (entry.get(0), entry.get(1));
        if value.is_undefined() || value.is_null() {
            continue;
        }
        if name.as_string().is_some_and(|name| name.eq_ignore_ascii_case(OURS)) {
            let _ = Reflect::delete_property(merged.unchecked_ref::<Object>(), &OURS.into());
        }
        // A plain object takes every field.
        let _ = Reflect::set(&merged, &name, &value);
    }
    merged
}
