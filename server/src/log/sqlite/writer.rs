//! The one writer of the database file. Decides which appends share a transaction: whatever has queued up while the disk
//! was busy is synced at once. Never answers before that; an append that fails takes back nothing of the others.
//! Fed by `SqliteLog`.

use std::sync::{Arc, Mutex, PoisonError};

use crsqlite_sync::wire::{Change, Run};
use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::statements::Statements;
use crate::error::Error;
use crate::log::core::{Appended, Put, Record};
use crate::log::program;
use crate::user::Owner;

/// So many may wait; one more waits before it is queued.
const QUEUE: usize = 1_024;
/// Rows and records in one transaction, unless one append alone has more.
const TOGETHER: usize = 10_000;

type Answer<T> = oneshot::Sender<Result<T, Error>>;
/// Tells whoever waits: what was done, or why nothing of it is on the disk.
type Finish = Box<dyn FnOnce(Option<Arc<sqlx::Error>>) + Send>;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Work {
    /// Each of its own.
    Append(Vec<Vec<Change>>, Answer<Vec<Result<Appended, Error>>>),
    /// At this moment, in milliseconds since 1970.
    Put(Vec<Record>, i64, Answer<Put>),
}

#[derive(Debug)]
struct Job {
    owner: Owner,
    run: Run,
    work: Work,
}

/// The queue of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// `most_rows`: how many entries and records one owner may have.
    pub(super) fn start(pool: SqlitePool, most_rows: Option<u64>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let task = tokio::spawn(write(pool, jobs, most_rows, stop.clone()));
        Writer { queue, stop, task: Mutex::new(Some(task)) }
    }

    /// Queues something and waits until it is on the disk. What was queued is done even if nobody waits any more.
    pub(super) async fn ask<T>(
        &self,
        owner: &Owner,
        run: &Run,
        work: impl FnOnce(Answer<T>) -> Work,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job = Job { owner: owner.clone(), run: run.clone(), work: work(answer) };
        self.queue.send(job).await.map_err(|_| sqlx::Error::PoolClosed)?;
        answered.await.map_err(|_| sqlx::Error::PoolClosed)?
    }

    /// Writes what has been queued, and takes nothing more.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // It does not panic, and nobody else ends it.
            let _ = task.await;
        }
    }
}

async fn write(pool: SqlitePool, mut jobs: mpsc::Receiver<Job>, most: Option<u64>, stop: CancellationToken) {
    loop {
        let first = tokio::select! {
            biased;
            () = stop.cancelled(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
            first = jobs.recv() => first,
        };
        let Some(first) = first else { return };
        let mut rows = first.size();
        let mut batch = vec![first];
        while rows < TOGETHER
            && let Ok(next) = jobs.try_recv()
        {
            rows = rows.saturating_add(next.size());
            batch.push(next);
        }
        let mut finishes = Vec::with_capacity(batch.len());
        let failed = commit(&pool, batch, &mut finishes, most).await.err().map(Arc::new);
        for finish in finishes {
            finish(failed.clone());
        }
    }
}

/// Performs all of a batch in one transaction. Those that it did not come to hear that nobody answers any more.
async fn commit(
    pool: &SqlitePool,
    batch: Vec<Job>,
    finishes: &mut Vec<Finish>,
    most: Option<u64>,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    for job in batch {
        finishes.push(job.perform(&mut tx, most).await?);
    }
    tx.commit().await
}

impl Job {
    fn size(&self) -> usize {
        match &self.work {
            Work::Append(pushes, _) => pushes.iter().map(Vec::len).sum(),
            Work::Put(records, ..) => records.len(),
        }
    }

    /// Fails where the database does not even end what was begun.
    async fn perform(self, db: &mut SqliteConnection, most: Option<u64>) -> Result<Finish, sqlx::Error> {
        let Job { owner, run, work } = self;
        Ok(match work {
            Work::Append(pushes, answer) => {
                let pushes: Vec<&[Change]> = pushes.iter().map(Vec::as_slice).collect();
                settle(Ok(append(db, &owner, &run, &pushes, most).await?), answer)
            }
            Work::Put(records, now, answer) => {
                let mut part = db.begin().await?;
                let tx = &mut Statements(&mut part);
                let done = program::put_records(tx, &owner, &run, &records, now, most).await;
                settle(end(part, done).await?, answer)
            }
        })
    }
}

/// All at once, or where that fails each by itself.
async fn append(
    db: &mut SqliteConnection,
    owner: &Owner,
    run: &Run,
    pushes: &[&[Change]],
    most: Option<u64>,
) -> Result<Vec<Result<Appended, Error>>, sqlx::Error> {
    let mut part = db.begin().await?;
    let done = program::append(&mut Statements(&mut part), owner, run, pushes, most).await;
    match end(part, done).await? {
        Ok(done) => Ok(done.into_iter().map(Ok).collect()),
        Err(error) if pushes.len() < 2 => Ok(vec![Err(error)]),
        Err(_) => {
            let mut each = Vec::with_capacity(pushes.len());
            for push in pushes {
                each.extend(Box::pin(append(db, owner, run, &[push], most)).await?);
            }
            Ok(each)
        }
    }
}

/// What failed leaves nothing behind.
async fn end<T>(
    part: Transaction<'_, Sqlite>,
    done: Result<T, Error>,
) -> Result<Result<T, Error>, sqlx::Error> {
    if done.is_ok() {
        part.commit().await?
    } else {
        part.rollback().await?
    }
    Ok(done)
}

fn settle<T: Send + 'static>(done: Result<T, Error>, answer: Answer<T>) -> Finish {
    Box::new(move |failed: Option<Arc<sqlx::Error>>| {
        // Whoever asked may have left.
        let _ = answer.send(failed.map_or(done, |error| Err(Error::Commit(error))));
    })
}
