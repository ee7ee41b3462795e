//! The push-pull contract over a socket: who is let in, what is answered, and what is told unasked.

use crate::support::{Device, Relay, column, http_with, token};
use crsqlite_sync::wire::{Change, Pk, SiteId, Value as Val, record};
use serde_json::{Value, json};

const PATH: &str = "/sync/ws";

async fn socket(relay: &Relay, headers: &[(&'static str, &str)]) -> Device {
    Device::connect_to(relay.address, PATH, headers, 1).await
}

/// A socket of a user that has said so in its first frame.
async fn live(relay: &Relay, sub: &str) -> Device {
    let mut socket = socket(relay, &[]).await;
    say(&mut socket, &json!({ "type": "auth", "payload": { "token": token(sub, 600) } })).await;
    socket
}

async fn say(socket: &mut Device, frame: &Value) {
    socket.send_text(frame.to_string()).await;
}

async fn ask(socket: &mut Device, kind: &str, payload: Value) -> Value {
    say(socket, &json!({ "type": kind, "requestId": "req_1_2", "payload": payload })).await;
    let mut answer = socket.receive().await;
    assert_eq!(
        (&answer["type"], &answer["requestId"]),
        (&json!(format!("{kind}_result")), &json!("req_1_2"))
    );
    answer["payload"].take()
}

/// Nothing came since the last message: the next one is the answer to a question asked now.
async fn hears_nothing(socket: &mut Device) {
    ask(socket, "pull", json!({ "batchSize": 1 })).await;
}

fn row(key: i64) -> Change {
    Change {
        table: "t".into(),
        pk: Pk::pack(&[Val::Integer(key)]).unwrap(),
        cid: "a".into(),
        val: Val::Real(5.0),
        col_version: 1,
        db_version: 0,
        site_id: SiteId([9; 16]),
        cl: 1,
        seq: 0,
    }
}

fn shown(key: i64) -> Value {
    serde_json::from_str(&record::shown(&row(key), 0)).unwrap()
}

fn todo(id: &str) -> Value {
    json!({ "id": id, "collection": "todos", "recordId": 1, "type": "create", "data": { "a": 1 },
            "timestamp": "2026-01-01T00:00:00.000Z" })
}

#[tokio::test]
async fn what_is_stored_reaches_the_users_other_connections_of_both_protocols_only() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut a, mut b, mut stranger) =
        (live(&relay, "alice").await, live(&relay, "alice").await, live(&relay, "bob").await);
    for socket in [&mut a, &mut b, &mut stranger] {
        hears_nothing(socket).await;
    }
    let mut device = relay.device("alice", 2).await;
    device.expect_nothing().await;

    let result = ask(&mut a, "push", json!({ "changes": [shown(1), todo("c1")] })).await;
    assert_eq!(result["accepted"].as_array().unwrap().len(), 2);
    let told = b.receive().await;
    assert_eq!((&told["type"], told.get("requestId")), (&json!("server_push"), None));
    assert_eq!(
        (&told["payload"][0]["id"], &told["payload"][0]["data"]),
        (&shown(1)["id"], &shown(1)["data"])
    );
    assert_eq!(b.receive().await["payload"], json!([todo("c1")]));
    assert_eq!(device.expect("sync_push").await["relay"]["version"], 1);
    assert_eq!(device.expect("sync_push").await["relay"]["version"], 2);

    // What is known or conflicts is no news.
    let again = ask(&mut a, "push", json!({ "changes": [shown(1), todo("c1"), todo("b")] })).await;
    assert_eq!(
        (again["accepted"].as_array().unwrap().len(), again["conflicts"].as_array().unwrap().len()),
        (2, 1)
    );
    hears_nothing(&mut b).await;

    device.push(&[column("k", "a", 1, json!("theirs"), 7)]).await;
    for socket in [&mut a, &mut b] {
        let told = socket.receive().await;
        assert_eq!(
            (&told["payload"][0]["collection"], &told["payload"][0]["data"]["val"]),
            (&json!("t"), &json!("theirs"))
        );
    }
    let bearer = format!("Bearer {}", token("alice", 600));
    let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    let body = json!({ "changes": [shown(2)] }).to_string();
    http_with(relay.address, "POST", "/sync/push", &headers, &body).await;
    for socket in [&mut a, &mut b] {
        assert_eq!(socket.receive().await["payload"][0]["id"], shown(2)["id"]);
    }
    hears_nothing(&mut a).await;
    hears_nothing(&mut stranger).await;
}

#[tokio::test]
async fn a_connection_is_let_in_by_its_first_frame_its_cookie_or_its_bearer() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (cookie, bearer) =
        (format!("auth_token={}", token("alice", 600)), format!("Bearer {}", token("alice", 600)));
    for headers in [
        vec![("Cookie", cookie.as_str())],
        vec![("Authorization", bearer.as_str()), ("Origin", "https://elsewhere.example")],
    ] {
        let mut socket = socket(&relay, &headers).await;
        hears_nothing(&mut socket).await;
        // The app's other headers take nothing away.
        say(&mut socket, &json!({ "type": "auth", "payload": { "x-tenant": "1" } })).await;
        hears_nothing(&mut socket).await;
    }
    // A stale cookie is no hindrance to whoever has a better token.
    let mut late = socket(&relay, &[("Cookie", "auth_token=stale")]).await;
    say(&mut late, &json!({ "type": "auth", "payload": { "Authorization": bearer } })).await;
    hears_nothing(&mut late).await;
}

