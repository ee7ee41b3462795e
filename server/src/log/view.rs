//! The logs as they were at one moment, only to look at them, beside relays that run. Decides what can be asked of them;
//! never writes, and makes nothing where nothing is. Opened by the command `inspect`; each database has its own.

use std::fmt;

use super::Answer;
use super::core::{Clock, Feed, Query, Start};
use crate::user::Owner;

/// What one owner's log takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    pub owner: Owner,
    pub head: i64,
    /// Entries and records.
    pub rows: i64,
    /// Of keys, names and values.
    pub bytes: i64,
}

/// What lies under one name of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// A table of cr-sqlite.
    Rows,
    /// A collection of the app's own records.
    Records,
}

/// What one log holds of a table or a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub of: Holding,
    pub name: String,
    pub living: i64,
    /// What says that something was deleted, or that only its key was seen.
    pub deleted: i64,
    /// Of rows: one for each column; of records as many as there are.
    pub entries: i64,
    /// Of keys, names and values.
    pub bytes: i64,
}

/// The logs of one database at the moment when it was opened.
pub trait View: fmt::Debug + Send {
    /// The largest logs, and how many there are. Reads all of them.
    fn largest(&mut self, most: u32) -> Answer<'_, (Vec<Size>, i64)>;

    /// How far the owner's log has come.
    fn clock<'a>(&'a mut self, owner: &'a Owner) -> Answer<'a, Clock>;

    /// What the owner's log holds, by table and collection.
    fn held<'a>(&'a mut self, owner: &'a Owner) -> Answer<'a, Vec<Held>>;

    /// A piece of what the owner's log holds.
    fn feed<'a>(&'a mut self, owner: &'a Owner, start: &'a Start, query: &'a Query) -> Answer<'a, Feed>;

    /// What the names of logs are derived from; nothing before the first start of a relay.
    fn log_secret(&mut self) -> Answer<'_, Vec<u8>>;
}
