//! The format of the relay's schema. Decides which steps lead from the format that is there to this one, and carries them
//! out in one transaction, one server at a time. Never touches another schema. Called by `PostgresLog` before anything
//! else.

use std::cmp::Ordering;

use sqlx::{Connection as _, PgConnection};

use crate::error::Error;

/// Servers that start at the same time take turns: "crsr", as in the file of the other database.
const TURN: i64 = 0x6372_7372;
/// What leads from each format to the next; without the schema the format is 0.
const STEPS: [&str; 1] = [include_str!("format-1.sql")];

/// Makes the schema, or brings that of an earlier format to this one.
pub(super) async fn prepare(db: &mut PgConnection) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *tx).await?;
    // Who may not make a schema can be given one.
    let there: bool = sqlx::query_scalar("SELECT to_regnamespace('crsqlite_relay') IS NOT NULL")
        .fetch_one(&mut *tx)
        .await?;
    if !there {
        sqlx::raw_sql("CREATE SCHEMA crsqlite_relay").execute(&mut *tx).await?;
    }
    let made: bool = sqlx::query_scalar("SELECT to_regclass('crsqlite_relay.format') IS NOT NULL")
        .fetch_one(&mut *tx)
        .await?;
    let format: i32 = if made {
        sqlx::query_scalar("SELECT version FROM crsqlite_relay.format").fetch_one(&mut *tx).await?
    } else {
        0
    };
    let done = usize::try_from(format).unwrap_or(usize::MAX);
    let Some(steps) = STEPS.get(done..) else { return Err(Error::NewerDatabase(format.into())) };
    for step in steps {
        sqlx::raw_sql(*step).execute(&mut *tx).await?;
    }
    if !steps.is_empty() {
        sqlx::query("UPDATE crsqlite_relay.format SET version = $1")
            .bind(i32::try_from(STEPS.len()).unwrap_or(i32::MAX))
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Refuses a database without logs of this format, and changes nothing.
pub(super) async fn check(db: &mut PgConnection) -> Result<(), Error> {
    let made: bool = sqlx::query_scalar("SELECT to_regclass('crsqlite_relay.format') IS NOT NULL")
        .fetch_one(&mut *db)
        .await?;
    if !made {
        return Err(Error::NoLogs);
    }
    let format: i32 = sqlx::query_scalar("SELECT version FROM crsqlite_relay.format").fetch_one(db).await?;
    match usize::try_from(format).unwrap_or(usize::MAX).cmp(&STEPS.len()) {
        Ordering::Less => Err(Error::OlderDatabase(format.into())),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Error::NewerDatabase(format.into())),
    }
}
