//! The relay from outside, over real sockets and real databases, as one program: it is linked once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // the helpers of tests, too

mod attacks;
mod auth;
mod compression;
#[cfg(unix)]
mod crash;
mod documents;
mod drain;
mod embedded;
mod http;
mod inspect;
#[cfg(unix)]
mod instances;
mod keys;
mod limits;
mod log;
mod metrics;
mod namespaces;
mod no_store;
#[cfg(unix)]
mod process;
mod push_pull;
mod push_pull_live;
mod push_pull_refusals;
mod support;
mod sync;
mod vectors;
