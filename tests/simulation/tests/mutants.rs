//! Directed worlds with all rules, and every rule left out once. `cargo xtask sim --mutants` looks longer.

use simulator::directed::{Ending, all};
use simulator::mutants::{Noticed, hunt_all};

/// How many random worlds a mutant without a script may take.
const WORLDS: u64 = 60;

#[test]
fn directed_worlds_end_well_when_all_rules_hold() {
    for world in all() {
        let (ending, story) = world.run();
        assert_eq!(ending, Ending::Good, "{}\n{}", world.name, story.join("\n"));
    }
}

#[test]
fn no_rule_can_be_left_out_without_a_world_that_notices() {
    let survivors: Vec<_> = hunt_all(WORLDS, |rule, noticed| println!("{:24} {noticed}", rule.name()))
        .into_iter()
        .filter(|(_, noticed)| matches!(noticed, Noticed::Survived { .. }))
        .map(|(rule, _)| rule.name())
        .collect();
    assert!(survivors.is_empty(), "nobody notices that these are left out: {survivors:?}");
}
