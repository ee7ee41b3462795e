//! The options of `WsTransport`: what is accepted, what is assumed, and a clear `bad-option` for the rest.
//! Called by the class's constructor.

use js_sys::{Array, Function, Reflect};
use wasm_bindgen::prelude::*;

use crate::engine::clock::Duration;
use crate::engine::link;
use crate::engine::options::{self, attempts};
pub(super) use crate::engine::options::{Protocol, duration};
use crate::web::error::SyncError;
use crate::web::given::{bad, given};
use crate::web::interop::{field, random_u64};

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
    pub(super) fn parse(object: &JsValue) -> Result<Self, SyncError> {
        let url = field(object, "url");
        if url.is_undefined() || url.is_null() {
            return Err(bad("new WsTransport() needs an object with at least { url }"));
        }
        if !(url.is_object() || url.is_function() || url.as_string().is_some_and(|text| is_address(&text))) {
            return Err(bad(
                "url must be an address, such as \"/api/v1/sync\", or a function that gives one",
            ));
        }
        let protocol = Protocol::read(&given(object, "protocol"))
            .ok_or_else(|| bad("protocol must be \"push-pull\" or \"relay\""))?;
        let headers = field(object, "headers");
        if protocol == Protocol::Relay && headers.is_truthy() {
            return Err(bad(
                "headers cannot be sent with protocol \"relay\": the token goes into the cookie auth_token",
            ));
        }
        let number = |name, otherwise| options::number(name, &given(object, name), otherwise).map_err(bad);
        let (base, limit) = match protocol {
            Protocol::PushPull => (3_000.0, 10.0),
            Protocol::Relay => (1_000.0, 0.0),
        };
        let on_auth_required = match field(object, "onAuthRequired") {
            value if value.is_null() => JsValue::UNDEFINED,
            value if value.is_undefined() || value.is_function() => value,
            _ => return Err(bad("onAuthRequired must be a function")),
        };
        let link = link::Config {
            base: duration(number("reconnectIntervalMs", base)?).unwrap_or_default(),
            max_attempts: attempts(number("maxReconnectAttempts", limit)?),
            connect_timeout: duration(number("connectionTimeoutMs", 10_000.0)?),
            heartbeat: duration(number("heartbeatMs", 30_000.0)?),
            // Without a limit nobody would ever be given up: that is what heartbeatMs 0 is for.
            heartbeat_timeout: duration(number("heartbeatTimeoutMs", 10_000.0)?)
                .ok_or_else(|| bad("heartbeatTimeoutMs must be a number above 0"))?,
            asks_auth: !on_auth_required.is_undefined(),
            seed: random_u64(),
        };
        Ok(Options {
            url,
            headers,
            protocol,
            request_timeout: duration(number("requestTimeoutMs", 30_000.0)?),
            on_auth_required,
            link,
        })
    }
}

/// It can be parsed, for itself or relative to a page. What has a space in it would be, and is a mistake.
fn is_address(text: &str) -> bool {
    let class = field(&js_sys::global(), "URL");
    let parsed = class.dyn_ref::<Function>().map(|class| {
        let given = Array::of2(&text.into(), &"http://localhost".into());
        Reflect::construct(class, &given)
    });
    !text.contains(' ') && !matches!(parsed, Some(Err(_)))
}
