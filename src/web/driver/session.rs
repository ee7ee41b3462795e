//! From `start` to `stop`: who leads, what is listened to meanwhile, and what tabs tell each other. Decides when the
//! replica starts and stops; never what it does. Called by the class, the locks and the other tabs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::Driver;
use super::link::handled;
use crate::engine::replica::{Input, State};
use crate::sorted::SortedMap;
use crate::text;
use crate::web::events::{self, EventName};
use crate::web::interop::{Deferred, field, has_method, object, random_u64};
use crate::web::signals::Signals;
use crate::web::store::TABLE_PREFIX;
use crate::web::store::pace::macrotask;
use crate::web::tabs::{self, Candidacy, Channel, Lead};
use crate::wire::Run;

/// Where this tab is between start and stop.
#[derive(Debug)]
pub(super) enum Session {
    Stopped,
    /// Asked for the lead, not answered yet.
    Starting {
        started: Deferred,
        line: Line,
    },
    /// Another tab leads.
    Standby {
        line: Line,
        leader: Leader,
        _candidacy: Option<Candidacy>,
    },
    Leading {
        line: Line,
        _subscriptions: Vec<Subscription>,
        _signals: Option<Signals>,
        lead: Option<Lead>,
    },
}

/// What a tab has from its start on, leading or not.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Names this start of this tab to the others.
    name: String,
    channel: Option<Channel>,
    _updates: Option<Subscription>,
}

/// What the leading tab has said of itself.
#[derive(Debug, Default)]
pub(super) struct Leader {
    status: JsValue,
}

/// A listener on an object of the app; dropping it unsubscribes.
#[derive(Debug)]
pub(super) struct Subscription {
    off: JsValue,
    listener: Option<Box<dyn std::any::Any>>,
}

impl Subscription {
    /// `subscribe` is given the listener and returns how to unsubscribe.
    pub(super) fn new<F>(
        listener: Closure<F>,
        subscribe: impl FnOnce(&Function) -> Result<JsValue, JsValue>,
    ) -> Result<Self, JsValue>
    where
        F: ?Sized + 'static,
    {
        let off = subscribe(listener.as_ref().unchecked_ref())?;
        Ok(Subscription { off, listener: Some(Box::new(listener)) })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(off) = self.off.dyn_ref::<Function>() {
            // Nothing can be done about an unsubscribe that throws.
            let _ = off.call0(&JsValue::UNDEFINED);
        } else {
            // It will go on being called, and what is freed would throw.
            std::mem::forget(self.listener.take());
        }
    }
}

impl Driver {
    pub(in crate::web) fn start(self: &Rc<Self>) -> Promise {
        match &*self.session.borrow() {
            Session::Stopped => {}
            Session::Starting { started, .. } => return started.promise.clone(),
            Session::Standby { .. } | Session::Leading { .. } => {
                return Promise::resolve(&JsValue::UNDEFINED);
            }
        }
        let epoch = self.next_epoch();
        let started = Deferred::new();
        let promise = started.promise.clone();
        self.session.replace(Session::Starting { started, line: Line::default() });
        let driver = self.clone();
        spawn_local(async move { driver.take_part(epoch).await });
        self.emit_status();
        promise
    }

    pub(in crate::web) fn stop(self: &Rc<Self>) -> Promise {
        let session = self.session.replace(Session::Stopped);
        let led = matches!(session, Session::Leading { .. });
        if matches!(session, Session::Stopped) {
            return self.work_done();
        }
        self.next_epoch();
        self.conn.set(None);
        if led {
            self.feed(Input::Stop);
        }
        self.fail_waits();
        if let Session::Starting { started, .. } = &session {
            started.resolve(&JsValue::UNDEFINED);
        }
        let driver = self.clone();
        self.enqueue(async move {
            let _ = driver
                .with_store(async |store| {
                    store.close().await;
                    Ok(())
                })
                .await;
        });
        let stopped = self.work_done();
        // The lead is given back when no transaction of ours is left.
        let lead = leave(session);
        let done = stopped.clone();
        spawn_local(async move {
            let _ = JsFuture::from(done).await;
            drop(lead);
        });
        self.abort_calls();
        let transport = &self.options.transport;
        if led
            && has_method(transport, "disconnect")
            && let Err(thrown) = transport.disconnect().map(handled)
        {
            self.transport_threw("disconnect", &thrown);
        }
        if !led {
            self.emit_status();
        }
        stopped
    }

    fn next_epoch(&self) -> u64 {
        self.epoch.set(self.epoch.get() + 1);
        self.epoch.get()
    }

