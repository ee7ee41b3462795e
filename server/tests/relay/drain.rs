//! How a relay ends under the feet of its users: who is told what, and when they come back.

use std::time::Duration;

use crate::support::{Device, Relay, column, http, token};
use crsqlite_sync::engine::retry::stated_delay;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

const CONNECTIONS: usize = 200;
const DRAIN: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_closed_one_after_the_other_and_come_back_as_far_apart() {
    let directory = tempfile::tempdir().unwrap();
    let limit = CONNECTIONS.to_string();
    let arguments = ["--drain-time", "800ms", "--max-connections-per-user", &limit];
    let relay = Relay::start(directory.path(), &arguments).await;
    let address = relay.address;
    let mut devices = join_all((0..CONNECTIONS).map(|_| relay.device("alice", 1))).await;
    let ack = devices[0].push(&[column("k", "a", 1, json!("acknowledged"), 1)]).await;
    assert_eq!(ack["durable"], true);
    // All are in.
    for device in &mut devices[1..] {
        device.expect("sync_push").await;
    }

    let began = Instant::now();
    let ended = tokio::spawn(relay.begin_stop());
    let watched = join_all(devices.into_iter().map(async |mut device| {
        let (code, reason) = device.closed().await;
        (began.elapsed(), code, stated_delay(&reason).map(Duration::from))
    }));
    let strangers = async {
        // As soon as it has begun: whoever asks is told to go elsewhere.
        while http(address, "GET", "/ready", "").await.0 != 503 {
            assert!(began.elapsed() < DRAIN);
        }
        let cookie = format!("auth_token={}", token("bob", 600));
        let mut late = Device::connect(address, &[("Cookie", &cookie)], 2).await;
        let (code, reason) = late.closed().await;
        assert_eq!(code, 1013);
        let back = began.elapsed() + Duration::from(stated_delay(&reason).unwrap());
        assert!(back >= DRAIN, "a newcomer is told to wait for the end: {back:?}");
        assert_eq!(http(address, "GET", "/health", "").await.0, 200);
    };
    let (closed, ()) = tokio::join!(watched, strangers);
    assert!(closed.iter().all(|(_, code, delay)| (*code, *delay) == (1013, Some(DRAIN))), "{closed:?}");
    let quarter = |n: u32| closed.iter().filter(|(at, ..)| *at < DRAIN * n / 4).count();
    assert!(quarter(1) < CONNECTIONS / 2, "not all at once: {closed:?}");
    assert!(quarter(3) > CONNECTIONS / 4, "nor all at the end: {closed:?}");
    ended.await.unwrap();

    let relay = Relay::start(directory.path(), &[]).await;
    let answer = relay.device("alice", 3).await.ask(json!({})).await;
    assert_eq!(answer["changes"][0]["val"], "acknowledged");
}

#[tokio::test]
async fn a_relay_that_nobody_is_connected_to_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--drain-time", "1h"]).await;
    relay.stop().await;
}
