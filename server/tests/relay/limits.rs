//! What one user, one address or one connection may cost, and what happens at each bound. Nothing of it costs others.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Device, Relay, column, token, values};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

async fn start(directory: &tempfile::TempDir, arguments: &[&str]) -> Relay {
    Relay::start(directory.path(), arguments).await
}

async fn through(relay: &Relay, sub: &str, forwarded: &str) -> Device {
    let cookie = format!("auth_token={}", token(sub, 600));
    let headers = [("Cookie", cookie.as_str()), ("X-Forwarded-For", forwarded)];
    Device::connect(relay.address, &headers, 1).await
}

/// Sends bytes and returns everything that comes until the relay hangs up.
async fn raw(address: SocketAddr, parts: &[&[u8]], pause: Duration) -> String {
    let exchange = async {
        let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
        let sending = async {
            for part in parts {
                if to.write_all(part).await.is_err() {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        tokio::select! {
            () = sending => {}
            _ = from.read_to_end(&mut answer) => {}
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(PATIENCE, exchange).await.expect("the relay hangs up")
}

#[tokio::test]
async fn one_connection_of_an_address_too_many_is_closed_with_1013() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--max-connections-per-address", "2"]).await;
    let (mut alice, mut bob) = (relay.device("alice", 1).await, relay.device("bob", 2).await);
    alice.expect_nothing().await;
    bob.expect_nothing().await;
    let closed = relay.device("carol", 3).await.closed().await;
    assert_eq!(closed, (1013, "too many connections".into()));
    assert_eq!(relay.http("GET", "/health", "").await.0, 200, "it can still be asked how it is");
}

#[tokio::test]
async fn a_connection_of_an_address_far_too_many_is_dropped_before_it_asks() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--max-connections-per-address", "0"]).await;
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(TcpStream::connect(relay.address).await.unwrap());
    }
    let mut last = open.pop().unwrap();
    let end = timeout(PATIENCE, last.read(&mut [0; 16])).await.expect("it is dropped");
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_bound_and_nobody_else_can_say_who_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let bound = ["--max-connections-per-address", "1"];
    let trusting = [bound[0], bound[1], "--trusted-proxy", "127.0.0.0/8,::1"];
    let relay = start(&directory, &trusting).await;
    let mut first = through(&relay, "alice", "203.0.113.1").await;
    first.expect_nothing().await;
    let mut second = through(&relay, "bob", "198.51.100.9, 203.0.113.2").await;
    second.expect_nothing().await;
    for forwarded in ["203.0.113.1", "203.0.113.77, 203.0.113.2"] {
        assert_eq!(through(&relay, "carol", forwarded).await.closed().await.0, 1013, "{forwarded}");
    }
    relay.stop().await;
    let relay = start(&directory, &bound).await;
    through(&relay, "alice", "203.0.113.1").await.expect_nothing().await;
    let _held = through(&relay, "alice", "203.0.113.1").await;
    assert_eq!(through(&relay, "bob", "203.0.113.2").await.closed().await.0, 1013);
}

#[tokio::test]
async fn a_head_that_arrives_drop_by_drop_is_cut_off_and_disturbs_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--handshake-timeout", "400ms"]).await;
    let mut device = relay.device("alice", 1).await;
    let begun = Instant::now();
    let head: &[u8] = b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ";
    let drops: Vec<&[u8]> = std::iter::once(head).chain(vec![&b"a"[..]; 1_000]).collect();
    let answer = raw(relay.address, &drops, Duration::from_millis(50)).await;
    assert!(begun.elapsed() < Duration::from_secs(10) && !answer.contains("200 OK"), "{answer}");
    assert!(!raw(relay.address, &[b""], Duration::ZERO).await.contains("200"), "silence is no request");
    // Neither is the pause after an answer.
    let answer = raw(relay.address, &[b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"], Duration::ZERO).await;
    assert!(answer.contains("200 OK"), "{answer}");
    // A socket is no head.
    device.expect_nothing().await;
}

#[tokio::test]
async fn a_body_that_arrives_drop_by_drop_is_answered_with_408() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--dev", "--body-timeout", "400ms"]).await;
    let head: &[u8] = b"POST /dev/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
    let drops: Vec<&[u8]> = std::iter::once(head).chain(vec![&b" "[..]; 999]).collect();
    let begun = Instant::now();
    let answer = raw(relay.address, &drops, Duration::from_millis(50)).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_head_or_a_body_that_is_too_large_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--dev"]).await;
    let large = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "a".repeat(1 << 20));
    let answer = raw(relay.address, &[large.as_bytes()], Duration::ZERO).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let body = json!({ "user": "a".repeat(100_000) }).to_string();
    assert_eq!(relay.http("POST", "/dev/login", &body).await.0, 413);
    assert_eq!(relay.http("GET", "/health", "").await.0, 200);
}

#[tokio::test]
async fn who_sends_too_fast_is_read_more_slowly_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--rate-messages", "10", "--rate-burst", "1s"]).await;
    let (mut alice, mut bob) = (relay.device("alice", 1).await, relay.device("bob", 2).await);
    let begun = Instant::now();
    for n in 0..25 {
        let row = column(&format!("k{n}"), "a", 1, json!(n), 1);
        alice.send("sync_push", json!({ "changes": [row], "baseVersion": 0, "ref": n.to_string() })).await;
    }
    bob.expect_nothing().await;
    assert!(begun.elapsed() < Duration::from_millis(1_400), "others are not slowed down");
    for n in 0..25 {
        assert_eq!(alice.expect("sync_ack").await["ref"], n.to_string());
    }
    assert!(begun.elapsed() >= Duration::from_millis(1_400), "{:?}", begun.elapsed());
    assert_eq!(values(&relay.device("alice", 3).await.ask(json!({})).await).len(), 25);
}

