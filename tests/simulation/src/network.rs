//! The network of a world: connections, and frames on their way to the relay and back. Decides what is delayed, lost,
//! doubled or overtaken; both sides of a connection learn in their own time that it is gone.

use crsqlite_sync::engine::replica::{ConnId, Input, LinkState};

use crate::device::Client;
use crate::relay::Outgoing;
use crate::world::{Conn, Event, Relay, World};

impl World {
    /// Connects before long, if the device is up and has a network.
    pub(crate) fn dial(&mut self, n: usize) {
        let device = &self.devices[n];
        if device.is_up() && device.online && device.conn.is_none() {
            let epoch = device.epoch;
            let delay = self.rng.range(1, 1_500);
            self.at(delay, Event::Connect { device: n, epoch });
        }
    }

    pub(crate) fn connect(&mut self, n: usize, epoch: u64) -> Result<(), String> {
        let device = &self.devices[n];
        if device.epoch != epoch || !device.online || device.conn.is_some() || !device.is_up() {
            return Ok(());
        }
        self.next_id += 1;
        let conn = self.next_id;
        self.devices[n].conn = Some(conn);
        let (last_up, last_down) = (self.now, self.now);
        self.conns.insert(conn, Conn { device: n, device_side: true, relay_side: true, last_up, last_down });
        self.note(|| format!("d{n} connects ({conn})"));
        if let Client::Seed(_) = self.devices[n].client {
            return self.happen(Event::SeedPeerAsks { device: n, epoch });
        }
        self.feed(n, Input::Opened { conn })
    }

