//! What the calls of one transport share: what is known about the server, who is under way, who waits for the app's
//! credentials, who listens. Decides nothing: `engine::reach` does. Called by [`super::HttpTransport`] and by
//! [`super::exchange`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::call::{Call, Task};
use super::exchange;
use super::options::{Options, limit};
use super::request::{Request, asked, query};
use crate::engine::link::Phase;
use crate::engine::reach::{Credentials, Input, Next, Reach};
use crate::web::error::SyncError;
use crate::web::interop::{AbortListener, Deferred, abort_reason, field, handled, object, to_json};
use crate::web::listeners::Listeners;
use crate::web::timer;

#[derive(Debug)]
pub(super) struct Driver {
    pub(super) options: Options,
    reach: RefCell<Reach>,
    /// Under way.
    calls: RefCell<Vec<Rc<Call>>>,
    /// For those who wait while the app is asked for credentials.
    pub(super) asking: RefCell<Option<Deferred>>,
    /// Counts state changes, so that a listener is never told an older one after a newer.
    changes: Cell<u64>,
    pub(super) states: Rc<Listeners>,
}

impl Driver {
    pub(super) fn new(options: Options) -> Rc<Self> {
        Rc::new(Driver {
            reach: RefCell::new(Reach::new(options.on_auth_required.is_some())),
            options,
            calls: RefCell::default(),
            asking: RefCell::default(),
            changes: Cell::new(0),
            states: Listeners::new("onStateChange"),
        })
    }

    // --------------------------------------------------------------------------------------- calls of the app

    pub(super) fn push(self: &Rc<Self>, changes: &JsValue, options: &JsValue) -> Promise {
        let request = |driver: &Driver| driver.push_request(changes);
        self.start(Task::Push(changes.clone()), options, request)
    }

    pub(super) fn pull(self: &Rc<Self>, options: &JsValue) -> Promise {
        self.start(Task::Pull, options, |driver| driver.pull_request(options))
    }

    /// Everybody who connects shares one check.
    pub(super) fn connect(self: &Rc<Self>) -> Promise {
        self.check(Input::Check)
    }

    pub(super) fn reconnect(self: &Rc<Self>) {
        // How it ends, the state tells.
        let _ = self.check(Input::Reconnect);
    }

    pub(super) fn disconnect(&self) {
        let calls = self.calls.take();
        self.handle(Input::Disconnect);
        for call in calls {
            let why = SyncError::new("disconnected", "HTTP transport disconnected").retryable(true);
            call.cancel(&why.into());
        }
    }

    fn push_request(&self, changes: &JsValue) -> Result<Request, JsValue> {
        let body = to_json(&object(&[("changes", changes.clone())]))?;
        Ok(Request { method: "POST", endpoint: "push".into(), body: Some(body), ..Request::default() })
    }

    fn pull_request(&self, options: &JsValue) -> Result<Request, JsValue> {
        let asked = asked(options);
        let [cursor, ..] = &asked;
        let (method, parameters, body) = if self.options.pull_by_get {
            ("GET", query(&asked)?, None)
        } else {
            ("POST", query(std::slice::from_ref(cursor))?, Some(to_json(&object(&asked))?))
        };
        Ok(Request { method, endpoint: "pull".into(), parameters, body })
    }

    fn check(self: &Rc<Self>, begun: Input) -> Promise {
        let running = self.calls.borrow().iter().find_map(|call| match call.task {
            Task::Check { .. } => Some(call.deferred.promise.clone()),
            Task::Push(_) | Task::Pull => None,
        });
        if let Some(promise) = running {
            self.handle(begun);
            return promise;
        }
        let endpoint = self.options.ping_endpoint.clone();
        let task = Task::Check { must_succeed: !endpoint.is_empty() };
        let request = Request { method: "HEAD", endpoint, ..Request::default() };
        let call = Call::new(task, request, JsValue::UNDEFINED, self.options.timeout_ms);
        self.run(call, Some(begun))
    }

