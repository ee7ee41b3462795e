//! Worlds in which something was changed behind everybody's back: a value, a row's clocks, an entry of the log. Decides
//! what is damaged; that it is found and healed is for the tests to see.

use crsqlite_sync::wire::{Pk, SENTINEL, Value};

use crate::app;
use crate::model::{Database, Op};
use crate::world::{Event, Relay, World};

/// How long a damage may stay unseen: a few beats of a plain relay.
const PATIENCE: u64 = 4 * 3_600_000;

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A value on the first device; the larger of two wins a tie.
    LargerValue,
    SmallerValue,
    /// A row of the first device, with its clocks.
    Row,
    /// An entry of the log.
    Entry,
}

/// What became of it.
#[derive(Debug)]
pub struct Story {
    /// Who has told that replicas differ, and the words.
    pub told: Vec<(usize, String)>,
}

/// Lets a world live until all are equal and have proved it, damages it, and waits until they are and have again. `None`
/// where the world has nothing of the kind.
///
/// # Errors
/// What went wrong.
pub fn damage(seed: u64, damage: Damage) -> Result<Option<Story>, String> {
    let mut world = World::new(seed, false);
    let stores = matches!(world.relay, Relay::Storing(_));
    if world.plan.seed_peers > 0
        || matches!(world.relay, Relay::Contract(_))
        || (damage == Damage::Entry && !stores)
    {
        return Ok(None);
    }
    world.come_to_rest()?;
    if !world.strike(damage) {
        return Ok(None);
    }
    world.damaged = true;
    // Nobody looks again before something has moved.
    let last = world.devices.len() - 1;
    let pk = Pk::pack(&[Value::Text("after".into())]).expect("one column");
    world.devices[last].disk.app(|db| {
        db.run(&Op::Insert { table: "tags".into(), pk, set: Vec::new() });
    });
    let epoch = world.devices[last].epoch;
    world.at(0, Event::LocalChange { device: last, epoch });
    world.heal()?;
    Ok(Some(Story { told: world.differed }))
}

impl World {
    /// All replicas are equal, and have proved it.
    fn come_to_rest(&mut self) -> Result<(), String> {
        self.run_for(self.plan.chaos)?;
        self.calm()?;
        self.agree("after the chaos")?;
        self.proven()
    }

    /// What was damaged is told; replicas are equal again, a new device gets everything, and all prove it.
    fn heal(&mut self) -> Result<(), String> {
        let end = self.now + PATIENCE;
        while self.differed.is_empty() {
            if self.now >= end {
                return Err("nobody tells that replicas differ".to_owned());
            }
            self.run_for(60_000)?;
        }
        self.agree("after the damage")?;
        let newcomer = self.add_device(true, false);
        self.at(0, Event::Start(newcomer));
        self.agree("with a new device")?;
        self.proven()
    }

    fn strike(&mut self, damage: Damage) -> bool {
        if damage == Damage::Entry {
            let Relay::Storing(relay) = &mut self.relay else { return false };
            return relay.lose("notes");
        }
        let mut done = false;
        self.devices[0].disk.app(|db| {
            done = match damage {
                Damage::LargerValue => db.change_unseen("notes", "body", Value::Text("\u{10ffff}".into())),
                Damage::SmallerValue => db.change_unseen("notes", "body", Value::Text(String::new())),
                Damage::Row => db.lose_unseen("notes"),
                Damage::Entry => false,
            };
        });
        self.note(|| format!("d0 is damaged: {damage:?}"));
        done
    }
}

impl Database {
    /// Changes a value with change tracking off. False where there is none.
    fn change_unseen(&mut self, table: &str, cid: &str, value: Value) -> bool {
        debug_assert!(app::names().contains(table));
        let live = self.live_keys(table);
        let Some(table) = self.table_mut(table) else { return false };
        let clocked =
            live.into_iter().find(|pk| table.clocks.get(pk).is_some_and(|row| row.contains_key(cid)));
        let Some(row) = clocked.and_then(|pk| table.rows.get_mut(&pk)) else { return false };
        row.insert(cid.to_owned(), value.clone()) != Some(value)
    }

    /// Loses a row and all that was known of it.
    fn lose_unseen(&mut self, table: &str) -> bool {
        let Some(table) = self.table_mut(table) else { return false };
        let lost = table.clocks.iter().find(|(_, row)| row.keys().any(|cid| cid != SENTINEL));
        let Some(pk) = lost.map(|(pk, _)| pk.clone()) else { return false };
        table.rows.remove(&pk);
        table.clocks.remove(&pk).is_some()
    }
}
