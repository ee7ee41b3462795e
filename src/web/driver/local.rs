//! What the app writes in this tab: noticed while it writes, told the other tabs when it is there to stay. Decides which
//! tables are the app's and what counts as one burst; never what is sent. Called from inside SQLite.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Array;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::Driver;
use super::session::Subscription;
use crate::engine::replica::Input;
use crate::engine::store::StoreError;
use crate::text;
use crate::web::events::EventName;
use crate::web::interop::{Deferred, spawn};
use crate::web::store::TABLE_PREFIX;
use crate::web::store::pace::macrotask;
use crate::web::timer::Timer;

/// How long the app's open transaction is left alone before somebody looks again: the longer it has been open, the longer.
const BUSY_PAUSE_MS: f64 = 25.0;
const LONGEST_BUSY_PAUSE_MS: f64 = 400.0;

/// What the update hook has said, and how much of it has been dealt with.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// Something was written that the other tabs have not been told of.
    changed: Cell<bool>,
    /// The end of the burst is waited for.
    due: Cell<bool>,
    /// Somebody is about to tell the other tabs.
    telling: Cell<bool>,
    /// The highest version when the database was looked at last.
    known: Cell<i64>,
}

impl Driver {
    pub(super) fn listen_to_database(self: &Rc<Self>) -> Option<Subscription> {
        let driver = self.clone();
        self.tell_when_committed();
        // Called from inside SQLite, before the commit: nothing may be done here but to remember.
        let listener = Closure::<dyn FnMut(JsValue, JsValue, JsValue)>::new(
            move |_: JsValue, _: JsValue, table: JsValue| {
                if driver.writing.get() || !table.as_string().is_some_and(|table| is_the_apps(&table)) {
                    return;
                }
                driver.unread.set(true);
                driver.local.changed.set(true);
                if driver.local.due.replace(true) {
                    return;
                }
                let driver = driver.clone();
                spawn(async move {
                    macrotask().await;
                    driver.local.due.set(false);
                    if driver.leads() {
                        driver.unread.set(false); // the replica knows
                        driver.feed(Input::LocalChange);
                    }
                    driver.tell_when_committed();
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

    /// The hook also speaks of what is rolled back, and of transactions that stay open for long: the other tabs hear of
    /// tables in which something new of ours stands after the app's transaction.
    fn tell_when_committed(self: &Rc<Self>) {
        if self.options.shared_as.is_none() || self.local.telling.replace(true) {
            return;
        }
        let driver = self.clone();
        let here = self.of_this_session();
        spawn(async move {
            let local = &driver.local;
            let mut pause = BUSY_PAUSE_MS;
            while here().is_some() {
                let news = local.changed.replace(false);
                // Without news it is only learnt where the next ones begin.
                let since = if news { local.known.get() } else { i64::MAX };
                match driver.look_for_ours(since).await {
                    Ok((written, version)) => {
                        // What came while it was only learnt may be below that version, and is to be told.
                        if news || !local.changed.get() {
                            local.known.set(version);
                        }
                        pause = BUSY_PAUSE_MS;
                        if !written.is_empty() {
                            driver.tell_written(&written, version);
                        } else if news {
                            driver.unread.set(false); // it was nothing of ours
                        }
                    }
                    Err(StoreError::Busy) => {
                        local.changed.set(news || local.changed.get());
                        sleep(pause).await;
                        pause = (pause * 2.0).min(LONGEST_BUSY_PAUSE_MS);
                        continue;
                    }
                    // Whoever works on the database says what is wrong with it.
                    Err(_) => {}
                }
                if !local.changed.get() {
                    break;
                }
            }
            local.telling.set(false);
        });
    }

    fn tell_written(&self, tables: &[String], version: i64) {
        let names: Array = tables.iter().map(|table| JsValue::from_str(table)).collect();
        #[allow(clippy::cast_precision_loss)] // a version is far below 2^53
        let version = version as f64;
        self.tell_tabs("write", &[("tables", names.into()), ("version", version.into())]);
    }

    /// Another tab has told of all of ours up to this version, unless something of this tab is yet to be told.
    pub(super) fn told_elsewhere(&self, version: f64) {
        let local = &self.local;
        #[allow(clippy::cast_possible_truncation)] // `as` saturates
        let version = version as i64;
        if !local.changed.get() && !local.telling.get() {
            local.known.set(local.known.get().max(version));
        }
    }

    /// Waits for its turn on the database.
    async fn look_for_ours(self: &Rc<Self>, since: i64) -> Result<(Vec<String>, i64), StoreError> {
        let answer: Rc<RefCell<Option<_>>> = Rc::default();
        let (driver, place) = (self.clone(), answer.clone());
        self.enqueue(async move {
            let looked = driver.with_store(async |store| store.ours_since(since).await).await;
            place.replace(Some(looked));
        });
        let _ = JsFuture::from(self.work_done()).await;
        answer.take().unwrap_or(Err(StoreError::Closed))
    }
}

pub(super) async fn sleep(ms: f64) {
    let woken = Deferred::new();
    let told = woken.clone();
    let _timer = Timer::after(ms, move || told.resolve(&JsValue::UNDEFINED));
    let _ = JsFuture::from(woken.promise).await;
}

/// A table of the app, not one that SQLite, cr-sqlite or we keep beside it.
fn is_the_apps(table: &str) -> bool {
    let internal = ["sqlite_", "crsql_", TABLE_PREFIX];
    !internal.iter().any(|prefix| table.starts_with(prefix)) && text::after(table, "__crsql_").is_none()
}
