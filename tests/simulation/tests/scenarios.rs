//! Scenarios: the same lives that the tests in JavaScript give to real databases, on the model.

use simulator::scenario::Scenario;

/// As many as a normal test run has time for.
const SEEDS: u64 = 120;

#[test]
fn replicas_agree_on_the_model_after_every_scenario() {
    let failed: Vec<String> = (0..SEEDS)
        .filter_map(|seed| {
            Scenario::of(seed).world(false).live().err().map(|problem| format!("{seed}: {problem}"))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {SEEDS} scenarios went wrong:\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn a_scenario_is_drawn_from_its_seed_alone() {
    for seed in 0..50 {
        assert_eq!(Scenario::of(seed).json(), Scenario::of(seed).json());
    }
    assert_ne!(Scenario::of(1).json(), Scenario::of(2).json());
}

#[test]
fn scenarios_hold_everything_that_can_happen_on_every_kind_of_remote() {
    let lines: Vec<String> = (0..SEEDS).map(|seed| Scenario::of(seed).json().to_string()).collect();
    let steps = [
        "write", "begin", "end", "migrate", "toggle", "crash", "copy", "restore", "client", "cut", "offline",
        "syncNow", "wait", "server",
    ];
    for step in steps {
        let wanted = format!("\"do\":\"{step}\"");
        assert!(lines.iter().any(|line| line.contains(&wanted)), "nobody does {step}");
    }
    for remote in ["plain", "storing", "push-pull"] {
        let wanted = format!("\"remote\":\"{remote}\"");
        assert!(lines.iter().any(|line| line.contains(&wanted)), "no world has a remote of kind {remote}");
    }
}
