//! Promises that wait for the replica: of this tab, and of tabs that follow it. Decides where the answer goes;
//! when a wait is over is the replica's to say. Called by the driver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::Driver;
use crate::engine::replica::{Input, Level, Problem, WaitId};
use crate::sorted::SortedMap;
use crate::web::error::SyncError;
use crate::web::events;
use crate::web::interop::{AbortListener, Deferred, field, object};

#[derive(Debug, Default)]
pub(super) struct Waiters {
    last: Cell<WaitId>,
    list: RefCell<SortedMap<WaitId, Waiter>>,
}

#[derive(Debug)]
enum Waiter {
    /// Listens to its signal for as long as it stands here.
    Local { level: Level, answer: Deferred, _abort: Option<AbortListener> },
    /// Of a following tab, under that tab's number.
    Remote { tab: String, number: f64, level: Level },
}

impl Waiters {
    fn next_id(&self) -> WaitId {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    fn take(&self, id: WaitId) -> Option<Waiter> {
        self.list.borrow_mut().remove(&id)
    }

    fn local(&self) -> Vec<(WaitId, Level)> {
        let list = self.list.borrow();
        list.iter()
            .filter_map(|(id, waiter)| match waiter {
                Waiter::Local { level, .. } => Some((*id, *level)),
                Waiter::Remote { .. } => None,
            })
            .collect()
    }

    fn remote(&self, tab: &str, number: f64) -> Option<WaitId> {
        let list = self.list.borrow();
        list.iter().find_map(|(id, waiter)| match waiter {
            #[allow(clippy::float_cmp)] // a whole number that came through unchanged
            Waiter::Remote { tab: of, number: known, .. } if of == tab && *known == number => Some(*id),
            Waiter::Remote { .. } | Waiter::Local { .. } => None,
        })
    }
}

impl Driver {
    /// A promise that settles when everything committed now has come as far as `level`.
    pub(in crate::web) fn wait(self: &Rc<Self>, level: Level, signal: &JsValue) -> Promise {
        let answer = Deferred::new();
        let promise = answer.promise.clone();
        let id = self.waiters.next_id();
        let abort = if signal.is_object() {
            let driver = Rc::downgrade(self);
            let fired = move |reason| {
                if let Some(driver) = driver.upgrade() {
                    driver.abort_wait(id, &reason);
                }
            };
            match AbortListener::new(signal, fired) {
                Ok(listener) => Some(listener),
                Err(reason) => return Promise::reject(&reason),
            }
        } else {
            None
        };
        self.waiters.list.borrow_mut().insert(id, Waiter::Local { level, answer, _abort: abort });
        self.begin_wait(id, level);
        promise
    }

    fn begin_wait(self: &Rc<Self>, id: WaitId, level: Level) {
        if self.follows() {
            self.tell_tabs("wait", &[("number", number(id)), ("level", level_word(level).into())]);
        } else {
            self.wait_here(id, level);
        }
    }

    fn wait_here(self: &Rc<Self>, id: WaitId, level: Level) {
        if matches!(level, Level::Round | Level::Resync | Level::Retry) {
            self.sync_now();
        }
        if level == Level::Account {
            self.feed(Input::AcceptAccount);
        }
        self.feed(Input::Wait { wait: id, level });
    }

    /// Asks again for what this tab waits for: it leads now, or somebody else does.
    pub(super) fn renew_waits(self: &Rc<Self>) {
        for (id, level) in self.waiters.local() {
            self.begin_wait(id, level);
        }
    }

    /// A following tab waits for something.
    pub(super) fn wait_for_tab(self: &Rc<Self>, tab: String, message: &JsValue) {
        let level = field(message, "level").as_string().and_then(|word| level_from(&word));
        let (Some(level), Some(number)) = (level, field(message, "number").as_f64()) else { return };
        if self.waiters.remote(&tab, number).is_some() {
            return;
        }
        let id = self.waiters.next_id();
        self.waiters.list.borrow_mut().insert(id, Waiter::Remote { tab, number, level });
        self.wait_here(id, level);
    }

    /// A following tab has lost interest.
    pub(super) fn cancel_for_tab(self: &Rc<Self>, tab: &str, message: &JsValue) {
        let known = field(message, "number").as_f64().and_then(|number| self.waiters.remote(tab, number));
        if let Some(id) = known {
            drop(self.waiters.take(id));
            self.feed(Input::Cancel { wait: id });
        }
    }

