//! What somebody may try who wants another user's rows, or nobody to have any: each try over a real socket, and after each
//! the relay serves as before.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Device, Relay, column, site, token, values};
use crsqlite_sync::wire::encode_base64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn relay(directory: &tempfile::TempDir, arguments: &[&str]) -> Relay {
    Relay::start(directory.path(), arguments).await
}

fn cookie(token: &str) -> String {
    format!("auth_token={token}")
}

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Sends bytes and returns what comes until the relay hangs up, or a while after the last of it.
async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    let sending = async {
        let _ = to.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        while let Ok(Ok(length @ 1..)) = timeout(Duration::from_secs(2), from.read(&mut chunk)).await {
            answer.extend_from_slice(&chunk[..length]);
        }
    };
    tokio::select! {
        () = sending => {}
        read = timeout(PATIENCE, reading) => read.expect("it comes to an end"),
    }
    answer
}

/// The close code of a socket that was opened by hand, after these bytes: the same whether messages may be compressed.
async fn closed_after(relay: &Relay, frames: &[u8]) -> Option<u16> {
    let (plain, deflating) = (closed_of(relay, "", frames).await, closed_of(relay, DEFLATE, frames).await);
    assert_eq!(plain, deflating);
    plain
}

/// The close code of a socket that was opened by hand with this header, after these bytes.
async fn closed_of(relay: &Relay, header: &str, frames: &[u8]) -> Option<u16> {
    let upgrade = format!(
        "GET /api/v1/sync HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {header}Cookie: {}\r\n\r\n",
        relay.address,
        cookie(&token("alice", 600))
    );
    let answer = raw(relay.address, &[upgrade.as_bytes(), frames].concat()).await;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let text = String::from_utf8_lossy(&answer[..head]);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert_eq!(text.to_lowercase().contains("permessage-deflate"), header == DEFLATE);
    let rest = &answer[head..];
    let close = rest.iter().position(|byte| *byte == 0x88)?;
    Some(u16::from_be_bytes([*rest.get(close + 2)?, *rest.get(close + 3)?]))
}

/// A frame of a client, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn no_field_of_a_message_leads_to_another_users_rows() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &[]).await;
    let mut alice = relay.device("alice", 1).await;
    let ack = alice.push(&[column("k", "a", 1, json!("alice's"), 1)]).await;
    let hers = alice.ask(json!({})).await;
    let (log, run) = (ack["relay"]["siteId"].clone(), ack["relay"]["run"].clone());
    let account = hers["account"].clone();

    let mut bob = relay.device("bob", 2).await;
    let own = bob.ask(json!({})).await;
    assert_eq!(values(&own), Vec::<Value>::new());
    let cursors = json!({ log.as_str().unwrap(): [run, 0] });
    // Whatever bob writes into his own device's name: it is alice's device, or alice's log.
    for as_site in [site(2), site(1), log.as_str().unwrap().to_owned()] {
        bob.site = as_site;
        for more in [
            json!({ "cursors": {} }),
            json!({ "cursors": cursors, "stored": [run, 1] }),
            json!({ "cursors": {}, "account": account, "sub": "alice", "user": "alice", "namespace": "alice" }),
            json!({ "cursors": {}, "ref": "alice", "relay": ack["relay"], "durable": true }),
        ] {
            let mut payload = json!({ "sinceVersion": 0 });
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let answer = bob.ask_with(payload).await;
            assert!(values(&answer).iter().all(|value| value == "bob's"), "{more}: {answer}");
            assert_eq!(answer["account"], own["account"]);
        }
        // Addressed to alice's log, nobody answers: there is no such log here.
        bob.send("sync_request", json!({ "sinceVersion": 0, "cursors": cursors, "to": log })).await;
        bob.send(
            "sync_response",
            json!({ "changes": [], "currentVersion": 9, "to": site(1), "relay": ack["relay"] }),
        )
        .await;
        bob.send("sync_ack", json!({ "receivedVersion": 9, "appliedCount": 1, "to": site(1), "ref": "p" }))
            .await;
        bob.send("sync_error", json!({ "code": "x", "message": "x", "to": site(1), "ref": "p" })).await;
        bob.expect_nothing().await;
        let row = column("k", "a", 9, json!("bob's"), 1);
        let push = json!({ "changes": [row], "baseVersion": 0, "ref": "p", "to": log, "account": account, "relay": ack["relay"] });
        bob.send("sync_push", push).await;
        assert_ne!(bob.expect("sync_ack").await["relay"]["siteId"], log);
    }
    alice.expect_nothing().await;
    assert_eq!(values(&alice.ask(json!({})).await), [json!("alice's")]);
}

