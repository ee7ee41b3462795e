//! What was changed behind everybody's back is found by the idle digests, told and healed.

use simulator::damage::{Damage, damage};
use simulator::plan::KINDS;

/// How many worlds of each damage have to have had what it takes.
const WORLDS: usize = 10;

fn heals(what: Damage) {
    let mut healed = 0;
    for seed in 0..6 * KINDS.len() as u64 {
        let story = damage(seed, what).unwrap_or_else(|problem| panic!("seed {seed}, {what:?}: {problem}"));
        let Some(story) = story else { continue };
        healed += 1;
        assert!(story.told.iter().all(|(_, text)| text.contains("notes")), "seed {seed}: {:?}", story.told);
        // Each side tells it; a heal that others hear of while they are at it may be told once more.
        assert!(story.told.len() <= 6, "seed {seed}: {:?}", story.told);
        if healed == WORLDS {
            return;
        }
    }
    panic!("only {healed} worlds had something of {what:?}");
}

#[test]
fn a_value_that_grew_unseen_reaches_everybody() {
    heals(Damage::LargerValue);
}

#[test]
fn a_value_that_shrank_unseen_comes_back() {
    heals(Damage::SmallerValue);
}

#[test]
fn a_row_that_was_lost_unseen_comes_back() {
    heals(Damage::Row);
}

#[test]
fn an_entry_that_a_log_lost_unseen_comes_back() {
    heals(Damage::Entry);
}
