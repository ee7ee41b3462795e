//! The payloads of the relay protocol, one struct per message type. Says which fields there are and what each
//! means; never when they are sent. Optional fields are ours: a peer that knows only the seed ignores them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bytes::SiteId;
use super::change::{self, Row, RowCode};

/// One stretch of a clock's life: drawn at random at each start of a leader or a server. 1 to 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Run(String);

impl Run {
    /// `None` unless the text has 1 to 64 bytes.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (1..=64).contains(&text.len()).then_some(Run(text))
    }

    /// A run named by 64 random bits.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Run(format!("{bits:016x}"))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Run::new(String::deserialize(deserializer)?)
            .ok_or_else(|| de::Error::custom("a run has 1 to 64 characters"))
    }
}

/// A place in a sender's clock, up to which everything was received: `[run, version]`, or
/// `[run, version, head]` while that sender still has more of a snapshot that reached `head`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub run: Run,
    pub version: i64,
    pub head: Option<i64>,
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(if self.head.is_some() { 3 } else { 2 })?;
        tuple.serialize_element(&self.run)?;
        tuple.serialize_element(&self.version)?;
        if let Some(head) = self.head {
            tuple.serialize_element(&head)?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(CursorVisitor)
    }
}

struct CursorVisitor;

impl<'de> Visitor<'de> for CursorVisitor {
    type Value = Cursor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[run, version] or [run, version, head]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cursor, A::Error> {
        let run = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let version: Version = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
        let head: Option<Version> = seq.next_element()?;
        while seq.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Cursor { run, version: version.0, head: head.map(|head| head.0) })
    }
}

/// A clock value within 0..=2^53-1; anything else is malformed.
#[derive(Debug, Clone, Copy, Serialize)]
struct Version(i64);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        version(deserializer).map(Version)
    }
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = i64::deserialize(deserializer)?;
    if (0..=change::MAX_DB_VERSION).contains(&value) {
        Ok(value)
    } else {
        Err(de::Error::custom("a version is within 0..=2^53-1"))
    }
}

fn optional_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::<Version>::deserialize(deserializer).map(|version| version.map(|version| version.0))
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(value: &bool) -> bool {
    !*value
}

/// Where a storing relay put a push into its log: after `baseVersion`, up to `version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    pub site_id: SiteId,
    pub run: Run,
    #[serde(deserialize_with = "version")]
    pub base_version: i64,
    #[serde(deserialize_with = "version")]
    pub version: i64,
}

/// A row of the push that was answered which the receiver will never take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its index in the push's `changes`.
    pub index: usize,
    pub code: RowCode,
}

/// Asks for changes. Without `to` everybody who hears it answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncRequest {
    /// The seed's cursor; ours is 0 here and in `cursors` instead.
    #[serde(deserialize_with = "version")]
    pub since_version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// What the requester has received of each sender it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursors: Option<BTreeMap<String, Cursor>>,
    /// The requester's own highest version.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_version")]
    pub head: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SiteId>,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The highest place that the requester has seen of the log that it last synced with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Cursor>,
}

/// Rows after `baseVersion` up to `currentVersion`, both of the sender's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncResponse {
    #[serde(deserialize_with = "change::rows", serialize_with = "write_rows")]
    pub changes: Vec<Row>,
    #[serde(deserialize_with = "version")]
    pub current_version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SiteId>,
    /// The `ref` of the request.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_version")]
    pub base_version: Option<i64>,
    /// The highest version of the snapshot that this answer is cut from.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_version")]
    pub head: Option<i64>,
    /// There is more after `currentVersion`: ask again, addressed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// Set when one version alone is larger than a message: the answer counts when all parts came in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The sender stores: what it acknowledges survives.
    #[serde(default, skip_serializing_if = "is_false")]
    pub durable: bool,
    /// Names the account whose log this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// How much of the request's `stored` still stands.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_version")]
    pub stored: Option<i64>,
}

/// Which part of an answer this is: `[index, count]`, index from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part(pub u32, pub u32);

impl Part {
    /// The answer is whole with this part.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.0.checked_add(1) == Some(self.1)
    }
}

/// Rows written after `baseVersion` of the sender's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncPush {
    #[serde(deserialize_with = "change::rows", serialize_with = "write_rows")]
    pub changes: Vec<Row>,
    #[serde(deserialize_with = "version")]
    pub base_version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The upper bound of what this push was read from.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_version")]
    pub current_version: Option<i64>,
    /// Stated now and then: whoever has less asks.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_version")]
    pub head: Option<i64>,
    /// Added by a storing relay when it forwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Place>,
}

/// The receiver has committed a push.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncAck {
    #[serde(deserialize_with = "version")]
    pub received_version: i64,
    pub applied_count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SiteId>,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub durable: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Place>,
}

/// Something failed at the sender. Never answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncError {
    pub code: String,
    pub message: String,
    /// Milliseconds to wait before trying again; only a retryable error has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SiteId>,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub durable: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Request(SyncRequest),
    Response(SyncResponse),
    Push(SyncPush),
    Ack(SyncAck),
    Error(SyncError),
}

#[allow(clippy::ptr_arg)] // serde's signature
fn write_rows<S: Serializer>(rows: &Vec<Row>, serializer: S) -> Result<S::Ok, S::Error> {
    change::write_rows(rows, serializer)
}
