//! Drives one replica: inputs go through one queue, every `handle` is followed by a full drain of the outputs, and
//! outputs are carried out with no borrow held. Decides nothing about replication; who leads is `session`'s.
//! Called by the class, by the transport, the database, timers and other tabs.

mod auth;
mod calls;
mod line;
mod link;
mod local;
mod outage;
mod report;
mod session;
mod waiters;

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use self::auth::Auth;
use self::calls::Calls;
use self::local::Local;
use self::outage::Outage;
use self::session::Session;
use self::waiters::Waiters;
use super::error::SyncError;
use super::events::{self, EventName, Listeners};
use super::interop::{has_method, random_u64};
use super::options::Options;
use super::store::JsStore;
use super::timer::{self, Timer};
use super::transport::{Said, read_status};
use crate::engine::clock::Duration;
use crate::engine::replica::{Config, ConnId, Event, Input, JobId, Output, Problem, Replica, State, Status};
use crate::engine::store::{KeptRow, List, Store, StoreError};
use crate::engine::txn::{self, Job};
use crate::queue::Queue;
use crate::wire::Run;

/// How often the database is looked at for changes of which nobody has told: the update hook is silent about other
/// tabs, and about tables WITHOUT ROWID.
const POLL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Driver {
    options: Options,
    replica: RefCell<Replica>,
    inputs: RefCell<Queue<Input>>,
    draining: Cell<bool>,
    timer: RefCell<Option<(Duration, Timer)>>,
    /// Work on the database, one after the other: settles when all of it is done.
    work: RefCell<Promise>,
    /// Taken while it works.
    store: RefCell<Option<JsStore>>,
    /// A transaction of ours is open.
    writing: Rc<Cell<bool>>,
    local: Local,
    /// The app has written in this tab, and nobody who counts has looked yet.
    unread: Cell<bool>,
    conn: Cell<Option<ConnId>>,
    last_conn: Cell<ConnId>,
    waiters: Waiters,
    calls: Calls,
    auth: Auth,
    outage: Outage,
    session: RefCell<Session>,
    /// Counts starts and stops: what was begun under another number is not ours.
    epoch: Cell<u64>,
    /// Leads lost to somebody who does not take turns: since when, and how many.
    losses: Cell<Option<(Duration, u32)>>,
    /// The tables that are not replicated, as they were told last.
    warned: RefCell<String>,
    pub(super) listeners: Listeners,
}

impl Driver {
    pub(super) fn new(options: Options) -> Rc<Self> {
        let config = Config {
            site: options.site,
            tables: options.tables.clone(),
            budget: options.budget,
            seed: random_u64(),
            poll: POLL,
            records: options.records.clone(),
        };
        let writing = Rc::new(Cell::new(false));
        let store = JsStore::new(options.db.clone(), options.site, options.remote.clone(), writing.clone());
        Rc::new(Driver {
            replica: RefCell::new(Replica::new(config)),
            inputs: RefCell::default(),
            draining: Cell::new(false),
            timer: RefCell::default(),
            work: RefCell::new(Promise::resolve(&JsValue::UNDEFINED)),
            store: RefCell::new(Some(store)),
            writing,
            local: Local::default(),
            unread: Cell::new(false),
            conn: Cell::new(None),
            last_conn: Cell::new(0),
            waiters: Waiters::default(),
            calls: Calls::default(),
            auth: Auth::default(),
            outage: Outage::default(),
            session: RefCell::new(Session::Stopped),
            epoch: Cell::new(0),
            losses: Cell::new(None),
            warned: RefCell::default(),
            listeners: Listeners::new(options.logger.clone()),
            options,
        })
    }

    // ----------------------------------------------------------------------------- queue and drain

    /// Takes one input; what it leads to has been carried out when this returns, unless the call came from inside.
    fn feed(self: &Rc<Self>, input: Input) {
        self.inputs.borrow_mut().push_back(input);
        if self.draining.replace(true) {
            return;
        }
        while let Some(input) = self.next_input() {
            let epoch = self.epoch.get();
            for output in self.handle(input) {
                // A listener may have called stop(): what is left concerns a session that is over, but for the waits.
                if self.epoch.get() == epoch || matches!(output, Output::Settled { .. }) {
                    self.carry_out(output);
                }
            }
        }
        self.draining.set(false);
        self.set_timer();
    }

    fn next_input(&self) -> Option<Input> {
        self.inputs.borrow_mut().pop_front()
    }

    fn handle(&self, input: Input) -> Vec<Output> {
        let mut replica = self.replica.borrow_mut();
        replica.handle(timer::now(), input);
        std::iter::from_fn(|| replica.poll_output()).collect()
    }

