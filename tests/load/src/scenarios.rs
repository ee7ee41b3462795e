//! What is done to a server, and what is measured while it is. Decides loads and how long they last; never which
//! servers are compared or how the numbers are shown. Called by `main`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::client::{self, Shape, Sink, Stream};
use crate::relay::{Kind, Programs, Relay};

/// Sockets that are opened at the same time, where nobody asks for a storm.
const OPENING: usize = 100;
/// Of one writer: the rows' values change, and the log stays small.
const SHAPE: Shape = Shape { rows: 100, width: 1 };
/// What is under way at the end has this long to arrive.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// Sockets that say nothing.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Idle {
    pub(crate) connections: u32,
    pub(crate) bytes_each: u64,
    pub(crate) processor_percent: f64,
}

/// Messages through a server.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Flow {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) sent_per_second: f64,
    pub(crate) deliveries_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// What the server's process used for each.
    pub(crate) processor_us_each: f64,
}

/// Clients that all come at once.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Storm {
    pub(crate) clients: u32,
    pub(crate) all_in_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Opens many sockets, one per user, and leaves them alone for `rest`.
pub(crate) async fn idle(kind: Kind, programs: &Programs, connections: u32, rest: Duration) -> Result<Idle> {
    let folder = tempfile::tempdir()?;
    let relay = Relay::start(kind, programs, folder.path().join("relay.db").as_os_str()).await?;
    let before = relay.memory()?;
    let held = enter_all(&relay.address, kind, (0..connections).map(|n| (n, n)), OPENING).await?;
    let used = relay.processor()?;
    sleep(rest).await;
    let busy = relay.processor()?.saturating_sub(used);
    let memory = relay.memory()?.saturating_sub(before);
    drop(held);
    Ok(Idle {
        connections,
        bytes_each: memory / u64::from(connections),
        processor_percent: 100.0 * busy.as_secs_f64() / rest.as_secs_f64(),
    })
}

/// How the writers of a flow send.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As much as goes through with so many of each writer on their way: the next when an earlier one has arrived everywhere.
    Window(usize),
    /// One message per period, each writer at a moment of its own.
    Every(Duration),
}

