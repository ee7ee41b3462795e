//! A world: virtual time, one ordered queue of events, devices, connections and a relay. Decides only what happens
//! next. Run by `run`; the clients are moved in `clients`, frames in `network`, misfortunes are in `chaos`, and what
//! must hold afterwards in `check`.

use std::collections::BTreeMap;

use crsqlite_sync::engine::replica::{CallId, ConnId, Input, JobId};
use crsqlite_sync::engine::store::StoreError;
use crsqlite_sync::engine::txn::{Job, Outcome};
use crsqlite_sync::wire::{Run, SiteId};

use crate::app;
use crate::calls::{Call, End};
use crate::contract::Contract;
use crate::device::Device;
use crate::model::Database;
use crate::peer::SeedPeer;
use crate::plan::Plan;
use crate::relay::Storing;
use crate::rng::Rng;
use crate::scenario::What;

/// Something that happens at its time.
#[derive(Debug)]
pub(crate) enum Event {
    /// The app of a device does something.
    App(usize),
    AppEnd {
        device: usize,
        process: u64,
        keep: bool,
    },
    /// Something breaks somewhere.
    Fault,
    /// What a scenario says.
    Step(Box<What>),
    Start(usize),
    Connect {
        device: usize,
        epoch: u64,
    },
    /// The relay notices that a connection is gone.
    Forget(ConnId),
    Up {
        conn: ConnId,
        text: String,
    },
    Down {
        conn: ConnId,
        text: String,
    },
    JobRun {
        device: usize,
        process: u64,
        epoch: u64,
        job: JobId,
        run: Run,
        what: Job,
    },
    JobDone {
        device: usize,
        epoch: u64,
        job: JobId,
        result: Result<Outcome, StoreError>,
    },
    LocalChange {
        device: usize,
        epoch: u64,
    },
    Timer {
        device: usize,
        timer: u64,
    },
    CallUp {
        device: usize,
        epoch: u64,
        conn: ConnId,
        call: CallId,
        what: Call,
    },
    CallEnds {
        device: usize,
        epoch: u64,
        conn: ConnId,
        call: CallId,
        end: End,
    },
    ServerPush {
        device: usize,
        conn: ConnId,
        changes: String,
    },
    /// The user of a device has new credentials.
    SignedIn {
        device: usize,
        epoch: u64,
    },
    /// The app goes on with another account.
    Accept {
        device: usize,
        epoch: u64,
    },
    /// A tab that has led wakes up.
    Wake {
        device: usize,
        epoch: u64,
    },
    /// The relay closes a connection: a message was too large.
    TooBig(ConnId),
    /// The relay asks a peer once more for what it has.
    RelayAsks(ConnId),
    /// What must hold all along is looked at.
    Audit,
    Online(usize),
    RelayHeals,
    RelayBeat,
    SeedPeerAsks {
        device: usize,
        epoch: u64,
    },
    /// It connects anew from time to time: what it has and nobody was told is asked of it only then.
    SeedPeerConnects {
        device: usize,
        epoch: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) device: usize,
    /// Each side learns in its own time that it is gone.
    pub(crate) device_side: bool,
    pub(crate) relay_side: bool,
    /// Frames of one connection keep their order: not before these.
    pub(crate) last_up: u64,
    pub(crate) last_down: u64,
}

#[derive(Debug)]
pub(crate) enum Relay {
    Plain,
    Storing(Box<Storing>),
    /// No relay: a server of the push-pull contract.
    Contract(Box<Contract>),
}

/// How often an idle relay that stores repeats its head.
const RELAY_BEAT: u64 = 180_000;
/// How often a world is looked at while it is young.
const AUDITS: u64 = 8;

