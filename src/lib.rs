//! crsqlite-sync: keeps the cr-sqlite database of a web app in step with the user's other devices.
//!
//! Three layers and the names of their rules, dependencies down only:
//!
//! - [`rules`]: what must not be left out, so that a test can see what happens when it is.
//! - [`wire`]: what is said. Messages of both protocols, changes, values, validation.
//! - [`engine`]: what to do. Pure state machines; no clock, no randomness, no JavaScript, no IO.
//! - `web` (wasm32 only): how. Classes, sockets, `fetch`, timers, the database port.
//!
//! **Data flow.** A call from JavaScript becomes an `Input` on the driver's queue; the driver stamps it with the
//! clock and hands it to a machine of the engine, which queues `Output`s; the driver lets go of the machine and
//! carries them out. Whatever the browser answers is another `Input`.
//!
//! **The drain invariant.** Every `handle` is followed by a full drain of the outputs before the next one, so
//! re-entrant calls from JavaScript become ordering.

pub mod engine;
pub mod queue;
pub mod rules;
mod seen;
pub mod sorted;
mod text;
pub mod wire;

#[cfg(target_arch = "wasm32")]
pub mod web;
