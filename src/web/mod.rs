//! How: the only code that touches JavaScript. Parses options, drives the engine, wraps results.

mod client;
mod driver;
pub mod error;
mod events;
mod interop;
mod options;
mod store;
mod tabs;
pub mod timer;
mod transport;

pub use client::SyncClient;
