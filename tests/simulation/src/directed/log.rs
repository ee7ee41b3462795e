//! Worlds about what a log keeps, and what it has said.
//! Scripts only; see `directed`.

use crsqlite_sync::rules::Rule;

use super::{Directed, SETTLED, delete, insert, storing, update};

pub(super) const WORLDS: &[Directed] = &[
    Directed {
        name: "a column of a deleted row does not come back from a log, nor does it hide the one of the row's new life",
        rule: Rule::CompactByRow,
        plan: storing,
        story: |s| {
            let a = s.joins();
            s.writes_and_tells(a, &[insert(1, 1), update(1, 2), update(1, 3)]);
            s.writes_and_tells(a, &[delete(1)]);
            s.writes_and_tells(a, &[insert(1, 4)]);
        },
    },
    Directed {
        name: "what was acknowledged survives the crash of the relay, and of the device that wrote it",
        rule: Rule::CommitBeforeForward,
        plan: storing,
        story: |s| {
            let a = s.joins();
            let before = s.state(a);
            s.writes_and_tells(a, &[insert(1, 1)]);
            let mut rng = s.world.rng.clone();
            s.relay().restart(&mut rng);
            let dropped = s.world.relay_drops_everybody();
            s.keep(dropped);
            s.crashes_back_to(a, &before);
            s.starts(a);
            s.wait(SETTLED);
        },
    },
];
