//! One call of the app, `push`, `pull` or `connect`, from its beginning until its promise is settled, over all its
//! attempts. Decides that the first end counts and leaves no listener and no timer. Kept by [`super::driver`].

use std::cell::{Cell, RefCell};

use wasm_bindgen::prelude::*;

use super::limits::Limits;
use super::request::Request;
use crate::engine::requests::Kind;
use crate::web::interop::{AbortListener, Deferred};

#[derive(Debug)]
pub(super) enum Task {
    /// With what was pushed.
    Push(JsValue),
    Pull,
    /// `must_succeed`: with a ping endpoint; the base itself has to answer only.
    Check {
        must_succeed: bool,
    },
}

impl Task {
    /// None for a check.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Task::Push(_) => Some(Kind::Push),
            Task::Pull => Some(Kind::Pull),
            Task::Check { .. } => None,
        }
    }

    /// How the messages of its errors begin.
    pub(super) fn failed(&self) -> &'static str {
        match self {
            Task::Push(_) => "Sync push failed",
            Task::Pull => "Sync pull failed",
            Task::Check { .. } => "Sync server unreachable",
        }
    }
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) task: Task,
    pub(super) request: Request,
    /// The caller's signal; undefined without one.
    pub(super) signal: JsValue,
    /// For each attempt.
    pub(super) timeout_ms: Option<f64>,
    pub(super) deferred: Deferred,
    over: Cell<bool>,
    abort: RefCell<Option<AbortListener>>,
    limits: RefCell<Option<Limits>>,
}

impl Call {
    pub(super) fn new(task: Task, request: Request, signal: JsValue, timeout_ms: Option<f64>) -> Self {
        Call {
            task,
            request,
            signal,
            timeout_ms,
            deferred: Deferred::new(),
            over: Cell::new(false),
            abort: RefCell::default(),
            limits: RefCell::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    pub(super) fn listens(&self, abort: Option<AbortListener>) {
        self.abort.replace(abort);
    }

    /// Begins an attempt, which ends the one before it.
    pub(super) fn begin(&self, limits: Limits) -> JsValue {
        let signal = limits.signal.clone();
        drop(self.limits.replace(Some(limits)));
        signal
    }

    /// Whether the attempt's time is over, though nobody has told.
    pub(super) fn has_timed_out(&self) -> bool {
        self.limits.borrow().as_ref().is_some_and(Limits::has_timed_out)
    }

    /// The attempt is over; another may follow.
    pub(super) fn attempt_ended(&self) {
        drop(self.limits.take());
    }

    /// Settles the promise, unless it is.
    pub(super) fn settle(&self, result: &Result<JsValue, JsValue>) {
        if self.over.replace(true) {
            return;
        }
        drop(self.abort.take());
        drop(self.limits.take());
        match result {
            Ok(value) => self.deferred.resolve(value),
            Err(why) => self.deferred.reject(why),
        }
    }

    /// Rejects it from our side, whatever `fetch` does.
    pub(super) fn cancel(&self, why: &JsValue) {
        let limits = self.limits.take();
        self.settle(&Err(why.clone()));
        if let Some(limits) = limits {
            limits.abort(why);
        }
    }
}
