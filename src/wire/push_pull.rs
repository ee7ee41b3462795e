//! The frames of the push-pull contract over a WebSocket (seed 002): `{type, requestId?, payload}`. Decides which
//! envelopes are well formed, and writes them. Payloads are the app's own and pass through as they came: `P` is
//! whatever holds them (text here and in the server, a JavaScript value in `web`).

use std::borrow::Cow;

use super::error::WireError;
use super::json::{self, Reader};

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

impl<'a> Envelope<&'a str> {
    /// Reads one text frame; the payload stays text.
    ///
    /// # Errors
    /// When it is not a JSON object with a `type`.
    pub fn decode(text: &'a str) -> Result<Self, WireError> {
        let mut reader = Reader::new(text);
        let (mut kind, mut request_id, mut payload) = (None, None, None);
        reader.object()?;
        let mut first = true;
        while let Some(name) = reader.name(&mut first)? {
            let twice = match &*name {
                "type" => kind.replace(reader.owned().map_err(|fault| fault.within("type"))?).is_some(),
                "requestId" => request_id.replace(reader.skip()?).is_some(),
                "payload" => payload.replace(reader.skip()?).is_some(),
                _ => {
                    reader.skip()?;
                    false
                }
            };
            if twice {
                return Err(reader.fault("a field stands twice").into());
            }
        }
        reader.end()?;
        Ok(Envelope {
            kind: kind.ok_or_else(|| reader.fault("missing").within("type"))?,
            // Of another type than text it names no request.
            request_id: request_id.and_then(|raw| json::parse(raw, Reader::string).ok()).map(Cow::into_owned),
            payload: payload.filter(|raw| *raw != "null"),
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
    let mut before = String::from("{\"type\":");
    json::text(&mut before, kind);
    if let Some(id) = request_id {
        before.push_str(",\"requestId\":");
        json::text(&mut before, id);
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
