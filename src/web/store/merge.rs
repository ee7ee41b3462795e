//! Merging rows into `crsql_changes`, every value with its exact type. Decides how rows are grouped into statements
//! and what a refusal means; a refused row leaves no trace and change tracking stays on. Called by `store`.
//!
//! Every statement is one that SQLite undoes as a whole: several rows of VALUES, or a SELECT. One row of VALUES is
//! not (measured): a refused row would leave its key, or the zeroed columns of a revival, behind.

use wasm_bindgen::JsValue;

use super::connection::Connection;
use super::failure::blames_the_row;
use super::pace::Pace;
use super::statement::Arg;
use crate::engine::store::StoreError;
use crate::rules::{self, Rule};
use crate::wire::{Change, RowCode, SiteId, Value};

/// Larger statements journal too many pages when keys come in random order.
const ROWS_PER_STATEMENT: usize = 20;

const COLUMNS: &str =
    "INSERT INTO crsql_changes ([table], pk, cid, val, col_version, db_version, site_id, cl, seq)";
/// Text of more bytes goes as a blob: the typed binding encodes it character by character in JavaScript, which takes longer
/// than a statement of its own.
const LONG_TEXT: usize = 2048;
/// Takes what the typed bindings cannot carry, or not well: text with U+0000, of invalid UTF-8 or long, and empty blobs.
const ONE_ODD_ROW: &str = "INSERT INTO crsql_changes \
     ([table], pk, cid, val, col_version, db_version, site_id, cl, seq) SELECT ?1, ?4, ?5, CASE ?9 \
     WHEN 2 THEN CAST(?6 AS REAL) WHEN 3 THEN CAST(?6 AS TEXT) WHEN 5 THEN x'' WHEN 6 THEN '' ELSE ?6 END, \
     ?7, 0, ?2, ?3, ?8";

/// Why merging stopped as a whole.
pub(super) enum MergeError {
    Thrown(JsValue),
    Store(StoreError),
}

impl From<JsValue> for MergeError {
    fn from(thrown: JsValue) -> Self {
        MergeError::Thrown(thrown)
    }
}

pub(super) async fn merge(
    connection: &mut Connection,
    rows: &[Change],
) -> Result<Vec<(usize, RowCode)>, MergeError> {
    let mut refused = Vec::new();
    let mut pace = Pace::start();
    let mut rest = rows;
    let mut first = 0;
    let mut sql = (String::new(), (0, 0));
    keep_tracking(connection).await?;
    while !rest.is_empty() {
        let (length, of_key) = block_length(connection, rest);
        let (block, after) = rest.split_at(length);
        if let Err(thrown) = merge_block(connection, &mut sql, block, of_key).await {
            recover(connection, thrown).await?;
            for (index, row) in (first..).zip(block) {
                if block.len() == 1 || !rules::holds(Rule::Bisection) {
                    refused.push((index, RowCode::Refused));
                } else if let Err(thrown) =
                    merge_block(connection, &mut sql, std::slice::from_ref(row), 1).await
                {
                    recover(connection, thrown).await?;
                    refused.push((index, RowCode::Refused));
                }
            }
        }
        first += block.len();
        rest = after;
        pace.breathe().await;
    }
    keep_tracking(connection).await?;
    Ok(refused)
}

/// How many of the first rows go into one statement: they share table, origin and causal length. And how many in a row
/// share their key, which is bound once for these: the columns of each key, where they come in an even pattern.
fn block_length(connection: &Connection, rows: &[Change]) -> (usize, usize) {
    let Some(first) = rows.first() else { return (0, 1) };
    if !connection.binds_types() {
        return (1, 1);
    }
    let alike = |row: &&Change| {
        row.table == first.table
            && row.site_id == first.site_id
            && row.cl == first.cl
            && bindable(connection, &row.val)
    };
    let most = rows.iter().take(ROWS_PER_STATEMENT).take_while(alike).count().max(1);
    let of_key = rows.iter().take(most).take_while(|row| row.pk == first.pk).count().max(1);
    let of_one_key =
        |rows: &&[Change]| rows.iter().all(|row| rows.first().is_some_and(|first| first.pk == row.pk));
    let even = rows.chunks(of_key).take(most / of_key).take_while(of_one_key).count() * of_key;
    if of_key > 1 && even * 2 >= ROWS_PER_STATEMENT { (even, of_key) } else { (most, 1) }
}

/// The typed bindings carry the value as it is.
fn bindable(connection: &Connection, value: &Value) -> bool {
    match value {
        Value::Null | Value::Integer(_) | Value::Real(_) => true,
        Value::Text(text) => !(text.len() > LONG_TEXT && connection.is_utf8() || text.contains('\0')),
        Value::RawText(_) => false,
        Value::Blob(bytes) => !bytes.is_empty(),
    }
}

