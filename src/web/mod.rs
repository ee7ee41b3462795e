//! How: the only code that touches JavaScript. Parses options, drives the engine, wraps results.

mod client;
mod driver;
pub mod error;
mod events;
mod given;
mod http;
mod interop;
mod listeners;
mod options;
mod signals;
mod socket;
mod store;
mod tabs;
pub mod timer;
mod transport;
mod validate;
mod ws;

pub use client::SyncClient;
pub use http::HttpTransport;
pub use validate::{SyncResponseValidationError, pull_result, push_result};
pub use ws::WsTransport;
