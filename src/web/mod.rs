//! How: the only code that touches JavaScript. Parses options, drives the engine, wraps results.

mod client;
mod diagnostics;
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

#[cfg(feature = "mutants")]
use wasm_bindgen::prelude::wasm_bindgen;

#[cfg(feature = "mutants")]
use crate::rules::{self, Rule};

pub use client::SyncClient;
pub use http::HttpTransport;
pub use validate::{SyncResponseValidationError, pull_result, push_result};
pub use ws::WsTransport;

#[global_allocator]
static ALLOCATOR: rlsf::GlobalTlsf = rlsf::GlobalTlsf::new();

/// Leaves out the rule of this name, or none without a name; false where no rule is called that.
#[cfg(feature = "mutants")]
#[wasm_bindgen(js_name = leaveOut)]
#[must_use]
pub fn leave_out_rule(name: Option<String>) -> bool {
    let rule = name.as_deref().and_then(Rule::named);
    rules::leave_out(rule);
    rule.is_some() || name.is_none()
}
