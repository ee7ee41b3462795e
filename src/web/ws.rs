//! `WsTransport`: a WebSocket that reconnects by itself, for the push-pull contract or the relay protocol.
//! Parses arguments and wraps results; [`driver`] carries out, `engine::link` decides. Constructed by the app.

mod calls;
mod driver;
mod frames;
mod options;

use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use super::error::SyncError;
use super::interop::{field, function, object};
use super::listeners::Listeners;
use super::socket::Socket;
use crate::engine::link::Input;
use crate::engine::requests::Kind;
use driver::Driver;
use options::{Options, Protocol};

/// See `WsTransport` in types.d.ts.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WsTransport {
    driver: Rc<Driver>,
}

#[wasm_bindgen]
impl WsTransport {
    /// # Errors
    /// `bad-option`, also where the global has no `WebSocket`.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &JsValue) -> Result<WsTransport, JsValue> {
        if !Socket::is_available() {
            let message = "WsTransport requires WebSocket API: this environment has no global WebSocket";
            return Err(SyncError::new("bad-option", message).into());
        }
        Ok(WsTransport { driver: Driver::new(Options::parse(options)?) })
    }

    #[wasm_bindgen(getter)]
    pub fn name(&self) -> JsValue {
        "websocket".into()
    }

    #[wasm_bindgen(getter)]
    pub fn protocol(&self) -> JsValue {
        self.driver.options.protocol.as_str().into()
    }

    /// The address, where it is not asked for at every attempt.
    #[wasm_bindgen(getter)]
    pub fn url(&self) -> JsValue {
        let url = &self.driver.options.url;
        if url.is_object() && !url.is_function() { field(url, "href") } else { url.as_string().into() }
    }

    /// The app is asked for credentials by the transport, and not by who uses it.
    #[wasm_bindgen(getter, js_name = asksForAuth)]
    pub fn asks_for_auth(&self) -> bool {
        self.driver.options.on_auth_required.is_function()
    }

    #[wasm_bindgen(getter)]
    pub fn state(&self) -> JsValue {
        self.driver.phase().as_str().into()
    }

    #[wasm_bindgen(getter)]
    pub fn status(&self) -> JsValue {
        self.driver.status()
    }

    pub fn connect(&self) -> Promise {
        self.driver.connect()
    }

    pub fn disconnect(&self) -> Promise {
        self.driver.disconnect();
        Promise::resolve(&JsValue::UNDEFINED)
    }

    pub fn reconnect(&self) {
        self.driver.reconnect();
    }

    /// Ends this connection because the peer is of no use, and tries again with backoff.
    #[wasm_bindgen(js_name = drop)]
    pub fn drop_connection(&self) {
        if let Some(socket) = self.driver.open_number() {
            self.driver.dispatch(Input::Drop { socket });
        }
    }

    #[wasm_bindgen(js_name = isConnected)]
    pub fn is_connected(&self) -> bool {
        self.driver.open_socket().is_some()
    }

    /// # Errors
    /// `bad-option` when it is no function; so for every listener.
    #[wasm_bindgen(js_name = onStateChange)]
    pub fn on_state_change(&self, listener: JsValue) -> Result<Function, JsValue> {
        Ok(self.driver.states.add(function(listener)?))
    }

    /// # Errors
    /// See [`WsTransport::on_state_change`].
    #[wasm_bindgen(js_name = onMessage)]
    pub fn on_message(&self, listener: JsValue) -> Result<Function, JsValue> {
        let listener = function(listener)?;
        Ok(self.listen(listener, Protocol::Relay))
    }

    /// # Errors
    /// See [`WsTransport::on_state_change`].
    #[wasm_bindgen(js_name = onServerPush)]
    pub fn on_server_push(&self, listener: JsValue) -> Result<Function, JsValue> {
        let listener = function(listener)?;
        Ok(self.listen(listener, Protocol::PushPull))
    }

    /// # Errors
    /// See [`WsTransport::on_state_change`].
    #[wasm_bindgen(js_name = onProbe)]
    pub fn on_probe(&self, listener: JsValue) -> Result<Function, JsValue> {
        Ok(self.driver.probes.add(function(listener)?))
    }

    pub fn send(&self, frame: &JsValue) -> bool {
        self.driver.writable().is_some_and(|socket| !socket.is_full() && socket.send(frame).is_ok())
    }

    pub fn healthy(&self) {
        if let Some(socket) = self.driver.open_number() {
            self.driver.dispatch(Input::Healthy { socket });
        }
    }

    pub fn push(&self, changes: &JsValue, options: &JsValue) -> Promise {
        let given = object(&[("signal", field(options, "signal")), ("changes", changes.clone())]);
        calls::start(&self.driver, Kind::Push, &frames::push_payload(changes), &given)
    }

    pub fn pull(&self, options: &JsValue) -> Promise {
        calls::start(&self.driver, Kind::Pull, &frames::pull_payload(options), options)
    }

    /// News of the other protocol never comes.
    fn listen(&self, listener: Function, protocol: Protocol) -> Function {
        if self.driver.options.protocol == protocol {
            self.driver.add_news_listener(listener)
        } else {
            Listeners::new("").add(listener)
        }
    }
}
