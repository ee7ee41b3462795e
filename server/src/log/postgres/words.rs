//! What servers on one database tell each other. Decides how it travels: by NOTIFY, collected, after the commit (inside a
//! transaction it would make all commits wait for each other); and where a server ended between its commit and its word,
//! the others find what is untold within a second. Never what is done about it. Owned by `PostgresLog`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Mutex as OrderedMutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

use super::statements::Untold;
use crate::error::Error;
use crate::log::Heard;
use crate::user::OwnerDigest;

const CHANNEL: &str = "crsqlite_relay";
/// Names in one notification, which has room for 8,000 bytes.
const TOGETHER: usize = 100;
/// Words that wait to be told. One more is left to the others, who look for what is untold.
const QUEUE: usize = 4_096;
/// How often what is untold is looked for; this also shows that the connection is alive.
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// After so many looks what is untold has been seen by all.
const LOOKS: u32 = 60;

/// Tells, and listens.
#[derive(Debug)]
pub(super) struct Words {
    tell: mpsc::Sender<Untold>,
    heard: OrderedMutex<mpsc::Receiver<Heard>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Words {
    /// `listening` gives the one connection that listens.
    pub(super) fn start(pool: PgPool, listening: PgPool, own: u64) -> Self {
        let (tell, to_tell) = mpsc::channel(QUEUE);
        let (hear, heard) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(tell_others(pool, to_tell, own));
        tasks.spawn(listen(listening, hear, own));
        Words { tell, heard: OrderedMutex::new(heard), tasks: Mutex::new(tasks) }
    }

    /// What was committed is told soon, and never waited for.
    pub(super) fn tell(&self, untold: Option<Untold>) {
        if let Some(untold) = untold {
            // Where the queue is full the others find it.
            let _ = self.tell.try_send(untold);
        }
    }

    pub(super) async fn hear(&self) -> Heard {
        match self.heard.lock().await.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    pub(super) async fn close(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

async fn tell_others(pool: PgPool, mut untold: mpsc::Receiver<Untold>, own: u64) {
    let mut batch = Vec::with_capacity(TOGETHER);
    while untold.recv_many(&mut batch, TOGETHER).await > 0 {
        let names: HashSet<OwnerDigest> = batch.iter().map(|untold| untold.owner).collect();
        let ids: Vec<i64> = batch.drain(..).map(|untold| untold.id).collect();
        let told = sqlx::query(
            "WITH told AS (DELETE FROM crsqlite_relay.untold WHERE id = ANY($1)) SELECT pg_notify($2, $3)",
        )
        .bind(ids)
        .bind(CHANNEL)
        .bind(payload(own, &names))
        .execute(&pool);
        if let Err(error) = told.await {
            warn!(%error, "the other servers have to find out themselves what was written");
        }
    }
}

async fn listen(pool: PgPool, hear: mpsc::Sender<Heard>, own: u64) {
    loop {
        if let Err(error) = follow(&pool, &hear, own).await {
            warn!(%error, "the other servers are not heard");
        }
        sleep(LOOK).await;
    }
}

/// Hears the others until the connection is lost.
async fn follow(pool: &PgPool, hear: &mpsc::Sender<Heard>, own: u64) -> Result<(), Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    info!("listening to the other servers");
    // Whatever was told before.
    let mut words = vec![Heard::Missed];
    let mut known = HashSet::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0;
    loop {
        for word in words.drain(..) {
            if hear.send(word).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            notification = listener.try_recv() => match notification? {
                Some(notification) => words.extend(names(own, notification.payload()).map(Heard::Written)),
                None => return Ok(()),
            },
            _ = look.tick() => {
                looks += 1;
                let found = timeout(PATIENCE, untold(&mut listener, looks % LOOKS == 0)).await;
                let found = found.map_err(|_| sqlx::Error::PoolTimedOut)??;
                let new = found.iter().filter(|(id, _)| !known.contains(id));
                words.extend(new.map(|(_, owner)| Heard::Written(*owner)));
                known = found.into_iter().map(|(id, _)| id).collect();
            }
        }
    }
}

/// What somebody has written and should have told by now.
async fn untold(listener: &mut PgListener, tidy: bool) -> Result<Vec<(i64, OwnerDigest)>, Error> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT id, name FROM crsqlite_relay.untold WHERE since < clock_timestamp() - interval '1 second'",
    )
    .fetch_all(&mut *listener)
    .await?;
    if tidy {
        sqlx::query(
            "DELETE FROM crsqlite_relay.untold WHERE since < clock_timestamp() - interval '2 minutes'",
        )
        .execute(&mut *listener)
        .await?;
    }
    let read = |(id, name): (i64, Vec<u8>)| {
        Ok((id, OwnerDigest::from_slice(&name).ok_or(Error::CorruptLog("name"))?))
    };
    rows.into_iter().map(read).collect()
}

/// The server that tells, and names of logs; in hexadecimal digits, with blanks between them.
fn payload(own: u64, names: &HashSet<OwnerDigest>) -> String {
    let mut text = format!("{own:016x}");
    for OwnerDigest(bytes) in names {
        text.push(' ');
        for byte in bytes {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// What another server tells. Whatever else somebody may have notified is passed over.
fn names(own: u64, payload: &str) -> impl Iterator<Item = OwnerDigest> {
    let (from, names) = payload.split_once(' ').unwrap_or_default();
    let names = if from == format!("{own:016x}") { "" } else { names };
    names.split(' ').filter_map(|name| {
        let (pairs, []) = name.as_bytes().as_chunks::<2>() else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
        OwnerDigest::from_slice(&pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::Owner;

    fn heard(payload: &str) -> HashSet<OwnerDigest> {
        names(1, payload).collect()
    }

    #[test]
    fn what_another_server_tells_is_heard_and_anything_else_is_passed_over() {
        let told: HashSet<OwnerDigest> = ["a", "b"].iter().map(|sub| Owner::of(sub).digest()).collect();
        let text = payload(2, &told);
        assert!(text.len() * TOGETHER / 2 < 8_000);
        assert_eq!(heard(&text), told);
        assert_eq!(heard(&payload(1, &told)).len(), 0, "its own");
        for other in ["", " ", "0", "zz", &"0".repeat(62), &"0".repeat(66), &"+0".repeat(32), "ä"] {
            assert_eq!((heard(other).len(), heard(&format!("2 {other}")).len()), (0, 0), "{other}");
        }
    }
}
