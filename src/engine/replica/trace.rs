//! The last messages for a bug report: what kind, how large, which tables and versions. Decides what can be told of a
//! message to anybody: no value, no key, no text of a peer. Fed where messages come and go.

use super::Replica;
use crate::queue::Queue;
use crate::wire::{Body, Change, Message, Row, SiteId};

/// How many messages are remembered.
const FRAMES: usize = 50;
/// How many tables are counted by name; the others together.
const TABLES: usize = 20;
/// What is longer is no name that a table has, but text of a peer.
const NAME_BYTES: usize = 64;

/// What can be told of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    pub wall_ms: i64,
    pub sent: bool,
    pub kind: &'static str,
    /// As text.
    pub bytes: usize,
    /// Who sent it; nothing of what a server of the push-pull contract says.
    pub from: Option<SiteId>,
    pub base: Option<i64>,
    pub current: Option<i64>,
    pub head: Option<i64>,
    /// Table → rows of it. Rows that cannot be read, and those of too many tables or of unusual names, count under an
    /// empty name.
    pub tables: Vec<(String, u32)>,
}

#[derive(Debug, Default)]
pub(super) struct Trace(Queue<Frame>);

impl Trace {
    pub(super) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.0.iter()
    }

    fn note(&mut self, frame: Frame) {
        if self.0.len() == FRAMES {
            self.0.pop_front();
        }
        self.0.push_back(frame);
    }

    /// A message of the relay protocol.
    pub(super) fn message(&mut self, sent: bool, message: &Message, bytes: usize, wall_ms: i64) {
        let mut frame = Frame { wall_ms, sent, bytes, from: Some(message.site_id), ..Frame::default() };
        match &message.body {
            Body::Request(body) => {
                frame.kind = "sync_request";
                frame.head = body.head;
            }
            Body::Response(body) => {
                frame.kind = "sync_response";
                (frame.base, frame.current) = (body.base_version, Some(body.current_version));
                frame.head = body.head;
                frame.tables = tally(&mut body.changes.iter().map(table));
            }
            Body::Push(body) => {
                frame.kind = "sync_push";
                (frame.base, frame.current) = (Some(body.base_version), body.current_version);
                frame.head = body.head;
                frame.tables = tally(&mut body.changes.iter().map(table));
            }
            Body::Ack(body) => {
                frame.kind = "sync_ack";
                frame.current = Some(body.received_version);
            }
            Body::Error(_) => frame.kind = "sync_error",
        }
        self.note(frame);
    }
}

impl Replica {
    /// A call of the push-pull contract, or its end.
    pub(super) fn trace_call(
        &mut self,
        sent: bool,
        kind: &'static str,
        bytes: usize,
        tables: &mut dyn Iterator<Item = &str>,
    ) {
        let tables = tally(tables);
        self.trace.note(Frame { wall_ms: self.now.wall_ms, sent, kind, bytes, tables, ..Frame::default() });
    }
}

/// Of which table it is; of none where it cannot be read.
pub(super) fn table(row: &Row) -> &str {
    row.as_ref().map_or("", |change: &Change| &change.table)
}

/// Whether a name can be told as it stands: a peer may have put anything there.
fn is_plain(name: &str) -> bool {
    name.len() <= NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn tally(names: &mut dyn Iterator<Item = &str>) -> Vec<(String, u32)> {
    let mut tables: Vec<(String, u32)> = Vec::new();
    for name in names {
        let known = tables.len() < TABLES || tables.iter().any(|(known, _)| known == name);
        let name = if known && is_plain(name) { name } else { "" };
        match tables.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => tables.push((name.to_owned(), 1)),
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_table_and_too_many_tables_together() {
        let names: Vec<String> = (0..30).map(|n| format!("t{n}")).collect();
        let tables = tally(&mut names.iter().chain(&names).map(String::as_str));
        assert_eq!(tables.len(), TABLES + 1);
        assert_eq!(tables.first(), Some(&("t0".to_owned(), 2)));
        assert_eq!(tables.last(), Some(&(String::new(), 20)));
    }

    #[test]
    fn a_name_that_may_be_text_of_a_peer_is_not_told() {
        let long = "n".repeat(NAME_BYTES + 1);
        let names = ["notes_2", "a b", "x'y", "é", &long, &long[1..]];
        let tables = tally(&mut names.into_iter());
        let expected = [("notes_2", 1), ("", 4), (&long[1..], 1)];
        assert_eq!(tables, expected.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn only_the_last_messages_are_remembered() {
        let mut trace = Trace::default();
        for bytes in 0..FRAMES + 7 {
            trace.note(Frame { bytes, ..Frame::default() });
        }
        assert_eq!(
            trace.frames().map(|frame| frame.bytes).collect::<Vec<_>>(),
            (7..FRAMES + 7).collect::<Vec<_>>()
        );
    }
}
