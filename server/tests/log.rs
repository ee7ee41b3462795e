//! The log in SQLite does what the log in memory does, whatever arrives, also over a reopened file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // the helpers of tests, too

use crsqlite_relay::log::core::{Ledger, Start};
use crsqlite_relay::log::{Log as _, SqliteLog};
use crsqlite_relay::{Error, ErrorKind};
use crsqlite_sync::wire::{Change, Pk, Run, SENTINEL, SiteId, Value};

/// splitmix64: enough for tests, and a seed replays.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn change(&mut self) -> Change {
        let values = [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Real(-0.0),
            Value::Real(1e300),
            Value::Text("x".repeat(200)),
            Value::RawText(vec![0xff; 100]),
            Value::Blob(vec![]),
        ];
        let cl = self.below(4) as i64;
        let cid = if cl % 2 == 0 { SENTINEL } else { ["a", "b\0", SENTINEL][self.below(3) as usize] };
        let row = cid == SENTINEL;
        Change {
            table: ["t", "u"][self.below(2) as usize].into(),
            pk: Pk::pack(&[Value::Integer(self.below(4) as i64)]).unwrap(),
            cid: cid.into(),
            val: if row { Value::Null } else { values[self.below(7) as usize].clone() },
            col_version: if row { cl } else { self.below(3) as i64 },
            db_version: self.below(100) as i64,
            site_id: SiteId([self.below(200) as u8; 16]),
            cl,
            seq: self.below(9) as i64,
        }
    }
}

#[tokio::test]
async fn the_log_in_sqlite_does_what_the_log_in_memory_does() {
    for seed in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay.db");
        let mut random = Random(seed);
        let mut log = SqliteLog::open(&path).await.unwrap();
        let mut models = [Ledger::default(), Ledger::default()];
        let mut run = Run::from_random(0);
        for step in 0..60 {
            if random.below(8) == 0 {
                log.close().await;
                log = SqliteLog::open(&path).await.unwrap();
                run = Run::from_random(step);
            }
            let user = random.below(2) as usize;
            let model = &mut models[user];
            let name = ["alice", "bob"][user];
            let changes: Vec<Change> = (0..random.below(250)).map(|_| random.change()).collect();
            let expected = model.append(&run, &changes);
            assert_eq!(log.append(name, &run, &changes).await.unwrap(), expected, "seed {seed} step {step}");
            assert_eq!(log.clock(name).await.unwrap(), model.clock, "seed {seed} step {step}");
            let start = Start::Offset(random.below(model.clock.head as u64 + 1) as i64);
            let budget = random.below(6_000) as usize;
            let page = log.page(name, &start, budget).await.unwrap();
            assert_eq!(page, model.page(&start, budget), "seed {seed} step {step}");
            let sums = log.sums(name).await.unwrap();
            assert_eq!(sums, (model.clock.clone(), model.sums()), "seed {seed} step {step}");
        }
        log.close().await;
    }
}

#[tokio::test]
async fn the_secrets_of_a_database_are_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("relay.db");
    let log = SqliteLog::open(&path).await.unwrap();
    let secret = log.secret("a").await.unwrap();
    assert_eq!(secret.len(), 32);
    assert_ne!(log.secret("b").await.unwrap(), secret);
    log.close().await;
    assert_eq!(SqliteLog::open(&path).await.unwrap().secret("a").await.unwrap(), secret);
}

#[tokio::test]
async fn a_database_of_an_app_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_lazy_with(options);
    sqlx::raw_sql("CREATE TABLE notes (text TEXT)").execute(&pool).await.unwrap();
    pool.close().await;
    let refused = SqliteLog::open(&path).await.unwrap_err();
    assert!(matches!(refused, Error::ForeignDatabase(_)));
    assert_eq!((refused.code(), refused.kind()), ("foreign-database", ErrorKind::Configuration));
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_lazy_with(options);
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await.unwrap();
    assert_eq!(mode, "delete");
}
