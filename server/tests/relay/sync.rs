//! The relay protocol between devices of one user, through a relay that stores.

use crate::support::database::{remove, restore, run_beside};
use crate::support::{Relay, column, cursor, key, offsets, sentinel, site, values};
use crsqlite_sync::wire::{Body, Message, Pk, SiteId, SyncRequest, TableDigest, Value as Val};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;

#[tokio::test]
async fn a_push_is_stored_acknowledged_and_forwarded_to_the_users_other_devices_only() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    let mut stranger = relay.device("bob", 3).await;
    let answer = b.ask(json!({})).await;
    assert_eq!(
        (&answer["baseVersion"], &answer["currentVersion"], &answer["head"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(
        (&answer["durable"], &answer["to"], &answer["ref"]),
        (&json!(true), &json!(site(2)), &json!("q"))
    );
    assert_eq!((answer.get("more"), answer.get("stored")), (None, None));
    let strangers = stranger.ask(json!({})).await;
    assert_ne!(strangers["account"], answer["account"]);

    let rows = [column("k", "a", 1, json!("one"), 7), column("k", "b", 1, json!(2), 7)];
    a.send(
        "sync_push",
        json!({ "changes": rows, "baseVersion": 6, "currentVersion": 8, "run": "a's", "ref": "r1", "head": 8 }),
    )
    .await;
    let ack = a.expect("sync_ack").await;
    assert_eq!((&ack["receivedVersion"], &ack["appliedCount"]), (&json!(8), &json!(2)));
    assert_eq!((&ack["durable"], &ack["ref"], &ack["to"]), (&json!(true), &json!("r1"), &json!(site(1))));
    assert_eq!((&ack["relay"]["baseVersion"], &ack["relay"]["version"]), (&json!(0), &json!(2)));
    assert_eq!(ack["relay"]["run"], answer["run"]);

    let forward = b.receive().await;
    assert_eq!(
        (&forward["type"], &forward["siteId"], &forward["timestamp"]),
        (&json!("sync_push"), &json!(site(1)), &json!(1))
    );
    let payload = &forward["payload"];
    assert_eq!(
        (&payload["run"], &payload["baseVersion"], &payload["currentVersion"]),
        (&json!("a's"), &json!(6), &json!(8))
    );
    assert_eq!(offsets(payload), [7, 7], "a forward keeps the sender's versions");
    assert_eq!(payload["relay"], ack["relay"]);
    assert_eq!((payload.get("ref"), payload.get("head")), (None, None));

    stranger.expect_nothing().await;
    a.expect_nothing().await;
}

#[tokio::test]
async fn a_late_device_gets_everything_although_the_writer_left_and_the_relay_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut writer = relay.device("alice", 1).await;
    writer.push(&[column("k", "a", 1, json!("old"), 1), column("k", "b", 1, json!("b"), 1)]).await;
    writer.push(&[column("k", "a", 2, json!("new"), 2)]).await;
    drop(writer);
    relay.stop().await;
    let relay = Relay::start(directory.path(), &[]).await;
    let answer = relay.device("alice", 2).await.ask(json!({})).await;
    assert_eq!((values(&answer), offsets(&answer)), (vec![json!("b"), json!("new")], vec![2, 3]));
    assert_eq!(answer["currentVersion"], 3);
    assert_eq!(answer["changes"][0]["site_id"], site(9), "the origin stays");
}

#[tokio::test]
async fn a_device_asks_page_after_page_and_then_has_everything() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--answer-bytes", "1000"]).await;
    let mut device = relay.device("alice", 1).await;
    let rows: Vec<Value> = (0..20).map(|n| column(&format!("k{n}"), "a", 1, json!(n), 1)).collect();
    device.push(&rows).await;
    let (mut cursors, mut got, mut pages) = (json!({}), Vec::new(), 0);
    loop {
        device.send("sync_request", json!({ "sinceVersion": 0, "cursors": cursors })).await;
        let message = device.receive().await;
        let page = &message["payload"];
        got.extend(values(page));
        pages += 1;
        assert_eq!(page["head"], 20);
        if page.get("more").is_none() {
            assert_eq!(page["currentVersion"], 20);
            break;
        }
        assert_eq!(offsets(page).last(), page["currentVersion"].as_i64().as_ref());
        cursors = json!({ message["siteId"].as_str().unwrap(): [page["run"], page["currentVersion"], page["head"]] });
    }
    assert!(pages > 3, "{pages}");
    assert_eq!(got, (0..20).map(|n| json!(n)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_row_larger_than_an_answer_is_sent_alone() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--answer-bytes", "1000", "--queue-bytes", "1000"]).await;
    let mut device = relay.device("alice", 1).await;
    device.push(&[column("k", "a", 1, json!("x".repeat(50_000)), 1), column("l", "a", 1, json!(1), 1)]).await;
    let answer = device.ask(json!({})).await;
    assert_eq!((offsets(&answer), &answer["more"]), (vec![1], &json!(true)));
}

#[tokio::test]
async fn what_is_known_or_dominated_is_acknowledged_but_neither_numbered_nor_forwarded() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    b.expect_nothing().await;
    let rows = [column("k", "a", 2, json!(1), 5), column("k", "b", 1, json!(1), 5)];
    a.push(&rows).await;
    assert_eq!(offsets(&b.expect("sync_push").await), [5, 5]);
    let again = a.push(&rows).await;
    assert_eq!(
        (&again["appliedCount"], &again["relay"]["baseVersion"], &again["relay"]["version"]),
        (&json!(2), &json!(2), &json!(2))
    );
    a.push(&[column("k", "a", 1, json!("older"), 9)]).await;
    let mixed = a.push(&[column("k", "a", 1, json!("older"), 9), column("k", "c", 1, json!("new"), 9)]).await;
    assert_eq!((&mixed["appliedCount"], &mixed["relay"]["version"]), (&json!(2), &json!(3)));
    assert_eq!(values(&b.expect("sync_push").await), ["new"]);
    let deleted = a.push(&[sentinel("k", 2)]).await;
    assert_eq!(deleted["relay"]["version"], 4);
    assert_eq!(offsets(&b.ask_after_forward().await), [4], "deleted content leaves the relay");
}

#[tokio::test]
async fn a_push_that_says_nothing_is_acknowledged_if_it_asks_for_it_and_never_forwarded() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    b.expect_nothing().await;
    a.send("sync_push", json!({ "changes": [], "baseVersion": 4 })).await;
    a.expect_nothing().await;
    let ack = a.push(&[]).await;
    assert_eq!((&ack["receivedVersion"], &ack["appliedCount"]), (&json!(0), &json!(0)));
    b.expect_nothing().await;
}