    fn start(
        self: &Rc<Self>,
        task: Task,
        options: &JsValue,
        request: impl FnOnce(&Driver) -> Result<Request, JsValue>,
    ) -> Promise {
        let signal = field(options, "signal");
        let request = if field(&signal, "aborted").is_truthy() {
            Err(abort_reason(field(&signal, "reason")))
        } else {
            request(self)
        };
        match request {
            Ok(request) => {
                let own = field(options, "timeout").as_f64().and_then(limit);
                let timeout = [own, self.options.timeout_ms].into_iter().flatten().reduce(f64::min);
                self.run(Call::new(task, request, signal, timeout), None)
            }
            Err(why) => {
                let promise = Promise::reject(&why);
                handled(&promise);
                promise
            }
        }
    }

    fn run(self: &Rc<Self>, call: Call, begun: Option<Input>) -> Promise {
        let call = Rc::new(call);
        let promise = call.deferred.promise.clone();
        handled(&promise);
        self.calls.borrow_mut().push(Rc::clone(&call));
        self.listen(&call);
        // Booked before anybody is told: a listener may disconnect.
        if let Some(input) = begun {
            self.handle(input);
        }
        exchange::run(Rc::clone(self), call);
        promise
    }

    fn listen(self: &Rc<Self>, call: &Rc<Call>) {
        if call.signal.is_object() {
            let (driver, weak) = (Rc::downgrade(self), Rc::downgrade(call));
            let listener = AbortListener::new(&call.signal, move |why| {
                if let (Some(driver), Some(call)) = (driver.upgrade(), weak.upgrade()) {
                    driver.cancel(&call, &abort_reason(why), None);
                }
            });
            // A double may have no way to listen; then it is asked when `fetch` has failed.
            call.listens(listener.ok());
        }
    }

    // ------------------------------------------------------------------------------------------ how they end

    /// Settles a call with its answer; what that has shown becomes known afterwards, so that a listener which disconnects
    /// takes nobody's answer away.
    pub(super) fn settle(&self, call: &Call, result: &Result<JsValue, JsValue>, shown: Option<Input>) {
        self.forget(call);
        call.settle(result);
        if let Some(input) = shown {
            self.handle(input);
        }
    }

    /// Ends a call from our side.
    pub(super) fn cancel(&self, call: &Call, why: &JsValue, shown: Option<Input>) {
        self.forget(call);
        call.cancel(why);
        if let Some(input) = shown {
            self.handle(input);
        }
    }

    fn forget(&self, call: &Call) {
        self.calls.borrow_mut().retain(|other| !std::ptr::eq(&raw const **other, call));
    }

    // -------------------------------------------------------------------------------------------- the state

    pub(super) fn handle(&self, input: Input) -> Next {
        let (before, next, after) = {
            let mut reach = self.reach.borrow_mut();
            let before = reach.status();
            let next = reach.handle(timer::now(), input);
            (before, next, reach.status())
        };
        if before != after {
            let change = self.changes.get() + 1;
            self.changes.set(change);
            let status = self.status();
            // A listener that changes the state again has told everybody the newer one.
            self.states.call_while(|| (self.changes.get() == change).then(|| status.clone()));
        }
        next
    }

    pub(super) fn credentials(&self) -> Credentials {
        self.reach.borrow().credentials()
    }

    pub(super) fn phase(&self) -> Phase {
        self.reach.borrow().status().state
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reach.borrow().is_reachable()
    }

    /// `TransportStatus`
    pub(super) fn status(&self) -> JsValue {
        let status = self.reach.borrow().status();
        #[allow(clippy::cast_precision_loss)] // milliseconds since 1970
        let retry_at = status.retry_at_wall_ms.map(|ms| JsValue::from(ms as f64));
        object(&[
            ("state", status.state.as_str().into()),
            ("reason", status.reason.map(JsValue::from).unwrap_or_default()),
            ("retryAt", retry_at.unwrap_or_default()),
        ])
    }
}
