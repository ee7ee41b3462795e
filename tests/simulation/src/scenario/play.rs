//! Plays scenarios on the model of cr-sqlite: every step becomes an event of a world that has no dice for apps and
//! misfortunes. Decides nothing: what comes of a step is the world's.

use crsqlite_sync::engine::replica::Input;

use super::{Scenario, Server, Statement, What};
use crate::app;
use crate::device::Device;
use crate::model::{Database, Op};
use crate::rng::Rng;
use crate::world::{Event, Relay, World};

impl Scenario {
    /// A world in which this happens.
    #[must_use]
    pub fn world(&self, trace: bool) -> World {
        let mut world = World::empty(self.plan.clone(), Rng::new(self.seed), trace);
        for beginning in &self.devices {
            let device = world.add_device(true, beginning.old);
            world.devices[device].tables.clone_from(&beginning.tables);
            world.at(beginning.at, Event::Start(device));
        }
        for step in &self.steps {
            world.at(step.at, Event::Step(Box::new(step.what.clone())));
        }
        world
    }
}

impl Statement {
    pub(super) fn run(&self, db: &mut Database) {
        let (Op::Insert { table, set, .. }
        | Op::Replace { table, set, .. }
        | Op::Update { table, set, .. }
        | Op::Rekey { table, set, .. }) = &self.op
        else {
            db.run(&self.op);
            return;
        };
        if set.iter().any(|(cid, _)| !db.has_column(table, cid)) {
            return;
        }
        if !db.run(&self.op)
            && self.upsert
            && let Op::Insert { table, pk, set } = &self.op
            && !set.is_empty()
        {
            db.run(&Op::Update { table: table.clone(), pk: pk.clone(), set: set.clone() });
        }
    }
}

impl World {
    /// Something that a scenario says happens now.
    pub(crate) fn play(&mut self, what: What) -> Result<(), String> {
        self.note(|| format!("step: {what:?}"));
        match what {
            What::Write { device, statements, keep } => self.app_plays(device, &statements, keep),
            What::Begin { device } => self.devices[device].disk.app_begin(),
            What::End { device, keep } => self.app_ends(device, keep),
            What::Migrate { device, seed } => {
                if !self.devices[device].disk.app_is_in_transaction() {
                    self.devices[device].disk.app(|db| app::migrate(db, &mut Rng::new(seed)));
                    self.announce(device);
                }
            }
            What::Scratch { device, seed } => {
                if !self.devices[device].disk.app_is_in_transaction() {
                    self.devices[device].disk.app(|db| app::toggle_scratch(db, &mut Rng::new(seed)));
                    self.announce(device);
                }
            }
            What::Crash { device, lose, down } => {
                self.die(device, lose);
                self.at(down, Event::Start(device));
            }
            What::Copy { device } => {
                let copy = self.devices[device].disk.copy();
                self.devices[device].copies.push(copy);
            }
            What::Restore { device, pick, down } => {
                self.die(device, 0);
                let Device { copies, disk, .. } = &mut self.devices[device];
                if let Some(pick) = pick.checked_rem(copies.len() as u64) {
                    disk.replace(copies[usize::try_from(pick).unwrap()].clone());
                }
                self.at(down, Event::Start(device));
            }
            What::Client { device, .. } if !self.devices[device].is_up() => {}
            What::Client { device, grow: true } => self.tables_grow(device)?,
            What::Client { device, grow: false } => self.restart_client(device)?,
            What::Cut { device } => self.break_link(device)?,
            What::Offline { device, away } => {
                self.break_link(device)?;
                self.devices[device].online = false;
                self.at(away, Event::Online(device));
            }
            What::SyncNow { device } => self.feed(device, Input::SyncNow)?,
            What::Wait { device, level } => self.wait_for(device, level)?,
            What::Server(what) => self.server_plays(what)?,
        }
        Ok(())
    }

    fn app_plays(&mut self, n: usize, statements: &[Statement], keep: bool) {
        let disk = &mut self.devices[n].disk;
        let run = |db: &mut Database| statements.iter().for_each(|statement| statement.run(db));
        if disk.app_is_in_transaction() {
            return disk.app_goes_on(run);
        }
        disk.app(|db| {
            let before = db.clone();
            run(db);
            if !keep {
                db.roll_back(before, true);
            }
        });
        self.announce(n);
    }

    fn server_plays(&mut self, what: Server) -> Result<(), String> {
        let mut rng = self.rng.clone();
        match (&mut self.relay, what) {
            (Relay::Plain, _) => {}
            (Relay::Storing(relay), Server::BackUp) => relay.back_up(),
            (Relay::Storing(relay), Server::Wipe) => relay.wipe(&mut rng),
            (Relay::Storing(relay), Server::Restart) => relay.restart(&mut rng),
            (Relay::Storing(relay), Server::Restore) => drop(relay.restore(&mut rng)),
            (Relay::Storing(relay), Server::Fail { long }) => {
                relay.failing = true;
                self.at(long, Event::RelayHeals);
                return Ok(());
            }
            (Relay::Contract(server), Server::BackUp) => server.back_up(),
            (Relay::Contract(server), Server::Wipe) => server.wipe(&mut rng),
            (Relay::Contract(server), Server::Restart) => server.restart(),
            (Relay::Contract(server), Server::Restore) => drop(server.restore(&mut rng)),
            (Relay::Contract(_), Server::Fail { .. }) => {}
        }
        self.rng = rng;
        match (&self.relay, what) {
            (Relay::Storing(_), Server::Wipe | Server::Restart | Server::Restore) => {
                self.relay_drops_everybody()
            }
            _ => Ok(()),
        }
    }
}