#[tokio::test]
async fn a_bad_row_is_named_in_the_acknowledgement_and_costs_no_other_row() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let mut bad_key = column("k", "a", 1, json!(1), 1);
    bad_key["pk"] = json!("");
    let mut poison = sentinel("k", 2);
    poison["col_version"] = json!(7);
    let ack = device.push(&[bad_key, column("k", "a", 1, json!("good"), 1), poison]).await;
    assert_eq!(
        ack["rejected"],
        json!([{ "index": 0, "code": "malformed-key" }, { "index": 2, "code": "poison-sentinel" }])
    );
    assert_eq!((&ack["appliedCount"], &ack["relay"]["version"]), (&json!(1), &json!(1)));
    assert_eq!(values(&device.ask(json!({})).await), ["good"]);
}

#[tokio::test]
async fn values_come_back_exactly_as_they_went() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let exact = [
        r#"{"$int":"9223372036854775807"}"#,
        r#"{"$int":"-9223372036854775808"}"#,
        "9007199254740991",
        "5.0",
        "-0.0",
        "0.30000000000000004",
        "1e+300",
        "5e-324",
        r#"{"$real":"Infinity"}"#,
        r#"{"$real":"-Infinity"}"#,
        r#"{"$blob":""}"#,
        r#"{"$blob":"AP8B"}"#,
        r#""""#,
        r#""a\u0000b""#,
        r#""😀""#,
        r#"{"$text":"Yf8="}"#,
        "null",
    ];
    let rows: Vec<String> = (0..)
        .zip(exact)
        .map(|(n, val)| {
            column(&format!("k{n}"), "a", 1, json!("HERE"), 1).to_string().replace("\"HERE\"", val)
        })
        .collect();
    let site = &device.site;
    let push = format!(
        r#"{{"type":"sync_push","version":1,"siteId":"{site}","timestamp":1,"payload":{{"changes":[{}],"baseVersion":0}}}}"#,
        rows.join(",")
    );
    device.send_text(push.clone()).await;
    assert_eq!(device.expect("sync_ack").await["appliedCount"], exact.len());
    device.send_text(push).await;
    assert_eq!(device.expect("sync_ack").await["relay"]["version"], exact.len(), "each is known again");
    device.send("sync_request", json!({ "sinceVersion": 0, "cursors": {} })).await;
    let text = device.receive_text().await;
    for val in exact {
        assert!(text.contains(&format!("\"val\":{val},")), "{val} in {text}");
    }
}

