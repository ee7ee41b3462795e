//! Directed worlds: short scripts of what apps write and what goes wrong at which moment, each passing by all rules and failing
//! without the one that it names. Decides no outcome: the end of a script is the end of every world (`check`).
//! Run by `mutants`, and by the tests with nothing left out.

mod clocks;
mod cursors;
mod log;
mod merging;
mod sent;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crsqlite_sync::engine::replica::Input;
use crsqlite_sync::rules::Rule;
use crsqlite_sync::wire::{Body, Change, Message, Pk, SENTINEL, SiteId, SyncPush, Value};

use crate::contract::Contract;
use crate::model::{Database, Op};
use crate::plan::{KINDS, Kind, Plan};
use crate::rng::Rng;
use crate::world::{Event, Relay, World};

/// One script.
#[derive(Debug)]
pub struct Directed {
    /// What it shows, as a sentence.
    pub name: &'static str,
    /// The rule without which it fails.
    pub rule: Rule,
    story: fn(&mut Script),
    plan: fn() -> Plan,
}

/// How a directed world ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    Good,
    /// Replicas differ, a promise is broken, an invariant is violated or the traffic does not end.
    Bad(String),
    /// The script waited for something that never happened. Shows nothing but that it has to be rewritten.
    Stuck(String),
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Directed> {
    [clocks::WORLDS, sent::WORLDS, cursors::WORLDS, log::WORLDS, merging::WORLDS].into_iter().flatten()
}

impl Directed {
    /// Plays the script and brings the world to its end; also the story, if wanted.
    #[must_use]
    pub fn run(&self) -> (Ending, Vec<String>) {
        let mut script = Script {
            world: World::empty((self.plan)(), Rng::new(1), true),
            seen: 0,
            stuck: None,
            broken: None,
        };
        let played = catch_unwind(AssertUnwindSafe(|| {
            (self.story)(&mut script);
            match (script.stuck.take(), script.broken.take()) {
                (_, Some(problem)) => Ending::Bad(problem),
                (Some(what), None) => Ending::Stuck(what),
                (None, None) => script.world.ends().map_or_else(Ending::Bad, |()| Ending::Good),
            }
        }));
        let ending = played.unwrap_or_else(|_| Ending::Bad("a panic".to_owned()));
        (ending, script.world.trace().to_vec())
    }
}

/// Nothing happens by itself: frames and transactions take no time to speak of, and the dice are not asked.
fn quiet(kind: Kind) -> Plan {
    let seed = KINDS.iter().position(|known| *known == kind).expect("a kind of world") as u64;
    Plan {
        devices: 0,
        seed_peers: 0,
        latency: 1,
        job_delay: 0,
        job_faults: false,
        tables_option: false,
        savepoints: true,
        budget: 500,
        answer_bytes: 100_000,
        poll: 60_000,
        ..Plan::of(seed, &mut Rng::new(seed))
    }
}

fn plain() -> Plan {
    quiet(Kind::Plain)
}

fn storing() -> Plan {
    quiet(Kind::Storing)
}

/// The longest that a script waits for something.
const PATIENCE: u64 = 60_000;
/// Long enough for everybody to connect, ask, ask back and answer.
const SETTLED: u64 = 10_000;

/// A world and the hand that moves it. After the first thing that goes wrong nothing moves any more.
#[derive(Debug)]
pub(crate) struct Script {
    world: World,
    /// Lines of the story that `until` has looked at.
    seen: usize,
    stuck: Option<String>,
    broken: Option<String>,
}

impl Script {
    /// A new device, with a client that is in step with everybody who is there.
    fn joins(&mut self) -> usize {
        let device = self.appears();
        self.wait(SETTLED);
        device
    }

    /// A new device whose client starts now.
    fn appears(&mut self) -> usize {
        let device = self.world.add_device(true, false);
        self.starts(device);
        device
    }

    /// A client starts on a device that is down.
    fn starts(&mut self, device: usize) {
        self.world.at(0, Event::Start(device));
        self.wait(0);
    }

    /// The process of a device dies, and its database is as it was at that moment.
    fn crashes_back_to(&mut self, device: usize, before: &Database) {
        self.world.die(device, 0);
        self.world.devices[device].disk.replace(before.clone());
    }

    /// The database of a device as it is on its disk.
    fn state(&self, device: usize) -> Database {
        self.world.devices[device].disk.copy()
    }

    /// An app writes in a transaction of its own, and its client hears of it.
    fn writes(&mut self, device: usize, ops: &[Op]) {
        self.world.devices[device].disk.app(|db| {
            for op in ops {
                db.run(op);
            }
        });
        let epoch = self.world.devices[device].epoch;
        self.world.note(|| format!("d{device} app: {ops:?}"));
        self.world.at(0, Event::LocalChange { device, epoch });
    }

    /// The same, with time for everybody to get it.
    fn writes_and_tells(&mut self, device: usize, ops: &[Op]) {
        self.writes(device, ops);
        self.wait(SETTLED);
    }

    fn goes_offline(&mut self, device: usize) {
        let result = self.world.break_link(device);
        self.world.devices[device].online = false;
        self.keep(result);
    }

    fn comes_online(&mut self, device: usize) {
        self.world.at(0, Event::Online(device));
    }

    /// A client asks, and has time to apply what it is answered.
    fn asks_everybody(&mut self, device: usize) {
        self.asks(device);
        self.wait(SETTLED);
    }

    fn asks(&mut self, device: usize) {
        let result = self.world.feed(device, Input::SyncNow);
        self.keep(result);
    }

    /// The relay that stores.
    fn relay(&mut self) -> &mut crate::relay::Storing {
        match &mut self.world.relay {
            Relay::Storing(relay) => relay,
            Relay::Plain | Relay::Contract(_) => panic!("a world with a relay that stores"),
        }
    }