/// `sql` is the statement that was used last, and for how many rows it is: mostly the same again. `of_key` rows share a key.
async fn merge_block(
    connection: &mut Connection,
    sql: &mut (String, (usize, usize)),
    rows: &[Change],
    of_key: usize,
) -> Result<(), JsValue> {
    let Some(first) = rows.first() else { return Ok(()) };
    let mut args = vec![Arg::Name(&first.table), origin(&first.site_id), Arg::Integer(first.cl)];
    for (index, row) in rows.iter().enumerate() {
        if index % of_key == 0 {
            args.push(Arg::Blob(row.pk.as_bytes()));
        }
        args.extend([
            Arg::Name(&row.cid),
            plain_value(&row.val),
            Arg::Integer(row.col_version),
            Arg::Integer(row.seq),
        ]);
    }
    if rows.len() == 1 && !(connection.binds_types() && bindable(connection, &first.val)) {
        let (kind, value) = odd_value(&first.val);
        if let Some(place) = args.get_mut(5) {
            *place = value;
        }
        args.push(Arg::Integer(kind));
        return connection.run(ONE_ODD_ROW, &args).await;
    }
    #[cfg(feature = "mutants")]
    if !rules::holds(Rule::BindZero) {
        let version = [", ", &first.db_version.to_string(), ", ?2"].concat();
        return connection.run(&statement(rows.len(), of_key).replace(", 0, ?2", &version), &args).await;
    }
    let shape = (rows.len(), of_key);
    if sql.1 != shape {
        *sql = (statement(rows.len(), of_key), shape);
    }
    connection.run(&sql.0, &args).await
}

/// Never NULL nor empty: cr-sqlite would take the row for one of its own.
fn origin(site: &SiteId) -> Arg<'_> {
    if !rules::holds(Rule::WholeSiteIds) && site.0 == [0; 16] { Arg::Null } else { Arg::Blob(&site.0) }
}

fn statement(rows: usize, of_key: usize) -> String {
    let row = |index: usize| {
        let key = 4 + index / of_key * (1 + of_key * 4);
        let at = key + 1 + index % of_key * 4;
        format!("?1, ?{key}, ?{at}, ?{}, ?{}, 0, ?2, ?3, ?{}", at + 1, at + 2, at + 3)
    };
    if rows == 1 && rules::holds(Rule::UndoneStatements) {
        return format!("{COLUMNS} SELECT {}", row(0));
    }
    let tuples: Vec<String> = (0..rows).map(|index| format!("({})", row(index))).collect();
    format!("{COLUMNS} VALUES {}", tuples.join(", "))
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // what the rule is there against
fn plain_value(value: &Value) -> Arg<'_> {
    let fits = |number: f64| number.fract() == 0.0 && number.abs() < f64::from(i32::MAX);
    match value {
        Value::Null => Arg::Null,
        // As the wrapper binds numbers of JavaScript.
        Value::Integer(number) if !rules::holds(Rule::TypedValues) && !fits(*number as f64) => {
            Arg::Real(*number as f64)
        }
        Value::Real(number) if !rules::holds(Rule::TypedValues) && fits(*number) => {
            Arg::Integer(*number as i64)
        }
        Value::Integer(number) => Arg::Integer(*number),
        Value::Real(number) => Arg::Real(*number),
        Value::Text(text) => Arg::Text(text),
        Value::RawText(bytes) | Value::Blob(bytes) => Arg::Blob(bytes),
    }
}

/// The value's kind for [`ONE_ODD_ROW`], and its bytes.
fn odd_value(value: &Value) -> (i64, Arg<'_>) {
    let bytes = |kind: i64, bytes: &'static str| (kind, Arg::Text(bytes));
    match value {
        Value::Null => (0, Arg::Null),
        Value::Integer(number) => (1, Arg::Integer(*number)),
        // A plain binding would turn the negative zero into an integer.
        Value::Real(number) if *number == 0.0 && number.is_sign_negative() => bytes(2, "-0.0"),
        Value::Real(number) => (2, Arg::Real(*number)),
        Value::Text(text) if text.is_empty() => bytes(6, ""),
        Value::Text(text) => (3, Arg::Blob(text.as_bytes())),
        Value::RawText(raw) => (3, Arg::Blob(raw)),
        Value::Blob(blob) if blob.is_empty() => bytes(5, ""),
        Value::Blob(blob) => (4, Arg::Blob(blob)),
    }
}

/// After a refusal: change tracking is switched on again, whatever has failed, because no rollback does that.
async fn recover(connection: &mut Connection, thrown: JsValue) -> Result<(), MergeError> {
    let tracking = keep_tracking(connection).await;
    if !blames_the_row(&thrown) {
        return Err(thrown.into());
    }
    if connection.binds_types() && !connection.in_transaction() {
        let why = "a trigger of the app (RAISE ROLLBACK) undid the whole transaction";
        return Err(MergeError::Store(StoreError::Failed(why.to_owned())));
    }
    Ok(tracking?)
}

/// A failed merge leaves cr-sqlite believing that one is going on: local writes would get no clocks for ever.
async fn keep_tracking(connection: &mut Connection) -> Result<(), JsValue> {
    if !rules::holds(Rule::TrackingOn) {
        return Ok(());
    }
    let row = connection.row("SELECT crsql_internal_sync_bit()", &[]).await?;
    if row.is_some_and(|row| row.at(0).integer() != 0) {
        connection.row("SELECT crsql_internal_sync_bit(0)", &[]).await?;
    }
    Ok(())
}