#[tokio::test]
async fn no_path_leads_to_another_users_rows() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &[]).await;
    for path in [
        "/alice/api/v1/sync",
        "/api/v1/sync/alice",
        "/api/v1/sync/../sync",
        "//api/v1/sync",
        "/api/v1/sync%2F",
        "/API/V1/SYNC",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {}\r\n\r\n",
            cookie(&token("bob", 600))
        );
        let answer = raw(relay.address, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn no_forged_token_is_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &[]).await;
    let good = token("alice", 600);
    let parts: Vec<&str> = good.split('.').collect();
    let text = |json: &Value| {
        encode_base64(json.to_string().as_bytes()).trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    let claims = text(&json!({ "sub": "alice", "exp": 4_000_000_000_u64 }));
    let mut forged = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "", "HS512", "RS256", "ES256", "EdDSA", "hs256"] {
        for signature in ["", parts[2]] {
            forged.push(format!("{}.{claims}.{signature}", text(&json!({ "alg": alg, "typ": "JWT" }))));
        }
    }
    for kid in ["../../../../dev/null", "/dev/null", "file:///dev/null", "x' UNION SELECT 'k", "%00", "\0"] {
        let header = text(&json!({ "alg": "HS256", "kid": kid }));
        forged.push(format!("{header}.{claims}.{}", parts[2]));
    }
    // The good signature under other claims, cut, doubled and padded.
    forged.push(format!("{}.{claims}.{}", parts[0], parts[2]));
    forged.push(format!("{}.{}.{}", parts[0], parts[1], &parts[2][1..]));
    forged.push(format!("{good}.{}", parts[2]));
    forged.push(format!("{}.{}.", parts[0], parts[1]));
    forged.push(format!("{good}="));
    forged.push(format!("{}..{}", parts[0], parts[2]));
    for token in &forged {
        let headers = [("Cookie", &*cookie(token))];
        let closed = Device::connect(relay.address, &headers, 1).await.closed().await;
        assert_eq!(closed.0, 4001, "{token}");
    }
    let headers = [("Cookie", &*cookie(&good))];
    Device::connect(relay.address, &headers, 1).await.expect_nothing().await;
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_cookie_but_a_bearer_needs_no_page() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &[]).await;
    let (cookie, bearer) = (cookie(&token("alice", 600)), format!("Bearer {}", token("alice", 600)));
    let own = format!("http://{}", relay.address);
    for origin in [
        "https://evil.example",
        "null",
        "file://",
        "",
        &format!("{own}.evil.example"),
        &format!("https://evil.example/?{own}"),
        &format!("http://evil@{}", relay.address),
        &own.replace("http://", "http:"),
    ] {
        let headers = [("Cookie", cookie.as_str()), ("Origin", origin)];
        let closed = Device::connect(relay.address, &headers, 1).await.closed().await;
        assert_eq!(closed, (1008, "origin not allowed".into()), "{origin}");
        let headers = [("Authorization", bearer.as_str()), ("Origin", origin)];
        Device::connect(relay.address, &headers, 1).await.expect_nothing().await;
    }
    // A bad bearer is not made good by a cookie.
    let headers = [("Authorization", "Bearer a.b.c"), ("Cookie", cookie.as_str())];
    assert_eq!(Device::connect(relay.address, &headers, 1).await.closed().await.0, 4001);
    let headers = [("Authorization", "Basic YTpi"), ("Cookie", cookie.as_str())];
    Device::connect(relay.address, &headers, 1).await.expect_nothing().await;
}

