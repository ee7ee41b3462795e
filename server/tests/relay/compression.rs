//! Messages in compressed form, over real sockets: who is offered it, what travels, and what somebody may try with it.

use std::io::{Read as _, Write as _};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

use crate::support::{PATIENCE, Relay, column, site, token, until, values};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const TEXT: u8 = 0x81;
const DEFLATED: u8 = 0xc1;

/// A client that writes frames itself, and counts what travels.
struct Raw {
    stream: TcpStream,
    head: String,
}

/// A message as it came.
struct Came {
    text: String,
    deflated: bool,
    bytes: usize,
}

impl Raw {
    async fn open(relay: &Relay, path: &str, headers: &str) -> Raw {
        let mut stream = TcpStream::connect(relay.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
            relay.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        Raw { stream, head: String::from_utf8(head).unwrap().to_lowercase() }
    }

    /// A device of alice, which offers to take compressed messages.
    async fn alice(relay: &Relay) -> Raw {
        let cookie = format!("Cookie: auth_token={}\r\n{OFFER}", token("alice", 600));
        Raw::open(relay, "/api/v1/sync", &cookie).await
    }

    fn negotiated(&self) -> bool {
        self.head.contains("permessage-deflate")
    }

    async fn send(&mut self, first: u8, content: &[u8]) {
        // What the relay has refused may not be read to its end.
        let _ = self.stream.write_all(&frame(first, content)).await;
    }

    async fn frame(&mut self) -> (FrameHeader, Vec<u8>) {
        let mut head = Vec::new();
        loop {
            head.push(timeout(PATIENCE, self.stream.read_u8()).await.expect("a frame").unwrap());
            if let Some((header, length)) = FrameHeader::parse(&mut std::io::Cursor::new(&head)).unwrap() {
                let mut content = vec![0; usize::try_from(length).unwrap()];
                timeout(PATIENCE, self.stream.read_exact(&mut content)).await.expect("all of it").unwrap();
                return (header, content);
            }
        }
    }

    async fn receive(&mut self) -> Came {
        let (header, mut content) = self.frame().await;
        assert_eq!(u8::from(header.opcode), 1, "it begins a text");
        let mut is_final = header.is_final;
        while !is_final {
            let (header, part) = self.frame().await;
            assert_eq!((u8::from(header.opcode), header.rsv1), (0, false), "it goes on");
            content.extend(part);
            is_final = header.is_final;
        }
        let bytes = content.len();
        let text = if header.rsv1 { inflated(&content) } else { content };
        Came { text: String::from_utf8(text).unwrap(), deflated: header.rsv1, bytes }
    }

    /// The code of the close frame, which is what comes next but for messages.
    async fn closed(&mut self) -> u16 {
        loop {
            let (header, content) = self.frame().await;
            if u8::from(header.opcode) == 8 {
                return u16::from_be_bytes([content[0], content[1]]);
            }
        }
    }
}

fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0xff];
    frame.extend((content.len() as u64).to_be_bytes());
    let mask = [7, 0, 255, 3];
    frame.extend(mask);
    frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(text.len() + 100);
    Compress::new(Compression::best(), false).compress_vec(text, &mut packed, FlushCompress::Sync).unwrap();
    packed.truncate(packed.len() - 4);
    packed
}

fn inflated(content: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(8 << 20);
    let content = [content, &[0, 0, 0xff, 0xff]].concat();
    Decompress::new(false).decompress_vec(&content, &mut text, FlushDecompress::None).unwrap();
    text
}

fn message(kind: &str, payload: &Value) -> String {
    json!({ "type": kind, "version": 1, "siteId": site(5), "timestamp": 1, "payload": payload }).to_string()
}

fn push(rows: usize, value: &str) -> String {
    let rows: Vec<_> = (0..rows)
        .map(|row| column(&format!("row {row}"), "title", 1, json!(format!("{value} {row}")), 1))
        .collect();
    message("sync_push", &json!({ "changes": rows, "baseVersion": 0, "ref": "p" }))
}

fn ask() -> String {
    message("sync_request", &json!({ "sinceVersion": 0, "cursors": {}, "ref": "q" }))
}

