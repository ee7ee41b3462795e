//! Scripts, an exhaustive table of states and events, and random walks over a link.

use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn config(max_attempts: u32) -> Config {
    Config { base: SECOND * 3, max_attempts, connect_timeout: Some(SECOND * 10), seed: 1 }
}

/// A link with a clock, drained after each step.
struct Rig {
    link: Link,
    now: Duration,
    /// Sockets that were opened and neither closed by us nor by an event.
    alive: Vec<SocketId>,
    last: SocketId,
    asked: u32,
    settled: Vec<Result<(), ConnectError>>,
}

impl Rig {
    fn new(max_attempts: u32) -> Self {
        let link = Link::new(&config(max_attempts));
        Rig { link, now: SECOND, alive: vec![], last: 0, asked: 0, settled: vec![] }
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        let before = self.link.status();
        self.asked += u32::from(input == Input::Connect);
        if let Input::Closed { socket, .. } | Input::OpenFailed { socket } = input {
            self.alive.retain(|&alive| alive != socket);
        }
        self.link.handle(Now { at: self.now, wall_ms: 0 }, input);
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
                    self.alive.retain(|alive| alive != socket);
                }
                Output::ConnectSettled(result) => self.settled.push(result.clone()),
                Output::Lost { .. } | Output::Changed => {}
            }
        }
        if self.link.status() != before {
            assert!(outputs.contains(&Output::Changed), "a change that nobody heard of");
        }
        outputs
    }

    fn closed(&mut self, code: u16) -> Vec<Output> {
        self.feed(Input::Closed { socket: self.last, code: CloseCode(code), text: String::new() })
    }

    fn opened(&mut self) -> Vec<Output> {
        self.feed(Input::Opened { socket: self.last })
    }

    /// Waits for the next deadline.
    fn tick(&mut self) -> Vec<Output> {
        self.now = self.link.poll_timeout().unwrap();
        self.feed(Input::Timeout)
    }

    fn phase(&self) -> Phase {
        self.link.status().state
    }

    fn reason(&self) -> &'static str {
        self.link.status().reason.unwrap()
    }

    /// Brings a new link into each state.
    fn in_state(phase: Phase) -> Self {
        let mut rig = Rig::new(0);
        if phase == Phase::Idle {
            return rig;
        }
        rig.feed(Input::Connect);
        match phase {
            Phase::Idle | Phase::Connecting => {}
            Phase::Open => drop(rig.opened()),
            Phase::Waiting => drop(rig.closed(1006)),
            Phase::Offline => {
                rig.feed(Input::Offline);
                rig.closed(1006);
            }
            Phase::NeedsAuth => drop(rig.closed(4001)),
            Phase::Failed => drop(rig.closed(1008)),
            Phase::Closed => drop(rig.feed(Input::Disconnect)),
        }
        assert_eq!(rig.phase(), phase);
        rig
    }
}

