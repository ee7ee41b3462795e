//! Worlds in which a message must carry more than what was asked for.
//! Scripts only; see `directed`.

use crsqlite_sync::rules::Rule;
use crsqlite_sync::wire::{Change, Value};

use super::{Directed, insert, of_note, plain, rekey, row, storing};
use crate::model::Op;
use crate::plan::Plan;

pub(super) const WORLDS: &[Directed] = &[
    Directed {
        name: "a row that was moved brings its columns along",
        rule: Rule::Additions,
        plan: storing,
        story: |s| {
            let (_, b) = (s.joins(), s.joins());
            s.writes_and_tells(b, &[insert(1, 1)]);
            s.writes_and_tells(b, &[rekey(1, 2)]);
        },
    },
    Directed {
        name: "a row that somebody else wrote and we moved brings its columns along",
        rule: Rule::AdditionsOfAnyOrigin,
        plan: storing,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            s.writes_and_tells(a, &[insert(1, 1)]);
            s.writes_and_tells(b, &[rekey(1, 2)]);
        },
    },
    Directed {
        name: "an answer brings the columns of a moved row along",
        rule: Rule::AdditionsInAnswers,
        plan: plain,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            s.writes_and_tells(b, &[insert(1, 1)]);
            s.asks_everybody(a);
            s.goes_offline(a);
            s.writes_and_tells(b, &[rekey(1, 2)]);
            s.comes_online(a);
        },
    },
    Directed {
        name: "a column that a row's new life leaves behind reaches a log whoever wrote it",
        rule: Rule::ZeroedRows,
        plan: || Plan { schema_lag: true, ..storing() },
        story: |s| {
            let a = s.joins();
            let old = s.world.add_device(true, true);
            s.starts(old);
            let Change { table, pk, .. } = of_note(1, Value::Null);
            let with = |cid: &str| vec![(cid.to_owned(), Value::Integer(9))];
            s.writes_and_tells(a, &[Op::Insert { table: table.clone(), pk: pk.clone(), set: with("extra") }]);
            // Its schema does not know the column, so the row's new life says nothing of it.
            let again = Op::Insert { table: table.clone(), pk: pk.clone(), set: with("n") };
            s.writes_and_tells(old, &[Op::Delete { table, pk }, again]);
        },
    },
    Directed {
        name: "a device that has lost its own rows gets them back",
        rule: Rule::RequestersOwnRows,
        plan: plain,
        story: |s| {
            let (_, b) = (s.joins(), s.joins());
            let before = s.state(b);
            s.writes_and_tells(b, &[insert(1, 1)]);
            s.crashes_back_to(b, &before);
            s.starts(b);
        },
    },
    Directed {
        name: "a log is sent the rows of devices that it never meets",
        rule: Rule::UploadEveryOrigin,
        plan: storing,
        story: |s| {
            let a = s.joins();
            s.hears(a, vec![row(1, 1)]);
            s.wait(super::SETTLED);
        },
    },
    Directed {
        name: "what the app may yet roll back is not sent",
        rule: Rule::AppTransaction,
        plan: storing,
        story: |s| {
            let (_, b) = (s.joins(), s.joins());
            s.writes_and_tells(b, &[insert(1, 1)]);
            let disk = &mut s.world.devices[b].disk;
            disk.app_begin();
            disk.app_run(&insert(2, 2));
            let epoch = s.world.devices[b].epoch;
            s.world.at(0, crate::world::Event::LocalChange { device: b, epoch });
            s.wait(1_000);
            s.world.app_ends(b, false);
            s.writes_and_tells(b, &[insert(3, 3)]);
        },
    },
];
