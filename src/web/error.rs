//! Errors as JavaScript sees them: a real `Error` with the fields of `SyncError` in types.d.ts. Decides nothing:
//! code and kind come from where the error was made. Used by every class, and for what has nobody to reject.

use js_sys::{Error, Reflect};
use wasm_bindgen::JsValue;

use crate::engine::replica::Problem;

/// An error on its way to JavaScript. Turn it into a `JsValue` with `into()`.
#[derive(Debug)]
pub struct SyncError(JsValue);

impl SyncError {
    /// `code` is one of `ErrorCode` in types.d.ts.
    pub fn new(code: &'static str, message: impl AsRef<str>) -> Self {
        SyncError(Error::new(message.as_ref()).into())
            .name("SyncError")
            .with("code", &code.into())
            .retryable(false)
    }

    /// As the platform names such an error, where apps go by that.
    #[must_use]
    pub fn name(self, name: &'static str) -> Self {
        self.with("name", &name.into())
    }

    /// Trying again later may help.
    #[must_use]
    pub fn retryable(self, retryable: bool) -> Self {
        self.with("retryable", &retryable.into())
    }

    /// The HTTP status that was the answer.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.with("status", &status.into())
    }

    /// The code with which the socket was closed.
    #[must_use]
    pub fn close_code(self, code: u16) -> Self {
        self.with("closeCode", &code.into())
    }

    /// Milliseconds that the server asked to wait.
    #[must_use]
    pub fn retry_after(self, ms: f64) -> Self {
        self.with("retryAfter", &ms.into())
    }

    /// What was caught.
    #[must_use]
    pub fn cause(self, cause: &JsValue) -> Self {
        self.with("cause", cause)
    }

    fn with(self, key: &str, value: &JsValue) -> Self {
        // An `Error` made above takes every property.
        let _ = Reflect::set(&self.0, &key.into(), value);
        self
    }
}

impl From<SyncError> for JsValue {
    fn from(error: SyncError) -> JsValue {
        error.0
    }
}

impl From<Problem> for SyncError {
    fn from(problem: Problem) -> Self {
        SyncError::new(problem.code, problem.message).retryable(problem.retryable)
    }
}

impl From<Problem> for JsValue {
    fn from(problem: Problem) -> JsValue {
        SyncError::from(problem).into()
    }
}

/// Says on the console what nobody can be told otherwise.
pub fn report(problem: &JsValue) {
    web_sys::console::error_1(problem);
}

/// Reports what a listener of the app threw.
pub fn report_thrown(what: &str, thrown: &JsValue) {
    let error = SyncError::new("listener-threw", format!("a listener of {what} threw")).cause(thrown);
    report(&error.into());
}
