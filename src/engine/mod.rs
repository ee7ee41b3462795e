//! What to do: pure state machines, fed with `Input`s and drained of `Output`s. No clock, no randomness, no
//! JavaScript, no IO: time and random numbers arrive as arguments.
//!
//! - [`replica`]: replication of one database over the relay protocol.
//! - [`txn`]: the programs that run inside one transaction of the database, over the [`store::Store`] port.
//! - [`meta`]: the replication state that lives in the replicated database.
//! - [`affinity`]: what SQLite makes of a value in a column.

pub mod affinity;
pub mod clock;
pub mod meta;
pub mod replica;
pub mod store;
pub mod txn;
