//! What to do: pure state machines, fed with `Input`s and drained of `Output`s. No clock, no randomness, no
//! JavaScript, no IO: time and random numbers arrive as arguments.
//!
//! - [`replica`]: replication of one database over the relay protocol.
//! - [`txn`]: the programs that run inside one transaction of the database, over the [`store::Store`] port.
//! - [`meta`]: the replication state that lives in the replicated database.
//! - [`affinity`]: what SQLite makes of a value in a column; [`options`]: what an app may ask for.
//! - [`link`]: the life of a socket; [`retry`]: what a failure means for it; [`requests`]: who waits for which answer.
//! - [`reach`]: what is known about a server that is asked over HTTP.

pub mod affinity;
pub mod clock;
pub mod link;
pub mod meta;
pub mod options;
pub mod reach;
pub mod replica;
pub mod requests;
pub mod retry;
pub mod store;
pub mod txn;
