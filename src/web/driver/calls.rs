//! Carries out calls of `push` and `pull`: between the engine's JSON and the objects of the transport. Decides nothing about
//! when; a call that was given up is aborted, and its end is nobody's. Called by the driver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Function, JsString, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::Driver;
use crate::engine::clock::Duration;
use crate::engine::replica::{CallId, ConnId, Failure, Input, Pulled};
use crate::web::diagnostics::address;
use crate::web::interop::{field, has_method, object, parse_json, spawn, to_json};

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// What is in flight, with its `AbortController` where the global has one.
    open: RefCell<Vec<(CallId, JsValue)>>,
    /// The transport's own `connect()`, for one that does not tell its state.
    connecting: RefCell<Option<Promise>>,
    connected: Cell<bool>,
    /// A call has succeeded, ever.
    served: Cell<bool>,
    /// Its last failure was told.
    told: Cell<bool>,
    /// What the call has thrown whose failure is being handled.
    thrown: RefCell<Option<JsValue>>,
}

impl Calls {
    /// What is behind the problem that is being told.
    pub(super) fn thrown(&self) -> Option<JsValue> {
        self.thrown.borrow().clone()
    }
}

/// What to call.
enum Call {
    Push(String),
    Pull { cursor: Option<String>, batch: usize },
}

impl Driver {
    pub(super) fn push(self: &Rc<Self>, conn: ConnId, call: CallId, records: String) {
        self.call(conn, call, Call::Push(records));
    }

    pub(super) fn pull(self: &Rc<Self>, conn: ConnId, call: CallId, cursor: Option<String>, batch: usize) {
        self.call(conn, call, Call::Pull { cursor, batch });
    }

    fn call(self: &Rc<Self>, conn: ConnId, call: CallId, what: Call) {
        let controller = abort_controller();
        self.calls.open.borrow_mut().push((call, controller.clone()));
        let driver = self.clone();
        spawn(async move {
            let end = driver.perform(call, &what, &field(&controller, "signal")).await;
            let end = end.and_then(|answer| read(conn, call, &what, &answer));
            if !driver.calls.forget(call) {
                return; // given up
            }
            let input = match end {
                Ok(input) => {
                    driver.calls.connected.set(true);
                    driver.calls.served.set(true);
                    input
                }
                Err(thrown) => {
                    let mut failure = failure(&thrown);
                    driver.explain(&mut failure);
                    driver.calls.thrown.replace(Some(thrown));
                    Input::CallFailed { conn, call, failure }
                }
            };
            driver.feed(input);
            driver.calls.thrown.take();
        });
    }

    async fn perform(&self, call: CallId, what: &Call, signal: &JsValue) -> Result<JsValue, JsValue> {
        self.see_to_a_connection().await;
        if !self.calls.is_open(call) {
            return Err(JsValue::UNDEFINED); // given up meanwhile
        }
        let transport = &self.options.transport;
        let mut options = vec![("signal", signal.clone())];
        let answer = match what {
            Call::Push(records) => {
                transport.push(&parse_json(&JsValue::from_str(records))?, &object(&options))?
            }
            Call::Pull { cursor, batch } => {
                let cursor = cursor.as_ref().map_or(Ok(JsValue::NULL), |text| parse_json(&text.into()))?;
                #[allow(clippy::cast_precision_loss)] // far below 2^53
                options.extend([("cursor", cursor), ("batchSize", (*batch as f64).into())]);
                transport.pull(&object(&options))?
            }
        };
        JsFuture::from(Promise::resolve(&answer)).await
    }

    /// What a server that never served us may be: the transport's own words are its contract's, these are for the app.
    fn explain(&self, failure: &mut Failure) {
        if self.calls.served.get() {
            return;
        }
        let says = |name| field(&self.options.transport, name).as_string().unwrap_or_default();
        let url = says("url");
        if failure.timed_out && says("name") == "websocket" {
            failure.message.push_str(". Where the server speaks the relay protocol: protocol: \"relay\"");
        } else if failure.status == Some(404) && !url.is_empty() {
            failure.message.push_str(", asked below ");
            failure.message.push_str(&address(&url));
        }
    }

