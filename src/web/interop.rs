//! Small things that JavaScript has and `js_sys` lacks in this shape: plain objects, JSON, a promise with its two ends,
//! abort signals, random bits. Decides nothing. Called by the classes and drivers of `web`.

use std::cell::RefCell;
use std::pin::Pin;

use js_sys::{Function, JsString, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use super::error::SyncError;

/// A plain object of these fields; those that are undefined are left out.
pub(super) fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        if !value.is_undefined() {
            // A plain object takes every field.
            let _ = Reflect::set(&object, &(*name).into(), value);
        }
    }
    object.into()
}

/// A field of an object; undefined where it has none or throws.
pub(super) fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or_default()
}

/// Whether the object has this method.
pub(super) fn has_method(object: &JsValue, name: &str) -> bool {
    field(object, name).is_function()
}

/// What an option says: its value, or what its function returns.
pub(super) fn ask(option: &JsValue) -> Result<JsValue, JsValue> {
    match option.dyn_ref::<Function>() {
        Some(function) => function.call0(&JsValue::UNDEFINED),
        None => Ok(option.clone()),
    }
}

/// A listener of the app.
pub(super) fn function(listener: JsValue) -> Result<Function, JsValue> {
    listener.dyn_into().map_err(|_| SyncError::new("bad-option", "a listener must be a function").into())
}

/// JavaScript's own JSON of a value.
pub(super) fn to_json(value: &JsValue) -> Result<JsString, JsValue> {
    stringify(value)?.dyn_into()
}

/// Marks a promise as looked after: a call that nobody awaits must not end as an unhandled rejection. Whoever does await
/// it still gets the error.
pub(super) fn handled(promise: &Promise) {
    let _ = promise.unchecked_ref::<Thenable>().then(&JsValue::UNDEFINED, &no_op());
}

/// A function that does nothing with what it is given: `Boolean`.
pub(super) fn no_op() -> JsValue {
    field(&js_sys::global(), "Boolean")
}

/// A promise and how to settle it.
#[derive(Debug, Clone)]
pub(super) struct Deferred {
    pub(super) promise: Promise,
    resolve: Function,
    reject: Function,
}

impl Deferred {
    pub(super) fn new() -> Self {
        // Not `Function::default()`: it makes a function from text, which a strict content security policy forbids.
        let unset = || JsValue::UNDEFINED.unchecked_into::<Function>();
        let ends = RefCell::new((unset(), unset()));
        let promise = Promise::new(&mut |resolve, reject| {
            ends.replace((resolve, reject));
        });
        let (resolve, reject) = ends.into_inner();
        Deferred { promise, resolve, reject }
    }

    /// The ends of a promise cannot throw.
    pub(super) fn resolve(&self, value: &JsValue) {
        let _ = self.resolve.call1(&JsValue::UNDEFINED, value);
    }

    pub(super) fn reject(&self, why: &JsValue) {
        let _ = self.reject.call1(&JsValue::UNDEFINED, why);
    }
}

/// Starts a task.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    spawn_boxed(Box::pin(task));
}

/// Apart, so that the wasm holds what starts a task once, not once for each kind of task.
pub(super) fn spawn_boxed(task: Pin<Box<dyn Future<Output = ()>>>) {
    wasm_bindgen_futures::spawn_local(task);
}

#[wasm_bindgen]
extern "C" {
    // As js_sys has them, but the text stays a JavaScript string.
    #[wasm_bindgen(catch, js_namespace = JSON, js_name = parse)]
    pub(super) fn parse_json(text: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_namespace = JSON)]
    fn stringify(value: &JsValue) -> Result<JsValue, JsValue>;

    type Thenable;
    #[wasm_bindgen(method, catch)]
    fn then(this: &Thenable, kept: &JsValue, broken: &JsValue) -> Result<JsValue, JsValue>;

    #[derive(Debug, Clone)]
    pub(super) type AbortSignal;

    #[wasm_bindgen(method, getter)]
    fn aborted(this: &AbortSignal) -> bool;
    #[wasm_bindgen(method, getter)]
    fn reason(this: &AbortSignal) -> JsValue;
    #[wasm_bindgen(method, catch, js_name = addEventListener)]
    fn add_event_listener(this: &AbortSignal, kind: &str, listener: &Function) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEventListener)]
    fn remove_event_listener(this: &AbortSignal, kind: &str, listener: &Function) -> Result<(), JsValue>;

    type Global;
    type Crypto;

    #[wasm_bindgen(method, getter)]
    fn crypto(this: &Global) -> Option<Crypto>;
    #[wasm_bindgen(method, catch, js_name = getRandomValues)]
    fn get_random_values(this: &Crypto, into: &Uint8Array) -> Result<JsValue, JsValue>;
}

/// Listens to a signal until it is dropped.
#[derive(Debug)]
pub(super) struct AbortListener {
    signal: AbortSignal,
    callback: Closure<dyn FnMut()>,
}

impl AbortListener {
    /// `Err` with the reason when the signal has fired already.
    pub(super) fn new(
        signal: &JsValue,
        mut callback: impl FnMut(JsValue) + 'static,
    ) -> Result<Self, JsValue> {
        let signal: AbortSignal = signal.clone().unchecked_into();
        if signal.aborted() {
            return Err(signal.reason());
        }
        let fired = signal.clone();
        let callback = Closure::new(move || callback(fired.reason()));
        signal.add_event_listener("abort", callback.as_ref().unchecked_ref())?;
        Ok(AbortListener { signal, callback })
    }
}

impl Drop for AbortListener {
    fn drop(&mut self) {
        let _ = self.signal.remove_event_listener("abort", self.callback.as_ref().unchecked_ref());
    }
}

/// A signal's own reason; old signals have none.
pub(super) fn abort_reason(reason: JsValue) -> JsValue {
    if reason.is_undefined() {
        SyncError::new("aborted", "This operation was aborted").name("AbortError").into()
    } else {
        reason
    }
}

/// 64 random bits.
pub(super) fn random_u64() -> u64 {
    let bytes = Uint8Array::new_with_length(8);
    let global: Global = js_sys::global().unchecked_into();
    if let Some(crypto) = global.crypto() {
        // Fails only for more than 65,536 bytes.
        let _ = crypto.get_random_values(&bytes);
    }
    bytes.to_vec().iter().fold(0, |bits, &byte| (bits << 8) | u64::from(byte))
}
