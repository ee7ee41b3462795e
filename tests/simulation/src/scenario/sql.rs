//! What the app's tables, statements and values are in SQL, and what a row of a message is as a merge. Decides nothing:
//! the same things are done on the model by `app` and `model`.

use std::fmt::Write;

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::wire::{Change, Pk, Value};

use super::Statement;
use crate::app;
use crate::model::{Op, TableDef};
use crate::rng::Rng;

/// Creates a table with these rows in it, and replicates it.
pub(super) fn create(def: &TableDef, rows: &[(Pk, Vec<(String, Value)>)]) -> Vec<String> {
    let names = key_names(def);
    let key =
        names.iter().zip(&def.key).map(|(name, affinity)| format!("{name} {} NOT NULL", declared(*affinity)));
    let columns = def.order.iter().map(|cid| format!("\"{cid}\" {}", declared(def.columns[cid])));
    let all: Vec<String> = key.chain(columns).collect();
    let mut out =
        vec![format!("CREATE TABLE {} ({}, PRIMARY KEY ({}))", def.name, all.join(", "), names.join(", "))];
    out.extend(rows.iter().map(|(pk, set)| insert("INSERT", def, pk, set)));
    out.push(format!("SELECT crsql_as_crr('main', '{}')", def.name));
    out
}

/// What a device begins with.
pub(super) fn schema(old: bool) -> Vec<String> {
    let shape = |def: TableDef| {
        if old && def.name == app::LATE_COLUMN.0 { def.without(app::LATE_COLUMN.1) } else { def }
    };
    let there = app::tables().into_iter().filter(|def| !(old && def.name == app::LATE_TABLE));
    there.flat_map(|def| create(&shape(def), &[])).collect()
}

/// The late table with its rows.
pub(super) fn late_table(seed: u64) -> Vec<String> {
    create(&app::table(app::LATE_TABLE), &app::late_rows(&mut Rng::new(seed)))
}

pub(super) fn late_column() -> Vec<String> {
    let (table, cid, affinity) = app::LATE_COLUMN;
    vec![
        format!("SELECT crsql_begin_alter('main', '{table}')"),
        format!("ALTER TABLE {table} ADD COLUMN \"{cid}\" {}", declared(affinity)),
        format!("SELECT crsql_commit_alter('main', '{table}')"),
    ]
}

/// The scratch table comes.
pub(super) fn scratch(seed: u64) -> Vec<String> {
    let mut db = crate::model::Database::new(crsqlite_sync::wire::SiteId([1; 16]));
    app::toggle_scratch(&mut db, &mut Rng::new(seed));
    let def = TableDef::new(app::SCRATCH, &[Affinity::Integer], &[("x", Affinity::Blob)]);
    let rows: Vec<_> = db
        .live_keys(app::SCRATCH)
        .into_iter()
        .map(|pk| (pk, vec![("x".to_owned(), Value::Integer(1))]))
        .collect();
    create(&def, &rows)
}

/// The statement in SQL.
pub(super) fn statement(statement: &Statement) -> String {
    match &statement.op {
        Op::Insert { table, pk, set } if statement.upsert => {
            let def = app::table(table);
            let keys = key_names(&def).join(", ");
            let update: Vec<String> =
                set.iter().map(|(cid, _)| format!("\"{cid}\" = excluded.\"{cid}\"")).collect();
            let then = if update.is_empty() {
                "NOTHING".to_owned()
            } else {
                format!("UPDATE SET {}", update.join(", "))
            };
            format!("{} ON CONFLICT ({keys}) DO {then}", insert("INSERT", &def, pk, set))
        }
        Op::Insert { table, pk, set } => insert("INSERT OR IGNORE", &app::table(table), pk, set),
        Op::Replace { table, pk, set } => insert("INSERT OR REPLACE", &app::table(table), pk, set),
        Op::Update { table, pk, set } => update(&app::table(table), pk, &[], set),
        Op::Rekey { table, pk, to, set } => update(&app::table(table), pk, &to.columns(), set),
        Op::Delete { table, pk } => format!("DELETE FROM {table} WHERE {}", is(&app::table(table), pk)),
    }
}

/// Merges a row, whatever is there.
pub(crate) fn merge(row: &Change) -> String {
    format!(
        "INSERT INTO crsql_changes ([table], pk, cid, val, col_version, db_version, site_id, cl, seq) \
         VALUES ({}, {}, {}, {}, {}, 0, {}, {}, {})",
        literal(&Value::Text(row.table.clone())),
        blob(row.pk.as_bytes()),
        literal(&Value::Text(row.cid.clone())),
        literal(&row.val),
        row.col_version,
        blob(&row.site_id.0),
        row.cl,
        row.seq
    )
}

fn key_names(def: &TableDef) -> Vec<String> {
    (1..=def.key.len()).map(|n| format!("k{n}")).collect()
}

fn declared(affinity: Affinity) -> &'static str {
    match affinity {
        Affinity::Integer => "INTEGER",
        Affinity::Text => "TEXT",
        Affinity::Blob => "BLOB",
        Affinity::Real => "REAL",
        Affinity::Numeric => "NUMERIC",
    }
}

fn insert(verb: &str, def: &TableDef, pk: &Pk, set: &[(String, Value)]) -> String {
    let names = key_names(def).into_iter().chain(set.iter().map(|(cid, _)| format!("\"{cid}\"")));
    let columns = pk.columns();
    let values = columns.iter().chain(set.iter().map(|(_, value)| value)).map(literal);
    let (names, values): (Vec<_>, Vec<_>) = (names.collect(), values.collect());
    format!("{verb} INTO {} ({}) VALUES ({})", def.name, names.join(", "), values.join(", "))
}

/// An update of a row, also of its key. One that names no column sets the key to itself, as the model does.
fn update(def: &TableDef, pk: &Pk, to: &[Value], set: &[(String, Value)]) -> String {
    let key = key_names(def);
    let to: &[Value] = if to.is_empty() && set.is_empty() { &pk.columns() } else { to };
    let moved = key.iter().zip(to).map(|(name, value)| format!("{name} = {}", literal(value)));
    let changed = set.iter().map(|(cid, value)| format!("\"{cid}\" = {}", literal(value)));
    let all: Vec<String> = moved.chain(changed).collect();
    format!("UPDATE OR IGNORE {} SET {} WHERE {}", def.name, all.join(", "), is(def, pk))
}

fn is(def: &TableDef, pk: &Pk) -> String {
    let columns = pk.columns();
    let parts: Vec<String> = key_names(def)
        .iter()
        .zip(&columns)
        .map(|(name, value)| format!("{name} = {}", literal(value)))
        .collect();
    parts.join(" AND ")
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Real(x) if x.is_infinite() => format!("{}9e999", if *x < 0.0 { "-" } else { "" }),
        Value::Real(x) => format!("{x:?}"),
        Value::Text(text) if !text.contains('\0') => format!("'{}'", text.replace('\'', "''")),
        Value::Text(text) => format!("CAST({} AS TEXT)", blob(text.as_bytes())),
        Value::RawText(bytes) => format!("CAST({} AS TEXT)", blob(bytes)),
        Value::Blob(bytes) => blob(bytes),
    }
}

fn blob(bytes: &[u8]) -> String {
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("x'{hex}'")
}
