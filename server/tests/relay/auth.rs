//! Who is let in: tokens, origins, and how many at once.

use crate::support::{Device, Relay, SECRET, column, token};
use serde_json::json;

async fn refused(relay: &Relay, headers: &[(&'static str, &str)]) -> (u16, String) {
    Device::connect(relay.address, headers, 1).await.closed().await
}

fn cookie(token: &str) -> String {
    format!("auth_token={token}")
}

#[tokio::test]
async fn a_connection_without_a_valid_token_is_closed_with_4001() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    assert_eq!(refused(&relay, &[]).await, (4001, "token missing".into()));
    assert_eq!(refused(&relay, &[("Cookie", "auth_token=x.y.z")]).await, (4001, "token invalid".into()));
    let old = cookie(&token("alice", -60));
    assert_eq!(refused(&relay, &[("Cookie", &old)]).await, (4001, "token expired".into()));
    let unsigned = "auth_token=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.";
    assert_eq!(refused(&relay, &[("Cookie", unsigned)]).await, (4001, "token invalid".into()));
}

#[tokio::test]
async fn the_token_is_found_among_other_cookies() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let cookies = format!("theme=dark; xauth_token=1; {}; lang=en", cookie(&token("alice", 600)));
    Device::connect(relay.address, &[("Cookie", &cookies)], 1).await.expect_nothing().await;
}

#[tokio::test]
async fn a_connection_whose_token_expires_is_closed_with_4001() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let cookie = cookie(&token("alice", 3));
    let mut device = Device::connect(relay.address, &[("Cookie", &cookie)], 1).await;
    device.push(&[column("k", "a", 1, json!(1), 1)]).await;
    assert_eq!(device.closed().await, (4001, "token expired".into()));
}

#[tokio::test]
async fn a_page_of_another_origin_is_closed_unless_it_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--allow-origin", "https://app.example"]).await;
    let cookie = cookie(&token("alice", 600));
    let evil = [("Cookie", cookie.as_str()), ("Origin", "https://evil.example")];
    assert_eq!(refused(&relay, &evil).await, (1008, "origin not allowed".into()));
    let own = format!("http://{}", relay.address);
    for origin in ["https://app.example", &own] {
        let headers = [("Cookie", cookie.as_str()), ("Origin", origin)];
        Device::connect(relay.address, &headers, 1).await.expect_nothing().await;
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_with_1013_and_a_place_is_free_again_when_one_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-connections-per-user", "2"]).await;
    let mut first = relay.device("alice", 1).await;
    let mut second = relay.device("alice", 2).await;
    first.expect_nothing().await;
    second.expect_nothing().await;
    assert_eq!(relay.device("alice", 3).await.closed().await.0, 1013);
    relay.device("bob", 4).await.expect_nothing().await;
    drop(first);
    for _ in 0..100 {
        // The second hears nothing of it; what counts is that the place is given again soon.
        let mut third = relay.device("alice", 3).await;
        third.send("sync_request", json!({ "sinceVersion": 0, "cursors": {} })).await;
        if third.answered().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the place was never free again");
}

#[test]
fn the_secret_may_stand_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let secret = crsqlite_relay::config::Secret { jwt_secret: None, jwt_secret_file: Some(file), dev: false };
    assert_eq!(crsqlite_relay::given_secret(&secret).unwrap().unwrap(), SECRET.as_bytes());
}

#[tokio::test]
async fn a_connection_that_shows_no_sign_of_life_is_closed_and_one_that_answers_pings_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--ping-interval", "200ms", "--idle-timeout", "3s"]).await;
    let (mut dead, mut alive) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    // Reading is what answers pings.
    let answered = tokio::time::timeout(std::time::Duration::from_secs(6), alive.receive()).await;
    assert!(answered.is_err(), "neither a message came nor an end");
    assert_eq!(dead.closed().await, (1001, "no sign of life".into()));
    alive.expect_nothing().await;
}
