//! The frames of the push-pull contract over a WebSocket (seed 002): `{type, requestId?, payload}`. Decides which
//! envelopes are well formed, and writes them. Payloads are the app's own and pass through as they came: `P` is
//! whatever holds them (text here and in the server, a JavaScript value in `web`).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::WireError;

/// What a peer answers with when it does not know which request it answers.
pub const UNKNOWN_REQUEST: &str = "unknown";
/// What an error says that carries no message.
pub const UNKNOWN_ERROR: &str = "Unknown error";

/// The fields of a frame before anything is known about its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<P> {
    pub kind: String,
    pub request_id: Option<String>,
    pub payload: Option<P>,
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame<P> {
    /// First after every open, if there is anything to say: the app's headers.
    Auth(P),
    /// `{changes}`
    Push { request_id: String, payload: P },
    /// `{cursor?, collections?, batchSize?}`
    Pull { request_id: String, payload: P },
    /// A type of some later contract.
    Unknown(String),
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame<P> {
    PushResult {
        request_id: String,
        payload: P,
    },
    PullResult {
        request_id: String,
        payload: P,
    },
    /// `{message}`. Without a request that is known it concerns the connection.
    Error {
        request_id: Option<String>,
        payload: Option<P>,
    },
    /// Changes that nobody asked for.
    ServerPush(P),
    /// A type of some later contract.
    Unknown(String),
}

#[derive(Deserialize)]
struct EnvelopeIn<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "requestId", borrow, default)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl<'a> Envelope<&'a str> {
    /// Reads one text frame; the payload stays text.
    ///
    /// # Errors
    /// When it is not a JSON object with a `type`.
    pub fn decode(text: &'a str) -> Result<Self, WireError> {
        let envelope: EnvelopeIn<'a> = serde_json::from_str(text)?;
        Ok(Envelope {
            kind: envelope.kind.into_owned(),
            // Of another type than text it names no request.
            request_id: envelope.request_id.and_then(|raw| serde_json::from_str(raw.get()).ok()),
            payload: envelope.payload.map(RawValue::get),
        })
    }
}

impl<P> Envelope<P> {
    /// What a server hears.
    ///
    /// # Errors
    /// When its type asks for a `requestId` or a `payload` that is not there.
    pub fn from_client(self) -> Result<ClientFrame<P>, WireError> {
        Ok(match self.kind.as_str() {
            "auth" => ClientFrame::Auth(self.payload.ok_or_else(no_payload)?),
            "push" => {
                let (request_id, payload) = self.request()?;
                ClientFrame::Push { request_id, payload }
            }
            "pull" => {
                let (request_id, payload) = self.request()?;
                ClientFrame::Pull { request_id, payload }
            }
            _ => ClientFrame::Unknown(self.kind),
        })
    }

    /// What a client hears.
    ///
    /// # Errors
    /// When its type asks for a `requestId` or a `payload` that is not there.
    pub fn from_server(self) -> Result<ServerFrame<P>, WireError> {
        Ok(match self.kind.as_str() {
            "push_result" => {
                let (request_id, payload) = self.request()?;
                ServerFrame::PushResult { request_id, payload }
            }
            "pull_result" => {
                let (request_id, payload) = self.request()?;
                ServerFrame::PullResult { request_id, payload }
            }
            "error" => ServerFrame::Error { request_id: self.request_id, payload: self.payload },
            "server_push" => ServerFrame::ServerPush(self.payload.ok_or_else(no_payload)?),
            _ => ServerFrame::Unknown(self.kind),
        })
    }

    fn request(self) -> Result<(String, P), WireError> {
        let id = self
            .request_id
            .ok_or_else(|| WireError::Malformed("`requestId` is missing or no text".into()))?;
        Ok((id, self.payload.ok_or_else(no_payload)?))
    }
}

fn no_payload() -> WireError {
    WireError::Malformed("`payload` is missing".into())
}

/// The text before and after the JSON of a payload, so that the payload itself need not be copied.
#[must_use]
pub fn around(kind: &str, request_id: Option<&str>) -> (String, &'static str) {
    let mut before = format!("{{\"type\":{}", quoted(kind));
    if let Some(id) = request_id {
        before.push_str(",\"requestId\":");
        before.push_str(&quoted(id));
    }
    before.push_str(",\"payload\":");
    (before, "}")
}

/// Writes a frame around the JSON of its payload.
#[must_use]
pub fn encode(kind: &str, request_id: Option<&str>, payload: &str) -> String {
    let (mut text, after) = around(kind, request_id);
    text.push_str(payload);
    text.push_str(after);
    text
}

fn quoted(text: &str) -> String {
    // Text always has a JSON form.
    serde_json::to_string(text).unwrap_or_default()
}
