//! When push-pull says no: the storage fails, the relay ends or stores nothing, a user asks too much, a page of somebody
//! else asks.

use std::time::Duration;

use crate::support::{Device, Relay, http_with, spoil, token};
use crsqlite_sync::wire::{Change, Pk, SiteId, Value as Val, record};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const APP: (&str, &str) = ("Origin", "https://app.example");

fn bearer(sub: &str) -> String {
    format!("Bearer {}", token(sub, 600))
}

/// A request of alice's: the status, the head and the body of the answer.
async fn ask(relay: &Relay, method: &str, path: &str, body: &str) -> (u16, String, Value) {
    let bearer = bearer("alice");
    let headers = [JSON, ("Authorization", bearer.as_str())];
    let (status, head, body) = http_with(relay.address, method, path, &headers, body).await;
    (status, head, serde_json::from_str(&body).unwrap_or_default())
}

async fn live(relay: &Relay) -> Device {
    let mut socket = Device::connect_to(relay.address, "/sync/ws", &[], 1).await;
    socket
        .send_text(json!({ "type": "auth", "payload": { "token": token("alice", 600) } }).to_string())
        .await;
    socket
}

fn todo(id: &str, record_id: i64) -> Value {
    json!({ "id": id, "collection": "todos", "recordId": record_id, "type": "create", "data": {},
            "timestamp": "2026-01-01T00:00:00.000Z" })
}

fn row(key: i64) -> Value {
    let row = Change {
        table: "t".into(),
        pk: Pk::pack(&[Val::Integer(key)]).unwrap(),
        cid: "a".into(),
        val: Val::Integer(key),
        col_version: 1,
        db_version: 1,
        site_id: SiteId([9; 16]),
        cl: 1,
        seq: 0,
    };
    serde_json::from_str(&record::shown(&row, 0)).unwrap()
}