    /// Another tab leads, or may: nothing of the replica runs here.
    pub(super) fn follows(&self) -> bool {
        matches!(&*self.session.borrow(), Session::Starting { .. } | Session::Standby { .. })
    }

    pub(in crate::web) fn status(&self) -> JsValue {
        match &*self.session.borrow() {
            Session::Stopped => self.status_as(State::Stopped, None),
            Session::Starting { .. } => self.status_as(State::Connecting, None),
            Session::Standby { leader, .. } => self.standby_status(leader),
            Session::Leading { .. } => events::status_object(&self.replica_status(), None),
        }
    }

    /// The leader's numbers; its state is the reason of ours.
    fn standby_status(&self, leader: &Leader) -> JsValue {
        let reason = field(&leader.status, "state").as_string();
        let status = self.status_as(State::Standby, reason.as_deref());
        if leader.status.is_object() {
            let told = js_sys::Object::assign(&js_sys::Object::new(), leader.status.unchecked_ref());
            for kept in ["state", "reason"] {
                let _ = js_sys::Reflect::set(&told, &kept.into(), &field(&status, kept));
            }
            return told.into();
        }
        status
    }

    fn emit_status(&self) {
        self.listeners.emit(EventName::Status, &self.status());
    }

    // ------------------------------------------------------------------------------------ election

    async fn take_part(self: Rc<Self>, epoch: u64) {
        // A stop before may still be closing.
        let _ = JsFuture::from(self.work_done()).await;
        if self.epoch.get() != epoch {
            return;
        }
        let line = self.open_line();
        if let Session::Starting { line: place, .. } = &mut *self.session.borrow_mut() {
            *place = line;
        }
        let shared = self.options.shared_as.as_deref().filter(|_| tabs::have_locks());
        let lead = match shared {
            None => None,
            Some(name) => {
                let lead = tabs::try_lead(name).await;
                if self.epoch.get() != epoch {
                    return;
                }
                match lead {
                    None => return self.stand_by(name, epoch),
                    lead => lead,
                }
            }
        };
        self.lead(lead);
    }

    fn open_line(self: &Rc<Self>) -> Line {
        let driver = Rc::downgrade(self);
        let channel = self.options.shared_as.as_deref().and_then(|name| {
            Channel::open(name, move |message| {
                if let Some(driver) = driver.upgrade() {
                    driver.heard(&message);
                }
            })
        });
        Line { name: format!("{:016x}", random_u64()), channel, _updates: self.listen_to_database() }
    }

    fn stand_by(self: &Rc<Self>, name: &str, epoch: u64) {
        let driver = self.clone();
        let granted = move |lead| {
            if driver.epoch.get() == epoch {
                driver.lead(Some(lead));
            }
        };
        let candidacy = match tabs::stand_for_lead(name, granted) {
            Ok(candidacy) => Some(candidacy),
            Err(thrown) => {
                self.listeners.emit(EventName::Error, &thrown);
                None
            }
        };
        self.enter(|line| Session::Standby { line, leader: Leader::default(), _candidacy: candidacy });
        self.tell_tabs("hello", &[]);
        self.renew_waits();
        self.emit_status();
    }

    fn lead(self: &Rc<Self>, lead: Option<Lead>) {
        let (subscriptions, failed) = self.listen_to_transport();
        let signals = self.listen_to_page();
        self.enter(|line| Session::Leading { line, _subscriptions: subscriptions, _signals: signals, lead });
        if let Some((name, thrown)) = failed {
            self.transport_threw(name, &thrown);
        }
        self.auth.begin();
        self.feed(Input::Start { run: Run::from_random(random_u64()) });
        self.tell_tabs("lead", &[]);
        self.renew_waits();
        self.connect();
    }

    /// Another tab has led since: gives the lead up, if it is still held, and stands for it again.
    pub(super) fn lead_lost(self: &Rc<Self>) {
        let _ = self.stop();
        let _ = self.start();
    }

    /// Goes on with what the tab had, in another role.
    fn enter(&self, role: impl FnOnce(Line) -> Session) {
        let before = self.session.replace(Session::Stopped);
        let (line, started, left) = match before {
            Session::Starting { line, started } => (line, Some(started), None),
            Session::Standby { line, _candidacy, .. } => (line, None, _candidacy),
            Session::Stopped => (Line::default(), None, None),
            Session::Leading { line, .. } => (line, None, None),
        };
        self.session.replace(role(line));
        drop(left);
        if let Some(started) = started {
            started.resolve(&JsValue::UNDEFINED);
        }
    }

    // ------------------------------------------------------------------------------- local changes

