//! What must hold once a world is calm: all replicas are equal, nothing that was promised is missing, a new device
//! gets everything, and the traffic stops. Says what differs when it does not.

use std::collections::BTreeSet;

use crsqlite_sync::engine::replica::{Input, State};
use crsqlite_sync::wire::Change;

use crate::app;
use crate::device::{Client, Device};
use crate::peer::fit;
use crate::world::{Event, Relay, World};

/// How long replicas may take to agree: regular beats, retries around them, and slow links with small messages.
const PATIENCE: u64 = 3_600_000;
const STEP: u64 = 30_000;
/// No world is so large that a device has so much to say within a step.
const FLOOD: u64 = 3_000;
/// Within so many windows there has to be a quiet one; small messages over slow links take their time.
const WINDOW: u64 = 30 * 60_000;
const WINDOWS: usize = 4;

impl World {
    /// Runs the whole life of the world.
    ///
    /// # Errors
    /// What went wrong.
    pub fn live(&mut self) -> Result<(), String> {
        self.run_for(self.plan.chaos)?;
        self.ends()
    }

    /// Nothing goes wrong any more, and all that was promised has to hold.
    ///
    /// # Errors
    /// What went wrong.
    pub(crate) fn ends(&mut self) -> Result<(), String> {
        self.calm()?;
        let held = self.held();
        self.agree("after the chaos")?;
        self.audit()?;
        self.promises(&held)?;
        self.copies_are_told()?;
        self.quiet()?;
        let newcomer = self.add_device(true, false);
        self.note(|| format!("d{newcomer} is new"));
        self.at(0, Event::Start(newcomer));
        self.agree("with a new device")?;
        self.promises(&held)?;
        let mut shown = Ok(());
        for _ in 0..WINDOWS * 10 {
            self.run_for(WINDOW / 10)?;
            shown = self.shown();
            if shown.is_ok() {
                break;
            }
        }
        shown?;
        self.proven()
    }

    /// Every device of ours proves what is true: that it is equal to what the relay or another device holds.
    pub(crate) fn proven(&mut self) -> Result<(), String> {
        if self.plan.seed_peers > 0 || matches!(self.relay, Relay::Contract(_)) {
            return Ok(()); // nothing to compare with
        }
        // A few beats of a plain relay.
        let end = self.now + 4 * 3_600_000;
        // Of two live copies a peer without a log follows one at a time, so it rarely has received all of both.
        let has_copy = |device: &Device| {
            let same = |other: &&Device| other.disk.db().site() == device.disk.db().site();
            !self.plan.storing && self.devices.iter().filter(same).count() > 1
        };
        let copies: Vec<bool> = self.devices.iter().map(has_copy).collect();
        let unproven = |(n, device): (usize, &Device)| match &device.client {
            Client::Ours(_) if copies[n] => false,
            Client::Ours(replica) => {
                let status = replica.status();
                status.quarantined + status.rejected == 0 && !replica.is_verified()
            }
            Client::Down | Client::Seed(_) => false,
        };
        loop {
            let Some(n) = self.devices.iter().enumerate().position(unproven) else { return Ok(()) };
            if self.now >= end {
                return Err(format!("d{n} is equal, but does not prove it"));
            }
            self.run_for(STEP)?;
        }
    }

    /// All rows that some device holds now, and that the relay has promised to keep.
    fn held(&self) -> Vec<Change> {
        let tables = app::names();
        let mut held: Vec<Change> = self
            .devices
            .iter()
            .flat_map(|device| device.disk.db().changes(|table, _, _, _, _, _| tables.contains(table)))
            .collect();
        if let Relay::Storing(relay) = &self.relay {
            held.extend(relay.promised().iter().filter(|row| tables.contains(&row.table)).cloned());
        }
        if let Relay::Contract(server) = &self.relay {
            held.extend(server.promised().iter().filter(|row| tables.contains(&row.table)).cloned());
        }
        held
    }

    fn digests(&self) -> Vec<BTreeSet<String>> {
        let tables = app::names();
        self.devices.iter().map(|device| device.disk.db().digest(&tables)).collect()
    }

    /// Waits until all replicas are equal.
    pub(crate) fn agree(&mut self, when: &str) -> Result<(), String> {
        let end = self.now + PATIENCE;
        loop {
            let before: Vec<u64> = self.devices.iter().map(|device| device.sent).collect();
            self.run_for(STEP)?;
            let sent = self.devices.iter().zip(before).map(|(device, before)| device.sent - before);
            if let Some((n, sent)) = sent.enumerate().find(|(_, sent)| *sent > FLOOD) {
                return Err(format!("{when}, d{n} sends {sent} messages in half a minute"));
            }
            let digests = self.digests();
            if digests.windows(2).all(|pair| pair[0] == pair[1]) {
                return Ok(());
            }
            if self.now >= end {
                return Err(format!("{when}, replicas differ:\n{}", self.difference(&digests)));
            }
        }
    }

