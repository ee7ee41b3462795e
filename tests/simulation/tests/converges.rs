//! Worlds of all kinds, as many as a normal test run has time for. `cargo run -p simulator --release` runs more.

use simulator::plan::KINDS;
use simulator::run::run_all;

#[test]
fn replicas_converge_in_worlds_of_every_kind() {
    let seeds = 100 * KINDS.len() as u64;
    let mut reports = Vec::new();
    let failed = run_all(0, seeds, |report| reports.push(report.to_owned()));
    assert_eq!(failed, 0, "{failed} of {seeds} worlds went wrong:\n{}", reports.join("\n\n"));
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..KINDS.len() as u64 {
        let story = |seed| {
            let mut world = simulator::world::World::new(seed, true);
            world.live().unwrap();
            world.trace().join("\n")
        };
        assert!(story(seed) == story(seed), "seed {seed} went differently the second time");
    }
}
