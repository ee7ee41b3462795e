//! The database under the relays of this run of the tests: SQLite, or PostgreSQL where `CRSQLITE_RELAY_TEST_DATABASE` says
//! so. The tests are the same.

use std::path::Path;
use std::sync::Arc;

use clap::Parser as _;
use crsqlite_relay::config::Cli;
use crsqlite_relay::log::Log;
use crsqlite_relay::{Error, open_log};

/// Which database this run is about.
pub fn is_postgres() -> bool {
    match std::env::var("CRSQLITE_RELAY_TEST_DATABASE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("CRSQLITE_RELAY_TEST_DATABASE is sqlite or postgres, not {other}"),
    }
}

/// What `--database` names: the same for the same folder.
pub async fn database_of(folder: &Path) -> String {
    #[cfg(unix)]
    if is_postgres() {
        return super::postgres::database_of(folder).await;
    }
    folder.join("relay.db").to_str().unwrap().to_owned()
}

/// The logs of a folder, within so many rows for each user.
pub async fn open(folder: &Path, most_rows: Option<u64>) -> Result<Arc<dyn Log>, Error> {
    let cli = Cli::parse_from(["crsqlite-relay", "--database", &database_of(folder).await]);
    open_log(&cli.config.storage, most_rows).await
}

/// The logs of this database.
pub async fn open_url(url: &str) -> Result<Arc<dyn Log>, Error> {
    open_log(&Cli::parse_from(["crsqlite-relay", "--database", url]).config.storage, None).await
}

/// Runs a statement beside the relay, in the words that both databases understand; `entry` and `log` are its tables.
pub async fn run_beside(folder: &Path, sql: &'static str) {
    #[cfg(unix)]
    if is_postgres() {
        return super::postgres::run(folder, sql).await;
    }
    use sqlx::Connection as _;
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("relay.db")).foreign_keys(false);
    let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

/// Puts the database of a folder, which nobody uses, in the place of another one.
pub async fn restore(from: &Path, to: &Path) {
    remove(to).await;
    #[cfg(unix)]
    if is_postgres() {
        return super::postgres::copy(from, to).await;
    }
    std::fs::copy(from.join("relay.db"), to.join("relay.db")).unwrap();
}

/// Removes the database of a folder, which nobody uses.
pub async fn remove(folder: &Path) {
    #[cfg(unix)]
    if is_postgres() {
        return super::postgres::remove(folder).await;
    }
    for file in ["relay.db", "relay.db-wal", "relay.db-shm"] {
        match std::fs::remove_file(folder.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
}
