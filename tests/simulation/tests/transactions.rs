//! The transaction programs on the model of cr-sqlite, where a rule is too rare for random worlds.

use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::engine::store::{Budget, StoreError};
use crsqlite_sync::engine::txn::{
    self, Acked, Advance, Apply, Complete, Durable, Job, Outcome, PullPage, Scope, What,
};
use crsqlite_sync::wire::{Change, Pk, Place, Run, SiteId, Value};
use simulator::model::{Database, Op, TableDef};
use simulator::store::Disk;

const LOG: SiteId = SiteId([7; 16]);
const DEVICE: SiteId = SiteId([9; 16]);

fn scope() -> Scope {
    Scope { tables: None, budget: Budget { changes: 100, bytes: 1 << 20 }, pushed: 0, wall_ms: 0 }
}

/// The run of the leader.
fn ours() -> Run {
    Run::new("ours").unwrap()
}

fn disk() -> Disk {
    let mut db = Database::new(SiteId([1; 16]));
    db.create_table(&TableDef::new("t", &[Affinity::Integer], &[("x", Affinity::Blob)]), &[]);
    db.commit();
    let mut disk = Disk::new(db);
    run(&mut disk, &Job::Start { tables: None, log: None });
    disk
}

fn run(disk: &mut Disk, job: &Job) -> Outcome {
    try_run(disk, &ours(), job).unwrap()
}

/// The model is always ready: one poll runs a job to its end.
fn try_run(disk: &mut Disk, run: &Run, job: &Job) -> Result<Outcome, StoreError> {
    let mut job = pin!(txn::run(disk, run, job));
    match job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("the model never waits"),
    }
}

#[test]
fn a_leader_that_was_replaced_has_no_say() {
    let mut disk = disk();
    let next = Run::new("next").unwrap();
    try_run(&mut disk, &next, &Job::Start { tables: None, log: None }).unwrap();
    let before = disk.db().meta_entries();
    let late = forward(vec![row("t", 1)], 0, 1);
    for job in [late.clone(), Job::Request, Job::Poll { scope: scope() }] {
        assert_eq!(try_run(&mut disk, &ours(), &job), Err(StoreError::NotLeading), "{job:?}");
    }
    assert_eq!((disk.db().live_keys("t").len(), disk.db().meta_entries()), (0, before));
    try_run(&mut disk, &next, &late).unwrap();
    assert_eq!(disk.db().live_keys("t").len(), 1);
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
        rows: Rc::new(rows.into_iter().map(Ok).collect()),
        tables: None,
        advance: Advance::Forward(place),
        log: Some(LOG),
        durable: None,
        wall_ms: 0,
    }))
}

/// The first answer of a relay that stores.
fn answer(rows: Vec<Change>, current: i64) -> Job {
    let run = Run::new("log").unwrap();
    Job::Apply(Box::new(Apply {
        sender: LOG,
        rows: Rc::new(rows.into_iter().map(Ok).collect()),
        tables: None,
        advance: Advance::Answer { run, base: 0, current, head: None, carried: None },
        log: Some(LOG),
        durable: Some(Durable { account: None, claimed: None, stored: None }),
        wall_ms: 7,
    }))
}

#[test]
fn what_a_log_sent_is_not_read_for_uploading_unless_something_else_may_be_among_it() {
    let mut disk = disk();
    let view = run(&mut disk, &answer(vec![row("t", 1)], 1)).view;
    assert_eq!((view.uploaded, view.pending), (view.head, Some(0)));
    let uploaded = view.uploaded;

    // A row of our own lies before the next one.
    write(&mut disk, 2);
    let view = run(&mut disk, &forward(vec![row("t", 3)], 1, 2)).view;
    assert_eq!((view.uploaded, view.pending), (uploaded, None));
    let upload = Job::Upload { log: LOG, after: uploaded, scope: scope(), counts: true };
    let read = run(&mut disk, &upload);
    let What::Upload { changes, .. } = read.what else { panic!("an upload") };
    assert!(!changes.is_empty() && changes.iter().all(|change| change.pk == row("t", 2).pk), "{changes:?}");
    assert_eq!(read.view.pending, Some(changes.len() as u64));

    // A revival zeroes columns here that the log has otherwise.
    let mut other = self::disk();
    let before = run(&mut other, &answer(vec![row("t", 1)], 1)).view;
    let revived = Change { cl: 3, ..row("t", 1) };
    let view = run(&mut other, &forward(vec![revived], 1, 2)).view;
    assert!(view.head > before.head && view.uploaded == before.uploaded, "{view:?}");
}

