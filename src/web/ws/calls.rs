//! The promises of `push()` and `pull()` that wait for an answer, beside the engine's table of requests, which
//! decides whose an answer is. Takes abort listeners off when a call is over. Used by [`super::driver`].

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::driver::Driver;
use super::frames;
use super::options::{self, Protocol};
use crate::engine::clock::Duration;
use crate::engine::link::{Doubt, Input, Phase, SocketId};
use crate::engine::requests::{Expired, Kind, Match, RequestNo, Requests};
use crate::engine::retry;
use crate::web::error::{SyncError, report};
use crate::web::interop::{AbortListener, Deferred, abort_reason, field, handled, to_json};
use crate::web::{timer, validate};
use crate::wire::CloseCode;

#[derive(Debug)]
struct Call {
    deferred: Deferred,
    kind: Kind,
    /// What was pushed.
    changes: JsValue,
    _abort: Option<AbortListener>,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    requests: RefCell<Requests>,
    calls: RefCell<Vec<(RequestNo, Call)>>,
}

impl Calls {
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.requests.borrow().poll_timeout()
    }

    /// Rejects what has timed out; when the last of it was sent.
    pub(super) fn expire(&self) -> Option<Duration> {
        let expired = self.requests.borrow_mut().expired(timer::now());
        let last = expired.iter().map(|expired| expired.sent).max();
        for Expired { number, id, .. } in expired {
            let error = SyncError::new("request-timeout", format!("Request timed out ({id})"));
            self.reject(number, &error.retryable(true).into());
        }
        last
    }

    /// The connection is gone, and no answer will come.
    pub(super) fn lost(&self, close: Option<&(CloseCode, String)>) {
        let lost = self.requests.borrow_mut().lost();
        for number in lost {
            let error = SyncError::new("disconnected", "WebSocket disconnected").retryable(true);
            self.reject(number, &closed_by(error, close).into());
        }
    }

    /// The `requestId` of a probe, unless the answer to a request is due that will do as well.
    pub(super) fn probe(&self, doubt: Doubt) -> Option<String> {
        let mut requests = self.requests.borrow_mut();
        if doubt == Doubt::Silence && requests.poll_timeout().is_some() {
            return None;
        }
        Some(requests.probe(timer::now()))
    }

    fn take(&self, number: RequestNo) -> Option<Call> {
        let mut calls = self.calls.borrow_mut();
        let index = calls.iter().position(|(other, _)| *other == number)?;
        Some(calls.remove(index).1)
    }

    fn reject(&self, number: RequestNo, why: &JsValue) {
        if let Some(call) = self.take(number) {
            call.deferred.reject(why);
        }
    }
}

/// The error says how the server closed the connection.
pub(super) fn closed_by(error: SyncError, close: Option<&(CloseCode, String)>) -> SyncError {
    let Some((code, text)) = close else { return error };
    let error = error.close_code(code.0);
    match retry::stated_delay(text) {
        Some(delay) => error.retry_after(delay.as_ms()),
        None => error,
    }
}

/// Sends a request; the promise is its answer.
pub(super) fn start(driver: &Rc<Driver>, kind: Kind, payload: &JsValue, given: &JsValue) -> Promise {
    match try_start(driver, kind, payload, given) {
        Ok(promise) => promise,
        Err(why) => {
            let promise = Promise::reject(&why);
            handled(&promise);
            promise
        }
    }
}

