//! Reads what a server has answered. Decides what is an answer of the contract, what is a refusal and with which words
//! it is told; a response may be a double that has half of what a real one has. Called by [`super::exchange`].

use js_sys::{Date, Function, JsString};
use wasm_bindgen::prelude::*;

use super::call::{Call, Task};
use super::exchange::{Ended, failed, known};
use crate::engine::reach::{Credentials, Input};
use crate::engine::requests::Kind;
use crate::engine::retry::{self, Verdict};
use crate::text;
use crate::web::error::SyncError;
use crate::web::interop::{field, parse_json};
use crate::web::{timer, validate};
use crate::wire::http::{LONGEST_TEXT, excerpt};
use crate::wire::push_pull::UNKNOWN_ERROR;

pub(super) async fn read(call: &Call, sent_with: Credentials, response: &JsValue) -> Ended {
    let status = status(response);
    let success = field(response, "ok").as_bool().unwrap_or((200..300).contains(&status));
    let kind = match &call.task {
        Task::Check { must_succeed } => {
            let there = if *must_succeed { success } else { status < 500 };
            return if there {
                Ended::With(Ok(JsValue::UNDEFINED), Some(Input::Reached))
            } else {
                refused(call, response, status, "")
            };
        }
        Task::Push(_) => Kind::Push,
        Task::Pull => Kind::Pull,
    };
    if status == 0 && !success {
        return invalid(call, response, "an answer that may not be read, such as a redirect");
    }
    if !success {
        let text = match method(response, "text") {
            Some(text) => known(text).await.ok().and_then(|text| words(&text)),
            None => None,
        };
        return refused(call, response, status, text.as_deref().unwrap_or(UNKNOWN_ERROR));
    }
    let value = match json(response).await {
        Ok(value) => value,
        Err(NotJson::Is(what)) => return invalid(call, response, what),
        Err(NotJson::Broken(thrown)) => return failed(call, &thrown),
    };
    let pushed = match &call.task {
        Task::Push(changes) => changes,
        Task::Pull | Task::Check { .. } => &JsValue::UNDEFINED,
    };
    match validate::read(kind, pushed, &value) {
        Ok(result) => Ended::With(Ok(result), Some(Input::Served { kind, sent_with })),
        // One bad body says nothing about the server.
        Err(invalid) => Ended::With(Err(invalid), None),
    }
}

fn refused(call: &Call, response: &JsValue, status: u16, text: &str) -> Ended {
    let retry_after = match status {
        429 | 503 => header(response, "Retry-After")
            .and_then(|header| retry::retry_after(&header, timer::now().wall_ms, Date::parse)),
        _ => None,
    };
    let (code, how) = match status {
        401 => ("needs-auth", None),
        429 => ("rate-limited", Some("rate limited")),
        _ => ("http-status", None),
    };
    let message = match (&call.task, how) {
        (Task::Check { .. }, _) => format!("{} ({status})", call.task.failed()),
        (Task::Push(_), Some(how)) => format!("Sync push {how} ({status}): {text}"),
        (Task::Pull, Some(how)) => format!("Sync pull {how} ({status}): {text}"),
        (Task::Push(_) | Task::Pull, None) => format!("{} ({status}): {text}", call.task.failed()),
    };
    let verdict = retry::after_status(status).verdict;
    let mut error = SyncError::new(code, message)
        .status(status)
        .retryable(matches!(verdict, Verdict::Retry | Verdict::RetryLater));
    if let Some(delay) = retry_after {
        error = error.retry_after(delay.as_ms());
    }
    match (&call.task, status) {
        (_, 401) => Ended::Unauthenticated(error),
        (Task::Check { .. }, _) => {
            Ended::With(Err(error.into()), Some(Input::CheckRefused { status, retry_after }))
        }
        (Task::Push(_) | Task::Pull, _) => {
            Ended::With(Err(error.into()), Some(Input::Refused { status, retry_after }))
        }
    }
}

/// A success that does not speak the contract. A login page or a proxy may go away again.
fn invalid(call: &Call, response: &JsValue, what: &str) -> Ended {
    let mut message = [call.task.failed(), ": the server answered with ", what, " instead of JSON"].concat();
    if field(response, "redirected").is_truthy()
        && let Some(url) = field(response, "url").as_string()
    {
        message.push_str(", after a redirect to ");
        message.push_str(&excerpt(&url));
    }
    let error = SyncError::new("invalid-response", message).status(status(response)).retryable(true);
    Ended::With(Err(error.into()), None)
}

/// Why there is no value.
enum NotJson {
    /// It is something else.
    Is(&'static str),
    /// Reading it failed.
    Broken(JsValue),
}

/// The value of a body: of its text, which can be named when it is no JSON; a double may have `json()` only, or a text
/// that says nothing.
async fn json(response: &JsValue) -> Result<JsValue, NotJson> {
    let mut why = None;
    if let Some(text) = method(response, "text") {
        match known(text).await {
            Ok(text) => match parse_json(&text) {
                Ok(value) => return Ok(value),
                Err(_) => why = Some(NotJson::Is(kind_of_text(&text))),
            },
            Err(thrown) => why = Some(NotJson::Broken(thrown)),
        }
    }
    if let Some(value) = method(response, "json") {
        match known(value).await {
            Ok(value) => return Ok(value),
            Err(_) if why.is_some() => {}
            Err(thrown) if field(&thrown, "name") == "SyntaxError" => {
                let html =
                    header(response, "Content-Type").is_some_and(|kind| text::after(&kind, "html").is_some());
                why = Some(NotJson::Is(if html { "HTML" } else { "text" }));
            }
            Err(thrown) => why = Some(NotJson::Broken(thrown)),
        }
    }
    Err(why.unwrap_or(NotJson::Is("no body")))
}

fn kind_of_text(text: &JsValue) -> &'static str {
    match words(text) {
        None => "nothing",
        Some(text) if text.starts_with('<') => "HTML",
        Some(_) => "text",
    }
}

/// The beginning of a text; none if it is empty.
fn words(text: &JsValue) -> Option<String> {
    let text: &JsString = text.dyn_ref()?;
    #[allow(clippy::cast_possible_truncation)] // a small constant
    let beginning = text.slice(0, 2 * LONGEST_TEXT as u32 + 2);
    Some(excerpt(&String::from(beginning))).filter(|text| !text.is_empty())
}

/// As it says; a double that only says whether it is a success has the plainest such status.
fn status(response: &JsValue) -> u16 {
    let otherwise = if field(response, "ok").is_truthy() { 200.0 } else { 0.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    let status = field(response, "status").as_f64().unwrap_or(otherwise) as u16;
    status
}

fn header(response: &JsValue, name: &str) -> Option<String> {
    let headers = field(response, "headers");
    let lookup: Function = field(&headers, "get").dyn_into().ok()?;
    lookup.call1(&headers, &name.into()).ok()?.as_string()
}

/// What a method of a response returns or throws; none where it has no such method.
fn method(response: &JsValue, name: &str) -> Option<Result<JsValue, JsValue>> {
    let method: Function = field(response, name).dyn_into().ok()?;
    Some(method.call0(response))
}