#[tokio::test]
async fn whoever_offers_it_sends_and_takes_compressed_messages_and_nobody_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (mut writer, mut reader) = (Raw::alice(&relay).await, Raw::alice(&relay).await);
    let mut plain = relay.device("alice", 3).await;
    plain.expect_nothing().await;
    assert!(writer.negotiated() && reader.negotiated());

    let text = push(300, "water the plants");
    let sent = deflated(text.as_bytes());
    assert!(sent.len() * 8 < text.len());
    let (half, rest) = sent.split_at(sent.len() / 2);
    writer.send(DEFLATED & 0x7f, half).await;
    writer.send(0x89, b"a ping in between").await;
    writer.send(0x80, rest).await;
    let (pong, _) = writer.frame().await;
    assert_eq!(u8::from(pong.opcode), 10);
    let ack = writer.receive().await;
    assert!(ack.text.contains("sync_ack") && !ack.deflated, "what is short goes as it is");

    // The same forward: shared by all, in the form that each takes.
    let came = reader.receive().await;
    assert!(came.deflated && came.bytes * 8 < came.text.len(), "{} of {}", came.bytes, came.text.len());
    assert_eq!(came.text, plain.receive_text().await);
    assert_eq!(came.text.matches("water the plants").count(), 300);

    for _ in 0..2 {
        reader.send(TEXT, ask().as_bytes()).await;
        let answer = reader.receive().await;
        assert!(answer.deflated && answer.bytes * 8 < answer.text.len());
        let answer: Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(values(&answer["payload"]), values(&plain.ask(json!({})).await));
    }
    // A live push of one row.
    writer.send(DEFLATED, &deflated(push(1, "one").as_bytes())).await;
    let came = reader.receive().await;
    assert!(came.text.contains("one 0") && !came.deflated);
    relay.stop().await;
}

#[tokio::test]
async fn large_forwards_and_answers_are_compressed_beside_the_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--no-store"]).await;
    let (mut writer, mut reader) = (Raw::alice(&relay).await, Raw::alice(&relay).await);
    let mut plain = relay.device("alice", 3).await;
    // Who has answered has joined.
    for (at, raw) in [&mut writer, &mut reader].into_iter().enumerate() {
        raw.send(0x89, &[at as u8]).await;
        raw.frame().await;
    }
    until("the plain one has joined", async || {
        let (_, _, text) = relay.http("GET", "/metrics", "").await;
        text.contains("crsqlite_relay_connections 3")
    })
    .await;
    let text = push(4_000, "water the plants");
    writer.send(DEFLATED, &deflated(text.as_bytes())).await;
    let came = reader.receive().await;
    assert!(came.deflated && came.text == text);
    assert!(plain.receive_text().await == text);
    relay.stop().await;
}

#[tokio::test]
async fn it_can_be_turned_off_and_who_was_not_let_in_never_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--no-compression"]).await;
    let mut off = Raw::alice(&relay).await;
    assert!(!off.negotiated());
    off.send(DEFLATED, &deflated(ask().as_bytes())).await;
    assert_eq!(off.closed().await, 1002);
    relay.stop().await;

    let relay = Relay::start(directory.path(), &[]).await;
    for path in ["/api/v1/sync", "/sync/ws"] {
        let stranger = Raw::open(&relay, path, OFFER).await;
        assert!(!stranger.negotiated(), "{}", stranger.head);
    }
    let asks_too_much = format!(
        "Cookie: auth_token={}\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n",
        token("alice", 600)
    );
    assert!(!Raw::open(&relay, "/api/v1/sync", &asks_too_much).await.negotiated());
    relay.stop().await;
}

