//! Push-pull frames between JavaScript values and the envelope of `wire::push_pull`. Payloads never enter the wasm:
//! JavaScript's own JSON writes and reads them. Decides whom a frame concerns. Used by [`super::driver`].

use std::rc::Rc;

use js_sys::{JsString, Object};
use wasm_bindgen::prelude::*;

use super::calls;
use super::driver::{Driver, unreadable};
use crate::engine::link::SocketId;
use crate::engine::requests::{self, Kind};
use crate::web::error::{SyncError, report};
use crate::web::interop::{field, parse_json, to_json};
use crate::web::validate;
use crate::wire::push_pull::{self, Envelope, ServerFrame, UNKNOWN_ERROR};

pub(super) fn around(kind: &str, request_id: Option<&str>, payload: &JsString) -> JsValue {
    let (before, after) = push_pull::around(kind, request_id);
    JsString::from(before).concat(payload).concat(&after.into()).into()
}

/// The first frame after an open, if there is anything to say.
pub(super) fn auth(headers: &JsValue) -> Result<Option<JsValue>, JsValue> {
    let Some(object) = headers.dyn_ref::<Object>() else { return Ok(None) };
    if Object::keys(object).length() == 0 {
        return Ok(None);
    }
    Ok(Some(around("auth", None, &to_json(headers)?)))
}

/// The smallest request that every server answers; what it answers does not matter.
pub(super) fn probe(request_id: &str) -> JsValue {
    around(Kind::Pull.as_str(), Some(request_id), &r#"{"batchSize":1}"#.into())
}

/// Reads a frame and passes it to whom it concerns.
pub(super) fn received(driver: &Rc<Driver>, socket: SocketId, text: &JsValue) {
    let frame = match parse_json(text) {
        Ok(frame) => frame,
        Err(thrown) => return report(&unreadable("a frame is not JSON").cause(&thrown).into()),
    };
    let Some(kind) = field(&frame, "type").as_string() else {
        return report(&unreadable("a frame has no type").into());
    };
    let payload = Some(field(&frame, "payload")).filter(|payload| !payload.is_undefined());
    let envelope = Envelope { kind, request_id: field(&frame, "requestId").as_string(), payload };
    if envelope.request_id.as_deref().is_some_and(requests::is_probe) {
        return;
    }
    match envelope.from_server() {
        Ok(ServerFrame::PushResult { request_id, payload }) => {
            calls::answered(driver, socket, &request_id, Kind::Push, &payload);
        }
        Ok(ServerFrame::PullResult { request_id, payload }) => {
            calls::answered(driver, socket, &request_id, Kind::Pull, &payload);
        }
        Ok(ServerFrame::Error { request_id, payload }) => {
            calls::failed(driver, request_id.as_deref(), server_error(&payload.unwrap_or_default()));
        }
        Ok(ServerFrame::ServerPush(changes)) => match validate::server_push(&changes) {
            Ok(()) => driver.tell_news(changes),
            Err(invalid) => report(&invalid),
        },
        Ok(ServerFrame::Unknown(_)) => {}
        Err(error) => report(&SyncError::new(error.code(), error.to_string()).into()),
    }
}

fn server_error(payload: &JsValue) -> SyncError {
    let message = field(payload, "message").as_string().unwrap_or_else(|| UNKNOWN_ERROR.to_owned());
    let error = SyncError::new("server-error", message).retryable(true);
    match field(payload, "retryAfter").as_f64().filter(|ms| *ms >= 0.0) {
        Some(ms) => error.retry_after(ms),
        None => error,
    }
}

/// `{changes}`
pub(super) fn push_payload(changes: &JsValue) -> JsValue {
    crate::web::interop::object(&[("changes", changes.clone())])
}

/// `{cursor?, collections?, batchSize?}`
pub(super) fn pull_payload(options: &JsValue) -> JsValue {
    crate::web::interop::object(
        &["cursor", "collections", "batchSize"].map(|name| (name, field(options, name))),
    )
}
