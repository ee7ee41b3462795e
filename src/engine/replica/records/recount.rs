//! After a fresh start with a server: what it shows of our rows in one complete round need not be sent again. Decides
//! when a doubt leads to a fresh start, and which rows are there. A mistake costs traffic only: what was not seen is sent.

use std::time::Duration;

use crate::engine::replica::jobs::Task;
use crate::engine::replica::{Event, Output, Problem, Replica};
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
        self.stage = Stage::Counted(Seen::of(seen));
        true
    }

    pub(in crate::engine::replica) fn has_seen(&self, change: &Change) -> bool {
        match &self.stage {
            Stage::Counted(seen) => seen.has(short(change)),
            Stage::Idle | Stage::Counting(_) => false,
        }
    }
}

/// A set of digests: each stands where its own bits say, or in the next free place. A fraction of a sort's code.
#[derive(Debug)]
struct Seen(Vec<u64>);

impl Seen {
    fn of(digests: &[u64]) -> Self {
        let mut seen = Seen(vec![0; (digests.len() * 2 + 1).next_power_of_two()]);
        for digest in digests {
            if let Some(place) = seen.place(*digest).and_then(|at| seen.0.get_mut(at)) {
                *place = *digest;
            }
        }
        seen
    }

    fn has(&self, digest: u64) -> bool {
        self.place(digest).and_then(|at| self.0.get(at)) == Some(&digest)
    }

    /// Where it stands, or could.
    fn place(&self, digest: u64) -> Option<usize> {
        let mask = self.0.len() - 1;
        #[allow(clippy::cast_possible_truncation)] // the lower bits are as good
        let start = digest as usize;
        let free = |at: &usize| self.0.get(*at).is_some_and(|known| *known == digest || *known == 0);
        (0..=mask).map(|step| start.wrapping_add(step) & mask).find(free)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_it_was_made_of_and_nothing_else() {
        for count in [0, 1, 2, 3, 1000] {
            let digests: Vec<u64> = (1..=count).map(|n: u64| n * 1024).collect();
            let seen = Seen::of(&digests);
            assert!(digests.iter().all(|digest| seen.has(*digest)), "{count}");
            assert!((1..=count).all(|n| !seen.has(n * 1024 + 1)) && !seen.has(1), "{count}");
        }
    }
}