#[tokio::test]
async fn names_with_zero_characters_and_large_values_keep_their_identity() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let mut rows = vec![
        column("k", "a", 1, json!("x".repeat(1_000)), 1),
        column("k", "a\0", 1, json!("y".repeat(1_000)), 1),
    ];
    let mut other = rows[0].clone();
    other["table"] = json!("t\0u");
    rows.push(other);
    assert_eq!(device.push(&rows).await["relay"]["version"], 3);
    assert_eq!(device.push(&rows).await["relay"]["version"], 3, "a long value is recognised");
    let tie = device.push(&[column("k", "a", 1, json!("z".repeat(1_000)), 1)]).await;
    assert_eq!(tie["relay"]["version"], 4, "and told apart from another");
}

#[tokio::test]
async fn an_answer_with_a_revived_row_carries_the_whole_row() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let before = device.push(&[column("k", "a", 1, json!("moved"), 1)]).await;
    device.push(&[sentinel("k", 1)]).await;
    let place = &before["relay"];
    let answer = device.ask(cursor(&place["siteId"], &place["run"], &place["version"])).await;
    assert_eq!((&answer["baseVersion"], offsets(&answer)), (&json!(1), vec![1, 2]));
}

#[tokio::test]
async fn a_cursor_of_an_earlier_server_still_counts_and_an_unknown_one_starts_over() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let first = device.push(&[column("k", "a", 1, json!(1), 1), column("l", "a", 1, json!(1), 1)]).await;
    drop(device);
    relay.stop().await;
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let (log, run) = (&first["relay"]["siteId"], &first["relay"]["run"]);
    let answer = device.ask(cursor(log, run, &json!(1))).await;
    assert_eq!((offsets(&answer), &answer["run"]), (vec![2], run), "nobody wrote since: the same run");
    let second = device.push(&[column("m", "a", 1, json!(1), 1)]).await;
    assert_ne!(&second["relay"]["run"], run);
    assert_eq!(second["relay"]["siteId"], *log);
    let answer = device.ask(cursor(log, run, &json!(99))).await;
    assert_eq!((&answer["baseVersion"], &answer["run"]), (&json!(2), &second["relay"]["run"]));
    assert_eq!(device.ask(cursor(log, &json!("unheard of"), &json!(3))).await["baseVersion"], 0);
}

#[tokio::test]
async fn a_log_that_was_lost_or_went_back_says_that_less_is_stored_than_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let claim =
        |run: &Value, offset: i64| json!({ "sinceVersion": 0, "cursors": {}, "stored": [run, offset] });
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let ack = device.push(&[column("k", "a", 1, json!(1), 1)]).await;
    let run = &ack["relay"]["run"];
    assert_eq!(device.ask_with(claim(run, 1)).await["stored"], 1);
    assert_eq!(device.ask_with(claim(run, 5)).await["stored"], 1);
    let account = device.ask(json!({})).await["account"].clone();
    drop(device);
    relay.stop().await;
    let backup = tempfile::tempdir().unwrap();
    restore(directory.path(), backup.path()).await;

    let relay = Relay::start(directory.path(), &[]).await;
    let later = relay.device("alice", 1).await.push(&[column("l", "a", 1, json!(1), 1)]).await;
    relay.stop().await;
    restore(backup.path(), directory.path()).await;
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    assert_eq!(device.ask_with(claim(&later["relay"]["run"], 2)).await["stored"], 0);
    assert_eq!(device.ask_with(claim(run, 1)).await["stored"], 1);
    drop(device);
    relay.stop().await;

    remove(directory.path()).await;
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    device.send("sync_request", claim(run, 1)).await;
    let message = device.receive().await;
    assert_ne!(message["siteId"], ack["relay"]["siteId"], "another log");
    assert_eq!((&message["payload"]["stored"], &message["payload"]["account"]), (&json!(0), &account));
}

