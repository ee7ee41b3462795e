//! Writers push rows and records over real sockets while the relay, or PostgreSQL, is killed at random and started again: all that it
//! acknowledged is there afterwards, under offsets that only grow, and what is said once more changes nothing.
//! `CRASH_ROUNDS` says how often; `cargo xtask crash` asks for many.

mod writers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use self::writers::{Writer, Written, post};
use crate::process::Process;
use crate::support::database::is_postgres;
use crate::support::postgres::Postgres;
use crate::support::{Device, SECRET, key, token};

const USERS: usize = 4;
const SOCKETS_OF_EACH: usize = 2;

/// A place in a log: its run, and the offset.
type Place = (Value, i64);

/// What one user's devices know of the log, read on from where they were after each kill.
#[derive(Default)]
struct Known {
    cursor: Option<Place>,
    /// The name of the log.
    log: String,
    pulled: Value,
    /// By key: the offset and the value.
    rows: BTreeMap<String, (i64, u64)>,
    /// By record id.
    records: BTreeMap<String, u64>,
}

impl Known {
    /// Reads what is new, over both protocols.
    async fn read_on(&mut self, relay: &Process, sub: &str) {
        let cookie = format!("auth_token={}", token(sub, 600));
        let mut device = Device::connect(relay.address, &[("Cookie", &cookie)], 2).await;
        let mut page_head = None;
        loop {
            let cursors = match (&self.cursor, &page_head) {
                (Some((run, version)), Some(head)) => json!({ &self.log: [run, version, head] }),
                (Some((run, version)), None) => json!({ &self.log: [run, version] }),
                (None, _) => json!({}),
            };
            device.send("sync_request", json!({ "sinceVersion": 0, "cursors": cursors, "ref": "q" })).await;
            let answer = device.receive().await;
            let page = &answer["payload"];
            let log = answer["siteId"].as_str().unwrap();
            assert!(self.cursor.is_none() || self.log == log, "it is the same log");
            log.clone_into(&mut self.log);
            let before = self.cursor.as_ref().map_or(0, |(_, version)| *version);
            assert_eq!(page["baseVersion"], before, "a cursor of before still stands");
            let mut last = before;
            for row in page["changes"].as_array().unwrap() {
                let offset = row["db_version"].as_i64().unwrap();
                assert!(offset > last, "offsets grow");
                last = offset;
                let (name, n) = (row["pk"].as_str().unwrap().to_owned(), row["val"].as_u64().unwrap());
                if let Some((earlier, older)) = self.rows.insert(name, (offset, n)) {
                    assert!(earlier < offset && older < n, "only what was written again comes again");
                }
            }
            self.cursor = Some((page["run"].clone(), page["currentVersion"].as_i64().unwrap()));
            page_head = page.get("more").map(|_| page["head"].clone());
            if page_head.is_none() {
                break;
            }
        }
        loop {
            let asked = json!({ "cursor": self.pulled, "collections": ["notes"] });
            let page = post(relay.address, sub, "/sync/pull", &asked).await.expect("a page");
            assert_eq!(page.get("reset"), None, "a cursor of before still stands");
            for record in page["changes"].as_array().unwrap() {
                let (name, n) = (record["recordId"].as_str().unwrap(), record["data"]["n"].as_u64().unwrap());
                if let Some(older) = self.records.insert(name.to_owned(), n) {
                    assert!(older < n, "only what was written again comes again");
                }
            }
            self.pulled = page["cursor"].clone();
            if page["hasMore"] == false {
                return;
            }
        }
    }

    fn head(&self) -> i64 {
        self.cursor.as_ref().map_or(0, |(_, version)| *version)
    }
}

/// What a writer of a round left behind.
struct Left {
    writer: Writer,
    written: Written,
}

impl Left {
    fn check_rows(&self, known: &Known) {
        let Left { writer, written } = self;
        for n in 0..written.acknowledged {
            let found = known.rows.get(&key(&writer.own(n)));
            assert!(found.is_some(), "{}: row {n} was acknowledged and is gone", writer.name);
        }
        if written.acknowledged > 0 {
            let (_, n) = known.rows[&key(&writer.again())];
            assert!(n + 1 >= written.acknowledged, "{}: an acknowledged value is gone", writer.name);
            assert!(known.head() >= written.last, "{}: offsets would be given again", writer.name);
        }
    }

    fn check_records(&self, known: &Known) {
        let Left { writer, written } = self;
        for n in 0..written.acknowledged {
            let found = known.records.contains_key(&writer.own(n));
            assert!(found, "{}: record {n} was acknowledged and is gone", writer.name);
        }
        if written.acknowledged > 0 {
            let n = known.records[&writer.again()];
            assert!(n + 1 >= written.acknowledged, "{}: an acknowledged record is gone", writer.name);
        }
    }

