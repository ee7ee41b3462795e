//! The command that looks into the logs, beside a running relay.

use crate::support::database::{database_of, is_postgres};
use crate::support::{Relay, column, http_with, sentinel, token};
use clap::Parser as _;
use crsqlite_relay::config::Cli;
use crsqlite_relay::inspect::{self, Listing};
use crsqlite_relay::log::{SqliteView, View};
use crsqlite_relay::open_view;
use crsqlite_relay::user::Owner;
use serde_json::json;
use std::path::Path;

async fn view(directory: &Path) -> Box<dyn View> {
    let cli = Cli::parse_from(["crsqlite-relay", "--database", &database_of(directory).await]);
    open_view(&cli.config.storage).await.unwrap()
}

async fn users(view: &mut dyn View, most: u32) -> String {
    let mut out = Vec::new();
    inspect::users(view, most, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

async fn user(view: &mut dyn View, owner: &Owner, listing: &Listing) -> String {
    let mut out = Vec::new();
    inspect::user(view, owner, listing, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn what_the_logs_hold_is_shown_beside_the_running_relay_and_values_only_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let mut device = relay.device("alice", 1).await;
    let long = "hush ".repeat(300_000);
    device
        .push(&[sentinel("k1", 1), column("k1", "a", 1, json!(long), 1), column("k1", "b", 3, json!(2), 1)])
        .await;
    device.push(&[column("k2", "a", 1, json!("hush"), 1)]).await;
    device.push(&[sentinel("k3", 2)]).await;
    // A later write of a row that lives again: a piece that begins with it brings the earlier ones along.
    device.push(&[column("k1", "c", 1, json!("hush"), 1)]).await;
    let record = |id: &str, kind: &str, at: &str| {
        json!({ "id": id, "collection": "notes", "recordId": id, "type": kind, "prevData": null,
                "data": if kind == "delete" { json!(null) } else { json!({ "text": "hush" }) },
                "timestamp": at, "status": "pending", "retries": 0, "errorMessage": null, "createdAt": at, "updatedAt": at })
    };
    let at = "2024-01-01T00:00:00.000Z";
    let changes = json!({ "changes": [record("n1", "create", at), record("n2", "delete", at)] }).to_string();
    let bearer = format!("Bearer {}", token("alice", 600));
    let headers = [("Content-Type", "application/json"), ("Authorization", &bearer)];
    let (status, _, body) = http_with(relay.address, "POST", "/sync/push", &headers, &changes).await;
    assert_eq!(status, 200, "{body}");
    device.expect("sync_push").await;
    relay.device("bob", 2).await.push(&[column("k", "a", 1, json!(1), 1)]).await;

    let mut now = view(directory.path()).await;
    let all = users(&mut *now, 10).await;
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines[0], "2 users");
    assert!(lines[2].ends_with("\"alice\"") && lines[3].ends_with("\"bob\""), "by size: {all}");
    assert_eq!(words(lines[2])[1..3], ["8", "8"], "rows and head: {all}");
    assert_eq!(users(&mut *now, 1).await.lines().count(), 3);

    let alice = Owner::of("alice");
    let text = user(&mut *now, &alice, &Listing::default()).await;
    let of = |name: &str| words(text.lines().find(|line| line.ends_with(name)).unwrap())[1..4].to_vec();
    assert_eq!(of("rows of \"t\""), ["2", "1", "6"], "living, deleted, entries: {text}");
    assert_eq!(of("records of \"notes\""), ["1", "1", "2"], "{text}");
    assert!(text.contains("head     8\n") && text.contains("run      "), "{text}");

    let listed = |name: &str, values| Listing { table: Some(name.into()), values };
    let text = user(&mut *now, &alice, &listed("t", false)).await;
    let offsets: Vec<&str> =
        text.lines().filter(|line| line.contains("  key (")).map(|line| words(line)[0]).collect();
    assert_eq!(offsets, ["1", "2", "3", "4", "5", "6"], "each once: {text}");
    assert!(text.contains("3  key (\"k1\")  \"b\"  col_version 3  cl 1\n"), "{text}");
    assert!(!text.contains("hush"));
    assert_eq!(user(&mut *now, &alice, &listed("t", true)).await.matches("  \"hush").count(), 3);
    let text = user(&mut *now, &alice, &listed("notes", false)).await;
    assert!(text.contains("7  record \"n1\"  create at \"2024-01-01T00:00:00.000Z\"  id \"n1\"\n"), "{text}");
    assert!(text.contains("8  record \"n2\"  delete") && !text.contains("hush"), "{text}");
    assert!(user(&mut *now, &alice, &listed("notes", true)).await.contains("{\"text\":\"hush\"}"));
    let nobody = user(&mut *now, &Owner::of("nobody"), &Listing::default()).await;
    assert!(nobody.contains("head     0\n"), "{nobody}");

    // The relay goes on meanwhile; what is shown is one moment.
    device.push(&[column("k4", "a", 1, json!(1), 2)]).await;
    let head = |text: &str| text.lines().find_map(|line| line.strip_prefix("head     ")).unwrap().to_owned();
    assert_eq!(head(&user(&mut *now, &alice, &Listing::default()).await), "8");
    let mut later = view(directory.path()).await;
    assert_eq!(head(&user(&mut *later, &alice, &Listing::default()).await), "9");
    drop((now, later));
    relay.stop().await;
    let mut after = view(directory.path()).await;
    assert_eq!(head(&user(&mut *after, &alice, &Listing::default()).await), "9", "also where no relay runs");
}

#[tokio::test]
async fn what_is_no_relays_database_is_refused_and_none_is_made() {
    let directory = tempfile::tempdir().unwrap();
    if is_postgres() {
        let cli = Cli::parse_from(["crsqlite-relay", "--database", &database_of(directory.path()).await]);
        for _ in 0..2 {
            assert_eq!(open_view(&cli.config.storage).await.unwrap_err().code(), "no-logs");
        }
        return;
    }
    let missing = directory.path().join("missing.db");
    assert_eq!(SqliteView::open(&missing).await.unwrap_err().code(), "storage-failed");
    assert!(!missing.exists());
    let empty = directory.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    assert_eq!(SqliteView::open(&empty).await.unwrap_err().code(), "foreign-database");
    assert_eq!(std::fs::metadata(&empty).unwrap().len(), 0);
}