#[tokio::test]
async fn a_peer_that_knows_only_the_seed_gets_all_and_is_asked_once_for_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--answer-bytes", "300", "--queue-messages", "2"]).await;
    let mut ours = relay.device("alice", 1).await;
    let rows: Vec<Value> = (0..9).map(|n| column(&format!("k{n}"), "a", 1, json!(n), 1)).collect();
    ours.push(&rows).await;
    let mut seed = relay.device("alice", 2).await;
    seed.send("sync_request", json!({ "sinceVersion": 2 })).await;
    let (mut got, mut asked) = (Vec::new(), 0);
    while got.len() < 7 {
        let message = seed.receive().await;
        match message["type"].as_str().unwrap() {
            "sync_response" => got.extend(offsets(&message["payload"])),
            "sync_request" => {
                assert_eq!(message["payload"]["sinceVersion"], 0);
                asked += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((got, asked), (vec![3, 4, 5, 6, 7, 8, 9], 1));
    seed.send(
        "sync_response",
        json!({ "changes": [column("own", "a", 1, json!("seed's"), 3)], "currentVersion": 3 }),
    )
    .await;
    let forward = ours.expect("sync_push").await;
    assert_eq!((values(&forward), &forward["relay"]["version"]), (vec![json!("seed's")], &json!(10)));
    seed.send("sync_request", json!({ "sinceVersion": 9 })).await;
    assert_eq!(offsets(&seed.expect("sync_response").await), [10]);
    // Not asked again, and not answered on the answer: what comes next is the acknowledgement of a push.
    seed.send(
        "sync_push",
        json!({ "changes": [column("own", "a", 2, json!("pushed"), 4)], "baseVersion": 3 }),
    )
    .await;
    let ack = seed.expect("sync_ack").await;
    assert_eq!((&ack["receivedVersion"], &ack["appliedCount"]), (&json!(4), &json!(1)));
    assert_eq!(values(&ours.expect("sync_push").await), ["pushed"]);
}

#[tokio::test]
async fn a_peer_that_knows_only_the_seed_is_asked_again_for_what_its_push_left_behind_and_not_for_every_push()
{
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut seed = relay.device("alice", 2).await;
    let moved = json!({ "changes": [sentinel("moved", 1)], "baseVersion": 3 });
    seed.send("sync_push", moved.clone()).await;
    let both = [seed.receive().await, seed.receive().await];
    let mut kinds: Vec<&str> = both.iter().filter_map(|message| message["type"].as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["sync_ack", "sync_request"]);
    seed.send("sync_push", moved).await;
    seed.expect("sync_ack").await;
    seed.expect_nothing().await;
}

#[tokio::test]
async fn an_answer_that_the_relay_did_not_ask_for_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    device
        .send("sync_response", json!({ "changes": [column("k", "a", 1, json!(1), 1)], "currentVersion": 1 }))
        .await;
    assert_eq!(device.ask(json!({})).await["head"], 0);
}

#[tokio::test]
async fn a_request_to_somebody_else_is_not_answered_nor_forwarded_and_acks_and_errors_are_swallowed() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    b.expect_nothing().await;
    a.send("sync_request", json!({ "sinceVersion": 0, "cursors": {}, "to": site(2) })).await;
    a.send("sync_request", json!({ "sinceVersion": 0, "to": site(2) })).await;
    a.send("sync_ack", json!({ "receivedVersion": 1, "appliedCount": 1 })).await;
    a.send("sync_error", json!({ "code": "x", "message": "y" })).await;
    a.send("something_later", json!({ "changes": 7 })).await;
    a.expect_nothing().await;
    b.expect_nothing().await;
    a.send("sync_request", json!({ "sinceVersion": 0, "cursors": {} })).await;
    let log = a.receive().await["siteId"].clone();
    assert_eq!(
        a.ask_with(json!({ "sinceVersion": 0, "cursors": {}, "to": log, "ref": "mine" })).await["ref"],
        "mine"
    );
}