#[tokio::test]
async fn json_of_any_depth_or_shape_breaks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &[]).await;
    let mut device = relay.device("alice", 1).await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let around = |payload: &str| {
        format!(
            r#"{{"type":"sync_push","version":1,"siteId":"{}","timestamp":1,"payload":{payload}}}"#,
            site(1)
        )
    };
    let mut tries = vec![
        deep("[", "]"),
        deep(r#"{"a":"#, "}"),
        "[".repeat(100_000),
        r#"{"payload":"#.repeat(100_000),
        String::new(),
        "\0".into(),
        "null".into(),
        "1e999999".into(),
        format!("-{}", "9".repeat(100_000)),
        "\"\\ud800\"".into(),
    ];
    for inner in [deep("[", "]"), deep(r#"{"$blob":"#, "}"), "[".repeat(100_000)] {
        tries.push(around(&inner));
        tries.push(around(&format!(r#"{{"changes":{inner},"baseVersion":0}}"#)));
        tries.push(around(&format!(r#"{{"changes":[],"baseVersion":0,"unknown":{inner}}}"#)));
        let row = column("k", "a", 1, json!("VAL"), 1).to_string().replace("\"VAL\"", &inner);
        tries.push(around(&format!(r#"{{"changes":[{row}],"baseVersion":0}}"#)));
    }
    for text in tries {
        device.send_text(text).await;
    }
    // What follows is still answered; before it only complaints and acks came.
    device.send("sync_request", json!({ "sinceVersion": 0, "cursors": {}, "ref": "after" })).await;
    let answer = loop {
        let message = device.receive().await;
        match message["type"].as_str().unwrap() {
            "sync_response" => break message,
            "sync_error" => assert_eq!(message["payload"]["code"], "malformed-message"),
            other => assert_eq!(other, "sync_ack"),
        }
    };
    assert_eq!(answer["payload"]["ref"], "after");
    assert_eq!(values(&answer["payload"]), Vec::<Value>::new());
}

#[tokio::test]
async fn a_megabyte_in_any_one_field_breaks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &[]).await;
    let mut device = relay.device("alice", 1).await;
    let large = "x".repeat(1 << 20);
    let message = json!({ "type": "sync_push", "version": 1, "siteId": site(1), "timestamp": 1,
        "payload": { "changes": [column("k", "a", 1, json!("v"), 1)], "baseVersion": 0, "run": "r", "ref": "p" } });
    let mut tries = 0;
    for path in ["/type", "/siteId", "/payload/run", "/payload/ref"]
        .into_iter()
        .map(str::to_owned)
        .chain(["table", "pk", "cid", "val", "site_id"].map(|field| format!("/payload/changes/0/{field}")))
    {
        let mut message = message.clone();
        *message.pointer_mut(&path).unwrap() = large.clone().into();
        device.send_text(message.to_string()).await;
        tries += 1;
    }
    let mut request = json!({ "sinceVersion": 0, "cursors": { &large: [&large, 0] }, "ref": "after" });
    request[&large] = large.clone().into();
    device.send("sync_request", request).await;
    device.send("sync_request", json!({ "sinceVersion": 0, "cursors": {}, "ref": "after" })).await;
    let mut answers = 0;
    while answers < 1 {
        let message = device.receive().await;
        answers += usize::from(message["type"] == "sync_response" && message["payload"]["ref"] == "after");
        tries -= usize::from(message["type"] == "sync_ack" && tries > 0);
    }
    relay.device("bob", 2).await.expect_nothing().await;
}

#[tokio::test]
async fn what_is_too_large_is_closed_with_1009_however_it_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &["--max-message-bytes", "100000"]).await;
    let whole = frame(0x81, &vec![b' '; 150_000]);
    assert_eq!(closed_after(&relay, &whole).await, Some(1009));
    let mut pieces = frame(0x01, &[b' '; 1_000]);
    for _ in 0..300 {
        pieces.extend(frame(0x00, &[b' '; 1_000]));
    }
    assert_eq!(closed_after(&relay, &pieces).await, Some(1009));
    // A length that nobody has: 2^62 bytes.
    let mut huge = vec![0x81, 0x80 | 127];
    huge.extend((1_u64 << 62).to_be_bytes());
    huge.extend([0; 4]);
    assert_eq!(closed_after(&relay, &huge).await, Some(1009));
    relay.device("alice", 1).await.expect_nothing().await;
}

#[tokio::test]
async fn what_is_no_websocket_frame_is_closed_with_1002_and_text_that_is_none_with_1007() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &[]).await;
    let unmasked = [&[0x81, 5][..], b"hello"].concat();
    for (what, bytes) in [
        ("unmasked", unmasked),
        ("a compressed ping", frame(0xC9, b"hello")),
        ("reserved bit 2", frame(0xA1, b"hello")),
        ("reserved bit 3", frame(0x91, b"hello")),
        ("reserved opcode", frame(0x83, b"hello")),
        ("reserved control opcode", frame(0x8B, b"")),
        ("ping in parts", frame(0x09, b"x")),
        ("large ping", frame(0x89, &[0; 126])),
        ("continuation of nothing", frame(0x80, b"x")),
        ("two beginnings", [frame(0x01, b"x"), frame(0x01, b"x")].concat()),
    ] {
        assert_eq!(closed_after(&relay, &bytes).await, Some(1002), "{what}");
    }
    assert_eq!(closed_of(&relay, "", &frame(0xC1, b"hello")).await, Some(1002), "compressed");
    assert_eq!(closed_after(&relay, &frame(0x81, &[0xFF, 0xFE])).await, Some(1007));
    // Parts without an end and without content.
    let mut empty = frame(0x01, b"");
    for _ in 0..20_000 {
        empty.extend(frame(0x00, b""));
    }
    closed_after(&relay, &empty).await;
    relay.device("alice", 1).await.expect_nothing().await;
}

#[tokio::test]
async fn no_path_leads_out_of_the_static_directory() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("files");
    std::fs::create_dir_all(files.join("sub")).unwrap();
    std::fs::write(directory.path().join("outside.txt"), "outside").unwrap();
    std::fs::write(files.join("inside.txt"), "inside").unwrap();
    let relay = relay(&directory, &["--static", files.to_str().unwrap()]).await;
    let mut paths: Vec<String> = Vec::new();
    for up in ["..", "%2e%2e", ".%2e", "%2E.", "..%00", "%252e%252e", "..%c0%af", "..;"] {
        for slash in ["/", "//", "%2f", "\\", "%5c", "/./"] {
            paths.push(format!("/{up}{slash}outside.txt"));
            paths.push(format!("/sub/{up}{slash}{up}{slash}outside.txt"));
        }
    }
    let absolute = directory.path().join("outside.txt");
    paths.push(format!("/{}", absolute.display()));
    paths.push(format!("//{}", absolute.display()));
    paths.push(format!("/file://{}", absolute.display()));
    paths.push("/outside.txt%00.html".into());
    paths.push("http://x/../outside.txt".into());
    paths.push("../outside.txt".into());
    paths.push("/relay.db".into());
    paths.push("/../relay.db".into());
    for path in paths {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = raw(relay.address, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(!answer.contains("outside\r\n") && !answer.ends_with("outside"), "{path}: {answer}");
    }
    assert_eq!(relay.http("GET", "/inside.txt", "").await.2, "inside");
}

#[tokio::test]
async fn no_request_is_hidden_in_another() {
    let directory = tempfile::tempdir().unwrap();
    let relay = relay(&directory, &["--dev"]).await;
    let hidden = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = |headers: &str, body: &str| {
        format!(
            "POST /dev/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n\r\n{body}{hidden}"
        )
    };
    for (what, request) in [
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 40", "{}")),
        ("a list of lengths", post("Content-Length: 2, 40", "{}")),
        ("a signed length", post("Content-Length: +2", "{}")),
        ("a negative length", post("Content-Length: -2", "{}")),
        ("length, then chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
        ("chunks, then length", post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n")),
        ("an unknown coding", post("Transfer-Encoding: xchunked", "0\r\n\r\n")),
        ("chunked, then another", post("Transfer-Encoding: chunked, identity", "0\r\n\r\n")),
        ("a space before the colon", post("Content-Length : 2", "{}")),
        ("a folded header", post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n")),
    ] {
        let answer = raw(relay.address, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
        assert!(!answer.contains("\"status\":\"ok\""), "{what}: {answer}");
    }
}
