//! What JavaScript hands in, as [`crate::engine::options`] sees it. Decides nothing: what is taken and what it means is
//! said there. Called by the constructors' parsers.

use wasm_bindgen::JsValue;

use super::error::SyncError;
use super::interop::field;
use crate::engine::options::Given;

/// A field of an object.
pub(super) fn given(object: &JsValue, name: &str) -> Given {
    as_given(&field(object, name))
}

pub(super) fn as_given(value: &JsValue) -> Given {
    if value.is_undefined() {
        Given::Missing
    } else if value.is_null() {
        Given::Null
    } else if let Some(number) = value.as_f64() {
        Given::Number(number)
    } else if let Some(text) = value.as_string() {
        Given::Text(text)
    } else {
        value.as_bool().map_or(Given::Other, Given::Bool)
    }
}

pub(super) fn bad(message: impl AsRef<str>) -> SyncError {
    SyncError::new("bad-option", message)
}
