//! Who writes while the relay is killed: over a socket of the relay protocol, or over HTTP. Each remembers what was
//! acknowledged, and what it said last, which nobody may have heard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{column, site, token};

/// A relay waits for a database that is away, for one push of a user after the other.
const PATIENCE: Duration = Duration::from_secs(120);

/// Pushes of a writer that nobody has answered yet.
const AT_ONCE: u64 = 4;

/// A writer of one user in one round; its name is in all that it writes.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) sub: String,
    pub(super) name: String,
    /// Where the relay survives, this ends the writing.
    pub(super) stop: Arc<AtomicBool>,
}

/// What became of what a writer wrote, the `n`th time: one thing of its own, and one that is written again each time.
#[derive(Default)]
pub(super) struct Written {
    /// So many times it was acknowledged.
    pub(super) acknowledged: u64,
    /// The answer to the last one of these: an offset, or the moment of the log.
    pub(super) last: i64,
}

impl Writer {
    pub(super) fn own(&self, n: u64) -> String {
        format!("{}-{n}", self.name)
    }

    pub(super) fn again(&self) -> String {
        format!("{} again", self.name)
    }

    /// Pushes rows until the relay is gone, several at a time: those that arrive together are stored together.
    pub(super) async fn write_rows(self, address: SocketAddr) -> Written {
        let mut written = Written::default();
        let Some(mut socket) = self.connect(address).await else { return written };
        for n in 0..AT_ONCE {
            if self.send_rows(&mut socket, n).await.is_none() {
                return written;
            }
        }
        while !self.stop.load(Ordering::Relaxed)
            && self.send_rows(&mut socket, written.acknowledged + AT_ONCE).await.is_some()
            && let Some(place) = self.acknowledged(&mut socket, written.acknowledged).await
        {
            let version = place["version"].as_i64().unwrap();
            assert!(version > written.last, "offsets grow");
            (written.last, written.acknowledged) = (version, written.acknowledged + 1);
        }
        written
    }

    pub(super) async fn connect(
        &self,
        address: SocketAddr,
    ) -> Option<WebSocketStream<MaybeTlsStream<TcpStream>>> {
        let mut request = format!("ws://{address}/api/v1/sync").into_client_request().unwrap();
        let cookie = format!("auth_token={}", token(&self.sub, 600));
        request.headers_mut().append("Cookie", cookie.parse().unwrap());
        let (socket, _) = timeout(PATIENCE, connect_async(request)).await.expect("an answer").ok()?;
        Some(socket)
    }

    /// The place of the log that acknowledges the `n`th push; `None` where the relay is gone, or its database.
    pub(super) async fn push_rows(
        &self,
        socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
        n: u64,
    ) -> Option<Value> {
        self.send_rows(socket, n).await?;
        self.acknowledged(socket, n).await
    }

    async fn send_rows(&self, socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>, n: u64) -> Option<()> {
        let version = i64::try_from(n).unwrap() + 1;
        let own = column(&self.own(n), "a", 1, json!(n), version);
        let again = column(&self.again(), "a", version, json!(n), version);
        let push = json!({ "type": "sync_push", "version": 1, "siteId": site(1), "timestamp": 1,
                           "payload": { "changes": [own, again], "baseVersion": n, "ref": n.to_string() } });
        socket.send(Frame::text(push.to_string())).await.ok()
    }

    async fn acknowledged(
        &self,
        socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
        n: u64,
    ) -> Option<Value> {
        let reference = n.to_string();
        loop {
            let frame =
                timeout(PATIENCE, socket.next()).await.expect("an acknowledgement or an end")?.ok()?;
            let Frame::Text(text) = frame else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            let payload = &message["payload"];
            if payload["ref"] != reference {
                continue;
            }
            if message["type"] == "sync_error" {
                return None;
            }
            assert_eq!((&payload["durable"], payload.get("rejected")), (&json!(true), None), "{message}");
            return Some(payload["relay"].clone());
        }
    }

    /// Pushes records until the relay is gone.
    pub(super) async fn write_records(self, address: SocketAddr) -> Written {
        let mut written = Written::default();
        while !self.stop.load(Ordering::Relaxed)
            && let Some(at) = self.push_records(address, written.acknowledged).await
        {
            (written.last, written.acknowledged) = (at, written.acknowledged + 1);
        }
        written
    }

    /// When the log took the `n`th push; `None` where the relay is gone, or its database.
    pub(super) async fn push_records(&self, address: SocketAddr, n: u64) -> Option<i64> {
        let record = |about: String, seconds: u64| {
            let at =
                format!("2024-01-01T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
            json!({ "id": format!("{about} {n}"), "collection": "notes", "recordId": about, "type": "update",
                    "data": { "n": n }, "prevData": null, "timestamp": at, "status": "pending", "retries": 0,
                    "errorMessage": null, "createdAt": at, "updatedAt": at })
        };
        let changes = json!({ "changes": [record(self.own(n), 0), record(self.again(), n)] });
        let result = post(address, &self.sub, "/sync/push", &changes).await?;
        let accepted = result["accepted"].as_array().unwrap();
        assert_eq!(accepted.len(), 2, "{result}");
        let moments = accepted.iter().map(|one| moment(one["serverTimestamp"].as_str().unwrap()));
        let moments: Vec<i64> = moments.collect();
        assert_eq!(moments[0], moments[1], "{result}");
        Some(moments[0])
    }
}

/// The digits of a moment grow with it.
fn moment(text: &str) -> i64 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// Asks with JSON; `None` unless an answer came whole and says yes.
pub(super) async fn post(address: SocketAddr, sub: &str, path: &str, body: &Value) -> Option<Value> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        token(sub, 600),
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        if head.starts_with("HTTP/1.1 503 ") {
            return None;
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(body).ok()
    };
    timeout(PATIENCE, exchange).await.expect("an answer or an end")
}
