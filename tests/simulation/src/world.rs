//! A world: virtual time, one ordered queue of events, devices, connections and a relay. Carries out what replicas
//! ask for and breaks what the plan lets it break. Never looks into a replica: it feeds inputs and drains outputs.
//! Run by `run`; the misfortunes are in `chaos`, what must hold afterwards in `check`.

use std::collections::BTreeMap;
use std::time::Duration;

use crsqlite_sync::engine::clock::Now;
use crsqlite_sync::engine::replica::{Config, ConnId, Input, JobId, Level, LinkState, Output, Replica};
use crsqlite_sync::engine::store::{Budget, StoreError};
use crsqlite_sync::engine::txn::{self, Job, Outcome};
use crsqlite_sync::wire::{Run, SiteId};

use crate::app;
use crate::device::{Client, Device};
use crate::model::Database;
use crate::peer::SeedPeer;
use crate::plan::Plan;
use crate::relay::{Outgoing, Storing};
use crate::rng::Rng;

/// Something that happens at its time.
#[derive(Debug)]
pub(crate) enum Event {
    /// The app of a device does something.
    App(usize),
    AppEnd { device: usize, process: u64, keep: bool },
    /// Something breaks somewhere.
    Fault,
    Start(usize),
    Connect { device: usize, epoch: u64 },
    /// The relay notices that a connection is gone.
    Forget(ConnId),
    Up { conn: ConnId, text: String },
    Down { conn: ConnId, text: String },
    JobRun { device: usize, process: u64, epoch: u64, job: JobId, what: Job },
    JobDone { device: usize, epoch: u64, job: JobId, result: Result<Outcome, StoreError> },
    LocalChange { device: usize, epoch: u64 },
    Timer { device: usize, timer: u64 },
    Online(usize),
    RelayHeals,
    RelayBeat,
    SeedPeerAsks { device: usize, epoch: u64 },
}

#[derive(Debug)]
pub(crate) struct Conn {
    device: usize,
    /// Each side learns in its own time that it is gone.
    device_side: bool,
    relay_side: bool,
    /// Frames of one connection keep their order: not before these.
    last_up: u64,
    last_down: u64,
}

#[derive(Debug)]
pub(crate) enum Relay {
    Plain,
    Storing(Box<Storing>),
}

/// How often an idle relay that stores repeats its head.
const RELAY_BEAT: u64 = 180_000;

#[derive(Debug)]
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    /// Virtual milliseconds.
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
    next_id: u64,
    pub(crate) devices: Vec<Device>,
    conns: BTreeMap<ConnId, Conn>,
    pub(crate) relay: Relay,
    /// Misfortunes happen.
    pub(crate) chaos: bool,
    /// Lines of what happened, if wanted.
    trace: Option<Vec<String>>,
}

