//! What the device says about its network: `online` and `offline` events, where the global has them (windows and
//! workers). Decides nothing; a device may be wrong about itself. Used by [`super::driver`] while it is wanted.

use js_sys::Function;
use wasm_bindgen::prelude::*;

use crate::web::interop::field;

#[wasm_bindgen]
extern "C" {
    type Global;

    #[wasm_bindgen(method, catch, js_name = addEventListener)]
    fn add_event_listener(this: &Global, kind: &JsValue, listener: &Function) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEventListener)]
    fn remove_event_listener(this: &Global, kind: &JsValue, listener: &Function) -> Result<(), JsValue>;
}

const KINDS: [&str; 2] = ["online", "offline"];

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Network {
    listener: Closure<dyn Fn()>,
}

impl Network {
    pub(super) fn listen(on_change: impl Fn() + 'static) -> Self {
        let listener = Closure::new(on_change);
        for kind in KINDS {
            // Node has no such events, and needs none.
            let _ = global().add_event_listener(&kind.into(), listener.as_js_value().unchecked_ref());
        }
        Network { listener }
    }

    /// Unless the device says otherwise.
    pub(super) fn is_up() -> bool {
        field(&field(&js_sys::global(), "navigator"), "onLine").as_bool() != Some(false)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for kind in KINDS {
            let _ = global().remove_event_listener(&kind.into(), self.listener.as_js_value().unchecked_ref());
        }
    }
}

fn global() -> Global {
    js_sys::global().unchecked_into()
}
