//! What goes into a log: how much of it, and what one push and one answer cost as the log grows. Decides what is pushed and
//! checks that all of it is there; never where the log is kept. Called by `main`.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crsqlite_sync::wire::{Body, Cursor, Decoded, Message, Place, encode_base64};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::client::{self, Shape, Sink, Stream};
use crate::relay::{Kind, Programs, Relay};
use crate::scenarios::{GRACE, ms};

/// Pushes of one device that are under way at once.
const WINDOW: i64 = 16;
/// An answer brings what is so far behind the head.
const BEHIND: i64 = 100;
/// Changes of a push to a growing log.
const TOUCHED: i64 = 10;
/// Changes of the pushes that fill it.
const FILLING: i64 = 1_000;

/// What a log takes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Appends {
    pub(crate) pushes_per_second: f64,
    pub(crate) changes_per_second: f64,
    /// What the relay's process used for each change; a database server's own is not in it.
    pub(crate) processor_us_each: f64,
}

/// So many users, each with a device that pushes `width` changes at a time for `lasting`.
pub(crate) async fn appends(
    programs: &Programs,
    database: &OsStr,
    users: u32,
    width: i64,
    lasting: Duration,
) -> Result<Appends> {
    let relay = Relay::start(Kind::Storing, programs, database).await?;
    let mut devices = Vec::new();
    for user in 0..users {
        devices.push((user, enter(&relay, &format!("appends-{width}-{users}-{user}"), user).await?));
    }
    let (begun, used) = (Instant::now(), relay.processor()?);
    let mut writers = JoinSet::new();
    for (user, (sink, stream)) in devices {
        writers.spawn(write(sink, stream, user, width, lasting));
    }
    let mut pushes = 0;
    while let Some(done) = writers.join_next().await {
        pushes += done??;
    }
    let (took, busy) = (begun.elapsed().as_secs_f64(), relay.processor()?.saturating_sub(used));
    relay.kill().await?;
    let changes = (pushes * width) as f64;
    Ok(Appends {
        pushes_per_second: pushes as f64 / took,
        changes_per_second: changes / took,
        processor_us_each: busy.as_secs_f64() * 1e6 / changes.max(1.0),
    })
}

async fn write(
    mut sink: Sink,
    mut stream: Stream,
    device: u32,
    width: i64,
    lasting: Duration,
) -> Result<i64> {
    let shape = Shape { rows: 100 * width, width };
    let end = Instant::now() + lasting;
    let (mut sent, mut acknowledged, mut head) = (0, 0, 0);
    while sent < WINDOW {
        client::say(&mut sink, client::push(device, sent, shape, Duration::ZERO)?).await?;
        sent += 1;
    }
    while acknowledged < sent {
        head = acknowledgement(&mut stream).await?.version;
        acknowledged += 1;
        if Instant::now() < end {
            client::say(&mut sink, client::push(device, sent, shape, Duration::ZERO)?).await?;
            sent += 1;
        }
    }
    ensure!(head == sent * width, "{sent} pushes of {width} changes, and the log ends at {head}");
    Ok(sent)
}

/// What one more push and one more answer take, of a log with so many entries.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Grown {
    pub(crate) entries: i64,
    /// Medians.
    pub(crate) append_ms: f64,
    pub(crate) answer_ms: f64,
}

/// Logs of these sizes, in one database, in turns.
pub(crate) async fn growth(programs: &Programs, entries: &[i64], rounds: i64) -> Result<Vec<Grown>> {
    let folder = tempfile::tempdir()?;
    let relay = Relay::start(Kind::Storing, programs, folder.path().join("relay.db").as_os_str()).await?;
    let mut logs = Vec::new();
    for &entries in entries {
        logs.push(Growing::fill(&relay, entries).await?);
    }
    for round in 0..rounds {
        for log in &mut logs {
            log.touch(round).await?;
        }
    }
    relay.kill().await?;
    Ok(logs.into_iter().map(Growing::median).collect())
}

struct Growing {
    sink: Sink,
    stream: Stream,
    entries: i64,
    place: Place,
    appends: Vec<Duration>,
    answers: Vec<Duration>,
}

impl Growing {
    async fn fill(relay: &Relay, entries: i64) -> Result<Self> {
        let (mut sink, mut stream) = enter(relay, &format!("grown-{entries}"), 0).await?;
        let shape = Shape { rows: entries, width: FILLING };
        let mut place = None;
        for number in 0..entries / FILLING {
            client::say(&mut sink, client::push(0, number, shape, Duration::ZERO)?).await?;
            place = Some(acknowledgement(&mut stream).await?);
        }
        let place = place.filter(|place| place.version == entries).context("a log that is not full")?;
        Ok(Growing { sink, stream, entries, place, appends: Vec::new(), answers: Vec::new() })
    }

    /// Writes a few rows anew, from all over the log, and asks for the last ones.
    async fn touch(&mut self, round: i64) -> Result<()> {
        let (apart, begun) = (self.entries / TOUCHED, Instant::now());
        let keys = (0..TOUCHED).map(|n| (n * apart + round * 7_919) % self.entries);
        let text = client::rewrite(0, keys, round + 2, self.place.version)?;
        client::say(&mut self.sink, text).await?;
        let place = acknowledgement(&mut self.stream).await?;
        self.appends.push(begun.elapsed());
        ensure!(place.version == self.place.version + TOUCHED, "all of them are new");
        self.place = place;

        let (site, from) = (self.place.site_id, (self.place.version - BEHIND).max(0));
        let cursor = Cursor { run: self.place.run.clone(), version: from, head: None };
        let begun = Instant::now();
        client::say(&mut self.sink, client::request(0, vec![(encode_base64(&site.0), cursor)])).await?;
        let text = answer(&mut self.stream, "sync_response").await?;
        self.answers.push(begun.elapsed());
        let Ok(Decoded::Message(Message { body: Body::Response(answer), .. })) = Message::decode(&text)
        else {
            anyhow::bail!("no answer: {text}");
        };
        ensure!(answer.current_version == self.place.version && !answer.more, "up to the head");
        ensure!(answer.changes.len() as i64 <= BEHIND && !answer.changes.is_empty(), "what is behind it");
        Ok(())
    }

    fn median(mut self) -> Grown {
        let mut median = |times: fn(&mut Self) -> &mut Vec<Duration>| {
            let times = times(&mut self);
            times.sort_unstable();
            times.get(times.len() / 2).map_or(f64::NAN, |time| ms(*time))
        };
        let (append_ms, answer_ms) = (median(|log| &mut log.appends), median(|log| &mut log.answers));
        Grown { entries: self.entries, append_ms, answer_ms }
    }
}

async fn enter(relay: &Relay, user: &str, device: u32) -> Result<(Sink, Stream)> {
    let (sink, stream, _) = client::enter(&relay.address, &client::token(user)?, device, true).await?;
    Ok((sink, stream))
}

async fn answer(stream: &mut Stream, kind: &str) -> Result<String> {
    let reading = client::read_until(stream, |text| text.contains(kind).then(|| text.to_owned()));
    timeout(GRACE, reading).await.context("nothing is answered any more")?
}

/// Where the log put what it acknowledges.
async fn acknowledgement(stream: &mut Stream) -> Result<Place> {
    let text = answer(stream, "sync_ack").await?;
    match Message::decode(&text) {
        Ok(Decoded::Message(Message { body: Body::Ack(ack), .. })) if ack.rejected.is_empty() => {
            ack.relay.context("an acknowledgement of a relay that stores")
        }
        _ => anyhow::bail!("no acknowledgement: {text}"),
    }
}
