//! A relay under test and devices that talk to it in plain JSON, so that the tests see what travels.
//! Everything listens on a free port of the loopback, waits a bounded time, and ends with the test.

#![allow(dead_code, unreachable_pub, missing_debug_implementations)] // each test uses a part

pub mod database;
#[cfg(unix)]
pub mod postgres;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use crsqlite_relay::Server;
use crsqlite_relay::auth::Auth;
use crsqlite_relay::config::Cli;
use crsqlite_sync::wire::{Pk, Value as Val, encode_base64};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

pub const SECRET: &str = "the secret of the tests, long enough to be strong";
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn token(sub: &str, lifetime: i64) -> String {
    Auth::new(SECRET.as_bytes()).unwrap().token_from_now(sub, lifetime).unwrap()
}

/// A relay in this process.
pub struct Relay {
    pub address: SocketAddr,
    pub metrics: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Relay {
    /// Starts on the database of a directory.
    pub async fn start(directory: &Path, arguments: &[&str]) -> Relay {
        Relay::on(&database::database_of(directory).await, arguments).await
    }

    /// Starts on this database.
    pub async fn on(database: &str, arguments: &[&str]) -> Relay {
        let fixed = ["crsqlite-relay", "--listen", "127.0.0.1:0", "--jwt-secret", SECRET, "--database"];
        let arguments = fixed.into_iter().chain([database]).chain(arguments.iter().copied());
        let server = Server::bind(Cli::parse_from(arguments).config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, metrics) = (server.address(), server.metrics_address());
        let done = tokio::spawn(async move {
            let _ = server.run(async { drop(stopped.await) }).await;
        });
        Relay { address, metrics, stop, done }
    }

    pub async fn stop(self) {
        self.begin_stop().await;
    }

    /// Tells the relay to end; completes when it has.
    pub fn begin_stop(self) -> impl Future<Output = ()> {
        self.stop.send(()).unwrap();
        async { timeout(PATIENCE, self.done).await.expect("the relay ends").unwrap() }
    }

    /// A device of a user, connected.
    pub async fn device(&self, sub: &str, name: u8) -> Device {
        Device::connect(self.address, &[("Cookie", &format!("auth_token={}", token(sub, 600)))], name).await
    }

    /// One HTTP request; the status, the head and the body of the answer.
    pub async fn http(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        http(self.address, method, path, body).await
    }
}

pub async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String, String) {
    http_with(address, method, path, &[("Content-Type", "application/json")], body).await
}

pub async fn http_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = timeout(PATIENCE, exchange).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

/// Takes a table away under the relay that runs on the database of this directory.
pub async fn spoil(directory: &Path) {
    let tables = "DROP TABLE run; DROP TABLE record; DROP TABLE accepted; DROP TABLE entry; DROP TABLE log";
    database::run_beside(directory, tables).await;
}

/// One connection of a device.
pub struct Device {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub site: String,
}

impl Device {
    pub async fn connect(address: SocketAddr, headers: &[(&'static str, &str)], name: u8) -> Device {
        Device::connect_to(address, "/api/v1/sync", headers, name).await
    }

    pub async fn connect_to(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
        name: u8,
    ) -> Device {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (header, value) in headers {
            request.headers_mut().append(*header, value.parse().unwrap());
        }
        let (socket, _) = timeout(PATIENCE, connect_async(request)).await.expect("a connection").unwrap();
        Device { socket, site: site(name) }
    }

    /// Over a connection that is there already.
    pub async fn over(
        stream: TcpStream,
        address: SocketAddr,
        headers: &[(&'static str, &str)],
        name: u8,
    ) -> Device {
        let mut request = format!("ws://{address}/api/v1/sync").into_client_request().unwrap();
        for (header, value) in headers {
            request.headers_mut().append(*header, value.parse().unwrap());
        }
        let upgrade = client_async(request, MaybeTlsStream::Plain(stream));
        let (socket, _) = timeout(PATIENCE, upgrade).await.expect("a connection").unwrap();
        Device { socket, site: site(name) }
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Frame::text(text.into())).await.unwrap();
    }

    pub async fn send(&mut self, kind: &str, payload: Value) {
        let message =
            json!({ "type": kind, "version": 1, "siteId": self.site, "timestamp": 1, "payload": payload });
        self.send_text(message.to_string()).await;
    }

    /// The next message, whole.
    pub async fn receive(&mut self) -> Value {
        serde_json::from_str(&self.receive_text().await).unwrap()
    }

    pub async fn receive_text(&mut self) -> String {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a message").unwrap().unwrap() {
                Frame::Text(text) => return text.to_string(),
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => panic!("instead of a message came {other:?}"),
            }
        }
    }

    /// The payload of the next message, which is of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let mut message = self.receive().await;
        assert_eq!(message["type"], kind, "{message}");
        message["payload"].take()
    }

