//! Draws a scenario: the plan of its kind of world, then every step with its moment. Keeps one database for all apps, as if
//! they were always in step and nothing was lost, so that statements mostly meet rows. Called by whoever wants a scenario.

use crsqlite_sync::engine::replica::Level;
use crsqlite_sync::wire::SiteId;

use super::{Beginning, Scenario, Server, Statement, Step, What};
use crate::app;
use crate::model::{Database, Op};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::store::HISTORY;

/// Of the moments of a world, how many of a hundred are followed by something else.
const PERCENT: u64 = 100;
/// Seeds of plans are this far apart from those of the simulator's own worlds, whose kinds they share.
const STRIDE: u64 = 1 << 32;

impl Scenario {
    /// The scenario of a seed. Peers that know only the seed's protocol take no part.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let draws = (0..).map(|attempt| {
            let mut rng = Rng::new(seed.wrapping_add(attempt * STRIDE) ^ STRIDE);
            (Plan::of(seed.wrapping_add(attempt), &mut rng), rng)
        });
        let (plan, rng) =
            draws.into_iter().find(|(plan, _)| plan.seed_peers == 0).expect("most plans have none");
        let mut dice = Dice { steps: Vec::new(), plan, rng };
        let devices = dice.devices();
        for (device, beginning) in devices.iter().enumerate() {
            dice.app(device, beginning.at);
        }
        dice.misfortunes();
        dice.steps.sort_by_key(|step| step.at);
        dice.statements(&devices);
        let Dice { steps, plan, .. } = dice;
        Scenario { seed, plan, devices, steps }
    }
}

struct Dice {
    steps: Vec<Step>,
    plan: Plan,
    rng: Rng,
}

impl Dice {
    fn devices(&mut self) -> Vec<Beginning> {
        (0..self.plan.devices).map(|_| self.device()).collect()
    }

    fn device(&mut self) -> Beginning {
        let old = self.plan.schema_lag && self.rng.chance(60);
        let late = self.rng.chance(25);
        let at = if late { self.rng.below(self.plan.chaos) } else { self.rng.below(500) };
        let tables = self.plan.tables_option.then(|| {
            let mut names: Vec<String> = app::names().into_iter().collect();
            if self.rng.chance(50) {
                names.remove(self.rng.index(names.len()));
            }
            names
        });
        Beginning { old, tables, at }
    }

    fn step(&mut self, at: u64, what: What) {
        self.steps.push(Step { at, what });
    }

    fn app(&mut self, device: usize, start: u64) {
        let mut at = start;
        // While the app holds a transaction open it does nothing else.
        let mut open_until = 0;
        loop {
            at += self.rng.below(self.plan.app_pause) + 1;
            if at >= self.plan.chaos {
                return;
            }
            if at < open_until {
                self.writes(at, device, true);
                continue;
            }
            match self.rng.below(PERCENT) {
                0..=74 => open_until = self.works(at, device),
                75..=84 => self.waits(at, device),
                85..=87 => self.step(at, What::SyncNow { device }),
                88..=91 if self.plan.schema_lag => self.migrates(at, device),
                92 if self.plan.tables_option => self.step(at, What::Client { device, grow: true }),
                93..=94 => self.step(at, What::Copy { device }),
                95.. if self.plan.tables_option => {
                    let seed = self.rng.next_u64();
                    self.step(at, What::Scratch { device, seed });
                }
                _ => open_until = self.works(at, device),
            }
        }
    }

    /// One transaction, or the beginning of one that stays open; returns until when.
    fn works(&mut self, at: u64, device: usize) -> u64 {
        if self.plan.app_transactions && self.rng.chance(20) {
            let end = at + self.rng.below(5_000) + 2;
            let keep = self.rng.chance(60);
            self.step(at, What::Begin { device });
            self.writes(at + 1, device, true);
            self.step(end, What::End { device, keep });
            return end + 1;
        }
        let keep = !(self.plan.savepoints && self.rng.chance(10));
        self.writes(at, device, keep);
        0
    }

    /// A transaction, whose statements are drawn once it is known what comes before it.
    fn writes(&mut self, at: u64, device: usize, keep: bool) {
        self.step(at, What::Write { device, statements: Vec::new(), keep });
    }

