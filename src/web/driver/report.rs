//! Gathers what `exportDiagnostics` tells, in every state: what is known at once, and what the database says if it says
//! it in time. Decides what to wait for; what may be told is `diagnostics`' to say. Called by the class.

use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::Driver;
use super::session::Session;
use crate::engine::store::{Store, StoreError};
use crate::web::diagnostics::{self, address, array, word};
use crate::web::events::count;
use crate::web::interop::{Deferred, object};
use crate::web::store::JsStore;
use crate::web::timer::Timer;

/// A database that does not answer by then is part of the report.
const PATIENCE_MS: f64 = 2_000.0;

impl Driver {
    pub(in crate::web) fn diagnostics(self: &Rc<Self>) -> Promise {
        let answer = Deferred::new();
        let promise = answer.promise.clone();
        let (late, driver) = (answer.clone(), self.clone());
        let timer = Timer::after(PATIENCE_MS, move || late.resolve(&driver.report("no-answer".into())));
        let driver = self.clone();
        self.enqueue(async move {
            let stopped = matches!(&*driver.session.borrow(), Session::Stopped);
            let read = driver
                .with_store(async |store| {
                    let read = read(store).await;
                    if stopped {
                        store.close().await; // nobody else would
                    }
                    read
                })
                .await;
            answer.resolve(&driver.report(read.unwrap_or_else(|error| error.code().into())));
            drop(timer);
        });
        promise
    }

    /// `database`: what it says, or the code of what it refused with.
    fn report(&self, database: JsValue) -> JsValue {
        let transport = &self.options.transport;
        let status = self.status();
        let reason = word(&status, "reason");
        diagnostics::set(&status, "reason", &reason);
        let role = match &*self.session.borrow() {
            Session::Stopped => "stopped",
            Session::Starting { .. } => "starting",
            Session::Away { .. } => "away",
            Session::Standby { .. } => "standby",
            Session::Leading { .. } => "leader",
        };
        let frames = array(&mut self.replica.borrow().frames().map(diagnostics::frame));
        object(&[
            ("at", js_sys::Date::now().into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("role", role.into()),
            ("status", status),
            ("transport", diagnostics::transport(transport, &transport.status().unwrap_or_default())),
            ("options", self.options_told()),
            ("database", database),
            ("frames", frames),
            ("errors", self.listeners.errors.told()),
        ])
    }

    fn options_told(&self) -> JsValue {
        let options = &self.options;
        let tables = options.tables.as_ref().map(|names| array(&mut names.iter().map(JsValue::from)));
        let pull_every = options.records.as_ref().and_then(|records| records.pull_every);
        object(&[
            ("remoteId", address(&options.remote).into()),
            ("tables", tables.unwrap_or_default()),
            ("batchChanges", count(options.budget.changes as u64)),
            ("batchBytes", count(options.budget.bytes as u64)),
            ("multiTab", options.shared_as.is_some().into()),
            ("pullIntervalMs", pull_every.map_or(JsValue::UNDEFINED, |every| every.as_ms().into())),
            ("onAuthRequired", options.on_auth_required.is_function().into()),
        ])
    }
}

/// One transaction, which writes nothing.
async fn read(store: &mut JsStore) -> Result<JsValue, StoreError> {
    store.begin().await?;
    let told = match store.read_meta().await {
        Ok(state) => store.describe().await.map(|more| diagnostics::bookkeeping(&state, &more)),
        Err(error) => Err(error),
    };
    store.rollback().await;
    told
}
