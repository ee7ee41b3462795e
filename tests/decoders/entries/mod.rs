//! One entry per decoder that meets foreign bytes: reads them, and checks what must hold whatever they are. Decides
//! what a decoder owes; never where the bytes come from. Called with mutated vectors by the normal test run, and by
//! the fuzzer (`fuzz/`) with whatever it comes upon.
//!
//! Each says whether it was taken: a run of nothing but refusals would prove nothing.

#![allow(unreachable_pub)] // the fuzzer makes a library of it

mod engine;
mod wire;

pub use engine::{option, retry_after, stored_state};
pub use wire::{field, http_text, key, push_pull_frame, record, relay_frame, value};

pub type Entry = fn(&[u8]) -> bool;

/// Every entry under the name of its fuzz target.
pub const ENTRIES: [(&str, Entry); 10] = [
    ("relay_frame", relay_frame),
    ("push_pull_frame", push_pull_frame),
    ("record", record),
    ("value", value),
    ("key", key),
    ("field", field),
    ("http_text", http_text),
    ("retry_after", retry_after),
    ("stored_state", stored_state),
    ("option", option),
];
