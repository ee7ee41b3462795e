//! Worlds in which clocks go back: crashes, restored logs and copies at the wrong moment.
//! Scripts only; see `directed`.

use crsqlite_sync::rules::Rule;

use super::{Directed, Script, insert, plain, storing, update};
use crate::app;
use crate::rng::Rng;

pub(super) const WORLDS: &[Directed] = &[
    Directed {
        name: "versions that are used again before a client starts are not taken for those that were sent",
        rule: Rule::RunBeginsAtHigh,
        plan: plain,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            s.writes_and_tells(b, &[insert(1, 1)]);
            let before = s.state(b);
            s.goes_offline(a);
            s.writes_and_tells(b, &[insert(2, 2)]);
            s.comes_online(a); // its cursor covers the version that is lost now
            s.wait(super::SETTLED);
            s.crashes_back_to(b, &before);
            s.writes(b, &[insert(3, 3)]);
            s.starts(b);
        },
    },
    Directed {
        name: "a cursor of a run that was undone counts only as far as the next one agrees with it",
        rule: Rule::DeviceRuns,
        plan: plain,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            let before = s.state(b);
            s.goes_offline(a);
            s.writes_and_tells(b, &[insert(1, 1)]);
            s.writes_and_tells(b, &[insert(2, 2)]);
            s.comes_online(a);
            s.wait(super::SETTLED);
            s.goes_offline(a);
            s.crashes_back_to(b, &before);
            s.starts(b);
            s.writes_and_tells(b, &[insert(3, 3)]);
            s.comes_online(a);
        },
    },
    Directed {
        name: "versions that a dropped table took away are not used again",
        rule: Rule::Floor,
        plan: plain,
        story: |s| {
            let a = s.joins();
            let b = s.world.add_device(true, false);
            s.world.devices[b].tables = Some(app::names().into_iter().collect());
            s.starts(b);
            s.writes_and_tells(b, &[insert(1, 1)]);
            toggles_scratch(s, b);
            s.asks_everybody(a); // its cursor covers the versions that go now
            toggles_scratch(s, b);
            s.writes_and_tells(b, &[insert(2, 2)]);
        },
    },
    Directed {
        name: "a page of a snapshot that a crash undid does not count",
        rule: Rule::PageHead,
        plan: || crate::plan::Plan { budget: 2, ..plain() },
        story: |s| {
            let b = s.joins();
            for n in 1..=4 {
                s.writes_and_tells(b, &[insert(n, n)]);
            }
            let before = s.state(b);
            s.writes_and_tells(b, &[update(1, 9)]); // row 1 is above the first page now
            let a = s.appears();
            s.until(&["d1 <-", "sync_response", "\"more\":true"]);
            s.wait(1);
            s.goes_offline(a);
            s.crashes_back_to(b, &before); // and below it again
            s.starts(b);
            s.wait(super::SETTLED);
            s.comes_online(a);
        },
    },
    Directed {
        name: "a page of a log that was restored in between does not count",
        rule: Rule::LogPageHead,
        plan: || crate::plan::Plan { answer_bytes: 300, ..storing() },
        story: |s| {
            let b = s.joins();
            for n in 1..=4 {
                s.writes_and_tells(b, &[insert(n, n)]);
            }
            let before = s.state(b);
            s.relay().back_up();
            s.writes_and_tells(b, &[update(1, 9)]); // the entry of row 1 is above the first page now
            let a = s.appears();
            s.until(&["d1 <-", "sync_response", "\"more\":true"]);
            s.wait(1);
            s.goes_offline(a);
            s.crashes_back_to(b, &before);
            restored(s); // and below it again
            s.starts(b);
            s.wait(super::SETTLED);
            s.comes_online(a);
        },
    },
    Directed {
        name: "a place in a log that was restored counts only as far as the backup goes",
        rule: Rule::LogRuns,
        plan: storing,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            s.relay().back_up();
            s.writes_and_tells(b, &[insert(1, 1), insert(2, 2)]);
            s.goes_offline(a);
            s.goes_offline(b);
            restored(s);
            let c = s.joins();
            s.writes_and_tells(c, &[insert(3, 3)]); // at places that were others' before
            s.comes_online(a);
        },
    },
];

/// A table that `tables` leaves out comes with some rows, or goes.
fn toggles_scratch(s: &mut Script, device: usize) {
    s.world.devices[device].disk.app(|db| app::toggle_scratch(db, &mut Rng::new(1)));
    s.world.note(|| format!("d{device} toggles its scratch table"));
    s.writes_and_tells(device, &[]);
}

/// The only backup takes the log's place.
pub(super) fn restored(s: &mut Script) {
    let mut rng = s.world.rng.clone();
    s.relay().restore(&mut rng);
    let result = s.world.relay_drops_everybody();
    s.keep(result);
}
