//! The app: its tables, its migrations and the statements it runs. Small domains, so that devices collide often and
//! ties in every storage class happen. Decides nothing about replication.

use std::collections::{BTreeMap, BTreeSet};

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::wire::{Pk, Value};

use crate::model::{Database, Op, TableDef};
use crate::rng::Rng;

/// The column that some devices get later.
pub(crate) const LATE_COLUMN: (&str, &str, Affinity) = ("notes", "extra", Affinity::Numeric);
/// The table that some devices get later.
pub(crate) const LATE_TABLE: &str = "late";
/// A replicated table that `tables` leaves out; only there to be dropped (it takes versions away with it).
pub(crate) const SCRATCH: &str = "scratch";

/// All replicated tables, in their last shape.
pub(crate) fn tables() -> Vec<TableDef> {
    vec![
        TableDef::new(
            "notes",
            &[Affinity::Integer],
            &[
                ("body", Affinity::Text),
                ("n", Affinity::Integer),
                ("r", Affinity::Real),
                ("any", Affinity::Blob),
                ("extra", Affinity::Numeric),
            ],
        ),
        TableDef::new("pairs", &[Affinity::Integer, Affinity::Text], &[("x", Affinity::Numeric)]),
        TableDef::new("tags", &[Affinity::Text], &[]),
        TableDef::new(LATE_TABLE, &[Affinity::Integer], &[("x", Affinity::Text), ("y", Affinity::Blob)]),
    ]
}

pub(crate) fn table(name: &str) -> TableDef {
    tables().into_iter().find(|def| def.name == name).expect("the app knows its tables")
}

pub(crate) fn names() -> BTreeSet<String> {
    tables().into_iter().map(|def| def.name).collect()
}

/// Creates what a device begins with. `old` devices lack the late column and the late table.
pub(crate) fn install(db: &mut Database, old: bool) {
    for def in tables() {
        if old && def.name == LATE_TABLE {
            continue;
        }
        let def = if old && def.name == LATE_COLUMN.0 { def.without(LATE_COLUMN.1) } else { def };
        db.create_table(&def, &[]);
    }
}

/// The migration to the last shape; some of the late table's rows were written before it was replicated.
pub(crate) fn migrate(db: &mut Database, rng: &mut Rng) {
    if !db.has_table(LATE_TABLE) {
        let def = table(LATE_TABLE);
        let rows = late_rows(rng);
        db.create_table(&def, &rows);
    }
    let (table, cid, affinity) = LATE_COLUMN;
    if !db.has_column(table, cid) {
        db.add_column(table, cid, affinity);
    }
}

/// Rows that the late table has before it is replicated.
pub(crate) fn late_rows(rng: &mut Rng) -> Vec<(Pk, Vec<(String, Value)>)> {
    let def = table(LATE_TABLE);
    let all = def.columns.keys();
    let mut rows: BTreeMap<Pk, BTreeMap<String, Value>> = BTreeMap::new();
    for _ in 0..rng.below(3) {
        let pk = key(&def, rng, 4);
        rows.insert(
            pk,
            all.clone().map(|cid| (cid.clone(), Value::Null)).chain(some_values(all.clone(), rng)).collect(),
        );
    }
    rows.into_iter().map(|(pk, set)| (pk, set.into_iter().collect())).collect()
}

/// The scratch table comes with a few rows, or goes.
pub(crate) fn toggle_scratch(db: &mut Database, rng: &mut Rng) {
    if db.has_table(SCRATCH) {
        db.drop_table(SCRATCH);
        return;
    }
    let def = TableDef::new(SCRATCH, &[Affinity::Integer], &[("x", Affinity::Blob)]);
    let rows: Vec<_> = (0..rng.range(1, 6))
        .map(|n| {
            let pk = Pk::pack(&[Value::Integer(i64::try_from(n).unwrap())]).expect("one column");
            (pk, vec![("x".to_owned(), Value::Integer(1))])
        })
        .collect();
    db.create_table(&def, &rows);
}

/// A random statement.
pub(crate) fn statement(db: &Database, rng: &mut Rng, keys: u64) -> Op {
    let defs: Vec<TableDef> = tables().into_iter().filter(|def| db.has_table(&def.name)).collect();
    let def = if rng.chance(50) { &defs[0] } else { rng.pick(&defs) };
    let table = def.name.clone();
    let live = db.live_keys(&table);
    let pk = if live.is_empty() || rng.chance(40) { key(def, rng, keys) } else { rng.pick(&live).clone() };
    let set = values(def, db, rng);
    match rng.below(20) {
        0..=6 => Op::Insert { table, pk, set },
        7 => Op::Replace { table, pk, set },
        8..=13 => Op::Update { table, pk, set },
        14..=15 => Op::Rekey { table, pk, to: key(def, rng, keys), set },
        _ => Op::Delete { table, pk },
    }
}

/// An insert of a row that was never there.
pub(crate) fn new_row(n: u64) -> Op {
    let pk = Pk::pack(&[Value::Integer(i64::try_from(10_000 + n).unwrap())]).expect("one column");
    Op::Insert { table: "notes".to_owned(), pk, set: vec![("n".to_owned(), Value::Integer(1))] }
}

/// Inserts of more rows than a message carries.
pub(crate) fn flood(rng: &mut Rng, count: u64) -> Vec<Op> {
    let def = table("notes");
    let first = 100 + rng.below(3) * 10;
    (0..count)
        .map(|n| Op::Insert {
            table: def.name.clone(),
            pk: Pk::pack(&[Value::Integer(i64::try_from(first + n).unwrap())]).expect("one column"),
            set: vec![("n".to_owned(), Value::Integer(1))],
        })
        .collect()
}

fn key(def: &TableDef, rng: &mut Rng, keys: u64) -> Pk {
    let columns: Vec<Value> = def
        .key
        .iter()
        .map(|affinity| {
            let n = rng.below(if def.key.len() > 1 { 2 } else { keys });
            affinity.apply(Value::Integer(i64::try_from(n).unwrap()))
        })
        .collect();
    Pk::pack(&columns).expect("a key has columns")
}

fn values(def: &TableDef, db: &Database, rng: &mut Rng) -> Vec<(String, Value)> {
    some_values(def.columns.keys().filter(|cid| db.has_column(&def.name, cid)), rng)
}

fn some_values<'a>(columns: impl Iterator<Item = &'a String>, rng: &mut Rng) -> Vec<(String, Value)> {
    let mut set = Vec::new();
    for cid in columns {
        if rng.chance(50) {
            set.push((cid.clone(), value(rng)));
        }
    }
    set
}

fn value(rng: &mut Rng) -> Value {
    match rng.below(10) {
        0 => Value::Null,
        1..=3 => Value::Integer(i64::try_from(rng.below(4)).unwrap()),
        4 | 5 => Value::Real(*rng.pick(&[0.5, 1.0, 2.0, 2.5, 3.0, 1e300])),
        6 | 7 => Value::Text((*rng.pick(&["a", "b", "1", "2.5", ""])).to_owned()),
        8 => Value::Blob(vec![u8::try_from(rng.below(3)).unwrap()]),
        _ => Value::Integer(i64::MAX - i64::try_from(rng.below(2)).unwrap()),
    }
}
