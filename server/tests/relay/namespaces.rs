//! Several applications on one relay: whose token and whose path lead to which log, on both protocols.

use crate::support::{Device, Relay, SECRET, column, http_with, token, values};
use crsqlite_relay::auth::{Auth, Rules, Source};
use serde_json::{Value, json};

/// A token of an application, or of none. What the relay's own command would not sign somebody else may.
fn within(namespace: Option<&str>, sub: &str) -> String {
    let rules = Rules { namespace_claim: Some("app".into()), ..Rules::default() };
    let secret = Some(SECRET.as_bytes().to_vec());
    let auth = Auth::open(Source { secret, ..Source::default() }, rules).unwrap();
    auth.token(sub, namespace, 4_000_000_000, 600).unwrap()
}

async fn at(relay: &Relay, path: &str, token: &str, name: u8) -> Device {
    Device::connect_to(relay.address, path, &[("Cookie", &format!("auth_token={token}"))], name).await
}

/// A request of push-pull: its status, and the answer.
async fn ask(relay: &Relay, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    let (status, _, answer) = http_with(relay.address, method, path, &headers, body).await;
    (status, serde_json::from_str(&answer).unwrap_or_default())
}

async fn pull(relay: &Relay, path: &str, token: &str) -> usize {
    let (status, page) = ask(relay, "POST", path, token, "{}").await;
    assert_eq!(status, 200, "{path}: {page}");
    page["changes"].as_array().unwrap().len()
}

async fn push(relay: &Relay, path: &str, token: &str, id: &str) {
    let todo = json!({ "id": id, "collection": "todos", "recordId": 1, "type": "create", "data": {},
                       "timestamp": "2026-01-01T00:00:00.000Z" });
    let (status, result) = ask(relay, "POST", path, token, &json!({ "changes": [todo] }).to_string()).await;
    assert_eq!((status, result["accepted"][0]["id"].as_str()), (200, Some(id)), "{result}");
}

#[tokio::test]
async fn the_claim_of_a_token_names_its_log_and_the_path_has_to_agree() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--namespace-claim", "app"]).await;
    let (notes, mail) = (within(Some("notes"), "alice"), within(Some("mail"), "alice"));
    let mut one = at(&relay, "/api/v1/sync", &notes, 1).await;
    one.push(&[column("k", "a", 1, json!("notes"), 1)]).await;
    let named = at(&relay, "/notes/api/v1/sync", &notes, 2).await.ask(json!({})).await;
    assert_eq!(values(&named), [json!("notes")], "the path says the same");
    let other = at(&relay, "/api/v1/sync", &mail, 3).await.ask(json!({})).await;
    assert_eq!(values(&other), Vec::<Value>::new());
    assert_ne!(other["account"], named["account"]);
    let none = within(None, "alice");
    for (path, token) in [
        ("/notes/api/v1/sync", &mail),
        ("/notes/api/v1/sync", &none),
        ("/api/v1/sync", &none),
        ("/api/v1/sync", &within(Some(""), "alice")),
        ("/api/v1/sync", &within(Some("../notes"), "alice")),
        ("/api/v1/sync", &within(Some("a b"), "alice")),
        ("/api/v1/sync", &within(Some(&"a".repeat(65)), "alice")),
        ("/%6eotes%00/api/v1/sync", &notes),
        ("/%ff/api/v1/sync", &notes),
        ("/Notes/api/v1/sync", &notes),
    ] {
        let closed = at(&relay, path, token, 4).await.closed().await;
        assert_eq!(closed, (4001, "token invalid".into()), "{path}");
    }
    one.expect_nothing().await;
}

