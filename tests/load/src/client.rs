//! Devices made of as little as possible: they say what a device says, and read no more than they must, so that the
//! machine works for the server. Decides the frames; never when they are sent. Used by the scenarios.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use crsqlite_sync::wire::{Body, Change, Message, Pk, Run, SiteId, SyncPush, SyncRequest, Value};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
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
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.context("the upgrade")?;
    Ok(socket)
}

/// Asks for everything; a relay that stores answers.
pub(crate) fn request(device: u32) -> String {
    let body = SyncRequest {
        cursors: Some(Vec::new()),
        reference: Some("q".to_owned()),
        run: Run::new("load"),
        ..SyncRequest::default()
    };
    frame(device, Body::Request(body))
}

/// One write of a row: the `number`th of this device, which has `rows` rows, made at `sent`.
pub(crate) fn push(device: u32, number: i64, rows: i64, sent: Duration) -> Result<String> {
    let key = Pk::pack(&[Value::Integer(number % rows)]).context("a key")?;
    let text = format!("{:020} a note of an ordinary length, as people write them", sent.as_nanos());
    let change = Change {
        table: "notes".to_owned(),
        pk: key,
        cid: "text".to_owned(),
        val: Value::Text(text),
        col_version: number / rows + 1,
        db_version: number + 1,
        site_id: site(device),
        cl: 1,
        seq: 0,
    };
    let body = SyncPush {
        changes: vec![Ok(change)],
        base_version: number,
        current_version: Some(number + 1),
        run: Run::new("load"),
        reference: Some(number.to_string()),
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
        say(&mut sink, request(device)).await?;
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
