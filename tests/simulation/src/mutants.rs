//! Leaves out one rule of `crsqlite_sync::rules` at a time and looks for a world that notices: the directed ones of the rule
//! first, then random ones. Decides where to look, never what counts as noticing: that is any end of a world but a good one.
//! Called by `main` and by the tests.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crsqlite_sync::rules::{Rule, leave_out};

use crate::directed::{self, Ending};
use crate::plan::{Kind, Plan};
use crate::rng::Rng;
use crate::run;

/// Who has noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// A directed world.
    Script(&'static str),
    /// A random one, how many it took, and what was wrong.
    Seed { seed: u64, tried: u64, problem: String },
    /// Nobody here can: the model of cr-sqlite has nothing that this rule is about. Tried on the real package.
    Elsewhere,
    /// Nobody.
    Survived { tried: u64 },
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Noticed::Script(name) => write!(f, "directed world: {name}"),
            Noticed::Seed { seed, tried, problem } => {
                write!(
                    f,
                    "seed {seed}, the {tried}. of its kinds: {}",
                    problem.lines().next().unwrap_or_default()
                )
            }
            Noticed::Elsewhere => write!(f, "(tried on the real package)"),
            Noticed::Survived { tried } => write!(f, "NOBODY in {tried} worlds"),
        }
    }
}

/// Rules of the database port and of reading what comes in, where the model of cr-sqlite takes typed rows and has no SQL.
const ELSEWHERE: &[Rule] = &[
    Rule::OneSortKey,
    Rule::TrackingOn,
    Rule::UndoneStatements,
    Rule::TypedValues,
    Rule::CheckedKeys,
    Rule::VersionRange,
    Rule::WholeSiteIds,
    Rule::Bisection,
];

/// The kinds of worlds that find the mutants without a script soonest.
fn kinds(rule: Rule) -> &'static [Kind] {
    use Kind::{
        Plain, PlainCrash, PlainEverything, PlainSchema, RecordsEverything, RecordsOdd, Storing,
        StoringCrash, StoringEverything, StoringSchema, StoringSeedPeers,
    };
    match rule {
        Rule::Doubt => &[RecordsOdd],
        Rule::OneLeader => &[PlainEverything, StoringEverything, RecordsEverything],
        Rule::Floor | Rule::QuarantineRetry | Rule::Quarantine | Rule::TablesGrow => {
            &[PlainSchema, StoringSchema]
        }
        Rule::ZeroedRows => &[StoringSchema],
        Rule::KeepTies | Rule::NoValueOrder | Rule::CompactAtOnce => &[Storing, StoringCrash, StoringSchema],
        Rule::Affinity => &[StoringSeedPeers],
        _ => &[Plain, PlainCrash, PlainSchema, Storing, StoringCrash, StoringSchema],
    }
}

/// Looks for whoever notices that this rule is left out, in at most so many random worlds.
#[must_use]
pub fn hunt(rule: Rule, most: u64) -> Noticed {
    if ELSEWHERE.contains(&rule) {
        return Noticed::Elsewhere;
    }
    let _mutant = Mutant::without(rule);
    let scripts = directed::all().filter(|world| world.rule == rule);
    if let Some(world) = scripts.into_iter().find(|world| matches!(world.run().0, Ending::Bad(_))) {
        return Noticed::Script(world.name);
    }
    let kinds = kinds(rule);
    let of_kind = |seed: &u64| kinds.contains(&Plan::of(*seed, &mut Rng::new(*seed)).kind);
    for (tried, seed) in (1..=most).zip((0..).filter(of_kind)) {
        if let (Err(problem), _) = run::live(seed, false) {
            return Noticed::Seed { seed, tried, problem };
        }
    }
    Noticed::Survived { tried: most }
}

/// Hunts for all rules on all cores, and tells of each as soon as it is known.
#[must_use]
pub fn hunt_all(most: u64, mut tell: impl FnMut(Rule, &Noticed) + Send) -> Vec<(Rule, Noticed)> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new((Vec::new(), &mut tell));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(rule) = Rule::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let noticed = hunt(*rule, most);
                    let mut found = found.lock().unwrap();
                    (found.1)(*rule, &noticed);
                    found.0.push((*rule, noticed));
                }
            });
        }
    });
    found.into_inner().unwrap().0
}

/// Leaves a rule out on this thread until it is dropped.
struct Mutant;

impl Mutant {
    fn without(rule: Rule) -> Self {
        leave_out(Some(rule));
        Mutant
    }
}

impl Drop for Mutant {
    fn drop(&mut self) {
        leave_out(None);
    }
}
