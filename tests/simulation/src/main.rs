//! `cargo run -p simulator --release -- --seeds N [--first S]` runs worlds; `--seed S [--trace]` replays one.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seeds, mut first, mut one, mut trace) = (1_000, 0, None, false);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--seeds" => seeds = number().unwrap_or(seeds),
            "--first" => first = number().unwrap_or(first),
            "--seed" => one = number(),
            "--trace" => trace = true,
            other => {
                eprintln!("unknown argument {other}: --seeds N, --first S, --seed S, --trace");
                return ExitCode::from(2);
            }
        }
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
