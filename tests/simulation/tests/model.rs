//! The model of cr-sqlite does what the real package was measured to do (facts A and B). Whole random histories were
//! compared with the package as well; these are the traps by name.

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::wire::{Change, Pk, RowCode, SENTINEL, SiteId, Value};
use simulator::model::{Database, Op, TableDef};

fn database(n: u8) -> Database {
    let mut db = Database::new(SiteId([n; 16]));
    db.create_table(
        &TableDef::new("t", &[Affinity::Integer], &[("x", Affinity::Blob), ("y", Affinity::Integer)]),
        &[],
    );
    db.create_table(&TableDef::new("k", &[Affinity::Integer], &[]), &[]);
    db.commit();
    db
}

fn pk(n: i64) -> Pk {
    Pk::pack(&[Value::Integer(n)]).unwrap()
}

fn insert(db: &mut Database, key: i64, x: i64) {
    db.run(&Op::Insert { table: "t".into(), pk: pk(key), set: vec![("x".into(), Value::Integer(x))] });
    db.commit();
}

fn all(db: &Database) -> Vec<Change> {
    db.changes(|_, _, _, _, _, _| true)
}

/// (key, cid, col_version, db_version, cl)
fn short(db: &Database) -> Vec<(i64, String, i64, i64, i64)> {
    let key = |pk: &Pk| match pk.columns()[0] {
        Value::Integer(n) => n,
        _ => panic!("an integer key"),
    };
    all(db).into_iter().map(|c| (key(&c.pk), c.cid, c.col_version, c.db_version, c.cl)).collect()
}

fn row(cid: &str, val: Value, col_version: i64, cl: i64) -> Change {
    Change {
        table: "t".into(),
        pk: pk(1),
        cid: cid.into(),
        val,
        col_version,
        db_version: 0,
        site_id: SiteId([9; 16]),
        cl,
        seq: 0,
    }
}

#[test]
fn updating_a_key_gives_the_new_version_to_two_sentinels_only() {
    let mut db = database(1);
    insert(&mut db, 1, 5);
    db.run(&Op::Rekey { table: "t".into(), pk: pk(1), to: pk(2), set: vec![] });
    db.commit();
    let sentinel = SENTINEL.to_owned();
    assert_eq!(
        short(&db),
        [
            (2, "x".into(), 1, 1, 1),
            (2, "y".into(), 1, 1, 1),
            (1, sentinel.clone(), 2, 2, 2),
            (2, sentinel, 1, 2, 1)
        ]
    );
}

#[test]
fn a_resurrect_zeroes_the_columns_that_it_does_not_carry_and_keeps_their_site() {
    let mut db = database(1);
    insert(&mut db, 1, 5);
    assert_eq!(db.merge(&row("y", Value::Integer(1), 1, 3)), Ok(true));
    db.commit();
    let x = all(&db).into_iter().find(|change| change.cid == "x").unwrap();
    assert_eq!((x.col_version, x.db_version, x.site_id, x.val), (0, 2, SiteId([1; 16]), Value::Integer(5)));
}

#[test]
fn ties_go_to_the_larger_value_by_storage_class_first() {
    let order = [
        Value::Null,
        Value::Blob(vec![9]),
        Value::Text("a".into()),
        Value::Real(7.5),
        Value::Integer(0),
        Value::Integer(1),
    ];
    for (at, value) in order.iter().enumerate() {
        for (other_at, other) in order.iter().enumerate() {
            let mut db = database(1);
            db.merge(&row("x", value.clone(), 1, 1)).unwrap();
            assert_eq!(db.merge(&row("x", other.clone(), 1, 1)), Ok(other_at > at), "{value:?} {other:?}");
        }
    }
}

#[test]
fn lower_lives_lose_deletes_win_and_what_is_known_changes_nothing() {
    let mut db = database(1);
    insert(&mut db, 1, 5);
    assert_eq!(db.merge(&row("x", Value::Integer(9), 0, 0)), Ok(false));
    assert_eq!(db.merge(&row(SENTINEL, Value::Null, 2, 2)), Ok(true));
    assert_eq!(db.merge(&row(SENTINEL, Value::Null, 2, 2)), Ok(false));
    assert_eq!(db.merge(&row("x", Value::Integer(9), 7, 1)), Ok(false));
    db.commit();
    assert_eq!(short(&db), [(1, SENTINEL.to_owned(), 2, 2, 2)]);
    assert_eq!(
        db.merge(&Change { table: "z".into(), ..row("x", Value::Null, 1, 1) }),
        Err(RowCode::UnknownTable)
    );
    assert_eq!(db.merge(&row("z", Value::Null, 1, 3)), Err(RowCode::UnknownColumn));
}

#[test]
fn a_dropped_table_takes_versions_back_unless_there_is_a_floor() {
    for (floor, next) in [(None, 2), (Some(10), 11)] {
        let mut db = database(1);
        insert(&mut db, 1, 5);
        for n in 0..3 {
            db.run(&Op::Insert { table: "k".into(), pk: pk(n), set: vec![] });
            db.commit();
        }
        if let Some(floor) = floor {
            db.set_floor(floor);
            db.commit();
        }
        db.drop_table("k");
        db.commit();
        insert(&mut db, 2, 5);
        assert_eq!(db.max_version(), next);
    }
}

#[test]
fn a_savepoint_that_is_rolled_back_leaves_a_gap_in_the_versions() {
    let mut db = database(1);
    insert(&mut db, 1, 5);
    for (savepoint, next) in [(false, 2), (true, 4)] {
        let before = db.clone();
        db.run(&Op::Delete { table: "t".into(), pk: pk(1) });
        db.roll_back(before, savepoint);
        insert(&mut db, 1 + next, 5);
        assert_eq!(db.max_version(), next);
    }
}
