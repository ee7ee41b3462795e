//! A world as data: who takes part, and what apps do and what goes wrong at which moment. Drawn from a seed with the
//! simulator's own dice; played on the model by `play`, and, printed by `json`, on the real package by the tests that
//! speak JavaScript. Decides what is attempted; what comes of it is up to whoever plays.

mod draw;
mod json;
mod play;
mod sql;

use crsqlite_sync::engine::replica::Level;

use crate::model::Op;
use crate::plan::Plan;

pub(crate) use sql::merge;

/// A whole life of a world, up to the moment from which nothing goes wrong any more.
#[derive(Debug)]
pub struct Scenario {
    pub seed: u64,
    pub plan: Plan,
    pub(crate) devices: Vec<Beginning>,
    pub(crate) steps: Vec<Step>,
}

/// A device as it is at first.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// Without the late column and the late table.
    pub(crate) old: bool,
    pub(crate) tables: Option<Vec<String>>,
    /// When its process starts.
    pub(crate) at: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) at: u64,
    pub(crate) what: What,
}

/// A statement of an app. One that its schema does not know yet is left out by whoever plays.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) op: Op,
    /// An insert that changes the row where there is one.
    pub(crate) upsert: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// One transaction, which is undone again without `keep`; or more of the one that is open.
    Write {
        device: usize,
        statements: Vec<Statement>,
        keep: bool,
    },
    /// The app's own BEGIN, and how it ends.
    Begin {
        device: usize,
    },
    End {
        device: usize,
        keep: bool,
    },
    /// To the last schema; the number draws the rows that the late table has by then.
    Migrate {
        device: usize,
        seed: u64,
    },
    /// A table that is replicated and left out by `tables` comes with some rows, or goes.
    Scratch {
        device: usize,
        seed: u64,
    },
    /// The process dies with its last transactions, and another one starts later.
    Crash {
        device: usize,
        lose: usize,
        down: u64,
    },
    /// The database is copied, or an older copy (the number picks one) takes its place.
    Copy {
        device: usize,
    },
    Restore {
        device: usize,
        pick: u64,
        down: u64,
    },
    /// A new client in the same process; with `grow` its `tables` have gained what they left out.
    Client {
        device: usize,
        grow: bool,
    },
    Cut {
        device: usize,
    },
    Offline {
        device: usize,
        away: u64,
    },
    SyncNow {
        device: usize,
    },
    Wait {
        device: usize,
        level: Level,
    },
    Server(Server),
}

/// What happens to the relay that stores, or to the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Server {
    BackUp,
    Restore,
    Wipe,
    Restart,
    Fail { long: u64 },
}
