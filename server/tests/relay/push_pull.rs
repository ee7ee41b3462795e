//! The push-pull contract over HTTP, and beside the relay protocol on the same log.

use std::time::Duration;

use crate::support::database::restore;
use crate::support::{Relay, column, http_with, offsets, sentinel, site, token, values};
use crsqlite_sync::wire::{Change, Pk, SiteId, Value as Val, record};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// A user over HTTP.
struct Client<'a> {
    relay: &'a Relay,
    bearer: String,
}

impl<'a> Client<'a> {
    fn new(relay: &'a Relay, sub: &str) -> Self {
        Client { relay, bearer: format!("Bearer {}", token(sub, 600)) }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, Value) {
        let headers = [("Content-Type", "application/json"), ("Authorization", self.bearer.as_str())];
        let (status, head, body) = http_with(self.relay.address, method, path, &headers, body).await;
        (status, head, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    async fn push(&self, changes: &str) -> Value {
        let (status, _, result) = self.ask("POST", "/sync/push", &format!("{{\"changes\":{changes}}}")).await;
        assert_eq!(status, 200, "{result}");
        result
    }

    async fn push_all(&self, changes: &[Value]) -> Value {
        self.push(&json!(changes).to_string()).await
    }

    async fn pull(&self, query: Value) -> Value {
        let (status, _, page) = self.ask("POST", "/sync/pull", &query.to_string()).await;
        assert_eq!(status, 200, "{page}");
        assert!(page["cursor"].is_string(), "a client stores it: {page}");
        page
    }
}

fn row(key: i64, cid: &str, val: Val, col_version: i64) -> Change {
    Change {
        table: "t".into(),
        pk: Pk::pack(&[Val::Integer(key)]).unwrap(),
        cid: cid.into(),
        val,
        col_version,
        db_version: 7,
        site_id: SiteId([9; 16]),
        cl: 1,
        seq: 3,
    }
}

/// As the client writes them.
fn records(rows: &[Change]) -> String {
    let named: Vec<_> = rows.iter().map(|row| (record::id(row), row.clone())).collect();
    record::write(&named, 1_700_000_000_000)
}

/// A change of an app's own record, at a second of one minute.
fn todo(id: &str, record_id: Value, kind: &str, data: Value, second: u32) -> Value {
    json!({ "id": id, "collection": "todos", "recordId": record_id, "type": kind, "data": data, "prevData": null,
            "timestamp": format!("2026-01-01T00:00:{second:02}.000Z"), "status": "pending", "retries": 0,
            "errorMessage": null, "createdAt": "x", "updatedAt": "x" })
}

fn ids(page: &Value) -> Vec<&str> {
    page["changes"].as_array().unwrap().iter().map(|change| change["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn rows_come_back_under_the_names_and_in_the_words_of_the_client() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let client = Client::new(&relay, "alice");
    let rows = [
        row(1, "a", Val::Real(5.0), 1),
        row(1, "b", Val::Integer(i64::MIN), 1),
        row(2, "a", Val::Blob(vec![0, 255]), 1),
        row(2, "b", Val::Text("é\u{0}\"".into()), 1),
        row(3, "a", Val::Null, 1),
    ];
    let result = client.push(&records(&rows)).await;
    let names: Vec<String> = rows.iter().map(record::id).collect();
    let accepted: Vec<&str> =
        result["accepted"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(accepted, names);
    assert_eq!((&result["conflicts"], &result["errors"]), (&json!([]), &json!([])));
    let page = client.pull(json!({})).await;
    assert_eq!((ids(&page), &page["hasMore"]), (names.iter().map(String::as_str).collect(), &json!(false)));
    let sent: Vec<Value> = serde_json::from_str(&records(&rows)).unwrap();
    for (change, sent) in page["changes"].as_array().unwrap().iter().zip(sent) {
        for field in ["id", "recordId", "collection", "type", "data"] {
            assert_eq!(change[field], sent[field]);
        }
        assert_ne!(change["timestamp"], sent["timestamp"], "the server's time");
    }
    let again = client.push(&records(&rows)).await;
    assert_eq!(again["accepted"].as_array().unwrap().len(), rows.len());
    let nothing = client.pull(json!({ "cursor": page["cursor"] })).await;
    assert_eq!(
        (ids(&nothing), &nothing["cursor"], &nothing["hasMore"]),
        (vec![], &page["cursor"], &json!(false))
    );
    let strangers = Client::new(&relay, "bob").pull(json!({})).await;
    assert_eq!(strangers["changes"], json!([]));
}

#[tokio::test]
async fn a_row_that_the_log_has_outgrown_is_accepted_and_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let client = Client::new(&relay, "alice");
    let (old, new) = (row(1, "a", Val::Integer(1), 1), row(1, "a", Val::Integer(2), 2));
    client.push(&records(std::slice::from_ref(&new))).await;
    let result = client.push(&records(&[old])).await;
    assert_eq!(result["accepted"].as_array().unwrap().len(), 1, "it conflicts with nothing");
    assert_eq!(ids(&client.pull(json!({})).await), [record::id(&new)]);
}

#[tokio::test]
async fn both_protocols_share_one_log_and_hear_of_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let mut stranger = relay.device("bob", 3).await;
    let answer = device.ask(json!({})).await;
    let client = Client::new(&relay, "alice");

    client.push(&records(&[row(1, "a", Val::Real(5.0), 1), row(1, "b", Val::Null, 1)])).await;
    let message = device.receive().await;
    let forward = &message["payload"];
    assert_eq!(message["siteId"], forward["relay"]["siteId"], "the log says it itself");
    assert_eq!((offsets(forward), values(forward)), (vec![1, 2], vec![json!(5.0), json!(null)]));
    assert_eq!(forward["changes"][0]["site_id"], site(9), "the origin stays");
    assert_eq!(
        (&forward["relay"]["baseVersion"], &forward["relay"]["version"], &forward["relay"]["run"]),
        (&json!(0), &json!(2), &forward["run"])
    );
    assert_eq!(answer["account"], device.ask(json!({})).await["account"]);

    // Records are no rows, but take offsets: nobody may find a gap there.
    client.push_all(&[todo("c1", json!(1), "create", json!({}), 1)]).await;
    let empty = device.expect("sync_push").await;
    assert_eq!(empty["changes"], json!([]));
    assert_eq!((&empty["relay"]["baseVersion"], &empty["relay"]["version"]), (&json!(2), &json!(3)));
    let all = device.ask(json!({})).await;
    assert_eq!((offsets(&all), &all["currentVersion"], &all["head"]), (vec![1, 2], &json!(3), &json!(3)));

    let ack = device.push(&[column("k", "a", 1, json!("theirs"), 7), sentinel("gone", 2)]).await;
    assert_eq!((&ack["relay"]["baseVersion"], &ack["relay"]["version"]), (&json!(3), &json!(5)));
    let page = client.pull(json!({})).await;
    let shown: Vec<&Value> =
        page["changes"].as_array().unwrap().iter().map(|change| &change["data"]).collect();
    assert_eq!(shown.len(), 5);
    assert_eq!(
        (&shown[3]["val"], &shown[4]["cid"], &shown[4]["cl"]),
        (&json!("theirs"), &json!("-1"), &json!(2))
    );
    stranger.expect_nothing().await;
}

#[tokio::test]
async fn results_cover_every_id_once_whatever_is_wrong_with_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let client = Client::new(&relay, "alice");
    let good = todo("good", json!(1), "create", json!({ "a": 1 }), 1);
    let broken = record::shown(&row(1, "a", Val::Integer(1), 1), 0).replace("\"val\":1", "\"val\":2");
    let broken: Value = serde_json::from_str(&broken).unwrap();
    let result = client
        .push_all(&[
            todo("no type", json!(1), "upsert", json!({}), 1),
            good.clone(),
            broken.clone(),
            good,
            json!({ "id": "nothing else" }),
            todo("no moment", json!(1), "update", json!({}), 77),
        ])
        .await;
    assert_eq!(result["accepted"][0]["id"], "good");
    assert_eq!(result["accepted"].as_array().unwrap().len(), 1);
    let errors: Vec<_> = result["errors"].as_array().unwrap().iter().map(|e| e["id"].clone()).collect();
    assert_eq!(errors, [json!("no type"), broken["id"].clone(), json!("nothing else"), json!("no moment")]);
    assert_eq!(ids(&client.pull(json!({})).await), ["good"]);

    for nameless in [json!({}), json!({ "id": 7 }), json!(null), json!("x")] {
        let body =
            json!({ "changes": [todo("late", json!(2), "create", json!({}), 1), nameless] }).to_string();
        let (status, _, problem) = client.ask("POST", "/sync/push", &body).await;
        assert_eq!((status, &problem["error"]["code"]), (400, &json!("malformed-message")));
        assert!(problem["error"]["message"].as_str().unwrap().contains("index 1"), "{problem}");
    }
    assert_eq!(ids(&client.pull(json!({})).await), ["good"], "nothing of such a push is taken");
}

#[tokio::test]
async fn the_later_write_of_a_record_wins_and_the_other_hears_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let client = Client::new(&relay, "alice");
    let first = client.push_all(&[todo("c1", json!(7), "create", json!({ "a": 1, "b": 1 }), 5)]).await;
    let mut late = todo("c2", json!(7.0), "update", json!({ "a": 2, "b": 1 }), 4);
    late["prevData"] = json!({ "a": 0, "b": 0 });
    let result = client.push_all(std::slice::from_ref(&late)).await;
    let conflict = json!({ "changeId": "c2", "recordId": 7, "collection": "todos", "local": { "a": 2, "b": 1 },
        "remote": { "a": 1, "b": 1 }, "localTimestamp": "2026-01-01T00:00:04.000Z",
        "remoteTimestamp": "2026-01-01T00:00:05.000Z", "fieldConflicts": ["a"] });
    assert_eq!(result, json!({ "accepted": [], "conflicts": [conflict], "errors": [] }));

    let again = client.push_all(&[todo("c1", json!(7), "create", json!({ "a": 1, "b": 1 }), 5)]).await;
    assert_eq!(again, first, "with the same time");
    client.push_all(&[todo("c3", json!("7"), "create", json!({ "text": true }), 1)]).await;
    client.push_all(&[todo("c4", json!(7), "delete", json!({ "a": "secret" }), 6)]).await;
    let page = client.pull(json!({})).await;
    assert_eq!(ids(&page), ["c3", "c4"], "7 and \"7\" are two records, and of each only the newest is kept");
    let gone = &page["changes"][1];
    assert_eq!(
        (&gone["type"], &gone["data"], &gone["recordId"]),
        (&json!("delete"), &json!(null), &json!(7))
    );
    assert_eq!(gone["timestamp"], "2026-01-01T00:00:06.000Z", "the writer's time");
    let repeated = client.push_all(&[todo("c1", json!(7), "create", json!({ "a": 1, "b": 1 }), 5)]).await;
    assert_eq!(repeated, first, "although another one has replaced it");
}

#[tokio::test]
async fn pages_bring_everything_in_order_and_a_filter_never_stands_still() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-pull-records", "7"]).await;
    let client = Client::new(&relay, "alice");
    for n in 0..20_i64 {
        client.push(&records(&[row(n, "a", Val::Integer(n), 1)])).await;
        if n % 10 == 9 {
            client.push_all(&[todo(&format!("c{n}"), json!(n), "create", json!({ "n": n }), 1)]).await;
        }
    }
    let all: Vec<String> = {
        let (mut cursor, mut all) = (Value::Null, Vec::new());
        loop {
            let page = client.pull(json!({ "cursor": cursor, "batchSize": 1000 })).await;
            assert!(ids(&page).len() <= 7, "the server's bound holds");
            all.extend(ids(&page).into_iter().map(str::to_owned));
            cursor = page["cursor"].clone();
            if page["hasMore"] == false {
                break all;
            }
        }
    };
    assert_eq!((all.len(), all[10].as_str(), all[21].as_str()), (22, "c9", "c19"));

