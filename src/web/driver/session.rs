//! From `start` to `stop`: who leads, and what this tab is meanwhile. Decides when the replica starts and stops; never
//! what it does. Called by the class, the locks, the page and the other tabs.
//!
//! A lead can end without us: the lock was stolen while this tab stood still, or a transaction finds that another leader
//! has started since. Either way the role is given up, and this tab takes part anew; but whoever leads without our lock
//! would do the same, so that one of the two has to stop.

use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::Driver;
use super::line::{Leader, Line};
use super::link::handled;
use super::local::sleep;
use crate::engine::clock::Duration;
use crate::engine::link::Input as Signal;
use crate::engine::replica::{Input, State};
use crate::web::error::SyncError;
use crate::web::events::{self, EventName};
use crate::web::interop::{Deferred, field, has_method, random_u64, spawn};
use crate::web::signals::Signals;
use crate::web::tabs::{self, Candidacy, Lead, Lost};
use crate::web::timer;
use crate::wire::Run;

/// So many leads lost to somebody who does not take turns, and this client is the one that stops.
const LOSSES: u32 = 3;
const LOSSES_WITHIN: Duration = Duration::from_secs(300);
/// How long the other is left alone after the first loss; after the next ones that much longer each.
const AFTER_LOSS_MS: f64 = 1000.0;

/// Where this tab is between start and stop.
#[derive(Debug)]
pub(super) enum Session {
    Stopped,
    /// Asked for the lead, not answered yet.
    Starting {
        started: Deferred,
        line: Line,
    },
    /// The page is frozen or left, and may come back: others go on without it.
    Away {
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

impl Session {
    pub(super) fn line(&self) -> Option<&Line> {
        match self {
            Session::Starting { line, .. }
            | Session::Away { line, .. }
            | Session::Standby { line, .. }
            | Session::Leading { line, .. } => Some(line),
            Session::Stopped => None,
        }
    }
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
            Session::Starting { started, .. } | Session::Away { started, .. } => {
                return started.promise.clone();
            }
            Session::Leading { .. } => {
                if self.replica_status().reason.as_deref() == Some("account-changed") {
                    // The app may have signed in as the one whose database this is.
                    self.feed(Input::Start { run: Run::from_random(random_u64()) });
                }
                return Promise::resolve(&JsValue::UNDEFINED);
            }
            Session::Standby { .. } => return Promise::resolve(&JsValue::UNDEFINED),
        }
        let started = Deferred::new();
        let promise = started.promise.clone();
        self.session.replace(Session::Starting { started, line: Line::default() });
        self.begin();
        promise
    }

    pub(in crate::web) fn stop(self: &Rc<Self>) -> Promise {
        let session = self.session.replace(Session::Stopped);
        let lead = match session {
            Session::Stopped => return self.work_done(),
            Session::Leading { lead, .. } => Some(lead),
            Session::Starting { started, .. } | Session::Away { started, .. } => {
                started.resolve(&JsValue::UNDEFINED);
                None
            }
            Session::Standby { .. } => None,
        };
        self.next_epoch();
        let led = lead.is_some();
        if let Some(lead) = lead {
            // Given back when no transaction of ours is left.
            let done = self.work_done();
            spawn(async move {
                let _ = JsFuture::from(done).await;
                drop(lead);
            });
            self.let_go();
        }
        self.fail_waits();
        let driver = self.clone();
        self.enqueue(async move {
            let _ = driver
                .with_store(async |store| {
                    store.close().await;
                    Ok(())
                })
                .await;
        });
        if !led {
            self.emit_status();
        }
        self.work_done()
    }

    /// The replica stops, and the transport with it.
    fn let_go(self: &Rc<Self>) {
        self.conn.set(None);
        self.feed(Input::Stop);
        self.abort_calls();
        let transport = &self.options.transport;
        if has_method(transport, "disconnect")
            && let Err(thrown) = transport.disconnect().map(handled)
        {
            self.transport_threw("disconnect", &thrown);
        }
    }

    fn next_epoch(&self) -> u64 {
        self.unread.set(false);
        self.epoch.set(self.epoch.get() + 1);
        self.epoch.get()
    }

