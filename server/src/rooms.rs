//! The rooms that are in use. Decides that a user has one room as long as anybody holds it; never looks into one.
//! Asked by `socket` for the room of a verified user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crsqlite_sync::wire::Run;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use crate::comparison::Comparison;
use crate::log::{Heard, Log};
use crate::metrics::Metrics;
use crate::room::{Portions, Room};
use crate::user::{Owner, OwnerDigest, User};

/// Of how many users it is remembered what their devices have stated: devices seldom meet in a room.
const COMPARISONS: usize = 10_000;

/// So many rooms look at their logs at once, when words of other servers may have been missed.
const LOOKS: usize = 16;

/// Makes and finds rooms. A room lives while a connection, or a message under way, holds it; so a new connection never
/// runs beside what an old one left unfinished.
#[derive(Debug)]
pub(crate) struct Rooms {
    log: Arc<dyn Log>,
    log_secret: Vec<u8>,
    run: Run,
    portions: Portions,
    head_interval: Duration,
    metrics: Arc<Metrics>,
    open: Mutex<HashMap<OwnerDigest, Weak<Room>>>,
    comparisons: Mutex<HashMap<Owner, Arc<Comparison>>>,
    /// One log is added up at a time: the others who read are not to wait for it.
    counting: Arc<Semaphore>,
}

impl Rooms {
    pub(crate) fn new(
        log: Arc<dyn Log>,
        log_secret: Vec<u8>,
        run: Run,
        portions: Portions,
        head_interval: Duration,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (open, comparisons) = Default::default();
        let counting = Arc::new(Semaphore::new(1));
        Arc::new(Rooms {
            log,
            log_secret,
            run,
            portions,
            head_interval,
            metrics,
            open,
            comparisons,
            counting,
        })
    }

    /// A verified user, by the names that its log has here.
    pub(crate) fn user(&self, owner: Owner) -> User {
        User::new(owner, &self.log_secret)
    }

    /// The room of a verified user.
    pub(crate) fn room(self: &Arc<Self>, owner: &Owner) -> Arc<Room> {
        let name = owner.digest();
        let mut open = self.open();
        if let Some(room) = open.get(&name).and_then(Weak::upgrade) {
            return room;
        }
        let user = self.user(owner.clone());
        let registry = Arc::downgrade(self);
        let comparison = self.comparison(owner);
        let metrics = Arc::clone(&self.metrics);
        let (log, run) = (Arc::clone(&self.log), self.run.clone());
        let room = Room::new(user, log, run, self.portions, comparison, metrics, registry);
        let room = Arc::new(room);
        open.insert(name, Arc::downgrade(&room));
        room.start_beat(self.head_interval);
        room
    }

    fn comparison(&self, owner: &Owner) -> Arc<Comparison> {
        let mut known = self.comparisons.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= COMPARISONS && !known.contains_key(owner) {
            known.retain(|_, comparison| Arc::strong_count(comparison) > 1);
        }
        let make = || Arc::new(Comparison::new(Arc::clone(&self.counting)));
        Arc::clone(known.entry(owner.clone()).or_insert_with(make))
    }

    /// Tells devices what the other servers on these logs have written, for ever.
    pub(crate) async fn follow_others(self: Arc<Self>) {
        loop {
            let rooms = match self.log.hear().await {
                Heard::Written(owner) => Vec::from_iter(self.open().get(&owner).cloned()),
                Heard::Missed => self.open().values().cloned().collect(),
            };
            let looks = rooms.into_iter().map(|room| async move {
                // Only where somebody is there to be told.
                if let Some(room) = room.upgrade() {
                    room.look().await;
                }
            });
            // Of one room nobody waits for: what its user has under way holds up only that user's devices.
            tokio::spawn(futures_util::stream::iter(looks).for_each_concurrent(LOOKS, |look| look));
        }
    }

    /// Called by a room that ends. Another one of this user may have opened since: that one stays.
    pub(crate) fn forget(&self, owner: &Owner) {
        let mut open = self.open();
        let name = owner.digest();
        if open.get(&name).is_some_and(|room| room.strong_count() == 0) {
            open.remove(&name);
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<OwnerDigest, Weak<Room>>> {
        // Nothing in here panics half way, so what a poisoned lock guards is whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