    let filtered = client.pull(json!({ "collections": ["todos"], "batchSize": 1 })).await;
    assert_eq!((ids(&filtered), &filtered["hasMore"]), (vec!["c9"], &json!(true)));
    let path =
        format!("/sync/pull?collections=todos&batchSize=1&cursor={}", filtered["cursor"].as_str().unwrap());
    let (status, head, rest) = client.ask("GET", &path, "").await;
    assert_eq!((status, ids(&rest), &rest["hasMore"]), (200, vec!["c19"], &json!(false)));
    assert!(head.contains("cache-control: no-store"));
    let none = client.pull(json!({ "collections": ["nobody's"] })).await;
    assert_eq!((&none["changes"], &none["hasMore"]), (&json!([]), &json!(false)));
    let unfiltered = client.pull(json!({ "cursor": none["cursor"] })).await;
    assert_eq!(ids(&unfiltered)[0], all[0], "a cursor that has passed over everything hides nothing");
    let by_address = format!("/sync/pull?cursor={}", rest["cursor"].as_str().unwrap());
    let (_, _, page) = client.ask("POST", &by_address, r#"{"collections":["todos"]}"#).await;
    assert_eq!(page["changes"], json!([]), "the cursor of the address counts where the body has none");
}

#[tokio::test]
async fn a_cursor_outlives_a_restart_and_one_of_a_lost_log_begins_again() {
    let (directory, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let relay = Relay::start(directory.path(), &[]).await;
    Client::new(&relay, "alice").push(&records(&[row(1, "a", Val::Null, 1)])).await;
    relay.stop().await;
    restore(directory.path(), backup.path()).await;
    let relay = Relay::start(directory.path(), &[]).await;
    let client = Client::new(&relay, "alice");
    client.push(&records(&[row(2, "a", Val::Null, 1)])).await;
    let page = client.pull(json!({})).await;
    assert_eq!(ids(&page).len(), 2);
    relay.stop().await;

    let relay = Relay::start(directory.path(), &[]).await;
    let nothing = Client::new(&relay, "alice").pull(json!({ "cursor": page["cursor"] })).await;
    assert_eq!((&nothing["changes"], nothing.get("reset")), (&json!([]), None));
    relay.stop().await;

    let relay = Relay::start(backup.path(), &[]).await;
    for cursor in [page["cursor"].as_str().unwrap(), "1.7.nobody", "something else"] {
        let again = Client::new(&relay, "alice").pull(json!({ "cursor": cursor })).await;
        assert_eq!(ids(&again), [record::id(&row(1, "a", Val::Null, 1))], "{cursor}");
        assert_ne!(again["cursor"], cursor);
        assert_eq!(again["reset"], true, "which tells the reader to compare");
        let on = Client::new(&relay, "alice").pull(json!({ "cursor": again["cursor"] })).await;
        assert_eq!((&on["changes"], on.get("reset")), (&json!([]), None));
    }
}

#[tokio::test]
async fn each_refusal_has_its_status_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let limits =
        ["--max-message-bytes", "2000", "--max-push-records", "2", "--allow-origin", "https://app.example"];
    let relay = Relay::start(directory.path(), &limits).await;
    let (json_type, good) = (("Content-Type", "application/json"), format!("Bearer {}", token("alice", 600)));
    let stale = format!("Bearer {}", token("alice", -1));
    let cookie = format!("auth_token={}", token("alice", 600));
    let (bearer, old, cookie) =
        (("Authorization", good.as_str()), ("Authorization", stale.as_str()), ("Cookie", cookie.as_str()));
    let (evil, own) = (("Origin", "https://evil.example"), ("Origin", "https://app.example"));
    let (large, many) = (format!("{{\"changes\":[{}]}}", " ".repeat(2_000)), r#"{"changes":[{},{},{}]}"#);
    for (method, path, headers, body, expected, code) in [
        ("POST", "/sync/push", vec![json_type], "{}", 401, "unauthenticated"),
        ("POST", "/sync/pull", vec![json_type, old], "{}", 401, "unauthenticated"),
        ("GET", "/sync/pull", vec![("Authorization", "Basic eDp5")], "", 401, "unauthenticated"),
        ("GET", "/sync/pull", vec![cookie, old], "", 401, "unauthenticated"),
        ("POST", "/sync/push", vec![json_type, cookie, evil], r#"{"changes":[]}"#, 403, "origin-not-allowed"),
        ("GET", "/sync/pull", vec![cookie, evil], "", 403, "origin-not-allowed"),
        ("POST", "/sync/push", vec![json_type, bearer], large.as_str(), 413, "too-large"),
        ("POST", "/sync/push", vec![json_type, bearer], many, 413, "too-large"),
        ("POST", "/sync/push", vec![bearer, ("Content-Type", "text/plain")], "{}", 415, "not-json"),
        ("POST", "/sync/pull", vec![bearer], "{}", 415, "not-json"),
        ("POST", "/sync/push", vec![json_type, bearer], "{", 400, "malformed-message"),
        ("POST", "/sync/push", vec![json_type, bearer], r#"{"changes":{}}"#, 400, "malformed-message"),
        ("POST", "/sync/pull", vec![json_type, bearer], r#"{"cursor":7}"#, 400, "malformed-message"),
        ("GET", "/sync/pull?batchSize=many", vec![bearer], "", 400, "malformed-message"),
    ] {
        let (status, head, problem) = http_with(relay.address, method, path, &headers, body).await;
        let problem: Value = serde_json::from_str(&problem).unwrap();
        assert_eq!(
            (status, problem["error"]["code"].as_str().unwrap()),
            (expected, code),
            "{method} {path} {body}"
        );
        assert_eq!(head.contains("www-authenticate: Bearer"), status == 401);
        assert!(head.contains("cache-control: no-store"));
    }
    for (method, path, headers, expected) in [
        ("HEAD", "/sync", vec![bearer], 200),
        ("HEAD", "/sync", vec![], 401),
        ("GET", "/sync/pull", vec![cookie, own], 200),
        ("GET", "/sync/pull", vec![bearer, evil], 200),
        ("POST", "/sync/pull", vec![bearer, ("Content-Type", "Application/JSON; charset=utf-8")], 200),
        ("GET", "/sync", vec![bearer], 405),
        ("DELETE", "/sync/push", vec![bearer], 405),
        ("GET", "/sync/elsewhere", vec![bearer], 404),
    ] {
        let (status, ..) = http_with(relay.address, method, path, &headers, "").await;
        assert_eq!(status, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_user_has_so_many_requests_under_way_and_costs_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut waiting = Vec::new();
    let head = format!(
        "POST /sync/push HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 9999\r\n\r\n{{",
        relay.address,
        token("alice", 600)
    );
    for _ in 0..16 {
        let mut stream = TcpStream::connect(relay.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let alice = Client::new(&relay, "alice");
    let refused = async {
        loop {
            let (status, head, problem) = alice.ask("POST", "/sync/pull", "{}").await;
            if status == 429 {
                assert!(head.contains("retry-after: 1") && problem["error"]["code"] == "too-many-requests");
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.expect("a refusal");
    Client::new(&relay, "bob").pull(json!({})).await;
    drop(waiting);
    let served = async { while alice.ask("POST", "/sync/pull", "{}").await.0 != 200 {} };
    tokio::time::timeout(Duration::from_secs(20), served).await.expect("whoever is gone frees its place");
}
