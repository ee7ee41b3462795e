//! One attempt to connect: the address and the headers, which may be promises, the socket, the first frame; and the
//! question for new credentials. Decides nothing about when. Part of [`Driver`], called by its `carry_out`.

use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::{Driver, Held};
use crate::engine::link::{AskId, ConnectError, Input, SocketId};
use crate::web::error::{SyncError, report_thrown};
use crate::web::interop::{ask, has_method, spawn};
use crate::web::socket::Socket;
use crate::web::ws::options::Protocol;
use crate::web::ws::{calls, frames};
use crate::wire::CloseCode;

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    socket: SocketId,
    open: bool,
    /// The headers to send first; none until they are known.
    headers: Option<JsValue>,
}

impl Driver {
    pub(super) fn start_attempt(self: &Rc<Self>, socket: SocketId) {
        self.cause.replace(None);
        self.attempt.replace(Attempt { socket, ..Attempt::default() });
        let url = ask(&self.options.url);
        let headers = match self.options.protocol {
            Protocol::PushPull => ask(&self.options.headers),
            Protocol::Relay => Ok(JsValue::UNDEFINED),
        };
        // The headers first: then a socket that is open at once can be greeted at once.
        self.when_known(socket, headers, |driver, socket, headers| {
            driver.attempt.borrow_mut().headers = Some(headers);
            driver.greet(socket);
        });
        self.when_known(socket, url, |driver, socket, url| driver.open(socket, &url));
    }

    /// Goes on with a value, at once or when its promise is kept, if the attempt is still ours.
    pub(super) fn when_known(
        self: &Rc<Self>,
        socket: SocketId,
        value: Result<JsValue, JsValue>,
        go_on: fn(&Rc<Self>, SocketId, JsValue),
    ) {
        self.when_settled(value, move |driver, value| match value {
            Ok(value) if driver.owns(socket) => go_on(driver, socket, value),
            Ok(_) => {}
            Err(thrown) => driver.fail(socket, thrown),
        });
    }

    fn when_settled(
        self: &Rc<Self>,
        value: Result<JsValue, JsValue>,
        go_on: impl FnOnce(&Rc<Self>, Result<JsValue, JsValue>) + 'static,
    ) {
        match value {
            Ok(value) if value.is_object() && has_method(&value, "then") => {
                // Listened to from now on, so that a rejection never counts as unhandled.
                let value = JsFuture::from(Promise::resolve(&value));
                let driver = Rc::clone(self);
                spawn(async move { go_on(&driver, value.await) });
            }
            known => go_on(self, known),
        }
    }

    fn open(self: &Rc<Self>, number: SocketId, url: &JsValue) {
        match Socket::open(url, number, &self.ear) {
            Ok(socket) => {
                self.uplink.set(0.0);
                drop(self.socket.replace(Some(Held { number, socket: Rc::new(socket) })));
            }
            Err(thrown) => self.fail(number, thrown),
        }
    }

    fn fail(self: &Rc<Self>, socket: SocketId, thrown: JsValue) {
        if self.owns(socket) {
            self.cause.replace(Some(thrown));
            // There may be a socket already, when it is the headers that failed.
            if let Some(made) = self.take_socket(socket) {
                made.end(CloseCode::NORMAL);
            }
            self.dispatch(Input::OpenFailed { socket });
        }
    }

    /// The socket is open; it may not know its headers yet.
    pub(super) fn socket_opened(self: &Rc<Self>, socket: SocketId) {
        self.attempt.borrow_mut().open = true;
        self.greet(socket);
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
        let said = frames::auth(&headers).and_then(|frame| match (frame, self.held(socket)) {
            (Some(frame), Some(socket)) => socket.send(&frame),
            (None, _) | (_, None) => Ok(()),
        });
        match said {
            Ok(()) => self.dispatch(Input::Opened { socket }),
            Err(thrown) => self.fail(socket, thrown),
        }
    }

    pub(super) fn ask_auth(self: &Rc<Self>, number: AskId) {
        self.when_settled(ask(&self.options.on_auth_required), move |driver, answer| {
            if let Err(thrown) = &answer {
                report_thrown("onAuthRequired", thrown);
            }
            driver.dispatch(Input::AuthAnswered { ask: number, kept: answer.is_ok() });
        });
    }

    pub(super) fn connect_error(&self, error: &ConnectError) -> JsValue {
        let code = match error {
            ConnectError::TimedOut => "connect-timeout",
            ConnectError::Failed {
                code: Some(CloseCode::UNAUTHENTICATED | CloseCode::HTTP_UNAUTHORIZED),
            } => "needs-auth",
            ConnectError::Failed { .. } => "connect-failed",
            ConnectError::Disconnected => "disconnected",
        };
        let made = SyncError::new(code, error.to_string());
        let made = made.retryable(!matches!(error, ConnectError::Disconnected));
        let close = self.link.borrow().status().close;
        let made = match error {
            ConnectError::Failed { code: Some(_) } => calls::closed_by(made, close.as_ref()),
            ConnectError::Failed { code: None } | ConnectError::TimedOut | ConnectError::Disconnected => made,
        };
        match self.cause.borrow().as_ref() {
            Some(cause) => made.cause(cause).into(),
            None => made.into(),
        }
    }
}
