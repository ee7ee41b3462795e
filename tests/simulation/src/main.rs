//! `cargo run -p simulator --release -- --seeds N [--first S]` runs worlds; `--seed S [--trace]` replays one.
//! `--scenarios N [--first S]` prints worlds as lines of JSON, and `--relay` is the relay of those that are played elsewhere.
//! `--mutants [N]` leaves out every rule once and looks for who notices, in at most N random worlds each.
//! `--histories N [--first S]` prints what the model of cr-sqlite makes of random SQL, as lines of JSON.

use std::process::ExitCode;

use simulator::mutants::{Noticed, hunt_all};
use simulator::scenario::Scenario;

/// How many random worlds a mutant without a script may take.
const MUTANT_WORLDS: u64 = 1_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seeds, mut first, mut one, mut trace, mut scenarios) = (1_000, 0, None, false, None);
    let mut histories = None;
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--seeds" => seeds = number().unwrap_or(seeds),
            "--first" => first = number().unwrap_or(first),
            "--seed" => one = number(),
            "--trace" => trace = true,
            "--mutants" => return mutants(number().unwrap_or(MUTANT_WORLDS)),
            "--scenarios" => scenarios = number(),
            "--histories" => histories = number(),
            "--relay" => return relay(),
            other => {
                let known = "--seeds N, --first S, --seed S, --trace, --mutants [N], --scenarios N, --histories N, --relay";
                eprintln!("unknown argument {other}: {known}");
                return ExitCode::from(2);
            }
        }
    }
    if let Some(count) = scenarios {
        (first..first + count).for_each(|seed| println!("{}", Scenario::of(seed).json()));
        return ExitCode::SUCCESS;
    }
    if let Some(count) = histories {
        (first..first + count).for_each(|seed| println!("{}", simulator::histories::history(seed)));
        return ExitCode::SUCCESS;
    }
    let (count, failed) = match one {
        Some(seed) => {
            let result = if trace { simulator::run::tell(seed) } else { simulator::run::run(seed) };
            if let Err(problem) = &result {
                println!("{problem}");
            }
            (1, u64::from(result.is_err()))
        }
        None => (seeds, simulator::run::run_all(first, seeds, |problem| println!("{problem}\n"))),
    };
    println!("{count} seeds, {failed} diverged");
    ExitCode::from(u8::from(failed > 0))
}

/// Leaves out every rule once, and tells who has noticed.
fn mutants(most: u64) -> ExitCode {
    // A world may end in a panic of the model: that is one way of noticing.
    std::panic::set_hook(Box::new(|_| {}));
    let found = hunt_all(most, |rule, noticed| println!("{:24} {noticed}", rule.name()));
    let survivors = found.iter().filter(|(_, noticed)| matches!(noticed, Noticed::Survived { .. })).count();
    println!("{} rules, {survivors} left out unnoticed", found.len());
    ExitCode::from(u8::from(survivors > 0))
}

fn relay() -> ExitCode {
    match simulator::served::serve(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
