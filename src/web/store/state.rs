//! Our own two tables in the replicated database: the state per remote, and the rows kept aside. Decides their
//! layout; their meaning is the engine's. Called by `store`.

use wasm_bindgen::JsValue;

use super::connection::Connection;
use super::schema::CLOCKS;
use super::statement::Arg;
use crate::engine::store::{KeptRow, List};
use crate::wire::{RowCode, SiteId};

/// Our tables begin with this. The prefix also keeps cr-sqlite's automatic migration from dropping them.
pub(crate) const TABLE_PREFIX: &str = "crsqlite_sync_";

/// Keys that begin with this are shared by all remotes.
const SHARED: &str = "db.";
const NO_REMOTE: &str = "";

const CREATE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS crsqlite_sync_state (remote TEXT NOT NULL, key TEXT NOT NULL, \
     value TEXT NOT NULL, PRIMARY KEY (remote, key)) WITHOUT ROWID, STRICT",
    "CREATE TABLE IF NOT EXISTS crsqlite_sync_kept (remote TEXT NOT NULL, list TEXT NOT NULL, \
     peer BLOB NOT NULL, row TEXT NOT NULL, code TEXT NOT NULL, schema INTEGER NOT NULL, \
     PRIMARY KEY (remote, list, peer, row)) STRICT",
];

pub(super) async fn create(connection: &mut Connection) -> Result<(), JsValue> {
    for sql in CREATE {
        connection.run(sql, &[]).await?;
    }
    Ok(())
}

pub(super) async fn read(
    connection: &mut Connection,
    remote: &str,
) -> Result<Vec<(String, String)>, JsValue> {
    let sql = "SELECT key, value FROM crsqlite_sync_state WHERE remote IN ('', ?1)";
    pairs(connection, sql, remote).await
}

/// Versions, replicated tables, and how many rows of each list have which code, each as JSON.
pub(super) async fn describe(
    connection: &mut Connection,
    remote: &str,
) -> Result<Vec<(String, String)>, JsValue> {
    let sql = format!(
        "SELECT 'sqlite', json_quote(sqlite_version()) \
         UNION ALL SELECT 'crsqlite', CAST(value AS TEXT) FROM crsql_master WHERE key = 'crsqlite_version' \
         UNION ALL SELECT 'schema-version', CAST(schema_version AS TEXT) FROM pragma_schema_version \
         UNION ALL SELECT 'replicated', json_group_array(name) FROM ({CLOCKS}) \
         UNION ALL SELECT list, json_group_object(code, rows) FROM (SELECT list, code, count(*) AS rows \
         FROM crsqlite_sync_kept WHERE remote = ?1 GROUP BY list, code) GROUP BY list"
    );
    pairs(connection, &sql, remote).await
}

async fn pairs(
    connection: &mut Connection,
    sql: &str,
    remote: &str,
) -> Result<Vec<(String, String)>, JsValue> {
    let rows = connection.rows(sql, &[Arg::Text(remote)]).await?;
    Ok(rows.iter().map(|row| (row.at(0).text(), row.at(1).text())).collect())
}

pub(super) async fn write(
    connection: &mut Connection,
    remote: &str,
    entries: &[(String, Option<String>)],
) -> Result<(), JsValue> {
    for (key, value) in entries {
        let remote = if key.starts_with(SHARED) { NO_REMOTE } else { remote };
        match value {
            Some(value) => {
                let sql =
                    "INSERT OR REPLACE INTO crsqlite_sync_state (remote, key, value) VALUES (?1, ?2, ?3)";
                connection.run(sql, &[Arg::Text(remote), Arg::Text(key), Arg::Text(value)]).await?;
            }
            None => {
                let sql = "DELETE FROM crsqlite_sync_state WHERE remote = ?1 AND key = ?2";
                connection.run(sql, &[Arg::Text(remote), Arg::Text(key)]).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn keep(
    connection: &mut Connection,
    remote: &str,
    list: List,
    rows: &[KeptRow],
) -> Result<(), JsValue> {
    let sql = "INSERT INTO crsqlite_sync_kept (remote, list, peer, row, code, schema) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT DO UPDATE SET code = excluded.code, schema = excluded.schema";
    for row in rows {
        let args = [
            Arg::Text(remote),
            Arg::Text(name(list)),
            Arg::Blob(&row.peer.0),
            Arg::Text(&row.row),
            Arg::Text(row.code.as_str()),
            Arg::Integer(row.schema),
        ];
        connection.run(sql, &args).await?;
    }
    Ok(())
}

/// In the order in which they were kept.
pub(super) async fn kept(
    connection: &mut Connection,
    remote: &str,
    list: List,
) -> Result<Vec<KeptRow>, JsValue> {
    let sql = "SELECT hex(peer), row, code, schema FROM crsqlite_sync_kept \
               WHERE remote = ?1 AND list = ?2 ORDER BY rowid";
    let rows = connection.rows(sql, &[Arg::Text(remote), Arg::Text(name(list))]).await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let peer = site_from_hex(&row.at(0).text())?;
            let code = RowCode::from_name(&row.at(2).text())?;
            Some(KeptRow { peer, row: row.at(1).text(), code, schema: row.at(3).integer() })
        })
        .collect())
}

pub(super) async fn count_kept(
    connection: &mut Connection,
    remote: &str,
    list: List,
) -> Result<u64, JsValue> {
    let sql = "SELECT count(*) FROM crsqlite_sync_kept WHERE remote = ?1 AND list = ?2";
    let rows = connection.rows(sql, &[Arg::Text(remote), Arg::Text(name(list))]).await?;
    Ok(rows.first().map_or(0, |row| row.at(0).integer().unsigned_abs()))
}

pub(super) async fn forget(
    connection: &mut Connection,
    remote: &str,
    list: List,
    rows: &[KeptRow],
) -> Result<(), JsValue> {
    let sql = "DELETE FROM crsqlite_sync_kept WHERE remote = ?1 AND list = ?2 AND peer = ?3 AND row = ?4";
    for row in rows {
        let args = [Arg::Text(remote), Arg::Text(name(list)), Arg::Blob(&row.peer.0), Arg::Text(&row.row)];
        connection.run(sql, &args).await?;
    }
    Ok(())
}

fn name(list: List) -> &'static str {
    match list {
        List::Quarantine => "quarantine",
        List::Rejected => "rejected",
    }
}

/// A site id as `db.siteid` spells it.
pub(crate) fn site_from_hex(hex: &str) -> Option<SiteId> {
    let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect();
    SiteId::from_slice(&bytes?)
}

/// Lower-case hex, as our events and lists show a site.
pub(crate) fn site_to_hex(site: SiteId) -> String {
    use std::fmt::Write as _;
    site.0.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
