//! The log in a database does what the log in memory does, whatever arrives, also where it is opened anew.

use crate::support::database::{open, run_beside};
use crsqlite_relay::Error;
use crsqlite_relay::log::core::{Kind, Ledger, Outcome, Query, Record, Start};
use crsqlite_relay::user::Owner;
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

impl Random {
    fn record(&mut self) -> Record {
        let made_at = self.below(6) as i64;
        Record {
            id: format!("change {}", self.below(400)),
            collection: ["t", "c\0", "d"][self.below(3) as usize].into(),
            record_id: ["1", "\"1\"", "\"\\u0000\""][self.below(3) as usize].into(),
            kind: [Kind::Create, Kind::Update, Kind::Delete][self.below(3) as usize],
            data: ["null", "{\"a\":\"\\u0000\"}", "{}"][self.below(3) as usize].into(),
            timestamp: format!("moment {made_at}"),
            made_at,
        }
    }

    fn query(&mut self) -> Query {
        let some = vec!["t".to_owned(), "c\0".to_owned()];
        Query {
            collections: [None, Some(some), Some(Vec::new())][self.below(3) as usize].clone(),
            records: self.below(2) == 0,
            most: self.below(20) as usize,
            budget: self.below(6_000) as usize,
        }
    }
}

#[tokio::test]
async fn the_log_in_a_database_does_what_the_log_in_memory_does() {
    for seed in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut log = open(directory.path(), None).await.unwrap();
        let owners = [Owner::of("alice"), Owner::within("app", "alice").unwrap()];
        let mut models = [Ledger::default(), Ledger::default()];
        let mut run = Run::from_random(0);
        for step in 0..60 {
            if random.below(8) == 0 {
                log.close().await;
                log = open(directory.path(), None).await.unwrap();
                run = Run::from_random(step);
            }
            let user = random.below(2) as usize;
            let model = &mut models[user];
            let name = &owners[user];
            let changes: Vec<Change> = (0..random.below(250)).map(|_| random.change()).collect();
            let done = log.append(name, &run, &changes).await.unwrap();
            assert_eq!(done, model.append(&run, &changes), "seed {seed} step {step}");
            assert_eq!(log.clock(name).await.unwrap(), model.clock, "seed {seed} step {step}");
            let start = Start::Offset(random.below(model.clock.head as u64 + 1) as i64);
            let budget = random.below(6_000) as usize;
            let page = log.page(name, &start, budget).await.unwrap();
            assert_eq!(page, model.page(&start, budget), "seed {seed} step {step}");
            let records: Vec<Record> = (0..random.below(12)).map(|_| random.record()).collect();
            let now = 1_000 + step as i64;
            let put = log.put_records(name, &run, &records, now).await.unwrap();
            assert_eq!(put, model.put_records(&run, &records, now), "seed {seed} step {step}");
            let query = random.query();
            let feed = log.feed(name, &start, &query).await.unwrap();
            assert_eq!(feed, model.feed(&start, &query), "seed {seed} step {step} {query:?}");
            let sums = log.sums(name).await.unwrap();
            assert_eq!(sums, (model.clock.clone(), model.sums()), "seed {seed} step {step}");
        }
        log.close().await;
    }
}

#[tokio::test]
async fn pushes_that_are_appended_at_once_do_what_they_do_one_after_the_other() {
    for (seed, most_rows) in [(1, None), (2, None), (3, Some(12)), (4, Some(8))] {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut log = open(directory.path(), most_rows).await.unwrap();
        let mut model = Ledger { most_rows, ..Ledger::default() };
        let (alice, mut run) = (Owner::of("alice"), Run::from_random(0));
        for step in 0..40 {
            if random.below(8) == 0 {
                log.close().await;
                log = open(directory.path(), most_rows).await.unwrap();
                run = Run::from_random(step);
            }
            let pushes: Vec<Vec<Change>> = (0..random.below(7))
                .map(|_| (0..random.below(9)).map(|_| random.change()).collect())
                .collect();
            let slices: Vec<&[Change]> = pushes.iter().map(Vec::as_slice).collect();
            let done = log.append_each(&alice, &run, &slices).await.unwrap();
            let expected: Vec<_> = pushes.iter().map(|push| model.append(&run, push)).collect();
            let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
            assert_eq!(done, expected, "seed {seed} step {step}");
            let page = log.page(&alice, &Start::Offset(0), usize::MAX).await.unwrap();
            assert_eq!(page, model.page(&Start::Offset(0), usize::MAX), "seed {seed} step {step}");
            let sums = log.sums(&alice).await.unwrap();
            assert_eq!(sums, (model.clock.clone(), model.sums()), "seed {seed} step {step}");
        }
        log.close().await;
    }
}

