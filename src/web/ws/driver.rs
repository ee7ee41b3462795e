//! Carries out what the link decides: the socket, the timer, promises of `connect()`, listeners. Decides nothing about
//! when. Re-entrant calls from JavaScript are in order, because what is left of the last input is carried out
//! before the next is handled. Called by [`super::WsTransport`] and by the browser.

mod attempt;
mod inbound;
mod probe;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::calls::Calls;
use super::options::{Options, Protocol};
use crate::engine::clock::Duration;
use crate::engine::link::{ConnectError, Input, Link, Output, Phase, SocketId};
use crate::queue::Queue;
use crate::web::interop::{Deferred, handled, object};
use crate::web::listeners::Listeners;
use crate::web::signals::Signals;
use crate::web::socket::{Ear, Socket};
use crate::web::timer::{self, Timer};
use attempt::Attempt;
pub(super) use inbound::unreadable;

/// The socket that is alive.
#[derive(Debug)]
struct Held {
    number: SocketId,
    socket: Rc<Socket>,
}

#[derive(Debug)]
pub(super) struct Driver {
    pub(super) options: Options,
    link: RefCell<Link>,
    pub(super) calls: Calls,
    socket: RefCell<Option<Held>>,
    ear: Ear,
    attempt: RefCell<Attempt>,
    /// Who waits for the connection.
    waiting: RefCell<Vec<Deferred>>,
    /// What was caught in the last attempt.
    cause: RefCell<Option<JsValue>>,
    /// For the link and for the requests, each with its own: a clock that is not ours may run at another pace than
    /// the one that deadlines are kept in, and must not find a request too young by what lies between the two.
    timers: [RefCell<Option<(Duration, Timer)>>; 2],
    /// While the app wants a connection.
    signals: RefCell<Option<Signals>>,
    /// What waited in the socket at the last look.
    uplink: Cell<f64>,
    /// Itself, while it has or will have a socket: it lives as long as JavaScript's own sockets would.
    keep: RefCell<Option<Rc<Driver>>>,
    /// Counts state changes, so that a listener is never told an older one after a newer.
    changes: Cell<u64>,
    pub(super) states: Rc<Listeners>,
    pub(super) probes: Rc<Listeners>,
    /// Text frames (relay) or changes (push-pull).
    pub(super) news: Rc<Listeners>,
    backlog: RefCell<Queue<JsValue>>,
}

impl Driver {
    pub(super) fn new(options: Options) -> Rc<Self> {
        let news = match options.protocol {
            Protocol::PushPull => "onServerPush",
            Protocol::Relay => "onMessage",
        };
        Rc::new_cyclic(|driver: &Weak<Driver>| Driver {
            ear: inbound::ear(driver.clone()),
            link: RefCell::new(Link::new(&options.link)),
            options,
            calls: Calls::default(),
            socket: RefCell::default(),
            attempt: RefCell::default(),
            waiting: RefCell::default(),
            cause: RefCell::default(),
            timers: Default::default(),
            signals: RefCell::default(),
            uplink: Cell::new(0.0),
            keep: RefCell::default(),
            changes: Cell::new(0),
            states: Listeners::new("onStateChange"),
            probes: Listeners::new("onProbe"),
            news: Listeners::new(news),
            backlog: RefCell::default(),
        })
    }

    pub(super) fn connect(self: &Rc<Self>) -> Promise {
        let deferred = Deferred::new();
        handled(&deferred.promise);
        self.waiting.borrow_mut().push(deferred.clone());
        self.listen();
        self.dispatch(Input::Connect);
        deferred.promise
    }

    pub(super) fn reconnect(self: &Rc<Self>) {
        self.listen();
        self.dispatch(Input::Reconnect);
    }

    pub(super) fn disconnect(self: &Rc<Self>) {
        drop(self.signals.take());
        self.dispatch(Input::Disconnect);
        drop(self.backlog.take());
    }

    /// Feeds the link one input and carries out everything that follows.
    pub(super) fn dispatch(self: &Rc<Self>, input: Input) {
        self.drain();
        self.link.borrow_mut().handle(timer::now(), input);
        self.drain();
        self.set_timers();
    }

    fn drain(self: &Rc<Self>) {
        loop {
            let output = self.link.borrow_mut().poll_output();
            match output {
                Some(output) => self.carry_out(output),
                None => return,
            }
        }
    }

    fn carry_out(self: &Rc<Self>, output: Output) {
        match output {
            Output::Open { socket } => self.start_attempt(socket),
            Output::Close { socket, code } => {
                if let Some(socket) = self.take_socket(socket) {
                    socket.end(code);
                }
            }
            Output::Lost { .. } => {
                if self.options.protocol == Protocol::Relay {
                    // Frames belong to their connection.
                    drop(self.backlog.take());
                }
                let close = self.link.borrow().status().close;
                self.calls.lost(close.as_ref());
            }
            Output::Probe { socket, doubt } => self.probe(socket, doubt),
            Output::AskAuth { ask } => self.ask_auth(ask),
            Output::Changed => self.tell_state(),
            Output::ConnectSettled(result) => self.settle_connect(result),
        }
    }

