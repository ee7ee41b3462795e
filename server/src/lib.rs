//! crsqlite-relay: a relay that stores, so that a user's devices catch up although no other one is online.
//!
//! One request's way: [`Server`] → `http` (routes, who is let in) → `socket` (one connection: deadlines, close codes)
//! → `room` (one user: order, who hears what) → [`log::Log`] (one transaction) → [`log::core`] (what stays). Answers
//! go back through each connection's `outbox`, in the order in which the room queued them.
//!
//! **The order invariant.** A room's order lock is held from reading or writing the log until the messages about it
//! are queued, so that no connection hears of an offset before a smaller one, and nothing is told before it is
//! durable.

mod accept;
pub mod address;
pub mod auth;
pub mod backup;
mod clock;
mod comparison;
pub mod config;
mod deflate;
pub mod descriptors;
mod door;
mod drain;
mod error;
mod flow;
mod heavy;
mod http;
pub mod inspect;
pub mod log;
mod mail;
mod metrics;
pub mod origin;
mod outbox;
mod pace;
mod places;
mod plain;
mod push_pull;
mod pushes;
mod rate;
mod reply;
mod room;
mod rooms;
mod server;
mod socket;
mod status;
mod upgrade;
pub mod user;

pub use error::{Error, ErrorKind};
pub use server::{Server, dev_secret, given_secret, open_log, open_view};
