//! Backup of the embedded database beside a running relay, and what a restored one tells devices.

use crate::support::{Relay, column, cursor, values};
use crsqlite_relay::backup::back_up;
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
