//! A link on a bench: a clock, and a check of what holds at every step. Decides nothing about a link; the scripts,
//! the table of states and events and the random walks beside it do. Run by `cargo test` only.

mod attempts;
mod auth;
mod doubts;
mod hours;
mod signals;
mod table;
mod walks;

use std::collections::BTreeSet;

use super::*;
use crate::engine::clock::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Heartbeats every 30 seconds, 10 for an answer, attempts from 3 seconds on.
fn config(max_attempts: u32) -> Config {
    Config {
        base: SECOND * 3,
        max_attempts,
        connect_timeout: Some(SECOND * 10),
        heartbeat: Some(SECOND * 30),
        heartbeat_timeout: SECOND * 10,
        asks_auth: true,
        seed: 1,
    }
}

/// A link with a clock, drained after each step.
struct Rig {
    link: Link,
    now: Duration,
    /// How far the wall clock is ahead of that.
    ahead: Duration,
    /// Sockets that were opened and neither closed by us nor by an event.
    alive: Vec<SocketId>,
    /// Of those, the ones that have opened.
    open: Vec<SocketId>,
    last: SocketId,
    last_ask: AskId,
    /// Calls to connect that are not settled.
    asked: bool,
    settled: Vec<Result<(), ConnectError>>,
    reasons: BTreeSet<&'static str>,
}

impl Rig {
    fn new(max_attempts: u32) -> Self {
        Rig::with(&config(max_attempts))
    }

    fn with(config: &Config) -> Self {
        Rig {
            link: Link::new(config),
            now: SECOND,
            ahead: Duration::ZERO,
            alive: vec![],
            open: vec![],
            last: 0,
            last_ask: 0,
            asked: false,
            settled: vec![],
            reasons: BTreeSet::new(),
        }
    }

    /// One input and everything that follows, with a check of all that must hold whatever happens.
    fn feed(&mut self, input: Input) -> Vec<Output> {
        let before = self.link.status();
        self.asked |= input == Input::Connect;
        match input {
            Input::Closed { socket, .. } | Input::OpenFailed { socket } => self.gone(socket),
            Input::Opened { socket } if self.alive.contains(&socket) => self.open.push(socket),
            _ => {}
        }
        let wall = self.now + self.ahead;
        let now = Now { at: self.now, wall_ms: i64::try_from(wall.as_millis()).unwrap() };
        self.link.handle(now, input.clone());
        let outputs: Vec<_> = std::iter::from_fn(|| self.link.poll_output()).collect();
        for output in &outputs {
            match output {
                Output::Open { socket } => {
                    assert!(self.alive.is_empty(), "a second socket beside {:?}", self.alive);
                    assert!(*socket > self.last, "a number used twice");
                    self.last = *socket;
                    self.alive.push(*socket);
                }
                Output::Close { socket, .. } => {
                    assert!(self.alive.contains(socket), "closed what was not alive");
                    self.gone(*socket);
                }
                Output::Probe { socket, .. } => {
                    assert!(self.open.contains(socket), "probed what is not open, after {input:?}");
                }
                Output::AskAuth { ask } => {
                    assert_eq!(*ask, self.last_ask + 1, "a number used twice");
                    self.last_ask = *ask;
                }
                Output::ConnectSettled(result) => {
                    assert!(std::mem::take(&mut self.asked), "settled what nobody waits for");
                    self.settled.push(result.clone());
                }
                Output::Lost { socket } => assert!(!self.open.contains(socket), "lost what is open"),
                Output::Changed => {}
            }
        }
        let status = self.link.status();
        if status != before {
            assert!(outputs.contains(&Output::Changed), "a change that nobody heard of, after {input:?}");
        }
        let times = outputs.iter().filter(|output| **output == Output::Changed).count();
        let probes = outputs.iter().filter(|output| matches!(output, Output::Probe { .. })).count();
        assert!(probes <= 1, "probed twice, after {input:?}: {outputs:?}");
        assert!(times <= 1, "told twice, after {input:?}: {outputs:?}");
        self.reasons.extend(status.reason);
        outputs
    }

