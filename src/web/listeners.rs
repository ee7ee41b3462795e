//! Callbacks of the app for one kind of news. Decides that a snapshot is called and that what one throws is
//! reported and stops nobody. Used by the transports, with no borrow held.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::error::report_thrown;

#[derive(Debug)]
pub(super) struct Listeners {
    /// The method that adds one, for reports.
    method: &'static str,
    next: Cell<u32>,
    list: RefCell<Vec<(u32, Function)>>,
}

impl Listeners {
    pub(super) fn new(method: &'static str) -> Rc<Self> {
        Rc::new(Listeners { method, next: Cell::new(0), list: RefCell::default() })
    }

    /// Adds a listener; the function that comes back removes it.
    pub(super) fn add(self: &Rc<Self>, listener: Function) -> Function {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        self.list.borrow_mut().push((id, listener));
        let list = Rc::downgrade(self);
        // Freed by the garbage collector together with the function.
        let remove = Closure::<dyn Fn()>::new(move || {
            if let Some(listeners) = list.upgrade() {
                listeners.list.borrow_mut().retain(|(other, _)| *other != id);
            }
        });
        remove.into_js_value().unchecked_into()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Calls each with what `value` gives for it; `None` ends the round.
    pub(super) fn call_while(&self, mut value: impl FnMut() -> Option<JsValue>) {
        for listener in self.snapshot() {
            let Some(value) = value() else { return };
            if let Err(thrown) = listener.call1(&JsValue::UNDEFINED, &value) {
                report_thrown(self.method, &thrown);
            }
        }
    }

    pub(super) fn call(&self, value: &JsValue) {
        self.call_while(|| Some(value.clone()));
    }

    /// Asks each; whether any says yes.
    pub(super) fn any(&self) -> bool {
        let mut any = false;
        for listener in self.snapshot() {
            match listener.call0(&JsValue::UNDEFINED) {
                Ok(answer) => any |= answer.is_truthy(),
                Err(thrown) => report_thrown(self.method, &thrown),
            }
        }
        any
    }

    fn snapshot(&self) -> Vec<Function> {
        self.list.borrow().iter().map(|(_, listener)| listener.clone()).collect()
    }
}