    fn difference(&self, digests: &[BTreeSet<String>]) -> String {
        let all: BTreeSet<&String> = digests.iter().flatten().collect();
        let mut lines: Vec<String> = Vec::new();
        for line in all {
            let has: Vec<String> = digests
                .iter()
                .enumerate()
                .filter(|(_, digest)| digest.contains(line))
                .map(|(n, _)| format!("d{n}"))
                .collect();
            if has.len() < digests.len() {
                lines.push(format!("  {line}    only on {}", has.join(" ")));
            }
        }
        lines.truncate(40);
        if let Relay::Storing(relay) = &self.relay {
            lines.push(format!(
                "  the log's head is {} with {} entries",
                relay.head(),
                relay.entries().len()
            ));
        }
        if let Relay::Contract(server) = &self.relay {
            lines.push(format!("  the server has {} records", server.len()));
        }
        for (n, device) in self.devices.iter().enumerate() {
            if let Client::Ours(replica) = &device.client {
                let status = replica.status();
                lines.push(format!("  d{n} {:?} {:?}", status.state, status.reason));
            }
        }
        lines.join("\n")
    }

    /// Every row that was held or promised is in what all agreed on, or something newer is.
    fn promises(&self, held: &[Change]) -> Result<(), String> {
        let mut db = self.devices[0].disk.copy();
        for row in held {
            let Some(fitted) = fit(&db, row) else { continue };
            if db.merge(&fitted) == Ok(true) {
                return Err(format!("a row that was promised or held is missing everywhere: {row:?}"));
            }
        }
        Ok(())
    }

    /// Live copies of one database write in turns: the apps of both have to hear that there are two.
    fn copies_are_told(&mut self) -> Result<(), String> {
        let copies: Vec<usize> = (0..self.devices.len()).filter(|n| self.devices[*n].cloned).collect();
        if copies.is_empty() {
            return Ok(());
        }
        for _ in 0..12 {
            if copies.iter().all(|n| self.devices[*n].told) {
                break;
            }
            for n in &copies {
                self.next_id += 1;
                let op = app::new_row(self.next_id);
                self.devices[*n].disk.app(|db| {
                    db.run(&op);
                });
                self.note(|| format!("d{n} app: {op:?}"));
                self.feed(*n, Input::SyncNow)?;
                self.run_for(45_000)?;
            }
        }
        match copies.iter().find(|n| !self.devices[**n].told) {
            Some(n) => Err(format!("d{n} has a live copy and does not say so")),
            None => self.agree("after its copies wrote"),
        }
    }

    /// Nothing goes on but the regular beats, once everybody has caught up with everybody.
    fn quiet(&mut self) -> Result<(), String> {
        let copies = self.devices.iter().any(|device| device.cloned);
        // Peers of the seed connect anew and ask for everything; two live copies are asked as often as the rules let them.
        let seeds = self.plan.seed_peers > 0;
        let most = match (self.plan.storing, copies || seeds) {
            (true, _) => {
                if seeds {
                    40
                } else {
                    0
                }
            }
            (false, false) => 6,
            (false, true) => 400,
        };
        let mut loudest = (0, 0);
        for _ in 0..WINDOWS {
            let before: Vec<u64> = self.devices.iter().map(|device| device.sent).collect();
            let pulled: Vec<u64> = self.devices.iter().map(|device| device.pulls).collect();
            self.run_for(WINDOW)?;
            let sent = self.devices.iter().zip(before).map(|(device, before)| device.sent - before);
            loudest = sent.enumerate().map(|(n, sent)| (sent, n)).max().unwrap_or_default();
            let pulled = self.devices.iter().zip(pulled).map(|(device, before)| device.pulls - before);
            let regular = WINDOW * 10 / (self.plan.pull_every * 9) + 1;
            if loudest.0 <= most && pulled.max().unwrap_or_default() <= regular {
                return Ok(());
            }
        }
        let (sent, n) = loudest;
        Err(format!(
            "d{n} still sends {sent} messages in half an hour of silence, or somebody pulls without a reason"
        ))
    }

    /// What the clients show fits what is.
    fn shown(&self) -> Result<(), String> {
        for (n, device) in self.devices.iter().enumerate() {
            let Client::Ours(replica) = &device.client else { continue };
            if !device.former.is_empty() {
                return Err(format!("d{n}: a tab that was replaced goes on"));
            }
            let status = replica.status();
            if status.state != State::Live || status.pending_changes != 0 {
                return Err(format!("d{n} is in step, but shows {status:?}"));
            }
            if !device.waits.is_empty() {
                return Err(format!("d{n}: waits {:?} never settle", device.waits));
            }
        }
        Ok(())
    }
}