    /// Listens to the browser from now on.
    fn listen(self: &Rc<Self>) {
        if self.signals.borrow().is_some() {
            return;
        }
        let driver = Rc::downgrade(self);
        let signals = Signals::listen(move |signal| {
            if let Some(driver) = driver.upgrade() {
                driver.look_for_end();
                driver.dispatch(signal);
            }
        });
        self.signals.replace(Some(signals));
        for signal in Signals::present() {
            self.dispatch(signal);
        }
    }

    // ------------------------------------------------------------------------------------------ the timer

    pub(super) fn set_timers(self: &Rc<Self>) {
        let due = [self.link.borrow().poll_timeout(), self.calls.poll_timeout()];
        for ((timer, next), fired) in self.timers.iter().zip(due).zip([Self::link_due, Self::request_due]) {
            let set_for = timer.borrow().as_ref().map(|(deadline, _)| *deadline);
            if next != set_for {
                let made = next.map(|deadline| {
                    let driver = Rc::clone(self);
                    let ms = timer::ms_until(deadline, timer::now());
                    (deadline, Timer::after(ms, move || fired(&driver)))
                });
                drop(timer.replace(made));
            }
        }
    }

    fn link_due(self: &Rc<Self>) {
        let [timer, _] = &self.timers;
        drop(timer.take());
        self.look_for_end();
        self.look_at_uplink();
        self.dispatch(Input::Timeout);
    }

    fn request_due(self: &Rc<Self>) {
        let [_, timer] = &self.timers;
        drop(timer.take());
        let unanswered = self.calls.expire();
        if let (Some(sent), Some(socket)) = (unanswered, self.open_number()) {
            self.look_at_uplink();
            self.dispatch(Input::Unanswered { socket, sent });
        }
        self.set_timers();
    }

    // ------------------------------------------------------------------------------------------ the state

    /// The socket that frames can be sent on, if the link is open and the socket does not say otherwise.
    pub(super) fn open_socket(&self) -> Option<Rc<Socket>> {
        let socket = self.held(self.open_number()?)?;
        socket.ready_state().is_none_or(|state| state == 1).then_some(socket)
    }

    /// The same, for one who is about to send; a socket that turns out to be dying is not waited for.
    pub(super) fn writable(self: &Rc<Self>) -> Option<Rc<Socket>> {
        self.look_for_end();
        self.open_socket()
    }

    /// -1 without a socket.
    pub(super) fn ready_state(&self) -> i32 {
        let socket = self.socket.borrow().as_ref().map(|held| Rc::clone(&held.socket));
        socket.and_then(|socket| socket.ready_state()).unwrap_or(-1)
    }

    pub(super) fn phase(&self) -> Phase {
        self.link.borrow().status().state
    }

    /// The number of the open socket.
    pub(super) fn open_number(&self) -> Option<SocketId> {
        self.link.borrow().socket()
    }

    /// `TransportStatus`
    pub(super) fn status(&self) -> JsValue {
        let status = self.link.borrow().status();
        let now = timer::now();
        let or_none = |value: Option<JsValue>| value.unwrap_or_default();
        let (code, text) = status.close.map(|(code, text)| (code.0, text)).unzip();
        object(&[
            ("state", status.state.as_str().into()),
            ("reason", or_none(status.reason.map(JsValue::from))),
            ("closeCode", or_none(code.map(JsValue::from))),
            ("closeReason", or_none(text.filter(|text| !text.is_empty()).map(JsValue::from))),
            ("retryAt", or_none(status.retry_at.map(|at| timer::wall_at(at, now).into()))),
            ("cause", or_none(self.cause.borrow().clone())),
        ])
    }

    fn tell_state(self: &Rc<Self>) {
        let change = self.changes.get() + 1;
        self.changes.set(change);
        let at_work =
            matches!(self.phase(), Phase::Connecting | Phase::Open | Phase::Waiting | Phase::Offline);
        drop(self.keep.replace(at_work.then(|| Rc::clone(self))));
        let status = self.status();
        // A listener that changes the state again has told everybody the newer one.
        self.states.call_while(|| (self.changes.get() == change).then(|| status.clone()));
    }

    fn settle_connect(&self, result: Result<(), ConnectError>) {
        let settled = match &result {
            Ok(()) => JsValue::UNDEFINED,
            Err(error) => self.connect_error(error),
        };
        for deferred in self.waiting.take() {
            if result.is_ok() { deferred.resolve(&settled) } else { deferred.reject(&settled) }
        }
    }

    // ------------------------------------------------------------------------------------------- helpers

    fn owns(&self, number: SocketId) -> bool {
        self.link.borrow().owns(number)
    }

    fn held(&self, number: SocketId) -> Option<Rc<Socket>> {
        let held = self.socket.borrow();
        held.as_ref().filter(|held| held.number == number).map(|held| Rc::clone(&held.socket))
    }

    fn take_socket(&self, number: SocketId) -> Option<Rc<Socket>> {
        self.held(number)?;
        self.socket.take().map(|held| held.socket)
    }
}
