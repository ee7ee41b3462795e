//! Asks the app for new credentials when the remote refuses the old ones: once, however often they are refused. Decides
//! when to ask again; what the refusal means for replication is the replica's. Called by the driver.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::Driver;
use crate::engine::replica::{Input, State};
use crate::web::error::SyncError;
use crate::web::events::EventName;
use crate::web::interop::has_method;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Fresh,
    /// Asked, or answered and not proved yet: another refusal is not asked about.
    Asked,
}

#[derive(Debug, Default)]
pub(super) struct Auth(Cell<Stage>);

impl Auth {
    /// The remote has taken the credentials, or the app wants another try.
    pub(super) fn proven(&self) {
        self.0.set(Stage::Fresh);
    }
}

impl Driver {
    /// The remote refuses the credentials.
    pub(super) fn auth_required(self: &Rc<Self>) {
        let Some(ask) = self.options.on_auth_required.dyn_ref::<Function>().cloned() else { return };
        if self.auth.0.replace(Stage::Asked) == Stage::Asked {
            return;
        }
        let driver = self.clone();
        let epoch = self.epoch.get();
        spawn_local(async move {
            let answer = match ask.call0(&JsValue::UNDEFINED) {
                Ok(answer) => JsFuture::from(Promise::resolve(&answer)).await,
                Err(thrown) => Err(thrown),
            };
            if driver.epoch.get() != epoch {
                return;
            }
            match answer {
                Ok(_) => driver.try_again(),
                Err(thrown) => {
                    let error = SyncError::new("needs-auth", "onAuthRequired has failed").cause(&thrown);
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

    /// The app wants everything now.
    pub(super) fn sync_now(self: &Rc<Self>) {
        if self.replica_status().state == State::NeedsAuth {
            self.auth.proven();
            self.try_again();
        } else {
            self.feed(Input::SyncNow);
        }
    }
}
