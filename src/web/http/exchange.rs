//! Carries one call out: asks the app for address and headers, calls `fetch`, reads the answer, and does so once more
//! with new credentials when `engine::reach` says so. What needs no waiting happens within the call of the app.
//! Called by [`super::driver`].

use std::rc::Rc;
use std::task::{Context, Waker};

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::answer;
use super::call::Call;
use super::driver::Driver;
use super::limits::Limits;
use super::request::text;
use crate::engine::reach::{Credentials, Input, Loss, Next};
use crate::web::error::SyncError;
use crate::web::interop::{Deferred, abort_reason, ask, field, handled, has_method, spawn_boxed};

/// How an attempt has ended.
pub(super) enum Ended {
    /// For good, and what that has shown.
    With(Result<JsValue, JsValue>, Option<Input>),
    /// With a 401.
    Unauthenticated(SyncError),
}

pub(super) fn run(driver: Rc<Driver>, call: Rc<Call>) {
    let mut talk = Box::pin(converse(driver, call));
    // The first step at once: `fetch` is called before `push()` returns.
    if talk.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        spawn_boxed(talk);
    }
}

async fn converse(driver: Rc<Driver>, call: Rc<Call>) {
    let mut repeated = false;
    while !call.is_over() {
        let sent_with = driver.credentials();
        let ended = attempt(&driver, &call, sent_with).await;
        let Some(ended) = ended.filter(|_| !call.is_over()) else { return };
        let error = match ended {
            Ended::With(result, shown) => return driver.settle(&call, &result, shown),
            Ended::Unauthenticated(error) => error,
        };
        // The app may take its time: no timeout runs while it is asked.
        call.attempt_ended();
        let renewed =
            match driver.handle(Input::Unauthenticated { kind: call.task.kind(), sent_with, repeated }) {
                Next::Settle => return driver.settle(&call, &Err(error.into()), None),
                Next::Repeat => Ok(JsValue::UNDEFINED),
                Next::Ask => renew(&driver).await,
                Next::Wait => {
                    let asking = driver.asking.borrow().as_ref().map(|asking| asking.promise.clone());
                    known(Ok(asking.into())).await
                }
            };
        if let Err(thrown) = renewed {
            return driver.settle(&call, &Err(error.cause(&thrown).into()), None);
        }
        repeated = true;
    }
}

/// Asks the app for new credentials, and tells everybody who waits for them.
async fn renew(driver: &Rc<Driver>) -> Result<JsValue, JsValue> {
    let asking = Deferred::new();
    handled(&asking.promise);
    driver.asking.replace(Some(asking.clone()));
    let asked = match &driver.options.on_auth_required {
        Some(function) => function.call0(&JsValue::UNDEFINED),
        None => Ok(JsValue::UNDEFINED),
    };
    let asked = known(asked).await;
    driver.asking.replace(None);
    driver.handle(Input::Asked { done: asked.is_ok() });
    match &asked {
        Ok(value) => asking.resolve(value),
        Err(thrown) => asking.reject(thrown),
    }
    asked
}

/// None when the call was over before the attempt was.
async fn attempt(driver: &Rc<Driver>, call: &Rc<Call>, sent_with: Credentials) -> Option<Ended> {
    let signal = call.begin(limits(driver, call));
    let options = &driver.options;
    let (base, headers) = match given(&options.url, &options.headers).await {
        Ok(given) => given,
        Err(thrown) => return Some(no_address(call, Some(&thrown))),
    };
    if call.is_over() {
        return None;
    }
    let Some(base) = text(&base) else { return Some(no_address(call, None)) };
    let sent = call.request.send(&base, &headers, &options.fetch_options, &signal);
    match known(sent).await {
        Ok(response) if call.is_over() => {
            discard(&response);
            None
        }
        Ok(response) => Some(answer::read(call, sent_with, &response).await),
        Err(thrown) => Some(failed(call, &thrown)),
    }
}

/// Address and headers, as the app gives them now.
async fn given(url: &JsValue, headers: &JsValue) -> Result<(JsValue, JsValue), JsValue> {
    let url = known(ask(url)).await?;
    Ok((url, known(ask(headers)).await?))
}

/// A value, or what its promise is kept with.
pub(super) async fn known(value: Result<JsValue, JsValue>) -> Result<JsValue, JsValue> {
    let value = value?;
    if value.is_object() && has_method(&value, "then") {
        JsFuture::from(Promise::resolve(&value)).await
    } else {
        Ok(value)
    }
}

fn limits(driver: &Rc<Driver>, call: &Rc<Call>) -> Limits {
    let (driver, weak) = (Rc::downgrade(driver), Rc::downgrade(call));
    Limits::new(&call.signal, call.timeout_ms, move || {
        if let (Some(driver), Some(call)) = (driver.upgrade(), weak.upgrade()) {
            driver.cancel(&call, &timed_out(&call), Some(Input::Lost(loss(Loss::TimedOut))));
        }
    })
}

/// `fetch` has failed, or what it gave broke off.
pub(super) fn failed(call: &Call, thrown: &JsValue) -> Ended {
    let name = field(thrown, "name").as_string().unwrap_or_default();
    if field(&call.signal, "aborted").is_truthy() {
        Ended::With(Err(abort_reason(field(&call.signal, "reason"))), None)
    } else if call.has_timed_out() || name == "TimeoutError" {
        Ended::With(Err(timed_out(call)), Some(Input::Lost(loss(Loss::TimedOut))))
    } else if name == "AbortError" {
        // Nobody but us and the app can have meant that.
        Ended::With(Err(thrown.clone()), None)
    } else {
        let message = field(thrown, "message").as_string().unwrap_or_else(|| "no answer".into());
        let message = [call.task.failed(), ": ", &message].concat();
        let error = SyncError::new("network", message).retryable(true).cause(thrown);
        Ended::With(Err(error.into()), Some(Input::Lost(loss(Loss::Network))))
    }
}

/// The app's own function has thrown, or its url() gave no address.
fn no_address(call: &Call, thrown: Option<&JsValue>) -> Ended {
    let (code, why) = match thrown {
        Some(_) => ("connect-failed", ": its url or headers could not be had"),
        None => ("bad-option", ": url() must give a string"),
    };
    let mut error = SyncError::new(code, [call.task.failed(), why].concat()).retryable(thrown.is_some());
    if let Some(thrown) = thrown {
        error = error.cause(thrown);
    }
    Ended::With(Err(error.into()), None)
}

/// Named as the platform names it.
fn timed_out(call: &Call) -> JsValue {
    let message = [call.task.failed(), ": timed out"].concat();
    SyncError::new("request-timeout", message).name("TimeoutError").retryable(true).into()
}

fn loss(otherwise: Loss) -> Loss {
    let online = field(&field(&js_sys::global(), "navigator"), "onLine");
    if online.as_bool() == Some(false) { Loss::Offline } else { otherwise }
}

/// Nobody wants this answer any more.
fn discard(response: &JsValue) {
    let body = field(response, "body");
    if let Ok(cancel) = field(&body, "cancel").dyn_into::<Function>()
        && let Ok(promise) = cancel.call0(&body)
        && promise.is_object()
    {
        handled(promise.unchecked_ref());
    }
}
