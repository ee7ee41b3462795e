//! What apps do while the world is young, and what goes wrong. Decides by the plan and the dice; `calm` ends it all
//! and brings everything into the state in which replicas must agree.

use crsqlite_sync::engine::replica::{Input, Level};

use crate::app;
use crate::device::{Client, Device};
use crate::store::HISTORY;
use crate::world::{Event, Relay, World};

impl World {
    /// One action of one app, and the next one later.
    pub(crate) fn app_acts(&mut self, n: usize) -> Result<(), String> {
        if !self.chaos {
            return Ok(());
        }
        let pause = self.rng.below(self.plan.app_pause) + 1;
        self.at(pause, Event::App(n));
        if !self.devices[n].is_up() {
            return Ok(());
        }
        match self.rng.below(100) {
            0..=74 => self.app_writes(n),
            75..=79 => {
                let epoch = self.devices[n].epoch;
                self.at(0, Event::LocalChange { device: n, epoch });
            }
            80..=84 => self.wait(n)?,
            85..=87 => self.feed(n, Input::SyncNow)?,
            88..=91 => self.app_migrates(n),
            92 => self.tables_grow(n)?,
            93..=94 => {
                let copy = self.devices[n].disk.copy();
                self.devices[n].copies.push(copy);
            }
            _ => self.scratch(n),
        }
        Ok(())
    }

    fn app_writes(&mut self, n: usize) {
        if self.devices[n].disk.app_is_in_transaction() {
            let op = app::statement(self.devices[n].disk.db(), &mut self.rng, self.plan.keys);
            self.devices[n].disk.app_run(&op);
            self.note(|| format!("d{n} app, open: {op:?}"));
            return;
        }
        if self.plan.app_transactions && self.devices[n].is_ours && self.rng.chance(20) {
            self.devices[n].disk.app_begin();
            self.note(|| format!("d{n} app begins"));
            let keep = self.rng.chance(60);
            let process = self.devices[n].process;
            let after = self.rng.below(5_000);
            self.at(after, Event::AppEnd { device: n, process, keep });
            return self.app_writes(n);
        }
        let huge = self.rng.chance(self.plan.huge);
        let ops = if huge {
            let most = (self.plan.budget as u64 / 2).clamp(3, 25);
            let count = self.rng.range(2, most);
            app::flood(&mut self.rng, count)
        } else {
            (0..self.rng.range(1, 3))
                .map(|_| app::statement(self.devices[n].disk.db(), &mut self.rng, self.plan.keys))
                .collect()
        };
        self.devices[n].disk.app(|db| {
            for op in &ops {
                db.run(op);
            }
        });
        self.note(|| {
            let ops: Vec<String> = ops.iter().take(4).map(|op| format!("{op:?}")).collect();
            format!("d{n} app: {}", ops.join("; "))
        });
        self.announce(n);
    }

    pub(crate) fn app_ends(&mut self, n: usize, keep: bool) {
        if self.devices[n].disk.app_is_in_transaction() {
            self.devices[n].disk.app_end(keep);
            self.note(|| format!("d{n} app {}", if keep { "commits" } else { "rolls back" }));
            self.announce(n);
        }
    }

    /// The client hears of a local change soon; sometimes only its poll will see it.
    pub(crate) fn announce(&mut self, n: usize) {
        if self.rng.chance(90) || !self.devices[n].is_ours {
            let epoch = self.devices[n].epoch;
            let delay = self.rng.below(50);
            self.at(delay, Event::LocalChange { device: n, epoch });
        }
    }

    fn app_migrates(&mut self, n: usize) {
        if self.plan.schema_lag && !self.devices[n].disk.app_is_in_transaction() {
            let mut rng = self.rng.clone();
            self.devices[n].disk.app(|db| app::migrate(db, &mut rng));
            self.rng = rng;
            self.note(|| format!("d{n} migrates"));
            self.announce(n);
        }
    }

    /// `tables` gains what it left out: the app starts a new client.
    pub(crate) fn tables_grow(&mut self, n: usize) -> Result<(), String> {
        let all: Vec<String> = app::names().into_iter().collect();
        let device = &mut self.devices[n];
        if device.tables.as_ref().is_none_or(|tables| tables.len() == all.len()) {
            return Ok(());
        }
        device.tables = Some(all);
        self.restart_client(n)
    }

    /// Stop, and a new client in the same process.
    pub(crate) fn restart_client(&mut self, n: usize) -> Result<(), String> {
        self.note(|| format!("d{n} gets a new client"));
        self.feed(n, Input::Stop)?;
        self.disconnect(n);
        self.start(n)
    }

    fn scratch(&mut self, n: usize) {
        let device = &self.devices[n];
        if device.tables.is_some() && !device.disk.app_is_in_transaction() {
            let mut rng = self.rng.clone();
            self.devices[n].disk.app(|db| app::toggle_scratch(db, &mut rng));
            self.rng = rng;
            self.note(|| format!("d{n} toggles its scratch table"));
            if self.rng.chance(50) {
                self.app_writes(n);
            }
        }
    }

