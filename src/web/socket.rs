//! One browser socket: made, listened to, sent through, ended. Works with whatever `WebSocket` the global has when it
//! is made, doubles included. Decides nothing: every event goes to whoever opened it. Called by `ws::driver`.

use js_sys::{Array, Function, Reflect};
use wasm_bindgen::prelude::*;

use super::interop::{field, no_op};
use crate::engine::link::SocketId;
use crate::wire::CloseCode;

#[wasm_bindgen]
extern "C" {
    #[derive(Debug)]
    type Raw;
    type TextDecoder;

    #[wasm_bindgen(method, catch)]
    fn send(this: &Raw, data: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &Raw, code: u16) -> Result<(), JsValue>;

    type Bindable;
    #[wasm_bindgen(method)]
    fn bind(this: &Bindable, context: &JsValue, number: f64, handler: &JsValue) -> JsValue;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<TextDecoder, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn decode(this: &TextDecoder, bytes: &JsValue) -> Result<JsValue, JsValue>;
}

/// What a socket tells.
#[derive(Debug)]
pub(super) enum Event {
    Opened,
    /// `event.data`, as it came.
    Message(JsValue),
    Error,
    Closed {
        code: CloseCode,
        text: String,
    },
}

/// More than this does not wait in a socket: what cannot leave is better refused while the one who sends still has it.
const FULL: f64 = 16.0 * 1024.0 * 1024.0;

const HANDLERS: [&str; 4] = ["onopen", "onmessage", "onerror", "onclose"];

/// The one function behind all handlers of all sockets of a transport: each handler is the same function with its own
/// first two arguments. So a late call of a dead socket's handler still finds someone who knows that it is late.
#[derive(Debug)]
pub(super) struct Ear(Closure<dyn Fn(f64, JsValue, JsValue)>);

impl Ear {
    /// `on_event` gets the number of the socket.
    pub(super) fn new(on_event: impl Fn(SocketId, Event) + 'static) -> Self {
        Ear(Closure::new(move |number: f64, handler: JsValue, event: JsValue| {
            if let Some(event) = read(&handler, &event) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it was a number of ours
                on_event(number as SocketId, event);
            }
        }))
    }
}

/// A socket with its handlers. Dropping it takes the handlers off; it does not close it.
#[derive(Debug)]
pub(super) struct Socket {
    raw: Raw,
}

impl Socket {
    /// Whether the global has a `WebSocket` at this moment.
    pub(super) fn is_available() -> bool {
        constructor().is_function()
    }

    /// `new WebSocket(url)`, with its handlers on.
    pub(super) fn open(url: &JsValue, number: SocketId, ear: &Ear) -> Result<Self, JsValue> {
        let class = constructor().dyn_into::<Function>()?;
        let raw = Reflect::construct(&class, &Array::of1(url))?;
        // Where a double does not take it, its binary frames are blobs, and those are read too.
        let _ = Reflect::set(&raw, &"binaryType".into(), &"arraybuffer".into());
        let function: &Bindable = ear.0.as_js_value().unchecked_ref();
        for handler in HANDLERS {
            let handler = JsValue::from(handler);
            #[allow(clippy::cast_precision_loss)] // far below 2^53
            let bound = function.bind(&JsValue::UNDEFINED, number as f64, &handler);
            Reflect::set(&raw, &handler, &bound)?;
        }
        Ok(Socket { raw: raw.unchecked_into() })
    }

    pub(super) fn send(&self, data: &JsValue) -> Result<(), JsValue> {
        self.raw.send(data)
    }

    /// As the socket says it; a double may say nothing.
    pub(super) fn ready_state(&self) -> Option<i32> {
        #[allow(clippy::cast_possible_truncation)] // `as` saturates
        field(&self.raw, "readyState").as_f64().map(|state| state as i32)
    }

    /// It has begun to close, or is closed, whatever was told.
    pub(super) fn is_ending(&self) -> bool {
        self.ready_state().is_some_and(|state| state >= 2)
    }

    /// The bytes that have not left yet; 0 where it does not say.
    pub(super) fn buffered(&self) -> f64 {
        field(&self.raw, "bufferedAmount").as_f64().unwrap_or(0.0)
    }

    /// Nothing more may be sent before some of what waits has left.
    pub(super) fn is_full(&self) -> bool {
        self.buffered() > FULL
    }

    /// Closes it for good: none of its events is heard any more.
    pub(super) fn end(&self, code: CloseCode) {
        self.take_handlers_off();
        let _ = self.raw.close(code.0);
    }

    /// Errors keep a handler that does nothing: what nobody looks after, Node's sockets throw.
    fn take_handlers_off(&self) {
        for handler in HANDLERS {
            let nothing = if handler == "onerror" { no_op() } else { JsValue::NULL };
            let _ = Reflect::set(&self.raw, &handler.into(), &nothing);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.take_handlers_off();
    }
}

fn constructor() -> JsValue {
    field(&js_sys::global(), "WebSocket")
}

fn read(handler: &JsValue, event: &JsValue) -> Option<Event> {
    Some(match handler.as_string()?.as_str() {
        "onopen" => Event::Opened,
        "onmessage" => Event::Message(field(event, "data")),
        "onerror" => Event::Error,
        _ => Event::Closed {
            code: close_code(event),
            text: field(event, "reason").as_string().unwrap_or_default(),
        },
    })
}

/// A double may leave it out: then the connection just broke.
fn close_code(event: &JsValue) -> CloseCode {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    field(event, "code").as_f64().map_or(CloseCode::ABNORMAL, |code| CloseCode(code as u16))
}

/// The bytes of a binary frame as text.
pub(super) fn decode_utf8(bytes: &JsValue) -> Result<JsValue, JsValue> {
    TextDecoder::new()?.decode(bytes)
}
