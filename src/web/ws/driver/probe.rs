//! Makes the peer of an open socket speak, and looks at the socket for signs of life and death that no event brings.
//! Decides nothing about when, and nothing about what they mean. Part of [`Driver`], called by its `carry_out` and
//! before it sends, waits or is told something by the browser.

use std::rc::Rc;

use super::Driver;
use crate::engine::link::{Doubt, Input, SocketId};
use crate::web::ws::frames;
use crate::web::ws::options::Protocol;

impl Driver {
    /// A pull whose answer nobody waits for, or whatever the app's own listener does.
    pub(super) fn probe(self: &Rc<Self>, number: SocketId, doubt: Doubt) {
        let Some(socket) = self.held(number) else { return };
        if socket.is_ending() {
            return self.look_for_end();
        }
        // Before it says something: that this has left proves nothing.
        self.uplink.set(socket.buffered());
        let asked = match self.options.protocol {
            Protocol::PushPull => self.calls.probe(doubt).is_some_and(|id| {
                // What waits in a full socket will do: it shrinks, or it does not.
                socket.is_full() || socket.send(&frames::probe(&id)).is_ok()
            }),
            Protocol::Relay => self.probes.any(),
        };
        if !asked {
            self.dispatch(Input::NoProbe { socket: number });
        }
    }

    /// Some of what waits to be sent has left: the peer takes it.
    pub(super) fn look_at_uplink(self: &Rc<Self>) {
        let Some((number, socket)) = self.open_number().and_then(|number| Some((number, self.held(number)?)))
        else {
            return;
        };
        let before = self.uplink.replace(socket.buffered());
        if self.uplink.get() < before {
            self.dispatch(Input::Heard { socket: number });
        }
    }

    /// A socket may know that it is closed long before it says so, and some never say it.
    pub(super) fn look_for_end(self: &Rc<Self>) {
        let Some(number) = self.open_number() else { return };
        if self.held(number).is_some_and(|socket| socket.is_ending()) {
            self.dispatch(Input::Ending { socket: number });
        }
    }
}
