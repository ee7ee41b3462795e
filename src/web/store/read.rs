//! Reading `crsql_changes` exactly: a row travels from SQLite to us as one blob, packed by cr-sqlite itself, in
//! which every storage class survives. Decides how counts, keys and whole tables are asked for. Called by `store`.

use std::ops::ControlFlow;

use wasm_bindgen::JsValue;

use super::connection::{Connection, literal, quoted};
use super::statement::{Arg, Cell};
use super::{pace, schema};
use crate::engine::store::{Budget, Rows, Scan, StoreError, Stretch};
use crate::rules::{self, Rule};
use crate::sorted::SortedMap;
use crate::wire::{Change, Pk, SiteId, Value, unpack_columns};

/// Fields of a packed change, in the order of [`change`].
pub(super) const PACKED: &str =
    "crsql_pack_columns([table], pk, cid, val, col_version, db_version, site_id, cl, seq)";

/// Never `crsql_db_version()`, which runs ahead after a rollback; and not from `crsql_changes`, which prepares a statement over
/// all tables for each query: each clock table has an index that ends with its highest version.
pub(super) async fn max_version(connection: &mut Connection, tables: &[&str]) -> Result<i64, JsValue> {
    let sql = if !rules::holds(Rule::MaxOfRows) {
        "SELECT crsql_db_version()".to_owned()
    } else if !rules::holds(Rule::OneSortKey) {
        "SELECT db_version FROM crsql_changes ORDER BY db_version DESC, seq DESC LIMIT 1".to_owned()
    } else {
        let highest = |table: &str| ["SELECT max(db_version) AS version FROM ", &clock(table)].concat();
        ["SELECT max(version) FROM (", &of_each(tables, &highest), ")"].concat()
    };
    Ok(connection.row(&sql, &[]).await?.map_or(0, |row| row.at(0).integer()))
}

/// What stopped a scan.
pub(super) enum ReadError {
    Thrown(JsValue),
    /// The database holds what cr-sqlite never writes.
    Malformed,
}

impl From<JsValue> for ReadError {
    fn from(thrown: JsValue) -> Self {
        ReadError::Thrown(thrown)
    }
}

impl ReadError {
    pub(super) fn malformed() -> StoreError {
        StoreError::Failed("crsql_changes holds a row that cr-sqlite never writes".to_owned())
    }
}

/// Counted on the clock tables: the same rows, without looking at one value.
pub(super) async fn count(connection: &mut Connection, tables: &[&str], scan: &Scan) -> Result<u64, JsValue> {
    let count = of_clocks(connection, tables, scan, ["sum", "count(*)"]).await?;
    Ok(count.integer().unsigned_abs())
}

/// The version in which the first row of a scan stands; `None` without any.
pub(super) async fn first_version(
    connection: &mut Connection,
    tables: &[&str],
    scan: &Scan,
) -> Result<Option<i64>, JsValue> {
    let first = of_clocks(connection, tables, scan, ["min", "min(db_version)"]).await?;
    Ok(if let Cell::Integer(version) = first { Some(version) } else { None })
}

/// What the clock tables say of the rows of a scan: `of_one` asks one of them, `of_all` makes one of the answers.
async fn of_clocks(
    connection: &mut Connection,
    tables: &[&str],
    scan: &Scan,
    [of_all, of_one]: [&str; 2],
) -> Result<Cell, JsValue> {
    let filter = rows_filter(&scan.rows, "site_id = 0");
    let asked =
        |table: &&str| scan.tables.as_ref().is_none_or(|asked| asked.iter().any(|name| name == table));
    let tables: Vec<&str> = tables.iter().copied().filter(asked).collect();
    let ask = |table: &str| {
        let clock = clock(table);
        format!("SELECT {of_one} AS rows FROM {clock} WHERE db_version > ?1 AND db_version <= ?2{filter}")
    };
    let sql = ["SELECT ", of_all, "(rows) FROM (", &of_each(&tables, &ask), ")"].concat();
    let row = connection.row(&sql, &[Arg::Integer(scan.after), Arg::Integer(scan.upto)]).await?;
    Ok(row.map_or(Cell::Null, |row| row.at(0).clone()))
}

/// The tables with rows of this device above a version. One row of each is looked for: there may be very many.
pub(super) async fn ours_since(
    connection: &mut Connection,
    tables: &[&str],
    since: i64,
) -> Result<Vec<String>, JsValue> {
    let found = |table: &str| {
        let [name, clock] = [literal(table), clock(table)];
        format!("SELECT {name} WHERE EXISTS (SELECT 1 FROM {clock} WHERE db_version > ?1 AND site_id = 0)")
    };
    let rows = connection.rows(&of_each(tables, &found), &[Arg::Integer(since)]).await?;
    Ok(rows.iter().map(|row| row.at(0).text()).collect())
}

