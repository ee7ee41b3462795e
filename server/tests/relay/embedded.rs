//! What only the embedded database has: its file, its formats, and backups beside a running relay.

use crate::support::{Relay, column, cursor, values};
use crsqlite_relay::backup::back_up;
use crsqlite_relay::log::core::Start;
use crsqlite_relay::log::{Log as _, SqliteLog};
use crsqlite_relay::user::Owner;
use crsqlite_relay::{Error, ErrorKind};
use crsqlite_sync::wire::{Change, Run};
use serde_json::json;

#[tokio::test]
async fn a_backup_beside_a_running_relay_holds_what_was_acknowledged_before() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    device.push(&[column("k", "a", 1, json!("before"), 1)]).await;
    let restored = tempfile::tempdir().unwrap();
    let (database, copy) = (directory.path().join("relay.db"), restored.path().join("relay.db"));
    back_up(&database, &copy).await.unwrap();
    device.push(&[column("k", "b", 1, json!("after"), 2)]).await;
    assert_eq!(values(&device.ask(json!({})).await), [json!("before"), json!("after")], "the relay goes on");
    relay.stop().await;

    let relay = Relay::start(restored.path(), &[]).await;
    let answer = relay.device("alice", 2).await.ask(json!({})).await;
    assert_eq!(values(&answer), [json!("before")]);
    let names: Vec<_> = std::fs::read_dir(restored.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("partial")), "{names:?}");
    relay.stop().await;
}

#[tokio::test]
async fn a_restored_log_tells_a_device_how_much_of_what_it_has_seen_still_stands() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    device.push(&[column("k", "a", 1, json!(1), 1)]).await;
    let (database, copy) = (directory.path().join("relay.db"), directory.path().join("copy.db"));
    back_up(&database, &copy).await.unwrap();
    let ack = device.push(&[column("k", "b", 1, json!(2), 2)]).await;
    let place = &ack["relay"];
    drop(device);
    relay.stop().await;

    std::fs::rename(&copy, &database).unwrap();
    for rest in ["relay.db-wal", "relay.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(rest));
    }
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let answer = device
        .ask_with(json!({ "sinceVersion": 0, "ref": "q", "stored": [place["run"], place["version"]],
            "cursors": cursor(&place["siteId"], &place["run"], &place["version"]) }))
        .await;
    assert_eq!((&answer["stored"], &answer["head"]), (&json!(1), &json!(1)), "{answer}");
    relay.stop().await;
}

#[tokio::test]
async fn a_backup_replaces_nothing_and_leaves_nothing_half_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (missing, copy) = (directory.path().join("missing.db"), directory.path().join("copy.db"));
    assert_eq!(back_up(&missing, &copy).await.unwrap_err().code(), "storage-failed");
    assert!(!missing.exists() && !copy.exists());
    std::fs::write(&copy, "something else").unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let refused = back_up(&directory.path().join("relay.db"), &copy).await.unwrap_err();
    assert_eq!(refused.code(), "backup-failed");
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), "something else");
    relay.stop().await;
}

#[tokio::test]
async fn a_database_of_format_1_is_brought_to_this_one_with_everything_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("relay.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
    sqlx::raw_sql(include_str!("formats/1.sql")).execute(&pool).await.unwrap();
    pool.close().await;
    let (alice, bob, old) = (Owner::of("alice"), Owner::of("bob"), Run::new("e6bc968185bf2470").unwrap());
    for _ in 0..2 {
        let log = SqliteLog::open(&path).await.unwrap();
        assert_eq!(log.secret("log").await.unwrap()[..4], [0xd2, 0x1f, 0x83, 0x9c]);
        let page = log.page(&alice, &Start::Offset(0), usize::MAX).await.unwrap();
        let places: Vec<i64> = page.rows.iter().map(|row| row.db_version).collect();
        assert_eq!((places, page.clock.head), (vec![2, 4, 5], 5));
        assert_eq!((page.clock.runs[0].run.clone(), page.clock.runs[0].begin), (old.clone(), 0));
        assert_eq!(log.clock(&Owner::within("app", "alice").unwrap()).await.unwrap().head, 0);
        log.close().await;
    }
    let log = SqliteLog::open(&path).await.unwrap();
    let held = log.page(&bob, &Start::Offset(0), usize::MAX).await.unwrap().rows;
    let known = log.append(&bob, &Run::from_random(2), &held).await.unwrap();
    assert_eq!((known.stored, known.head), (vec![], 1), "what it held is known");
    let new = Change { cid: "new".into(), ..held[0].clone() };
    assert_eq!(log.append(&bob, &Run::from_random(2), &[new]).await.unwrap().head, 2);
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("relay.db");
    SqliteLog::open(&path).await.unwrap().close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_lazy_with(options);
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&pool).await.unwrap();
    pool.close().await;
    assert!(matches!(SqliteLog::open(&path).await, Err(Error::NewerDatabase(99))));
}

#[tokio::test]
async fn a_database_of_an_app_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_lazy_with(options);
    sqlx::raw_sql("CREATE TABLE notes (text TEXT)").execute(&pool).await.unwrap();
    pool.close().await;
    let refused = SqliteLog::open(&path).await.unwrap_err();
    assert!(matches!(refused, Error::ForeignDatabase(_)));
    assert_eq!((refused.code(), refused.kind()), ("foreign-database", ErrorKind::Configuration));
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_lazy_with(options);
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await.unwrap();
    assert_eq!(mode, "delete");
}
