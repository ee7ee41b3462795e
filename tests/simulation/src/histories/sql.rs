//! The app's statements as SQL text and as the model's operations: both say the same. Decides the spelling of values,
//! so that SQLite reads exactly what the model holds. Called by `histories`.

use std::fmt::Write as _;

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::wire::{Change, Pk, Value};

use super::{Op, Rng, TableDef, draw, is_numbered};
use crate::model::Database;

/// One statement, of one row or of many.
#[derive(Debug)]
pub(super) enum Statement {
    One(Op),
    /// `INSERT … ON CONFLICT DO UPDATE`.
    Upsert {
        pk: Pk,
        set: Vec<(String, Value)>,
    },
    InsertMany {
        rows: Vec<(Pk, Vec<(String, Value)>)>,
    },
    UpdateAll {
        set: Vec<(String, Value)>,
    },
    DeleteAll,
}

impl Statement {
    pub(super) fn draw(def: &TableDef, db: &Database, rng: &mut Rng, keys: u64) -> Self {
        let table = def.name.clone();
        let live = db.live_keys(&table);
        let pk = if live.is_empty() || rng.chance(40) {
            draw::key(def, rng, keys)
        } else {
            rng.pick(&live).clone()
        };
        let set = draw::set(def, rng);
        match rng.below(24) {
            0..=5 => Statement::One(Op::Insert { table, pk, set }),
            6 => Statement::One(Op::Replace { table, pk, set }),
            7..=8 => Statement::Upsert { pk, set },
            9..=13 => Statement::One(Op::Update { table, pk, set }),
            14..=15 => Statement::One(Op::Rekey { table, pk, to: draw::key(def, rng, keys), set }),
            16..=19 => Statement::One(Op::Delete { table, pk }),
            20..=21 => {
                let columns: Vec<String> = set.into_iter().map(|(cid, _)| cid).collect();
                let row = |rng: &mut Rng| {
                    let set = columns.iter().map(|cid| (cid.clone(), draw::value(rng)));
                    let set = set.collect();
                    (draw::key(def, rng, keys), set)
                };
                Statement::InsertMany { rows: (0..rng.range(2, 4)).map(|_| row(rng)).collect() }
            }
            22 if is_numbered(def) => Statement::UpdateAll { set },
            23 if is_numbered(def) => Statement::DeleteAll,
            _ => Statement::One(Op::Update { table, pk, set }),
        }
    }

    /// What it means, row by row, for the database as it is now.
    pub(super) fn ops(&self, def: &TableDef, db: &Database) -> Vec<Op> {
        let table = || def.name.clone();
        // Packed, small numbers come in the order of the numbers.
        let walked = || db.live_keys(&def.name);
        match self {
            Statement::One(op) => vec![op.clone()],
            Statement::Upsert { pk, set } if db.is_live(&def.name, pk) => {
                // Without columns it is DO NOTHING.
                let update = Op::Update { table: table(), pk: pk.clone(), set: set.clone() };
                (!set.is_empty()).then_some(update).into_iter().collect()
            }
            Statement::Upsert { pk, set } => {
                vec![Op::Insert { table: table(), pk: pk.clone(), set: set.clone() }]
            }
            Statement::InsertMany { rows } => {
                let insert = |(pk, set): &(Pk, Vec<_>)| Op::Insert {
                    table: table(),
                    pk: pk.clone(),
                    set: set.clone(),
                };
                rows.iter().map(insert).collect()
            }
            Statement::UpdateAll { set } => {
                let update = |pk| Op::Update { table: table(), pk, set: set.clone() };
                walked().into_iter().map(update).collect()
            }
            Statement::DeleteAll => {
                walked().into_iter().map(|pk| Op::Delete { table: table(), pk }).collect()
            }
        }
    }

    pub(super) fn sql(&self, def: &TableDef) -> String {
        let name = &def.name;
        let one = |pk: &Pk, set: &[(String, Value)]| rows_to_insert(def, &[(pk.clone(), set.to_vec())]);
        match self {
            Statement::One(Op::Insert { pk, set, .. }) => format!("INSERT OR IGNORE INTO {}", one(pk, set)),
            Statement::One(Op::Replace { pk, set, .. }) => format!("INSERT OR REPLACE INTO {}", one(pk, set)),
            Statement::One(Op::Update { pk, set, .. }) => {
                let set = if set.is_empty() { "k0 = k0".to_owned() } else { assignments(set) };
                format!("UPDATE \"{name}\" SET {set} WHERE {}", is(pk))
            }
            Statement::One(Op::Rekey { pk, to, set, .. }) => {
                let mut all: Vec<_> = key_names(to).zip(to.columns()).collect();
                all.extend(set.iter().cloned());
                format!("UPDATE OR IGNORE \"{name}\" SET {} WHERE {}", assignments(&all), is(pk))
            }
            Statement::One(Op::Delete { pk, .. }) => format!("DELETE FROM \"{name}\" WHERE {}", is(pk)),
            Statement::Upsert { pk, set } => {
                let excluded: Vec<String> =
                    set.iter().map(|(cid, _)| format!("\"{cid}\" = excluded.\"{cid}\"")).collect();
                let keys: Vec<String> = key_names(pk).collect();
                let action = if set.is_empty() {
                    "NOTHING".to_owned()
                } else {
                    format!("UPDATE SET {}", excluded.join(", "))
                };
                format!("INSERT INTO {} ON CONFLICT ({}) DO {action}", one(pk, set), keys.join(", "))
            }
            Statement::InsertMany { rows } => format!("INSERT OR IGNORE INTO {}", rows_to_insert(def, rows)),
            Statement::UpdateAll { set } => {
                let set = if set.is_empty() { "k0 = k0".to_owned() } else { assignments(set) };
                format!("UPDATE \"{name}\" SET {set}")
            }
            Statement::DeleteAll => format!("DELETE FROM \"{name}\""),
        }
    }
}