/// All rows of these keys, read where `crsql_changes` itself reads them: filtering that by key would scan it whole.
pub(super) async fn rows_of(
    connection: &mut Connection,
    tables: &[&str],
    own: SiteId,
    keys: &[(String, Pk)],
) -> Result<Vec<Change>, ReadError> {
    let mut changes = Vec::new();
    let mut queries: SortedMap<&str, Option<String>> = SortedMap::new();
    let mut pace = pace::Pace::start();
    for (table, pk) in keys {
        if !queries.contains_key(table.as_str()) {
            queries.insert(table, row_query(connection, tables, table, Keys::Packed).await?);
        }
        let Some(Some(sql)) = queries.get(table.as_str()) else { continue };
        let mut malformed = false;
        connection
            .each_paced(sql, &[Arg::Blob(pk.as_bytes())], &mut pace, &mut |row| match packed_change(
                row.at(0),
                own,
            ) {
                Some(change) => {
                    if rules::holds(Rule::AdditionsOfAnyOrigin) || change.site_id == own {
                        changes.push(change);
                    }
                    ControlFlow::Continue(())
                }
                None => {
                    malformed = true;
                    ControlFlow::Break(())
                }
            })
            .await?;
        if malformed {
            return Err(ReadError::Malformed);
        }
    }
    Ok(changes)
}

/// The changes of a table key by key. The entries are counted on the clock table, the bytes as they come.
pub(super) async fn walk(
    connection: &mut Connection,
    tables: &[&str],
    own: SiteId,
    table: &str,
    after: i64,
    budget: Budget,
) -> Result<Stretch, ReadError> {
    let Some(sql) = row_query(connection, tables, table, Keys::After).await? else {
        return Ok(Stretch::default());
    };
    let most = i64::try_from(budget.changes.max(1)).unwrap_or(i64::MAX);
    let mut stretch = Stretch::default();
    let (mut bytes, mut last, mut full, mut malformed) = (0, after, false, false);
    let mut pace = pace::Pace::start();
    connection
        .each_paced(&sql, &[Arg::Integer(after), Arg::Integer(most)], &mut pace, &mut |row| {
            let key = row.at(1).integer();
            if key != last && bytes > budget.bytes {
                full = true;
                return ControlFlow::Break(());
            }
            last = key;
            let Some(change) = packed_change(row.at(0), own) else {
                malformed = true;
                return ControlFlow::Break(());
            };
            bytes += change.wire_size();
            stretch.changes.push(change);
            ControlFlow::Continue(())
        })
        .await?;
    if malformed {
        return Err(ReadError::Malformed);
    }
    stretch.reached = (full || stretch.changes.len() >= budget.changes.max(1)).then_some(last);
    Ok(stretch)
}

/// Which keys of a table are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// The one whose packed form is ?1. cr-sqlite's own unpacking gives its exact values back; materialised, because
    /// that virtual table fails when a LIMIT reaches it.
    Packed,
    /// Those after the number ?1 that hold the next ?2 entries, in order.
    After,
}