#[tokio::test]
async fn a_malformed_message_is_complained_about_and_a_flood_of_them_ends_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-malformed", "4"]).await;
    let mut device = relay.device("alice", 1).await;
    device.send("sync_push", json!({ "changes": "none", "baseVersion": 0, "ref": "r" })).await;
    let error = device.expect("sync_error").await;
    assert_eq!(
        (&error["code"], &error["ref"], &error["to"]),
        (&json!("malformed-message"), &json!("r"), &json!(site(1)))
    );
    assert_eq!(error.get("retryAfter"), None);
    assert!(error["run"].is_string());
    device.send_text("not JSON").await;
    assert_eq!(device.expect("sync_error").await["code"], "malformed-message");
    let deep = "[".repeat(100_000);
    device
        .send_text(format!(
            r#"{{"type":"sync_push","version":1,"siteId":"{}","timestamp":1,"payload":{deep}"#,
            site(1)
        ))
        .await;
    assert_eq!(device.expect("sync_error").await["code"], "malformed-message");
    device.send_text(r#"{"type":"sync_ack","version":2,"siteId":"","timestamp":1,"payload":{}}"#).await;
    assert_eq!(device.expect("sync_error").await["code"], "unsupported-version");
    device.push(&[column("k", "a", 1, json!(1), 1)]).await;
    device.send_text("{}").await;
    assert_eq!(device.closed().await.0, 1008);
}

#[tokio::test]
async fn a_message_that_is_too_big_closes_the_connection_with_1009() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-message-bytes", "2000"]).await;
    for size in [2_001, 3_900, 100_000] {
        let mut device = relay.device("alice", 1).await;
        device.push(&[column("k", "a", 1, json!(1), 1)]).await;
        device.send_text("x".repeat(size)).await;
        assert_eq!(device.closed().await, (1009, "message too big".into()), "{size}");
    }
}

#[tokio::test]
async fn a_device_that_does_not_read_is_closed_with_1013_and_holds_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--queue-bytes", "1000000"]).await;
    let (mut a, mut slow) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    slow.expect_nothing().await;
    // No further than the sockets' buffers and the queue take, because the end waits only so long to be read.
    let mut n = 0;
    while relay.http("GET", "/metrics", "").await.2.contains("crsqlite_relay_queue_overflows_total 0") {
        a.push(&[column("k", "a", n, json!("x".repeat(1_000_000)), n)]).await;
        n += 1;
        assert!(n < 64, "nothing was too much for a device that does not read");
    }
    assert_eq!(slow.closed().await.0, 1013);
}

#[tokio::test]
async fn a_push_that_the_storage_cannot_take_is_answered_with_an_error_and_forwarded_to_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    b.expect_nothing().await;
    run_beside(directory.path(), "ALTER TABLE entry RENAME TO gone").await;
    let row = column("k", "a", 1, json!(1), 1);
    a.send("sync_push", json!({ "changes": [row], "baseVersion": 0, "ref": "r" })).await;
    let error = a.expect("sync_error").await;
    assert_eq!(
        (&error["code"], &error["ref"], &error["to"]),
        (&json!("storage-failed"), &json!("r"), &json!(site(1)))
    );
    assert!(error["retryAfter"].as_u64().is_some_and(|ms| ms > 0));
    run_beside(directory.path(), "ALTER TABLE gone RENAME TO entry").await;
    assert_eq!(a.push(&[row]).await["relay"]["version"], 1);
    assert_eq!(b.expect("sync_push").await["relay"]["version"], 1, "the first that it hears");
}

#[tokio::test]
async fn messages_that_arrive_together_are_answered_each_in_their_order_whatever_is_between_them() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    b.expect_nothing().await;
    // Known values between new ones, a row that cannot be taken, a frame that cannot be read, and a question.
    let rows = |n: i64| match n % 5 {
        4 => json!([column("k", "a", n - 1, json!(n - 1), n)]),
        3 => json!([column("k", "a", n, json!(n), n), { "table": "t" }]),
        _ => json!([column("k", "a", n, json!(n), n), column("k", "b", n, json!(n), n)]),
    };
    let mut burst = Vec::new();
    for n in 1..=20 {
        let payload = json!({ "changes": rows(n), "baseVersion": n - 1, "ref": n.to_string() });
        let push = json!({ "type": "sync_push", "version": 1, "siteId": a.site, "timestamp": 1,
                           "payload": payload });
        burst.push(push.to_string());
    }
    burst.insert(10, "{".to_owned());
    let question = json!({ "type": "sync_request", "version": 1, "siteId": a.site, "timestamp": 1,
                           "payload": { "sinceVersion": 0, "cursors": {}, "ref": "q" } });
    burst.insert(16, question.to_string());
    for text in burst {
        a.socket.feed(Frame::text(text)).await.unwrap();
    }
    a.socket.flush().await.unwrap();
    let mut head = 0;
    for n in 1..=20 {
        match n {
            11 => assert_eq!(a.expect("sync_error").await["code"], "malformed-message"),
            16 => assert_eq!(a.expect("sync_response").await["head"], head),
            _ => {}
        }
        let ack = a.expect("sync_ack").await;
        let stored = match n % 5 {
            4 => 0,
            3 => 1,
            _ => 2,
        };
        assert_eq!((&ack["ref"], &ack["relay"]["baseVersion"]), (&json!(n.to_string()), &json!(head)));
        assert_eq!(ack["relay"]["version"], head + stored);
        assert_eq!(ack.get("rejected").is_some(), n % 5 == 3, "{ack}");
        if stored > 0 {
            let forward = b.expect("sync_push").await;
            assert_eq!((&forward["relay"], values(&forward).len()), (&ack["relay"], stored as usize));
        }
        head += stored;
    }
    b.expect_nothing().await;
}

