//! What the relay says. Builds every message that leaves it from what a log returned; never decides when or to whom
//! it goes, and never reads a clock. Called by `room`.

use crsqlite_sync::wire::{
    Body, Change, Message, Place, Rejected, Run, SiteId, SyncAck, SyncError, SyncPush, SyncRequest,
    SyncResponse, WireError,
};
use serde::Deserialize;

use crate::error::Error;
use crate::log::core::{Appended, Clock, Page};
use crate::user::User;

/// How long a device should wait after the storage failed, in milliseconds.
const RETRY_AFTER_MS: u64 = 5_000;

/// A push or an answer of a device, without its rows: what its acknowledgement and its forward repeat.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) site_id: SiteId,
    pub(crate) timestamp: i64,
    pub(crate) run: Option<Run>,
    pub(crate) reference: Option<String>,
    pub(crate) base_version: i64,
    pub(crate) current_version: Option<i64>,
}

/// The answer to a request.
pub(crate) fn response(
    user: &User,
    own: &Run,
    to: SiteId,
    request: &SyncRequest,
    page: Page,
    differ: Option<Vec<String>>,
    now: i64,
) -> Message {
    let stored = request.stored.as_ref().map(|place| page.clock.resolve(place));
    let body = Body::Response(SyncResponse {
        current_version: page.current,
        run: Some(page.clock.run(own).clone()),
        to: Some(to),
        reference: request.reference.clone(),
        base_version: Some(page.base),
        head: Some(page.clock.head),
        more: page.more,
        durable: true,
        account: Some(user.account.clone()),
        stored,
        differ,
        changes: page.rows.into_iter().map(Ok).collect(),
        ..SyncResponse::default()
    });
    Message { site_id: user.site_id, timestamp: now, body }
}

/// Asks a peer that knows only the seed for everything it has.
pub(crate) fn request(user: &User, own: &Run, clock: &Clock, now: i64) -> Message {
    let body = Body::Request(SyncRequest { run: Some(clock.run(own).clone()), ..SyncRequest::default() });
    Message { site_id: user.site_id, timestamp: now, body }
}

/// Tells the sender of a push what became of it.
pub(crate) fn ack(
    user: &User,
    origin: &Origin,
    good: &[Change],
    rejected: Vec<Rejected>,
    appended: &Appended,
    now: i64,
) -> Message {
    let highest = good.iter().map(|change| change.db_version).max();
    let body = Body::Ack(SyncAck {
        received_version: origin.current_version.or(highest).unwrap_or(origin.base_version),
        applied_count: good.len().saturating_sub(appended.refused.len()) as u64,
        run: Some(appended.run.clone()),
        to: Some(origin.site_id),
        reference: origin.reference.clone(),
        durable: true,
        rejected,
        relay: Some(place(user, appended)),
    });
    Message { site_id: user.site_id, timestamp: now, body }
}

/// The push as the other devices get it: the sender's own, with only the rows that were stored.
pub(crate) fn forward(user: &User, origin: Origin, stored: Vec<Change>, appended: &Appended) -> Message {
    let body = Body::Push(SyncPush {
        changes: stored.into_iter().map(Ok).collect(),
        base_version: origin.base_version,
        run: origin.run,
        current_version: origin.current_version,
        relay: Some(place(user, appended)),
        ..SyncPush::default()
    });
    Message { site_id: origin.site_id, timestamp: origin.timestamp, body }
}

/// Where something was put into the log: after `base`, up to `head`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub(crate) run: &'a Run,
    pub(crate) base: i64,
    pub(crate) head: i64,
}

/// What came by another way than a push of the relay protocol: the log itself says it, with its offsets. Without rows it
/// says only how far the log has come.
pub(crate) fn news(user: &User, rows: Vec<Change>, at: Stored<'_>, now: i64) -> Message {
    let Stored { run, base, head } = at;
    let body = Body::Push(SyncPush {
        changes: rows.into_iter().map(Ok).collect(),
        base_version: base,
        run: Some(run.clone()),
        current_version: Some(head),
        relay: Some(Place { site_id: user.site_id, run: run.clone(), base_version: base, version: head }),
        ..SyncPush::default()
    });
    Message { site_id: user.site_id, timestamp: now, body }
}

/// An empty push of the log's own: whoever has less than the head asks.
/// With tables of which devices have stated different values: whoever hears it states its own anew.
pub(crate) fn head(user: &User, own: &Run, clock: &Clock, doubted: Vec<String>, now: i64) -> Message {
    let run = clock.run(own).clone();
    let body = Body::Push(SyncPush {
        base_version: clock.head,
        current_version: Some(clock.head),
        run: Some(run.clone()),
        head: Some(clock.head),
        differ: (!doubted.is_empty()).then_some(doubted),
        relay: Some(Place { site_id: user.site_id, run, base_version: clock.head, version: clock.head }),
        ..SyncPush::default()
    });
    Message { site_id: user.site_id, timestamp: now, body }
}

/// The log could not be read or written; nothing of the message was taken. Its run is not known either.
pub(crate) fn failure(
    user: &User,
    to: SiteId,
    reference: Option<String>,
    error: &Error,
    now: i64,
) -> Message {
    let body = Body::Error(SyncError {
        code: error.code().to_owned(),
        message: "the relay could not reach its storage".to_owned(),
        retry_after: Some(RETRY_AFTER_MS),
        to: Some(to),
        reference,
        ..SyncError::default()
    });
    Message { site_id: user.site_id, timestamp: now, body }
}

/// A frame could not be read.
pub(crate) fn complaint(user: &User, run: Option<Run>, hint: Hint, error: &WireError, now: i64) -> Message {
    let body = Body::Error(SyncError {
        code: error.code().to_owned(),
        message: error.to_string(),
        run,
        to: hint.site_id,
        reference: hint.reference,
        ..SyncError::default()
    });
    Message { site_id: user.site_id, timestamp: now, body }
}

fn place(user: &User, appended: &Appended) -> Place {
    Place {
        site_id: user.site_id,
        run: appended.run.clone(),
        base_version: appended.base,
        version: appended.head,
    }
}

/// What can still be read of a frame that is malformed: whom to answer, and about what.
#[derive(Debug, Default)]
pub(crate) struct Hint {
    pub(crate) site_id: Option<SiteId>,
    pub(crate) reference: Option<String>,
}

impl Hint {
    pub(crate) fn of(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(rename = "siteId")]
            site_id: String,
            payload: Option<Payload>,
        }
        #[derive(Deserialize)]
        struct Payload {
            #[serde(rename = "ref")]
            reference: Option<String>,
        }
        let Ok(envelope) = serde_json::from_str::<Envelope>(text) else { return Hint::default() };
        let Some(site_id) = SiteId::from_base64(&envelope.site_id) else { return Hint::default() };
        Hint { site_id: Some(site_id), reference: envelope.payload.and_then(|payload| payload.reference) }
    }
}
