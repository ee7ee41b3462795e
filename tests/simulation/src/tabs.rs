//! Several tabs over one database of a world: one leads, others that led before may still have jobs, timers and frames
//! under way, or sleep and wake up later. Decides who takes the lead, and keeps what happens to a former leader apart
//! from what happens to the one that leads; what a tab does is `clients`'.

use std::collections::BTreeSet;
use std::mem;

use crsqlite_sync::engine::replica::{ConnId, JobId, WaitId};
use crsqlite_sync::wire::Run;

use crate::device::{Client, Device};
use crate::world::{Event, World};

/// The longest sleep of a tab.
const SLEEP: u64 = 120_000;

/// A tab that led and does not know that another one does now.
#[derive(Debug)]
pub(crate) struct Tab {
    client: Client,
    epoch: u64,
    run: Option<Run>,
    conn: Option<ConnId>,
    job: Option<JobId>,
    waits: BTreeSet<WaitId>,
    timer: u64,
    timeouts: (u64, u32),
    /// What happened to it while it slept.
    held: Option<Vec<Event>>,
}

impl Tab {
    /// The leading tab of a device changes places with this one.
    fn swap(&mut self, device: &mut Device) {
        mem::swap(&mut self.client, &mut device.client);
        mem::swap(&mut self.epoch, &mut device.epoch);
        mem::swap(&mut self.run, &mut device.run);
        mem::swap(&mut self.conn, &mut device.conn);
        mem::swap(&mut self.job, &mut device.job);
        mem::swap(&mut self.waits, &mut device.waits);
        mem::swap(&mut self.timer, &mut device.timer);
        mem::swap(&mut self.timeouts, &mut device.timeouts);
    }
}

impl World {
    /// Another tab takes the lead: the lock was stolen, or the browser has put the leader to sleep.
    pub(crate) fn take_lead(&mut self, n: usize) -> Result<(), String> {
        let sleeps = self.rng.chance(70);
        let device = &mut self.devices[n];
        if !matches!(device.client, Client::Ours(_)) {
            return Ok(());
        }
        let epoch = device.epoch;
        let held = sleeps.then(Vec::new);
        let (client, waits) = (Client::Down, BTreeSet::new());
        let mut tab =
            Tab { client, epoch, run: None, conn: None, job: None, waits, timer: 0, timeouts: (0, 0), held };
        tab.swap(device);
        device.epoch = epoch;
        device.former.push(tab);
        self.note(|| {
            format!("d{n}: another tab leads, the former one {}", if sleeps { "sleeps" } else { "goes on" })
        });
        if sleeps {
            let sleep = self.rng.below(SLEEP);
            self.at(sleep, Event::Wake { device: n, epoch });
        }
        self.start(n)
    }

    /// A tab wakes up, and everything that waited for it comes at once.
    pub(crate) fn wake(&mut self, n: usize, epoch: u64) {
        let tab = self.devices[n].former.iter_mut().find(|tab| tab.epoch == epoch);
        let held = tab.and_then(|tab| tab.held.take()).unwrap_or_default();
        self.note(|| format!("d{n}: a former tab ({epoch}) wakes up"));
        for event in held {
            self.at(0, event);
        }
    }

    /// All tabs are awake.
    pub(crate) fn wake_everybody(&mut self) {
        for n in 0..self.devices.len() {
            let epochs: Vec<u64> = self.devices[n].former.iter().map(|tab| tab.epoch).collect();
            for epoch in epochs {
                self.wake(n, epoch);
            }
        }
    }

    /// The browser is gone, with all tabs that led before.
    pub(crate) fn close_former_tabs(&mut self, n: usize) {
        for tab in mem::take(&mut self.devices[n].former) {
            if let Some(conn) = tab.conn {
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.device_side = false;
                }
                self.at(0, Event::Forget(conn));
            }
        }
    }

    /// Lets an event happen to the former leader that it is about; gives it back if it is about none.
    pub(crate) fn happen_to_former(&mut self, event: Event) -> Result<Option<Event>, String> {
        let Some((n, place)) = self.former_tab_of(&event) else { return Ok(Some(event)) };
        if let Some(held) = &mut self.devices[n].former[place].held {
            held.push(event);
            return Ok(None);
        }
        let mut tab = self.devices[n].former.remove(place);
        tab.swap(&mut self.devices[n]);
        self.in_former_tab = true;
        let result = self.happen_here(event);
        self.in_former_tab = false;
        tab.swap(&mut self.devices[n]);
        if !matches!(tab.client, Client::Down) {
            self.devices[n].former.push(tab);
        }
        result.map(|()| None)
    }

    fn former_tab_of(&self, event: &Event) -> Option<(usize, usize)> {
        let find = |n: usize, is_it: &dyn Fn(&Tab) -> bool| {
            let place = self.devices[n].former.iter().position(is_it)?;
            Some((n, place))
        };
        match event {
            Event::JobRun { device, epoch, .. }
            | Event::JobDone { device, epoch, .. }
            | Event::LocalChange { device, epoch }
            | Event::CallEnds { device, epoch, .. }
            | Event::SignedIn { device, epoch }
            | Event::Accept { device, epoch }
            | Event::Connect { device, epoch } => find(*device, &|tab| tab.epoch == *epoch),
            Event::Timer { device, timer } => find(*device, &|tab| tab.timer == *timer),
            Event::ServerPush { device, conn, .. } => find(*device, &|tab| tab.conn == Some(*conn)),
            Event::Down { conn: id, .. } | Event::TooBig(id) => {
                let conn = self.conns.get(id)?;
                find(conn.device, &|tab| tab.conn == Some(*id))
            }
            Event::App(_)
            | Event::AppEnd { .. }
            | Event::Fault
            | Event::Step(_)
            | Event::Start(_)
            | Event::Forget(_)
            | Event::Up { .. }
            | Event::RelayAsks(_)
            | Event::CallUp { .. }
            | Event::Online(_)
            | Event::RelayHeals
            | Event::RelayBeat
            | Event::Audit
            | Event::Wake { .. }
            | Event::SeedPeerAsks { .. }
            | Event::SeedPeerConnects { .. } => None,
        }
    }
}
