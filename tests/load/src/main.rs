//! `cargo xtask load`: the relay under load, beside a plain broadcast relay in Node that keeps nothing, in one run on
//! one machine. Decides what is compared, and how much of it. Linux only: it reads what processes use from /proc.

mod appends;
mod client;
mod postgres;
mod relay;
mod report;
mod scenarios;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tokio::time::timeout;

use crate::postgres::Postgres;
use crate::relay::{Kind, Programs};
use crate::report::{Details, Measured, Report, Stored};
use crate::scenarios::{Flow, Pace};

#[derive(Debug, Parser)]
struct Args {
    /// The relay's binary
    #[arg(long)]
    relay: PathBuf,
    /// The relay in Node
    #[arg(long)]
    broadcast: PathBuf,
    /// The folder of PostgreSQL's programs
    #[arg(long, env = "PG_BIN")]
    postgres: PathBuf,
    /// Where the numbers go
    #[arg(long)]
    report: PathBuf,
    /// Less of everything, in less than a minute
    #[arg(long)]
    quick: bool,
}

/// How much of everything.
struct Scale {
    sockets: u32,
    listeners: u32,
    users: u32,
    /// Of each of these users.
    devices: u32,
    clients: u32,
    /// Of the fan-out: the servers take turns.
    rounds: usize,
    round: Duration,
    lasting: Duration,
    /// So many servers are measured in all else, ours first.
    servers: usize,
    /// Users that push at once.
    writers: u32,
    /// Sizes of logs.
    entries: &'static [i64],
    /// Pushes to each.
    touches: i64,
}

impl Scale {
    const FULL: Scale = Scale {
        sockets: 10_000,
        listeners: 100,
        users: 1_000,
        devices: 3,
        clients: 5_000,
        rounds: 5,
        round: Duration::from_millis(1_500),
        lasting: Duration::from_secs(3),
        servers: Kind::ALL.len(),
        writers: 50,
        entries: &[1_000, 10_000, 100_000],
        touches: 100,
    };
    const QUICK: Scale = Scale {
        sockets: 1_000,
        users: 100,
        clients: 500,
        rounds: 3,
        round: Duration::from_millis(700),
        lasting: Duration::from_millis(700),
        servers: 1,
        entries: &[1_000, 10_000],
        touches: 30,
        ..Scale::FULL
    };
}

/// What hangs ends here, with the servers.
const DEADLINE: Duration = Duration::from_secs(280);
/// Under way at once, of the one who writes to many.
const WINDOW: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let scale = if args.quick { Scale::QUICK } else { Scale::FULL };
    rlimit::increase_nofile_limit(u64::MAX)?;
    let open = rlimit::Resource::NOFILE.get_soft()?;
    ensure!(
        open > u64::from(scale.sockets) + 100,
        "{open} open files are allowed here: `ulimit -n` more, or --quick"
    );
    let programs = Programs { relay: args.relay, broadcast: args.broadcast };
    let all = measure(&programs, &args.postgres, &scale);
    let report = Report::new(timeout(DEADLINE, all).await.context("it takes too long")??);
    println!("\n{}", report.tables(&scale));
    std::fs::write(&args.report, serde_json::to_string_pretty(&report)?)?;
    println!("  {}", args.report.display());
    Ok(())
}

async fn measure(programs: &Programs, postgres: &Path, scale: &Scale) -> Result<Details> {
    println!("• one device to {} others", scale.listeners);
    let mut servers = fan_out(programs, scale).await?;
    let mut listeners = Vec::new();
    for count in [1, scale.listeners / 10] {
        let pace = Pace::Window(WINDOW);
        listeners.push((count, flow(Kind::Storing, programs, (1, count + 1), pace, scale.round).await?));
    }
    let widest = servers.first().and_then(|storing| storing.one_to_many.last().cloned());
    listeners.extend(widest.map(|flow| (scale.listeners, flow)));
    for (server, kind) in servers.iter_mut().zip(Kind::ALL).take(scale.servers) {
        println!("• {}", kind.name());
        measure_server(server, kind, programs, scale).await?;
    }
    println!("• logs");
    let stored = store(programs, postgres, scale).await?;
    let growth = appends::growth(programs, scale.entries, scale.touches).await?;
    Ok(Details { servers, listeners, stored, growth })
}

/// Rounds in which the servers take turns.
async fn fan_out(programs: &Programs, scale: &Scale) -> Result<Vec<Measured>> {
    let mut servers: Vec<Measured> = Vec::new();
    for kind in Kind::ALL {
        servers.push(Measured {
            server: kind.name(),
            idle: None,
            one_to_many: Vec::new(),
            one_to_many_paced: None,
            many_users: None,
            many_users_paced: None,
            storm: None,
        });
    }
    for _ in 0..scale.rounds {
        for (server, kind) in servers.iter_mut().zip(Kind::ALL) {
            let who = (1, scale.listeners + 1);
            server.one_to_many.push(flow(kind, programs, who, Pace::Window(WINDOW), scale.round).await?);
        }
    }
    Ok(servers)
}

async fn measure_server(server: &mut Measured, kind: Kind, programs: &Programs, scale: &Scale) -> Result<()> {
    let &Scale { sockets, listeners, users, devices, clients, lasting, .. } = scale;
    let second = Duration::from_secs(1);
    let flow = |who, pace, lasting| flow(kind, programs, who, pace, lasting);
    server.one_to_many_paced = Some(flow((1, listeners + 1), Pace::Every(second / 50), lasting).await?);
    server.many_users = Some(flow((users, devices), Pace::Window(1), lasting).await?);
    server.many_users_paced = Some(flow((users, devices), Pace::Every(second), lasting.max(second)).await?);
    server.idle = Some(scenarios::idle(kind, programs, sockets, lasting).await?);
    server.storm = Some(scenarios::storm(kind, programs, clients).await?);
    Ok(())
}

/// With everything delivered to everybody.
async fn flow(
    kind: Kind,
    programs: &Programs,
    (users, devices): (u32, u32),
    pace: Pace,
    lasting: Duration,
) -> Result<Flow> {
    let flow = scenarios::flow(kind, programs, (users, devices), pace, lasting).await?;
    let (sent, delivered) = (flow.sent, flow.delivered);
    ensure!(
        sent > 0 && delivered == sent * u64::from(devices - 1),
        "{} delivered {delivered} of {sent} messages to {} devices",
        kind.name(),
        devices - 1
    );
    Ok(flow)
}

/// What SQLite and PostgreSQL take: of one user and of many, of small pushes and of large ones.
async fn store(programs: &Programs, postgres: &Path, scale: &Scale) -> Result<Vec<Stored>> {
    let mut stored = Vec::new();
    let folder = tempfile::tempdir()?;
    let server = Postgres::start(postgres).await?;
    let (file, url) = (folder.path().join("relay.db"), server.url());
    for (storage, database) in [("sqlite", file.as_os_str()), ("postgres", OsStr::new(&url))] {
        for (users, width) in [(1, 1), (scale.writers, 1), (1, 100), (scale.writers, 100)] {
            let appends = appends::appends(programs, database, users, width, scale.lasting).await?;
            stored.push(Stored { storage, users, width, appends });
        }
    }
    server.stop().await?;
    Ok(stored)
}
