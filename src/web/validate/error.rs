//! `SyncResponseValidationError`: a class of JavaScript's, so that `instanceof` works, whose instances are real errors.
//! Decides nothing about validity. Made by [`super`].

use std::cell::OnceCell;

use js_sys::{Array, Error, Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::web::error::SyncError;
use crate::web::interop::object;

/// What is wrong, and where: a path such as `changes[3].id`, empty for the value itself.
#[derive(Debug)]
pub(super) struct Issue {
    message: String,
    path: String,
}

impl Issue {
    pub(super) fn new(message: impl Into<String>, path: impl Into<String>) -> Self {
        Issue { message: message.into(), path: path.into() }
    }
}

/// An answer of a server that breaks the contract. Its instances are made by the validators.
#[wasm_bindgen]
#[derive(Debug)]
pub struct SyncResponseValidationError {
    _private: (),
}

thread_local! {
    static PROTOTYPE: OnceCell<Object> = const { OnceCell::new() };
}

/// The error for these issues; the first one is the message.
pub(super) fn refuse(issues: &[Issue]) -> JsValue {
    let (message, path) = issues.first().map_or(("", ""), |first| (&first.message, &first.path));
    let error: JsValue = SyncError::new("invalid-response", message).into();
    let list: Array = issues
        .iter()
        .map(|issue| {
            object(&[("path", issue.path.as_str().into()), ("message", issue.message.as_str().into())])
        })
        .collect();
    for (name, value) in [
        ("name", JsValue::from("SyncResponseValidationError")),
        ("path", path.into()),
        ("issues", list.into()),
    ] {
        // An `Error` takes every property.
        let _ = Reflect::set(&error, &name.into(), &value);
    }
    let object: &Object = error.unchecked_ref();
    PROTOTYPE.with(|prototype| Object::set_prototype_of(object, prototype.get_or_init(make_prototype)));
    error
}

/// The prototype of the exported class, made a child of `Error`'s. Its instances hold nothing of the wasm, so what
/// would free that goes.
fn make_prototype() -> Object {
    let prototype = Object::get_prototype_of(&SyncResponseValidationError { _private: () }.into());
    let parent = Object::get_prototype_of(&Error::new(""));
    Object::set_prototype_of(&prototype, &parent);
    let _ = Reflect::delete_property(&prototype, &"free".into());
    prototype
}