const PHASES: [Phase; 8] = [
    Phase::Idle,
    Phase::Connecting,
    Phase::Open,
    Phase::Waiting,
    Phase::Offline,
    Phase::NeedsAuth,
    Phase::Failed,
    Phase::Closed,
];

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    use Phase::{Closed, Connecting, Failed, Idle, NeedsAuth, Offline, Open, Waiting};
    let s = 1; // the only socket of a new rig
    let close = |code| Input::Closed { socket: s, code: CloseCode(code), text: String::new() };
    #[rustfmt::skip]
    let table: [(Input, [Phase; 8]); 17] = [
        //                                  Idle        Connecting  Open        Waiting     Offline     NeedsAuth   Failed      Closed
        (Input::Connect,                   [Connecting, Connecting, Open,       Connecting, Connecting, Connecting, Connecting, Connecting]),
        (Input::Reconnect,                 [Connecting, Connecting, Connecting, Connecting, Connecting, Connecting, Connecting, Connecting]),
        (Input::Disconnect,                [Idle,       Closed,     Closed,     Closed,     Closed,     Closed,     Closed,     Closed]),
        (Input::Drop { socket: s },        [Idle,       Waiting,    Waiting,    Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (Input::Opened { socket: s },      [Idle,       Open,       Open,       Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (Input::OpenFailed { socket: s },  [Idle,       Waiting,    Open,       Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (Input::SocketError { socket: s }, [Idle,       Waiting,    Open,       Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (close(1006),                      [Idle,       Waiting,    Waiting,    Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (close(1013),                      [Idle,       Waiting,    Waiting,    Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (close(4001),                      [Idle,       NeedsAuth,  NeedsAuth,  Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (close(1008),                      [Idle,       Failed,     Failed,     Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (Input::Healthy { socket: s },     [Idle,       Connecting, Open,       Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (Input::Pause { delay: SECOND },   [Idle,       Connecting, Open,       Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (Input::Online,                    [Idle,       Connecting, Open,       Waiting,    Connecting, NeedsAuth,  Failed,     Closed]),
        (Input::Offline,                   [Idle,       Connecting, Open,       Offline,    Offline,    NeedsAuth,  Failed,     Closed]),
        (Input::Timeout,                   [Idle,       Connecting, Open,       Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
        (Input::Opened { socket: 99 },     [Idle,       Connecting, Open,       Waiting,    Offline,    NeedsAuth,  Failed,     Closed]),
    ];
    for (input, expected) in table {
        for (from, to) in PHASES.into_iter().zip(expected) {
            let mut rig = Rig::in_state(from);
            rig.alive.retain(|_| matches!(from, Phase::Connecting | Phase::Open));
            // `OpenFailed` of a socket that is open cannot happen; it must still change nothing.
            rig.feed(input.clone());
            assert_eq!(rig.phase(), to, "{from:?} × {input:?}");
        }
    }
}

#[test]
fn a_deadline_is_kept_exactly_in_the_states_that_wait() {
    for phase in PHASES {
        let waits = matches!(phase, Phase::Connecting | Phase::Waiting | Phase::Offline);
        assert_eq!(Rig::in_state(phase).link.poll_timeout().is_some(), waits, "{phase:?}");
    }
}

#[test]
fn connecting_opens_one_socket_for_all_who_ask() {
    let mut rig = Rig::new(10);
    assert_eq!(rig.feed(Input::Connect), vec![Output::Open { socket: 1 }, Output::Changed]);
    assert_eq!(rig.feed(Input::Connect), vec![]);
    assert_eq!(rig.opened(), vec![Output::Changed, Output::ConnectSettled(Ok(()))]);
    assert_eq!(rig.feed(Input::Connect), vec![Output::ConnectSettled(Ok(()))]);
}

#[test]
fn an_attempt_that_takes_too_long_is_ended_and_tried_again() {
    let mut rig = Rig::new(10);
    rig.feed(Input::Connect);
    let outputs = rig.tick();
    assert_eq!(rig.now, SECOND * 11);
    assert_eq!(
        outputs,
        vec![
            Output::Close { socket: 1, code: CloseCode::NORMAL },
            Output::ConnectSettled(Err(ConnectError::TimedOut)),
            Output::Changed,
        ]
    );
    assert_eq!((rig.phase(), rig.reason()), (Phase::Waiting, "connect-timeout"));
    assert_eq!(rig.tick(), vec![Output::Open { socket: 2 }, Output::Changed]);
    assert_eq!(rig.feed(Input::Opened { socket: 1 }), vec![], "the first socket is not ours any more");
}

#[test]
fn a_server_that_accepts_and_closes_is_given_up_after_the_limit() {
    let mut rig = Rig::new(4);
    rig.feed(Input::Connect);
    let mut waits = vec![];
    loop {
        rig.opened();
        rig.closed(1006);
        if rig.phase() == Phase::Failed {
            break;
        }
        let asked = rig.now;
        rig.tick();
        waits.push((rig.now - asked).as_secs_f64());
    }
    assert_eq!(rig.reason(), "gave-up");
    assert_eq!(waits.len(), 4);
    for (wait, nominal) in waits.iter().zip([3.0, 4.5, 6.75, 10.125]) {
        assert!((nominal * 0.75..=nominal * 1.25).contains(wait), "{wait} for {nominal}");
    }
    rig.feed(Input::Connect);
    assert_eq!(rig.phase(), Phase::Connecting);
    rig.closed(1006);
    assert_eq!(rig.phase(), Phase::Waiting, "it has all its attempts again");
}

#[test]
fn only_proof_of_health_brings_the_backoff_back_to_its_start() {
    type Proof = fn(&mut Rig);
    let proofs: [(Proof, bool); 3] = [
        (|rig| drop(rig.feed(Input::Healthy { socket: rig.last })), true),
        (|rig| rig.now += PROVEN_AFTER, true),
        (|rig| rig.now += PROVEN_AFTER - Duration::from_millis(1), false),
    ];
    for (proof, proven) in proofs {
        let mut rig = Rig::new(0);
        rig.feed(Input::Connect);
        for _ in 0..6 {
            rig.closed(1006);
            rig.tick();
        }
        rig.opened();
        proof(&mut rig);
        rig.closed(1006);
        let wait = rig.link.poll_timeout().unwrap() - rig.now;
        assert_eq!(wait <= SECOND * 4, proven, "{wait:?}");
    }
}

#[test]
fn a_lost_connection_is_told_before_anything_else_happens() {
    let mut rig = Rig::in_state(Phase::Open);
    assert_eq!(rig.closed(1006), vec![Output::Lost { socket: 1 }, Output::Changed]);
    let mut rig = Rig::in_state(Phase::Open);
    let close = Output::Close { socket: 1, code: CloseCode::NORMAL };
    assert_eq!(rig.feed(Input::Disconnect), vec![close.clone(), Output::Lost { socket: 1 }, Output::Changed]);
    assert_eq!(rig.feed(Input::Disconnect), vec![]);
    let mut rig = Rig::in_state(Phase::Open);
    assert_eq!(
        rig.feed(Input::Reconnect),
        vec![close, Output::Lost { socket: 1 }, Output::Open { socket: 2 }, Output::Changed]
    );
}

#[test]
fn disconnecting_while_connecting_tells_who_waits() {
    let mut rig = Rig::in_state(Phase::Connecting);
    rig.feed(Input::Disconnect);
    assert_eq!(rig.settled, vec![Err(ConnectError::Disconnected)]);
}

#[test]
fn reconnecting_while_connecting_keeps_who_waits() {
    let mut rig = Rig::in_state(Phase::Connecting);
    rig.feed(Input::Reconnect);
    assert!(rig.settled.is_empty());
    rig.opened();
    assert_eq!(rig.settled, vec![Ok(())]);
}

#[test]
fn a_pause_that_the_server_asks_for_is_kept() {
    let mut rig = Rig::in_state(Phase::Open);
    let text = "busy; retryAfter=60000".to_owned();
    rig.feed(Input::Closed { socket: 1, code: CloseCode::TRY_AGAIN_LATER, text });
    assert_eq!(rig.link.poll_timeout(), Some(rig.now + SECOND * 60));
    let mut rig = Rig::in_state(Phase::Open);
    rig.feed(Input::Pause { delay: SECOND * 40 });
    rig.now += SECOND * 10;
    rig.closed(1006);
    assert_eq!(rig.link.poll_timeout(), Some(rig.now + SECOND * 30));
    let mut rig = Rig::in_state(Phase::Open);
    rig.feed(Input::Pause { delay: SECOND * 100_000 });
    rig.closed(1006);
    assert_eq!(rig.link.poll_timeout(), Some(rig.now + LONGEST), "an absurd one is cut");
}

#[test]
fn being_offline_costs_no_attempts_and_coming_back_tries_at_once() {
    let mut rig = Rig::new(2);
    rig.feed(Input::Connect);
    rig.feed(Input::Offline);
    for _ in 0..20 {
        rig.closed(1006);
        assert_eq!(rig.phase(), Phase::Offline);
        assert_eq!(rig.tick(), vec![Output::Open { socket: rig.last }, Output::Changed]);
    }
    rig.closed(1006);
    rig.feed(Input::Online);
    assert_eq!(rig.phase(), Phase::Connecting);
}

#[test]
fn how_a_socket_was_closed_is_shown_until_the_next_one_opens() {
    let mut rig = Rig::in_state(Phase::Open);
    let text = "token expired".to_owned();
    rig.feed(Input::Closed { socket: 1, code: CloseCode(4001), text: text.clone() });
    assert_eq!((rig.phase(), rig.reason()), (Phase::NeedsAuth, "unauthenticated"));
    assert_eq!(rig.link.status().close, Some((CloseCode(4001), text)));
    rig.feed(Input::Reconnect);
    assert!(rig.link.status().close.is_some());
    rig.opened();
    assert_eq!(rig.link.status().close, None);
}

#[test]
fn no_walk_of_events_whatever_breaks_an_invariant() {
    for seed in 0..3_000 {
        let mut dice = crate::engine::clock::Jitter::new(seed);
        let mut rig = Rig::new((seed % 3) as u32 * 4);
        for step in 0..120 {
            let socket = rig.last.saturating_sub(u64::from(dice.unit() < 0.2));
            let codes = [1000, 1001, 1006, 1008, 1009, 1013, 4001, 4429, 4999];
            let code = CloseCode(codes[(dice.next_u64() % 9) as usize]);
            let is_alive = rig.alive.contains(&socket);
            let connecting = rig.phase() == Phase::Connecting;
            let input = match dice.next_u64() % 14 {
                0 => Input::Connect,
                1 if dice.unit() < 0.3 => Input::Disconnect,
                2 if dice.unit() < 0.3 => Input::Reconnect,
                3 => Input::Drop { socket },
                4 | 5 => Input::Opened { socket },
                // No socket whose number was given up, and none that was open before, can fail to open.
                6 if connecting || !is_alive => Input::OpenFailed { socket },
                7 => Input::SocketError { socket },
                8 => Input::Closed { socket, code, text: String::new() },
                9 => Input::Healthy { socket },
                10 => Input::Offline,
                11 => Input::Online,
                _ => match rig.link.poll_timeout() {
                    Some(deadline) => {
                        rig.now = rig.now.max(deadline);
                        Input::Timeout
                    }
                    None => Input::Timeout,
                },
            };
            rig.feed(input.clone());
            let context = || format!("seed {seed}, step {step}, {input:?}: {:?}", rig.link);
            assert!(rig.alive.len() <= 1, "{}", context());
            let holds = matches!(rig.phase(), Phase::Connecting | Phase::Open);
            assert_eq!(rig.alive.len(), usize::from(holds), "{}", context());
            assert!(rig.settled.len() <= rig.asked as usize, "{}", context());
            if let Some(deadline) = rig.link.poll_timeout() {
                assert!(deadline <= rig.now + LONGEST, "{}", context());
                if input == Input::Timeout {
                    assert!(deadline > rig.now, "it would spin: {}", context());
                }
            }
            rig.now += SECOND.mul_f64(dice.unit() * 4.0);
        }
        rig.feed(Input::Disconnect);
        assert!(rig.alive.is_empty() && rig.link.poll_timeout().is_none(), "seed {seed}");
        assert_eq!(rig.settled.is_empty(), rig.asked == 0, "seed {seed}: somebody waits for ever");
    }
}
