//! The pages tell the truth: every JSON block of PROTOCOL.md is a message that the code reads and writes.

#![cfg(not(target_arch = "wasm32"))]

use crsqlite_sync::wire::{Body, Decoded, Message};

fn json_blocks(page: &str) -> Vec<&str> {
    page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_json_block_of_the_protocol_page_is_read_and_written_without_loss() {
    let page = include_str!("../PROTOCOL.md");
    let blocks = json_blocks(page);
    assert!(blocks.len() >= 6, "the page lost its examples");
    for block in blocks {
        let Ok(Decoded::Message(message)) = Message::decode(block) else {
            panic!("not a message: {block}: {:?}", Message::decode(block));
        };
        if let Body::Response(body) = &message.body {
            assert!(body.changes.iter().all(Result::is_ok), "a bad row in {block}");
        }
        let given: serde_json::Value = serde_json::from_str(block).unwrap();
        let written: serde_json::Value = serde_json::from_str(&message.encode()).unwrap();
        assert_eq!(written, given);
    }
}

#[test]
fn every_row_code_stands_on_the_protocol_page() {
    use crsqlite_sync::wire::RowCode;
    let page = include_str!("../PROTOCOL.md");
    for code in [
        RowCode::MalformedRow,
        RowCode::MalformedKey,
        RowCode::MalformedSiteId,
        RowCode::VersionOutOfRange,
        RowCode::PoisonSentinel,
        RowCode::UnknownTable,
        RowCode::UnknownColumn,
        RowCode::KeyMismatch,
        RowCode::Refused,
        RowCode::TooLarge,
        RowCode::Conflict,
    ] {
        assert!(page.contains(&format!("`{}`", code.as_str())), "{code:?}");
    }
}
