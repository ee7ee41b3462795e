//! A relay that stores nothing: the seed's plain broadcast, with the relay's rules at the door.

use crate::support::{Device, Relay, column, token};
use serde_json::json;

#[tokio::test]
async fn what_one_device_says_the_users_others_hear_letter_by_letter_and_nobody_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--no-store"]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    let (mut c, mut stranger) = (relay.device("alice", 3).await, relay.device("bob", 4).await);
    // Nobody is answered, so an exchange in turns shows that all are in.
    b.send_text(r#"{"type":"sync_later","version":1}"#).await;
    for other in [&mut a, &mut c] {
        assert_eq!(other.receive_text().await, r#"{"type":"sync_later","version":1}"#);
    }
    let site = a.site.clone();
    let text = |kind: &str, payload| {
        json!({ "type": kind, "version": 1, "siteId": site, "timestamp": 1, "more": [1.50], "payload": payload }).to_string()
    };
    for message in [
        text("sync_request", json!({ "sinceVersion": 0, "new": "field" })),
        text("sync_push", json!({ "changes": [column("k", "a", 1, json!("one"), 7)], "baseVersion": 6 })),
        text("sync_ack", json!({ "receivedVersion": 1, "appliedCount": 1 })),
        text("sync_error", json!({ "code": "x", "message": "y" })),
    ] {
        a.send_text(message.clone()).await;
        for other in [&mut b, &mut c] {
            assert_eq!(other.receive_text().await, message);
        }
    }
    a.send_text("malformed").await;
    a.send_text(text("sync_ack", json!({ "receivedVersion": 2, "appliedCount": 2 }))).await;
    assert_eq!(b.receive().await["payload"]["receivedVersion"], 2, "what is malformed is not passed on");

    // The sender and the stranger have heard nothing: the first thing is what is said to them now.
    b.send_text(text("sync_ack", json!({ "receivedVersion": 3, "appliedCount": 3 }))).await;
    assert_eq!(a.receive().await["payload"]["receivedVersion"], 3);
    let mut neighbour = relay.device("bob", 5).await;
    neighbour.send_text(text("sync_ack", json!({ "receivedVersion": 4, "appliedCount": 4 }))).await;
    assert_eq!(stranger.receive().await["payload"]["receivedVersion"], 4);
    assert!(!directory.path().join("relay.db").exists(), "nothing is kept");
    relay.stop().await;
}

#[tokio::test]
async fn the_rules_at_the_door_and_the_limits_hold_without_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let limits = [
        "--no-store",
        "--max-connections-per-user",
        "2",
        "--max-message-bytes",
        "1000",
        "--max-malformed",
        "1",
    ];
    let relay = Relay::start(directory.path(), &limits).await;
    assert_eq!(Device::connect(relay.address, &[], 1).await.closed().await.0, 4001);
    let cookie = format!("auth_token={}", token("alice", 600));
    let evil = [("Cookie", cookie.as_str()), ("Origin", "https://evil.example")];
    assert_eq!(Device::connect(relay.address, &evil, 1).await.closed().await.0, 1008);
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    let hello = json!({ "type": "sync_later", "version": 1 }).to_string();
    a.send_text(hello.clone()).await;
    assert_eq!(b.receive_text().await, hello);
    b.send_text(hello.clone()).await;
    assert_eq!(a.receive_text().await, hello);
    assert_eq!(relay.device("alice", 3).await.closed().await.0, 1013);
    a.send_text("x".repeat(1_001)).await;
    assert_eq!(a.closed().await.0, 1009);
    b.send_text("1").await;
    b.send_text("2").await;
    assert_eq!(b.closed().await.0, 1008);
    let (status, _, text) = relay.http("GET", "/metrics", "").await;
    assert_eq!((status, relay.http("GET", "/ready", "").await.0), (200, 200));
    assert!(text.contains("crsqlite_relay_received_messages_total{type=\"malformed\"} 2"), "{text}");
    // A place that was left is free again.
    relay.device("alice", 4).await.send_text(hello).await;
    relay.stop().await;
}