    /// The server of the push-pull contract.
    fn server(&mut self) -> &mut Contract {
        match &mut self.world.relay {
            Relay::Contract(server) => server,
            Relay::Plain | Relay::Storing(_) => panic!("a world with a server"),
        }
    }

    /// A stranger pushes rows to the relay, which takes them for those of this device's connection.
    fn stranger_uploads(&mut self, by: usize, rows: Vec<Change>) {
        if let Some(conn) = self.world.devices[by].conn {
            self.world.at_relay(conn, &stranger_pushes(rows));
        }
        self.wait(100);
    }

    fn wait(&mut self, span: u64) {
        if self.stuck.is_none() && self.broken.is_none() {
            let result = self.world.run_for(span);
            self.keep(result);
        }
    }

    /// Until a line of the story that is new says all of this.
    fn until(&mut self, all: &[&str]) {
        let end = self.world.now + PATIENCE;
        self.seen = self.world.trace().len();
        self.wait(0);
        while self.stuck.is_none() && self.broken.is_none() {
            let new = &self.world.trace()[self.seen..];
            let found = new.iter().position(|line| all.iter().all(|part| line.contains(part)));
            self.seen += found.map_or(new.len(), |found| found + 1);
            if found.is_some() {
                return;
            }
            if self.world.now > end {
                self.stuck = Some(format!("never: {all:?}"));
            }
            self.wait(1);
        }
    }

    /// Takes frames to a device that say all of this off their way. They are lost, or late.
    fn take(&mut self, to: usize, all: &[&str]) -> Vec<Event> {
        let conns: Vec<_> =
            self.world.conns.iter().filter(|(_, conn)| conn.device == to).map(|(id, _)| *id).collect();
        let says = |text: &String| all.iter().all(|part| text.contains(part));
        let taken = self.world.intercept(
            |event| matches!(event, Event::Down { conn, text } if conns.contains(conn) && says(text)),
        );
        if taken.is_empty() {
            self.stuck.get_or_insert(format!("nothing is on its way to d{to} that says {all:?}"));
        }
        taken
    }

    /// The same for frames of a device on their way up.
    fn take_up(&mut self, from: usize, all: &[&str]) -> Vec<Event> {
        let conns: Vec<_> =
            self.world.conns.iter().filter(|(_, conn)| conn.device == from).map(|(id, _)| *id).collect();
        let says = |text: &String| all.iter().all(|part| text.contains(part));
        let taken = self.world.intercept(
            |event| matches!(event, Event::Up { conn, text } if conns.contains(conn) && says(text)),
        );
        if taken.is_empty() {
            self.stuck.get_or_insert(format!("nothing is on its way from d{from} that says {all:?}"));
        }
        taken
    }

    /// What was taken arrives now.
    fn put(&mut self, events: Vec<Event>) {
        for event in events {
            self.world.at(0, event);
        }
        self.wait(0);
    }

    /// A stranger pushes rows, and only this device hears it.
    fn hears(&mut self, device: usize, rows: Vec<Change>) {
        let text = stranger_pushes(rows);
        let Some(conn) = self.world.devices[device].conn else { return };
        self.world.at(0, Event::Down { conn, text });
        self.wait(100);
    }

    fn keep(&mut self, result: Result<(), String>) {
        if let Err(problem) = result {
            self.broken.get_or_insert(problem);
        }
    }
}

/// The site of a peer that knows only the seed's messages and is never seen itself.
const STRANGER: SiteId = SiteId([0xAA; 16]);

fn stranger_pushes(rows: Vec<Change>) -> String {
    let push = SyncPush { changes: rows.into_iter().map(Ok).collect(), ..SyncPush::default() };
    Message { site_id: STRANGER, timestamp: 0, body: Body::Push(push) }.encode()
}

/// A row of a table with one column, as a stranger has it.
fn row(n: i64, x: i64) -> Change {
    Change {
        table: "pairs".to_owned(),
        pk: key(n),
        cid: "x".to_owned(),
        val: Value::Integer(x),
        col_version: 1,
        db_version: 1,
        site_id: STRANGER,
        cl: 1,
        seq: 0,
    }
}

fn sentinel(n: i64, cl: i64) -> Change {
    Change { cid: SENTINEL.to_owned(), val: Value::Null, col_version: cl, cl, ..row(n, 0) }
}

/// The same of the table that has a column of REALs.
fn of_note(n: i64, r: Value) -> Change {
    let pk = Pk::pack(&[Value::Integer(n)]).expect("one column");
    Change { table: "notes".to_owned(), pk, cid: "r".to_owned(), val: r, ..row(n, 0) }
}

fn note(n: i64, r: Value) -> Op {
    let Change { table, pk, cid, val, .. } = of_note(n, r);
    Op::Insert { table, pk, set: vec![(cid, val)] }
}

fn key(n: i64) -> Pk {
    Pk::pack(&[Value::Integer(n), Value::Text("k".into())]).expect("two columns")
}

fn insert(n: i64, x: i64) -> Op {
    Op::Insert { table: "pairs".into(), pk: key(n), set: vec![("x".into(), Value::Integer(x))] }
}

fn update(n: i64, x: i64) -> Op {
    Op::Update { table: "pairs".into(), pk: key(n), set: vec![("x".into(), Value::Integer(x))] }
}

fn rekey(n: i64, to: i64) -> Op {
    Op::Rekey { table: "pairs".into(), pk: key(n), to: key(to), set: Vec::new() }
}

fn delete(n: i64) -> Op {
    Op::Delete { table: "pairs".into(), pk: key(n) }
}