    /// Something breaks, and the next thing later.
    pub(crate) fn misfortune(&mut self) -> Result<(), String> {
        if !self.chaos {
            return Ok(());
        }
        let pause = self.rng.below(self.plan.fault_pause) + 1;
        self.at(pause, Event::Fault);
        let n = self.rng.index(self.devices.len());
        if self.plan.paging && self.rng.chance(60) {
            if self.plan.log_faults {
                return self.log_misfortune();
            }
            self.crash(n);
            return Ok(());
        }
        match self.rng.below(10) {
            0..=2 => self.break_link(n),
            3..=4 => self.go_offline(n),
            5..=6 if self.plan.crashes => {
                self.crash(n);
                Ok(())
            }
            7 if self.plan.restores => {
                self.restore(n);
                Ok(())
            }
            8 if self.devices[n].is_ours && self.devices[n].is_up() => self.restart_client(n),
            9 if self.plan.tabs => self.take_lead(n),
            7 if self.plan.clones => self.clone_device(n),
            _ if self.plan.log_faults => self.log_misfortune(),
            _ => Ok(()),
        }
    }

    fn go_offline(&mut self, n: usize) -> Result<(), String> {
        self.break_link(n)?;
        self.devices[n].online = false;
        let away = self.rng.below(60_000);
        self.at(away, Event::Online(n));
        Ok(())
    }

    /// The process dies, its last transactions with it.
    fn crash(&mut self, n: usize) {
        let lost = if self.rng.chance(40) { 0 } else { self.rng.index(HISTORY) };
        self.die(n, lost);
        let down = self.rng.below(20_000);
        self.at(down, Event::Start(n));
        if self.rng.chance(30) {
            // The app writes before the client starts.
            let op = app::statement(self.devices[n].disk.db(), &mut self.rng, self.plan.keys);
            self.devices[n].disk.app(|db| {
                db.run(&op);
            });
            self.note(|| format!("d{n} app, before its client: {op:?}"));
        }
    }

    /// The process is gone, and so are the last `lost` transactions.
    pub(crate) fn die(&mut self, n: usize, lost: usize) {
        self.note(|| format!("d{n} crashes and loses {lost} transactions"));
        self.disconnect(n);
        self.close_former_tabs(n);
        let device = &mut self.devices[n];
        device.process += 1;
        device.epoch += 1;
        device.timer += 1;
        device.client = Client::Down;
        device.waits.clear();
        device.disk.crash(lost);
    }

    /// An older copy of the database comes back.
    fn restore(&mut self, n: usize) {
        if self.devices[n].copies.is_empty() {
            return;
        }
        self.crash(n);
        let device = &mut self.devices[n];
        let copy = self.rng.pick(&device.copies).clone();
        device.disk.replace(copy);
        self.note(|| format!("d{n} is an older copy of itself now"));
    }

    /// A copy of a database is opened while the original lives.
    fn clone_device(&mut self, n: usize) -> Result<(), String> {
        if !self.devices[n].is_ours || self.devices.iter().any(|device| device.cloned) {
            return Ok(());
        }
        let tables = self.devices[n].tables.clone();
        let mut db = self.devices[n].disk.copy();
        db.reopen();
        let copy = self.devices.len();
        self.devices.push(Device::new(db, true, tables, self.plan.savepoints));
        self.devices[n].cloned = true;
        self.devices[copy].cloned = true;
        self.note(|| format!("d{copy} is a live copy of d{n}"));
        self.at(0, Event::App(copy));
        self.start(copy)
    }

    fn server_misfortune(&mut self) {
        let Relay::Contract(server) = &mut self.relay else { return };
        let what = match self.rng.below(12) {
            0..=4 => {
                server.back_up();
                "is backed up"
            }
            5..=6 if server.restore(&mut self.rng) => "is a backup now",
            7 => {
                server.wipe(&mut self.rng);
                "has lost everything"
            }
            8..=9 => {
                server.restart();
                "has forgotten its cursors"
            }
            _ => return,
        };
        self.note(|| format!("the server {what}"));
    }

    fn log_misfortune(&mut self) -> Result<(), String> {
        self.server_misfortune();
        let Relay::Storing(relay) = &mut self.relay else { return Ok(()) };
        let what = match self.rng.below(20) {
            0..=4 => {
                relay.back_up();
                "is backed up"
            }
            5..=7 => {
                if !relay.restore(&mut self.rng) {
                    return Ok(());
                }
                self.relay_drops_everybody()?;
                "is a backup now"
            }
            8 => {
                relay.wipe(&mut self.rng);
                self.relay_drops_everybody()?;
                "has lost everything"
            }
            14 => {
                relay.change_account(&mut self.rng);
                self.relay_drops_everybody()?;
                "belongs to another account"
            }
            9..=13 => {
                relay.restart(&mut self.rng);
                self.relay_drops_everybody()?;
                "restarts"
            }
            _ => {
                relay.failing = true;
                let long = self.rng.below(15_000);
                self.at(long, Event::RelayHeals);
                "fails for a while"
            }
        };
        self.note(|| format!("the relay {what}"));
        Ok(())
    }

    /// No more misfortunes: everybody is up, online and migrated, and all apps are silent.
    pub(crate) fn calm(&mut self) -> Result<(), String> {
        self.chaos = false;
        self.note(|| "calm".to_owned());
        if let Relay::Storing(relay) = &mut self.relay {
            relay.failing = false;
        }
        self.wake_everybody();
        for n in 0..self.devices.len() {
            let keep = self.rng.chance(50);
            self.app_ends(n, keep);
            if !self.devices[n].is_up() {
                self.start(n)?;
            }
            self.devices[n].online = true;
            self.app_migrates(n);
            self.tables_grow(n)?;
            self.dial(n);
        }
        // The app asks for a fresh start where the server has lost data without a sign, or has refused some.
        if matches!(&self.relay, Relay::Contract(server) if server.has_lost || server.manners().refuses > 0) {
            for n in 0..self.devices.len() {
                self.wait_for(n, Level::Resync)?;
            }
        }
        Ok(())
    }
}
