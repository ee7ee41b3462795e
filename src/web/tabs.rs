//! The other tabs of the same database and remote: who leads (a Web Lock), and what tabs tell each other (a
//! BroadcastChannel). Decides nothing about replication; where a browser lacks either, the tab is alone.
//! Called by the driver.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::interop::{Deferred, object, spawn};

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

/// Called when a lead that was granted is taken away again.
pub(super) type Lost = Rc<dyn Fn()>;

/// Whether tabs can elect a leader here.
pub(super) fn have_locks() -> bool {
    locks().is_some()
}

/// Takes the lead if nobody has it.
pub(super) fn try_lead(name: &str, lost: Lost) -> impl Future<Output = Option<Lead>> + use<> {
    ask(name, object(&[("ifAvailable", true.into())]), lost)
}

/// Takes the lead from whoever has it.
pub(super) fn steal_lead(name: &str, lost: Lost) -> impl Future<Output = Option<Lead>> + use<> {
    ask(name, object(&[("steal", true.into())]), lost)
}

/// Waits for the lead; `granted` is called once, unless the candidacy is dropped before.
pub(super) fn stand_for_lead(
    name: &str,
    lost: Lost,
    granted: impl FnOnce(Lead) + 'static,
) -> Result<Candidacy, JsValue> {
    let controller = AbortController::new()?;
    let answer = ask(name, object(&[("signal", controller.signal())]), lost);
    spawn(async move {
        if let Some(lead) = answer.await {
            granted(lead);
        }
    });
    Ok(Candidacy(controller))
}

/// Asks for the lock; `None` when it was refused or given up.
fn ask(name: &str, options: JsValue, lost: Lost) -> impl Future<Output = Option<Lead>> + use<> {
    let answer = Deferred::new();
    let got: Rc<Cell<Option<Lead>>> = Rc::default();
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
        told.resolve(&JsValue::TRUE);
        held
    });
    let ended = locks().map(|locks| locks.request(name, &options, callback.unchecked_ref()));
    let (told, promise) = (answer.clone(), answer.promise);
    spawn(async move {
        let Some(Ok(ended)) = ended else { return told.resolve(&JsValue::UNDEFINED) };
        // Given up, or refused by the browser: no lead. After a grant it says how that ended.
        let ended = JsFuture::from(ended).await;
        let granted = JsFuture::from(told.promise.clone());
        told.resolve(&JsValue::UNDEFINED);
        if ended.is_err() && granted.await.is_ok_and(|granted| granted.is_truthy()) {
            lost();
        }
    });
    async move {
        let _ = JsFuture::from(promise).await;
        got.take()
    }
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
