//! The clients of a world: starts them, feeds them inputs, carries out what they want, runs their jobs. Decides when
//! a job runs and when its outcome arrives, never what is in it; a broken invariant of a replica ends the world.

use crsqlite_sync::engine::clock::Duration;

use crsqlite_sync::engine::clock::Now;
use crsqlite_sync::engine::replica::{self, Config, Input, JobId, Level, Output, RecordsConfig, Replica};
use crsqlite_sync::engine::store::{Budget, StoreError};
use crsqlite_sync::engine::txn::{self, Job, Outcome};
use crsqlite_sync::wire::{Run, record};

use crate::calls::SIGN_IN;
use crate::device::Client;
use crate::peer::SeedPeer;
use crate::world::{Event, World};

impl World {
    /// A process starts on a device that is down, or a new client takes the old one's place.
    pub(crate) fn start(&mut self, n: usize) -> Result<(), String> {
        let seed = self.rng.next_u64();
        let run = Run::from_random(self.rng.next_u64());
        let plan = self.plan.clone();
        let device = &mut self.devices[n];
        device.epoch += 1;
        device.job = None;
        device.waits.clear();
        device.run = Some(run.clone());
        if !device.is_ours {
            device.client = Client::Seed(SeedPeer::new(&device.disk));
            self.note(|| format!("d{n} starts as a seed-only peer"));
            self.dial(n);
            return Ok(());
        }
        let config = Config {
            site: device.disk.db().site(),
            tables: device.tables.clone(),
            budget: Budget { changes: plan.budget, bytes: 1 << 20 },
            poll: Duration::from_millis(plan.poll),
            seed,
            records: plan.records.map(|_| RecordsConfig {
                log: record::site_of("the server"),
                pull_every: Some(Duration::from_millis(plan.pull_every)),
            }),
        };
        device.client = Client::Ours(Box::new(Replica::new(config)));
        let tables = device.tables.clone();
        self.note(|| format!("d{n} starts with run {run:?}, tables {tables:?}"));
        self.feed(n, Input::Start { run })?;
        self.dial(n);
        if self.devices[n].resync.is_some() {
            // The call was made to whoever led, who leads no more.
            self.wait_for(n, Level::Resync)?;
        }
        Ok(())
    }

    pub(crate) fn clock(&self) -> Now {
        let ms = i64::try_from(self.now).unwrap();
        Now { at: Duration::from_millis(self.now), wall_ms: 1_700_000_000_000 + ms }
    }

    /// Gives a replica one input and carries out what it wants.
    ///
    /// # Errors
    /// The replica broke an invariant.
    pub(crate) fn feed(&mut self, n: usize, input: Input) -> Result<(), String> {
        let now = self.clock();
        let Client::Ours(replica) = &mut self.devices[n].client else { return Ok(()) };
        replica.handle(now, input);
        let mut outputs = Vec::new();
        while let Some(output) = replica.poll_output() {
            outputs.push(output);
            if outputs.len() > 10_000 {
                return Err(format!("d{n}: the outputs do not end"));
            }
        }
        let timeout = replica.poll_timeout();
        for output in outputs {
            self.carry_out(n, output)?;
        }
        self.next_id += 1;
        let timer = self.next_id;
        self.devices[n].timer = timer;
        if let Some(at) = timeout {
            let at = at.as_micros().div_ceil(1000);
            self.at(at.saturating_sub(self.now), Event::Timer { device: n, timer });
        }
        Ok(())
    }

    pub(crate) fn timer(&mut self, n: usize, timer: u64) -> Result<(), String> {
        let second = self.now / 1000;
        let device = &mut self.devices[n];
        if device.timer != timer {
            return Ok(());
        }
        let count = if device.timeouts.0 == second { device.timeouts.1 + 1 } else { 1 };
        device.timeouts = (second, count);
        if count > 300 {
            return Err(format!("d{n}: {count} timeouts within a second: a busy loop"));
        }
        self.feed(n, Input::Timeout)
    }