    /// Another tab leads, or may: nothing of the replica runs here.
    pub(super) fn follows(&self) -> bool {
        !matches!(&*self.session.borrow(), Session::Stopped | Session::Leading { .. })
    }

    pub(super) fn leads(&self) -> bool {
        matches!(&*self.session.borrow(), Session::Leading { .. })
    }

    pub(in crate::web) fn status(&self) -> JsValue {
        let status = self.status_of_role();
        if self.unread.get() && field(&status, "pendingChanges") == 0.0 {
            let _ = js_sys::Reflect::set(&status, &"pendingChanges".into(), &1.into());
        }
        status
    }

    fn status_of_role(&self) -> JsValue {
        match &*self.session.borrow() {
            Session::Stopped => self.status_as(State::Stopped, None),
            Session::Starting { .. } => self.status_as(State::Connecting, None),
            Session::Away { .. } => self.status_as(State::Standby, None),
            Session::Standby { leader, .. } => self.standby_status(leader),
            // Not final: it goes on by itself when the app has answered.
            Session::Leading { .. }
                if self.auth.is_asking() && self.replica_status().state == State::NeedsAuth =>
            {
                self.status_as(State::Connecting, Some("unauthenticated"))
            }
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

    pub(super) fn emit_status(&self) {
        self.listeners.emit(EventName::Status, &self.status());
    }

    // ------------------------------------------------------------------------------------ election

    /// Asks for a role.
    fn begin(self: &Rc<Self>) {
        self.begin_after(0.0);
    }

    fn begin_after(self: &Rc<Self>, ms: f64) {
        let epoch = self.next_epoch();
        let driver = self.clone();
        spawn(async move {
            if ms > 0.0 {
                sleep(ms).await;
            }
            driver.take_part(epoch).await;
        });
        self.emit_status();
    }

    async fn take_part(self: Rc<Self>, epoch: u64) {
        // A stop before may still be closing.
        let _ = JsFuture::from(self.work_done()).await;
        if self.epoch.get() != epoch {
            return;
        }
        if self.session.borrow().line().is_some_and(|line| !line.is_open()) {
            let opened = self.open_line();
            if let Session::Starting { line, .. } = &mut *self.session.borrow_mut() {
                *line = opened;
            }
        }
        let Some(name) = self.shared_as() else { return self.lead(None) };
        match tabs::try_lead(name, self.lost()).await {
            _ if self.epoch.get() != epoch => {}
            None => self.stand_by(name),
            lead => self.lead(lead),
        }
    }

    /// What only one tab may lead, where tabs can agree on that.
    pub(super) fn shared_as(&self) -> Option<&str> {
        self.options.shared_as.as_deref().filter(|_| tabs::have_locks())
    }

    fn stand_by(self: &Rc<Self>, name: &str) {
        let here = self.of_this_session();
        let granted = move |lead| {
            if let Some(driver) = here() {
                driver.follow_or_lead(lead);
            }
        };
        let candidacy = match tabs::stand_for_lead(name, self.lost(), granted) {
            Ok(candidacy) => Some(candidacy),
            Err(thrown) => {
                self.listeners.emit(EventName::Error, &thrown);
                None
            }
        };
        let leader = self.watch_leader();
        self.enter(|line| Session::Standby { line, leader, _candidacy: candidacy });
        self.tell_tabs("hello", &[]);
        self.renew_waits();
        self.emit_status();
    }

    /// The leader has not said a word for too long: it was stopped where it could not let go.
    pub(super) fn take_over(self: &Rc<Self>) {
        let Some(name) = self.shared_as() else { return };
        let (here, stolen) = (self.of_this_session(), tabs::steal_lead(name, self.lost()));
        spawn(async move {
            if let (Some(lead), Some(driver)) = (stolen.await, here()) {
                driver.follow_or_lead(lead);
            }
        });
    }

    /// A follower is given the lead; whoever leads already has it from elsewhere.
    fn follow_or_lead(self: &Rc<Self>, lead: Lead) {
        if self.follows() {
            self.lead(Some(lead));
        }
    }

    fn lead(self: &Rc<Self>, lead: Option<Lead>) {
        let (subscriptions, failed) = self.listen_to_transport();
        let signals = self.listen_to_page();
        self.enter(|line| Session::Leading { line, _subscriptions: subscriptions, _signals: signals, lead });
        if let Some((name, thrown)) = failed {
            self.transport_threw(name, &thrown);
        }
        self.auth.begin();
        self.outage.over();
        self.feed(Input::Start { run: Run::from_random(random_u64()) });
        if self.unread.replace(false) {
            // Written while another tab led, or nobody.
            self.feed(Input::LocalChange);
        }
        self.tell_tabs("lead", &[]);
        self.renew_waits();
        self.connect();
    }

    /// Goes on with what the tab had, in another role.
    fn enter(&self, role: impl FnOnce(Line) -> Session) {
        let before = self.session.replace(Session::Stopped);
        let (line, started, left) = match before {
            Session::Starting { line, started } | Session::Away { line, started } => {
                (line, Some(started), None)
            }
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

    // ------------------------------------------------------------------------------ out of a role

    /// Told when the lock is taken away.
    fn lost(self: &Rc<Self>) -> Lost {
        let (here, driver) = (self.of_this_session(), Rc::downgrade(self));
        Rc::new(move || {
            // Whoever stole it takes turns, whatever a transaction has found before.
            if let Some(driver) = driver.upgrade() {
                driver.losses.take();
            }
            if let Some(driver) = here().filter(|driver| driver.leads()) {
                driver.take_part_anew(0.0);
            }
        })
    }

    /// Another client has led since, though nobody took our lock: one that may know nothing of it, and would be replaced
    /// for ever by us, and we by it.
    pub(super) fn lead_lost(self: &Rc<Self>) {
        let now = timer::now().at;
        let (first, count) = match self.losses.get() {
            Some((first, count)) if now.saturating_sub(first) < LOSSES_WITHIN => (first, count + 1),
            _ => (now, 1),
        };
        if self.shared_as().is_none() || count >= LOSSES {
            self.losses.take();
            let why = "another client has started on this database and remote, and they do not take turns";
            self.listeners.emit(EventName::Error, &SyncError::new("not-leading", why).into());
            let _ = self.stop();
            return;
        }
        self.losses.set(Some((first, count)));
        self.take_part_anew(AFTER_LOSS_MS * f64::from(count));
    }

    fn take_part_anew(self: &Rc<Self>, in_ms: f64) {
        self.leave_role(|started, line| Session::Starting { started, line });
        if self.follows() {
            self.begin_after(in_ms);
        }
    }

    /// Whether this page goes on is not for it to say: somebody else has to lead at once.
    pub(super) fn page_said(self: &Rc<Self>, signal: &Signal) {
        if matches!(signal, Signal::Frozen | Signal::PageHidden) {
            self.leave_role(|started, line| Session::Away { started, line });
        } else if matches!(signal, Signal::Resumed | Signal::Shown | Signal::PageShown { .. }) {
            self.come_back();
        }
    }

    /// Gives up what this tab is, but not its waits: whoever leads next is asked.
    fn leave_role(self: &Rc<Self>, next: fn(Deferred, Line) -> Session) {
        let before = self.session.replace(Session::Stopped);
        let (started, line, role) = match before {
            Session::Stopped => return,
            Session::Starting { started, line } | Session::Away { started, line } => (started, line, None),
            Session::Standby { line, _candidacy, .. } => {
                drop(_candidacy);
                (Deferred::new(), line, None)
            }
            // At once: this page may never run again, and a transaction that is under way is alone on its database.
            Session::Leading { line, lead, .. } => (Deferred::new(), line, Some(lead)),
        };
        self.session.replace(next(started, line));
        self.next_epoch();
        if role.map(drop).is_some() {
            self.let_go();
        }
    }

    fn come_back(self: &Rc<Self>) {
        let before = self.session.replace(Session::Stopped);
        let (back, after) = match before {
            Session::Away { started, line } => (true, Session::Starting { started, line }),
            other => (false, other),
        };
        self.session.replace(after);
        if back {
            self.begin();
        }
    }
}
