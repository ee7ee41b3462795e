//! JSON as this protocol uses it: one pull reader, one writer, and the text of numbers. Decides what is JSON and keeps
//! every number exact; what a document means is for its callers. Never recurses, never panics, whatever the text.
//! Used by the rest of `wire` and by `engine::meta`. Small on purpose: it ships in the wasm.

pub(crate) mod number;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::{Fault, Number, Reader, parse};
pub(crate) use write::{Object, array, integer, text, unsigned};
