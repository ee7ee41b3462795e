//! What the app writes in this tab: noticed while it writes, told afterwards. Decides which tables are the app's and what
//! counts as one burst; never what is sent. Called from inside SQLite.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Array;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::Driver;
use super::session::Subscription;
use crate::engine::replica::Input;
use crate::sorted::SortedMap;
use crate::text;
use crate::web::events::EventName;
use crate::web::store::TABLE_PREFIX;
use crate::web::store::pace::macrotask;

impl Driver {
    pub(super) fn listen_to_database(self: &Rc<Self>) -> Option<Subscription> {
        let driver = self.clone();
        let changed: Rc<RefCell<SortedMap<String, ()>>> = Rc::default();
        let due = Rc::new(Cell::new(false));
        // Called from inside SQLite, before the commit: nothing may be done here but to remember.
        let listener = Closure::<dyn FnMut(JsValue, JsValue, JsValue)>::new(
            move |_: JsValue, _: JsValue, table: JsValue| {
                let Some(table) = table.as_string().filter(|table| is_the_apps(table)) else { return };
                if driver.writing.get() {
                    return;
                }
                changed.borrow_mut().insert(table, ());
                if due.replace(true) {
                    return;
                }
                let (driver, changed, due) = (driver.clone(), changed.clone(), due.clone());
                spawn_local(async move {
                    macrotask().await;
                    due.set(false);
                    let tables = changed.take();
                    driver.changed_here(&tables);
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

    fn changed_here(self: &Rc<Self>, tables: &SortedMap<String, ()>) {
        if self.leads() {
            self.feed(Input::LocalChange);
        }
        let names: Array = tables.keys().map(|table| JsValue::from_str(table)).collect();
        self.tell_tabs("write", &[("tables", names.into())]);
    }
}

/// A table of the app, not one that SQLite, cr-sqlite or we keep beside it.
fn is_the_apps(table: &str) -> bool {
    let internal = ["sqlite_", "crsql_", TABLE_PREFIX];
    !internal.iter().any(|prefix| table.starts_with(prefix)) && text::after(table, "__crsql_").is_none()
}
