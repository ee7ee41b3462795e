//! Devices made of as little as possible: they say what a device says, and read no more than they must, so that the
//! machine works for the server. Decides the frames; never when they are sent. Used by the scenarios.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use crsqlite_sync::wire::{Body, Change, Cursor, Message, Pk, Run, SiteId, SyncPush, SyncRequest, Value};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message as Frame, Utf8Bytes};

use crate::relay::SECRET;

pub(crate) type Socket = WebSocketStream<TcpStream>;
pub(crate) type Sink = SplitSink<Socket, Frame>;
pub(crate) type Stream = SplitStream<Socket>;

/// Far away.
const EXPIRES: u64 = 4_000_000_000;

pub(crate) fn token(user: &str) -> Result<String> {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    Ok(jsonwebtoken::encode(&Header::default(), &json!({ "sub": user, "exp": EXPIRES }), &key)?)
}

/// Opens the socket of a user.
pub(crate) async fn connect(address: &str, token: &str) -> Result<Socket> {
    let mut request = format!("ws://{address}/api/v1/sync").into_client_request()?;
    request.headers_mut().insert("cookie", format!("auth_token={token}").parse()?);
    let stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    // The default fills 128 KiB with zeros for each read, which would be most of what a device costs.
    let config = WebSocketConfig::default().read_buffer_size(8 << 10);
    let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let (socket, _) = opening.await.context("the upgrade")?;
    Ok(socket)
}

/// Asks for what comes after these cursors, without any for everything; a relay that stores answers.
pub(crate) fn request(device: u32, cursors: Vec<(String, Cursor)>) -> String {
    let body = SyncRequest {
        cursors: Some(cursors),
        reference: Some("q".to_owned()),
        run: Run::new("load"),
        ..SyncRequest::default()
    };
    frame(device, Body::Request(body))
}

/// What a device writes: so many rows, one after the other and then anew, so many in one push.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) rows: i64,
    pub(crate) width: i64,
}

/// The `number`th push of this device, made at `sent`.
pub(crate) fn push(device: u32, number: i64, shape: Shape, sent: Duration) -> Result<String> {
    let Shape { rows, width } = shape;
    let writes = (number * width..(number + 1) * width).map(|write| (write % rows, write / rows + 1));
    written(device, writes, number * width, number, sent)
}

/// Writes these rows in this version; `version` is the device's before.
pub(crate) fn rewrite(
    device: u32,
    keys: impl Iterator<Item = i64>,
    col_version: i64,
    version: i64,
) -> Result<String> {
    written(device, keys.map(|key| (key, col_version)), version, version, Duration::ZERO)
}

/// Of rows, by key, each with its column's version.
fn written(
    device: u32,
    writes: impl Iterator<Item = (i64, i64)>,
    before: i64,
    reference: i64,
    sent: Duration,
) -> Result<String> {
    let text = format!("{:020} a note of an ordinary length, as people write them", sent.as_nanos());
    let mut changes = Vec::new();
    for ((key, col_version), db_version) in writes.zip(before + 1..) {
        changes.push(Ok(Change {
            table: "notes".to_owned(),
            pk: Pk::pack(&[Value::Integer(key)]).context("a key")?,
            cid: "text".to_owned(),
            val: Value::Text(text.clone()),
            col_version,
            db_version,
            site_id: site(device),
            cl: 1,
            seq: 0,
        }));
    }
    let body = SyncPush {
        base_version: before,
        current_version: Some(before + changes.len() as i64),
        changes,
        run: Run::new("load"),
        reference: Some(reference.to_string()),
        ..SyncPush::default()
    };
    Ok(frame(device, Body::Push(body)))
}

/// When the write in this frame was sent, if there is one.
pub(crate) fn sent(frame: &str) -> Option<Duration> {
    let digits = frame.split_once("\"val\":\"")?.1.get(..20)?;
    digits.parse().ok().map(Duration::from_nanos)
}

/// Reads on until a text frame comes that the caller wants.
pub(crate) async fn read_until<T>(
    stream: &mut Stream,
    mut wanted: impl FnMut(&str) -> Option<T>,
) -> Result<T> {
    loop {
        match stream.next().await {
            Some(Ok(Frame::Text(text))) => {
                if let Some(found) = wanted(&text) {
                    return Ok(found);
                }
            }
            Some(Ok(Frame::Close(frame))) => bail!("closed: {frame:?}"),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => bail!("the connection ended"),
        }
    }
}

pub(crate) async fn say(sink: &mut Sink, text: String) -> Result<()> {
    Ok(sink.send(Frame::Text(Utf8Bytes::from(text))).await?)
}

/// Connects and waits for the answer to a request, if the server gives any. Returns how long that took.
pub(crate) async fn enter(
    address: &str,
    token: &str,
    device: u32,
    answered: bool,
) -> Result<(Sink, Stream, Duration)> {
    let begun = Instant::now();
    let all = async {
        let (mut sink, mut stream) = connect(address, token).await?.split();
        say(&mut sink, request(device, Vec::new())).await?;
        if answered {
            read_until(&mut stream, |text| text.contains("sync_response").then_some(())).await?;
        }
        anyhow::Ok((sink, stream))
    };
    let (sink, stream) =
        timeout(Duration::from_secs(60), all).await.context("a device waited for a minute")??;
    Ok((sink, stream, begun.elapsed()))
}

fn frame(device: u32, body: Body) -> String {
    Message { site_id: site(device), timestamp: 1_700_000_000_000, body }.encode()
}

fn site(device: u32) -> SiteId {
    let mut id = [7; 16];
    for (to, from) in id.iter_mut().zip(device.to_be_bytes()) {
        *to = from;
    }
    SiteId(id)
}