    fn statements(&mut self, devices: &[Beginning]) {
        let mut old: Vec<bool> = devices.iter().map(|device| device.old).collect();
        let mut db = Database::new(SiteId([1; 16]));
        app::install(&mut db, false);
        for n in 0..self.steps.len() {
            if let What::Migrate { device, .. } = self.steps[n].what {
                old[device] = false;
            }
            if let What::Write { device, keep, .. } = self.steps[n].what {
                let statements = self.transaction(&db, old[device]);
                statements.iter().filter(|_| keep).for_each(|statement| statement.run(&mut db));
                db.commit();
                self.steps[n].what = What::Write { device, statements, keep };
            }
        }
    }

    fn transaction(&mut self, db: &Database, old: bool) -> Vec<Statement> {
        if self.rng.chance(self.plan.huge) {
            let most = (self.plan.budget as u64 / 2).clamp(3, 25);
            let count = self.rng.range(2, most);
            let ops = app::flood(&mut self.rng, count);
            return ops.into_iter().map(|op| Statement { op, upsert: false }).collect();
        }
        (0..self.rng.range(1, 3)).map(|_| self.statement(db, old)).collect()
    }

    /// One that an old schema mostly knows.
    fn statement(&mut self, db: &Database, old: bool) -> Statement {
        let mut op = app::statement(db, &mut self.rng, self.plan.keys);
        for _ in 0..4 {
            if !(old && is_late(&op)) {
                break;
            }
            op = app::statement(db, &mut self.rng, self.plan.keys);
        }
        let upsert = matches!(op, Op::Insert { .. }) && self.rng.chance(40);
        Statement { op, upsert }
    }

    fn waits(&mut self, at: u64, device: usize) {
        let third = if self.plan.storing { Level::Stored } else { Level::Sent };
        let level = *self.rng.pick(&[Level::FirstSync, Level::Sent, third, Level::Round]);
        self.step(at, What::Wait { device, level });
    }

    fn migrates(&mut self, at: u64, device: usize) {
        let seed = self.rng.next_u64();
        self.step(at, What::Migrate { device, seed });
    }

    fn misfortunes(&mut self) {
        let mut at = self.plan.fault_pause;
        while at < self.plan.chaos {
            let device = self.rng.index(self.plan.devices);
            self.misfortune(at, device);
            at += self.rng.below(self.plan.fault_pause) + 1;
        }
    }

    fn misfortune(&mut self, at: u64, device: usize) {
        if self.plan.paging && self.rng.chance(60) {
            return if self.plan.log_faults { self.server(at) } else { self.crash(at, device) };
        }
        match self.rng.below(10) {
            0..=2 => self.step(at, What::Cut { device }),
            3..=4 => {
                let away = self.rng.below(60_000);
                self.step(at, What::Offline { device, away });
            }
            5..=6 if self.plan.crashes => self.crash(at, device),
            7 if self.plan.restores => {
                let (pick, down) = (self.rng.next_u64(), self.rng.below(20_000));
                self.step(at, What::Restore { device, pick, down });
            }
            8 => self.step(at, What::Client { device, grow: false }),
            _ if self.plan.log_faults => self.server(at),
            _ => {}
        }
    }

    fn crash(&mut self, at: u64, device: usize) {
        let lose = if self.rng.chance(40) { 0 } else { self.rng.index(HISTORY) };
        let down = self.rng.below(20_000);
        self.step(at, What::Crash { device, lose, down });
        if self.rng.chance(30) {
            // The app writes before its client starts.
            self.writes(at + 1, device, true);
        }
    }

    fn server(&mut self, at: u64) {
        let what = match self.rng.below(20) {
            0..=4 => Server::BackUp,
            5..=7 => Server::Restore,
            8 => Server::Wipe,
            9..=13 => Server::Restart,
            _ => Server::Fail { long: self.rng.below(15_000) },
        };
        self.step(at, What::Server(what));
    }
}

/// Names what old schemas lack.
fn is_late(op: &Op) -> bool {
    let none = Vec::new();
    let (table, set) = match op {
        Op::Insert { table, set, .. }
        | Op::Replace { table, set, .. }
        | Op::Update { table, set, .. }
        | Op::Rekey { table, set, .. } => (table, set),
        Op::Delete { table, .. } => (table, &none),
    };
    let (late, column, _) = app::LATE_COLUMN;
    table == app::LATE_TABLE || table == late && set.iter().any(|(cid, _)| cid == column)
}