/// `None` when there is no such replicated table.
async fn row_query(
    connection: &mut Connection,
    tables: &[&str],
    table: &str,
    asked: Keys,
) -> Result<Option<String>, JsValue> {
    if !tables.contains(&table) {
        return Ok(None);
    }
    let (key, columns) = schema::columns(connection, table).await?;
    let list = |prefix: &str| {
        let names: Vec<String> = key.iter().map(|name| format!("{prefix}.{}", quoted(name))).collect();
        names.join(", ")
    };
    let same = |left: &str, right: &dyn Fn(usize) -> String| {
        let terms: Vec<String> = key
            .iter()
            .enumerate()
            .map(|(index, name)| format!("{left}.{} = {}", quoted(name), right(index)))
            .collect();
        terms.join(" AND ")
    };
    let unpacked = |index: usize| format!("(SELECT cell FROM cells LIMIT 1 OFFSET {index})");
    let key_of_row =
        |index: usize| key.get(index).map_or_else(String::new, |name| format!("keys.{}", quoted(name)));
    let value = if columns.is_empty() {
        "NULL".to_owned()
    } else {
        let cases: Vec<String> =
            columns.iter().map(|name| format!("WHEN {} THEN base.{}", literal(name), quoted(name))).collect();
        format!("CASE clock.col_name {} END", cases.join(" "))
    };
    let name = |suffix: &str| quoted(&format!("{table}{suffix}"));
    let (keys, clock) = (name("__crsql_pks"), name("__crsql_clock"));
    let (cells, from, key_is_asked) = match asked {
        Keys::Packed => (
            "WITH cells (cell) AS MATERIALIZED (SELECT +cell FROM crsql_unpack_columns(?1)) ",
            format!("{keys} AS keys JOIN {clock} AS clock"),
            same("keys", &unpacked),
        ),
        Keys::After => (
            "",
            // In this order: SQLite then walks the clock table's own.
            format!("{clock} AS clock CROSS JOIN {keys} AS keys"),
            format!(
                "clock.key > ?1 AND clock.key <= (SELECT max(key) FROM \
                 (SELECT key FROM {clock} WHERE key > ?1 ORDER BY key LIMIT ?2)) ORDER BY clock.key"
            ),
        ),
    };
    Ok(Some(format!(
        "{cells}SELECT crsql_pack_columns({table_literal}, crsql_pack_columns({packed_key}), clock.col_name, \
         {value}, clock.col_version, clock.db_version, site.site_id, coalesce(life.col_version, 1), clock.seq), \
         clock.key FROM {from} ON clock.key = keys.__crsql_key LEFT JOIN {clock} AS life ON life.key = keys.__crsql_key AND life.col_name = '-1' \
         LEFT JOIN crsql_site_id AS site ON site.ordinal = clock.site_id \
         LEFT JOIN {base} AS base ON {base_is_key} WHERE {key_is_asked}",
        table_literal = literal(table),
        packed_key = list("keys"),
        base = name(""),
        base_is_key = same("base", &key_of_row),
    )))
}

/// One statement for all tables: a statement for each, and the rounds that it takes, would weigh more than what it finds.
fn of_each(tables: &[&str], select: &dyn Fn(&str) -> String) -> String {
    if tables.is_empty() {
        return "SELECT NULL AS rows, NULL AS version LIMIT 0".to_owned();
    }
    tables.iter().map(|table| select(table)).collect::<Vec<_>>().join(" UNION ALL ")
}

/// The table of a table's clocks.
fn clock(table: &str) -> String {
    quoted(&[table, "__crsql_clock"].concat())
}

pub(super) fn tables_filter(scan: &Scan) -> String {
    scan.tables.as_ref().map_or_else(String::new, |tables| {
        let names: Vec<String> = tables.iter().map(|table| literal(table)).collect();
        format!(" AND [table] IN ({})", names.join(", "))
    })
}

/// Rows with col_version 0 are columns that a revival zeroed: they always travel.
pub(super) fn rows_filter(rows: &Rows, own: &str) -> String {
    match rows {
        Rows::All => String::new(),
        Rows::Own if !rules::holds(Rule::ZeroedRows) => [" AND ", own].concat(),
        Rows::Own => format!(" AND ({own} OR col_version = 0)"),
        Rows::Outside(ranges) => {
            let terms: Vec<String> =
                ranges.iter().map(|(from, to)| format!("db_version NOT BETWEEN {from} AND {to}")).collect();
            if terms.is_empty() {
                String::new()
            } else if !rules::holds(Rule::ZeroedRows) {
                [" AND ", &terms.join(" AND ")].concat()
            } else {
                format!(" AND (col_version = 0 OR ({}))", terms.join(" AND "))
            }
        }
    }
}

pub(super) fn packed_change(cell: &Cell, own: SiteId) -> Option<Change> {
    match cell {
        Cell::Blob(bytes) => change(unpack_columns(bytes)?, own),
        Cell::Null | Cell::Integer(_) | Cell::Text(_) => None,
    }
}

/// A change from its nine columns.
pub(super) fn change(columns: Vec<Value>, own: SiteId) -> Option<Change> {
    let [table, pk, cid, val, col_version, db_version, site_id, cl, seq]: [Value; 9] =
        columns.try_into().ok()?;
    Some(Change {
        table: text(table)?,
        pk: match pk {
            Value::Blob(bytes) => Pk::parse(&bytes)?,
            _ => return None,
        },
        cid: text(cid)?,
        val,
        col_version: integer(&col_version)?,
        db_version: integer(&db_version)?,
        site_id: match site_id {
            Value::Blob(bytes) => SiteId::from_slice(&bytes)?,
            Value::Null => own,
            _ => return None,
        },
        cl: integer(&cl)?,
        seq: integer(&seq)?,
    })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    }
}