#[tokio::test]
async fn the_bytes_of_a_user_are_bounded_over_all_connections() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--rate-bytes", "100000", "--rate-burst", "1s"]).await;
    let (mut one, mut two) = (relay.device("alice", 1).await, relay.device("alice", 2).await);
    let begun = Instant::now();
    let row = |n: i64| [column(&format!("k{n}"), "a", 1, json!("x".repeat(90_000)), 1)];
    one.push(&row(1)).await;
    assert!(begun.elapsed() < Duration::from_millis(700), "what is within the burst passes at once");
    two.expect("sync_push").await;
    two.push(&row(2)).await;
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_flood_that_goes_on_is_closed_with_4429_and_told_when_to_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ["--rate-messages", "10", "--rate-burst", "1s", "--rate-patience", "1s"];
    let relay = start(&directory, &limits).await;
    let mut device = relay.device("alice", 1).await;
    for _ in 0..200 {
        device.send("sync_request", json!({ "sinceVersion": 0, "cursors": {} })).await;
    }
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4429);
    let delay: u64 = reason.split_once("retryAfter=").unwrap().1.parse().unwrap();
    assert!((1_000..=5_000).contains(&delay), "{reason}");
    relay.device("bob", 2).await.expect_nothing().await;
}

#[tokio::test]
async fn pings_are_messages_too() {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let directory = tempfile::tempdir().unwrap();
    let limits = ["--rate-messages", "10", "--rate-burst", "1s", "--rate-patience", "1s"];
    let relay = start(&directory, &limits).await;
    let mut device = relay.device("alice", 1).await;
    for _ in 0..200 {
        if device.socket.send(Message::Ping(vec![7].into())).await.is_err() {
            break;
        }
    }
    assert_eq!(device.closed().await.0, 4429);
}

#[tokio::test]
async fn nobody_may_ping_for_long() {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--auth-timeout", "1h"]).await;
    let mut socket = Device::connect_to(relay.address, "/sync/ws", &[], 1).await;
    for _ in 0..100 {
        if socket.socket.send(Message::Ping(vec![7].into())).await.is_err() {
            break;
        }
    }
    assert_eq!(socket.closed().await, (4001, "token missing".into()));
}

#[tokio::test]
async fn frames_that_make_no_message_are_read_no_faster_than_others() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--rate-bytes", "20000", "--rate-burst", "1s"]).await;
    let mut bob = relay.device("bob", 2).await;
    let (mut from, mut to) = TcpStream::connect(relay.address).await.unwrap().into_split();
    let upgrade = format!(
        "GET /api/v1/sync HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Cookie: auth_token={}\r\n\r\n",
        relay.address,
        token("alice", 600)
    );
    to.write_all(upgrade.as_bytes()).await.unwrap();
    let mut chunk = [0; 4096];
    let length = timeout(PATIENCE, from.read(&mut chunk)).await.unwrap().unwrap();
    assert!(chunk[..length].starts_with(b"HTTP/1.1 101 "));
    // A text in 20,000 parts without content, and a last one: 120,000 bytes, of which 40,000 may come at once and in a second.
    let part = |first: u8| [first, 0x80, 0, 0, 0, 0];
    let mut flood = part(0x01).to_vec();
    (0..20_000).for_each(|_| flood.extend(part(0x00)));
    flood.extend(part(0x80));
    let begun = Instant::now();
    let sending = tokio::spawn(async move { to.write_all(&flood).await.map(|()| to) });
    bob.expect_nothing().await;
    assert!(begun.elapsed() < Duration::from_millis(1_000), "others are not slowed down");
    let length = timeout(PATIENCE, from.read(&mut chunk)).await.expect("an answer").unwrap();
    assert!(String::from_utf8_lossy(&chunk[..length]).contains("malformed-message"));
    assert!(begun.elapsed() >= Duration::from_millis(1_200), "{:?}", begun.elapsed());
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_address_that_keeps_coming_without_a_good_token_is_told_to_come_later_and_good_ones_pass() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--rate-refusals", "3"]).await;
    for n in 0..5 {
        let (code, reason) =
            Device::connect(relay.address, &[("Cookie", "auth_token=a.b.c")], 1).await.closed().await;
        assert_eq!(code, if n < 3 { 4001 } else { 4429 }, "{reason}");
        assert_eq!(reason.contains("retryAfter="), n >= 3, "{reason}");
    }
    relay.device("alice", 1).await.expect_nothing().await;
}

#[tokio::test]
async fn a_device_that_takes_nothing_is_closed_with_1013_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let relay = start(&directory, &["--queue-messages", "16"]).await;
    let mut writer = relay.device("alice", 1).await;
    // Its own buffer is small, so that what it does not take waits at the relay.
    let small = TcpSocket::new_v4().unwrap();
    small.set_recv_buffer_size(8 << 10).unwrap();
    let stream = small.connect(relay.address).await.unwrap();
    let cookie = format!("auth_token={}", token("alice", 600));
    let mut slow = Device::over(stream, relay.address, &[("Cookie", &cookie)], 2).await;
    slow.expect_nothing().await;
    for n in 0..60 {
        writer.push(&[column(&format!("k{n}"), "a", 1, json!("x".repeat(128 << 10)), 1)]).await;
    }
    assert_eq!(slow.closed().await, (1013, "reading too slowly".into()));
    writer.expect_nothing().await;
}
