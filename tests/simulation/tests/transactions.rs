//! The transaction programs on the model of cr-sqlite, where a rule is too rare for random worlds.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::engine::store::Budget;
use crsqlite_sync::engine::txn::{self, Advance, Apply, Job, Outcome, Scope, What};
use crsqlite_sync::wire::{Change, Pk, Place, Run, SiteId, Value};
use simulator::model::{Database, TableDef};
use simulator::store::Disk;

const LOG: SiteId = SiteId([7; 16]);
const DEVICE: SiteId = SiteId([9; 16]);

fn scope() -> Scope {
    Scope { tables: None, budget: Budget { changes: 100, bytes: 1 << 20 } }
}

fn disk() -> Disk {
    let mut db = Database::new(SiteId([1; 16]));
    db.create_table(&TableDef::new("t", &[Affinity::Integer], &[("x", Affinity::Blob)]), &[]);
    db.commit();
    let mut disk = Disk::new(db);
    run(&mut disk, &Job::Start { run: Run::new("ours").unwrap(), tables: None, log: None });
    disk
}

/// The model is always ready: one poll runs a job to its end.
fn run(disk: &mut Disk, job: &Job) -> Outcome {
    let mut job = pin!(txn::run(disk, job));
    match job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.unwrap(),
        Poll::Pending => panic!("the model never waits"),
    }
}

fn row(table: &str, key: i64) -> Change {
    Change {
        table: table.into(),
        pk: Pk::pack(&[Value::Integer(key)]).unwrap(),
        cid: "x".into(),
        val: Value::Integer(key),
        col_version: 1,
        db_version: key,
        site_id: DEVICE,
        cl: 1,
        seq: 0,
    }
}

fn forward(rows: Vec<Change>, base_version: i64, version: i64) -> Job {
    let place = Place { site_id: LOG, run: Run::new("log").unwrap(), base_version, version };
    Job::Apply(Box::new(Apply {
        sender: DEVICE,
        rows: rows.into_iter().map(Ok).collect(),
        tables: None,
        advance: Advance::Forward(place),
        log: Some(LOG),
        durable: None,
    }))
}

#[test]
fn rows_of_a_forward_that_found_no_room_in_the_quarantine_are_asked_of_the_log_again() {
    let mut disk = disk();
    let start =
        Advance::Answer { run: Run::new("log").unwrap(), base: 0, current: 5, head: None, carried: None };
    let answer =
        Apply { sender: LOG, rows: vec![], tables: None, advance: start, log: Some(LOG), durable: None };
    run(&mut disk, &Job::Apply(Box::new(answer)));

    let full = run(&mut disk, &forward((0..10_000).map(|n| row("later", n)).collect(), 5, 10_005));
    assert_eq!(full.view.received.get(&LOG).unwrap().version, 10_005);
    let over = run(&mut disk, &forward(vec![row("later", 10_000)], 10_005, 10_006));
    assert_eq!(over.view.quarantined, Some(10_000), "the bound");
    assert_eq!(over.view.received.get(&LOG).unwrap().version, 10_006);

    disk.app(|db| {
        db.create_table(&TableDef::new("later", &[Affinity::Integer], &[("x", Affinity::Blob)]), &[]);
    });
    let polled = run(&mut disk, &Job::Poll { scope: scope() });
    assert!(matches!(polled.what, What::Polled { rewound: true, .. }), "{:?}", polled.what);
    assert_eq!(
        polled.view.received.get(&LOG).unwrap().version,
        10_005,
        "back to before the row that was dropped"
    );
    assert_eq!(polled.view.quarantined, Some(0), "the table is there now");
}