#[test]
fn a_log_that_was_up_to_date_still_is_when_it_has_sent_a_row() {
    let mut disk = disk();
    run(&mut disk, &answer(vec![row("t", 1)], 1));
    run(&mut disk, &Job::CaughtUp { wall_ms: 8 });
    let later = |key, base, wall_ms| match forward(vec![row("t", key)], base, base + 1) {
        Job::Apply(apply) => Job::Apply(Box::new(Apply { wall_ms, ..*apply })),
        _ => unreachable!("a forward is applied"),
    };
    assert_eq!(run(&mut disk, &later(2, 1, 9)).view.last_synced_at, Some(9));
    let behind = run(&mut disk, &later(4, 3, 10));
    assert_eq!(behind.view.last_synced_at, Some(9), "something before it is missing");
}

#[test]
fn rows_of_a_forward_that_found_no_room_in_the_quarantine_are_asked_of_the_log_again() {
    let mut disk = disk();
    let start =
        Advance::Answer { run: Run::new("log").unwrap(), base: 0, current: 5, head: None, carried: None };
    let answer = Apply {
        sender: LOG,
        rows: Rc::default(),
        tables: None,
        advance: start,
        log: Some(LOG),
        durable: None,
        wall_ms: 0,
    };
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

#[test]
fn a_refused_row_that_comes_from_two_sides_is_kept_once() {
    let mut disk = disk();
    run(&mut disk, &forward(vec![row("later", 1)], 0, 1));
    let of_the_log = Change { db_version: 77, ..row("later", 1) };
    let answer = Apply {
        sender: LOG,
        rows: Rc::new(vec![Ok(of_the_log), Ok(row("later", 2))]),
        tables: None,
        advance: Advance::Answer {
            run: Run::new("log").unwrap(),
            base: 0,
            current: 77,
            head: None,
            carried: None,
        },
        log: Some(LOG),
        durable: None,
        wall_ms: 0,
    };
    assert_eq!(run(&mut disk, &Job::Apply(Box::new(answer))).view.quarantined, Some(2));
}

const SERVER: SiteId = SiteId([5; 16]);

/// A page of a server of the push-pull contract, asked with one cursor and ending at another.
fn page(rows: Vec<Change>, asked: Option<&str>, cursor: &str, uploaded: i64) -> Job {
    let page = PullPage {
        asked: asked.map(str::to_owned),
        cursor: Some(cursor.to_owned()),
        first: true,
        reset: false,
        complete: Some(Complete { uploaded, wall_ms: 0 }),
    };
    Job::Apply(Box::new(Apply {
        sender: SERVER,
        rows: Rc::new(rows.into_iter().map(Ok).collect()),
        tables: None,
        advance: Advance::Page(page),
        log: Some(SERVER),
        durable: None,
        wall_ms: 0,
    }))
}

/// A device that has uploaded a row of its own to a server, and has pulled to the end since.
fn device_of_a_server() -> (Disk, Vec<Change>) {
    device_with_rows(&[1])
}

fn device_with_rows(keys: &[i64]) -> (Disk, Vec<Change>) {
    let mut disk = disk();
    run(&mut disk, &Job::Start { tables: None, log: Some(SERVER) });
    for key in keys {
        write(&mut disk, *key);
    }
    let upload = run(&mut disk, &Job::Upload { log: SERVER, after: 0, scope: scope(), counts: true });
    let What::Upload { current, changes, .. } = upload.what else { panic!("an upload") };
    let acked = Acked {
        log: SERVER,
        steps: vec![(0, current)],
        place: None,
        kept: false,
        taken: vec![],
        rejected: vec![],
        wall_ms: 0,
    };
    run(&mut disk, &Job::Acked(Box::new(acked)));
    let pulled = run(&mut disk, &page(changes.clone(), None, "1", current));
    assert_eq!((pulled.view.cursor.as_deref(), pulled.view.doubt), (Some("1"), false));
    (disk, changes)
}

fn write(disk: &mut Disk, key: i64) {
    let pk = Pk::pack(&[Value::Integer(key)]).unwrap();
    disk.app(|db| {
        db.run(&Op::Insert { table: "t".into(), pk, set: vec![("x".into(), Value::Integer(key))] });
    });
}

#[test]
fn a_server_that_says_that_it_has_lost_something_is_doubted_also_where_it_shows_nothing() {
    let (mut disk, _) = device_of_a_server();
    let lost = |asked: Option<&str>| {
        let Job::Apply(mut apply) = page(vec![], asked, "9", 1) else { panic!("a page") };
        let Advance::Page(page) = &mut apply.advance else { panic!("a page") };
        page.reset = true;
        Job::Apply(apply)
    };
    assert!(!run(&mut disk, &page(vec![], Some("1"), "2", 1)).view.doubt);
    assert!(run(&mut disk, &lost(Some("2"))).view.doubt);
    let (mut fresh, _) = device_with_rows(&[]);
    assert!(!run(&mut fresh, &lost(None)).view.doubt, "nothing was shown before");
}

#[test]
fn a_page_counts_only_while_the_cursor_that_it_was_asked_with_is_held() {
    let (mut disk, _) = device_of_a_server();
    let stale = run(&mut disk, &page(vec![row("t", 7)], None, "9", 1));
    assert!(matches!(stale.what, What::Applied(ref applied) if applied.gap));
    assert_eq!(stale.view.cursor.as_deref(), Some("1"));
    assert_eq!(disk.db().live_keys("t").len(), 2, "its rows are applied all the same");
    let next = run(&mut disk, &page(vec![], Some("1"), "2", 1));
    assert_eq!(next.view.cursor.as_deref(), Some("2"));
}

#[test]
fn a_server_that_shows_again_what_lies_behind_the_cursor_is_doubted() {
    let (mut disk, ours) = device_with_rows(&[1, 2]);
    let asked_anew = run(&mut disk, &page(ours.clone(), Some("1"), "2", 2));
    assert!(asked_anew.view.doubt);
    let forgotten = run(&mut disk, &Job::Resync { rejected: false });
    assert_eq!((forgotten.view.doubt, forgotten.view.cursor, forgotten.view.uploaded), (false, None, 0));
    let again = run(&mut disk, &page(ours, None, "1", 0));
    assert!(!again.view.doubt, "from the beginning it has to");
}

#[test]
fn a_server_whose_cursor_includes_the_last_row_is_not_doubted() {
    let (mut disk, mut ours) = device_with_rows(&[1, 2]);
    let last = ours.split_off(ours.len() - 1);
    assert!(!run(&mut disk, &page(last, Some("1"), "2", 2)).view.doubt);
}

#[test]
fn rows_that_were_moved_and_come_back_once_are_no_reason_for_doubt() {
    let (mut disk, _) = device_of_a_server();
    let [from, to] = [1, 2].map(|key| Pk::pack(&[Value::Integer(key)]).unwrap());
    disk.app(|db| {
        db.run(&Op::Rekey { table: "t".into(), pk: from, to, set: vec![] });
    });
    let upload = run(&mut disk, &Job::Upload { log: SERVER, after: 1, scope: scope(), counts: true });
    let What::Upload { changes, .. } = upload.what else { panic!("an upload") };
    assert!(changes.iter().any(|change| change.db_version == 1), "the moved column keeps its old version");
    let echo = run(&mut disk, &page(changes, Some("1"), "2", 1));
    assert!(!echo.view.doubt);
}

#[test]
fn rows_of_a_page_that_found_no_room_in_the_quarantine_are_pulled_again_when_the_schema_changes() {
    let (mut disk, _) = device_of_a_server();
    let later: Vec<Change> = (0..10_001).map(|n| row("later", n)).collect();
    let over = run(&mut disk, &page(later, Some("1"), "2", 1));
    assert_eq!((over.view.quarantined, over.view.cursor.as_deref()), (Some(10_000), Some("2")));
    disk.app(|db| {
        db.create_table(&TableDef::new("later", &[Affinity::Integer], &[("x", Affinity::Blob)]), &[]);
    });
    let polled = run(&mut disk, &Job::Poll { scope: scope() });
    assert!(matches!(polled.what, What::Polled { rewound: true, .. }));
    assert_eq!(polled.view.cursor, None);
}

#[test]
fn a_row_that_a_constraint_refuses_is_tried_again_when_other_rows_have_come() {
    let mut disk = disk();
    // CHECK: no row 2 without a row 1.
    disk.constraint = Some(|db, row| {
        let key = |n| Pk::pack(&[Value::Integer(n)]).unwrap();
        row.pk != key(2) || db.is_live("t", &key(1))
    });
    let refused = run(&mut disk, &forward(vec![row("t", 2)], 0, 1));
    assert_eq!(refused.view.quarantined, Some(1));
    assert!(matches!(run(&mut disk, &Job::Poll { scope: scope() }).view.quarantined, None | Some(1)));
    run(&mut disk, &forward(vec![row("t", 1)], 1, 2));
    let polled = run(&mut disk, &Job::Poll { scope: scope() });
    assert_eq!(polled.view.quarantined, Some(0), "{:?}", polled.what);
    assert_eq!(disk.db().live_keys("t").len(), 2);
}

#[test]
fn a_quarantine_that_has_room_again_asks_for_what_found_none() {
    let mut disk = disk();
    disk.constraint = Some(|db, row| {
        row.table != "t"
            || db.is_live("t", &Pk::pack(&[Value::Integer(-1)]).unwrap())
            || row.pk == Pk::pack(&[Value::Integer(-1)]).unwrap()
    });
    let start =
        Advance::Answer { run: Run::new("log").unwrap(), base: 0, current: 5, head: None, carried: None };
    let answer = Apply {
        sender: LOG,
        rows: Rc::default(),
        tables: None,
        advance: start,
        log: Some(LOG),
        durable: None,
        wall_ms: 0,
    };
    run(&mut disk, &Job::Apply(Box::new(answer)));
    run(&mut disk, &Job::Poll { scope: scope() });
    let full = run(&mut disk, &forward((0..10_001).map(|n| row("t", n)).collect(), 5, 10_006));
    assert_eq!(full.view.quarantined, Some(10_000));
    write(&mut disk, -1);
    let polled = run(&mut disk, &Job::Poll { scope: scope() });
    assert!(matches!(polled.what, What::Polled { rewound: true, .. }));
    assert_eq!((polled.view.quarantined, polled.view.received.get(&LOG).unwrap().version), (Some(0), 5));
}

#[test]
fn a_refused_row_is_tried_again_although_the_account_has_changed_since() {
    let mut disk = disk();
    disk.constraint = Some(|db, row| {
        let key = |n| Pk::pack(&[Value::Integer(n)]).unwrap();
        row.pk != key(2) || db.is_live("t", &key(1))
    });
    run(&mut disk, &forward(vec![row("t", 2)], 0, 1));
    run(&mut disk, &Job::AcceptAccount { account: Some("next".into()) });
    write(&mut disk, 1);
    assert_eq!(run(&mut disk, &Job::Poll { scope: scope() }).view.quarantined, Some(0));
}
