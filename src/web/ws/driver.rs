//! Carries out what the link decides: sockets, the timer, promises of `connect()`, listeners. Decides nothing about
//! when. Re-entrant calls from JavaScript are in order, because what is left of the last input is carried out
//! before the next is handled. Called by [`super::WsTransport`] and by the browser.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::calls::Calls;
use super::network::Network;
use super::options::{Options, Protocol};
use crate::engine::link::{ConnectError, Input, Link, Output, Phase, SocketId};
use crate::web::error::{SyncError, report};
use crate::web::interop::{Deferred, ask, field, handled, has_method, object};
use crate::web::listeners::Listeners;
use crate::web::socket::{self, Ear, Event, Socket};
use crate::web::timer::{self, Timer};
use crate::wire::CloseCode;

/// Frames that wait for the first listener. At the bound the oldest goes, and it is reported.
const BACKLOG: usize = 256;

/// An attempt to connect, as far as it is.
#[derive(Debug, Default)]
struct Attempt {
    socket: SocketId,
    open: bool,
    /// The headers to send first; none until they are known.
    headers: Option<JsValue>,
}

/// A socket that is alive. It keeps its driver alive, as JavaScript's own sockets keep their listeners.
#[derive(Debug)]
struct Held {
    number: SocketId,
    socket: Rc<Socket>,
    _driver: Rc<Driver>,
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
    timer: RefCell<Option<(Duration, Timer)>>,
    network: RefCell<Option<Network>>,
    /// Counts state changes, so that a listener is never told an older one after a newer.
    changes: Cell<u64>,
    pub(super) states: Rc<Listeners>,
    /// Text frames (relay) or changes (push-pull).
    pub(super) news: Rc<Listeners>,
    backlog: RefCell<VecDeque<JsValue>>,
}

impl Driver {
    pub(super) fn new(options: Options) -> Rc<Self> {
        let news = match options.protocol {
            Protocol::PushPull => "onServerPush",
            Protocol::Relay => "onMessage",
        };
        Rc::new_cyclic(|driver: &Weak<Driver>| Driver {
            ear: ear(driver.clone()),
            link: RefCell::new(Link::new(&options.link)),
            options,
            calls: Calls::default(),
            socket: RefCell::default(),
            attempt: RefCell::default(),
            waiting: RefCell::default(),
            cause: RefCell::default(),
            timer: RefCell::default(),
            network: RefCell::default(),
            changes: Cell::new(0),
            states: Listeners::new("onStateChange"),
            news: Listeners::new(news),
            backlog: RefCell::default(),
        })
    }

    pub(super) fn connect(self: &Rc<Self>) -> Promise {
        let deferred = Deferred::new();
        handled(&deferred.promise);
        self.waiting.borrow_mut().push(deferred.clone());
        self.watch_network();
        self.dispatch(Input::Connect);
        deferred.promise
    }

    pub(super) fn reconnect(self: &Rc<Self>) {
        self.watch_network();
        self.dispatch(Input::Reconnect);
    }

    pub(super) fn disconnect(self: &Rc<Self>) {
        drop(self.network.take());
        self.dispatch(Input::Disconnect);
        drop(self.backlog.take());
    }

