//! What may end one attempt before its answer: the caller's signal and the time that it has. Decides which signal
//! `fetch` is given; never settles anything. Made by [`super::exchange`] for each attempt.

use js_sys::{Array, Function, Reflect};
use wasm_bindgen::prelude::*;

use crate::web::interop::{AbortListener, field};
use crate::web::timer::Timer;

/// Lets go of its listener and its timer when it is dropped.
#[derive(Debug)]
pub(super) struct Limits {
    /// For `fetch`: the caller's very own or the timeout's where it is alone, else one that we can fire.
    pub(super) signal: JsValue,
    own: Option<Controller>,
    timeout: JsValue,
    _listener: Option<AbortListener>,
    _timer: Option<Timer>,
}

#[wasm_bindgen]
extern "C" {
    #[derive(Debug)]
    type Controller;

    #[wasm_bindgen(method, catch)]
    fn abort(this: &Controller, reason: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter)]
    fn signal(this: &Controller) -> JsValue;
}

impl Limits {
    /// The time runs from now; `on_timeout` is called when it is over.
    pub(super) fn new(caller: &JsValue, ms: Option<f64>, on_timeout: impl Fn() + 'static) -> Self {
        let timeout = ms.and_then(timeout_signal);
        let (own, signal) = match &timeout {
            None if caller.is_object() && ms.is_none() => (None, caller.clone()),
            Some(timeout) if !caller.is_object() => (None, timeout.clone()),
            Some(_) | None => {
                let own = controller();
                let signal = own.as_ref().map(Controller::signal).unwrap_or_default();
                (own, signal)
            }
        };
        let (listener, timer) = match (&timeout, ms) {
            // A double may have no way to listen; then it is asked when `fetch` has failed.
            (Some(timeout), _) => (AbortListener::new(timeout, move |_| on_timeout()).ok(), None),
            (None, Some(ms)) => (None, Some(Timer::after(ms, on_timeout))),
            (None, None) => (None, None),
        };
        Limits { signal, own, timeout: timeout.unwrap_or_default(), _listener: listener, _timer: timer }
    }

    /// Ends the attempt, as far as its signal is ours.
    pub(super) fn abort(&self, why: &JsValue) {
        if let Some(own) = &self.own {
            // Fails only for a double.
            let _ = own.abort(why);
        }
    }

    /// Whether the time is over, by its own signal.
    pub(super) fn has_timed_out(&self) -> bool {
        field(&self.timeout, "aborted").is_truthy()
    }
}

/// `AbortSignal.timeout`, where the global has it.
fn timeout_signal(ms: f64) -> Option<JsValue> {
    let class = field(&js_sys::global(), "AbortSignal");
    let timeout: Function = field(&class, "timeout").dyn_into().ok()?;
    timeout.call1(&class, &ms.into()).ok().filter(JsValue::is_object)
}

fn controller() -> Option<Controller> {
    let class: Function = field(&js_sys::global(), "AbortController").dyn_into().ok()?;
    Some(Reflect::construct(&class, &Array::new()).ok()?.unchecked_into())
}
