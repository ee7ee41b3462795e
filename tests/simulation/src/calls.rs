//! The calls of `push` and `pull` in a world: on their way to the server and back. Decides which are late, lost, refused,
//! or lost after they were done.

use crsqlite_sync::engine::clock::Duration;

use crsqlite_sync::engine::replica::{CallId, ConnId, Failure, Input, Output, Pulled};

use crate::world::{Event, Relay, World};

/// What is called.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Push { records: String },
    Pull { cursor: Option<String>, batch: usize },
}

/// How a call ends.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Pushed(String),
    Pulled(Pulled),
    Failed(Failure),
}

/// The longest that a transport waits for an answer.
const TRANSPORT_TIMEOUT: u64 = 30_000;
/// How long it takes the user to sign in.
pub(crate) const SIGN_IN: u64 = 20_000;

impl World {
    /// A client wants a call made, or given up.
    pub(crate) fn call(&mut self, n: usize, output: Output) {
        let (conn, call, what) = match output {
            Output::Push { conn, call, records } => (conn, call, Call::Push { records }),
            Output::Pull { conn, call, cursor, batch } => (conn, call, Call::Pull { cursor, batch }),
            // A late answer comes all the same: it is nobody's then.
            _ => return,
        };
        self.note(|| format!("d{n} calls ({call}) {what:?}"));
        let device = &mut self.devices[n];
        match what {
            Call::Push { .. } => device.sent += 1,
            Call::Pull { .. } => device.pulls += 1,
        }
        let epoch = device.epoch;
        if self.copies() > 0 {
            let delay = self.latency();
            return self.at(delay, Event::CallUp { device: n, epoch, conn, call, what });
        }
        self.lose(n, epoch, conn, call);
    }

    /// No answer will come. Mostly the transport notices.
    fn lose(&mut self, n: usize, device_epoch: u64, conn: ConnId, call: CallId) {
        if self.rng.chance(80) {
            let failure = Failure { message: "the network failed".into(), ..Failure::default() };
            let delay = self.rng.below(TRANSPORT_TIMEOUT);
            self.at(
                delay,
                Event::CallEnds { device: n, epoch: device_epoch, conn, call, end: End::Failed(failure) },
            );
        }
    }

    pub(crate) fn at_server(&mut self, n: usize, epoch: u64, conn: ConnId, call: CallId, what: &Call) {
        let chaos = self.chaos;
        let faulty = chaos && self.rng.chance(self.plan.call_faults);
        let mut rng = self.rng.clone();
        let Relay::Contract(server) = &mut self.relay else { return };
        let failed = |status, retry_after| {
            let message = format!("the server answers {status}");
            End::Failed(Failure { status: Some(status), retry_after, message, ..Failure::default() })
        };
        let mut news = Vec::new();
        let too_many = |records: &str| records.matches("\"prevData\"").count() > server.manners().most;
        let end = match what {
            Call::Push { records } if too_many(records) => failed(413, None),
            _ if faulty => match rng.below(8) {
                0..=2 => failed(429, Some(Duration::from_millis(rng.below(9_000)))),
                3 => failed(503, None),
                4 => failed(401, None),
                _ => failed(500, None),
            },
            Call::Push { records } => {
                let (result, new) = server.push(records, chaos, &mut rng);
                news = new;
                End::Pushed(result)
            }
            Call::Pull { cursor, batch } => End::Pulled(server.pull(cursor.as_deref(), *batch)),
        };
        let pushes = server.manners().server_push && !news.is_empty();
        self.rng = rng;
        if pushes {
            self.tell_other_devices(n, &serde_json::json!(news).to_string());
        }
        let copies = self.copies();
        if copies == 0 {
            return self.lose(n, epoch, conn, call);
        }
        for _ in 0..copies {
            let delay = self.latency();
            self.at(delay, Event::CallEnds { device: n, epoch, conn, call, end: end.clone() });
        }
    }

    fn tell_other_devices(&mut self, but: usize, changes: &str) {
        for n in 0..self.devices.len() {
            let Some(conn) = self.devices[n].conn.filter(|_| n != but) else { continue };
            for _ in 0..self.copies() {
                let delay = self.latency();
                self.at(delay, Event::ServerPush { device: n, conn, changes: changes.to_owned() });
            }
        }
    }

    pub(crate) fn call_ends(&mut self, n: usize, conn: ConnId, call: CallId, end: End) -> Result<(), String> {
        self.note(|| format!("d{n} call {call} ends: {end:?}"));
        self.feed(
            n,
            match end {
                End::Pushed(result) => Input::Pushed { conn, call, result },
                End::Pulled(page) => Input::Pulled { conn, call, page },
                End::Failed(failure) => Input::CallFailed { conn, call, failure },
            },
        )
    }

    /// The user signs in some time later, and the app syncs.
    pub(crate) fn sign_in(&mut self, n: usize) {
        let epoch = self.devices[n].epoch;
        let delay = self.rng.below(SIGN_IN);
        self.at(delay, Event::SignedIn { device: n, epoch });
    }
}