#[tokio::test]
async fn push_pull_leads_to_the_same_logs() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--namespace-claim", "app"]).await;
    let (notes, mail) = (within(Some("notes"), "alice"), within(Some("mail"), "alice"));
    at(&relay, "/api/v1/sync", &notes, 1).await.push(&[column("k", "a", 1, json!(1), 1)]).await;
    push(&relay, "/notes/sync/push", &notes, "c1").await;
    push(&relay, "/sync/push", &mail, "c2").await;
    for (path, token, expected) in [
        ("/sync/pull", &notes, 2),
        ("/notes/sync/pull", &notes, 2),
        ("/sync/pull", &mail, 1),
        ("/mail/sync/pull", &mail, 1),
    ] {
        assert_eq!(pull(&relay, path, token).await, expected, "{path}");
    }
    let none = within(None, "alice");
    for (method, path, token) in [
        ("POST", "/mail/sync/pull", &notes),
        ("GET", "/mail/sync/pull", &notes),
        ("POST", "/mail/sync/push", &notes),
        ("POST", "/sync/pull", &none),
        ("POST", "/sync/pull", &within(Some("../notes"), "alice")),
        ("POST", "/%ff/sync/pull", &notes),
        ("HEAD", "/mail/sync", &notes),
    ] {
        assert_eq!(ask(&relay, method, path, token, r#"{"changes":[]}"#).await.0, 401, "{method} {path}");
    }
    assert_eq!(ask(&relay, "HEAD", "/notes/sync", &notes, "").await.0, 200);

    // A socket is told its application by its path, and its user by its first frame.
    for (path, token, expected) in
        [("/notes/sync/ws", &notes, 2), ("/sync/ws", &mail, 1), ("/mail/sync/ws", &mail, 1)]
    {
        let mut socket = Device::connect_to(relay.address, path, &[], 2).await;
        socket.send_text(json!({ "type": "auth", "payload": { "token": token } }).to_string()).await;
        socket.send_text(r#"{"type":"pull","requestId":"r","payload":{}}"#).await;
        let page = socket.receive().await;
        assert_eq!(page["payload"]["changes"].as_array().unwrap().len(), expected, "{path}: {page}");
    }
    for (path, token) in [("/mail/sync/ws", &notes), ("/sync/ws", &none)] {
        let mut socket = Device::connect_to(relay.address, path, &[], 2).await;
        socket.send_text(json!({ "type": "auth", "payload": { "token": token } }).to_string()).await;
        assert_eq!(socket.closed().await, (4001, "token invalid".into()), "{path}");
    }
}

#[tokio::test]
async fn what_one_application_stores_another_hears_nothing_of() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--namespace-claim", "app"]).await;
    let (notes, mail) = (within(Some("notes"), "alice"), within(Some("mail"), "alice"));
    let (mut one, mut two) =
        (at(&relay, "/api/v1/sync", &notes, 1).await, at(&relay, "/notes/api/v1/sync", &notes, 2).await);
    let mut stranger = at(&relay, "/api/v1/sync", &mail, 3).await;
    for device in [&mut one, &mut two, &mut stranger] {
        device.expect_nothing().await;
    }
    one.push(&[column("k", "a", 1, json!("notes"), 1)]).await;
    assert_eq!(values(&two.expect("sync_push").await), [json!("notes")]);
    push(&relay, "/sync/push", &notes, "c1").await;
    two.expect("sync_push").await;
    stranger.expect_nothing().await;
}

#[tokio::test]
async fn a_path_names_only_applications_that_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--namespace", "notes,mail"]).await;
    let alice = token("alice", 600);
    at(&relay, "/notes/api/v1/sync", &alice, 1).await.push(&[column("k", "a", 1, json!(1), 1)]).await;
    for path in ["/mail/api/v1/sync", "/api/v1/sync"] {
        let answer = at(&relay, path, &alice, 2).await.ask(json!({})).await;
        assert_eq!(values(&answer), Vec::<Value>::new(), "{path}");
    }
    let answer = at(&relay, "/notes/api/v1/sync", &alice, 2).await.ask(json!({})).await;
    assert_eq!(values(&answer), [json!(1)]);
    assert_eq!(pull(&relay, "/notes/sync/pull", &alice).await, 1);
    assert_eq!(pull(&relay, "/sync/pull", &alice).await, 0);
    for path in ["/other", "/%ff", "/notes%20", "/NOTES", "/.."] {
        let closed = at(&relay, &format!("{path}/api/v1/sync"), &alice, 3).await.closed().await;
        assert_eq!(closed, (1008, "unknown namespace".into()), "{path}");
        let (status, problem) = ask(&relay, "POST", &format!("{path}/sync/pull"), &alice, "{}").await;
        assert_eq!((status, &problem["error"]["code"]), (404, &json!("unknown-namespace")), "{path}");
    }
    // Without a token nobody learns which ones there are.
    assert_eq!(ask(&relay, "POST", "/other/sync/pull", "a.b.c", "{}").await.0, 401);
}

#[tokio::test]
async fn the_applications_that_are_served_bind_claims_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--namespace-claim", "app", "--namespace", "notes"]).await;
    at(&relay, "/api/v1/sync", &within(Some("notes"), "alice"), 1).await.expect_nothing().await;
    let closed = at(&relay, "/api/v1/sync", &within(Some("mail"), "alice"), 1).await.closed().await;
    assert_eq!(closed, (1008, "unknown namespace".into()));
}

#[tokio::test]
async fn an_applications_name_takes_no_other_path_away() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("files");
    for folder in ["notes", "api/v1", "health"] {
        std::fs::create_dir_all(files.join(folder)).unwrap();
        std::fs::write(files.join(folder).join("app.js"), folder).unwrap();
    }
    let files = files.to_str().unwrap();
    let relay =
        Relay::start(directory.path(), &["--dev", "--namespace-claim", "app", "--static", files]).await;
    for folder in ["notes", "api/v1", "health"] {
        let (status, _, body) = relay.http("GET", &format!("/{folder}/app.js"), "").await;
        assert_eq!((status, body.as_str()), (200, folder));
    }
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(relay.http("GET", path, "").await.0, 200, "{path}");
        assert_eq!(relay.http("GET", &format!("/notes{path}"), "").await.0, 404, "{path}");
    }
    // The development login names the application, too.
    assert_eq!(relay.http("GET", "/dev/login?user=alice", "").await.0, 400);
    for bad in ["", "a%20b", ".."] {
        let path = format!("/dev/login?user=alice&namespace={bad}");
        assert_eq!(relay.http("GET", &path, "").await.0, 400, "{bad}");
    }
    let (status, head, _) = relay.http("POST", "/dev/login", r#"{"user":"alice","namespace":"dev"}"#).await;
    assert_eq!(status, 200);
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: auth_token=")).unwrap();
    let (token, _) = cookie.split_once(';').unwrap();
    at(&relay, "/dev/api/v1/sync", token, 1).await.expect_nothing().await;
}

#[tokio::test]
async fn without_the_options_no_path_names_an_application() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let alice = token("alice", 600);
    assert_eq!(ask(&relay, "POST", "/notes/sync/pull", &alice, "{}").await.0, 404);
    assert_eq!(ask(&relay, "GET", "/notes/api/v1/sync", &alice, "").await.0, 404);
}