    fn gone(&mut self, socket: SocketId) {
        self.alive.retain(|&alive| alive != socket);
        self.open.retain(|&open| open != socket);
    }

    fn closed(&mut self, code: u16) -> Vec<Output> {
        self.closed_with(code, "")
    }

    fn closed_with(&mut self, code: u16, text: &str) -> Vec<Output> {
        self.feed(Input::Closed { socket: self.last, code: CloseCode(code), text: text.to_owned() })
    }

    fn opened(&mut self) -> Vec<Output> {
        self.feed(Input::Opened { socket: self.last })
    }

    fn heard(&mut self) -> Vec<Output> {
        self.feed(Input::Heard { socket: self.last })
    }

    /// Waits for the next deadline.
    fn tick(&mut self) -> Vec<Output> {
        self.tick_late(Duration::ZERO)
    }

    /// The same, with a timer that is late.
    fn tick_late(&mut self, late: Duration) -> Vec<Output> {
        self.now = self.due() + late;
        self.feed(Input::Timeout)
    }

    fn due(&self) -> Duration {
        self.link.poll_timeout().unwrap()
    }

    /// Lets time pass, with every deadline kept.
    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = vec![];
        while let Some(due) = self.link.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            outputs.extend(self.feed(Input::Timeout));
        }
        self.now = end;
        outputs
    }

    fn probe(&self, doubt: Doubt) -> Output {
        Output::Probe { socket: self.last, doubt }
    }

    fn phase(&self) -> Phase {
        self.link.status().state
    }

    fn reason(&self) -> &'static str {
        self.link.status().reason.unwrap()
    }

    /// Brings a new link into each place.
    fn at(place: Place) -> Self {
        let mut rig = Rig::new(0);
        if place == Place::Idle {
            return rig;
        }
        rig.feed(Input::Connect);
        match place {
            Place::Idle | Place::Connecting => {}
            Place::Open => drop(rig.opened()),
            Place::Probing => {
                rig.opened();
                rig.feed(Input::Resumed);
            }
            Place::Waiting => drop(rig.closed(1006)),
            Place::Offline => {
                rig.feed(Input::Offline);
                rig.closed(1006);
            }
            Place::Parked => {
                rig.opened();
                rig.feed(Input::PageHidden);
            }
            Place::Asking => drop(rig.closed(4001)),
            Place::NeedsAuth => {
                rig.closed(4001);
                rig.feed(Input::AuthAnswered { ask: 1, kept: false });
            }
            Place::Failed => drop(rig.closed(1008)),
            Place::Closed => drop(rig.feed(Input::Disconnect)),
        }
        assert_eq!(rig.place(), place);
        rig
    }

    fn place(&self) -> Place {
        match self.link.status().state {
            Phase::Idle => Place::Idle,
            Phase::Connecting if matches!(self.link.state, State::NeedsAuth { .. }) => Place::Asking,
            Phase::Connecting => Place::Connecting,
            Phase::Open if self.link.poll_timeout() <= Some(self.now + SECOND * 10) => Place::Probing,
            Phase::Open => Place::Open,
            Phase::Waiting if self.link.poll_timeout().is_none() => Place::Parked,
            Phase::Waiting => Place::Waiting,
            Phase::Offline => Place::Offline,
            Phase::NeedsAuth => Place::NeedsAuth,
            Phase::Failed => Place::Failed,
            Phase::Closed => Place::Closed,
        }
    }
}

/// The states as the table tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Idle,
    Connecting,
    Open,
    /// Open, and in doubt.
    Probing,
    Waiting,
    Offline,
    Parked,
    /// In need of credentials, and the app was asked.
    Asking,
    NeedsAuth,
    Failed,
    Closed,
}
