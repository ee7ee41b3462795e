//! The clock and one-shot timers, looked up on the global when they are needed (an app may replace them, a worker
//! has no `window`). Decides nothing about when. A timer that fires moves the clock to its deadline at least, so
//! that a machine told `now()` always finds due what a timer was set for. Called by the drivers.

use std::cell::Cell;

use js_sys::{Date, Function};
use wasm_bindgen::prelude::*;

use crate::engine::clock::{Duration, Now};

#[wasm_bindgen]
extern "C" {
    type Global;
    type Performance;

    #[wasm_bindgen(method, catch, js_name = setTimeout)]
    fn set_timeout(this: &Global, callback: &Function, ms: f64) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = clearTimeout)]
    fn clear_timeout(this: &Global, id: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter)]
    fn performance(this: &Global) -> Option<Performance>;
    #[wasm_bindgen(method, catch)]
    fn now(this: &Performance) -> Result<f64, JsValue>;
}

/// The longest delay that `setTimeout` takes; a longer one would fire at once.
const LONGEST_MS: f64 = 2_147_483_647.0;
/// Covers the rounding between floating milliseconds and [`Now`].
const MARGIN_MS: f64 = 0.002;

thread_local! {
    /// How far timers have run ahead of the monotonic clock, in milliseconds.
    static AHEAD: Cell<f64> = const { Cell::new(0.0) };
}

/// A one-shot timer; dropping it cancels it and frees the callback.
#[derive(Debug)]
pub struct Timer {
    id: JsValue,
    _callback: Closure<dyn FnMut()>,
}

impl Timer {
    /// Calls `callback` once, in `ms` milliseconds. A delay beyond 24 days is cut: the callback asks the machine for
    /// its deadline again anyway.
    #[must_use = "dropping a timer cancels it"]
    pub fn after(ms: f64, callback: impl FnOnce() + 'static) -> Self {
        let ms = ms.clamp(0.0, LONGEST_MS);
        let due = now_ms() + ms;
        let callback = Closure::once(move || {
            catch_up(due);
            callback();
        });
        let id = global().set_timeout(callback.as_ref().unchecked_ref(), ms).unwrap_or_default();
        Timer { id, _callback: callback }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _ = global().clear_timeout(&self.id);
    }
}

/// This moment.
#[must_use]
pub fn now() -> Now {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // far below 2^53; `as` saturates
    Now { at: Duration::from_micros((now_ms() * 1000.0) as u64), wall_ms: Date::now() as i64 }
}

/// Milliseconds from now until a deadline, 0 when it has passed; never short of it.
#[must_use]
pub fn ms_until(deadline: Duration, now: Now) -> f64 {
    deadline.saturating_sub(now.at).as_ms().ceil()
}

/// The wall clock at a deadline, for people.
#[must_use]
pub fn wall_at(deadline: Duration, now: Now) -> f64 {
    #[allow(clippy::cast_precision_loss)] // milliseconds since 1970
    let wall = now.wall_ms as f64;
    wall + ms_until(deadline, now)
}

fn now_ms() -> f64 {
    let monotonic = global().performance().and_then(|performance| performance.now().ok());
    monotonic.unwrap_or_else(Date::now) + AHEAD.get()
}

fn catch_up(due: f64) {
    let behind = due - now_ms() + MARGIN_MS;
    if behind > 0.0 {
        AHEAD.set(AHEAD.get() + behind);
    }
}

fn global() -> Global {
    js_sys::global().unchecked_into()
}
