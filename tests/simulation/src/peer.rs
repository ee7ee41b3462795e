//! A peer that knows only the seed's messages and fields: it asks for everything now and then, answers whoever asks,
//! pushes what it writes, and ignores what it does not know. The worlds mix such peers with devices of ours.

use crsqlite_sync::engine::affinity::Affinity;
use crsqlite_sync::wire::{
    Body, Change, Decoded, Message, Pk, Row, SiteId, SyncAck, SyncPush, SyncRequest, SyncResponse, Value,
};

use crate::model::Database;
use crate::store::Disk;

/// What such a peer remembers while it runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeedPeer {
    /// Up to where it pushed its own rows.
    pushed: i64,
}

impl SeedPeer {
    pub(crate) fn new(disk: &Disk) -> Self {
        SeedPeer { pushed: disk.db().max_version() }
    }

    /// What it says when it comes online, and repeats from time to time.
    pub(crate) fn ask(site: SiteId) -> String {
        say(site, Body::Request(SyncRequest::default()))
    }

    /// It has written something.
    pub(crate) fn wrote(&mut self, disk: &Disk) -> Option<String> {
        let db = disk.db();
        let (site, base) = (db.site(), self.pushed);
        let rows = db.changes(|_, _, _, version, origin, _| version > base && origin == site);
        self.pushed = db.max_version();
        let push = SyncPush { changes: plain(rows), base_version: base, ..SyncPush::default() };
        (!push.changes.is_empty()).then(|| say(site, Body::Push(push)))
    }

    /// Something that it sent was not taken: its own rows are pushed again.
    pub(crate) fn has_to_repeat(&self, disk: &Disk) -> bool {
        self.pushed < disk.db().max_version()
    }

    /// A frame arrived: applies it and says what it has to say.
    pub(crate) fn received(&mut self, disk: &mut Disk, text: &str) -> Option<String> {
        let Ok(Decoded::Message(message)) = Message::decode(text) else { return None };
        let site = disk.db().site();
        match message.body {
            Body::Request(request) => {
                let since = request.since_version;
                let rows = disk.db().changes(|_, _, _, version, _, _| version > since);
                let current_version = disk.db().max_version();
                let changes = plain(rows);
                Some(say(
                    site,
                    Body::Response(SyncResponse { changes, current_version, ..SyncResponse::default() }),
                ))
            }
            Body::Response(answer) => {
                merge(disk, answer.changes);
                None
            }
            Body::Push(push) => {
                let applied_count = push.changes.len() as u64;
                merge(disk, push.changes);
                let received_version = push.base_version;
                Some(say(site, Body::Ack(SyncAck { received_version, applied_count, ..SyncAck::default() })))
            }
            Body::Ack(_) => None,
            Body::Error(_) => {
                self.pushed = 0;
                None
            }
        }
    }
}

fn say(site_id: SiteId, body: Body) -> String {
    Message { site_id, timestamp: 0, body }.encode()
}

/// The rows as JavaScript writes them: 5.0 is 5.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::float_cmp)]
fn plain(rows: Vec<Change>) -> Vec<Row> {
    let number = |val| match val {
        Value::Real(x) if x == (x as i32) as f64 => Value::Integer(x as i64),
        other => other,
    };
    rows.into_iter().map(|row| Ok(Change { val: number(row.val), ..row })).collect()
}

fn merge(disk: &mut Disk, rows: Vec<Row>) {
    disk.app(|db| {
        for row in rows.into_iter().flatten() {
            if let Some(row) = fit(db, &row) {
                // What does not fit this peer's schema is lost on it, as its makers chose.
                let _ = db.merge(&row);
            }
        }
    });
}

/// The row with its values as the columns hold them: these peers pass typed values, too.
pub(crate) fn fit(db: &Database, row: &Change) -> Option<Change> {
    let schema = db.schema();
    let table = schema.tables.get(&row.table)?;
    let key: Vec<_> =
        row.pk.columns().into_iter().zip(&table.key).map(|(value, affinity)| affinity.apply(value)).collect();
    let affinity = table.columns.get(&row.cid).copied().unwrap_or(Affinity::Blob);
    Some(Change { pk: Pk::pack(&key)?, val: affinity.apply(row.val.clone()), ..row.clone() })
}