    /// Reads on until the relay closes the connection.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("an end") {
                Some(Ok(Frame::Close(Some(close)))) => return (close.code.into(), close.reason.to_string()),
                Some(Ok(_)) => {}
                other => panic!("instead of a close frame came {other:?}"),
            }
        }
    }

    /// The next thing that comes is a message, not the end.
    pub async fn answered(&mut self) -> bool {
        matches!(timeout(PATIENCE, self.socket.next()).await, Ok(Some(Ok(Frame::Text(_)))))
    }

    /// Pushes and returns the acknowledgement, which is the next message.
    pub async fn push(&mut self, changes: &[Value]) -> Value {
        self.send("sync_push", json!({ "changes": changes, "baseVersion": 0, "ref": "p" })).await;
        self.expect("sync_ack").await
    }

    /// Asks after a cursor of the log, or from the beginning. What comes next is the answer.
    pub async fn ask(&mut self, cursors: Value) -> Value {
        self.ask_with(json!({ "sinceVersion": 0, "cursors": cursors, "ref": "q" })).await
    }

    pub async fn ask_with(&mut self, payload: Value) -> Value {
        self.send("sync_request", payload).await;
        self.expect("sync_response").await
    }

    /// Takes one forward, then asks for everything.
    pub async fn ask_after_forward(&mut self) -> Value {
        self.expect("sync_push").await;
        self.ask(json!({})).await
    }

    /// Nothing came since the last message: the next one is the answer to a question asked now.
    pub async fn expect_nothing(&mut self) {
        let reference = "nothing came";
        let answer = self.ask_with(json!({ "sinceVersion": 0, "cursors": {}, "ref": reference })).await;
        assert_eq!(answer["ref"], reference);
    }
}

pub fn site(name: u8) -> String {
    encode_base64(&[name; 16])
}

pub fn key(key: &str) -> String {
    encode_base64(Pk::pack(&[Val::Text(key.into())]).unwrap().as_bytes())
}

/// A column of the living row `pk` of table `t`, written at the sender's version `db_version`.
pub fn column(pk: &str, cid: &str, col_version: i64, val: Value, db_version: i64) -> Value {
    json!({ "table": "t", "pk": key(pk), "cid": cid, "val": val, "col_version": col_version,
            "db_version": db_version, "site_id": site(9), "cl": 1, "seq": 0 })
}

/// A row's sentinel.
pub fn sentinel(pk: &str, cl: i64) -> Value {
    json!({ "table": "t", "pk": key(pk), "cid": "-1", "val": null, "col_version": cl,
            "db_version": 1, "site_id": site(9), "cl": cl, "seq": 0 })
}

/// The cursor map that stands for having received everything of this answer, acknowledgement or forward.
pub fn cursor(log: &Value, run: &Value, version: &Value) -> Value {
    json!({ log.as_str().unwrap(): [run, version] })
}

pub fn offsets(payload: &Value) -> Vec<i64> {
    payload["changes"].as_array().unwrap().iter().map(|row| row["db_version"].as_i64().unwrap()).collect()
}

pub fn values(payload: &Value) -> Vec<Value> {
    payload["changes"].as_array().unwrap().iter().map(|row| row["val"].clone()).collect()
}

/// Waits until something holds that another process brings about.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come about");
}