#[tokio::test]
async fn of_pushes_that_are_appended_at_once_one_that_fails_takes_nothing_of_the_others_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (alice, run) = (Owner::of("alice"), Run::from_random(1));
    let log = open(directory.path(), None).await.unwrap();
    let row = |n: i64| Change {
        pk: Pk::pack(&[Value::Integer(n)]).unwrap(),
        cid: "a".into(),
        cl: 1,
        col_version: 1,
        val: Value::Integer(n),
        ..Random(0).change()
    };
    log.append(&alice, &run, &[row(2)]).await.unwrap();
    log.close().await;
    run_beside(directory.path(), "UPDATE entry SET val = 'broken'").await;
    let log = open(directory.path(), None).await.unwrap();
    let pushes: Vec<[Change; 1]> = (1..=4).map(|n| [row(n)]).collect();
    let slices: Vec<&[Change]> = pushes.iter().map(<[Change; 1]>::as_slice).collect();
    let mut done = log.append_each(&alice, &run, &slices).await.unwrap();
    assert!(matches!(done.remove(1), Err(Error::CorruptLog(_))));
    let places: Vec<_> = done.into_iter().map(|one| one.map(|one| (one.base, one.head)).unwrap()).collect();
    assert_eq!(places, [(1, 2), (2, 3), (3, 4)]);
    assert_eq!(log.clock(&alice).await.unwrap().head, 4);
}

fn record(id: &str, about: &str, made_at: i64) -> Record {
    let (collection, record_id) = ("notes".into(), format!("\"{about}\""));
    let (kind, data, timestamp) = (Kind::Create, "{}".into(), String::new());
    Record { id: id.into(), collection, record_id, kind, data, timestamp, made_at }
}

#[tokio::test]
async fn appends_that_arrive_at_once_are_all_kept_in_one_order_per_user_and_answered_each() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), None).await.unwrap();
    let run = Run::from_random(1);
    let owners: Vec<Owner> = (0..20).map(|n| Owner::of(&format!("user {n}"))).collect();
    let row = |n: i64| Change {
        pk: Pk::pack(&[Value::Integer(n)]).unwrap(),
        cid: "a".into(),
        cl: 1,
        col_version: 1,
        val: Value::Integer(n),
        ..Random(0).change()
    };
    let writes = (0..200_i64).map(|n| {
        let (log, run, owner) = (&log, &run, &owners[n as usize % owners.len()]);
        async move { (owner, n, log.append(owner, run, &[row(n)]).await.unwrap()) }
    });
    let mut heads = std::collections::HashMap::new();
    for (owner, n, done) in futures_util::future::join_all(writes).await {
        assert_eq!((done.stored.len(), done.head), (1, done.base + 1), "{n}");
        assert!(heads.entry(owner).or_insert_with(Vec::new).iter().all(|head| *head != done.head));
        heads.get_mut(owner).unwrap().push(done.head);
    }
    log.close().await;
    assert!(log.append(&owners[0], &run, &[row(1)]).await.is_err(), "a closed log takes nothing");
    let log = open(directory.path(), None).await.unwrap();
    for owner in &owners {
        assert_eq!(log.page(owner, &Start::Offset(0), usize::MAX).await.unwrap().rows.len(), 10);
    }
}

#[tokio::test]
async fn an_append_that_fails_takes_nothing_of_the_others_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (alice, bob, run) = (Owner::of("alice"), Owner::of("bob"), Run::from_random(1));
    let log = open(directory.path(), None).await.unwrap();
    let row = Change { cid: "a".into(), cl: 1, col_version: 1, val: Value::Integer(1), ..Random(0).change() };
    log.append(&alice, &run, std::slice::from_ref(&row)).await.unwrap();
    log.close().await;
    run_beside(directory.path(), "UPDATE entry SET val = 'broken'").await;
    let log = open(directory.path(), None).await.unwrap();
    let rows = std::slice::from_ref(&row);
    let (first, broken, last) = tokio::join!(
        log.append(&bob, &run, rows),
        log.append(&alice, &run, rows),
        log.append(&bob, &run, rows)
    );
    assert!(matches!(broken, Err(Error::CorruptLog(_))));
    let stored = [first, last].map(|done| done.unwrap().stored.len());
    assert!(stored == [1, 0] || stored == [0, 1], "whichever comes first: {stored:?}");
    assert_eq!(log.clock(&bob).await.unwrap().head, 1);
}

