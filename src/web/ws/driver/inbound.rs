//! What a socket tells, and the news it brings: to the link, to a waiting request, to listeners, or into a bounded
//! backlog until there are some. Decides only who is told. Part of [`Driver`], called by its ear.

use std::rc::{Rc, Weak};

use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::Driver;
use crate::engine::link::{Input, SocketId};
use crate::web::error::{SyncError, report};
use crate::web::interop::{field, has_method};
use crate::web::socket::{self, Ear, Event};
use crate::web::ws::frames;
use crate::web::ws::options::Protocol;

/// Frames that wait for the first listener. At the bound the oldest goes, and it is reported.
const BACKLOG: usize = 256;

pub(super) fn ear(driver: Weak<Driver>) -> Ear {
    Ear::new(move |number, event| {
        if let Some(driver) = driver.upgrade() {
            driver.on_event(number, event);
        }
    })
}

impl Driver {
    fn on_event(self: &Rc<Self>, number: SocketId, event: Event) {
        if !self.owns(number) {
            return;
        }
        match event {
            Event::Opened => self.socket_opened(number),
            Event::Message(data) => {
                self.dispatch(Input::Heard { socket: number });
                self.on_data(number, data);
            }
            Event::Error => self.dispatch(Input::SocketError { socket: number }),
            Event::Closed { code, text } => {
                drop(self.take_socket(number));
                self.dispatch(Input::Closed { socket: number, code, text });
            }
        }
    }

    fn on_data(self: &Rc<Self>, number: SocketId, data: JsValue) {
        if data.is_string() {
            self.on_text(number, data);
        } else if has_method(&data, "text") {
            // A blob: a socket that does not know `binaryType`.
            let text = field(&data, "text").unchecked_into::<Function>().call0(&data);
            self.when_known(number, text, Self::on_text);
        } else {
            match socket::decode_utf8(&data) {
                Ok(text) => self.on_text(number, text),
                Err(thrown) => report(&unreadable("a frame is neither text nor bytes").cause(&thrown).into()),
            }
        }
    }

    fn on_text(self: &Rc<Self>, number: SocketId, text: JsValue) {
        // What came before it may have ended its connection.
        if !self.owns(number) {
            return;
        }
        match self.options.protocol {
            Protocol::Relay => self.tell_news(text),
            Protocol::PushPull => frames::received(self, number, &text),
        }
    }

    /// Passes news on, or keeps it until somebody listens.
    pub(in crate::web::ws) fn tell_news(&self, news: JsValue) {
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

    pub(in crate::web::ws) fn add_news_listener(&self, listener: Function) -> Function {
        let unsubscribe = self.news.add(listener);
        loop {
            let waiting = self.backlog.borrow_mut().pop_front();
            match waiting {
                Some(news) => self.news.call(&news),
                None => return unsubscribe,
            }
        }
    }
}

pub(in crate::web::ws) fn unreadable(message: &str) -> SyncError {
    SyncError::new("malformed-message", message)
}
