use super::*;
use crate::engine::clock::Jitter;

const NOW: Now = Now { at: Duration::from_secs(5), wall_ms: 1_700_000_000_000 };
const MINUTE: Duration = Duration::from_secs(60);

const REFUSED_ONCE: Input = Input::Unauthenticated { sent_with: 0, repeated: false };

/// With the credentials of the beginning.
const SERVED: Input = Input::Served { sent_with: 0 };

fn refused(status: u16) -> Input {
    Input::Refused { status, retry_after: None }
}

fn check_refused(status: u16) -> Input {
    Input::CheckRefused { status, retry_after: None }
}

fn after(inputs: &[Input]) -> Reach {
    let mut reach = Reach::new(true);
    for input in inputs {
        reach.handle(NOW, *input);
    }
    reach
}

/// Such as `waiting (network) -`: the state, its reason, and `+` where the server counts as reachable.
fn shown(reach: &Reach) -> String {
    let Status { state, reason, .. } = reach.status();
    let sign = if reach.is_reachable() { '+' } else { '-' };
    match reason {
        Some(reason) => format!("{} ({reason}) {sign}", state.as_str()),
        None => format!("{} {sign}", state.as_str()),
    }
}

/// How to get into each state.
fn starts() -> [(&'static str, Vec<Input>); 8] {
    [
        ("idle", vec![]),
        ("connecting", vec![Input::Check]),
        ("open", vec![SERVED]),
        ("waiting, gone", vec![refused(500)]),
        ("waiting, there", vec![refused(429)]),
        ("offline", vec![Input::Lost(Loss::Offline)]),
        ("needs-auth", vec![REFUSED_ONCE]),
        ("closed", vec![Input::Disconnect]),
    ]
}

#[test]
fn every_input_in_every_state_leads_where_the_table_says() {
    const OPEN: &str = "open +";
    const CONNECTING: &str = "connecting -";
    const KEPT: &str = "needs-auth (unauthenticated) +";
    const KEPT_GONE: &str = "needs-auth (unauthenticated) -";
    const BUSY: &str = "waiting (too-many-requests) +";
    const LATER: &str = "waiting (try-again-later) -";
    const ERROR: &str = "waiting (server-error) -";
    const LOST: &str = "waiting (network) -";
    const LATE: &str = "waiting (request-timeout) -";
    const OFFLINE: &str = "offline (offline) -";
    const CLOSED: &str = "closed -";
    const PING: &str = "waiting (refused) -";
    const PING_THERE: &str = "waiting (refused) +";
    let table: [(Input, [&str; 8]); 15] = [
        // from:               idle, connecting, open, waiting (gone), waiting (there), offline, needs-auth, closed
        (Input::Check, [CONNECTING, CONNECTING, OPEN, CONNECTING, BUSY, CONNECTING, KEPT, CONNECTING]),
        (
            Input::Reconnect,
            [CONNECTING, CONNECTING, OPEN, CONNECTING, BUSY, CONNECTING, CONNECTING, CONNECTING],
        ),
        (Input::Disconnect, [CLOSED; 8]),
        (SERVED, [OPEN; 8]),
        (Input::Reached, [OPEN, OPEN, OPEN, OPEN, OPEN, OPEN, KEPT, OPEN]),
        (check_refused(404), [PING, PING, PING_THERE, PING, PING_THERE, PING, KEPT, PING]),
        (check_refused(500), [ERROR, ERROR, ERROR, ERROR, ERROR, ERROR, KEPT, ERROR]),
        (refused(400), [OPEN, OPEN, OPEN, OPEN, OPEN, OPEN, KEPT, OPEN]),
        (refused(413), [OPEN, OPEN, OPEN, OPEN, OPEN, OPEN, KEPT, OPEN]),
        (refused(429), [BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, KEPT, BUSY]),
        (refused(503), [LATER, LATER, LATER, LATER, LATER, LATER, KEPT, LATER]),
        (Input::Lost(Loss::Network), [LOST, LOST, LOST, LOST, LOST, LOST, KEPT_GONE, LOST]),
        (Input::Lost(Loss::TimedOut), [LATE, LATE, LATE, LATE, LATE, LATE, KEPT_GONE, LATE]),
        (
            Input::Lost(Loss::Offline),
            [OFFLINE, OFFLINE, OFFLINE, OFFLINE, OFFLINE, OFFLINE, KEPT_GONE, OFFLINE],
        ),
        (REFUSED_ONCE, [KEPT; 8]),
    ];
    for (input, expected) in table {
        for ((name, start), expected) in starts().into_iter().zip(expected) {
            let mut reach = after(&start);
            reach.handle(NOW, input);
            assert_eq!(shown(&reach), expected, "{input:?} from {name}");
        }
    }
}

#[test]
fn the_server_says_when_it_wants_to_be_asked_again() {
    let later = |retry_after| Input::Refused { status: 503, retry_after };
    let retry_at = |input| after(&[input]).status().retry_at_wall_ms;
    assert_eq!(retry_at(later(Some(MINUTE))), Some(NOW.wall_ms + 60_000));
    assert_eq!(retry_at(later(None)), None);
    assert_eq!(retry_at(later(Some(Duration::MAX))), Some(i64::MAX));
    let check = Input::CheckRefused { status: 503, retry_after: Some(MINUTE) };
    assert_eq!(retry_at(check), Some(NOW.wall_ms + 60_000));
}

#[test]
fn the_app_is_asked_once_however_many_requests_are_refused() {
    let mut reach = after(&[]);
    assert_eq!(reach.handle(NOW, REFUSED_ONCE), Next::Ask);
    assert_eq!(reach.handle(NOW, REFUSED_ONCE), Next::Wait);
    reach.handle(NOW, Input::Asked { done: true });
    assert_eq!(reach.handle(NOW, REFUSED_ONCE), Next::Repeat, "it was sent with the old credentials");
    let again = Input::Unauthenticated { sent_with: reach.credentials(), repeated: true };
    assert_eq!(reach.handle(NOW, again), Next::Settle);
    let later = Input::Unauthenticated { sent_with: reach.credentials(), repeated: false };
    assert_eq!(reach.handle(NOW, later), Next::Settle);
    assert_eq!(shown(&reach), "needs-auth (unauthenticated) +");
}

#[test]
fn an_app_that_fails_to_get_credentials_is_not_asked_again_before_a_success_or_a_reconnect() {
    for proof in [SERVED, Input::Reconnect] {
        let mut reach = after(&[REFUSED_ONCE, Input::Asked { done: false }]);
        let refused =
            |reach: &Reach| Input::Unauthenticated { sent_with: reach.credentials(), repeated: false };
        let input = refused(&reach);
        assert_eq!(reach.handle(NOW, input), Next::Settle);
        reach.handle(Now { at: NOW.at + ASKED_AGAIN_AFTER, ..NOW }, proof);
        let input = refused(&reach);
        assert_eq!(reach.handle(NOW, input), Next::Ask, "after {proof:?}");
    }
}

#[test]
fn a_success_with_credentials_that_are_refused_elsewhere_asks_nobody_but_once_a_minute() {
    let mut reach = after(&[REFUSED_ONCE, Input::Asked { done: true }]);
    let again = Input::Unauthenticated { sent_with: 1, repeated: true };
    let later = Input::Unauthenticated { sent_with: 1, repeated: false };
    let served = Input::Served { sent_with: 1 };
    // A pull is served before the push has come back, and again and again after it.
    assert_eq!(reach.handle(NOW, served), Next::Settle);
    assert_eq!(reach.handle(NOW, again), Next::Settle);
    for _ in 0..20 {
        reach.handle(NOW, served);
        assert_eq!(shown(&reach), "open +", "what is shown heals");
        assert_eq!(reach.handle(NOW, later), Next::Settle);
    }
    let much_later = Now { at: NOW.at + ASKED_AGAIN_AFTER, ..NOW };
    reach.handle(much_later, served);
    assert_eq!(reach.handle(much_later, later), Next::Ask);
    reach.handle(much_later, Input::Asked { done: true });
    reach.handle(much_later, served);
    assert_eq!(
        reach.handle(much_later, Input::Unauthenticated { sent_with: 2, repeated: false }),
        Next::Settle
    );
}

#[test]
fn a_success_with_newer_credentials_than_the_refused_ones_lets_the_app_be_asked_at_once() {
    let mut reach = after(&[REFUSED_ONCE, Input::Asked { done: true }, Input::Served { sent_with: 1 }]);
    assert_eq!(reach.handle(NOW, Input::Unauthenticated { sent_with: 1, repeated: false }), Next::Ask);
}

#[test]
fn without_anybody_to_ask_a_refusal_is_final() {
    let mut reach = Reach::new(false);
    assert_eq!(reach.handle(NOW, REFUSED_ONCE), Next::Settle);
    reach.handle(NOW, Input::Reconnect);
    let input = Input::Unauthenticated { sent_with: reach.credentials(), repeated: false };
    assert_eq!(reach.handle(NOW, input), Next::Settle);
}

#[test]
fn a_refusal_of_older_credentials_says_nothing_about_the_present_ones() {
    for repeated in [false, true] {
        let mut reach = after(&[Input::Reconnect, Input::Reached]);
        let next = reach.handle(NOW, Input::Unauthenticated { sent_with: 0, repeated });
        assert_eq!(next, if repeated { Next::Settle } else { Next::Repeat });
        assert_eq!(shown(&reach), "open +");
    }
}

#[test]
fn a_walk_of_any_length_keeps_the_invariants() {
    const SEED: u64 = 11;
    let mut dice = Jitter::new(SEED);
    let mut reach = Reach::new(true);
    let (mut asking, mut asked_since_proof) = (false, 0);
    for step in 0..200_000 {
        let sent_with = reach.credentials().saturating_sub(u32::from(dice.unit() < 0.2));
        let input = match dice.next_u64() % 15 {
            0 => Input::Check,
            1 => Input::Reconnect,
            2 => Input::Disconnect,
            3 => Input::Served { sent_with },
            4 => Input::Reached,
            5 => check_refused(404),
            6 => check_refused(503),
            7 => refused(429),
            8 => refused(500),
            9 => Input::Lost(Loss::Network),
            10 => Input::Lost(Loss::Offline),
            11 if asking => Input::Asked { done: dice.unit() < 0.5 },
            _ => Input::Unauthenticated { sent_with, repeated: dice.unit() < 0.3 },
        };
        let before = reach.status();
        let next = reach.handle(NOW, input);
        let at = format!("seed {SEED}, step {step}: {input:?} in {before:?}");
        match input {
            Input::Served { .. } | Input::Reconnect => asked_since_proof = 0,
            Input::Asked { .. } => asking = false,
            _ => {}
        }
        match next {
            Next::Ask => {
                asked_since_proof += 1;
                assert!(!asking, "asked while it is being asked; {at}");
                assert_eq!(asked_since_proof, 1, "asked twice; {at}");
                asking = true;
            }
            Next::Wait => assert!(asking, "waits for nobody; {at}"),
            Next::Repeat => assert!(
                matches!(input, Input::Unauthenticated { repeated: false, .. }),
                "sent a third time; {at}"
            ),
            Next::Settle => {}
        }
        let leaves = matches!(input, Input::Served { .. } | Input::Reconnect | Input::Disconnect);
        if before.state == Phase::NeedsAuth && !leaves {
            assert_eq!(reach.status().state, Phase::NeedsAuth, "{at}");
        }
        let status = reach.status();
        assert!(status.state != Phase::Failed, "nothing over HTTP is final; {at}");
        let gone = matches!(status.state, Phase::Idle | Phase::Connecting | Phase::Offline | Phase::Closed);
        assert!(!(gone && reach.is_reachable()), "{at}");
    }
}
