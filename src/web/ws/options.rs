//! The options of `WsTransport`: what is accepted, what is assumed, and a clear `bad-option` for the rest.
//! Called by the class's constructor.

use std::time::Duration;

use wasm_bindgen::prelude::*;

use crate::engine::link;
use crate::web::error::SyncError;
use crate::web::interop::{field, random_u64};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    PushPull,
    Relay,
}

impl Protocol {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Protocol::PushPull => "push-pull",
            Protocol::Relay => "relay",
        }
    }
}

#[derive(Debug)]
pub(super) struct Options {
    /// A value, or a function that is asked for one.
    pub(super) url: JsValue,
    /// The same; undefined without any.
    pub(super) headers: JsValue,
    pub(super) protocol: Protocol,
    pub(super) request_timeout: Option<Duration>,
    /// A function; undefined where nobody can be asked.
    pub(super) on_auth_required: JsValue,
    pub(super) link: link::Config,
}

impl Options {
    pub(super) fn parse(options: &JsValue) -> Result<Self, SyncError> {
        let url = field(options, "url");
        if url.is_undefined() || url.is_null() {
            return Err(bad("new WsTransport() needs an object with at least { url }"));
        }
        let protocol = match field(options, "protocol") {
            value if value.is_undefined() => Protocol::PushPull,
            value => match value.as_string().as_deref() {
                Some("push-pull") => Protocol::PushPull,
                Some("relay") => Protocol::Relay,
                Some(_) | None => return Err(bad("protocol must be \"push-pull\" or \"relay\"")),
            },
        };
        let (base, attempts) = match protocol {
            Protocol::PushPull => (3_000.0, 10.0),
            Protocol::Relay => (1_000.0, 0.0),
        };
        let attempts = number(options, "maxReconnectAttempts", attempts)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked; `as` saturates
        let max_attempts = if attempts.is_finite() { attempts as u32 } else { 0 };
        let on_auth_required = match field(options, "onAuthRequired") {
            value if value.is_null() => JsValue::UNDEFINED,
            value if value.is_undefined() || value.is_function() => value,
            _ => return Err(bad("onAuthRequired must be a function")),
        };
        let link = link::Config {
            base: duration(number(options, "reconnectIntervalMs", base)?).unwrap_or_default(),
            max_attempts,
            connect_timeout: duration(number(options, "connectionTimeoutMs", 10_000.0)?),
            heartbeat: duration(number(options, "heartbeatMs", 30_000.0)?),
            // Without a limit nobody would ever be given up: that is what heartbeatMs 0 is for.
            heartbeat_timeout: duration(number(options, "heartbeatTimeoutMs", 10_000.0)?)
                .ok_or_else(|| bad("heartbeatTimeoutMs must be a number above 0"))?,
            asks_auth: !on_auth_required.is_undefined(),
            seed: random_u64(),
        };
        Ok(Options {
            url,
            headers: field(options, "headers"),
            protocol,
            request_timeout: duration(number(options, "requestTimeoutMs", 30_000.0)?),
            on_auth_required,
            link,
        })
    }
}

fn bad(message: impl Into<String>) -> SyncError {
    SyncError::new("bad-option", message)
}

fn number(options: &JsValue, name: &str, otherwise: f64) -> Result<f64, SyncError> {
    let value = field(options, name);
    if value.is_undefined() || value.is_null() {
        return Ok(otherwise);
    }
    value
        .as_f64()
        .filter(|number| *number >= 0.0)
        .ok_or_else(|| bad(format!("{name} must be a number, 0 or more")))
}

/// Milliseconds; `None` (no limit) for 0 and for what nobody lives to see.
pub(super) fn duration(ms: f64) -> Option<Duration> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let duration = Duration::try_from_secs_f64(ms / 1000.0).ok()?;
    (!duration.is_zero() && duration < CENTURY).then_some(duration)
}
