//! Worlds in which a message must not move a cursor, or must not move it yet.
//! Scripts only; see `directed`.

use crsqlite_sync::rules::Rule;

use super::clocks::restored;
use super::{Directed, SETTLED, insert, plain, row, storing};
use crate::plan::Plan;
use crate::world::Event;

pub(super) const WORLDS: &[Directed] = &[
    Directed {
        name: "an answer to somebody who has more does not move our cursor",
        rule: Rule::BaseCheck,
        plan: plain,
        story: |s| {
            let (b, c) = (s.joins(), s.joins());
            s.writes_and_tells(b, &[insert(1, 1)]);
            s.writes_and_tells(c, &[insert(2, 2)]);
            s.asks_everybody(b);
            s.asks_everybody(c);
            let a = s.appears();
            s.until(&["d2 ->", "sync_request"]);
            s.take_up(a, &["sync_request"]);
            // Each answers the other after what that one has, and the third hears it before it can ask anybody.
            s.asks(b);
            s.asks(c);
        },
    },
    Directed {
        name: "a forward that comes after one that was lost does not move the cursor for the log",
        rule: Rule::PlaceBase,
        plan: storing,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            s.writes(b, &[insert(1, 1)]);
            s.until(&["d1 ->", "sync_push"]);
            s.wait(1);
            s.take(a, &["sync_push"]);
            s.writes_and_tells(b, &[insert(2, 2)]);
        },
    },
    Directed {
        name: "the last part of an answer does not count when the first was lost",
        rule: Rule::PartsInOrder,
        plan: || Plan { budget: 2, ..plain() },
        story: |s| {
            let b = s.joins();
            s.writes_and_tells(b, &[insert(1, 1), insert(2, 2), insert(3, 3)]);
            let a = s.appears();
            s.until(&["d0 ->", "\"part\":[0,2]"]);
            s.wait(1);
            s.take(a, &["\"part\":[0,2]"]);
        },
    },
    Directed {
        name: "a push of somebody's own rows does not move the cursor over rows of others",
        rule: Rule::PushMovesNothing,
        plan: plain,
        story: |s| {
            let (_, b) = (s.joins(), s.joins());
            s.writes_and_tells(b, &[insert(1, 1)]);
            s.asks_everybody(0);
            s.hears(b, vec![row(2, 2)]);
            s.writes_and_tells(b, &[insert(3, 3)]);
        },
    },
    Directed {
        name: "an acknowledgement does not cover a message before it that was lost",
        rule: Rule::ContiguousAcks,
        plan: storing,
        story: |s| {
            let b = s.joins();
            s.writes(b, &[insert(1, 1)]);
            s.until(&["d0 ->", "sync_push"]);
            s.take_up(b, &["sync_push"]);
            s.writes_and_tells(b, &[insert(2, 2)]);
        },
    },
    Directed {
        name: "an acknowledgement of a log that was replaced under a connection does not cover what it lost",
        rule: Rule::AckBase,
        plan: storing,
        story: |s| {
            s.relay().back_up();
            let a = s.joins();
            s.writes_and_tells(a, &[insert(1, 1)]);
            // Another instance goes on with a backup, and the connection stays.
            let mut rng = s.world.rng.clone();
            s.relay().restore(&mut rng);
            s.writes(a, &[insert(2, 2)]);
            s.until(&["d0 ->", "sync_push"]);
            s.wait(1);
            let ack = s.take(a, &["sync_ack"]);
            s.asks(a);
            s.until(&["d0 ->", "sync_request"]);
            s.world.plan.job_delay = 1_000_000;
            s.wait(2); // the answer is about to be applied
            let jobs = s.world.intercept(|event| matches!(event, Event::JobRun { .. }));
            s.put(ack);
            let cut = s.world.break_link(a);
            s.keep(cut);
            s.world.plan.job_delay = 0;
            s.world.devices[a].last_job = 0;
            s.put(jobs);
        },
    },
    Directed {
        name: "a log that has lost what it had acknowledged gets it again",
        rule: Rule::StoredClaim,
        plan: storing,
        story: |s| {
            let a = s.joins();
            s.relay().back_up();
            s.writes_and_tells(a, &[insert(1, 1)]);
            restored(s);
        },
    },
    Directed {
        name: "rows that a log has sent are sent to it when it has lost them",
        rule: Rule::ResetDropsRanges,
        plan: storing,
        story: |s| {
            let (a, b) = (s.joins(), s.joins());
            s.relay().back_up();
            let before = s.state(a);
            // What the log sends now comes after a row that it does not have yet.
            s.writes(b, &[insert(2, 2)]);
            s.until(&["d1 ->", "sync_push"]);
            s.take_up(b, &["sync_push"]);
            s.writes_and_tells(a, &[insert(1, 1)]); // only the other one has it after this
            s.crashes_back_to(a, &before);
            restored(s);
            s.wait(SETTLED);
            s.starts(a);
        },
    },
    Directed {
        name: "who comes with rows that nobody has is asked for them",
        rule: Rule::AskBackAndBeat,
        plan: plain,
        story: |s| {
            let (_, b) = (s.joins(), s.joins());
            s.goes_offline(b);
            s.writes(b, &[insert(1, 1)]);
            s.wait(1_000);
            s.comes_online(b);
        },
    },
];
