//! What those who run the relay see: metrics, health, readiness.

use crate::support::{Device, Relay, column, http, spoil, until};
use serde_json::json;

/// The value of a series, given as it stands in the text.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn the_metrics_count_what_happened_and_name_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-connections-per-user", "2"]).await;
    let (mut a, mut b) = (relay.device("a user's name", 1).await, relay.device("a user's name", 2).await);
    b.expect_nothing().await;
    relay.device("a user's name", 3).await.closed().await;
    Device::connect(relay.address, &[], 4).await.closed().await;
    a.push(&[column("k", "a", 1, json!(1), 1), column("k", "b", 1, json!(1), 1)]).await;
    a.push(&[column("k", "a", 1, json!(1), 1), json!({ "table": "t" })]).await;
    a.send_text("{").await;
    a.expect("sync_error").await;
    b.expect("sync_push").await;

    let (status, head, text) = relay.http("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
    for (series, expected) in [
        ("connections", 2.0),
        ("users", 1.0),
        (r#"received_messages_total{type="sync_push"}"#, 2.0),
        (r#"received_messages_total{type="malformed"}"#, 1.0),
        (r#"sent_messages_total{type="sync_ack"}"#, 2.0),
        (r#"sent_messages_total{type="sync_push"}"#, 1.0),
        (r#"rows_total{outcome="stored"}"#, 2.0),
        (r#"rows_total{outcome="dominated"}"#, 1.0),
        (r#"rows_total{outcome="rejected"}"#, 1.0),
        ("append_seconds_count", 2.0),
        ("answer_seconds_count", 1.0),
        ("storage_errors_total", 0.0),
        ("queue_overflows_total", 0.0),
        (r#"limited_total{limit="max-connections-per-user"}"#, 1.0),
        (r#"closes_total{code="1013"}"#, 1.0),
        (r#"closes_total{code="4001"}"#, 1.0),
    ] {
        assert_eq!(value(&text, &format!("crsqlite_relay_{series}")), expected, "{series}");
    }
    for counted in ["received_bytes_total", "sent_bytes_total"] {
        assert!(value(&text, &format!("crsqlite_relay_{counted}")) > 100.0);
    }
    assert!(!text.contains("a user's name"));
    drop((a, b));
    relay.stop().await;
}

#[tokio::test]
async fn the_metrics_can_have_an_address_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--metrics-listen", "127.0.0.1:0"]).await;
    let own = relay.metrics.unwrap();
    assert_eq!(relay.http("GET", "/metrics", "").await.0, 404);
    assert!(http(own, "GET", "/metrics", "").await.2.contains("crsqlite_relay_connections 0"));
    assert_eq!(http(own, "GET", "/ready", "").await.0, 200);
    assert_eq!(http(own, "GET", "/api/v1/sync", "").await.0, 404);
    relay.stop().await;
}

#[tokio::test]
async fn a_relay_is_not_ready_when_its_storage_fails_but_its_process_lives() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (status, _, body) = relay.http("GET", "/ready", "").await;
    assert_eq!((status, body.as_str()), (200, r#"{"status":"ready"}"#));
    spoil(directory.path()).await;
    until("what was found is asked again", async || {
        let (status, _, body) = relay.http("GET", "/ready", "").await;
        (status, body.as_str()) == (503, r#"{"status":"storage-failed"}"#)
    })
    .await;
    assert_eq!(relay.http("GET", "/health", "").await.0, 200);
    let (_, _, text) = relay.http("GET", "/metrics", "").await;
    assert_eq!(value(&text, "crsqlite_relay_storage_errors_total"), 1.0);
    relay.stop().await;
}
