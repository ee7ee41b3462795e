//! `cargo run -p simulator --release -- --seeds N [--first S]` runs worlds; `--seed S [--trace]` replays one.
//! `--scenarios N [--first S]` prints worlds as lines of JSON, and `--relay` is the relay of those that are played elsewhere.
//! `--histories N [--first S]` prints what the model of cr-sqlite makes of random SQL, as lines of JSON.

use std::process::ExitCode;

use simulator::scenario::Scenario;

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
            "--scenarios" => scenarios = number(),
            "--histories" => histories = number(),
            "--relay" => return relay(),
            other => {
                let known = "--seeds N, --first S, --seed S, --trace, --scenarios N, --histories N, --relay";
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

fn relay() -> ExitCode {
    match simulator::served::serve(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
