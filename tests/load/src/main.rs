//! `cargo xtask load`: the relay under load, beside a plain broadcast relay in Node that keeps nothing, in one run on
//! one machine. Decides what is compared and how it is shown. Linux only: it reads what processes use from /proc.

mod client;
mod relay;
mod scenarios;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use serde::Serialize;

use crate::relay::{Kind, Programs};
use crate::scenarios::{Flow, Idle, Pace, Storm};

#[derive(Debug, Parser)]
struct Args {
    /// The relay's binary
    #[arg(long)]
    relay: PathBuf,
    /// The relay in Node
    #[arg(long)]
    broadcast: PathBuf,
    /// Where the numbers go
    #[arg(long)]
    report: PathBuf,
    /// A tenth of everything, to see that it works
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, Serialize)]
struct Measured {
    server: &'static str,
    idle: Idle,
    /// One user: one device writes, 100 listen.
    one_to_many: Flow,
    /// The same at 50 messages a second, where nothing waits in line.
    one_to_many_paced: Flow,
    /// 1,000 users with three devices each, one message a second per user.
    many_users: Flow,
    storm: Storm,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let scale = if args.quick { 10 } else { 1 };
    let (sockets, listeners, users, clients) = (10_000 / scale, 100 / scale, 1_000 / scale, 5_000 / scale);
    let lasting = Duration::from_secs(if args.quick { 2 } else { 10 });
    rlimit::increase_nofile_limit(u64::MAX)?;
    let open = rlimit::Resource::NOFILE.get_soft()?;
    ensure!(
        open > u64::from(sockets) + 100,
        "{open} open files are allowed here: `ulimit -n` more, or --quick"
    );
    let programs = Programs { relay: args.relay, broadcast: args.broadcast };

    let mut report = Vec::new();
    for kind in Kind::ALL {
        let name = kind.name();
        println!("• {name}");
        let second = Duration::from_secs(1);
        let measured = Measured {
            server: name,
            idle: scenarios::idle(kind, &programs, sockets, lasting).await?,
            one_to_many: scenarios::flow(kind, &programs, (1, listeners + 1), Pace::Full, lasting).await?,
            one_to_many_paced: scenarios::flow(
                kind,
                &programs,
                (1, listeners + 1),
                Pace::Every(second / 50),
                lasting,
            )
            .await?,
            many_users: scenarios::flow(kind, &programs, (users, 3), Pace::Every(second), lasting).await?,
            storm: scenarios::storm(kind, &programs, clients).await?,
        };
        for flow in [&measured.one_to_many, &measured.one_to_many_paced, &measured.many_users] {
            ensure!(flow.delivered > 0, "{name} delivered nothing");
        }
        show(&measured);
        report.push(measured);
    }
    std::fs::write(&args.report, serde_json::to_string_pretty(&report)?)?;
    println!("  {}", args.report.display());
    Ok(())
}

fn show(measured: &Measured) {
    let Measured { idle, one_to_many, one_to_many_paced, many_users, storm, .. } = measured;
    println!(
        "  {} idle connections: {:.1} kB each, {:.1} % of a core",
        idle.connections,
        idle.bytes_each as f64 / 1e3,
        idle.processor_percent
    );
    for (what, flow) in [
        ("one writer to many, full speed", one_to_many),
        ("one writer to many, 50 a second", one_to_many_paced),
        ("many users, one a second each", many_users),
    ] {
        let expected = if flow.sent == 0 { 0.0 } else { flow.delivered as f64 / flow.sent as f64 };
        println!(
            "  {what}: {:.0} deliveries/s ({:.2} per message), p50 {:.2} ms, p99 {:.2} ms, {:.1} µs of processor each",
            flow.deliveries_per_second, expected, flow.p50_ms, flow.p99_ms, flow.processor_us_each
        );
    }
    println!(
        "  {} clients at once: all in after {:.0} ms, p50 {:.0} ms, p99 {:.0} ms",
        storm.clients, storm.all_in_ms, storm.p50_ms, storm.p99_ms
    );
}
