//! Why a request of the push-pull contract is refused. Decides its status, its stable code and when to come back; never
//! quotes what was sent. Made by the endpoints, and said over HTTP and over a socket alike.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::batch::BadPush;
use super::query::BadPull;
use crate::door::whole_seconds;
use crate::error::Error;

/// How long to wait where nothing better is known.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// How long to wait after the storage failed.
const STORAGE_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    message: String,
    retry_after: Option<Duration>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Refused { status, code, message: message.into(), retry_after: None }
    }

    fn after(self, pause: Duration) -> Self {
        Refused { retry_after: Some(pause), ..self }
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message)
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::BAD_REQUEST, "malformed-message", message)
    }

    pub(super) fn not_json() -> Self {
        Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "the body must be application/json")
    }

    /// The user asks for too much at once, or too fast.
    pub(super) fn too_many_requests(wait: Duration) -> Self {
        Refused::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "too many requests of this user")
            .after(wait)
    }

    /// The relay cannot do it now.
    pub(super) fn overloaded() -> Self {
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "the relay is busy, or restarting")
            .after(SOON)
    }

    pub(super) fn failed(error: &Error) -> Self {
        let message = "the relay could not reach its storage";
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), message).after(STORAGE_PAUSE)
    }

    /// The payload of an `error` frame; `retryAfter` in milliseconds.
    pub(super) fn payload(&self) -> String {
        let mut payload = json!({ "message": self.message, "code": self.code });
        if let (Some(pause), Some(payload)) = (self.retry_after, payload.as_object_mut()) {
            let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            payload.insert("retryAfter".to_owned(), Value::from(ms));
        }
        payload.to_string()
    }
}

impl From<BadPush> for Refused {
    fn from(bad: BadPush) -> Self {
        match bad {
            BadPush::TooMany(..) => Refused::too_large(bad.to_string()),
            BadPush::Malformed(_) | BadPush::NoId(_) => Refused::malformed(bad.to_string()),
        }
    }
}

impl From<BadPull> for Refused {
    fn from(bad: BadPull) -> Self {
        Refused::malformed(bad.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(pause) = self.retry_after {
            headers.insert(RETRY_AFTER, whole_seconds(pause).into());
        }
        response
    }
}