fn try_start(
    driver: &Rc<Driver>,
    kind: Kind,
    payload: &JsValue,
    given: &JsValue,
) -> Result<Promise, JsValue> {
    if driver.options.protocol != Protocol::PushPull {
        let message = format!("{}() needs protocol \"push-pull\"", kind.as_str());
        return Err(SyncError::new("bad-option", message).into());
    }
    let signal = field(given, "signal");
    if field(&signal, "aborted").is_truthy() {
        return Err(abort_reason(field(&signal, "reason")));
    }
    let Some(socket) = driver.writable() else { return Err(not_open(driver)) };
    if socket.is_full() {
        let message = "WebSocket send buffer full: what was sent before has not left yet";
        return Err(SyncError::new("outbox-overflow", message).retryable(true).into());
    }
    let own = options::duration(field(given, "timeout").as_f64().unwrap_or(f64::INFINITY));
    let timeout = [own, driver.options.request_timeout].into_iter().flatten().min();
    // Nothing is booked before everything that can throw has not.
    let payload = to_json(payload)?;
    let (number, id) = driver.calls.requests.borrow_mut().begin(timer::now(), kind, timeout);
    let frame = frames::around(kind.as_str(), Some(&id), &payload);
    let deferred = Deferred::new();
    handled(&deferred.promise);
    let abort = listen(driver, number, &signal).inspect_err(|_| forget(driver, number))?;
    let changes = field(given, "changes");
    let call = Call { deferred: deferred.clone(), kind, changes, _abort: abort };
    driver.calls.calls.borrow_mut().push((number, call));
    // Booked before it is sent: a double may answer from inside `send`.
    if let Err(thrown) = socket.send(&frame) {
        forget(driver, number);
        let message = field(&thrown, "message").as_string().unwrap_or_else(|| "WebSocket send failed".into());
        driver
            .calls
            .reject(number, &SyncError::new("network", message).retryable(true).cause(&thrown).into());
    }
    driver.set_timers();
    Ok(deferred.promise)
}

fn forget(driver: &Rc<Driver>, number: RequestNo) {
    driver.calls.requests.borrow_mut().cancel(number);
}

fn listen(
    driver: &Rc<Driver>,
    number: RequestNo,
    signal: &JsValue,
) -> Result<Option<AbortListener>, JsValue> {
    if !signal.is_object() {
        return Ok(None);
    }
    let driver = Rc::downgrade(driver);
    let listener = AbortListener::new(signal, move |why| {
        if let Some(driver) = driver.upgrade() {
            forget(&driver, number);
            driver.calls.reject(number, &abort_reason(why));
            driver.set_timers();
        }
    });
    listener.map(Some).map_err(abort_reason)
}

fn not_open(driver: &Rc<Driver>) -> JsValue {
    let (code, retryable) = match driver.phase() {
        Phase::NeedsAuth => ("needs-auth", false),
        Phase::Failed => ("gave-up", false),
        Phase::Idle | Phase::Closed => ("not-connected", false),
        Phase::Connecting | Phase::Open | Phase::Waiting | Phase::Offline => ("not-connected", true),
    };
    let message = format!("WebSocket not connected (readyState: {})", driver.ready_state());
    SyncError::new(code, message).retryable(retryable).into()
}

/// A result has come.
pub(super) fn answered(driver: &Rc<Driver>, socket: SocketId, id: &str, kind: Kind, payload: &JsValue) {
    let whose = driver.calls.requests.borrow_mut().answered(id, Some(kind));
    match whose {
        // Aborted or timed out.
        Match::NotOurs => {}
        Match::WrongType(number) => {
            let message = format!("The answer to {id} is of another type: {}_result", kind.as_str());
            driver.calls.reject(number, &SyncError::new("invalid-response", message).into());
        }
        Match::Settles(number) => {
            let Some(call) = driver.calls.take(number) else { return };
            match validate::read(call.kind, &call.changes, payload) {
                Ok(result) => {
                    call.deferred.resolve(&result);
                    driver.dispatch(Input::Healthy { socket });
                }
                Err(invalid) => call.deferred.reject(&invalid),
            }
        }
    }
    driver.set_timers();
}

/// An error has come; one that answers nothing of ours is only reported.
pub(super) fn failed(driver: &Rc<Driver>, id: Option<&str>, error: SyncError) {
    let whose = id.map_or(Match::NotOurs, |id| driver.calls.requests.borrow_mut().answered(id, None));
    match whose {
        Match::Settles(number) | Match::WrongType(number) => driver.calls.reject(number, &error.into()),
        Match::NotOurs => report(&error.into()),
    }
    driver.set_timers();
}