#[tokio::test]
async fn a_burst_is_never_too_much_for_a_device_that_reads() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--queue-messages", "8"]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    b.expect_nothing().await;
    let burst = async {
        for n in 1..=100 {
            let row = column("k", "a", n, json!(n), n);
            let push = json!({ "type": "sync_push", "version": 1, "siteId": a.site, "timestamp": 1,
                               "payload": { "changes": [row], "baseVersion": n - 1, "ref": "p" } });
            a.socket.feed(Frame::text(push.to_string())).await.unwrap();
        }
        a.socket.flush().await.unwrap();
        for n in 1..=100 {
            assert_eq!(a.expect("sync_ack").await["relay"]["version"], n);
        }
    };
    let hear = async {
        for n in 1..=100 {
            assert_eq!(b.expect("sync_push").await["relay"]["version"], n);
        }
    };
    tokio::join!(burst, hear);
}

#[tokio::test]
async fn an_idle_relay_repeats_its_head() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--head-interval", "300ms"]).await;
    let mut device = relay.device("alice", 1).await;
    let ack = device.push(&[column("k", "a", 1, json!(1), 1)]).await;
    let message = device.receive().await;
    let beat = &message["payload"];
    assert_eq!((&message["type"], &message["siteId"]), (&json!("sync_push"), &ack["relay"]["siteId"]));
    for field in ["baseVersion", "currentVersion", "head"] {
        assert_eq!(beat[field], 1, "{field}");
    }
    assert_eq!((&beat["changes"], &beat["run"]), (&json!([]), &ack["relay"]["run"]));
    let place = &beat["relay"];
    assert_eq!(
        (&place["baseVersion"], &place["version"], &place["run"]),
        (&json!(1), &json!(1), &ack["relay"]["run"])
    );
}

#[tokio::test]
async fn devices_that_push_at_once_all_hear_of_offsets_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut listener = relay.device("alice", 9).await;
    listener.expect_nothing().await;
    let (writers, pushes) = (4, 25);
    // A device hears what is pushed after it joined: all of them join before the first push.
    let mut devices = Vec::new();
    for name in 0..writers {
        let mut device = relay.device("alice", name).await;
        device.expect_nothing().await;
        devices.push(device);
    }
    let mut tasks = Vec::new();
    for (name, mut device) in devices.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            for n in 0..pushes {
                let row = column(&format!("{name}/{n}"), "a", 1, json!(n), 1);
                device.send("sync_push", json!({ "changes": [row], "baseVersion": 0, "ref": "p" })).await;
            }
            let mut places = Vec::new();
            while places.len() < usize::from(writers) * pushes {
                places.push(device.receive().await["payload"]["relay"].clone());
            }
            places
        }));
    }
    let total = i64::from(writers) * i64::try_from(pushes).unwrap();
    for task in tasks {
        let places = task.await.unwrap();
        let chain: Vec<_> = places
            .iter()
            .map(|place| (place["baseVersion"].as_i64().unwrap(), place["version"].as_i64().unwrap()))
            .collect();
        assert_eq!(chain, (0..total).map(|n| (n, n + 1)).collect::<Vec<_>>());
    }
    for n in 1..=total {
        assert_eq!(listener.expect("sync_push").await["relay"]["version"], n);
    }
}

