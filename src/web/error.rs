//! Errors as JavaScript sees them: a real `Error` with the fields of `SyncError` in types.d.ts. Decides nothing:
//! code and kind come from where the error was made. Used by every class, and for what has nobody to reject.

use js_sys::{Error, Reflect};
use wasm_bindgen::JsValue;

use crate::engine::replica::Problem;

/// An error on its way to JavaScript. Turn it into a `JsValue` with `into()`.
#[derive(Debug, Clone)]
pub struct SyncError {
    name: &'static str,
    code: &'static str,
    message: String,
    retryable: bool,
    status: Option<u16>,
    close_code: Option<u16>,
    retry_after: Option<f64>,
    cause: Option<JsValue>,
}

impl SyncError {
    /// `code` is one of `ErrorCode` in types.d.ts.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        SyncError {
            name: "SyncError",
            code,
            message: message.into(),
            retryable: false,
            status: None,
            close_code: None,
            retry_after: None,
            cause: None,
        }
    }

    /// As the platform names such an error, where apps go by that.
    #[must_use]
    pub fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Trying again later may help.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// The HTTP status that was the answer.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The code with which the socket was closed.
    #[must_use]
    pub fn close_code(mut self, code: u16) -> Self {
        self.close_code = Some(code);
        self
    }

    /// Milliseconds that the server asked to wait.
    #[must_use]
    pub fn retry_after(mut self, ms: f64) -> Self {
        self.retry_after = Some(ms);
        self
    }

    /// What was caught.
    #[must_use]
    pub fn cause(mut self, cause: &JsValue) -> Self {
        self.cause = Some(cause.clone());
        self
    }
}

impl From<SyncError> for JsValue {
    fn from(error: SyncError) -> JsValue {
        let made: JsValue = Error::new(&error.message).into();
        set(&made, "name", &error.name.into());
        set(&made, "code", &error.code.into());
        set(&made, "retryable", &error.retryable.into());
        if let Some(status) = error.status {
            set(&made, "status", &status.into());
        }
        if let Some(code) = error.close_code {
            set(&made, "closeCode", &code.into());
        }
        if let Some(ms) = error.retry_after {
            set(&made, "retryAfter", &ms.into());
        }
        if let Some(cause) = &error.cause {
            set(&made, "cause", cause);
        }
        made
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

fn set(target: &JsValue, key: &str, value: &JsValue) {
    // An `Error` made above takes every property.
    let _ = Reflect::set(target, &key.into(), value);
}
