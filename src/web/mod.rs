//! How: the only code that touches JavaScript. Parses options, drives the engine, wraps results.

pub mod error;
mod store;
pub mod timer;
