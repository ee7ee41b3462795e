//! What a user's log decides, without IO: which cursor means which offset, which entries stay and which go, which
//! record is in conflict, where an answer is cut. Never reads a clock, a database or a socket.
//! Called by every `Log`; the client's simulator runs its relay on the same code ([`Ledger`]).

mod clock;
mod compact;
mod digest;
mod ledger;
mod page;
mod records;

pub use clock::{Clock, RUNS_KEPT, RunStart, Start};
pub use compact::{Entry, Plan, compact, compact_within, exact};
pub use digest::{Counter, Sums, Verdict, Witness, is_whole};
pub use ledger::Ledger;
pub use page::{Cut, Feed, Item, Page, Query};
pub use records::{ACCEPTED_KEPT, Judgement, Kind, Known, Outcome, Put, Record, StoredRecord, judge};

use crsqlite_sync::wire::Run;

/// What an append did to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The run that the offsets below belong to.
    pub run: Run,
    /// The head before.
    pub base: i64,
    /// The head after; as before when nothing was stored.
    pub head: i64,
    /// The rows that were stored, as indices of the incoming ones, in the order of their new offsets.
    pub stored: Vec<usize>,
    /// The rows for which the user has no room left, as indices of the incoming ones.
    pub refused: Vec<usize>,
}