    /// A transport that has `connect()` and does not say how it is doing gets it called before the first call, and
    /// whenever it says that it is not connected, but not where calls succeed without. If that fails the call says what
    /// is wrong.
    async fn see_to_a_connection(&self) {
        let transport = &self.options.transport;
        if self.follows_state() || !has_method(transport, "connect") {
            return;
        }
        let said = has_method(transport, "isConnected").then(|| transport.is_connected().unwrap_or_default());
        if said.and_then(|said| said.as_bool()).unwrap_or_else(|| self.calls.connected.get()) {
            return;
        }
        let under_way = self.calls.connecting.borrow().clone();
        let connecting = match under_way {
            Some(promise) => promise,
            None => {
                let promise = match transport.connect() {
                    Ok(promise) => Promise::resolve(&promise),
                    Err(thrown) => Promise::reject(&thrown),
                };
                self.calls.connecting.replace(Some(promise.clone()));
                promise
            }
        };
        let result = JsFuture::from(connecting.clone()).await;
        let is_ours = |stored: &Promise| js_sys::Object::is(stored, &connecting);
        if !self.calls.connecting.borrow().as_ref().is_some_and(is_ours) {
            return; // told by another call, or of a connection that nobody wants any more
        }
        self.calls.connecting.take();
        self.calls.connected.set(result.is_ok());
        // Told once in a row.
        let told = self.calls.told.replace(result.is_err());
        if let (Err(thrown), false) = (result, told) {
            self.transport_threw("connect", &thrown);
        }
    }

    pub(super) fn abort_call(&self, call: CallId) {
        let mut open = self.calls.open.borrow_mut();
        let Some(index) = open.iter().position(|(other, _)| *other == call) else { return };
        let (_, controller) = open.remove(index);
        drop(open);
        // One that hangs must not hold up the next.
        self.calls.connecting.take();
        if let Ok(abort) = field(&controller, "abort").dyn_into::<Function>() {
            let _ = abort.call0(&controller);
        }
    }

    pub(super) fn abort_calls(&self) {
        let calls: Vec<CallId> = self.calls.open.borrow().iter().map(|(call, _)| *call).collect();
        for call in calls {
            self.abort_call(call);
        }
        self.calls.connected.set(false);
    }
}

impl Calls {
    fn is_open(&self, call: CallId) -> bool {
        self.open.borrow().iter().any(|(other, _)| *other == call)
    }

    /// False for a call that was given up.
    fn forget(&self, call: CallId) -> bool {
        let mut open = self.open.borrow_mut();
        let before = open.len();
        open.retain(|(other, _)| *other != call);
        open.len() < before
    }
}

fn read(conn: ConnId, call: CallId, what: &Call, answer: &JsValue) -> Result<Input, JsValue> {
    if let Call::Push(_) = what {
        return Ok(Input::Pushed { conn, call, result: json(answer)? });
    }
    let changes = field(answer, "changes");
    if !Array::is_array(&changes) {
        return Err(js_sys::Error::new("Pull result missing 'changes' array").into());
    }
    let cursor = field(answer, "cursor");
    let cursor = if cursor.is_null() || cursor.is_undefined() { None } else { Some(json(&cursor)?) };
    let says = |name| field(answer, name).is_truthy();
    let page = Pulled { changes: json(&changes)?, cursor, has_more: says("hasMore"), reset: says("reset") };
    Ok(Input::Pulled { conn, call, page })
}

/// Empty for what has no JSON.
fn json(value: &JsValue) -> Result<String, JsValue> {
    Ok(to_json(value)?.dyn_ref::<JsString>().map(String::from).unwrap_or_default())
}

/// What is known of a failure: ours say it in fields, as do many others; the rest may pass.
fn failure(thrown: &JsValue) -> Failure {
    let number = |name: &str| field(thrown, name).as_f64().filter(|number| *number >= 0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    let code = |name: &str| number(name).map(|code| code as u16);
    let message = field(thrown, "message").as_string().or_else(|| thrown.as_string());
    Failure {
        status: code("status"),
        close_code: code("closeCode"),
        retry_after: number("retryAfter").and_then(Duration::from_ms),
        needs_auth: field(thrown, "code") == "needs-auth",
        timed_out: field(thrown, "code") == "request-timeout" || field(thrown, "name") == "TimeoutError",
        message: message.unwrap_or_else(|| "the call has failed".to_owned()),
    }
}

fn abort_controller() -> JsValue {
    let class = field(&js_sys::global(), "AbortController").dyn_into::<Function>();
    class.and_then(|class| Reflect::construct(&class, &Array::new())).unwrap_or_default()
}