    fn set_timer(self: &Rc<Self>) {
        let deadline = self.replica.borrow().poll_timeout();
        if self.timer.borrow().as_ref().map(|(set, _)| *set) == deadline {
            return;
        }
        let timer = deadline.map(|deadline| {
            let driver = self.clone();
            let fire = move || {
                driver.timer.borrow_mut().take();
                driver.feed(Input::Timeout);
            };
            (deadline, Timer::after(timer::ms_until(deadline, timer::now()), fire))
        });
        self.timer.replace(timer);
    }

    // ------------------------------------------------------------------------------------- outputs

    fn carry_out(self: &Rc<Self>, output: Output) {
        match output {
            Output::Run { job, run, what } => self.run(job, run, what),
            Output::Send { conn, text } => self.send(conn, &text),
            Output::Push { conn, call, records } => self.push(conn, call, records),
            Output::Pull { conn, call, cursor, batch } => self.pull(conn, call, cursor, batch),
            Output::Abort { call } => self.abort_call(call),
            Output::AuthRequired => self.auth_required(),
            Output::Drop { conn, why } => self.drop_connection(conn, why),
            Output::Reconnect => {
                self.conn.set(None);
                self.reconnect();
            }
            Output::Healthy { conn } => self.healthy(conn),
            Output::LeadLost => self.lead_lost(),
            Output::StatusChanged => self.show_status(),
            Output::Event(event) => self.tell(event),
            Output::Settled { wait, result } => self.settled(wait, result),
        }
    }

    fn run(self: &Rc<Self>, job: JobId, run: Run, what: Job) {
        let driver = self.clone();
        let epoch = self.epoch.get();
        self.enqueue(async move {
            // Ordered by a session that is over, and not begun.
            if driver.epoch.get() != epoch {
                return;
            }
            let result = driver.with_store(async |store| txn::run(store, &run, &what).await).await;
            if driver.epoch.get() == epoch {
                let tables = driver.store.borrow_mut().as_mut().and_then(JsStore::take_tables);
                if let Some(tables) = tables {
                    driver.warn_of_the_unreplicated(&tables);
                }
                driver.feed(Input::JobDone { job, result });
            }
        });
    }

    /// A table that was never made a CRR looks as if it were in step, for nothing of it is ever pending. Told once, and
    /// again where there is something else to tell.
    fn warn_of_the_unreplicated(&self, replicated: &[String]) {
        let mut names = String::new();
        let what = if let Some(named) = &self.options.tables {
            for name in named.iter().filter(|name| !replicated.contains(name)) {
                names.push_str(if names.is_empty() { "" } else { "'), crsql_as_crr('" });
                names.push_str(name);
            }
            "tables names what is not replicated"
        } else {
            names.push_str(if replicated.is_empty() { "…" } else { "" });
            "no table of this database is replicated"
        };
        if *self.warned.borrow() != names {
            if !names.is_empty() {
                let call = ": nothing of it is sent or applied before SELECT crsql_as_crr('";
                self.listeners.warn(&[what, call, &names, "')"].concat());
            }
            self.warned.replace(names);
        }
    }

    fn tell(self: &Rc<Self>, event: Event) {
        match event {
            Event::Applied { from, rows } => {
                let tables = events::touched_tables(&rows);
                let applied = events::applied(from, "remote", &tables);
                self.tell_tabs("applied", &[("event", applied.clone())]);
                self.listeners.emit(EventName::Applied, &applied);
            }
            Event::Quarantined { from, count } => {
                let text =
                    format!("{count} rows of {from} do not fit this database and wait in the quarantine");
                self.listeners.log("warn", &text.into());
            }
            Event::Rejected { by: _, count } => self.tell_rejected(count),
            Event::Error(problem) => {
                let mut error = SyncError::from(problem);
                if let Some(thrown) = self.calls.thrown() {
                    error = error.cause(&thrown);
                }
                self.listeners.emit(EventName::Error, &error.into());
            }
        }
    }

    /// The list grows at its end: the last ones are the new ones.
    fn tell_rejected(self: &Rc<Self>, count: usize) {
        let driver = self.clone();
        self.enqueue(async move {
            let Ok(rows) = driver.read_kept(List::Rejected).await else { return };
            let new = rows.get(rows.len().saturating_sub(count)..).unwrap_or_default();
            driver.listeners.emit(EventName::Rejected, &events::kept_rows(new));
        });
    }

    fn show_status(self: &Rc<Self>) {
        let status = self.status();
        if self.leads() {
            self.tell_tabs("status", &[("status", status.clone())]);
        }
        self.listeners.emit(EventName::Status, &status);
    }

    /// The replica's own status, for those who show it differently.
    fn replica_status(&self) -> Status {
        self.replica.borrow().status().clone()
    }

    fn status_as(&self, state: State, reason: Option<&str>) -> JsValue {
        events::status_object(&self.replica_status(), Some((state, reason)))
    }

    // ------------------------------------------------------------------------------------ database

    /// Appends work on the database; it begins when all earlier work is done.
    fn enqueue(&self, task: impl Future<Output = ()> + 'static) {
        self.enqueue_boxed(Box::pin(task));
    }