    pub(crate) fn carry_out(&mut self, n: usize, output: Output) -> Result<(), String> {
        match output {
            Output::Run { job, run, what } => {
                let delay = self.rng.below(self.plan.job_delay + 1);
                let device = &mut self.devices[n];
                if device.job.replace(job).is_some() {
                    return Err(format!("d{n}: two jobs are out"));
                }
                let (process, epoch) = (device.process, device.epoch);
                // The database takes transactions in the order in which they were asked for.
                let at = (self.now + delay).max(device.last_job);
                device.last_job = at;
                let delay = at - self.now;
                self.at(delay, Event::JobRun { device: n, process, epoch, job, run, what });
            }
            Output::Send { conn, text } => {
                if self.devices[n].conn == Some(conn) {
                    self.send(n, text);
                }
            }
            Output::Drop { conn, why } => {
                self.note(|| format!("d{n} drops its connection: {why:?}"));
                if self.devices[n].conn == Some(conn) {
                    self.disconnect(n);
                    self.dial(n);
                }
            }
            Output::Reconnect => {
                self.disconnect(n);
                self.dial(n);
            }
            Output::Push { .. } | Output::Pull { .. } | Output::Abort { .. } => self.call(n, output),
            Output::AuthRequired => self.sign_in(n),
            Output::Settled { wait, result } => {
                self.note(|| format!("d{n} settles wait {wait}: {result:?}"));
                if !self.devices[n].waits.remove(&wait) {
                    return Err(format!("d{n}: settles wait {wait}, which is not open"));
                }
                self.devices[n].resync.take_if(|resync| *resync == wait);
            }
            Output::Event(event) => self.hear(n, event)?,
            Output::LeadLost => {
                self.note(|| format!("d{n} has lost its lead"));
                if self.devices[n].meta().run() == self.devices[n].run.as_ref() {
                    return Err(format!("d{n} has lost its lead to nobody"));
                }
                self.disconnect(n);
                let device = &mut self.devices[n];
                device.client = Client::Down;
                device.waits.clear();
                if !self.in_former_tab {
                    // A former leader has started late, without the lock: who holds it begins anew.
                    self.at(1_000, Event::Start(n));
                }
            }
            Output::Healthy { .. } | Output::StatusChanged => {}
        }
        Ok(())
    }

    /// The client tells its app something.
    fn hear(&mut self, n: usize, event: replica::Event) -> Result<(), String> {
        self.note(|| format!("d{n} says {event:?}"));
        let replica::Event::Error(problem) = event else { return Ok(()) };
        let device = &mut self.devices[n];
        match problem.code {
            "cloned-database" => {
                device.told = true;
                if !self.devices.iter().any(|device| device.cloned) {
                    return Err(format!("d{n} takes something for a live copy: {}", problem.message));
                }
            }
            "account-changed" => {
                let epoch = device.epoch;
                let delay = self.rng.below(SIGN_IN);
                self.at(delay, Event::Accept { device: n, epoch });
            }
            // Where nothing was damaged, replicas that differ are a defect, however well they heal.
            "replicas-differed" => {
                self.differed.push((n, problem.message.clone()));
                if !self.damaged {
                    return Err(format!("d{n}: {}", problem.message));
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn run_job(&mut self, n: usize, process: u64, epoch: u64, job: JobId, run: &Run, what: &Job) {
        if self.devices[n].process != process {
            return;
        }
        if self.chaos && self.plan.job_faults && self.rng.chance(3) {
            let calls = u32::try_from(self.rng.below(8)).unwrap();
            self.devices[n].disk.fail_in = Some((calls, StoreError::Failed("a fault".into())));
        }
        let result = block_on(txn::run(&mut self.devices[n].disk, run, what));
        self.devices[n].disk.fail_in = None;
        self.note(|| format!("d{n} job {job} {}", story(what, &result)));
        let delay = self.rng.below(self.plan.job_delay + 1);
        self.at(delay, Event::JobDone { device: n, epoch, job, result });
    }

    /// The database has changed under the client.
    pub(crate) fn local_change(&mut self, n: usize, epoch: u64) -> Result<(), String> {
        if self.devices[n].epoch != epoch {
            return Ok(());
        }
        let device = &mut self.devices[n];
        if let Client::Seed(peer) = &mut device.client {
            let text = peer.wrote(&device.disk);
            if let Some(text) = text {
                self.send(n, text);
            }
            return Ok(());
        }
        self.feed(n, Input::LocalChange)
    }

    pub(crate) fn wait(&mut self, n: usize) -> Result<(), String> {
        let levels = if self.plan.storing {
            [Level::FirstSync, Level::Sent, Level::Stored, Level::Round]
        } else {
            [Level::FirstSync, Level::Sent, Level::Sent, Level::Round]
        };
        let level = *self.rng.pick(&levels);
        self.wait_for(n, level)
    }

    pub(crate) fn wait_for(&mut self, n: usize, level: Level) -> Result<(), String> {
        self.next_id += 1;
        let wait = self.next_id;
        if let Client::Ours(_) = self.devices[n].client {
            self.note(|| format!("d{n} waits ({wait}) for {level:?}"));
            self.devices[n].waits.insert(wait);
            if matches!(level, Level::Resync) {
                self.devices[n].resync = Some(wait);
            }
            return self.feed(n, Input::Wait { wait, level });
        }
        Ok(())
    }
}

/// A job and its outcome in a line.
fn story(what: &Job, result: &Result<Outcome, StoreError>) -> String {
    let mut text = format!("{what:?}");
    if let Some(end) = text.char_indices().nth(400).map(|(end, _)| end) {
        text.truncate(end);
    }
    match result {
        Err(error) => format!("{text} -> {error}"),
        Ok(outcome) => {
            let view = &outcome.view;
            let mut found = format!("{:?}", outcome.what);
            if let Some(end) = found.char_indices().nth(400).map(|(end, _)| end) {
                found.truncate(end);
            }
            format!(
                "{text} -> {found}; head {} uploaded {} pending {:?} received {:?} stored {:?}",
                view.head, view.uploaded, view.pending, view.received, view.stored
            )
        }
    }
}

/// The futures of the simulated store are always ready.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("the simulated store never waits"),
    }
}
