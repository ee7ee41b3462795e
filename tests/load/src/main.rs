//! `cargo xtask load`: the relay under load, beside a plain broadcast relay in Node that keeps nothing, in one run on
//! one machine. Decides what is compared and how it is shown. Linux only: it reads what processes use from /proc.

mod client;
mod relay;
mod scenarios;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde::Serialize;
use tokio::time::timeout;

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
    /// One user: one device writes, the others listen.
    one_to_many: Flow,
    /// The same at 50 messages a second, where nothing waits in line.
    one_to_many_paced: Flow,
    /// Many users with three devices each, as fast as each gets through.
    many_users: Flow,
    /// The same at one message a second of each user.
    many_users_paced: Flow,
    storm: Storm,
}

/// How much of everything.
struct Scale {
    sockets: u32,
    listeners: u32,
    users: u32,
    clients: u32,
    lasting: Duration,
}

impl Scale {
    const FULL: Scale = Scale {
        sockets: 10_000,
        listeners: 100,
        users: 1_000,
        clients: 5_000,
        lasting: Duration::from_secs(6),
    };
    const QUICK: Scale =
        Scale { sockets: 1_000, listeners: 10, users: 100, clients: 500, lasting: Duration::from_secs(2) };
}

/// What hangs ends here, with the servers.
const DEADLINE: Duration = Duration::from_secs(300);
const DEVICES: u32 = 3;

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
    let all = async {
        let mut report = Vec::new();
        for kind in Kind::ALL {
            println!("• {}", kind.name());
            report.push(measure(kind, &programs, &scale).await?);
        }
        anyhow::Ok(report)
    };
    let report = timeout(DEADLINE, all).await.context("it takes too long")??;
    println!("\n{}", table(&report, &scale));
    std::fs::write(&args.report, serde_json::to_string_pretty(&report)?)?;
    println!("  {}", args.report.display());
    Ok(())
}

async fn measure(kind: Kind, programs: &Programs, scale: &Scale) -> Result<Measured> {
    let &Scale { sockets, listeners, users, clients, lasting } = scale;
    let flow = |who, pace| scenarios::flow(kind, programs, who, pace, lasting);
    let second = Duration::from_secs(1);
    let measured = Measured {
        server: kind.name(),
        idle: scenarios::idle(kind, programs, sockets, lasting).await?,
        one_to_many: flow((1, listeners + 1), Pace::Window(64)).await?,
        one_to_many_paced: flow((1, listeners + 1), Pace::Every(second / 50)).await?,
        many_users: flow((users, DEVICES), Pace::Window(1)).await?,
        many_users_paced: flow((users, DEVICES), Pace::Every(second)).await?,
        storm: scenarios::storm(kind, programs, clients).await?,
    };
    let Measured { one_to_many, one_to_many_paced, many_users, many_users_paced, .. } = &measured;
    for (flow, listeners) in [
        (one_to_many, listeners),
        (one_to_many_paced, listeners),
        (many_users, DEVICES - 1),
        (many_users_paced, DEVICES - 1),
    ] {
        let (sent, delivered) = (flow.sent, flow.delivered);
        ensure!(
            sent > 0 && delivered == sent * u64::from(listeners),
            "{} delivered {delivered} of {sent} messages to {listeners} devices",
            kind.name()
        );
    }
    Ok(measured)
}

/// One table, a column for each server.
fn table(report: &[Measured], scale: &Scale) -> String {
    type Cell = Box<dyn Fn(&Measured) -> String>;
    let Scale { sockets, listeners, users, clients, .. } = scale;
    let speed = |of: fn(&Measured) -> &Flow| -> Cell {
        Box::new(move |m| {
            let Flow { sent_per_second, deliveries_per_second, .. } = of(m);
            format!("{sent_per_second:.0}/s, {deliveries_per_second:.0} deliveries/s")
        })
    };
    let latency = |of: fn(&Measured) -> &Flow| -> Cell {
        Box::new(move |m| format!("{:.1} / {:.1} ms", of(m).p50_ms, of(m).p99_ms))
    };
    let cost = |of: fn(&Measured) -> &Flow| -> Cell {
        Box::new(move |m| format!("{:.1} µs", of(m).processor_us_each))
    };
    let rows: Vec<(String, Cell)> = vec![
        (
            format!("{sockets} idle connections: memory of each"),
            Box::new(|m| format!("{:.1} kB", m.idle.bytes_each as f64 / 1e3)),
        ),
        ("– processor".to_owned(), Box::new(|m| format!("{:.1} % of a core", m.idle.processor_percent))),
        (format!("one writer to {listeners} devices, full speed"), speed(|m| &m.one_to_many)),
        ("– p50 / p99".to_owned(), latency(|m| &m.one_to_many)),
        ("– processor for each delivery".to_owned(), cost(|m| &m.one_to_many)),
        ("the same, 50 messages a second: p50 / p99".to_owned(), latency(|m| &m.one_to_many_paced)),
        (format!("{users} users with {DEVICES} devices, full speed"), speed(|m| &m.many_users)),
        ("– p50 / p99".to_owned(), latency(|m| &m.many_users)),
        (
            "the same, one message a second of each user: p50 / p99".to_owned(),
            latency(|m| &m.many_users_paced),
        ),
        (
            format!("{clients} clients at once: all are served after"),
            Box::new(|m| format!("{:.0} ms", m.storm.all_in_ms)),
        ),
        ("– p50 / p99".to_owned(), Box::new(|m| format!("{:.0} / {:.0} ms", m.storm.p50_ms, m.storm.p99_ms))),
    ];
    let line = |name: &str, cells: Vec<String>| format!("| {name} | {} |\n", cells.join(" | "));
    let names = report.iter().map(|m| m.server.to_owned()).collect();
    let mut text = line("", names) + &"|---".repeat(report.len() + 1) + "|\n";
    for (name, cell) in rows {
        text += &line(&name, report.iter().map(cell).collect());
    }
    text
}