    /// Apart, so that the wasm holds it once.
    fn enqueue_boxed(&self, task: Pin<Box<dyn Future<Output = ()>>>) {
        let before = self.work_done();
        let done = future_to_promise(async move {
            let _ = JsFuture::from(before).await;
            task.await;
            Ok(JsValue::UNDEFINED)
        });
        drop(self.work.replace(done));
    }

    /// Settles when all work on the database that is known now is done.
    fn work_done(&self) -> Promise {
        self.work.borrow().clone()
    }

    /// Lends the store to a task of the queue.
    async fn with_store<T>(
        &self,
        work: impl AsyncFnOnce(&mut JsStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(mut store) = self.store.take() else {
            return Err(StoreError::Failed("the store is in use".to_owned()));
        };
        let result = work(&mut store).await;
        self.store.replace(Some(store));
        result
    }

    async fn read_kept(&self, list: List) -> Result<Vec<KeptRow>, StoreError> {
        self.with_store(async |store| {
            store.begin().await?;
            let rows = match store.read_meta().await {
                Ok(_) => store.kept(list).await,
                Err(error) => Err(error),
            };
            store.rollback().await;
            rows
        })
        .await
    }

    /// The rows of a list, as JavaScript sees them.
    pub(super) fn kept(self: &Rc<Self>, list: List) -> Promise {
        let driver = self.clone();
        let answer = super::interop::Deferred::new();
        let promise = answer.promise.clone();
        self.enqueue(async move {
            match driver.read_kept(list).await {
                Ok(rows) => answer.resolve(&events::kept_rows(&rows)),
                Err(error) => answer.reject(&store_error(&error)),
            }
        });
        promise
    }

    // ----------------------------------------------------------------------------------- transport

    fn send(self: &Rc<Self>, conn: ConnId, text: &str) {
        if self.conn.get() != Some(conn) {
            return;
        }
        let transport = &self.options.transport;
        let is_open = || {
            let status = transport.status().unwrap_or_default();
            matches!(read_status(&status, timer::now()), Said::Open)
        };
        let is_closing = || {
            let asked = has_method(transport, "isConnected").then(|| transport.is_connected());
            matches!(asked, Some(Ok(answer)) if answer == JsValue::FALSE)
        };
        match transport.send(text) {
            // Where the socket is closing already, its end says why, or the transport gives it up.
            Ok(sent) if sent == JsValue::FALSE && is_open() && !is_closing() => self.overflow(conn),
            Ok(_) => {}
            Err(thrown) => self.send_threw(&thrown),
        }
    }

    /// The transport takes no more: what waits for an answer to this frame would wait for ever.
    fn overflow(self: &Rc<Self>, conn: ConnId) {
        let why = SyncError::new("outbox-overflow", "more waits to be sent than the transport takes");
        self.listeners.emit(EventName::Error, &why.retryable(true).into());
        self.conn.set(None);
        self.feed(Input::Closed { conn, close_code: None });
        self.give_up_connection();
    }

    fn send_threw(&self, thrown: &JsValue) {
        let why = SyncError::new("not-connected", "the transport threw when it was given a frame");
        self.listeners.emit(EventName::Error, &why.retryable(true).cause(thrown).into());
        self.give_up_connection();
    }

    fn drop_connection(self: &Rc<Self>, conn: ConnId, why: Problem) {
        if self.conn.get() == Some(conn) {
            self.listeners.log("warn", &why.message.into());
            self.give_up_connection();
        }
    }

    /// With the transport's own backoff where it has one: a peer that makes us do this is not to be hammered.
    fn give_up_connection(&self) {
        let transport = &self.options.transport;
        if !has_method(transport, "drop") {
            self.reconnect();
        } else if let Err(thrown) = transport.drop_connection() {
            self.transport_threw("drop", &thrown);
        }
    }

    fn reconnect(&self) {
        if let Err(thrown) = self.options.transport.reconnect() {
            self.transport_threw("reconnect", &thrown);
        }
    }

    fn healthy(&self, conn: ConnId) {
        let transport = &self.options.transport;
        self.auth.served();
        if self.conn.get() == Some(conn)
            && has_method(transport, "healthy")
            && let Err(thrown) = transport.healthy()
        {
            self.transport_threw("healthy", &thrown);
        }
    }

    fn transport_threw(&self, method: &str, thrown: &JsValue) {
        let error = SyncError::new("connect-failed", format!("the transport's {method}() threw"));
        self.listeners.emit(EventName::Error, &error.retryable(true).cause(thrown).into());
    }
}

fn store_error(error: &StoreError) -> JsValue {
    let retryable = matches!(error, StoreError::Busy | StoreError::Full(_) | StoreError::Failed(_));
    SyncError::new(error.code(), error.to_string()).retryable(retryable).into()
}