#[tokio::test]
async fn while_the_storage_fails_a_client_is_told_to_come_back_on_each_way() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut socket = live(&relay).await;
    spoil(directory.path()).await;
    let push = json!({ "changes": [todo("c1", 1)] }).to_string();
    for (method, path, body) in
        [("POST", "/sync/push", push.as_str()), ("POST", "/sync/pull", "{}"), ("GET", "/sync/pull", "")]
    {
        let (status, head, problem) = ask(&relay, method, path, body).await;
        assert_eq!((status, &problem["error"]["code"]), (503, &json!("storage-failed")), "{method} {path}");
        assert!(head.contains("retry-after: 5"), "{head}");
    }
    for frame in [
        json!({ "type": "push", "requestId": "r", "payload": { "changes": [row(1)] } }),
        json!({ "type": "pull", "requestId": "r", "payload": {} }),
    ] {
        socket.send_text(frame.to_string()).await;
        let error = socket.receive().await;
        assert_eq!((&error["type"], &error["requestId"]), (&json!("error"), &json!("r")));
        let payload = &error["payload"];
        assert_eq!((&payload["code"], &payload["retryAfter"]), (&json!("storage-failed"), &json!(5_000)));
    }
    assert_eq!(ask(&relay, "HEAD", "/sync", "").await.0, 200, "it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_ends_tells_requests_to_come_back() {
    const CONNECTIONS: usize = 200;
    let directory = tempfile::tempdir().unwrap();
    let limit = CONNECTIONS.to_string();
    let arguments = ["--drain-time", "1s", "--max-connections-per-user", &limit];
    let relay = Relay::start(directory.path(), &arguments).await;
    let address = relay.address;
    // Whoever is connected makes the end last.
    let mut devices = join_all((0..CONNECTIONS).map(|_| relay.device("bob", 1))).await;
    devices[0].expect_nothing().await;
    let began = Instant::now();
    let ended = tokio::spawn(relay.begin_stop());
    let bearer = bearer("alice");
    let headers = [JSON, ("Authorization", bearer.as_str())];
    for (method, path) in
        [("HEAD", "/sync"), ("POST", "/sync/pull"), ("POST", "/sync/push"), ("GET", "/sync/pull")]
    {
        loop {
            assert!(began.elapsed() < Duration::from_millis(900), "{method} {path} is served to the end");
            let (status, head, _) = http_with(address, method, path, &headers, r#"{"changes":[]}"#).await;
            if status == 503 {
                assert!(head.contains("retry-after: 1"), "{head}");
                break;
            }
        }
    }
    drop(devices);
    ended.await.unwrap();
}

#[tokio::test]
async fn a_user_who_asks_too_fast_is_told_when_to_come_back_and_nobody_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--rate-messages", "1", "--rate-burst", "3s"]).await;
    let mut seen = Vec::new();
    for (method, path) in
        [("POST", "/sync/pull"), ("GET", "/sync/pull"), ("POST", "/sync/push")].iter().cycle().take(9)
    {
        let (status, head, problem) = ask(&relay, method, path, r#"{"changes":[]}"#).await;
        if status == 429 {
            assert_eq!(problem["error"]["code"], "too-many-requests");
            assert!(head.contains("retry-after: 1"), "{head}");
        }
        seen.push(status);
    }
    assert!(seen[..3] == [200; 3] && seen[6..] == [429; 3], "{seen:?}");
    let bearer = bearer("bob");
    let headers = [JSON, ("Authorization", bearer.as_str())];
    assert_eq!(http_with(relay.address, "POST", "/sync/pull", &headers, "{}").await.0, 200);
    let (_, _, metrics) = relay.http("GET", "/metrics", "").await;
    assert!(metrics.contains("crsqlite_relay_limited_total{limit=\"rate\"}"), "{metrics}");
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_ask_with_the_cookie_and_read_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--allow-origin", "https://app.example"]).await;
    let cookie = format!("auth_token={}", token("alice", 600));
    let evil = ("Origin", "https://evil.example");
    for path in ["/sync/push", "/sync/pull", "/sync"] {
        for (origin, allowed) in [(APP, true), (evil, false)] {
            let preflight = [
                origin,
                ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", "authorization,content-encoding,content-type"),
            ];
            let (status, head, body) = http_with(relay.address, "OPTIONS", path, &preflight, "").await;
            assert_eq!((status, body.as_str()), (200, ""), "{path}");
            let head = head.to_lowercase();
            assert_eq!(head.contains("access-control-allow-origin: https://app.example"), allowed, "{head}");
            assert!(!head.contains("evil"), "{head}");
            if allowed {
                assert!(head.contains("access-control-allow-credentials: true"), "{head}");
                assert!(head.contains("access-control-allow-methods: get,head,post"), "{head}");
                assert!(
                    head.contains(
                        "access-control-allow-headers: authorization,content-encoding,content-type"
                    ),
                    "{head}"
                );
                assert!(head.contains("access-control-max-age: 600"), "{head}");
            }
        }
    }
    let (status, head, _) =
        http_with(relay.address, "POST", "/sync/pull", &[JSON, ("Cookie", &cookie), APP], "{}").await;
    let head = head.to_lowercase();
    assert_eq!(status, 200);
    for line in [
        "access-control-allow-origin: https://app.example",
        "access-control-allow-credentials: true",
        "access-control-expose-headers: retry-after,date",
        "vary: origin",
    ] {
        assert!(head.contains(line), "{line}\n{head}");
    }
    // A refusal can be read as well, or the page would not know why.
    let (status, head, _) = http_with(relay.address, "POST", "/sync/pull", &[JSON, APP], "{}").await;
    assert!(status == 401 && head.contains("access-control-allow-origin: https://app.example"), "{head}");
    let (status, head, _) =
        http_with(relay.address, "POST", "/sync/pull", &[JSON, ("Cookie", &cookie), evil], "{}").await;
    assert!(status == 403 && !head.contains("access-control-allow-origin"), "{head}");
}

#[tokio::test]
async fn what_a_page_of_somebody_else_makes_a_browser_ask_is_refused_and_stores_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--allow-origin", "https://app.example"]).await;
    let cookie = format!("auth_token={}", token("alice", 600));
    let cookie = ("Cookie", cookie.as_str());
    let (evil, embedded) = (("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site"));
    let push = json!({ "changes": [todo("c1", 1)] }).to_string();
    for from in [evil, embedded, ("Origin", "null")] {
        for (method, path, body) in [
            ("POST", "/sync/push", push.as_str()),
            ("POST", "/sync/pull", "{}"),
            ("GET", "/sync/pull", ""),
            ("HEAD", "/sync", ""),
        ] {
            let answer = http_with(relay.address, method, path, &[JSON, cookie, from], body).await;
            assert_eq!(answer.0, 403, "{from:?} {method} {path}");
        }
    }
    // What a form can send without asking first is no JSON, whoever sends it.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let headers = [("Content-Type", kind), cookie];
        assert_eq!(http_with(relay.address, "POST", "/sync/push", &headers, &push).await.0, 415, "{kind}");
    }
    for from in [APP, ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none")] {
        let (status, _, page) = http_with(relay.address, "GET", "/sync/pull", &[cookie, from], "").await;
        let page: Value = serde_json::from_str(&page).unwrap();
        assert_eq!((status, &page["changes"]), (200, &json!([])), "{from:?}: nothing was stored");
    }
}

