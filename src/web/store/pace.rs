//! Lets the page breathe during long work: decides when a slice is over and waits for a macrotask, in which input,
//! timers and painting get their turn. The transaction stays open meanwhile. Called by `store` between rows.

use js_sys::Function;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::engine::clock::Duration;
use crate::web::timer;

/// How long we work in one go.
const SLICE_MS: u64 = 8;

/// When the current slice began.
#[derive(Debug)]
pub(super) struct Pace(Duration);

impl Pace {
    pub(super) fn start() -> Self {
        Pace(timer::now().at)
    }

    /// Waits for a macrotask if the slice is over.
    pub(super) async fn breathe(&mut self) {
        if timer::now().at.saturating_sub(self.0) >= Duration::from_millis(SLICE_MS) {
            macrotask().await;
            self.0 = timer::now().at;
        }
    }
}

#[wasm_bindgen]
extern "C" {
    type MessageChannel;
    type MessagePort;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<MessageChannel, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn port1(this: &MessageChannel) -> MessagePort;
    #[wasm_bindgen(method, getter)]
    fn port2(this: &MessageChannel) -> MessagePort;
    #[wasm_bindgen(method, setter)]
    fn set_onmessage(this: &MessagePort, listener: Option<&Function>);
    #[wasm_bindgen(method, catch, js_name = postMessage)]
    fn post_message(this: &MessagePort, message: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &MessagePort) -> Result<(), JsValue>;
}

/// Resolves in a new task. A channel, because timers are clamped when nested and throttled in hidden tabs.
pub(crate) async fn macrotask() {
    let Ok(channel) = MessageChannel::new() else { return };
    let port = channel.port1();
    let told = js_sys::Promise::new(&mut |resolve, _| {
        port.set_onmessage(Some(&resolve));
        let _ = channel.port2().post_message(&JsValue::NULL);
    });
    let _ = JsFuture::from(told).await;
    port.set_onmessage(None);
    let _ = port.close();
}