    /// The device's side of its connection is gone; the relay notices now or later.
    pub(crate) fn disconnect(&mut self, n: usize) {
        let Some(conn) = self.devices[n].conn.take() else { return };
        self.note(|| format!("d{n} is disconnected ({conn})"));
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.device_side = false;
        }
        let late = if self.rng.chance(30) { self.rng.below(10_000) } else { 0 };
        self.at(late, Event::Forget(conn));
    }

    /// The connection of a live client breaks: the client hears of it and dials again.
    pub(crate) fn break_link(&mut self, n: usize) -> Result<(), String> {
        let Some(conn) = self.devices[n].conn else { return Ok(()) };
        self.disconnect(n);
        if let Client::Seed(_) = self.devices[n].client {
            self.devices[n].epoch += 1;
        }
        self.feed(n, Input::Closed { conn, close_code: Some(1006) })?;
        self.feed(n, Input::Link(LinkState::TRYING))?;
        self.dial(n);
        Ok(())
    }

    pub(crate) fn send(&mut self, n: usize, text: String) {
        let Some(id) = self.devices[n].conn else { return };
        self.devices[n].sent += 1;
        self.note(|| format!("d{n} -> {text}"));
        let (copies, latency, ordered) = (self.copies(), self.latency(), !self.reorders());
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let mut at = self.now + latency;
        if ordered {
            at = at.max(conn.last_up);
            conn.last_up = at;
        }
        // Both copies at once: no relay hands a frame to a socket that was opened after it had handed it on.
        for _ in 0..copies {
            self.at(at - self.now, Event::Up { conn: id, text: text.clone() });
        }
    }

    pub(crate) fn send_down(&mut self, id: ConnId, text: &str) {
        for _ in 0..self.copies() {
            let latency = self.latency();
            let ordered = !self.reorders();
            let Some(conn) = self.conns.get_mut(&id) else { return };
            let mut at = self.now + latency;
            if ordered {
                at = at.max(conn.last_down);
                conn.last_down = at;
            }
            self.at(at - self.now, Event::Down { conn: id, text: text.to_owned() });
        }
    }

    pub(crate) fn latency(&mut self) -> u64 {
        self.rng.range(1, self.plan.latency)
    }

    pub(crate) fn reorders(&self) -> bool {
        self.chaos && self.plan.reorder
    }

    /// How many copies of a frame arrive.
    pub(crate) fn copies(&mut self) -> u64 {
        if !self.chaos {
            1
        } else if self.rng.chance(self.plan.loss) {
            0
        } else if self.rng.chance(self.plan.duplicates) {
            2
        } else {
            1
        }
    }

    /// A frame has reached the relay.
    pub(crate) fn at_relay(&mut self, id: ConnId, text: &str) {
        if self.conns.get(&id).is_none_or(|conn| !conn.relay_side) {
            return;
        }
        if self.plan.largest_frame.is_some_and(|most| text.len() > most) {
            return self.refuse(id);
        }
        let outgoing = match &mut self.relay {
            Relay::Plain => vec![Outgoing::Others(text.to_owned())],
            Relay::Storing(relay) => {
                relay.now = self.now;
                relay.handle(id, text)
            }
            Relay::Contract(_) => Vec::new(),
        };
        self.carry_out_of_relay(id, outgoing);
    }

    /// The relay asks a peer that knows only the seed once more.
    pub(crate) fn relay_asks(&mut self, id: ConnId) {
        let present = self.conns.get(&id).is_some_and(|conn| conn.relay_side);
        if let (Relay::Storing(relay), true) = (&mut self.relay, present) {
            relay.now = self.now;
            let outgoing = relay.ask_again(id);
            self.carry_out_of_relay(id, outgoing);
        }
    }

    fn carry_out_of_relay(&mut self, id: ConnId, outgoing: Vec<Outgoing>) {
        for message in outgoing {
            match message {
                Outgoing::Reply(text) => self.send_down(id, &text),
                Outgoing::AskLater(wait) => self.at(wait, Event::RelayAsks(id)),
                Outgoing::Others(text) => self.tell_others(Some(id), &text),
            }
        }
    }

    /// A message was too large for the relay.
    fn refuse(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.relay_side = false;
        }
        let late = self.latency();
        self.at(late, Event::TooBig(id));
    }

    /// The relay has closed a connection because of what came over it.
    pub(crate) fn closed_as_too_big(&mut self, id: ConnId) -> Result<(), String> {
        let Some(n) = self.conns.get(&id).filter(|conn| conn.device_side).map(|conn| conn.device) else {
            return Ok(());
        };
        self.note(|| format!("d{n} is told that a message was too large ({id})"));
        self.disconnect(n);
        self.feed(n, Input::Closed { conn: id, close_code: Some(1009) })?;
        self.dial(n);
        Ok(())
    }

    pub(crate) fn tell_others(&mut self, except: Option<ConnId>, text: &str) {
        let others: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(id, conn)| Some(**id) != except && conn.relay_side)
            .map(|(id, _)| *id)
            .collect();
        for id in others {
            self.send_down(id, text);
        }
    }

    pub(crate) fn at_device(&mut self, id: ConnId, text: String) -> Result<(), String> {
        let Some(conn) = self.conns.get(&id).filter(|conn| conn.device_side) else { return Ok(()) };
        let n = conn.device;
        self.note(|| format!("d{n} <- {text}"));
        let device = &mut self.devices[n];
        if let Client::Seed(peer) = &mut device.client {
            if device.disk.app_is_in_transaction() {
                device.disk.app_end(true);
            }
            let answer = peer.received(&mut device.disk, &text);
            let repeat = peer.has_to_repeat(&device.disk);
            let epoch = device.epoch;
            if repeat {
                self.at(5_000, Event::LocalChange { device: n, epoch });
            }
            if let Some(answer) = answer {
                self.send(n, answer);
            }
            return Ok(());
        }
        self.feed(n, Input::Received { conn: id, text })
    }

    /// All connections break at the relay.
    pub(crate) fn relay_drops_everybody(&mut self) -> Result<(), String> {
        for conn in self.conns.values_mut() {
            conn.relay_side = false;
        }
        for n in 0..self.devices.len() {
            self.break_link(n)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crsqlite_sync::wire::{Pk, RowCode, Value};

    use crate::model::Op;
    use crate::plan::Kind;
    use crate::world::World;

    #[test]
    fn a_row_that_a_plain_relay_finds_too_large_is_rejected_and_the_rest_flows() {
        // The first seed of this family, without its misfortunes.
        let seed = 0;
        let mut world = World::new(seed, false);
        assert_eq!(world.plan.kind, Kind::Plain);
        (world.plan.largest_frame, world.plan.budget, world.chaos) = (Some(4_000), 500, false);
        world.run_for(600_000).unwrap();
        let insert = |key: i64, body: String| Op::Insert {
            table: "notes".to_owned(),
            pk: Pk::pack(&[Value::Integer(key)]).unwrap(),
            set: vec![("body".to_owned(), Value::Text(body))],
        };
        for (key, length) in [(501, 10), (502, 9_000), (503, 20)] {
            world.devices[0].disk.app(|db| {
                db.run(&insert(key, "x".repeat(length)));
            });
        }
        world.run_for(3 * 3_600_000).unwrap();
        let has = |n: usize, key: i64| {
            let key = Pk::pack(&[Value::Integer(key)]).unwrap();
            let rows = world.devices[n].disk.db().changes(|_, pk, cid, _, _, _| *pk == key && cid == "body");
            rows.into_iter().next().map(|row| row.val)
        };
        assert_eq!(has(1, 501), Some(Value::Text("x".repeat(10))));
        assert_eq!(has(1, 502), None, "it fits through no connection");
        assert_eq!(has(1, 503), Some(Value::Text("x".repeat(20))));
        let rejected = world.devices[0].disk.db().rejected();
        assert_eq!(rejected.iter().map(|row| row.code).collect::<Vec<_>>(), [RowCode::TooLarge]);
        let connected: Vec<_> = world.devices.iter().map(|device| device.conn).collect();
        world.run_for(3 * 3_600_000).unwrap();
        let still: Vec<_> = world.devices.iter().map(|device| device.conn).collect();
        assert_eq!(connected, still, "nobody reconnects any more");
    }
}