impl World {
    #[must_use]
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::of(seed, &mut rng);
        let relay = if plan.storing {
            Relay::Storing(Box::new(Storing::new(&mut rng, plan.answer_bytes)))
        } else {
            Relay::Plain
        };
        let mut world = World {
            plan,
            rng,
            now: 1_000,
            queue: BTreeMap::new(),
            number: 0,
            next_id: 0,
            devices: Vec::new(),
            conns: BTreeMap::new(),
            relay,
            chaos: true,
            trace: trace.then(Vec::new),
        };
        let plan = world.plan.clone();
        for n in 0..plan.devices + plan.seed_peers {
            let is_ours = n < plan.devices;
            let old = is_ours && plan.schema_lag && world.rng.chance(60);
            let late = world.rng.chance(25);
            let at = if late { world.rng.below(plan.chaos) } else { world.rng.below(500) };
            let device = world.add_device(is_ours, old);
            world.at(at, Event::Start(device));
            world.at(at, Event::App(device));
        }
        world.at(plan.fault_pause, Event::Fault);
        world.at(RELAY_BEAT, Event::RelayBeat);
        world
    }

    pub(crate) fn add_device(&mut self, is_ours: bool, old: bool) -> usize {
        let n = self.devices.len();
        let mut db = Database::new(SiteId([u8::try_from(n + 1).unwrap(); 16]));
        app::install(&mut db, old);
        db.commit();
        let tables = (self.plan.tables_option && is_ours).then(|| {
            let mut names: Vec<String> = app::names().into_iter().collect();
            if self.chaos && self.rng.chance(50) {
                names.remove(self.rng.index(names.len()));
            }
            names
        });
        self.devices.push(Device::new(db, is_ours, tables, self.plan.savepoints));
        n
    }

    /// Schedules an event so many milliseconds from now.
    pub(crate) fn at(&mut self, delay: u64, event: Event) {
        self.number += 1;
        self.queue.insert((self.now + delay, self.number), event);
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9} {}", now, line()));
        }
    }

    #[must_use]
    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Lets everything happen that happens in the next `span` milliseconds.
    ///
    /// # Errors
    /// An invariant was broken.
    pub(crate) fn run_for(&mut self, span: u64) -> Result<(), String> {
        let end = self.now + span;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at.max(self.now);
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::App(device) => self.app_acts(device),
            Event::AppEnd { device, process, keep } => {
                if self.devices[device].process == process {
                    self.app_ends(device, keep);
                }
                Ok(())
            }
            Event::Fault => self.misfortune(),
            Event::Start(device) if self.devices[device].is_up() => Ok(()),
            Event::Start(device) => self.start(device),
            Event::Connect { device, epoch } => self.connect(device, epoch),
            Event::Forget(conn) => {
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.relay_side = false;
                }
                Ok(())
            }
            Event::Up { conn, text } => {
                self.at_relay(conn, &text);
                Ok(())
            }
            Event::Down { conn, text } => self.at_device(conn, text),
            Event::JobRun { device, process, epoch, job, what } => {
                self.run_job(device, process, epoch, job, &what);
                Ok(())
            }
            Event::JobDone { device, epoch, job, result } => {
                if self.devices[device].epoch != epoch {
                    return Ok(());
                }
                self.devices[device].job = None;
                self.feed(device, Input::JobDone { job, result })
            }
            Event::LocalChange { device, epoch } => self.local_change(device, epoch),
            Event::Timer { device, timer } => self.timer(device, timer),
            Event::Online(device) => {
                self.devices[device].online = true;
                self.dial(device);
                Ok(())
            }
            Event::RelayHeals => {
                if let Relay::Storing(relay) = &mut self.relay {
                    relay.failing = false;
                }
                Ok(())
            }
            Event::RelayBeat => {
                if let Relay::Storing(relay) = &self.relay {
                    let text = relay.beat();
                    self.tell_others(None, &text);
                }
                self.at(RELAY_BEAT, Event::RelayBeat);
                Ok(())
            }
            Event::SeedPeerAsks { device, epoch } => {
                if self.devices[device].epoch == epoch {
                    let text = SeedPeer::ask(self.devices[device].disk.db().site());
                    self.send(device, text);
                    self.at(600_000, Event::SeedPeerAsks { device, epoch });
                }
                Ok(())
            }
        }
    }

    // ---- clients ----

    /// A process starts on a device that is down, or a new client takes the old one's place.
    pub(crate) fn start(&mut self, n: usize) -> Result<(), String> {
        let seed = self.rng.next_u64();
        let run = Run::from_random(self.rng.next_u64());
        let plan = self.plan.clone();
        let device = &mut self.devices[n];
        device.epoch += 1;
        device.job = None;
        device.waits.clear();
        if !device.is_ours {
            device.client = Client::Seed(SeedPeer::new(&device.disk));
            self.note(|| format!("d{n} starts as a seed-only peer"));
            self.dial(n);
            return Ok(());
        }
        let config = Config {
            site: device.disk.db().site(),
            tables: device.tables.clone(),
            budget: Budget { changes: plan.budget, bytes: 1 << 20 },
            poll: Duration::from_millis(plan.poll),
            seed,
        };
        device.client = Client::Ours(Box::new(Replica::new(config)));
        let tables = device.tables.clone();
        self.note(|| format!("d{n} starts with run {run:?}, tables {tables:?}"));
        self.feed(n, Input::Start { run })?;
        self.dial(n);
        Ok(())
    }

    pub(crate) fn clock(&self) -> Now {
        let ms = i64::try_from(self.now).unwrap();
        Now { at: Duration::from_millis(self.now), wall_ms: 1_700_000_000_000 + ms }
    }

    /// Gives a replica one input and carries out what it wants.
    ///
    /// # Errors
    /// The replica broke an invariant.
    pub(crate) fn feed(&mut self, n: usize, input: Input) -> Result<(), String> {
        let now = self.clock();
        let Client::Ours(replica) = &mut self.devices[n].client else { return Ok(()) };
        replica.handle(now, input);
        let mut outputs = Vec::new();
        while let Some(output) = replica.poll_output() {
            outputs.push(output);
            if outputs.len() > 10_000 {
                return Err(format!("d{n}: the outputs do not end"));
            }
        }
        let timeout = replica.poll_timeout();
        for output in outputs {
            self.carry_out(n, output)?;
        }
        let device = &mut self.devices[n];
        device.timer += 1;
        let timer = device.timer;
        if let Some(at) = timeout {
            let at = u64::try_from(at.as_nanos().div_ceil(1_000_000)).unwrap();
            self.at(at.saturating_sub(self.now), Event::Timer { device: n, timer });
        }
        Ok(())
    }

    fn timer(&mut self, n: usize, timer: u64) -> Result<(), String> {
        let second = self.now / 1000;
        let device = &mut self.devices[n];
        if device.timer != timer {
            return Ok(());
        }
        let count = if device.timeouts.0 == second { device.timeouts.1 + 1 } else { 1 };
        device.timeouts = (second, count);
        if count > 300 {
            return Err(format!("d{n}: {count} timeouts within a second: a busy loop"));
        }
        self.feed(n, Input::Timeout)
    }

    fn carry_out(&mut self, n: usize, output: Output) -> Result<(), String> {
        match output {
            Output::Run { job, what } => {
                let delay = self.rng.below(self.plan.job_delay + 1);
                let device = &mut self.devices[n];
                if device.job.replace(job).is_some() {
                    return Err(format!("d{n}: two jobs are out"));
                }
                let (process, epoch) = (device.process, device.epoch);
                // The database takes transactions in the order in which they were asked for.
                let at = (self.now + delay).max(device.last_job);
                device.last_job = at;
                let delay = at - self.now;
                self.at(delay, Event::JobRun { device: n, process, epoch, job, what });
            }
            Output::Send { conn, text } => {
                if self.devices[n].conn == Some(conn) {
                    self.send(n, text);
                }
            }
            Output::Drop { conn, why } => {
                self.note(|| format!("d{n} drops its connection: {why:?}"));
                if self.devices[n].conn == Some(conn) {
                    self.disconnect(n);
                    self.dial(n);
                }
            }
            Output::Settled { wait, result } => {
                self.note(|| format!("d{n} settles wait {wait}: {result:?}"));
                if !self.devices[n].waits.remove(&wait) {
                    return Err(format!("d{n}: settles wait {wait}, which is not open"));
                }
            }
            Output::Event(event) => self.note(|| format!("d{n} says {event:?}")),
            Output::Healthy { .. } | Output::StatusChanged => {}
        }
        Ok(())
    }

    fn run_job(&mut self, n: usize, process: u64, epoch: u64, job: JobId, what: &Job) {
        if self.devices[n].process != process {
            return;
        }
        if self.chaos && self.plan.job_faults && self.rng.chance(3) {
            let calls = u32::try_from(self.rng.below(8)).unwrap();
            self.devices[n].disk.fail_in = Some((calls, StoreError::Failed("a fault".into())));
        }
        let result = block_on(txn::run(&mut self.devices[n].disk, what));
        self.devices[n].disk.fail_in = None;
        self.note(|| format!("d{n} job {job} {}", story(what, &result)));
        let delay = self.rng.below(self.plan.job_delay + 1);
        self.at(delay, Event::JobDone { device: n, epoch, job, result });
    }

    /// The database has changed under the client.
    fn local_change(&mut self, n: usize, epoch: u64) -> Result<(), String> {
        if self.devices[n].epoch != epoch {
            return Ok(());
        }
        let device = &mut self.devices[n];
        if let Client::Seed(peer) = &mut device.client {
            let text = peer.wrote(&device.disk);
            if let Some(text) = text {
                self.send(n, text);
            }
            return Ok(());
        }
        self.feed(n, Input::LocalChange)
    }

    pub(crate) fn wait(&mut self, n: usize) -> Result<(), String> {
        let levels = if self.plan.storing {
            [Level::FirstSync, Level::Sent, Level::Stored, Level::Round]
        } else {
            [Level::FirstSync, Level::Sent, Level::Sent, Level::Round]
        };
        let level = *self.rng.pick(&levels);
        self.next_id += 1;
        let wait = self.next_id;
        if let Client::Ours(_) = self.devices[n].client {
            self.note(|| format!("d{n} waits ({wait}) for {level:?}"));
            self.devices[n].waits.insert(wait);
            return self.feed(n, Input::Wait { wait, level });
        }
        Ok(())
    }

    // ---- the network ----

    /// Connects before long, if the device is up and has a network.
    pub(crate) fn dial(&mut self, n: usize) {
        let device = &self.devices[n];
        if device.is_up() && device.online && device.conn.is_none() {
            let epoch = device.epoch;
            let delay = self.rng.range(1, 1_500);
            self.at(delay, Event::Connect { device: n, epoch });
        }
    }

    fn connect(&mut self, n: usize, epoch: u64) -> Result<(), String> {
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
        self.feed(n, Input::Link(LinkState::Connecting { retry_at: None }))?;
        self.dial(n);
        Ok(())
    }

    fn send(&mut self, n: usize, text: String) {
        let Some(id) = self.devices[n].conn else { return };
        self.devices[n].sent += 1;
        self.note(|| format!("d{n} -> {text}"));
        for _ in 0..self.copies() {
            let latency = self.latency();
            let ordered = !self.reorders();
            let Some(conn) = self.conns.get_mut(&id) else { return };
            let mut at = self.now + latency;
            if ordered {
                at = at.max(conn.last_up);
                conn.last_up = at;
            }
            self.at(at - self.now, Event::Up { conn: id, text: text.clone() });
        }
    }

    fn send_down(&mut self, id: ConnId, text: &str) {
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

    fn latency(&mut self) -> u64 {
        self.rng.range(1, self.plan.latency)
    }

    fn reorders(&self) -> bool {
        self.chaos && self.plan.reorder
    }

    /// How many copies of a frame arrive.
    fn copies(&mut self) -> u64 {
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
    fn at_relay(&mut self, id: ConnId, text: &str) {
        if self.conns.get(&id).is_none_or(|conn| !conn.relay_side) {
            return;
        }
        let outgoing = match &mut self.relay {
            Relay::Plain => vec![Outgoing::Others(text.to_owned())],
            Relay::Storing(relay) => relay.handle(id, text),
        };
        for message in outgoing {
            match message {
                Outgoing::Reply(text) => self.send_down(id, &text),
                Outgoing::Others(text) => self.tell_others(Some(id), &text),
            }
        }
    }

    fn tell_others(&mut self, except: Option<ConnId>, text: &str) {
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

    fn at_device(&mut self, id: ConnId, text: String) -> Result<(), String> {
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

/// A job and its outcome in a line.
fn story(what: &Job, result: &Result<Outcome, StoreError>) -> String {
    let mut text = format!("{what:?}");
    if let Some(end) = text.char_indices().nth(400).map(|(end, _)| end) {
        text.truncate(end);
    }
    match result {
        Err(error) => format!("{text} -> {error}"),
        Ok(outcome) => {
            let view = &outcome.view;
            let mut found = format!("{:?}", outcome.what);
            if let Some(end) = found.char_indices().nth(400).map(|(end, _)| end) {
                found.truncate(end);
            }
            format!(
                "{text} -> {found}; head {} uploaded {} pending {:?} received {:?} stored {:?}",
                view.head, view.uploaded, view.pending, view.received, view.stored
            )
        }
    }
}

/// The futures of the simulated store are always ready.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("the simulated store never waits"),
    }
}
