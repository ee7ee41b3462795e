//! Small things that JavaScript has and `js_sys` lacks in this shape: plain objects, a promise with its two ends,
//! abort signals, random bits. Decides nothing. Called by the classes and drivers of `web`.

use std::cell::RefCell;

use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

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

#[wasm_bindgen]
extern "C" {
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