/// `users` with `devices` each, of which the first writes for `lasting`.
pub(crate) async fn flow(
    kind: Kind,
    programs: &Programs,
    (users, devices): (u32, u32),
    pace: Pace,
    lasting: Duration,
) -> Result<Flow> {
    let folder = tempfile::tempdir()?;
    let relay = Relay::start(kind, programs, folder.path().join("relay.db").as_os_str()).await?;
    let who = (0..users).flat_map(|user| (0..devices).map(move |device| (user, user * devices + device)));
    let held = enter_all(&relay.address, kind, who, OPENING).await?;
    let (epoch, used) = (Instant::now(), relay.processor()?);
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    let per_user = usize::try_from(devices)?;
    let mut held = VecDeque::from(held);
    let total = Arc::new(AtomicU64::new(0));
    for user in 0..users {
        let arrived = Arc::new(AtomicU64::new(0));
        let free = Arc::new(Semaphore::new(match pace {
            Pace::Window(most) => most,
            Pace::Every(_) => 0,
        }));
        let mut devices_of_user: VecDeque<_> = held.drain(..per_user).collect();
        let (number, sink, stream) = devices_of_user.pop_front().context("a writer")?;
        // The writer's own acknowledgements have to be read, too.
        readers.spawn(drain(stream));
        let others = u64::from(devices) - 1;
        for (_, _sink, stream) in devices_of_user {
            let (arrived, free, total) = (Arc::clone(&arrived), Arc::clone(&free), Arc::clone(&total));
            readers.spawn(async move {
                // Dropping this half would not close the socket, but it belongs to the device.
                let _open = _sink;
                receive(stream, epoch, [&*arrived, &*total], others, &free).await
            });
        }
        let offset = lasting.min(Duration::from_secs(1)) * user / users;
        writers.spawn(write(sink, number, epoch, pace, offset, lasting, free));
    }
    let mut sent = 0;
    while let Some(done) = writers.join_next().await {
        sent += done??;
    }
    // What does not come is told by the numbers.
    let expected = sent * (u64::from(devices) - 1);
    let arrived = async {
        while total.load(Ordering::Relaxed) < expected {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(GRACE, arrived).await;
    let written = epoch.elapsed();
    // The readers end with the server.
    let busy = relay.processor()?.saturating_sub(used);
    relay.kill().await?;
    let mut latencies: Vec<Duration> = Vec::new();
    let all = async {
        while let Some(done) = readers.join_next().await {
            latencies.extend(done?);
        }
        anyhow::Ok(())
    };
    timeout(GRACE, all).await.context("readers that do not end")??;
    let delivered = latencies.len() as u64;
    latencies.sort_unstable();
    Ok(Flow {
        sent,
        delivered,
        sent_per_second: sent as f64 / written.as_secs_f64(),
        deliveries_per_second: delivered as f64 / written.as_secs_f64(),
        p50_ms: percentile(&latencies, 50),
        p99_ms: percentile(&latencies, 99),
        processor_us_each: busy.as_secs_f64() * 1e6 / (delivered.max(1) as f64),
    })
}

/// All clients come at the same moment, as after a restart of the server.
pub(crate) async fn storm(kind: Kind, programs: &Programs, clients: u32) -> Result<Storm> {
    let folder = tempfile::tempdir()?;
    let relay = Relay::start(kind, programs, folder.path().join("relay.db").as_os_str()).await?;
    let begun = Instant::now();
    let all = clients.try_into()?;
    let held = enter_timed(&relay.address, kind, (0..clients).map(|n| (n, n)), all).await?;
    let whole = begun.elapsed();
    let mut times: Vec<Duration> = held.iter().map(|(_, _, _, took)| *took).collect();
    times.sort_unstable();
    Ok(Storm {
        clients,
        all_in_ms: ms(whole),
        p50_ms: percentile(&times, 50),
        p99_ms: percentile(&times, 99),
    })
}

type Held = (u32, Sink, Stream);

async fn enter_all(
    address: &str,
    kind: Kind,
    who: impl Iterator<Item = (u32, u32)>,
    at_once: usize,
) -> Result<Vec<Held>> {
    let timed = enter_timed(address, kind, who, at_once).await?;
    Ok(timed.into_iter().map(|(device, sink, stream, _)| (device, sink, stream)).collect())
}

/// In the order of the devices' numbers.
async fn enter_timed(
    address: &str,
    kind: Kind,
    who: impl Iterator<Item = (u32, u32)>,
    at_once: usize,
) -> Result<Vec<(u32, Sink, Stream, Duration)>> {
    let gate = Arc::new(Semaphore::new(at_once));
    let mut entering = JoinSet::new();
    for (user, device) in who {
        let (address, gate, token) =
            (address.to_owned(), Arc::clone(&gate), client::token(&format!("user-{user}"))?);
        entering.spawn(async move {
            let _slot = gate.acquire().await?;
            let (sink, stream, took) = client::enter(&address, &token, device, kind.answers()).await?;
            anyhow::Ok((device, sink, stream, took))
        });
    }
    let mut held = Vec::new();
    while let Some(entered) = entering.join_next().await {
        held.push(entered??);
    }
    held.sort_unstable_by_key(|(device, ..)| *device);
    Ok(held)
}

async fn write(
    mut sink: Sink,
    device: u32,
    epoch: Instant,
    pace: Pace,
    offset: Duration,
    lasting: Duration,
    free: Arc<Semaphore>,
) -> Result<u64> {
    let end = Instant::now() + lasting;
    let mut number = 0_i64;
    let mut beat = None;
    if let Pace::Every(period) = pace {
        sleep(offset).await;
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat = Some(ticks);
    }
    loop {
        match &mut beat {
            Some(ticks) => {
                ticks.tick().await;
            }
            None => timeout(GRACE, free.acquire()).await.context("nothing arrives any more")??.forget(),
        }
        if Instant::now() >= end {
            return Ok(number.unsigned_abs());
        }
        client::say(&mut sink, client::push(device, number, SHAPE, epoch.elapsed())?).await?;
        number += 1;
    }
}

/// Counts until the connection ends; how long each message took.
async fn receive(
    mut stream: Stream,
    epoch: Instant,
    [arrived, total]: [&AtomicU64; 2],
    others: u64,
    free: &Semaphore,
) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let counted = client::read_until(&mut stream, |text| {
        if let Some(sent) = client::sent(text) {
            latencies.push(epoch.elapsed().saturating_sub(sent));
            total.fetch_add(1, Ordering::Relaxed);
            if (arrived.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(others) {
                free.add_permits(1);
            }
        }
        None::<()>
    });
    // It ends with the connection, which is what we wait for.
    let _ = counted.await;
    latencies
}

async fn drain(mut stream: Stream) -> Vec<Duration> {
    let _ = client::read_until(&mut stream, |_| None::<()>).await;
    Vec::new()
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(f64::NAN, |time| ms(*time))
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
