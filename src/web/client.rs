//! The exported `SyncClient` (types.d.ts): turns calls from JavaScript into calls of the driver, and nothing else.

use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use super::driver::Driver;
use super::error::SyncError;
use super::events::EventName;
use super::interop::field;
use super::options::Options;
use crate::engine::replica::Level;
use crate::engine::store::List;

/// Keeps one cr-sqlite database in step with a remote.
#[wasm_bindgen(skip_typescript)]
#[derive(Debug)]
pub struct SyncClient {
    driver: Rc<Driver>,
}

#[wasm_bindgen]
impl SyncClient {
    #[wasm_bindgen(constructor)]
    pub fn new(options: &JsValue) -> Result<SyncClient, JsValue> {
        Ok(SyncClient { driver: Driver::new(Options::parse(options)?) })
    }

    #[wasm_bindgen(skip_typescript)]
    pub fn start(&self) -> Promise {
        self.driver.start()
    }

    #[wasm_bindgen(skip_typescript)]
    pub fn stop(&self) -> Promise {
        self.driver.stop()
    }

    #[wasm_bindgen(skip_typescript, js_name = syncNow)]
    pub fn sync_now(&self, signal: &JsValue) -> Promise {
        self.driver.wait(Level::Round, signal)
    }

    #[wasm_bindgen(skip_typescript, getter)]
    pub fn status(&self) -> JsValue {
        self.driver.status()
    }

    #[wasm_bindgen(skip_typescript)]
    pub fn on(&self, event: &JsValue, listener: &JsValue) -> Result<JsValue, JsValue> {
        let name = EventName::parse(&event.as_string().unwrap_or_default())?;
        let listener = listener
            .dyn_ref::<Function>()
            .ok_or_else(|| SyncError::new("bad-option", "on() needs a function to call"))?;
        let id = self.driver.listeners.add(name, listener.clone());
        let driver = Rc::downgrade(&self.driver);
        let off = Closure::<dyn FnMut()>::new(move || {
            if let Some(driver) = driver.upgrade() {
                driver.listeners.remove(id);
            }
        });
        Ok(off.into_js_value())
    }

    #[wasm_bindgen(skip_typescript, js_name = waitForFirstSync)]
    pub fn wait_for_first_sync(&self, signal: &JsValue) -> Promise {
        self.driver.wait(Level::FirstSync, signal)
    }

    #[wasm_bindgen(skip_typescript, js_name = waitForSynced)]
    pub fn wait_for_synced(&self, options: &JsValue) -> Promise {
        let level = match field(options, "level").as_string().as_deref() {
            None | Some("stored") => Level::Stored,
            Some("sent") => Level::Sent,
            Some(_) => {
                let error = SyncError::new("bad-option", "level must be \"sent\" or \"stored\"");
                return Promise::reject(&error.into());
            }
        };
        // The other waits take the signal itself, and so does this one.
        let bare = !field(options, "aborted").is_undefined();
        let signal = if bare { options.clone() } else { field(options, "signal") };
        self.driver.wait(level, &signal)
    }

    #[wasm_bindgen(skip_typescript)]
    pub fn resync(&self) -> Promise {
        self.driver.wait(Level::Resync, &JsValue::UNDEFINED)
    }

    #[wasm_bindgen(skip_typescript)]
    pub fn retry(&self, signal: &JsValue) -> Promise {
        self.driver.wait(Level::Retry, signal)
    }

    #[wasm_bindgen(skip_typescript, js_name = acceptAccount)]
    pub fn accept_account(&self) -> Promise {
        self.driver.wait(Level::Account, &JsValue::UNDEFINED)
    }

    #[wasm_bindgen(skip_typescript, js_name = exportDiagnostics)]
    pub fn export_diagnostics(&self) -> Promise {
        self.driver.diagnostics()
    }

    #[wasm_bindgen(skip_typescript)]
    pub fn quarantine(&self) -> Promise {
        self.driver.kept(List::Quarantine)
    }

    #[wasm_bindgen(skip_typescript)]
    pub fn rejected(&self) -> Promise {
        self.driver.kept(List::Rejected)
    }
}
