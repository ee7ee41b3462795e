//! The other tabs of the same database and remote: who leads (a Web Lock), and what tabs tell each other (a
//! BroadcastChannel). Decides nothing about replication; where a browser lacks either, the tab is alone.
//! Called by the driver.

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::interop::{Deferred, object};

#[wasm_bindgen]
extern "C" {
    type Global;
    type Navigator;
    type LockManager;
    #[derive(Debug, Clone)]
    type AbortController;
    #[derive(Debug, Clone)]
    type BroadcastChannel;

    #[wasm_bindgen(method, getter)]
    fn navigator(this: &Global) -> Option<Navigator>;
    #[wasm_bindgen(method, getter)]
    fn locks(this: &Navigator) -> Option<LockManager>;
    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &JsValue,
        callback: &Function,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<AbortController, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> JsValue;
    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);

    #[wasm_bindgen(constructor, catch)]
    fn new(name: &str) -> Result<BroadcastChannel, JsValue>;
    #[wasm_bindgen(method, catch, js_name = postMessage)]
    fn post_message(this: &BroadcastChannel, message: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, setter)]
    fn set_onmessage(this: &BroadcastChannel, listener: Option<&Function>);
    #[wasm_bindgen(method, catch)]
    fn close(this: &BroadcastChannel) -> Result<(), JsValue>;
}

/// A lock that is held; dropping it lets another tab lead.
#[derive(Debug)]
pub(super) struct Lead(Deferred);

impl Drop for Lead {
    fn drop(&mut self) {
        self.0.resolve(&JsValue::UNDEFINED);
    }
}

/// A lock that is waited for; dropping it ends the wait.
#[derive(Debug)]
pub(super) struct Candidacy(AbortController);

impl Drop for Candidacy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether tabs can elect a leader here.
pub(super) fn have_locks() -> bool {
    locks().is_some()
}

/// Takes the lead if nobody has it.
pub(super) async fn try_lead(name: &str) -> Option<Lead> {
    let (answer, got) = ask(name, &object(&[("ifAvailable", true.into())])).ok()?;
    let _ = JsFuture::from(answer.promise).await;
    got.take()
}

/// Waits for the lead; `granted` is called once, unless the candidacy is dropped before.
pub(super) fn stand_for_lead(name: &str, granted: impl FnOnce(Lead) + 'static) -> Result<Candidacy, JsValue> {
    let controller = AbortController::new()?;
    let (answer, got) = ask(name, &object(&[("signal", controller.signal())]))?;
    spawn_local(async move {
        let _ = JsFuture::from(answer.promise).await;
        if let Some(lead) = got.take() {
            granted(lead);
        }
    });
    Ok(Candidacy(controller))
}

type Got = std::rc::Rc<std::cell::Cell<Option<Lead>>>;

/// Asks for the lock; the answer settles when it was granted, refused or given up.
fn ask(name: &str, options: &JsValue) -> Result<(Deferred, Got), JsValue> {
    let Some(locks) = locks() else { return Err(JsValue::UNDEFINED) };
    let answer = Deferred::new();
    let got: Got = Got::default();
    let (told, grant) = (answer.clone(), got.clone());
    let callback = Closure::once_into_js(move |lock: JsValue| -> JsValue {
        let held = if lock.is_null() || lock.is_undefined() {
            JsValue::UNDEFINED
        } else {
            let until_dropped = Deferred::new();
            let promise = until_dropped.promise.clone();
            grant.set(Some(Lead(until_dropped)));
            promise.into()
        };
        told.resolve(&JsValue::UNDEFINED);
        held
    });
    let ended = locks.request(name, options, callback.unchecked_ref())?;
    let told = answer.clone();
    spawn_local(async move {
        // Given up, or refused by the browser: no lead. After a grant this comes too late to matter.
        let _ = JsFuture::from(ended).await;
        told.resolve(&JsValue::UNDEFINED);
    });
    Ok((answer, got))
}

fn locks() -> Option<LockManager> {
    let global: Global = js_sys::global().unchecked_into();
    global.navigator().and_then(|navigator| navigator.locks())
}

/// The line to the other tabs; dropping it closes it.
#[derive(Debug)]
pub(super) struct Channel {
    channel: BroadcastChannel,
    _listener: Closure<dyn FnMut(JsValue)>,
}

impl Channel {
    /// `None` where there are no such channels.
    pub(super) fn open(name: &str, mut heard: impl FnMut(JsValue) + 'static) -> Option<Self> {
        let channel = BroadcastChannel::new(name).ok()?;
        let listener = Closure::new(move |event: JsValue| heard(super::interop::field(&event, "data")));
        channel.set_onmessage(Some(listener.as_ref().unchecked_ref()));
        Some(Channel { channel, _listener: listener })
    }

    pub(super) fn post(&self, message: &JsValue) {
        // Only what cannot be cloned fails; all that is sent is plain.
        let _ = self.channel.post_message(message);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.channel.set_onmessage(None);
        let _ = self.channel.close();
    }
}
