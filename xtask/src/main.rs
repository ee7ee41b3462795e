//! `cargo xtask`: everything that a person or CI does with this repository.
//! Decides which steps make up a task; how a step is done is said in its module; knows nothing of the product.
//! Called through the alias in `.cargo/config.toml`.

mod api;
mod apt;
mod bench;
mod browser;
mod crash;
mod demo;
mod fresh;
mod fuzz;
mod load;
mod npm;
mod pack;
mod postgres;
mod ready;
mod run;
mod rust;
mod suites;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::suites::Suite;
use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Builds, tests, packs and shows crsqlite-sync.")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds everything, starts the relay with the demo app and prints its address
    Demo {
        /// Opens the demo in the browser
        #[arg(long)]
        open: bool,
        #[arg(long, default_value_t = 8787)]
        port: u16,
    },
    /// Runs the tests, all of them or some of: native, wasm, package, docs, node, worlds, e2e, matrix
    Test {
        /// May be given several times
        #[arg(long, value_enum)]
        only: Vec<Suite>,
    },
    /// Tries the packed package in the apps of every bundler, in Chromium, Firefox and WebKit
    Matrix {
        /// Puts what was seen into the README's table, in place of comparing
        #[arg(long)]
        write: bool,
    },
    /// Makes the npm package, pkg/ and target/pack/crsqlite-sync.tgz, and holds it to its weight
    Pack,
    /// Writes the public surface down, etc/crsqlite-sync.api.md and docs/api.md: accepts a change of it
    Api,
    /// What CI runs: formatting, lints, dependencies, all tests
    Ready,
    /// Runs random worlds through the simulator
    Sim {
        /// How many worlds
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// The first one; a failing world is replayed with `--seed N`
        #[arg(long)]
        seed: Option<u64>,
        /// Tells every event of that one world
        #[arg(long, requires = "seed")]
        trace: bool,
        /// Leaves out one rule of replication after the other, and fails when nothing notices
        #[arg(long, conflicts_with_all = ["seeds", "seed"])]
        mutants: bool,
    },
    /// Measures what the package exists for, beside what one would pick instead and beside the limit
    Bench(bench::Options),
    /// Puts the relay under load, beside a broadcast relay in Node (Linux)
    Load {
        /// A tenth of everything
        #[arg(long)]
        quick: bool,
    },
    /// Kills the relay at random while writers push, and looks whether all that was acknowledged is there
    Crash {
        /// How often it is killed
        #[arg(long, default_value_t = 100)]
        rounds: u64,
    },
    /// Attacks every decoder with a fuzzer; needs cargo-fuzz and a nightly toolchain
    Fuzz {
        /// How many inputs for each
        #[arg(long, default_value_t = 1_000_000)]
        runs: u64,
        /// Only this target; may be given several times
        #[arg(long)]
        only: Vec<String>,
    },
}

fn main() -> ExitCode {
    match perform(Args::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<()> {
    let ws = Workspace::find()?;
    match task {
        Task::Demo { open, port } => demo::demo(&ws, open, port),
        Task::Test { only } => suites::test(&ws, &only),
        Task::Matrix { write } => suites::only_matrix(&ws, write),
        Task::Pack => pack::pack(&ws).and_then(|()| pack::gate(&ws)),
        Task::Api => api::api(&ws),
        Task::Ready => ready::ready(&ws),
        Task::Sim { mutants: true, .. } => ready::mutants(&ws),
        Task::Sim { seeds, seed, trace, .. } => ready::sim(&ws, seeds, seed, trace),
        Task::Bench(options) => bench::bench(&ws, &options),
        Task::Load { quick } => load::load(&ws, quick),
        Task::Crash { rounds } => crash::crash(&ws, rounds),
        Task::Fuzz { runs, only } => fuzz::fuzz(&ws, runs, &only),
    }
}
