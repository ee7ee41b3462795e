//! Random histories of a few databases, each step as SQL together with what the model of cr-sqlite makes of it. Decides
//! what happens; never whether the model is right: whoever replays the SQL on real databases compares.
//! Called by `main`, for `tests/node/model.test.mjs`.

mod draw;
mod sql;

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::wire::{Change, Pk, SiteId, Value};
use serde_json::{Value as Json, json};

use crate::model::{Database, Op, TableDef};
use crate::rng::Rng;
use sql::Statement;

const STEPS: u64 = 40;
/// The site that nobody has: whoever wrote under it is gone.
const STRANGER: SiteId = SiteId([0x99; 16]);

/// One history as a line of JSON:
/// `{seed, sites: [hex], steps: [{on, sql, holds?: {changes: [[…]], rows: {table: count}}}]}`.
/// `holds` is the database's whole content, given now and then and after the last step of each.
#[must_use]
pub fn history(seed: u64) -> Json {
    let mut history = History::new(seed);
    for device in 0..history.devices.len() {
        history.install(device);
    }
    for _ in 0..STEPS {
        history.step();
    }
    for device in 0..history.devices.len() {
        history.exchange(device);
        history.note(device, "SELECT 1".to_owned(), true);
    }
    let sites: Vec<String> = history.devices.iter().map(|db| sql::hex(&db.site().0)).collect();
    json!({ "seed": seed, "sites": sites, "steps": history.steps })
}

