//! The envelope of the relay protocol: `{type, version, siteId, timestamp, payload}`. Decides what is a message,
//! what is one of a type that we do not know (skipped, never fatal), and what is malformed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::bytes::SiteId;
use super::error::WireError;
use super::message::Body;

/// The only `version` there is.
pub const PROTOCOL_VERSION: i64 = 1;

/// One message of the relay protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender; on a forwarded push the device that pushed.
    pub site_id: SiteId,
    /// The sender's wall clock, milliseconds since 1970. Only for people to read.
    pub timestamp: i64,
    pub body: Body,
}

/// What a frame turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    Message(Message),
    /// A type of some later protocol.
    UnknownType(String),
}

#[derive(Deserialize)]
struct EnvelopeIn<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    version: Option<&'a RawValue>,
    #[serde(rename = "siteId", borrow, default)]
    site_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct EnvelopeOut<'a, P> {
    #[serde(rename = "type")]
    kind: &'a str,
    version: i64,
    #[serde(rename = "siteId")]
    site_id: SiteId,
    timestamp: i64,
    payload: &'a P,
}

impl Message {
    /// Reads one text frame.
    ///
    /// # Errors
    /// When the frame is not JSON, not an envelope, of another version, or its payload has another shape than
    /// its type asks for. A single bad row is no error: it stands in `changes` as a [`super::BadRow`].
    pub fn decode(text: &str) -> Result<Decoded, WireError> {
        let envelope: EnvelopeIn<'_> = serde_json::from_str(text)?;
        let kind = envelope.kind.as_ref();
        if !matches!(kind, "sync_request" | "sync_response" | "sync_push" | "sync_ack" | "sync_error") {
            return Ok(Decoded::UnknownType(kind.to_owned()));
        }
        let version: i64 = field(envelope.version, "version")?;
        if version != PROTOCOL_VERSION {
            return Err(WireError::Version(version));
        }
        let site_id = field(envelope.site_id, "siteId")?;
        let timestamp = field(envelope.timestamp, "timestamp")?;
        let payload = envelope.payload;
        let body = match kind {
            "sync_request" => Body::Request(field(payload, "payload")?),
            "sync_response" => Body::Response(field(payload, "payload")?),
            "sync_push" => Body::Push(field(payload, "payload")?),
            "sync_ack" => Body::Ack(field(payload, "payload")?),
            _ => Body::Error(field(payload, "payload")?),
        };
        Ok(Decoded::Message(Message { site_id, timestamp, body }))
    }

    /// Writes the frame.
    #[must_use]
    pub fn encode(&self) -> String {
        match &self.body {
            Body::Request(payload) => self.envelope("sync_request", payload),
            Body::Response(payload) => self.envelope("sync_response", payload),
            Body::Push(payload) => self.envelope("sync_push", payload),
            Body::Ack(payload) => self.envelope("sync_ack", payload),
            Body::Error(payload) => self.envelope("sync_error", payload),
        }
    }

    fn envelope<P: Serialize>(&self, kind: &str, payload: &P) -> String {
        let envelope = EnvelopeOut {
            kind,
            version: PROTOCOL_VERSION,
            site_id: self.site_id,
            timestamp: self.timestamp,
            payload,
        };
        // Serialising into a string fails only for maps whose keys are not strings; there are none.
        serde_json::to_string(&envelope).unwrap_or_default()
    }
}

fn field<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, name: &str) -> Result<T, WireError> {
    let raw = raw.ok_or_else(|| WireError::Malformed(format!("`{name}` is missing")))?;
    serde_json::from_str(raw.get()).map_err(|error| WireError::Malformed(format!("`{name}`: {error}")))
}
