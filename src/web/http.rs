//! `HttpTransport`: the push-pull contract over `fetch`. Keeps no connection and never asks by itself.
//! Parses arguments and wraps results; [`exchange`] carries out, `engine::reach` decides. Constructed by the app.

mod answer;
mod call;
mod driver;
mod exchange;
mod limits;
mod options;
mod request;

use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use super::error::SyncError;
use super::interop::function;
use super::listeners::Listeners;
use driver::Driver;
use options::Options;

/// See `HttpTransport` in types.d.ts.
#[wasm_bindgen]
#[derive(Debug)]
pub struct HttpTransport {
    driver: Rc<Driver>,
}

#[wasm_bindgen]
impl HttpTransport {
    /// # Errors
    /// `bad-option`, also where the global has no `fetch`.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &JsValue) -> Result<HttpTransport, JsValue> {
        if !request::is_available() {
            let message = "HttpTransport requires fetch API: this environment has no global fetch";
            return Err(SyncError::new("bad-option", message).into());
        }
        Ok(HttpTransport { driver: Driver::new(Options::parse(options)?) })
    }

    #[wasm_bindgen(getter)]
    pub fn name(&self) -> JsValue {
        "http".into()
    }

    #[wasm_bindgen(getter)]
    pub fn protocol(&self) -> JsValue {
        "push-pull".into()
    }

    /// The base, where it is not asked for at every request.
    #[wasm_bindgen(getter)]
    pub fn url(&self) -> JsValue {
        request::text(&self.driver.options.url).into()
    }

    /// The app is asked for credentials by the transport, and not by who uses it.
    #[wasm_bindgen(getter, js_name = asksForAuth)]
    pub fn asks_for_auth(&self) -> bool {
        self.driver.options.on_auth_required.is_some()
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

    #[wasm_bindgen(js_name = isConnected)]
    pub fn is_connected(&self) -> bool {
        self.driver.is_reachable()
    }

    /// # Errors
    /// `bad-option` when it is no function; so for every listener.
    #[wasm_bindgen(js_name = onStateChange)]
    pub fn on_state_change(&self, listener: JsValue) -> Result<Function, JsValue> {
        Ok(self.driver.states.add(function(listener)?))
    }

    /// News never comes over HTTP.
    ///
    /// # Errors
    /// See [`HttpTransport::on_state_change`].
    #[wasm_bindgen(js_name = onServerPush)]
    pub fn on_server_push(&self, listener: JsValue) -> Result<Function, JsValue> {
        Ok(Listeners::new("").add(function(listener)?))
    }

    pub fn push(&self, changes: &JsValue, options: &JsValue) -> Promise {
        self.driver.push(changes, options)
    }

    pub fn pull(&self, options: &JsValue) -> Promise {
        self.driver.pull(options)
    }
}