#[tokio::test]
async fn a_relay_that_stores_nothing_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let options = ["--no-store", "--namespace", "notes", "--static", directory.path().to_str().unwrap()];
    let relay = Relay::start(directory.path(), &options).await;
    for (method, path) in [
        ("POST", "/sync/push"),
        ("POST", "/sync/pull"),
        ("GET", "/sync/pull?cursor=x"),
        ("POST", "/notes/sync/push"),
    ] {
        let (status, _, problem) = ask(&relay, method, path, r#"{"changes":[]}"#).await;
        assert_eq!((status, &problem["error"]["code"]), (501, &json!("not-stored")), "{method} {path}");
    }
    assert_eq!(ask(&relay, "HEAD", "/sync", "").await.0, 501, "a client that asks first hears it as well");
    for path in ["/sync/ws", "/notes/sync/ws"] {
        let mut socket = Device::connect_to(relay.address, path, &[], 1).await;
        assert_eq!(socket.closed().await, (1008, "this relay stores nothing".into()));
    }
}

#[tokio::test]
async fn who_has_no_room_is_told_so_record_by_record_and_may_change_and_delete() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-rows-per-user", "2"]).await;
    let over = |result: &Value, ids: &[&str]| {
        let errors: Vec<_> = result["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (e["id"].clone(), e["error"].clone()))
            .collect();
        let why = "over-quota: the user has no room for more";
        assert_eq!(errors, ids.iter().map(|id| (json!(id), json!(why))).collect::<Vec<_>>(), "{result}");
    };
    let batch = json!({ "changes": [todo("c1", 1), row(1), row(2), todo("c2", 2)] });
    let named = row(2)["id"].as_str().unwrap().to_owned();
    let (_, _, result) = ask(&relay, "POST", "/sync/push", &batch.to_string()).await;
    over(&result, &["c1", "c2"]);
    assert_eq!(result["accepted"].as_array().unwrap().len(), 2, "rows come first");
    let mut socket = live(&relay).await;
    let push =
        |changes: Value| json!({ "type": "push", "requestId": "r", "payload": { "changes": changes } });
    socket.send_text(push(json!([row(3), todo("c3", 3), row(2)])).to_string()).await;
    let result = socket.expect("push_result").await;
    over(&result, &[row(3)["id"].as_str().unwrap(), "c3"]);
    assert_eq!(result["accepted"][0]["id"], named, "what is there is accepted again");
    let (_, _, metrics) = relay.http("GET", "/metrics", "").await;
    for line in [
        "crsqlite_relay_limited_total{limit=\"max-rows-per-user\"} 3",
        "crsqlite_relay_rows_total{outcome=\"stored\"} 2",
        "crsqlite_relay_rows_total{outcome=\"dominated\"} 1",
        "crsqlite_relay_rows_total{outcome=\"rejected\"} 1",
        "crsqlite_relay_http_responses_total{route=\"/sync/push\",status=\"200\"} 1",
        "crsqlite_relay_http_responses_total{route=\"/sync/ws\",status=\"101\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}
