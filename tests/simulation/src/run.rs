//! Runs worlds by their seeds, on all cores, and reports those that went wrong so that they can be replayed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::World;

/// How much of a failing world's story is told.
const LAST_EVENTS: usize = 40;

/// Runs one world.
///
/// # Errors
/// What went wrong, with the last events before it.
pub fn run(seed: u64) -> Result<(), String> {
    let Err(problem) = live(seed, false).0 else { return Ok(()) };
    let (_, story) = live(seed, true);
    let told: Vec<&String> = story.iter().filter(|line| !line.contains(" Poll ")).collect();
    let last = &told[told.len() - LAST_EVENTS.min(told.len())..];
    let last: Vec<String> = last.iter().map(|line| shorten(line)).collect();
    Err(format!("{}\nlast events:\n{}", title(seed, &problem), last.join("\n")))
}

/// Runs one world and prints every event.
///
/// # Errors
/// What went wrong.
pub fn tell(seed: u64) -> Result<(), String> {
    let (result, story) = live(seed, true);
    println!("{:?}", Plan::of(seed, &mut Rng::new(seed)));
    for line in story {
        println!("{line}");
    }
    result.map_err(|problem| title(seed, &problem))
}

fn title(seed: u64, problem: &str) -> String {
    let plan = Plan::of(seed, &mut Rng::new(seed));
    format!("seed {seed} ({:?}) diverged: {problem}", plan.kind)
}

pub(crate) fn live(seed: u64, trace: bool) -> (Result<(), String>, Vec<String>) {
    let mut world = World::new(seed, trace);
    let result = catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    (result, world.trace().to_vec())
}

fn shorten(line: &str) -> String {
    if line.len() <= 260 {
        line.to_owned()
    } else {
        format!("{}…", line.chars().take(260).collect::<String>())
    }
}

/// Runs `first..first + count` on all cores; the reports of the worlds that went wrong, in order of their seeds.
#[must_use]
pub fn run_all(first: u64, count: u64, mut on_failure: impl FnMut(&str) + Send) -> u64 {
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(0);
    let report = Mutex::new(&mut on_failure);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    if let Err(problem) = run(seed) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        (report.lock().unwrap())(&problem);
                    }
                }
            });
        }
    });
    failed.load(Ordering::Relaxed)
}
