//! The format of the database file. Decides whether a file is ours, and brings one of an earlier format to this one, in
//! one transaction. Never touches a file that is not ours. Called by `SqliteLog` before anything else.

use std::cmp::Ordering;
use std::path::Path;

use sqlx::{Connection as _, SqliteConnection};

use crate::error::Error;

/// "crsr": tells a relay's database from any other.
const APPLICATION_ID: i64 = 0x6372_7372;
/// What leads from each format to the next; an empty file has format 0.
const STEPS: [&str; 2] = [include_str!("format-1.sql"), include_str!("format-2.sql")];

/// Makes the tables in an empty file, or brings those of an earlier format to this one.
pub(super) async fn prepare(db: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    // A table that others point to is replaced; SQLite wants this said outside of the transaction.
    sqlx::raw_sql("PRAGMA foreign_keys = OFF").execute(&mut *db).await?;
    let mut tx = db.begin_with("BEGIN IMMEDIATE").await?;
    let objects: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *tx).await?;
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *tx).await?;
    let format: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await?;
    if objects > 0 && application != APPLICATION_ID {
        return Err(Error::ForeignDatabase(path.to_owned()));
    }
    let done = if objects == 0 { 0 } else { usize::try_from(format).unwrap_or(usize::MAX) };
    let Some(steps) = STEPS.get(done..) else { return Err(Error::NewerDatabase(format)) };
    for step in steps {
        sqlx::raw_sql(*step).execute(&mut *tx).await?;
    }
    if !steps.is_empty() {
        let mark = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", STEPS.len());
        sqlx::raw_sql(sqlx::AssertSqlSafe(mark)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Refuses what is not a relay's file of this format, and changes nothing.
pub(super) async fn check(db: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *db).await?;
    let format: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *db).await?;
    if application != APPLICATION_ID {
        return Err(Error::ForeignDatabase(path.to_owned()));
    }
    match usize::try_from(format).unwrap_or(usize::MAX).cmp(&STEPS.len()) {
        Ordering::Less => Err(Error::OlderDatabase(format)),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Error::NewerDatabase(format)),
    }
}
