//! Worlds with rows that would poison a database if they were merged as they come.
//! Scripts only; see `directed`.

use crsqlite_sync::rules::Rule;
use crsqlite_sync::wire::{Change, MAX_DB_VERSION, Value};

use super::{Directed, SETTLED, insert, note, of_note, plain, row, sentinel, update};

pub(super) const WORLDS: &[Directed] = &[
    Directed {
        name: "a foreign clock at its end does not become ours",
        rule: Rule::BindZero,
        plan: plain,
        story: |s| {
            let (_, b) = (s.joins(), s.joins());
            s.hears(b, vec![Change { db_version: MAX_DB_VERSION, ..row(1, 1) }]);
            s.writes_and_tells(b, &[insert(2, 2)]);
        },
    },
    Directed {
        name: "a value is what the column makes of it before it is compared",
        rule: Rule::Affinity,
        plan: plain,
        story: |s| {
            let (a, _) = (s.joins(), s.joins());
            s.writes_and_tells(a, &[note(1, Value::Real(7.5))]);
            s.asks_everybody(a); // nothing is told twice after this
            s.hears(a, vec![of_note(1, Value::Integer(5))]);
        },
    },
    Directed {
        name: "a sentinel whose version is not its causal length does not poison a row",
        rule: Rule::SoundSentinels,
        plan: plain,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            s.writes_and_tells(b, &[insert(1, 1)]);
            s.hears(b, vec![Change { col_version: 4, ..sentinel(1, 3) }]);
            s.writes(a, &[update(1, 5)]);
            s.wait(SETTLED);
        },
    },
];
