//! What the tabs of one database tell each other, and what this one has for that from its start to its stop. Decides
//! when a silent leader counts as gone; who leads then is `session`'s. Called by the channel and by the rest of the driver.

use std::rc::Rc;

use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::Driver;
use super::session::{Session, Subscription};
use crate::engine::replica::Input;
use crate::web::events::{self, EventName};
use crate::web::interop::{field, object, random_u64};
use crate::web::signals::Signals;
use crate::web::tabs::Channel;
use crate::web::timer::Timer;

/// How often a follower looks whether its leader has said anything.
const WATCH_MS: f64 = 1500.0;
/// After so many looks in silence the leader is gone; from the second one on it is asked.
const PATIENCE: u32 = 4;

/// What a tab has from its start on, leading or not.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Names this start of this tab to the others; empty until the line is open.
    name: String,
    channel: Option<Channel>,
    _updates: Option<Subscription>,
    _page: Option<Signals>,
}

impl Line {
    pub(super) fn is_open(&self) -> bool {
        !self.name.is_empty()
    }
}

/// What is known of the tab that leads.
#[derive(Debug)]
pub(super) struct Leader {
    /// What it has said of itself.
    pub(super) status: JsValue,
    /// Looks since it was last heard of.
    silent: u32,
    _watch: Timer,
}

impl Driver {
    pub(super) fn open_line(self: &Rc<Self>) -> Line {
        let name = format!("{:016x}", random_u64());
        let _updates = self.listen_to_database();
        let Some(shared) = self.options.shared_as.as_deref() else {
            return Line { name, _updates, ..Line::default() };
        };
        let driver = Rc::downgrade(self);
        let page = driver.clone();
        let channel = Channel::open(shared, move |message| {
            if let Some(driver) = driver.upgrade() {
                driver.heard(&message);
            }
        });
        let _page = self.shared_as().map(|_| {
            Signals::listen(move |signal| {
                if let Some(driver) = page.upgrade() {
                    driver.page_said(&signal);
                }
            })
        });
        Line { name, channel, _updates, _page }
    }

    /// A leader of whom nothing is known yet.
    pub(super) fn watch_leader(self: &Rc<Self>) -> Leader {
        Leader { status: JsValue::UNDEFINED, silent: 0, _watch: self.watch() }
    }

    fn watch(self: &Rc<Self>) -> Timer {
        let here = self.of_this_session();
        Timer::after(WATCH_MS, move || {
            if let Some(driver) = here() {
                driver.look_after_leader();
            }
        })
    }

    /// Looks that come late, as in a page that sleeps or is throttled, do not make the leader's silence any longer.
    fn look_after_leader(self: &Rc<Self>) {
        let next = self.watch();
        let mut session = self.session.borrow_mut();
        let Session::Standby { leader, .. } = &mut *session else { return };
        leader._watch = next;
        leader.silent += 1;
        let silent = leader.silent;
        drop(session);
        if silent >= PATIENCE {
            self.take_over();
        } else if silent > 1 {
            self.tell_tabs("ping", &[]);
        }
    }

    /// Says something to the other tabs.
    pub(super) fn tell_tabs(&self, kind: &str, what: &[(&str, JsValue)]) {
        let session = self.session.borrow();
        let Some(line) = session.line() else { return };
        let Some(channel) = &line.channel else { return };
        let mut fields = vec![("kind", JsValue::from_str(kind)), ("from", JsValue::from_str(&line.name))];
        fields.extend(what.iter().cloned());
        channel.post(&object(&fields));
    }

    fn heard(self: &Rc<Self>, message: &JsValue) {
        let word = |name: &str| field(message, name).as_string().unwrap_or_default();
        let (kind, leads) = (word("kind"), self.leads());
        if matches!(kind.as_str(), "alive" | "lead" | "status" | "applied" | "settled")
            && let Session::Standby { leader, .. } = &mut *self.session.borrow_mut()
        {
            leader.silent = 0;
        }
        match (kind.as_str(), leads) {
            ("hello", true) => self.tell_tabs("status", &[("status", self.status())]),
            ("ping", true) => self.tell_tabs("alive", &[]),
            ("wait", true) => self.wait_for_tab(word("from"), message),
            ("cancel", true) => self.cancel_for_tab(&word("from"), message),
            ("write", _) => {
                if leads {
                    self.feed(Input::LocalChange);
                }
                self.told_elsewhere(field(message, "version").as_f64().unwrap_or_default());
                self.written_elsewhere(&field(message, "tables"));
            }
            ("lead", false) => self.renew_waits(),
            ("status", false) => self.leader_said(field(message, "status")),
            // Also for a leader that was replaced while it stood still.
            ("applied", _) => self.listeners.emit(EventName::Applied, &field(message, "event")),
            ("settled", _) if word("to") == self.name() => self.settled_by_leader(message),
            _ => {}
        }
    }

    fn name(&self) -> String {
        self.session.borrow().line().map(|line| line.name.clone()).unwrap_or_default()
    }

    fn leader_said(&self, status: JsValue) {
        if let Session::Standby { leader, .. } = &mut *self.session.borrow_mut() {
            leader.status = status;
        } else {
            return;
        }
        self.unread.set(false);
        self.emit_status();
    }

    /// Another tab knows its tables; which rows, only SQLite there knew.
    fn written_elsewhere(&self, tables: &JsValue) {
        let Ok(names) = tables.clone().dyn_into::<Array>() else { return };
        let names: Vec<String> = names.iter().filter_map(|name| name.as_string()).collect();
        let fields: Vec<(&str, JsValue)> =
            names.iter().map(|name| (name.as_str(), Array::new().into())).collect();
        let applied = events::applied(self.options.site, "tab", &object(&fields));
        self.listeners.emit(EventName::Applied, &applied);
    }
}
