//! The envelope of the relay protocol: `{type, version, siteId, timestamp, payload}`. Decides what is a message,
//! what is one of a type that we do not know (skipped, never fatal), and what is malformed.

use super::bytes::{SiteId, encode_base64};
use super::error::WireError;
use super::json::{Fault, Object, Reader};
use super::message::Body;
use super::payload::Kind;

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
#[allow(clippy::large_enum_variant)] // taken apart where it is made
pub enum Decoded {
    Message(Message),
    /// A type of some later protocol.
    UnknownType(String),
}

/// The fields of a frame, each at the place where its value begins: what they mean depends on the type.
#[derive(Default)]
struct Envelope<'a> {
    kind: Option<String>,
    version: Option<Reader<'a>>,
    site_id: Option<Reader<'a>>,
    timestamp: Option<Reader<'a>>,
    payload: Option<Reader<'a>>,
    /// The payload itself, where type and version came before it, as everybody writes it.
    body: Option<Body>,
}

impl<'a> Envelope<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut envelope = Envelope::default();
        reader.object()?;
        let mut first = true;
        while let Some(name) = reader.name(&mut first)? {
            let place = match &*name {
                "type" => {
                    let kind = reader.owned().map_err(|fault| fault.within("type"))?;
                    if envelope.kind.replace(kind).is_some() {
                        return Err(reader.fault("stands twice").within("type"));
                    }
                    continue;
                }
                "version" => &mut envelope.version,
                "siteId" => &mut envelope.site_id,
                "timestamp" => &mut envelope.timestamp,
                "payload" => &mut envelope.payload,
                _ => {
                    reader.skip()?;
                    continue;
                }
            };
            if place.is_some() {
                return Err(reader.fault("a field stands twice"));
            }
            *place = Some(reader.clone());
            match envelope.known_kind().filter(|_| name == "payload") {
                Some(kind) => {
                    envelope.body = Some(kind.read(reader).map_err(|fault| fault.within("payload"))?)
                }
                None => {
                    reader.skip()?;
                }
            }
        }
        Ok(envelope)
    }

    /// The type, once it and our version have been read.
    fn known_kind(&self) -> Option<Kind> {
        let version = self.version.clone()?.integer().ok()?;
        Kind::from_name(self.kind.as_deref()?).filter(|_| version == PROTOCOL_VERSION)
    }
}

impl Message {
    /// Reads one text frame.
    ///
    /// # Errors
    /// When the frame is not JSON, not an envelope, of another version, or its payload has another shape than
    /// its type asks for. A single bad row is no error: it stands in `changes` as a [`super::BadRow`].
    pub fn decode(text: &str) -> Result<Decoded, WireError> {
        let mut reader = Reader::new(text);
        let envelope = Envelope::read(&mut reader)?;
        reader.end()?;
        let Some(name) = envelope.kind else {
            return Err(reader.fault("missing").within("type").into());
        };
        let Some(kind) = Kind::from_name(&name) else {
            return Ok(Decoded::UnknownType(name));
        };
        let version = field(envelope.version, &reader, "version", Reader::integer)?;
        if version != PROTOCOL_VERSION {
            return Err(WireError::Version(version));
        }
        let site_id = field(envelope.site_id, &reader, "siteId", SiteId::read)?;
        let timestamp = field(envelope.timestamp, &reader, "timestamp", Reader::integer)?;
        let body = match envelope.body {
            Some(body) => body,
            None => field(envelope.payload, &reader, "payload", |reader| kind.read(reader))?,
        };
        Ok(Decoded::Message(Message { site_id, timestamp, body }))
    }

    /// Writes the frame.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        let mut envelope = Object::new(&mut out);
        envelope.text("type", self.body.kind());
        envelope.integer("version", PROTOCOL_VERSION);
        envelope.text("siteId", &encode_base64(&self.site_id.0));
        envelope.integer("timestamp", self.timestamp);
        self.body.write(envelope.name("payload"));
        envelope.end();
        out
    }
}

fn field<'a, T>(
    place: Option<Reader<'a>>,
    end: &Reader<'a>,
    name: &'static str,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    match place {
        Some(mut reader) => read(&mut reader),
        None => Err(end.fault("missing")),
    }
    .map_err(|fault| fault.within(name))
}