    fn listen_to_database(self: &Rc<Self>) -> Option<Subscription> {
        let driver = self.clone();
        let changed: Rc<RefCell<SortedMap<String, ()>>> = Rc::default();
        let due = Rc::new(Cell::new(false));
        // Called from inside SQLite, before the commit: nothing may be done here but to remember.
        let listener = Closure::<dyn FnMut(JsValue, JsValue, JsValue)>::new(
            move |_: JsValue, _: JsValue, table: JsValue| {
                let Some(table) = table.as_string().filter(|table| is_the_apps(table)) else { return };
                if driver.writing.get() {
                    return;
                }
                changed.borrow_mut().insert(table, ());
                if due.replace(true) {
                    return;
                }
                let (driver, changed, due) = (driver.clone(), changed.clone(), due.clone());
                let epoch = driver.epoch.get();
                spawn_local(async move {
                    macrotask().await;
                    due.set(false);
                    let tables = changed.take();
                    if driver.epoch.get() == epoch {
                        driver.changed_here(&tables);
                    }
                });
            },
        );
        match Subscription::new(listener, |listener| self.options.db.on_update(listener)) {
            Ok(subscription) => Some(subscription),
            Err(thrown) => {
                self.listeners.emit(EventName::Error, &thrown);
                None
            }
        }
    }

    fn changed_here(self: &Rc<Self>, tables: &SortedMap<String, ()>) {
        if !self.follows() {
            self.feed(Input::LocalChange);
        }
        let names: Array = tables.keys().map(|table| JsValue::from_str(table)).collect();
        self.tell_tabs("write", &[("tables", names.into())]);
    }

    // ------------------------------------------------------------------------------------ the tabs

    /// Says something to the other tabs.
    pub(super) fn tell_tabs(&self, kind: &str, what: &[(&str, JsValue)]) {
        let session = self.session.borrow();
        let line = match &*session {
            Session::Starting { line, .. }
            | Session::Standby { line, .. }
            | Session::Leading { line, .. } => line,
            Session::Stopped => return,
        };
        let Some(channel) = &line.channel else { return };
        let mut fields = vec![("kind", JsValue::from_str(kind)), ("from", JsValue::from_str(&line.name))];
        fields.extend(what.iter().cloned());
        channel.post(&object(&fields));
    }

    fn heard(self: &Rc<Self>, message: &JsValue) {
        let word = |name: &str| field(message, name).as_string().unwrap_or_default();
        let leads = matches!(&*self.session.borrow(), Session::Leading { .. });
        match (word("kind").as_str(), leads) {
            ("hello", true) => self.tell_tabs("status", &[("status", self.status())]),
            ("wait", true) => self.wait_for_tab(word("from"), message),
            ("cancel", true) => self.cancel_for_tab(&word("from"), message),
            ("write", _) => {
                if leads {
                    self.feed(Input::LocalChange);
                }
                self.written_elsewhere(&field(message, "tables"));
            }
            ("lead", false) => self.renew_waits(),
            ("status", false) => self.leader_said(field(message, "status")),
            ("applied", false) => self.listeners.emit(EventName::Applied, &field(message, "event")),
            ("settled", false) if word("to") == self.name() => self.settled_by_leader(message),
            _ => {}
        }
    }

    fn name(&self) -> String {
        match &*self.session.borrow() {
            Session::Starting { line, .. }
            | Session::Standby { line, .. }
            | Session::Leading { line, .. } => line.name.clone(),
            Session::Stopped => String::new(),
        }
    }

    fn leader_said(&self, status: JsValue) {
        if let Session::Standby { leader, .. } = &mut *self.session.borrow_mut() {
            leader.status = status;
        } else {
            return;
        }
        self.emit_status();
    }

    /// Another tab knows its tables; which rows, only SQLite there knew.
    fn written_elsewhere(&self, tables: &JsValue) {
        let Ok(names) = tables.clone().dyn_into::<Array>() else { return };
        let names: Vec<String> = names.iter().filter_map(|name| name.as_string()).collect();
        let fields: Vec<(&str, JsValue)> =
            names.iter().map(|name| (name.as_str(), Array::new().into())).collect();
        let applied = events::applied(self.options.site, "tab", &object(&fields));
        self.listeners.emit(EventName::Applied, &applied);
    }
}

/// Gives everything back but the lead.
fn leave(session: Session) -> Option<Lead> {
    match session {
        Session::Leading { lead, .. } => lead,
        Session::Stopped | Session::Starting { .. } | Session::Standby { .. } => None,
    }
}

/// A table of the app, not one that SQLite, cr-sqlite or we keep beside it.
fn is_the_apps(table: &str) -> bool {
    let internal = ["sqlite_", "crsql_", TABLE_PREFIX];
    !internal.iter().any(|prefix| table.starts_with(prefix)) && text::after(table, "__crsql_").is_none()
}
