//! Which tables are replicated, their keys and affinities, read from cr-sqlite's own clock tables. Decides what a
//! declared type means in a STRICT table and which clock table has lost its table. Called by `store`.

use wasm_bindgen::JsValue;

use super::connection::Connection;
use crate::engine::affinity::Affinity;
use crate::engine::store::{Schema, StoreError, TableSchema};
use crate::sorted::SortedMap;

/// A clock table is named after its table.
pub(super) const CLOCKS: &str = "SELECT substr(name, 1, length(name) - 13) AS name FROM sqlite_master \
     WHERE type = 'table' AND substr(name, -13) = '__crsql_clock'";

pub(super) async fn version(connection: &mut Connection) -> Result<i64, JsValue> {
    let row = connection.row("SELECT schema_version FROM pragma_schema_version", &[]).await?;
    Ok(row.map_or(0, |row| row.at(0).integer()))
}

/// All replicated tables. A clock table without its table is the error: nothing can be read any more then.
pub(super) async fn read(
    connection: &mut Connection,
    version: i64,
) -> Result<Result<Schema, StoreError>, JsValue> {
    let sql = format!(
        "SELECT clocks.name, columns.name, columns.type, columns.pk, list.strict FROM ({CLOCKS}) AS clocks \
         LEFT JOIN pragma_table_list AS list ON list.schema = 'main' AND list.name = clocks.name \
         LEFT JOIN pragma_table_info(clocks.name) AS columns ORDER BY clocks.name, columns.pk"
    );
    let mut tables: SortedMap<String, TableSchema> = SortedMap::new();
    for row in connection.rows(&sql, &[]).await? {
        let name = row.at(0).text();
        let (column, declared) = (row.at(1).text(), row.at(2).text());
        if column.is_empty() {
            return Ok(Err(StoreError::OrphanClockTable(name)));
        }
        let strict = row.at(4).integer() == 1;
        let affinity = if strict && declared.eq_ignore_ascii_case("ANY") {
            Affinity::Blob
        } else {
            Affinity::of_declared_type(&declared)
        };
        let table = tables.or_default(name);
        // Sorted by the place in the key, which is 0 for the columns outside it.
        if row.at(3).integer() > 0 {
            table.key.push(affinity);
        } else {
            table.columns.insert(column, affinity);
        }
    }
    Ok(Ok(Schema { version, tables }))
}

/// The key columns of a replicated table in the order of its key, and the other columns.
pub(super) async fn columns(
    connection: &mut Connection,
    table: &str,
) -> Result<(Vec<String>, Vec<String>), JsValue> {
    let sql =
        format!("SELECT name, pk FROM pragma_table_info({}) ORDER BY pk", super::connection::literal(table));
    let rows = connection.rows(&sql, &[]).await?;
    let (key, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.at(1).integer() > 0);
    let names = |rows: Vec<&super::statement::Cells>| rows.iter().map(|row| row.at(0).text()).collect();
    Ok((names(key), names(others)))
}

/// The names of all replicated tables.
pub(super) fn names(schema: Option<&Schema>) -> Vec<&str> {
    schema.map(|schema| schema.tables.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// A table that was dropped while its clock table was left behind.
pub(super) async fn orphan(connection: &mut Connection) -> Result<Option<String>, JsValue> {
    let sql = format!(
        "SELECT name FROM ({CLOCKS}) AS clocks WHERE NOT EXISTS \
         (SELECT 1 FROM sqlite_master AS tables WHERE tables.type = 'table' AND tables.name = clocks.name)"
    );
    Ok(connection.row(&sql, &[]).await?.map(|row| row.at(0).text()))
}
