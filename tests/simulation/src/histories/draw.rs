//! Random tables, keys, values and foreign rows for the histories. Small domains, so that devices collide and ties
//! happen in every storage class, and some edges. Decides nothing about what is done with them. Called by `histories`.

use std::collections::BTreeMap;

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::wire::{Change, Pk, SENTINEL, SiteId, Value};

use super::{Rng, TableDef, is_numbered};

const AFFINITIES: [Affinity; 5] =
    [Affinity::Integer, Affinity::Text, Affinity::Blob, Affinity::Real, Affinity::Numeric];
const COLUMNS: [&str; 4] = ["a", "b", "two words", "d"];

pub(super) fn table(rng: &mut Rng, n: u64) -> TableDef {
    let key: Vec<Affinity> = match rng.below(10) {
        0..=4 => vec![Affinity::Integer],
        5..=6 => vec![*rng.pick(&AFFINITIES)],
        _ => vec![*rng.pick(&AFFINITIES), *rng.pick(&AFFINITIES)],
    };
    let count = rng.index(COLUMNS.len() + 1);
    let columns: Vec<(&str, Affinity)> =
        COLUMNS[..count].iter().map(|cid| (*cid, *rng.pick(&AFFINITIES))).collect();
    TableDef::new(&format!("t{n}"), &key, &columns)
}

/// The table before its last column was added.
pub(super) fn older(def: &TableDef, _: &mut Rng) -> TableDef {
    match def.order.split_last() {
        Some((last, rest)) if !rest.is_empty() => def.without(last),
        _ => def.clone(),
    }
}

pub(super) fn key(def: &TableDef, rng: &mut Rng, keys: u64) -> Pk {
    let domain = if def.key.len() > 1 { 2 } else { keys };
    let numbered = is_numbered(def);
    let columns: Vec<Value> = def
        .key
        .iter()
        .map(|affinity| {
            let n = i64::try_from(rng.below(domain)).unwrap();
            // Keys of different types that SQLite holds for equal (1 and 1.0 without affinity) are no part of this.
            let value = match (affinity, n) {
                _ if numbered && n == 3 => Value::Integer(300),
                (Affinity::Integer, 1) if !numbered => Value::Integer(-1),
                (Affinity::Integer | Affinity::Real | Affinity::Numeric, _) => Value::Integer(n),
                (Affinity::Text, 0) => Value::Text(String::new()),
                (Affinity::Text, _) => Value::Integer(n),
                (Affinity::Blob, 0) => Value::Blob(vec![0, 255]),
                (Affinity::Blob, 1) => Value::Text("1".into()),
                (Affinity::Blob, 2) => Value::Real(2.5),
                (Affinity::Blob, _) => Value::Integer(1 << 53),
            };
            affinity.apply(value)
        })
        .collect();
    Pk::pack(&columns).expect("a key has columns")
}

/// Values for some of the columns, as the app writes them: of any type in any column.
pub(super) fn set(def: &TableDef, rng: &mut Rng) -> Vec<(String, Value)> {
    let named: Vec<String> = def.order.iter().filter(|_| rng.chance(60)).cloned().collect();
    named.into_iter().map(|cid| (cid, value(rng))).collect()
}

pub(super) fn value(rng: &mut Rng) -> Value {
    match rng.below(12) {
        0 => Value::Null,
        1..=3 => Value::Integer(i64::try_from(rng.below(4)).unwrap()),
        4 | 5 => {
            Value::Real(*rng.pick(&[0.5, 1.0, 2.0, 2.5, -1.5, 1e300, 9007199254740993.0, f64::NEG_INFINITY]))
        }
        6..=8 => {
            let texts = [
                "a",
                "b",
                "1",
                "2.5",
                "",
                " 5",
                "5.0",
                "1e3",
                "0x10",
                "it's",
                "9223372036854775808",
                "-0",
                ".",
            ];
            Value::Text((*rng.pick(&texts)).to_owned())
        }
        9 => Value::Blob(vec![u8::try_from(rng.below(3)).unwrap()]),
        10 => Value::Blob(vec![]),
        _ => Value::Integer(*rng.pick(&[i64::MAX, i64::MIN, (1 << 53) + 1, -2_147_483_649])),
    }
}

/// What a table holds before it is replicated; several rows only where SQLite walks them in a known order.
pub(super) fn rows(def: &TableDef, rng: &mut Rng, keys: u64) -> Vec<(Pk, Vec<(String, Value)>)> {
    let count = if is_numbered(def) { rng.range(1, 3) } else { 1 };
    let distinct: BTreeMap<i64, (Pk, Vec<(String, Value)>)> = (0..count)
        .map(|_| {
            let pk = key(def, rng, keys);
            let order = if let Value::Integer(n) = pk.columns()[0] { n } else { 0 };
            (order, (pk, set(def, rng)))
        })
        .collect();
    distinct.into_values().collect()
}

/// A well-formed row of somebody else: any life, any version, as the column would hold the value.
pub(super) fn foreign(def: &TableDef, rng: &mut Rng, keys: u64, site_id: SiteId) -> Change {
    let cl = i64::try_from(rng.range(1, 4)).unwrap();
    let sentinel = def.order.is_empty() || cl % 2 == 0 || rng.chance(20);
    let (cid, val, col_version) = if sentinel {
        (SENTINEL.to_owned(), Value::Null, cl)
    } else {
        let cid = rng.pick(&def.order).clone();
        let val = def.columns[&cid].apply(value(rng));
        (cid, val, i64::try_from(rng.range(1, 3)).unwrap())
    };
    let pk = key(def, rng, keys);
    Change {
        table: def.name.clone(),
        pk,
        cid,
        val,
        col_version,
        db_version: 0,
        site_id,
        cl,
        seq: i64::try_from(rng.below(3)).unwrap(),
    }
}
