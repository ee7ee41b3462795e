//! One device of a world: its database, the client that runs on it (or none, while it is down), and what is known of
//! the client from outside. Decides nothing; the world moves it.

use std::collections::BTreeSet;

use crsqlite_sync::engine::replica::{ConnId, JobId, Replica, WaitId};
use crsqlite_sync::wire::Run;

use crate::model::Database;
use crate::peer::SeedPeer;
use crate::store::Disk;
use crate::tabs::Tab;

/// What runs on a device.
#[derive(Debug)]
pub(crate) enum Client {
    Down,
    Ours(Box<Replica>),
    Seed(SeedPeer),
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) disk: Disk,
    pub(crate) client: Client,
    pub(crate) is_ours: bool,
    /// Counts processes: what an older one began is void.
    pub(crate) process: u64,
    /// Counts clients within and across processes: what an older one asked for is not delivered.
    pub(crate) epoch: u64,
    pub(crate) conn: Option<ConnId>,
    /// The device has a network.
    pub(crate) online: bool,
    /// Tabs that led before and do not know that another one leads.
    pub(crate) former: Vec<Tab>,
    pub(crate) tables: Option<Vec<String>>,
    /// The run of the latest leader.
    pub(crate) run: Option<Run>,
    /// Its database is a live copy of another device's, or has one.
    pub(crate) cloned: bool,
    /// The app was told so.
    pub(crate) told: bool,
    pub(crate) job: Option<JobId>,
    /// When the latest transaction that was asked for runs.
    pub(crate) last_job: u64,
    pub(crate) waits: BTreeSet<WaitId>,
    /// What the app wants of whoever leads, until one has done it.
    pub(crate) resync: Option<WaitId>,
    /// The latest timer; earlier ones are void.
    pub(crate) timer: u64,
    /// The virtual second and how many timeouts fell into it.
    pub(crate) timeouts: (u64, u32),
    /// Copies of the database that may come back.
    pub(crate) copies: Vec<Database>,
    /// Messages that this device has sent, or pushed.
    pub(crate) sent: u64,
    pub(crate) pulls: u64,
}

impl Device {
    pub(crate) fn new(db: Database, is_ours: bool, tables: Option<Vec<String>>, savepoints: bool) -> Self {
        let mut disk = Disk::new(db);
        disk.savepoints = savepoints;
        Device {
            disk,
            client: Client::Down,
            is_ours,
            process: 0,
            epoch: 0,
            conn: None,
            online: true,
            former: Vec::new(),
            tables,
            run: None,
            cloned: false,
            told: false,
            job: None,
            last_job: 0,
            waits: BTreeSet::new(),
            resync: None,
            timer: 0,
            timeouts: (0, 0),
            copies: Vec::new(),
            sent: 0,
            pulls: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        !matches!(self.client, Client::Down)
    }
}