#[derive(Debug)]
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    /// Virtual milliseconds.
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Box<Event>>,
    number: u64,
    pub(crate) next_id: u64,
    pub(crate) devices: Vec<Device>,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    pub(crate) relay: Relay,
    /// What happens now happens to a tab that has led before.
    pub(crate) in_former_tab: bool,
    /// Misfortunes happen.
    pub(crate) chaos: bool,
    /// Something was changed behind everybody's back.
    pub(crate) damaged: bool,
    /// Which devices have told that replicas differ, and in what.
    pub(crate) differed: Vec<(usize, String)>,
    /// Lines of what happened, if wanted.
    trace: Option<Vec<String>>,
}

impl World {
    #[must_use]
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::of(seed, &mut rng);
        let mut world = World::empty(plan, rng, trace);
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
        world.at(plan.chaos / AUDITS, Event::Audit);
        world
    }

    /// A relay and nobody else yet.
    pub(crate) fn empty(plan: Plan, mut rng: Rng, trace: bool) -> Self {
        let relay = if let Some(manners) = plan.records {
            Relay::Contract(Box::new(Contract::new(manners)))
        } else if plan.storing {
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
            in_former_tab: false,
            chaos: true,
            damaged: false,
            differed: Vec::new(),
            trace: trace.then(Vec::new),
        };
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
        self.queue.insert((self.now + delay, self.number), Box::new(event));
    }

    /// Takes what is under way and answers to this off its way.
    pub(crate) fn intercept(&mut self, takes: impl Fn(&Event) -> bool) -> Vec<Event> {
        self.queue.extract_if(.., |_, event| takes(event)).map(|(_, event)| *event).collect()
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
            self.happen(*event)?;
        }
        self.now = end;
        Ok(())
    }

    pub(crate) fn happen(&mut self, event: Event) -> Result<(), String> {
        match self.happen_to_former(event)? {
            Some(event) => self.happen_here(event),
            None => Ok(()),
        }
    }

    /// The same, to those that lead.
    pub(crate) fn happen_here(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::App(device) => self.app_acts(device),
            Event::AppEnd { device, process, keep } => {
                if self.devices[device].process == process {
                    self.app_ends(device, keep);
                }
                Ok(())
            }
            Event::Fault => self.misfortune(),
            Event::Step(what) => self.play(*what),
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
            Event::JobRun { device, process, epoch, job, run, what } => {
                self.run_job(device, process, epoch, job, &run, &what);
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
            Event::CallUp { device, epoch, conn, call, what } => {
                self.at_server(device, epoch, conn, call, &what);
                Ok(())
            }
            Event::CallEnds { device, epoch, conn, call, end } => {
                if self.devices[device].epoch == epoch {
                    return self.call_ends(device, conn, call, end);
                }
                Ok(())
            }
            Event::ServerPush { device, conn, changes } => {
                self.feed(device, Input::ServerPush { conn, changes })
            }
            Event::SignedIn { device, epoch } => {
                if self.devices[device].epoch == epoch {
                    return self.feed(device, Input::SyncNow);
                }
                Ok(())
            }
            Event::Accept { device, epoch } => {
                if self.devices[device].epoch == epoch {
                    return self.feed(device, Input::AcceptAccount);
                }
                Ok(())
            }
            Event::Wake { device, epoch } => {
                self.wake(device, epoch);
                Ok(())
            }
            Event::TooBig(conn) => self.closed_as_too_big(conn),
            Event::RelayAsks(conn) => {
                self.relay_asks(conn);
                Ok(())
            }
            Event::Audit => {
                let next = self.plan.chaos / AUDITS;
                if self.chaos {
                    self.at(next, Event::Audit);
                }
                self.audit()
            }
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
                    self.at(600_000, Event::SeedPeerConnects { device, epoch });
                    let text = SeedPeer::ask(self.devices[device].disk.db().site());
                    self.send(device, text);
                }
                Ok(())
            }
            Event::SeedPeerConnects { device, epoch } => {
                if self.devices[device].epoch == epoch {
                    return self.break_link(device);
                }
                Ok(())
            }
        }
    }
}
