//! Several relays on one PostgreSQL: devices of a user are in step wherever each is connected, also when a relay ends
//! between its commit and its word to the others, when the words fail to come, and when the database starts anew.

use std::path::Path;
use std::time::Duration;

use crate::process::Process;
use crate::support::postgres::{self, Postgres};
use crate::support::{Device, Relay, SECRET, column, cursor, http_with, offsets, token, until, values};
use crsqlite_sync::wire::{Change, record};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;
use tokio::time::Instant;

/// Sooner than the beat of the head, which would heal everything.
const SOON: Duration = Duration::from_secs(5);
const NO_BEAT: [&str; 2] = ["--head-interval", "1h"];

/// Relays on the shared server of the tests.
async fn two(folder: &Path) -> (Relay, Relay) {
    let url = postgres::database_of(folder).await;
    (on(&url).await, on(&url).await)
}

async fn on(url: &str) -> Relay {
    Relay::on(url, &NO_BEAT).await
}

/// What the other relay's devices are to be told, in time.
async fn soon(device: &mut Device) -> Value {
    tokio::time::timeout(SOON, device.expect("sync_push")).await.expect("the word of the other relay")
}

#[tokio::test]
async fn what_is_written_at_one_relay_is_told_at_the_other_in_the_order_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = two(folder.path()).await;
    let (mut a, mut b) = (one.device("alice", 1).await, other.device("alice", 2).await);
    let mut stranger = other.device("bob", 3).await;
    stranger.expect_nothing().await;
    b.expect_nothing().await;
    a.expect_nothing().await;
    let ack = a.push(&[column("k", "a", 1, json!("first"), 1)]).await;
    let told = soon(&mut b).await;
    assert_eq!((values(&told), &told["relay"]), (vec![json!("first")], &ack["relay"]));
    assert_eq!(offsets(&told), [1], "the log itself says it");

    // Each hears of the other's rows before its own, which come after them.
    let ack = b.push(&[column("l", "a", 1, json!("second"), 1)]).await;
    assert_eq!((&ack["relay"]["baseVersion"], &ack["relay"]["version"]), (&json!(1), &json!(2)));
    assert_eq!(values(&soon(&mut a).await), ["second"]);
    let mut waits = Vec::new();
    for n in 3..20 {
        let (writer, reader) = if n % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let ack = writer.push(&[column("m", "a", n, json!(n), n)]).await;
        assert_eq!(ack["relay"]["version"], n);
        let acknowledged = Instant::now();
        let told = soon(reader).await;
        waits.push(acknowledged.elapsed());
        assert_eq!((&told["relay"], values(&told)), (&ack["relay"], vec![json!(n)]));
    }
    waits.sort();
    assert!(waits[waits.len() / 2] < Duration::from_secs(1), "told, not found by those who look: {waits:?}");
    let (of_a, of_b) = (a.ask(json!({})).await, b.ask(json!({})).await);
    assert_eq!((&of_a["changes"], &of_a["run"], &of_a["head"]), (&of_b["changes"], &of_b["run"], &json!(19)));
    let same = cursor(&ack["relay"]["siteId"], &of_a["run"], &json!(19));
    assert_eq!(b.ask(same).await["changes"], json!([]), "a cursor of one relay counts at the other");
    assert_eq!(stranger.ask(json!({})).await["changes"], json!([]));
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn rows_that_raced_each_other_are_told_once_each_and_none_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = two(folder.path()).await;
    let (mut a, mut b) = (one.device("alice", 1).await, other.device("alice", 2).await);
    let (mut at_one, mut at_other) = (one.device("alice", 3).await, other.device("alice", 4).await);
    for device in [&mut at_one, &mut at_other] {
        device.expect_nothing().await;
    }
    for n in 0..40 {
        for (name, device) in [("a", &mut a), ("b", &mut b)] {
            let row = column(&format!("{name}{n}"), "a", 1, json!(format!("{name}{n}")), n);
            device.send("sync_push", json!({ "changes": [row], "baseVersion": n })).await;
        }
    }
    for device in [&mut at_one, &mut at_other] {
        let (mut received, mut all) = (0, Vec::new());
        while all.len() < 80 {
            let told = soon(device).await;
            let base = told["relay"]["baseVersion"].as_i64().unwrap();
            assert!(base <= received, "nothing lies between {received} and {base}");
            received = received.max(told["relay"]["version"].as_i64().unwrap());
            all.extend(values(&told));
        }
        all.sort_by_key(ToString::to_string);
        all.dedup();
        assert_eq!((all.len(), received), (80, 80));
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn sockets_of_the_push_pull_contract_hear_of_rows_and_records_of_other_relays() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = two(folder.path()).await;
    let bearer = format!("Bearer {}", token("alice", 600));
    let headers = [("Authorization", bearer.as_str())];
    let mut live = Device::connect_to(other.address, "/sync/ws", &headers, 1).await;
    let mut beside = other.device("alice", 2).await;
    beside.expect_nothing().await;
    // Answered, so it is let in.
    live.send_text(r#"{"type":"pull","requestId":"1","payload":{}}"#).await;
    live.receive().await;
    let change: Change = serde_json::from_value(column("k", "a", 1, json!(1), 1))
        .map(|row: Value| Change::from_json(&row.to_string()).unwrap())
        .unwrap();
    let note = json!({ "id": "n1", "collection": "notes", "recordId": "r", "type": "create",
                       "data": { "text": "hello" }, "timestamp": "2026-01-01T00:00:00.000Z" });
    let row: Value = serde_json::from_str(&record::shown(&change, 0)).unwrap();
    let body = json!({ "changes": [row, note] }).to_string();
    let json_headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let (status, _, answer) = http_with(one.address, "POST", "/sync/push", &json_headers, &body).await;
    assert_eq!((status, answer.matches("serverTimestamp").count()), (200, 2), "{answer}");
    let mut ids = Vec::new();
    while ids.len() < 2 {
        let told = tokio::time::timeout(SOON, live.receive()).await.expect("the word of the other relay");
        assert_eq!(told["type"], "server_push");
        ids.extend(told["payload"].as_array().unwrap().iter().map(|change| change["id"].clone()));
    }
    assert_eq!(ids, [row["id"].clone(), json!("n1")]);
    // The records have offsets, too: whoever speaks the other protocol sees no gap.
    let mut head = 0;
    while head < 2 {
        let place = soon(&mut beside).await["relay"].take();
        assert!(place["baseVersion"].as_i64().unwrap() <= head);
        head = place["version"].as_i64().unwrap();
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn what_a_relay_wrote_that_was_killed_before_its_word_is_found_by_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres::database_of(folder.path()).await;
    let other = on(&url).await;
    let mut killed = Process::start(folder.path(), &["--jwt-secret", SECRET, "--database", &url]);
    // From here on no word gets through: each writer is killed between its commit and its word.
    postgres::run(
        folder.path(),
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'silence'; END $$;
         CREATE TRIGGER silence BEFORE DELETE ON untold FOR EACH ROW EXECUTE FUNCTION nothing()",
    )
    .await;
    let (mut a, mut b) = (killed.device("alice").await, other.device("alice", 2).await);
    b.expect_nothing().await;
    a.push(&[column("k", "a", 1, json!(1), 1)]).await;
    killed.kill();
    assert_eq!(values(&soon(&mut b).await), [1]);
    other.stop().await;
}

#[tokio::test]
async fn what_was_told_while_a_relay_could_not_hear_is_looked_up_when_it_listens_again() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = two(folder.path()).await;
    let (mut a, mut b) = (one.device("alice", 1).await, other.device("alice", 2).await);
    b.expect_nothing().await;
    a.push(&[column("k", "a", 1, json!("heard"), 1)]).await;
    assert_eq!(values(&soon(&mut b).await), ["heard"]);
    postgres::run(
        folder.path(),
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'crsqlite-relay, listening'",
    )
    .await;
    a.push(&[column("k", "a", 2, json!("missed"), 2)]).await;
    // Told: nobody can find it by what is untold.
    let mut db = sqlx::PgConnection::connect(&postgres::database_of(folder.path()).await).await.unwrap();
    until("the word is out", async || {
        let untold: i64 = sqlx::query_scalar("SELECT count(*) FROM crsqlite_relay.untold")
            .fetch_one(&mut db)
            .await
            .unwrap();
        untold == 0
    })
    .await;
    assert_eq!(values(&soon(&mut b).await), ["missed"]);
    db.close().await.unwrap();
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn devices_go_on_when_the_database_starts_anew_under_the_relays() {
    let (folder, mut database): (TempDir, _) = (tempfile::tempdir().unwrap(), Postgres::start(&[]));
    let url = database.database(folder.path()).await;
    let (one, other) = (on(&url).await, on(&url).await);
    let (mut a, mut b) = (one.device("alice", 1).await, other.device("alice", 2).await);
    b.expect_nothing().await;
    let before = a.push(&[column("k", "a", 1, json!("before"), 1)]).await;
    assert_eq!(values(&soon(&mut b).await), ["before"]);

    database.end("QUIT");
    a.send(
        "sync_push",
        json!({ "changes": [column("k", "a", 2, json!("lost"), 2)], "baseVersion": 1, "ref": "r" }),
    )
    .await;
    let error = a.expect("sync_error").await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("storage-failed"), &json!("r")));
    assert_eq!(one.http("GET", "/ready", "").await.0, 503);
    database.begin();
    until("both relays are ready", async || {
        one.http("GET", "/ready", "").await.0 == 200 && other.http("GET", "/ready", "").await.0 == 200
    })
    .await;

    let after = a.push(&[column("k", "a", 2, json!("after"), 2)]).await;
    assert_ne!(after["relay"]["run"], before["relay"]["run"], "commits may be missing since then");
    assert_eq!((&after["relay"]["baseVersion"], &after["relay"]["version"]), (&json!(1), &json!(2)));
    let told = loop {
        let told = tokio::time::timeout(4 * SOON, b.expect("sync_push")).await.expect("listening again");
        if !values(&told).is_empty() {
            break told;
        }
    };
    assert_eq!((values(&told), &told["relay"]["run"]), (vec![json!("after")], &after["relay"]["run"]));
    let known = cursor(&before["relay"]["siteId"], &before["relay"]["run"], &json!(1));
    let answer = b.ask(known).await;
    assert_eq!((values(&answer), &answer["baseVersion"]), (vec![json!("after")], &json!(1)));
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_replica_that_lacks_the_last_commits_gives_its_offsets_a_name_of_their_own() {
    let (folder, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = postgres::database_of(folder.path()).await;
    let relay = on(&url).await;
    let mut device = relay.device("alice", 1).await;
    device.push(&[column("k", "a", 1, json!("kept"), 1)]).await;
    // A copy of this moment takes the database's place under the running relay.
    postgres::hold(folder.path(), restored.path()).await;
    let lost = device.push(&[column("l", "a", 1, json!("lost"), 2)]).await;
    postgres::replace(folder.path(), restored.path()).await;
    let claim = json!({ "sinceVersion": 0, "ref": "q", "stored": [lost["relay"]["run"], 2],
        "cursors": cursor(&lost["relay"]["siteId"], &lost["relay"]["run"], &json!(2)) });
    let mut other = relay.device("alice", 2).await;
    until("the relay has found the copy", async || other.ask(json!({})).await["head"] == 1).await;
    let new = other.push(&[column("m", "a", 1, json!("new"), 1)]).await;
    assert_ne!(new["relay"]["run"], lost["relay"]["run"]);
    let answer = other.ask_with(claim).await;
    assert_eq!((values(&answer), &answer["stored"]), (vec![json!("new")], &json!(1)), "{answer}");
    relay.stop().await;
}

#[tokio::test]
async fn relays_that_start_together_on_an_empty_database_make_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres::database_of(folder.path()).await;
    let relays = futures_util::future::join_all((0..4).map(|_| on(&url))).await;
    let mut logs = Vec::new();
    for relay in &relays {
        let mut device = relay.device("alice", 1).await;
        device.send("sync_request", json!({ "sinceVersion": 0, "cursors": {}, "ref": "q" })).await;
        logs.push(device.receive().await["siteId"].clone());
    }
    logs.dedup();
    assert_eq!(logs.len(), 1, "one log with one name");
    for relay in relays {
        relay.stop().await;
    }
    let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("UPDATE crsqlite_relay.format SET version = 99").execute(&mut db).await.unwrap();
    let refused = crate::support::database::open_url(&url).await.unwrap_err();
    assert!(matches!(refused, crsqlite_relay::Error::NewerDatabase(99)));
    db.close().await.unwrap();
}
