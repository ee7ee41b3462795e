//! What the browser tells of the device and the page: network, visibility, freezing, the way out and back. Decides
//! nothing, and takes for granted nothing: a worker has no document, Node no events, a device may be wrong about
//! itself. Used by `ws::driver` while its transport is wanted, and by `driver` where the
//! transport keeps no connection.

use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::interop::field;
use crate::engine::link::Input;

#[wasm_bindgen]
extern "C" {
    type Target;

    #[wasm_bindgen(method, catch, js_name = addEventListener)]
    fn add_event_listener(this: &Target, kind: &JsValue, listener: &Function) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEventListener)]
    fn remove_event_listener(this: &Target, kind: &JsValue, listener: &Function) -> Result<(), JsValue>;
}

const OF_THE_GLOBAL: &[&str] = &["online", "offline", "pagehide", "pageshow"];
const OF_THE_DOCUMENT: &[&str] = &["visibilitychange", "freeze", "resume"];

/// Listens until it is dropped, with one function for everything.
#[derive(Debug)]
pub(super) struct Signals {
    listener: Closure<dyn Fn(JsValue)>,
    /// The one that was listened to, should the global lose it.
    document: JsValue,
}

impl Signals {
    pub(super) fn listen(on_signal: impl Fn(Input) + 'static) -> Self {
        let listener = Closure::new(move |event: JsValue| on_signal(read(&event)));
        let signals = Signals { listener, document: document() };
        // Whoever has no such events needs none.
        signals.each(|target, kind, listener| drop(target.add_event_listener(kind, listener)));
        signals
    }

    /// How things stand, which no event has told.
    pub(super) fn present() -> [Input; 2] {
        [network(), visibility(&document())]
    }

    fn each(&self, act: fn(&Target, &JsValue, &Function)) {
        let global = js_sys::global().into();
        for (target, kinds) in [(&global, OF_THE_GLOBAL), (&self.document, OF_THE_DOCUMENT)] {
            let target: &JsValue = target;
            for kind in kinds {
                act(target.unchecked_ref(), &(*kind).into(), self.listener.as_js_value().unchecked_ref());
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.each(|target, kind, listener| drop(target.remove_event_listener(kind, listener)));
    }
}

fn read(event: &JsValue) -> Input {
    match field(event, "type").as_string().as_deref() {
        Some("pagehide") => Input::PageHidden,
        Some("pageshow") => Input::PageShown { restored: field(event, "persisted").is_truthy() },
        Some("freeze") => Input::Frozen,
        Some("resume") => Input::Resumed,
        Some("visibilitychange") => visibility(&document()),
        Some("online") => Input::Online,
        Some("offline") => Input::Offline,
        // A double may leave it out.
        Some(_) | None => network(),
    }
}

/// Up, unless the device says otherwise.
fn network() -> Input {
    let navigator = field(&js_sys::global(), "navigator");
    if field(&navigator, "onLine").as_bool() == Some(false) { Input::Offline } else { Input::Online }
}

/// Shown, unless the document says otherwise.
fn visibility(document: &JsValue) -> Input {
    let state = field(document, "visibilityState").as_string();
    if state.as_deref() == Some("hidden") { Input::Hidden } else { Input::Shown }
}

fn document() -> JsValue {
    field(&js_sys::global(), "document")
}