#[tokio::test]
async fn whoever_names_no_user_is_closed_with_4001() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--auth-timeout", "300ms"]).await;
    let auth = |payload: Value| json!({ "type": "auth", "payload": payload }).to_string();
    let pull = json!({ "type": "pull", "requestId": "r", "payload": {} }).to_string();
    let foreign = token("alice", 600).replace('.', ".x");
    for (frame, reason) in [
        (Some(auth(json!({}))), "token missing"),
        (Some(auth(json!({ "token": "garbage" }))), "token invalid"),
        (Some(auth(json!({ "token": foreign }))), "token invalid"),
        (Some(auth(json!({ "token": token("alice", -1) }))), "token expired"),
        (Some(pull.clone()), "token missing"),
        (Some("not JSON".to_owned()), "token missing"),
        (None, "token missing"),
    ] {
        let mut socket = socket(&relay, &[]).await;
        if let Some(frame) = &frame {
            socket.send_text(frame.clone()).await;
        }
        assert_eq!(socket.closed().await, (4001, reason.to_owned()), "{frame:?}");
    }
    // A page of somebody else cannot ride on the user's cookie.
    let cookie = format!("auth_token={}", token("alice", 600));
    let mut evil = socket(&relay, &[("Cookie", &cookie), ("Origin", "https://evil.example")]).await;
    evil.send_text(pull).await;
    assert_eq!(evil.closed().await.0, 4001);
}

#[tokio::test]
async fn a_connection_ends_with_its_token_unless_the_same_user_brings_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let brief = |sub| json!({ "type": "auth", "payload": { "token": token(sub, 2) } });
    let (mut one, mut other, mut renewed) =
        (socket(&relay, &[]).await, socket(&relay, &[]).await, socket(&relay, &[]).await);
    for socket in [&mut one, &mut other, &mut renewed] {
        say(socket, &brief("alice")).await;
        hears_nothing(socket).await;
    }
    say(&mut renewed, &json!({ "type": "auth", "payload": { "token": token("alice", 600) } })).await;
    say(&mut other, &brief("bob")).await;
    assert_eq!(other.closed().await, (4001, "token of another user".to_owned()));
    assert_eq!(one.closed().await, (4001, "token expired".to_owned()));
    hears_nothing(&mut renewed).await;
}

#[tokio::test]
async fn what_cannot_be_served_is_said_under_its_request_and_too_much_of_it_ends_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-malformed", "5"]).await;
    let mut socket = live(&relay, "alice").await;
    for (frame, request_id) in [
        ("not JSON", "unknown"),
        (r#"{"type":"push","requestId":"r1"}"#, "r1"),
        (r#"{"type":"push","requestId":"r2","payload":{"changes":[{}]}}"#, "r2"),
        (r#"{"type":"pull","requestId":"r3","payload":{"cursor":7}}"#, "r3"),
        (r#"{"type":"hello","requestId":"r4","payload":{}}"#, "r4"),
    ] {
        socket.send_text(frame).await;
        let error = socket.receive().await;
        assert_eq!((&error["type"], &error["requestId"]), (&json!("error"), &json!(request_id)), "{frame}");
        assert_eq!(error["payload"]["code"], "malformed-message");
        assert!(error["payload"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    hears_nothing(&mut socket).await;
    socket.send_text("[]").await;
    assert_eq!(socket.closed().await.0, 1008);
}

#[tokio::test]
async fn what_is_too_large_ends_the_connection_with_1009() {
    let directory = tempfile::tempdir().unwrap();
    let relay =
        Relay::start(directory.path(), &["--max-message-bytes", "1000", "--max-push-records", "2"]).await;
    let three: Vec<Value> = ["a", "b", "c"].map(|id| json!({ "id": id })).into();
    for payload in [json!({ "changes": three }), json!({ "changes": [], "x": "x".repeat(1_000) })] {
        let mut socket = live(&relay, "alice").await;
        say(&mut socket, &json!({ "type": "push", "requestId": "r", "payload": payload })).await;
        assert_eq!(socket.closed().await.0, 1009);
    }
    let mut next = live(&relay, "alice").await;
    hears_nothing(&mut next).await;
}

#[tokio::test]
async fn a_user_has_so_many_connections_of_both_protocols() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-connections-per-user", "2"]).await;
    let (mut first, mut second) = (live(&relay, "alice").await, relay.device("alice", 2).await);
    hears_nothing(&mut first).await;
    second.expect_nothing().await;
    assert_eq!(live(&relay, "alice").await.closed().await.0, 1013);
    hears_nothing(&mut live(&relay, "bob").await).await;
}

#[tokio::test]
async fn a_relay_that_ends_says_so_to_sockets_of_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut known, mut unknown) = (live(&relay, "alice").await, socket(&relay, &[]).await);
    hears_nothing(&mut known).await;
    let ((), known, unknown) = tokio::join!(relay.stop(), known.closed(), unknown.closed());
    assert_eq!((known.0, unknown.0), (1013, 1013));
}