struct History {
    rng: Rng,
    /// The tables in their last shape.
    tables: Vec<TableDef>,
    devices: Vec<Database>,
    keys: u64,
    steps: Vec<Json>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let count = rng.range(2, 3);
        let devices = (0..count).map(|n| Database::new(SiteId([u8::try_from(n + 1).unwrap(); 16]))).collect();
        let tables = (0..rng.range(1, 3)).map(|n| draw::table(&mut rng, n)).collect();
        let keys = rng.range(2, 5);
        History { rng, tables, devices, keys, steps: Vec::new() }
    }

    fn note(&mut self, on: usize, sql: String, whole: bool) {
        let db = &self.devices[on];
        let mut step = json!({ "on": on, "sql": sql });
        if whole {
            step["holds"] = self.holds(db);
        }
        self.steps.push(step);
    }

    fn holds(&self, db: &Database) -> Json {
        let packed = |value: &Value| sql::hex(Pk::pack(std::slice::from_ref(value)).unwrap().as_bytes());
        let changes: Vec<Json> = db
            .changes(|_, _, _, _, _, _| true)
            .iter()
            .map(|row| {
                let (pk, val, site) =
                    (sql::hex(row.pk.as_bytes()), packed(&row.val), sql::hex(&row.site_id.0));
                json!([row.table, pk, row.cid, val, row.col_version, row.db_version, site, row.cl, row.seq])
            })
            .collect();
        let rows: serde_json::Map<String, Json> = self
            .tables
            .iter()
            .filter(|def| db.has_table(&def.name))
            .map(|def| (def.name.clone(), db.live_keys(&def.name).len().into()))
            .collect();
        json!({ "changes": changes, "rows": rows })
    }

    fn install(&mut self, on: usize) {
        for def in self.tables.clone() {
            if self.rng.chance(80) {
                let def = if self.rng.chance(25) { draw::older(&def, &mut self.rng) } else { def };
                self.create(on, &def);
            }
        }
    }

    fn step(&mut self) {
        let on = self.rng.index(self.devices.len());
        let whole = self.rng.chance(20);
        match self.rng.below(100) {
            0..=54 => self.work(on),
            55..=84 => self.exchange(on),
            85..=88 => self.strangers(on),
            89..=91 => self.look(on),
            _ => self.migrate(on),
        }
        if whole {
            self.note(on, "SELECT 1".to_owned(), true);
        }
    }

    // ------------------------------------------------------------------------------------- the app

    /// Statements of the app: alone, in a transaction, in a savepoint, or both; kept or not.
    fn work(&mut self, on: usize) {
        let mut text = Vec::new();
        match self.rng.below(10) {
            0..=4 => {
                text.extend(self.statement(on));
                self.devices[on].commit();
            }
            5 | 6 => {
                let before = self.devices[on].clone();
                text.push("BEGIN".to_owned());
                self.statements(on, &mut text);
                if self.rng.chance(40) {
                    self.savepoint(on, &mut text);
                    self.statements(on, &mut text);
                }
                let keep = self.rng.chance(75);
                text.push(if keep { "COMMIT" } else { "ROLLBACK" }.to_owned());
                self.end(on, before, keep);
            }
            7 | 8 => {
                // As the wrapper's `tx` does it.
                let before = self.devices[on].clone();
                text.push("SAVEPOINT s".to_owned());
                self.statements(on, &mut text);
                if self.rng.chance(50) {
                    text.push("ROLLBACK TO s".to_owned());
                    self.devices[on].roll_back(before, true);
                } else {
                    self.devices[on].commit();
                }
                text.push("RELEASE s".to_owned());
            }
            _ => {
                let before = self.devices[on].clone();
                text.push("BEGIN".to_owned());
                self.savepoint(on, &mut text);
                let keep = self.rng.chance(75);
                text.push(if keep { "COMMIT" } else { "ROLLBACK" }.to_owned());
                self.end(on, before, keep);
            }
        }
        self.note(on, text.join("; "), false);
    }

    fn savepoint(&mut self, on: usize, text: &mut Vec<String>) {
        let before = self.devices[on].clone();
        text.push("SAVEPOINT s".to_owned());
        self.statements(on, text);
        if self.rng.chance(60) {
            text.push("ROLLBACK TO s".to_owned());
            self.devices[on].rewind(before);
        }
        text.push("RELEASE s".to_owned());
    }

    fn end(&mut self, on: usize, before: Database, keep: bool) {
        if keep {
            self.devices[on].commit();
        } else {
            self.devices[on].roll_back(before, false);
        }
    }

    fn statements(&mut self, on: usize, text: &mut Vec<String>) {
        for _ in 0..self.rng.range(1, 4) {
            text.extend(self.statement(on));
        }
    }

    /// `None` where there is no table.
    fn statement(&mut self, on: usize) -> Option<String> {
        let db = &self.devices[on];
        let defs: Vec<TableDef> = self.tables.iter().filter_map(|def| db.table(&def.name).cloned()).collect();
        if defs.is_empty() {
            return None;
        }
        let def = self.rng.pick(&defs).clone();
        let statement = Statement::draw(&def, db, &mut self.rng, self.keys);
        let text = statement.sql(&def);
        let db = &mut self.devices[on];
        db.dirty = true;
        for op in statement.ops(&def, db) {
            db.run(&op);
        }
        Some(text)
    }

    // --------------------------------------------------------------------------------------- merges

    /// Rows of another database, as our store merges them: all or some, in any order, some twice; then the floor.
    fn exchange(&mut self, on: usize) {
        let from = (on + self.rng.range(1, self.devices.len() as u64 - 1) as usize) % self.devices.len();
        let after = if self.rng.chance(50) { 0 } else { self.devices[from].max_version() - 2 };
        let mut rows = self.devices[from].changes(|_, _, _, version, _, _| version > after);
        if self.rng.chance(40) {
            rows.retain(|_| self.rng.chance(70));
        }
        if self.rng.chance(50) {
            self.rng.shuffle(&mut rows);
        }
        if self.rng.chance(20) && !rows.is_empty() {
            let again = self.rng.pick(&rows).clone();
            rows.push(again);
        }
        self.merge(on, rows);
    }

    /// Rows of a site that is gone, of lives and versions that nobody here has seen.
    fn strangers(&mut self, on: usize) {
        let defs = self.tables.clone();
        let rows = (0..self.rng.range(1, 4)).map(|_| {
            let def = self.rng.pick(&defs).clone();
            draw::foreign(&def, &mut self.rng, self.keys, STRANGER)
        });
        let rows = rows.collect();
        self.merge(on, rows);
    }

    /// What the engine would not let through, because it does not fit, is left out here too.
    fn merge(&mut self, on: usize, mut rows: Vec<Change>) {
        let db = &mut self.devices[on];
        rows.retain(|row| {
            let known = |def: &TableDef| row.is_sentinel() || def.columns.contains_key(&row.cid);
            db.table(&row.table).is_some_and(known)
        });
        let before = db.clone();
        db.dirty = true;
        let mut text = vec!["BEGIN IMMEDIATE".to_owned()];
        // As our store binds it; now and then as a client would that lets foreign clocks in.
        let foreign = self.rng.chance(10);
        for row in &mut rows {
            row.db_version = if foreign { row.db_version } else { 0 };
            db.merge(row).expect("it fits");
            text.push(sql::merge(row));
        }
        if self.rng.chance(50) {
            let floor = db.max_version() + 1;
            db.set_floor(floor);
            text.push(sql::floor(floor));
        }
        let keep = self.rng.chance(90);
        text.push(if keep { "COMMIT" } else { "ROLLBACK" }.to_owned());
        self.end(on, before, keep);
        self.note(on, text.join("; "), false);
    }

    /// A transaction of ours that writes nothing.
    fn look(&mut self, on: usize) {
        self.devices[on].dirty = true;
        self.devices[on].commit();
        self.note(on, "BEGIN IMMEDIATE; COMMIT".to_owned(), false);
    }

    // ------------------------------------------------------------------------------------ migrations

    fn migrate(&mut self, on: usize) {
        let def = self.rng.pick(&self.tables).clone();
        let Some(present) = self.devices[on].table(&def.name).cloned() else { return self.create(on, &def) };
        if self.rng.chance(15) {
            self.devices[on].drop_table(&def.name);
            self.devices[on].commit();
            let name = &def.name;
            return self.note(
                on,
                format!("BEGIN; SELECT crsql_as_table('{name}'); DROP TABLE \"{name}\"; COMMIT"),
                false,
            );
        }
        let missing = def.order.iter().find(|cid| !present.columns.contains_key(*cid)).cloned();
        let name = &def.name;
        let mut text = vec![format!("SELECT crsql_begin_alter('{name}')")];
        match missing {
            Some(cid) => {
                let affinity = def.columns[&cid];
                text.push(format!("ALTER TABLE \"{name}\" ADD COLUMN \"{cid}\" {}", sql::declared(affinity)));
                // One row: in which order several are filled is SQLite's business.
                let live = self.devices[on].live_keys(name);
                let row = (self.rng.chance(60) && !live.is_empty()).then(|| self.rng.pick(&live).clone());
                let value = affinity.apply(draw::value(&mut self.rng));
                self.devices[on].add_column(name, &cid, affinity);
                if let Some(pk) = row.filter(|_| value != Value::Null) {
                    text.push(sql::fill(name, &pk, &cid, &value));
                    self.devices[on].fill_column(name, &cid, &pk, value);
                }
            }
            None if present.order.len() > 1 && is_numbered(&def) => {
                let cid = self.rng.pick(&present.order).clone();
                text.push(format!("ALTER TABLE \"{name}\" DROP COLUMN \"{cid}\""));
                self.devices[on].drop_column(name, &cid);
            }
            None => return,
        }
        text.push(format!("SELECT crsql_commit_alter('{name}')"));
        // Never rolled back: cr-sqlite goes on with the columns of the alteration then, until the schema changes again or
        // the database is opened anew.
        if self.rng.chance(30) {
            text.insert(0, "BEGIN".to_owned());
            text.push("COMMIT".to_owned());
        }
        self.devices[on].commit();
        self.note(on, text.join("; "), false);
    }

    /// A table that comes with rows that were there before it was replicated.
    fn create(&mut self, on: usize, def: &TableDef) {
        let rows = if self.rng.chance(40) { draw::rows(def, &mut self.rng, self.keys) } else { Vec::new() };
        let alone = self.rng.chance(50);
        let mut text = sql::create(def, &rows);
        let db = &mut self.devices[on];
        if alone {
            // Every statement is a transaction of its own, and each of them wrote.
            db.dirty = true;
            db.commit();
        } else {
            text.insert(0, "BEGIN".to_owned());
            text.push("COMMIT".to_owned());
        }
        db.create_table(def, &rows);
        db.commit();
        self.note(on, text.join("; "), false);
    }
}

/// The key of a table that SQLite walks in the order of the numbers.
fn is_numbered(def: &TableDef) -> bool {
    def.key == [Affinity::Integer]
}
