//! After a fresh start with a server: what it shows of our rows in one complete round need not be sent again. Decides
//! when a doubt leads to a fresh start, and which rows are there. A mistake costs traffic only: what was not seen is sent.

use crate::engine::clock::Duration;
use crate::engine::replica::jobs::Task;
use crate::engine::replica::{Event, Output, Problem, Replica};
use crate::seen::Seen;
use crate::wire::record;
use crate::wire::{Change, Row};

/// A doubt leads to a fresh start at most this often; each one that follows waits twice as long.
const PAUSE: Duration = Duration::from_secs(600);
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);
/// How many rows are remembered; others are sent again.
const MOST: usize = 1 << 20;

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// A round is on its way; nothing is uploaded before its end.
    Counting(Vec<u64>),
    /// While the upload goes through all rows.
    Counted(Seen),
}

#[derive(Debug, Default)]
pub(in crate::engine::replica) struct Recount {
    stage: Stage,
    /// No doubt leads to a fresh start until then.
    not_before: Duration,
    times: u32,
}

impl Recount {
    pub(super) fn begin(&mut self) {
        self.stage = Stage::Counting(Vec::new());
    }

    pub(in crate::engine::replica) fn stop(&mut self) {
        self.stage = Stage::Idle;
    }

    pub(super) fn is_counting(&self) -> bool {
        matches!(self.stage, Stage::Counting(_))
    }

    pub(super) fn saw(&mut self, rows: &[Row]) {
        if let Stage::Counting(seen) = &mut self.stage {
            let room = MOST.saturating_sub(seen.len());
            seen.extend(rows.iter().filter_map(|row| row.as_ref().ok()).take(room).map(short));
        }
    }

    /// The round is over. True when uploading was waiting for it.
    pub(super) fn complete(&mut self) -> bool {
        let Stage::Counting(seen) = &mut self.stage else { return false };
        let mut counted = Seen::with_room(seen.len());
        for digest in seen {
            counted.insert(*digest);
        }
        self.stage = Stage::Counted(counted);
        true
    }

    pub(in crate::engine::replica) fn has_seen(&self, change: &Change) -> bool {
        match &self.stage {
            Stage::Counted(seen) => seen.has(short(change)),
            Stage::Idle | Stage::Counting(_) => false,
        }
    }
}

/// Enough of the digest to tell a million rows apart.
fn short(change: &Change) -> u64 {
    // 0 is an empty place.
    record::digest(change).iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte)).max(1)
}

impl Replica {
    pub(super) fn tick_recount(&mut self) {
        let head = self.view.head;
        if let Stage::Counted(_) = self.recount.stage
            && self.records().is_some_and(|records| records.upload.is_through(head))
        {
            self.recount.stop();
        }
        if !self.view.doubt || self.recount.not_before > self.now.at || self.is_forgetting() {
            return;
        }
        let pause = (PAUSE * 2_u32.saturating_pow(self.recount.times.min(16))).min(LONGEST_PAUSE);
        self.recount.not_before = self.now.at + pause;
        self.recount.times += 1;
        self.tasks.push_back(Task::Resync { rejected: false });
        let text =
            "the server shows again what it had shown before: all is compared, and sent where it is missing";
        self.outputs.push_back(Output::Event(Event::Error(Problem::passing("remote-reset", text))));
    }

    fn is_forgetting(&self) -> bool {
        let tasks = self.tasks.iter().chain(self.running.as_ref().map(|running| &running.task));
        tasks.into_iter().any(|task| matches!(task, Task::Resync { .. }))
    }

    /// When a doubt that has to wait is looked at again.
    pub(in crate::engine::replica) fn recount_due(&self) -> Option<Duration> {
        let waits =
            self.view.doubt && self.config.records.is_some() && self.conn.is_some() && !self.is_forgetting();
        waits.then_some(self.recount.not_before)
    }
}
