//! Worlds about what a log keeps, and what it has said.
//! Scripts only; see `directed`.

use crsqlite_sync::rules::Rule;

use crsqlite_sync::wire::Value;

use super::{Directed, SETTLED, delete, insert, note, of_note, quiet, row, storing, update};
use crate::plan::{Kind, Plan};

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
        name: "a log keeps every value of a tie, because it does not know what the column makes of them",
        rule: Rule::NoValueOrder,
        plan: storing,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            s.writes_and_tells(a, &[note(1, Value::Real(7.5))]);
            // For SQLite an INTEGER is more than any REAL, until the column has made it one.
            s.stranger_uploads(b, vec![of_note(1, Value::Integer(5))]);
        },
    },
    Directed {
        name: "of a tie more than the first value stays",
        rule: Rule::KeepTies,
        plan: storing,
        story: |s| {
            let a = s.joins();
            s.stranger_uploads(a, vec![row(1, 1)]);
            s.stranger_uploads(a, vec![row(1, 2)]);
            s.wait(SETTLED);
            s.asks_everybody(a);
            s.hears(a, vec![row(1, 2)]);
        },
    },
    Directed {
        name: "compaction takes nothing away that came after it had looked",
        rule: Rule::CompactAtOnce,
        plan: storing,
        story: |s| {
            let a = s.joins();
            s.writes_and_tells(a, &[insert(1, 1)]);
            s.writes_and_tells(a, &[update(1, 2)]);
        },
    },
    Directed {
        name: "a server that shows everything again is sent what it has lost",
        rule: Rule::Doubt,
        plan: || Plan { pull_every: 2_000, call_faults: 0, ..quiet(Kind::Records) },
        story: |s| {
            let a = s.joins();
            s.writes_and_tells(a, &[insert(1, 1), insert(2, 2), insert(3, 3)]);
            s.server().back_up();
            s.writes_and_tells(a, &[insert(4, 4)]);
            let mut rng = s.world.rng.clone();
            let server = s.server();
            server.restore(&mut rng);
            server.restart(); // no cursor leads anywhere any more: that is the sign
            server.has_lost = false;
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