    /// Feeds the link one input and carries out everything that follows.
    pub(super) fn dispatch(self: &Rc<Self>, input: Input) {
        self.drain();
        self.link.borrow_mut().handle(timer::now(), input);
        self.drain();
        self.set_timer();
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
                self.calls.lost();
            }
            Output::Changed => self.tell_state(),
            Output::ConnectSettled(result) => self.settle_connect(result),
        }
    }

    // ------------------------------------------------------------------------------------------ attempts

    fn start_attempt(self: &Rc<Self>, socket: SocketId) {
        self.cause.replace(None);
        self.attempt.replace(Attempt { socket, ..Attempt::default() });
        let url = ask(&self.options.url);
        let headers = match self.options.protocol {
            Protocol::PushPull => ask(&self.options.headers),
            Protocol::Relay => Ok(JsValue::UNDEFINED),
        };
        // The headers first: then a socket that is open at once can be greeted at once.
        self.when_known(socket, headers, move |driver, headers| {
            driver.attempt.borrow_mut().headers = Some(headers);
            driver.greet(socket);
        });
        self.when_known(socket, url, move |driver, url| driver.open(socket, &url));
    }

    /// Goes on with a value, at once or when its promise is kept, if the attempt is still ours.
    fn when_known(
        self: &Rc<Self>,
        socket: SocketId,
        value: Result<JsValue, JsValue>,
        go_on: impl FnOnce(&Rc<Self>, JsValue) + 'static,
    ) {
        match value {
            Ok(value) if value.is_object() && has_method(&value, "then") => {
                // Listened to from now on, so that a rejection never counts as unhandled.
                let value = JsFuture::from(Promise::resolve(&value));
                let driver = Rc::clone(self);
                spawn_local(async move {
                    let value = value.await;
                    driver.when_known(socket, value, go_on);
                });
            }
            Ok(value) => {
                if self.link.borrow().owns(socket) {
                    go_on(self, value);
                }
            }
            Err(thrown) => self.fail(socket, thrown),
        }
    }

    fn open(self: &Rc<Self>, number: SocketId, url: &JsValue) {
        match Socket::open(url, number, &self.ear) {
            Ok(socket) => {
                let held = Held { number, socket: Rc::new(socket), _driver: Rc::clone(self) };
                drop(self.socket.replace(Some(held)));
            }
            Err(thrown) => self.fail(number, thrown),
        }
    }

    fn fail(self: &Rc<Self>, socket: SocketId, thrown: JsValue) {
        if self.link.borrow().owns(socket) {
            self.cause.replace(Some(thrown));
            // There may be a socket already, when it is the headers that failed.
            if let Some(made) = self.take_socket(socket) {
                made.end(CloseCode::NORMAL);
            }
            self.dispatch(Input::OpenFailed { socket });
        }
    }

    /// Sends the headers once the socket is open and they are known. Only then the link counts as open.
    fn greet(self: &Rc<Self>, socket: SocketId) {
        let headers = {
            let attempt = self.attempt.borrow();
            if attempt.socket != socket || !attempt.open {
                return;
            }
            attempt.headers.clone()
        };
        let Some(headers) = headers else { return };
        let said = super::frames::auth(&headers).and_then(|frame| match frame {
            Some(frame) => self.send_on(socket, &frame),
            None => Ok(()),
        });
        match said {
            Ok(()) => self.dispatch(Input::Opened { socket }),
            Err(thrown) => self.fail(socket, thrown),
        }
    }

    // ------------------------------------------------------------------------------------------- events

    fn on_event(self: &Rc<Self>, number: SocketId, event: Event) {
        if !self.link.borrow().owns(number) {
            return;
        }
        match event {
            Event::Opened => {
                self.attempt.borrow_mut().open = true;
                self.greet(number);
            }
            Event::Message(data) => self.on_data(number, data),
            Event::Error => self.dispatch(Input::SocketError { socket: number }),
            Event::Closed { code, text } => {
                drop(self.take_socket(number));
                self.dispatch(Input::Closed { socket: number, code, text });
            }
        }
    }

    fn on_data(self: &Rc<Self>, number: SocketId, data: JsValue) {
        if data.is_string() {
            self.on_text(number, &data);
        } else if has_method(&data, "text") {
            // A blob: a socket that does not know `binaryType`.
            let text = field(&data, "text").unchecked_into::<Function>().call0(&data);
            self.when_known(number, text, move |driver, text| driver.on_text(number, &text));
        } else {
            match socket::decode_utf8(&data) {
                Ok(text) => self.on_text(number, &text),
                Err(thrown) => report(&unreadable("a frame is neither text nor bytes").cause(&thrown).into()),
            }
        }
    }

    fn on_text(self: &Rc<Self>, number: SocketId, text: &JsValue) {
        match self.options.protocol {
            Protocol::Relay => self.tell_news(text.clone()),
            Protocol::PushPull => super::frames::received(self, number, text),
        }
    }

    /// Passes news on, or keeps it until somebody listens.
    pub(super) fn tell_news(&self, news: JsValue) {
        if !self.news.is_empty() {
            return self.news.call(&news);
        }
        let overflow = {
            let mut backlog = self.backlog.borrow_mut();
            backlog.push_back(news);
            if backlog.len() > BACKLOG { backlog.pop_front() } else { None }
        };
        if overflow.is_some() {
            let message = format!("nobody listens: more than {BACKLOG} frames wait, the oldest was dropped");
            report(&SyncError::new("inbox-overflow", message).into());
        }
    }

    pub(super) fn add_news_listener(&self, listener: Function) -> Function {
        let unsubscribe = self.news.add(listener);
        loop {
            let waiting = self.backlog.borrow_mut().pop_front();
            match waiting {
                Some(news) => self.news.call(&news),
                None => return unsubscribe,
            }
        }
    }

    // ------------------------------------------------------------------------------------------ the timer

    pub(super) fn set_timer(self: &Rc<Self>) {
        let next = [self.link.borrow().poll_timeout(), self.calls.poll_timeout()].into_iter().flatten().min();
        let set_for = self.timer.borrow().as_ref().map(|(deadline, _)| *deadline);
        if next == set_for {
            return;
        }
        let timer = next.map(|deadline| {
            let driver = Rc::clone(self);
            let ms = timer::ms_until(deadline, timer::now());
            (deadline, Timer::after(ms, move || driver.on_timer()))
        });
        drop(self.timer.replace(timer));
    }

    fn on_timer(self: &Rc<Self>) {
        drop(self.timer.take());
        self.calls.expire();
        self.dispatch(Input::Timeout);
    }

    // ------------------------------------------------------------------------------------------ the state

    /// The socket that frames can be sent on, if the link is open and the socket does not say otherwise.
    pub(super) fn open_socket(&self) -> Option<(SocketId, Rc<Socket>)> {
        let number = self.link.borrow().socket()?;
        let socket = self.held(number)?;
        socket.ready_state().is_none_or(|state| state == 1).then_some((number, socket))
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
        ])
    }

    fn tell_state(&self) {
        let change = self.changes.get() + 1;
        self.changes.set(change);
        let status = self.status();
        // A listener that changes the state again has told everybody the newer one.
        self.states.call_while(|| (self.changes.get() == change).then(|| status.clone()));
    }

    fn settle_connect(&self, result: Result<(), ConnectError>) {
        let settled: JsValue = match &result {
            Ok(()) => JsValue::UNDEFINED,
            Err(error) => connect_error(error, self.cause.borrow().as_ref()),
        };
        for deferred in self.waiting.take() {
            if result.is_ok() { deferred.resolve(&settled) } else { deferred.reject(&settled) }
        }
    }

    // ------------------------------------------------------------------------------------------- helpers

    fn send_on(&self, number: SocketId, frame: &JsValue) -> Result<(), JsValue> {
        self.held(number).map_or(Ok(()), |socket| socket.send(frame))
    }

    fn held(&self, number: SocketId) -> Option<Rc<Socket>> {
        let held = self.socket.borrow();
        held.as_ref().filter(|held| held.number == number).map(|held| Rc::clone(&held.socket))
    }

    fn take_socket(&self, number: SocketId) -> Option<Rc<Socket>> {
        self.held(number)?;
        self.socket.take().map(|held| held.socket)
    }

    fn watch_network(self: &Rc<Self>) {
        if self.network.borrow().is_none() {
            let driver = Rc::downgrade(self);
            let network = Network::listen(move || {
                if let Some(driver) = driver.upgrade() {
                    driver.ask_network();
                }
            });
            self.network.replace(Some(network));
        }
        self.ask_network();
    }

    fn ask_network(self: &Rc<Self>) {
        self.dispatch(if Network::is_up() { Input::Online } else { Input::Offline });
    }
}

fn ear(driver: Weak<Driver>) -> Ear {
    Ear::new(move |number, event| {
        if let Some(driver) = driver.upgrade() {
            driver.on_event(number, event);
        }
    })
}

pub(super) fn unreadable(message: &str) -> SyncError {
    SyncError::new("malformed-message", message)
}

fn connect_error(error: &ConnectError, cause: Option<&JsValue>) -> JsValue {
    let made = SyncError::new(
        match error {
            ConnectError::TimedOut => "connect-timeout",
            ConnectError::Failed {
                code: Some(CloseCode::UNAUTHENTICATED | CloseCode::HTTP_UNAUTHORIZED),
            } => "needs-auth",
            ConnectError::Failed { .. } => "connect-failed",
            ConnectError::Disconnected => "disconnected",
        },
        error.to_string(),
    );
    let made = match error {
        ConnectError::Failed { code: Some(code) } => made.close_code(code.0),
        ConnectError::Failed { code: None } | ConnectError::TimedOut | ConnectError::Disconnected => made,
    };
    let made = made.retryable(!matches!(error, ConnectError::Disconnected));
    match cause {
        Some(cause) => made.cause(cause).into(),
        None => made.into(),
    }
}
