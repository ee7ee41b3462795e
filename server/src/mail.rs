//! What a room tells its connections. Decides that a large message is written beside the threads that serve sockets, and
//! keeps its place in every queue meanwhile; never what a message says or when it goes. Filled by `room` and `pushes`.

use std::fmt;
use std::sync::Arc;

use crsqlite_sync::wire::{Body, Change, CloseCode, Message};
use tungstenite::Utf8Bytes;

use crate::deflate::Text;
use crate::heavy::{self, HEAVY_BYTES};
use crate::log::core::Record;
use crate::metrics;
use crate::outbox::{End, Later, Outbox, Queued};
use crate::push_pull;
use crate::room::Protocol;

/// What could not be written will never come.
const OVERLOADED: End = End::new(CloseCode::TRY_AGAIN_LATER, "overloaded");

/// Who of a room's connections is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    One(u64),
    /// All that speak this, but for one.
    Others(Protocol, Option<u64>),
}

impl To {
    pub(crate) fn reaches(self, id: u64, speaks: Protocol) -> bool {
        match self {
            To::One(one) => id == one,
            To::Others(protocol, except) => speaks == protocol && Some(id) != except,
        }
    }
}

/// A frame, written once for all who get it.
pub(crate) struct Letter {
    pub(crate) to: To,
    /// The type of the message.
    pub(crate) kind: &'static str,
    pub(crate) frame: Queued,
    unwritten: Option<Unwritten>,
}

struct Unwritten {
    frame: Later,
    write: Box<dyn FnOnce() -> Text + Send>,
}

impl Letter {
    /// `bytes` is about how large the frame will be.
    pub(crate) fn new<T: Into<Utf8Bytes>>(
        to: To,
        kind: &'static str,
        bytes: usize,
        write: impl FnOnce() -> T + Send + 'static,
    ) -> Self {
        if bytes < HEAVY_BYTES {
            return Letter { to, kind, frame: Queued::Text(Text::new(write())), unwritten: None };
        }
        let frame = Later::default();
        let unwritten = Unwritten { frame: Later::clone(&frame), write: Box::new(|| Text::new(write())) };
        Letter { to, kind, frame: Queued::Later(frame, bytes), unwritten: Some(unwritten) }
    }

    pub(crate) fn message(to: To, message: Message) -> Self {
        let (kind, bytes) = (metrics::kind(&message.body), about_bytes(&message.body));
        Letter::new(to, kind, bytes, move || message.encode())
    }

    /// A frame of the push-pull contract.
    pub(crate) fn news(to: To, rows: &[Change], records: &[&Record], now: i64) -> Self {
        let bytes = rows.iter().map(Change::wire_size).chain(records.iter().map(|r| r.wire_size())).sum();
        let rows = rows.to_vec();
        let records: Vec<Record> = records.iter().map(|&record| record.clone()).collect();
        Letter::new(to, "server_push", bytes, move || push_pull::news(&rows, &records, now))
    }

    /// Begins to write what is large; to be called when it is queued.
    pub(crate) fn write_for(self, hearers: Vec<Arc<Outbox>>) {
        let Some(Unwritten { frame, write }) = self.unwritten else { return };
        let deflate = hearers.iter().any(|outbox| outbox.deflates());
        tokio::spawn(async move {
            let writing = move || {
                let text = write();
                if deflate {
                    text.deflate();
                }
                text
            };
            let written = heavy::run(writing).await;
            let is_there = written.is_some_and(|text| frame.set(text).is_ok());
            for outbox in hearers {
                if is_there { outbox.look() } else { outbox.give_up(OVERLOADED) }
            }
        });
    }

    pub(crate) fn is_large(&self) -> bool {
        self.unwritten.is_some()
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("to", &self.to).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// About how large a message is.
fn about_bytes(body: &Body) -> usize {
    let rows = match body {
        Body::Push(push) => &push.changes,
        Body::Response(response) => &response.changes,
        Body::Request(_) | Body::Ack(_) | Body::Error(_) => return 0,
    };
    rows.iter().flatten().map(Change::wire_size).sum()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::outbox::{Bound, Next};
    use crate::upgrade::Deflates;

    fn send(outboxes: &[Arc<Outbox>], bytes: usize, write: impl FnOnce() -> String + Send + 'static) {
        let letter = Letter::new(To::One(0), "test", bytes, write);
        outboxes.iter().for_each(|outbox| outbox.push_all([letter.frame.clone()]));
        letter.write_for(outboxes.to_vec());
    }

    #[tokio::test]
    async fn a_large_frame_is_written_elsewhere_and_keeps_its_place() {
        let bound = Bound { messages: 9, bytes: 9 << 20 };
        let outboxes: Vec<_> =
            (0..2).map(|_| Arc::new(Outbox::new(bound, Deflates(false), Counter::default()))).collect();
        let here = thread::current().id();
        let frame = move || format!("here: {}", thread::current().id() == here);
        send(&outboxes, HEAVY_BYTES, frame);
        send(&outboxes, HEAVY_BYTES - 1, frame);
        for outbox in outboxes {
            for text in ["here: false", "here: true"] {
                assert_eq!(outbox.take().await, Next::Frame(Text::new(text)));
            }
        }
    }

    #[tokio::test]
    async fn a_frame_that_cannot_be_written_ends_the_connection() {
        let outbox =
            Arc::new(Outbox::new(Bound { messages: 9, bytes: 9 }, Deflates(false), Counter::default()));
        send(&[Arc::clone(&outbox)], HEAVY_BYTES, || panic!("as a test"));
        assert_eq!(outbox.take().await, Next::End(OVERLOADED));
    }
}