/// CREATE TABLE, its first rows, and its replication.
pub(super) fn create(def: &TableDef, rows: &[(Pk, Vec<(String, Value)>)]) -> Vec<String> {
    let mut columns: Vec<String> = def
        .key
        .iter()
        .enumerate()
        .map(|(at, affinity)| format!("k{at} {} NOT NULL", declared(*affinity)))
        .collect();
    // The order of the key is not that of the columns.
    columns.reverse();
    columns.splice(1..1, def.order.iter().map(|cid| format!("\"{cid}\" {}", declared(def.columns[cid]))));
    let keys: Vec<String> = (0..def.key.len()).map(|at| format!("k{at}")).collect();
    let name = &def.name;
    let mut text =
        vec![format!("CREATE TABLE \"{name}\" ({}, PRIMARY KEY ({}))", columns.join(", "), keys.join(", "))];
    text.extend(
        rows.iter().map(|row| format!("INSERT INTO {}", rows_to_insert(def, std::slice::from_ref(row)))),
    );
    text.push(format!("SELECT crsql_as_crr('main', '{name}')"));
    text
}

pub(super) fn fill(table: &str, pk: &Pk, cid: &str, value: &Value) -> String {
    format!("UPDATE \"{table}\" SET {} WHERE {}", assignments(&[(cid.to_owned(), value.clone())]), is(pk))
}

pub(super) fn merge(row: &Change) -> String {
    let (pk, site, val) = (hex(row.pk.as_bytes()), hex(&row.site_id.0), literal(&row.val));
    format!(
        "INSERT INTO crsql_changes SELECT '{}', X'{pk}', '{}', {val}, {}, {}, X'{site}', {}, {}",
        row.table, row.cid, row.col_version, row.db_version, row.cl, row.seq
    )
}

pub(super) fn floor(version: i64) -> String {
    format!("INSERT OR REPLACE INTO crsql_master (key, value) VALUES ('pre_compact_dbversion', {version})")
}

pub(super) fn declared(affinity: Affinity) -> &'static str {
    match affinity {
        Affinity::Integer => "INTEGER",
        Affinity::Text => "VARCHAR(10)",
        Affinity::Blob => "",
        Affinity::Real => "DOUBLE",
        Affinity::Numeric => "BOOLEAN",
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02X}");
        hex
    })
}

/// A value as SQLite's parser reads it back exactly. The domain has no text with U+0000 and no negative zero.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Real(x) if x.is_infinite() => if *x > 0.0 { "9e999" } else { "-9e999" }.to_owned(),
        Value::Real(x) => format!("{x:e}"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::RawText(bytes) => format!("CAST(X'{}' AS TEXT)", hex(bytes)),
        Value::Blob(bytes) => format!("X'{}'", hex(bytes)),
    }
}

fn key_names(pk: &Pk) -> impl Iterator<Item = String> + use<> {
    (0..pk.columns().len()).map(|at| format!("k{at}"))
}

fn is(pk: &Pk) -> String {
    let terms: Vec<String> = key_names(pk)
        .zip(pk.columns())
        .map(|(name, value)| format!("{name} = {}", literal(&value)))
        .collect();
    terms.join(" AND ")
}

fn assignments(set: &[(String, Value)]) -> String {
    let terms: Vec<String> =
        set.iter().map(|(cid, value)| format!("\"{cid}\" = {}", literal(value))).collect();
    terms.join(", ")
}

/// `"t" (columns) VALUES (…), (…)`; all rows name the same columns.
fn rows_to_insert(def: &TableDef, rows: &[(Pk, Vec<(String, Value)>)]) -> String {
    let (pk, set) = &rows[0];
    let columns: Vec<String> = key_names(pk).chain(set.iter().map(|(cid, _)| format!("\"{cid}\""))).collect();
    let tuples: Vec<String> = rows
        .iter()
        .map(|(pk, set)| {
            let values: Vec<String> =
                pk.columns().iter().chain(set.iter().map(|(_, value)| value)).map(literal).collect();
            format!("({})", values.join(", "))
        })
        .collect();
    format!("\"{}\" ({}) VALUES {}", def.name, columns.join(", "), tuples.join(", "))
}