#[tokio::test]
async fn what_is_small_on_the_way_and_large_after_it_is_refused_and_costs_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-message-bytes", "200000"]).await;
    let mut other = relay.device("bob", 1).await;
    for inflates_to in [250_000, 40_000_000] {
        let mut bomber = Raw::alice(&relay).await;
        assert!(bomber.negotiated());
        bomber.send(DEFLATED, &deflated(&vec![b' '; inflates_to])).await;
        assert_eq!(bomber.closed().await, 1009);
    }
    // Part after part, without an end.
    let mut bomber = Raw::alice(&relay).await;
    let packed = deflated(&vec![b' '; 10_000_000]);
    bomber.send(DEFLATED & 0x7f, &[]).await;
    for part in packed.chunks(100) {
        bomber.send(0, part).await;
    }
    assert_eq!(bomber.closed().await, 1009);
    // What is no compressed message.
    let mut liar = Raw::alice(&relay).await;
    liar.send(DEFLATED, &[0xff; 30]).await;
    assert_eq!(liar.closed().await, 1007);
    // A message of the largest size that is taken.
    let mut good = Raw::alice(&relay).await;
    let mut text = push(100, "a");
    text.push_str(&" ".repeat(200_000 - text.len()));
    good.send(DEFLATED, &deflated(text.as_bytes())).await;
    assert!(good.receive().await.text.contains("sync_ack"));
    other.expect_nothing().await;
    relay.stop().await;
}

#[tokio::test]
async fn a_user_may_not_send_more_for_being_compressed() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ["--rate-bytes", "100000", "--rate-burst", "1s", "--rate-patience", "1s"];
    let relay = Relay::start(directory.path(), &limits).await;
    let mut greedy = Raw::alice(&relay).await;
    let text = format!("{}{}", ask(), " ".repeat(90_000));
    for _ in 0..100 {
        greedy.send(DEFLATED, &deflated(text.as_bytes())).await;
    }
    assert_eq!(greedy.closed().await, 4429);
    relay.stop().await;
}

/// A request of alice; the status, the head and the body of the answer.
async fn post(relay: &Relay, path: &str, headers: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    // An older version: the answer is what comes until the end.
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        relay.address,
        token("alice", 600),
        body.len()
    );
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, answer[end..].to_vec())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packing = GzEncoder::new(Vec::new(), Compression::best());
    packing.write_all(text).unwrap();
    packing.finish().unwrap()
}

#[tokio::test]
async fn the_endpoints_compress_large_answers_and_take_compressed_requests() {
    let (accept, packed) = ("Accept-Encoding: gzip, deflate, br\r\n", "Content-Encoding: gzip\r\n");
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-message-bytes", "200000"]).await;
    let record = |id: i64| {
        json!({ "id": id.to_string(), "collection": "todos", "recordId": format!("todo {id}"), "type": "create",
                "data": { "title": "water the plants" }, "prevData": null,
                "timestamp": "2026-01-01T00:00:00.000Z" })
    };
    let rows: Vec<_> = (0..300).map(record).collect();
    let push = json!({ "changes": rows }).to_string();
    let (status, _, result) = post(&relay, "/sync/push", packed, &gzip(push.as_bytes())).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&result));

    let (status, head, body) = post(&relay, "/sync/pull", "", b"{}").await;
    assert_eq!((status, head.contains("content-encoding")), (200, false));
    let page = String::from_utf8(body.clone()).unwrap();
    assert!(page.contains("todo 99"), "{page}");
    let (status, head, short) = post(&relay, "/sync/pull", accept, b"{}").await;
    assert_eq!((status, head.contains("content-encoding: gzip")), (200, true), "{head}");
    assert!(short.len() * 4 < body.len(), "{} of {}", short.len(), body.len());
    let mut text = Vec::new();
    GzDecoder::new(&*short).read_to_end(&mut text).unwrap();
    assert_eq!(text.len(), body.len());
    // What is short stays as it is.
    let (status, head, _) = post(&relay, "/sync/pull", accept, b"{").await;
    assert_eq!((status, head.contains("content-encoding")), (400, false));
    // What is small on the way and large after it.
    let bomb = gzip(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 200_000);
    assert_eq!(post(&relay, "/sync/push", packed, &bomb).await.0, 413);
    assert_eq!(post(&relay, "/sync/push", packed, b"no gzip").await.0, 400);
    assert_eq!(post(&relay, "/sync/push", "Content-Encoding: other\r\n", b"{}").await.0, 415);
    relay.stop().await;

    let relay = Relay::start(directory.path(), &["--no-compression"]).await;
    let (status, head, all) = post(&relay, "/sync/pull", accept, b"{}").await;
    assert_eq!((status, head.contains("content-encoding"), all.len()), (200, false, body.len()));
    relay.stop().await;
}
