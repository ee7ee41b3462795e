//! Every decoder under attack, for a few seconds: mutations of the vectors and random bytes, the same for the same
//! seed; and frames as large as a relay takes them. The same entries are fuzzed for longer (CONTRIBUTING.md).

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may

mod attack;
mod entries;
mod seeds;

use std::time::{Duration, Instant};

use attack::attack;
use crsqlite_sync::wire::{Decoded, MAX_BAD_ROWS, Message};
use entries::ENTRIES;

#[test]
fn whatever_arrives_is_refused_or_means_the_same_when_it_is_written_again() {
    for (name, entry) in ENTRIES {
        attack(name, entry, &seeds::of(name), 20_000);
    }
}

/// As large as the relay takes them.
const LARGEST: usize = 8 << 20;
/// Far above the seconds that a slow machine needs, far below the minutes of what is not linear.
const PATIENCE: Duration = Duration::from_secs(30);

fn frame(kind: &str, payload: &str) -> String {
    format!(
        r#"{{"type":"{kind}","version":1,"siteId":"YWJjZGVmZ2hpamtsbW5vcA==","timestamp":1,"payload":{{{payload}}}}}"#
    )
}

/// A list of pieces, as long as a frame may be.
fn many(piece: impl Fn(usize) -> String) -> String {
    let count = LARGEST / (piece(0).len() + 1);
    (0..count).map(piece).collect::<Vec<_>>().join(",")
}

#[test]
fn a_frame_that_is_full_of_what_is_no_row_is_malformed_before_it_fills_the_memory() {
    let push = |bad| {
        let rows = vec!["0"; bad].join(",");
        Message::decode(&frame("sync_push", &format!(r#""baseVersion":0,"changes":[{},{rows}]"#, seeds::ROW)))
    };
    assert!(matches!(push(MAX_BAD_ROWS), Ok(Decoded::Message(_))));
    assert_eq!(push(MAX_BAD_ROWS + 1).map_err(|error| error.code()), Err("malformed-message"));
}

#[test]
#[allow(clippy::disallowed_methods)] // what is tested is the time that it takes
fn the_largest_frame_is_read_and_written_in_the_time_that_its_length_asks_for() {
    let push = |rows: &str| frame("sync_push", &format!(r#""baseVersion":0,"changes":[{rows}]"#));
    let request = |fields: &str| frame("sync_request", &format!(r#""sinceVersion":0,{fields}"#));
    let ack = |fields: &str| frame("sync_ack", &format!(r#""receivedVersion":0,"appliedCount":0,{fields}"#));
    let deep = ["[".repeat(LARGEST / 2), "]".repeat(LARGEST / 2)].concat();
    let frames = [
        ("cursors from the last to the first", {
            request(&format!(r#""cursors":{{{}}}"#, many(|n| format!(r#""{:07}":["r",0]"#, 9_999_999 - n))))
        }),
        ("one cursor again and again", {
            request(&format!(r#""cursors":{{{}}}"#, many(|_| r#""":["r",0]"#.into())))
        }),
        ("rows", push(&many(|_| seeds::ROW.into()))),
        ("a long real", push(&seeds::ROW.replace("\"Hello!\"", &format!("0.{}", "7".repeat(LARGEST))))),
        ("a text of escapes", push(&seeds::ROW.replace("Hello!", &"\\u00e9".repeat(LARGEST / 6)))),
        ("a long name of a table", push(&seeds::ROW.replace("messages", &"m".repeat(LARGEST)))),
        ("a deep row", push(&deep)),
        ("a deep field", request(&format!(r#""later":{deep}"#))),
        ("fields that nobody knows", request(&many(|n| format!(r#""{n:07}":0"#)))),
        (
            "rejections",
            ack(&format!(r#""rejected":[{}]"#, many(|_| r#"{"index":0,"code":"refused"}"#.into()))),
        ),
    ];
    for (name, text) in frames {
        let start = Instant::now();
        let Ok(Decoded::Message(message)) = Message::decode(&text) else {
            panic!("{name}: {:?}", Message::decode(&text).map(|_| ()));
        };
        let again = Message::decode(&message.encode()) == Ok(Decoded::Message(message));
        assert!(again, "{name}");
        assert!(start.elapsed() < PATIENCE, "{name}: {:?}", start.elapsed());
        println!("{name}: {:?}", start.elapsed());
    }
}