#[tokio::test]
async fn the_raw_key_of_the_seeds_example_names_the_same_row_as_the_packed_one() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let mut raw = column("msg-12345", "a", 1, json!(1), 1);
    raw["pk"] = json!("bXNnLTEyMzQ1");
    device.push(&[raw]).await;
    let again = device.push(&[column("msg-12345", "a", 1, json!(1), 1)]).await;
    assert_eq!(again["relay"]["version"], 1);
    assert_eq!(device.ask(json!({})).await["changes"][0]["pk"], key("msg-12345"));
}

/// What the living rows `keys` of table `t` add up to, each with column `a` in its first version.
fn sums(keys: &[&str], val: &Val) -> Value {
    let mut sums = TableDigest::default();
    for key in keys {
        let pk = Pk::pack(&[Val::Text((*key).into())]).unwrap();
        sums.add_row("t", &pk, 1, std::iter::once(("a", 1, val)));
    }
    let digest = Some(vec![("t".to_owned(), sums)]);
    let body = Body::Request(SyncRequest { digest, ..SyncRequest::default() });
    let frame = Message { site_id: SiteId([1; 16]), timestamp: 0, body }.encode();
    serde_json::from_str::<Value>(&frame).unwrap()["payload"]["digest"].take()
}

#[tokio::test]
async fn a_device_that_has_everything_learns_what_it_holds_otherwise_and_others_hear_of_values_once() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut a, mut b) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    let place =
        a.push(&[column("k", "a", 1, json!(5), 1), column("l", "a", 1, json!(5), 1)]).await["relay"].take();
    b.expect("sync_push").await;
    let state = |version: i64, digest: Value| {
        let cursors = cursor(&place["siteId"], &place["run"], &json!(version));
        json!({ "sinceVersion": 0, "cursors": cursors, "ref": "q", "digest": digest })
    };
    let right = sums(&["k", "l"], &Val::Integer(5));
    assert_eq!(a.ask_with(state(2, right.clone())).await["differ"], json!([]));
    assert_eq!(a.ask_with(state(2, sums(&["k"], &Val::Integer(5)))).await["differ"], json!(["t"]));
    assert_eq!(a.ask_with(state(2, json!({}))).await["differ"], json!([]), "only what is stated is compared");
    assert_eq!(a.ask_with(state(1, right.clone())).await.get("differ"), None, "it lacks a row");
    a.expect_nothing().await;
    // The relay cannot say which value is the right one, only that devices differ.
    assert_eq!(b.ask_with(state(2, sums(&["k", "l"], &Val::Integer(6)))).await["differ"], json!(["t"]));
    let doubt = a.expect("sync_push").await;
    assert_eq!((&doubt["differ"], &doubt["relay"]["version"]), (&json!(["t"]), &json!(2)));
    assert_eq!(a.ask_with(state(2, right.clone())).await["differ"], json!(["t"]));
    assert_eq!(
        a.ask_with(state(2, right.clone())).await["differ"],
        json!(["t"]),
        "saying it twice proves nothing"
    );
    b.expect_nothing().await;
    assert_eq!(b.ask_with(state(2, right.clone())).await["differ"], json!([]));
    assert_eq!(a.ask_with(state(2, right)).await["differ"], json!([]));
}

#[tokio::test]
async fn a_user_without_room_hears_which_rows_are_refused_and_may_still_change_and_delete() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-rows-per-user", "2"]).await;
    let (mut device, mut other) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    let mut bad = column("k", "a", 1, json!(1), 1);
    bad["pk"] = json!("");
    let rows = [bad, column("k", "a", 1, json!(1), 1), column("l", "a", 1, json!(2), 1)];
    device.push(&rows).await;
    other.expect("sync_push").await;
    let ack = device.push(&[column("m", "a", 1, json!(3), 2), column("k", "a", 2, json!(4), 2)]).await;
    assert_eq!(ack["rejected"], json!([{ "index": 0, "code": "refused" }]));
    assert_eq!((&ack["appliedCount"], &ack["relay"]["version"]), (&json!(1), &json!(3)));
    assert_eq!(values(&other.expect("sync_push").await), [4], "what was refused is not forwarded");
    let again = device.push(&[sentinel("k", 2), column("l", "a", 2, json!(5), 3)]).await;
    assert_eq!((again.get("rejected"), &again["appliedCount"]), (None, &json!(2)));
    let mut stranger = relay.device("bob", 3).await;
    assert_eq!(stranger.push(&[column("m", "a", 1, json!(3), 2)]).await["relay"]["version"], 1);
}
