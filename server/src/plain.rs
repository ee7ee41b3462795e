//! The seed's plain relay: what one connection sends, all others of the same user get, as it is. Decides who hears whom;
//! keeps nothing, answers nothing. Entered by `socket` in place of a `room` when the relay does not store.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tungstenite::Utf8Bytes;

use crate::mail::{Letter, To};
use crate::metrics::{Metrics, Presence};
use crate::outbox::Outbox;
use crate::room::Protocol;
use crate::user::Owner;

/// The connections of all users.
#[derive(Debug)]
pub(crate) struct PlainRooms {
    /// Taken before the members of a room, where both are.
    open: Mutex<HashMap<Owner, Arc<PlainRoom>>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct PlainRoom {
    members: Mutex<Members>,
    _presence: Presence,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    present: BTreeMap<u64, Arc<Outbox>>,
}

/// A connection's place among those of its user; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct PlainMembership {
    rooms: Arc<PlainRooms>,
    room: Arc<PlainRoom>,
    owner: Owner,
    id: u64,
}

impl PlainRooms {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(PlainRooms { open: Mutex::default(), metrics })
    }

    /// Lets a connection in. `None` if the user has `most` of them already.
    pub(crate) fn join(
        self: &Arc<Self>,
        owner: &Owner,
        outbox: Arc<Outbox>,
        most: usize,
    ) -> Option<PlainMembership> {
        if most == 0 {
            return None;
        }
        let mut open = self.open();
        let room = open.entry(owner.clone()).or_insert_with(|| Arc::new(PlainRoom::new(&self.metrics)));
        let mut members = room.members();
        if members.present.len() >= most {
            return None;
        }
        let id = members.next;
        members.next += 1;
        members.present.insert(id, outbox);
        drop(members);
        Some(PlainMembership { rooms: Arc::clone(self), room: Arc::clone(room), owner: owner.clone(), id })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Owner, Arc<PlainRoom>>> {
        // Nothing in here panics half way, so what a poisoned lock guards is whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlainRoom {
    fn new(metrics: &Metrics) -> Self {
        PlainRoom { members: Mutex::default(), _presence: Presence::of(&metrics.users) }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlainMembership {
    /// Queues messages, each with its type, for the user's other connections.
    pub(crate) fn forward(&self, messages: &[(Utf8Bytes, &'static str)]) {
        let to = To::Others(Protocol::Relay, Some(self.id));
        let letter = |(text, kind): &(Utf8Bytes, &'static str)| {
            let text = text.clone();
            Letter::new(to, kind, text.len(), || text)
        };
        let letters: Vec<Letter> = messages.iter().map(letter).collect();
        let members = self.room.members();
        let others = || members.present.iter().filter(|(id, _)| **id != self.id).map(|(_, outbox)| outbox);
        for outbox in others() {
            outbox.push_all(letters.iter().map(|letter| letter.frame.clone()));
        }
        for letter in letters {
            self.rooms.metrics.sent(letter.kind, members.present.len().saturating_sub(1));
            if letter.is_large() {
                letter.write_for(others().cloned().collect());
            }
        }
    }
}

impl Drop for PlainMembership {
    fn drop(&mut self) {
        let mut open = self.rooms.open();
        let mut members = self.room.members();
        members.present.remove(&self.id);
        if members.present.is_empty() {
            open.remove(&self.owner);
        }
    }
}