#[tokio::test]
async fn a_full_log_refuses_what_would_add_to_it_and_takes_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), Some(8)).await.unwrap();
    let (alice, run, mut random) = (Owner::of("alice"), Run::from_random(1), Random(3));
    let mut model = Ledger { most_rows: Some(8), ..Ledger::default() };
    let mut refused = 0;
    for step in 0..60 {
        let changes: Vec<Change> = (0..random.below(6)).map(|_| random.change()).collect();
        let done = log.append(&alice, &run, &changes).await.unwrap();
        assert_eq!(done, model.append(&run, &changes), "step {step}");
        refused += done.refused.len();
        let records: Vec<Record> = (0..random.below(3)).map(|_| random.record()).collect();
        let put = log.put_records(&alice, &run, &records, 7).await.unwrap();
        assert_eq!(put, model.put_records(&run, &records, 7), "step {step}");
        assert!(model.entries.len() + model.records.len() <= 8);
    }
    assert!(refused > 10, "{refused}");
}

#[tokio::test]
async fn a_push_that_touches_more_than_fits_into_memory_does_what_it_would_do_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), None).await.unwrap();
    let (alice, run, mut model) = (Owner::of("alice"), Run::from_random(1), Ledger::default());
    let entry = |row: i64, column: i64, col_version: i64| Change {
        pk: Pk::pack(&[Value::Integer(row)]).unwrap(),
        cid: format!("{column}"),
        cl: 1,
        col_version,
        val: Value::Integer(col_version),
        ..Random(0).change()
    };
    for row in 0..6 {
        let wide: Vec<Change> = (0..4_000).map(|column| entry(row, column, 1)).collect();
        assert_eq!(log.append(&alice, &run, &wide).await.unwrap(), model.append(&run, &wide));
    }
    // Known ones between new ones.
    let across: Vec<Change> = (0..60).map(|n| entry(n % 6, n, 1 + n % 3)).collect();
    let done = log.append(&alice, &run, &across).await.unwrap();
    assert_eq!(done, model.append(&run, &across));
    assert_eq!((done.stored.len(), done.head), (40, 24_040));
    assert_eq!(log.sums(&alice).await.unwrap(), (model.clock.clone(), model.sums()));

    let again: Vec<Vec<Change>> =
        (4..8).map(|version| (0..60).map(|n| entry(n % 6, n, version)).collect()).collect();
    let slices: Vec<&[Change]> = again.iter().map(Vec::as_slice).collect();
    let done = log.append_each(&alice, &run, &slices).await.unwrap();
    for (push, done) in again.iter().zip(done) {
        assert_eq!(done.unwrap(), model.append(&run, push), "nor where several come at once");
    }
    assert_eq!(log.sums(&alice).await.unwrap(), (model.clock.clone(), model.sums()));
}

#[tokio::test]
async fn only_the_records_that_were_accepted_last_are_remembered_by_their_ids() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), None).await.unwrap();
    let (alice, run) = (Owner::of("alice"), Run::from_random(1));
    let batch: Vec<Record> = (0..10_001).map(|n| record(&format!("{n}"), "x", n)).collect();
    log.put_records(&alice, &run, &batch, 1).await.unwrap();
    let again = log.put_records(&alice, &run, &batch[..2], 2).await.unwrap();
    assert!(matches!(&again.outcomes[0], Outcome::Conflict(newest) if newest.record.id == "10000"));
    assert_eq!(again.outcomes[1], Outcome::Accepted { server_timestamp: 1 });
    assert_eq!((again.base, again.head), (10_001, 10_001));
}

#[tokio::test]
async fn the_secrets_of_a_database_are_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), None).await.unwrap();
    let secret = log.secret("a").await.unwrap();
    assert_eq!(secret.len(), 32);
    assert_ne!(log.secret("b").await.unwrap(), secret);
    log.close().await;
    assert_eq!(open(directory.path(), None).await.unwrap().secret("a").await.unwrap(), secret);
}
