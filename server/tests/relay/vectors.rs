//! The shared vectors, sent through the relay's own socket: what is refused, what is skipped, which rows it takes.

use crate::support::Relay;
use serde_json::{Value, json};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/relay.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn every_malformed_frame_is_answered_with_its_code_and_the_connection_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let mut refused = 0;
    for vector in vectors()["frames"].as_array().unwrap() {
        let is = vector["is"].as_str().unwrap();
        if is == "message" {
            continue;
        }
        device.send_text(vector["text"].as_str().unwrap()).await;
        if is != "unknown-type" {
            let error = device.expect("sync_error").await;
            assert_eq!(error["code"], is, "{}", vector["name"]);
            refused += 1;
        }
        device.expect_nothing().await;
    }
    assert!(refused >= 10, "the vectors lost their malformed frames");
    relay.stop().await;
}

#[tokio::test]
async fn every_row_is_stored_exactly_or_named_with_its_code_in_the_acknowledgement() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let rows = vectors()["rows"].as_array().unwrap().clone();
    for (index, vector) in rows.iter().enumerate() {
        // Each in a log of its own: no row may dominate another.
        let mut device = relay.device(&format!("user {index}"), 1).await;
        let text = vector["text"].as_str().unwrap();
        let envelope = json!({ "type": "sync_push", "version": 1, "siteId": device.site, "timestamp": 1,
            "payload": { "changes": ["THE ROW"], "baseVersion": 0, "ref": "p" } });
        device.send_text(envelope.to_string().replace("\"THE ROW\"", text)).await;
        let ack = device.expect("sync_ack").await;
        let name = &vector["name"];
        match vector.get("code") {
            Some(code) => {
                assert_eq!(ack["rejected"], json!([{ "index": 0, "code": code }]), "{name}");
                assert_eq!(device.ask(json!({})).await["changes"], json!([]), "{name}");
            }
            None => {
                assert_eq!(ack.get("rejected"), None, "{name}");
                let mut expected: Value = serde_json::from_str(vector["encoded"].as_str().unwrap()).unwrap();
                if expected["cl"] == 0 {
                    continue; // a row that never lived is dominated on arrival
                }
                expected["db_version"] = json!(1);
                assert_eq!(device.ask(json!({})).await["changes"], json!([expected]), "{name}");
            }
        }
    }
    relay.stop().await;
}