    /// What was acknowledged last is said again, and then what nobody may have heard, twice.
    async fn repeat_rows(&self, relay: &Process) {
        let Left { writer, written } = self;
        let mut socket = writer.connect(relay.address).await.expect("a connection");
        if let Some(n) = written.acknowledged.checked_sub(1) {
            let place = writer.push_rows(&mut socket, n).await.expect("an acknowledgement");
            assert_eq!(place["baseVersion"], place["version"], "{}: it was there", writer.name);
        }
        writer.push_rows(&mut socket, written.acknowledged).await.expect("an acknowledgement");
        let place = writer.push_rows(&mut socket, written.acknowledged).await.expect("an acknowledgement");
        assert_eq!(place["baseVersion"], place["version"], "{}: it was there", writer.name);
    }

    async fn repeat_records(&self, relay: &Process) {
        let Left { writer, written } = self;
        let say = |n| writer.push_records(relay.address, n);
        if let Some(n) = written.acknowledged.checked_sub(1) {
            assert_eq!(say(n).await, Some(written.last), "{}: it was accepted then", writer.name);
        }
        let at = say(written.acknowledged).await;
        assert!(at.is_some());
        assert_eq!(say(written.acknowledged).await, at, "{}: it was accepted then", writer.name);
    }
}

/// The relay and what it writes to.
struct World {
    folder: TempDir,
    /// A server of this test's own, which is killed, too; else the database is a file.
    postgres: Option<Postgres>,
    database: String,
    relay: Process,
}

impl World {
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let (postgres, database) = if is_postgres() {
            // The system keeps what a killed process has written: syncs would only make its next start slow.
            let postgres = Postgres::start(&["fsync=off"]);
            let url = postgres.database(folder.path()).await;
            (Some(postgres), url)
        } else {
            (None, "relay.db".to_owned())
        };
        let relay = World::relay(&folder, &database);
        World { folder, postgres, database, relay }
    }

    fn relay(folder: &TempDir, database: &str) -> Process {
        let unlimited = ["--rate-messages", "0", "--rate-bytes", "0"];
        let fixed = ["--jwt-secret", SECRET, "--database", database];
        Process::start(folder.path(), &[fixed.as_slice(), &unlimited].concat())
    }

    /// Kills the relay, or PostgreSQL, or both, and starts again what is gone. A relay that is left alone has to heal.
    fn crash(&mut self, round: u64) {
        let (relay, postgres) = match round % 3 {
            0 => (true, false),
            1 => (true, true),
            _ => (false, true),
        };
        if relay || self.postgres.is_none() {
            self.relay.kill();
        }
        if postgres && let Some(server) = &mut self.postgres {
            server.end("KILL");
            server.begin();
        }
        if relay || self.postgres.is_none() {
            self.relay = World::relay(&self.folder, &self.database);
        }
    }
}

fn user(n: usize) -> String {
    format!("user {n}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_is_there_however_often_the_relay_is_killed() {
    let rounds: u64 = std::env::var("CRASH_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let mut world = World::start().await;
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let (mut rows, mut records) = (0, 0);
    let mut seed = u64::from(std::process::id());
    for round in 0..rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let named = |of: usize, what: &str| Writer {
            sub: user(of),
            name: format!("{round}-{of}-{what}"),
            stop: Arc::clone(&stop),
        };
        let mut sockets: Vec<(Writer, JoinHandle<Written>)> = Vec::new();
        let mut posts: Vec<(Writer, JoinHandle<Written>)> = Vec::new();
        for of in 0..USERS {
            for n in 0..SOCKETS_OF_EACH {
                let writer = named(of, &n.to_string());
                sockets.push((writer.clone(), tokio::spawn(writer.write_rows(world.relay.address))));
            }
            let writer = named(of, "post");
            posts.push((writer.clone(), tokio::spawn(writer.write_records(world.relay.address))));
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The moment of the kill is what is tried: no clock of ours decides it.
        tokio::time::sleep(Duration::from_millis(50 + (seed >> 33) % 400)).await;
        world.crash(round);
        stop.store(true, Ordering::Relaxed);
        let (sockets, posts) = (left(sockets).await, left(posts).await);
        for of in 0..USERS {
            known.entry(user(of)).or_default().read_on(&world.relay, &user(of)).await;
        }
        for left in &sockets {
            rows += left.written.acknowledged;
            left.check_rows(&known[&left.writer.sub]);
            left.repeat_rows(&world.relay).await;
        }
        for left in &posts {
            records += left.written.acknowledged;
            left.check_records(&known[&left.writer.sub]);
            left.repeat_records(&world.relay).await;
        }
    }
    assert!(rows > rounds && records > rounds, "{rows} {records}: it was killed before it did anything");
    // A new device gets what the others have read bit by bit.
    for (sub, mut known) in known {
        known.read_on(&world.relay, &sub).await;
        let mut new = Known::default();
        new.read_on(&world.relay, &sub).await;
        assert!(new.rows == known.rows && new.records == known.records, "{sub}");
    }
    println!(
        "after {rounds} kills all {rows} pushes of rows and {records} of records that were acknowledged are there"
    );
}

async fn left(writers: Vec<(Writer, JoinHandle<Written>)>) -> Vec<Left> {
    let mut all = Vec::new();
    for (writer, done) in writers {
        all.push(Left { writer, written: done.await.unwrap() });
    }
    all
}
