//! The transport as this session uses it: what it tells, and when it counts as open. Decides which of its states are
//! connections; what they mean for replication is the replica's. Called by `session` and by the transport.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::Driver;
use super::session::{Session, Subscription};
use crate::engine::clock::Duration;
use crate::engine::link::Input as Signal;
use crate::engine::replica::{Input, LinkState, State};
use crate::web::interop::{field, has_method, spawn, to_json};
use crate::web::signals::Signals;
use crate::web::timer;
use crate::web::transport::{Said, read_status};

/// Signals are cheap, rounds are not.
const SIGNALS_APART: Duration = Duration::from_secs(30);

type Listen = fn(&Rc<Driver>) -> Result<Subscription, JsValue>;

/// What a transport may tell, and how to listen to it.
const NEWS: [(&str, Listen); 4] = [
    ("onMessage", Driver::listen_to_messages),
    ("onServerPush", Driver::listen_to_server_pushes),
    ("onProbe", Driver::listen_to_probes),
    ("onStateChange", Driver::listen_to_state),
];

impl Driver {
    /// Listens to all that it tells; what failed is named.
    pub(super) fn listen_to_transport(
        self: &Rc<Self>,
    ) -> (Vec<Subscription>, Option<(&'static str, JsValue)>) {
        let mut subscriptions = Vec::new();
        let mut failed = None;
        for (name, listen) in NEWS {
            if !has_method(&self.options.transport, name)
                || (name == "onMessage" && self.options.records.is_some())
            {
                continue;
            }
            match listen(self) {
                Ok(subscription) => subscriptions.push(subscription),
                Err(thrown) => failed = Some((name, thrown)),
            }
        }
        (subscriptions, failed)
    }

    pub(super) fn connect(self: &Rc<Self>) {
        let transport = &self.options.transport;
        if !self.follows_state() {
            return self.opened(); // each call sees to it that there is a connection, if that means anything
        }
        let said = || transport.status().unwrap_or_default();
        if matches!(read_status(&said(), timer::now()), Said::Open) {
            return self.opened();
        }
        match transport.connect().map(handled) {
            // One that is not connecting yet is about to: that it was never asked before is no news.
            Ok(()) if is_idle(&said()) => {}
            Ok(()) => self.transport_said(&said()),
            Err(thrown) => {
                self.transport_said(&said());
                self.transport_threw("connect", &thrown);
            }
        }
    }

    /// The transport's own state says when it can be used. One without a state is always there, and so is `HttpTransport`,
    /// which keeps no connection: its state is what the last call has shown.
    pub(super) fn follows_state(&self) -> bool {
        let transport = &self.options.transport;
        self.options.records.is_none()
            || has_method(transport, "onStateChange")
                && field(transport, "name").as_string().as_deref() != Some("http")
    }

    fn opened(self: &Rc<Self>) {
        let conn = self.last_conn.get() + 1;
        self.last_conn.set(conn);
        self.conn.set(Some(conn));
        self.feed(Input::Opened { conn });
    }

    /// For listeners, which an object of the app may keep for longer than it was asked to.
    pub(super) fn of_this_session(self: &Rc<Self>) -> impl Fn() -> Option<Rc<Driver>> + use<> {
        let (driver, epoch) = (Rc::downgrade(self), self.epoch.get());
        move || driver.upgrade().filter(|driver| driver.epoch.get() == epoch)
    }

    /// Where there is no connection, nobody else notices that now is a good moment.
    pub(super) fn listen_to_page(self: &Rc<Self>) -> Option<Signals> {
        if self.follows_state() {
            return None;
        }
        let (here, next) = (self.of_this_session(), Cell::new(Duration::ZERO));
        Some(Signals::listen(move |signal| {
            let good =
                matches!(signal, Signal::Online | Signal::Shown | Signal::Resumed | Signal::PageShown { .. });
            let now = timer::now().at;
            let Some(driver) = here().filter(|_| good && next.get() <= now) else { return };
            if !matches!(driver.replica_status().state, State::NeedsAuth | State::Failed) {
                next.set(now + SIGNALS_APART);
                driver.feed(Input::SyncNow);
            }
        }))
    }

    fn listen_to_probes(self: &Rc<Self>) -> Result<Subscription, JsValue> {
        let here = self.of_this_session();
        let listener = Closure::<dyn FnMut() -> bool>::new(move || {
            let Some(driver) = here() else { return false };
            driver.feed(Input::Probe);
            driver.conn.get().is_some() && driver.replica.borrow().must_be_answered()
        });
        Subscription::new(listener, |listener| self.options.transport.on_probe(listener))
    }

    fn listen_to_server_pushes(self: &Rc<Self>) -> Result<Subscription, JsValue> {
        let here = self.of_this_session();
        let listener = Closure::<dyn FnMut(JsValue)>::new(move |changes: JsValue| {
            let Some(driver) = here() else { return };
            if let Some(conn) = driver.conn.get() {
                let changes = to_json(&changes).ok().and_then(|text| text.as_string()).unwrap_or_default();
                driver.feed(Input::ServerPush { conn, changes });
            }
        });
        Subscription::new(listener, |listener| self.options.transport.on_server_push(listener))
    }

    fn listen_to_messages(self: &Rc<Self>) -> Result<Subscription, JsValue> {
        let here = self.of_this_session();
        let listener = Closure::<dyn FnMut(JsValue)>::new(move |frame: JsValue| {
            let Some(driver) = here() else { return };
            if let (Some(conn), Some(text)) = (driver.conn.get(), frame.as_string()) {
                driver.feed(Input::Received { conn, text });
            }
        });
        Subscription::new(listener, |listener| self.options.transport.on_message(listener))
    }

    fn listen_to_state(self: &Rc<Self>) -> Result<Subscription, JsValue> {
        let here = self.of_this_session();
        let listener = Closure::<dyn FnMut(JsValue)>::new(move |status: JsValue| {
            if let Some(driver) = here() {
                driver.transport_said(&status);
            }
        });
        Subscription::new(listener, |listener| self.options.transport.on_state_change(listener))
    }

    fn transport_said(self: &Rc<Self>, status: &JsValue) {
        if !matches!(&*self.session.borrow(), Session::Leading { .. }) {
            return;
        }
        let said = read_status(status, timer::now());
        if let Said::Not { link: LinkState::NeedsAuth { .. }, .. } = &said {
            self.auth_required();
        }
        if !self.follows_state() {
            return self.connectionless_said(said);
        }
        let epoch = self.epoch.get();
        self.tell_outage(status);
        // A listener may have stopped it.
        if self.epoch.get() != epoch {
            return;
        }
        match said {
            Said::Open if self.conn.get().is_some() => {}
            Said::Open => self.opened(),
            Said::Not { link, close_code } => {
                if let Some(conn) = self.conn.take() {
                    self.feed(Input::Closed { conn, close_code });
                }
                self.feed(Input::Link(link));
            }
        }
    }

    /// Only to be shown, but for one thing: the app has told the transport that it can go on.
    fn connectionless_said(self: &Rc<Self>, said: Said) {
        match said {
            Said::Open if matches!(self.replica_status().state, State::NeedsAuth | State::Failed) => {
                self.feed(Input::SyncNow);
            }
            Said::Open => self.feed(Input::Link(LinkState::TRYING)),
            Said::Not { link, .. } => self.feed(Input::Link(link)),
        }
    }
}

fn is_idle(status: &JsValue) -> bool {
    matches!(field(status, "state").as_string().as_deref(), Some("idle" | "closed"))
}

/// Marks a promise of the transport as looked after: its states tell the same, and more.
pub(super) fn handled(returned: JsValue) {
    if let Ok(promise) = returned.dyn_into::<Promise>() {
        spawn(async move {
            let _ = JsFuture::from(promise).await;
        });
    }
}
