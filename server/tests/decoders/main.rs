//! The relay's own decoders under attack, for a second: the same attack as on those of `wire` and `engine`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may

#[path = "../../../tests/decoders/attack.rs"]
mod attack;
mod entry;

#[test]
fn whoever_asks_is_refused_or_has_a_name_and_an_end() {
    attack::attack("request", entry::request, &entry::seeds(), 10_000);
}