    /// The leader has answered a wait of this tab.
    pub(super) fn settled_by_leader(&self, message: &JsValue) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // our own number
        let Some(id) = field(message, "number").as_f64().map(|number| number as WaitId) else { return };
        let Some(Waiter::Local { answer, .. }) = self.waiters.take(id) else { return };
        let error = field(message, "error");
        if !error.is_object() {
            return answer.resolve(&field(message, "left"));
        }
        let message = field(&error, "message").as_string().unwrap_or_default();
        let code = field(&error, "code").as_string().unwrap_or_default();
        let retryable = field(&error, "retryable").is_truthy();
        answer.reject(&SyncError::new(known_code(&code), message).retryable(retryable).into());
    }

    pub(super) fn settled(self: &Rc<Self>, id: WaitId, result: Result<(), Problem>) {
        let stopped = result.as_ref().is_err_and(|problem| problem.code == "stopped");
        match self.waiters.take(id) {
            None => {}
            // This tab has only lost its role: the next leader will be asked.
            Some(waiter @ Waiter::Local { .. }) if stopped && self.follows() => {
                self.waiters.list.borrow_mut().insert(id, waiter);
            }
            Some(Waiter::Local { answer, level, .. }) => match result {
                Ok(()) => answer.resolve(&self.left(level)),
                Err(problem) => answer.reject(&problem.into()),
            },
            Some(Waiter::Remote { tab, number, level }) => {
                // The leader stops, not they: the next leader will be asked.
                if stopped {
                    return;
                }
                let error = result.err().map_or(JsValue::UNDEFINED, |problem| {
                    object(&[
                        ("code", problem.code.into()),
                        ("message", problem.message.into()),
                        ("retryable", problem.retryable.into()),
                    ])
                });
                let (to, number, left) = (tab.into(), number.into(), self.left(level));
                self.tell_tabs(
                    "settled",
                    &[("to", to), ("number", number), ("error", error), ("left", left)],
                );
            }
        }
    }

    /// What a promise of this level tells: after a retry, what is left.
    fn left(&self, level: Level) -> JsValue {
        if level != Level::Retry {
            return JsValue::UNDEFINED;
        }
        let status = self.replica_status();
        let count = |name, count| (name, events::count(count));
        object(&[count("quarantined", status.quarantined), count("rejected", status.rejected)])
    }

    /// Ends all waits of this tab: it was stopped.
    pub(super) fn fail_waits(&self) {
        let waiting = std::mem::take(&mut *self.waiters.list.borrow_mut());
        for (_, waiter) in waiting {
            if let Waiter::Local { answer, .. } = waiter {
                answer.reject(&SyncError::new("stopped", "the client was stopped").into());
            }
        }
    }

    fn abort_wait(self: &Rc<Self>, id: WaitId, reason: &JsValue) {
        let Some(waiter) = self.waiters.take(id) else { return };
        if let Waiter::Local { answer, .. } = &waiter {
            answer.reject(reason);
        }
        if self.follows() {
            self.tell_tabs("cancel", &[("number", number(id))]);
        } else {
            self.feed(Input::Cancel { wait: id });
        }
    }
}

#[allow(clippy::cast_precision_loss)] // far below 2^53
fn number(id: WaitId) -> JsValue {
    (id as f64).into()
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::FirstSync => "first-sync",
        Level::Sent => "sent",
        Level::Stored => "stored",
        Level::Round => "round",
        Level::Resync => "resync",
        Level::Retry => "retry",
        Level::Account => "account",
    }
}

fn level_from(word: &str) -> Option<Level> {
    use Level::{Account, FirstSync, Resync, Retry, Round, Sent, Stored};
    let levels = [FirstSync, Sent, Stored, Round, Resync, Retry, Account];
    levels.into_iter().find(|level| level_word(*level) == word)
}

/// The codes with which a wait can fail.
fn known_code(code: &str) -> &'static str {
    const CODES: [&str; 11] = [
        "not-storing",
        "account-changed",
        "cloned-database",
        "database-failed",
        "database-closed",
        "storage-full",
        "orphan-clock-table",
        "peer-error",
        "needs-auth",
        "http-status",
        "gave-up",
    ];
    CODES.into_iter().find(|known| *known == code).unwrap_or("database-failed")
}
