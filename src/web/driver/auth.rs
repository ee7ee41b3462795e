//! Asks the app for new credentials when the remote refuses the old ones: once, however often they are refused. Decides
//! when to ask again; what the refusal means for replication is the replica's. Called by the driver.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::Driver;
use crate::engine::clock::Duration;
use crate::engine::link::{PROVEN_AFTER, QUESTIONS};
use crate::engine::replica::{Input, LinkState, State};
use crate::web::error::SyncError;
use crate::web::events::EventName;
use crate::web::interop::{field, has_method, spawn};
use crate::web::timer;
use crate::web::transport::{Said, read_status};

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    #[default]
    Fresh,
    Asking,
    /// Answered then; `served`: the remote has answered a request since.
    Asked {
        at: Duration,
        served: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Auth {
    stage: Cell<Stage>,
    /// Questions that followed each other closely: a remote may serve pulls and refuse pushes.
    in_a_row: Cell<u32>,
}

impl Auth {
    /// A session begins.
    pub(super) fn begin(&self) {
        self.stage.set(Stage::Fresh);
        self.in_a_row.set(0);
    }

    pub(super) fn is_asking(&self) -> bool {
        matches!(self.stage.get(), Stage::Asking)
    }

    /// The app wants another try.
    fn renewed(&self) {
        if let Stage::Asked { .. } = self.stage.get() {
            self.begin();
        }
    }

    /// The remote has served a request: what it refuses later is worth a question, though not for ever.
    pub(super) fn served(&self) {
        if let Stage::Asked { at, .. } = self.stage.get() {
            self.stage.set(Stage::Asked { at, served: true });
        }
    }

    fn may_ask(&self, now: Duration) -> bool {
        match self.stage.get() {
            Stage::Fresh => true,
            Stage::Asking | Stage::Asked { served: false, .. } => false,
            Stage::Asked { at, served: true } => {
                if at + PROVEN_AFTER <= now {
                    self.in_a_row.set(0);
                }
                self.in_a_row.get() < QUESTIONS
            }
        }
    }
}

impl Driver {
    /// The remote refuses the credentials.
    pub(super) fn auth_required(self: &Rc<Self>) {
        let Some(ask) = self.options.on_auth_required.dyn_ref::<Function>().cloned() else { return };
        // One that has asked already was given all that there is.
        let asked = field(&self.options.transport, "asksForAuth").is_truthy();
        if asked || !self.auth.may_ask(timer::now().at) {
            return;
        }
        self.auth.stage.set(Stage::Asking);
        self.auth.in_a_row.set(self.auth.in_a_row.get() + 1);
        let driver = self.clone();
        let epoch = self.epoch.get();
        spawn(async move {
            let answer = match ask.call0(&JsValue::UNDEFINED) {
                Ok(answer) => JsFuture::from(Promise::resolve(&answer)).await,
                Err(thrown) => Err(thrown),
            };
            if driver.epoch.get() != epoch {
                return;
            }
            driver.auth.stage.set(Stage::Asked { at: timer::now().at, served: false });
            match answer {
                Ok(_) => driver.try_again(),
                Err(thrown) => {
                    let error = SyncError::new("needs-auth", "onAuthRequired has failed").cause(&thrown);
                    driver.show_status();
                    driver.listeners.emit(EventName::Error, &error.into());
                }
            }
        });
    }

    fn try_again(self: &Rc<Self>) {
        if has_method(&self.options.transport, "reconnect") {
            self.reconnect();
        }
        self.feed(Input::SyncNow);
    }

    /// The transport has stopped by itself, and goes on only when it is told to.
    fn has_failed(&self) -> bool {
        let status = self.options.transport.status().unwrap_or_default();
        let said = read_status(&status, timer::now());
        self.follows_state() && matches!(said, Said::Not { link: LinkState::Failed { .. }, .. })
    }

    /// The app wants everything now.
    pub(super) fn sync_now(self: &Rc<Self>) {
        if self.replica_status().state == State::NeedsAuth {
            self.auth.renewed();
            self.try_again();
        } else if self.has_failed() {
            self.try_again();
        } else {
            self.feed(Input::SyncNow);
        }
    }
}
