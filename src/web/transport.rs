//! The structural binding of a `MessageTransport` or a `SyncTransport` (types.d.ts), ours or the app's own, and what its
//! states mean to the replica. Decides nothing about connecting. Called by the driver.

use js_sys::{Function, Reflect};
use wasm_bindgen::prelude::*;

use crate::engine::clock::{Duration, Now};
use crate::engine::options;
use crate::engine::replica::LinkState;

#[wasm_bindgen]
extern "C" {
    #[derive(Debug, Clone)]
    pub(super) type Transport;

    #[wasm_bindgen(method, getter, catch)]
    pub(super) fn status(this: &Transport) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn connect(this: &Transport) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn disconnect(this: &Transport) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn reconnect(this: &Transport) -> Result<JsValue, JsValue>;
    /// Of a push-pull transport: optional, like `connect`, `disconnect`, `reconnect` and the listeners. Look before calling.
    #[wasm_bindgen(method, catch, js_name = isConnected)]
    pub(super) fn is_connected(this: &Transport) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn push(this: &Transport, changes: &JsValue, options: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn pull(this: &Transport, options: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = onServerPush)]
    pub(super) fn on_server_push(this: &Transport, listener: &Function) -> Result<JsValue, JsValue>;
    /// Optional: look before calling.
    #[wasm_bindgen(method, catch, js_name = onProbe)]
    pub(super) fn on_probe(this: &Transport, listener: &Function) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn send(this: &Transport, frame: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = onMessage)]
    pub(super) fn on_message(this: &Transport, listener: &Function) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = onStateChange)]
    pub(super) fn on_state_change(this: &Transport, listener: &Function) -> Result<JsValue, JsValue>;
    /// Ends this connection and tries again with backoff. Optional: look before calling.
    #[wasm_bindgen(method, catch, js_name = drop)]
    pub(super) fn drop_connection(this: &Transport) -> Result<JsValue, JsValue>;
    /// Optional: look before calling.
    #[wasm_bindgen(method, catch)]
    pub(super) fn healthy(this: &Transport) -> Result<JsValue, JsValue>;
}

/// What a `TransportStatus` says.
pub(super) enum Said {
    Open,
    Not { link: LinkState, close_code: Option<u16> },
}

/// Reads a `TransportStatus`. A state that we do not know counts as connecting.
pub(super) fn read_status(status: &JsValue, now: Now) -> Said {
    let field = |name: &str| Reflect::get(status, &name.into()).unwrap_or_default();
    let state = field("state").as_string().unwrap_or_default();
    let reason = field("reason").as_string();
    let because = |word: &str| reason.clone().unwrap_or_else(|| word.to_owned());
    let link = match state.as_str() {
        "open" => return Said::Open,
        "idle" | "closed" => LinkState::Offline { reason: because("disconnected") },
        "offline" => LinkState::Offline { reason: because("offline") },
        "needs-auth" => LinkState::NeedsAuth { reason: because("needs-auth") },
        "failed" => LinkState::Failed { reason: because("failed") },
        _ => LinkState::Connecting {
            retry_at: field("retryAt").as_f64().map(|wall| at_wall(wall, now)),
            reason,
        },
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    let close_code = field("closeCode").as_f64().map(|code| code as u16);
    Said::Not { link, close_code }
}

/// The driver's time at a moment of the wall clock.
fn at_wall(wall_ms: f64, now: Now) -> Duration {
    #[allow(clippy::cast_precision_loss)] // milliseconds since 1970
    let ahead = (wall_ms - now.wall_ms as f64).max(0.0);
    now.at + options::duration(ahead).unwrap_or_default()
}
