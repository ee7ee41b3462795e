//! The payloads of the relay protocol, one struct per message type. Says which fields there are and what each
//! means; never when they are sent. Optional fields are ours: a peer that knows only the seed ignores them.

use std::fmt;

use super::bytes::SiteId;
use super::change::{Row, RowCode};
use super::digest::Digest;

/// One stretch of a clock's life: drawn at random at each start of a leader or a server. 1 to 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// A place in a sender's clock, up to which everything was received: `[run, version]`, or
/// `[run, version, head]` while that sender still has more of a snapshot that reached `head`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub run: Run,
    pub version: i64,
    pub head: Option<i64>,
}

/// Where a storing relay put a push into its log: after `baseVersion`, up to `version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub site_id: SiteId,
    pub run: Run,
    pub base_version: i64,
    pub version: i64,
}

/// A row of the push that was answered which the receiver will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its index in the push's `changes`.
    pub index: usize,
    pub code: RowCode,
}

/// Asks for changes. Without `to` everybody who hears it answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncRequest {
    /// The seed's cursor; ours is 0 here and in `cursors` instead.
    pub since_version: i64,
    pub run: Option<Run>,
    /// What the requester has received of each sender it knows, by the sender's site id. A list as it came: to sort
    /// what a stranger sends would let one frame of many names stop everything.
    pub cursors: Option<Vec<(String, Cursor)>>,
    /// The requester's own highest version.
    pub head: Option<i64>,
    pub to: Option<SiteId>,
    pub reference: Option<String>,
    /// The highest place that the requester has seen of the log that it last synced with.
    pub stored: Option<Cursor>,
    /// What the requester holds, when it is to be compared.
    pub digest: Option<Digest>,
}

impl SyncRequest {
    /// What the requester has received of this sender.
    #[must_use]
    pub fn cursor_of(&self, site: SiteId) -> Option<&Cursor> {
        cursor_of(self.cursors.as_ref()?, site)
    }
}

/// What a list of cursors says of this sender.
#[must_use]
pub fn cursor_of(cursors: &[(String, Cursor)], site: SiteId) -> Option<&Cursor> {
    let mut cursors = cursors.iter().rev();
    cursors.find(|(name, _)| SiteId::from_base64(name) == Some(site)).map(|(_, cursor)| cursor)
}

/// Rows after `baseVersion` up to `currentVersion`, both of the sender's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncResponse {
    pub changes: Vec<Row>,
    pub current_version: i64,
    pub run: Option<Run>,
    pub to: Option<SiteId>,
    /// The `ref` of the request.
    pub reference: Option<String>,
    pub base_version: Option<i64>,
    /// The highest version of the snapshot that this answer is cut from.
    pub head: Option<i64>,
    /// There is more after `currentVersion`: ask again, addressed.
    pub more: bool,
    /// Set when one version alone is larger than a message: the answer counts when all parts came in order.
    pub part: Option<Part>,
    /// The sender stores: what it acknowledges survives.
    pub durable: bool,
    /// Names the account whose log this is.
    pub account: Option<String>,
    /// How much of the request's `stored` still stands.
    pub stored: Option<i64>,
    /// The tables of the request's `digest` that differ from the sender's; none where nothing was compared.
    pub differ: Option<Vec<String>>,
}

/// Which part of an answer this is: `[index, count]`, index from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part(pub u32, pub u32);

impl Part {
    /// The answer is whole with this part.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.0.checked_add(1) == Some(self.1)
    }
}

/// Rows written after `baseVersion` of the sender's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncPush {
    pub changes: Vec<Row>,
    pub base_version: i64,
    pub run: Option<Run>,
    pub reference: Option<String>,
    /// The upper bound of what this push was read from.
    pub current_version: Option<i64>,
    /// Stated now and then: whoever has less asks.
    pub head: Option<i64>,
    /// With `head`: what the sender has received of each sender it knows.
    pub cursors: Option<Vec<(String, Cursor)>>,
    /// With `head`: what the sender holds there.
    pub digest: Option<Digest>,
    /// Said by a storing relay: devices have stated different values of these tables.
    pub differ: Option<Vec<String>>,
    /// Added by a storing relay when it forwards.
    pub relay: Option<Place>,
}

/// The receiver has committed a push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncAck {
    pub received_version: i64,
    pub applied_count: u64,
    pub run: Option<Run>,
    pub to: Option<SiteId>,
    pub reference: Option<String>,
    pub durable: bool,
    pub rejected: Vec<Rejected>,
    pub relay: Option<Place>,
}

/// Something failed at the sender. Never answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncError {
    pub code: String,
    pub message: String,
    /// Milliseconds to wait before trying again; only a retryable error has it.
    pub retry_after: Option<u64>,
    pub run: Option<Run>,
    pub to: Option<SiteId>,
    pub reference: Option<String>,
    pub durable: bool,
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
