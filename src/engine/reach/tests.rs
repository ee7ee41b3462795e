use super::*;
use crate::engine::clock::Jitter;

const NOW: Now = Now { at: Duration::from_secs(5), wall_ms: 1_700_000_000_000 };
const MINUTE: Duration = Duration::from_secs(60);

const REFUSED_ONCE: Input = push_refused(0, false);

const fn push_refused(sent_with: Credentials, repeated: bool) -> Input {
    Input::Unauthenticated { kind: Some(Kind::Push), sent_with, repeated }
}

/// A push, with the credentials of the beginning.
const SERVED: Input = Input::Served { kind: Kind::Push, sent_with: 0 };

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
    let longest = i64::try_from(Duration::MAX.as_millis()).unwrap();
    assert_eq!(retry_at(later(Some(Duration::MAX))), Some(NOW.wall_ms + longest));
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
    let again = push_refused(reach.credentials(), true);
    assert_eq!(reach.handle(NOW, again), Next::Settle);
    let later = push_refused(reach.credentials(), false);
    assert_eq!(reach.handle(NOW, later), Next::Settle);
    assert_eq!(shown(&reach), "needs-auth (unauthenticated) +");
}

#[test]
fn an_app_that_fails_to_get_credentials_is_not_asked_again_before_a_success_or_a_reconnect() {
    for proof in [SERVED, Input::Reconnect] {
        let mut reach = after(&[REFUSED_ONCE, Input::Asked { done: false }]);
        let refused = |reach: &Reach| push_refused(reach.credentials(), false);
        let input = refused(&reach);
        assert_eq!(reach.handle(NOW, input), Next::Settle);
        reach.handle(NOW, proof);
        let input = refused(&reach);
        assert_eq!(reach.handle(NOW, input), Next::Ask, "after {proof:?}");
    }
}

#[test]
fn pulls_that_are_served_heal_nothing_where_pushes_are_refused() {
    for can_ask in [true, false] {
        let mut reach = Reach::new(can_ask);
        let mut asked = 0;
        let mut credentials = 0;
        for repeated in [false, true] {
            asked += usize::from(reach.handle(NOW, push_refused(credentials, repeated)) == Next::Ask);
            if asked == 1 && !repeated {
                reach.handle(NOW, Input::Asked { done: true });
                credentials = reach.credentials();
                // With the new ones, before the push is refused with them.
                reach.handle(NOW, Input::Served { kind: Kind::Pull, sent_with: credentials });
            }
        }
        for _ in 0..20 {
            reach.handle(NOW, Input::Served { kind: Kind::Pull, sent_with: credentials });
            assert_eq!(shown(&reach), "needs-auth (unauthenticated) +");
            assert_eq!(reach.handle(NOW, push_refused(credentials, false)), Next::Settle);
        }
        assert_eq!(asked, usize::from(can_ask));
        reach.handle(NOW, Input::Served { kind: Kind::Push, sent_with: credentials });
        assert_eq!(shown(&reach), "open +", "what was refused is served");
    }
}

#[test]
fn whatever_is_served_proves_newer_credentials_and_heals_a_refused_check() {
    let mut reach = after(&[REFUSED_ONCE, Input::Asked { done: true }]);
    reach.handle(NOW, Input::Served { kind: Kind::Pull, sent_with: 1 });
    assert_eq!(shown(&reach), "open +");
    assert_eq!(reach.handle(NOW, push_refused(1, false)), Next::Ask);
    let check = Input::Unauthenticated { kind: None, sent_with: 0, repeated: false };
    assert_eq!(shown(&after(&[check, Input::Served { kind: Kind::Pull, sent_with: 0 }])), "open +");
}

#[test]
fn without_anybody_to_ask_a_refusal_is_final() {
    let mut reach = Reach::new(false);
    assert_eq!(reach.handle(NOW, REFUSED_ONCE), Next::Settle);
    reach.handle(NOW, Input::Reconnect);
    let input = push_refused(reach.credentials(), false);
    assert_eq!(reach.handle(NOW, input), Next::Settle);
}

#[test]
fn a_refusal_of_older_credentials_says_nothing_about_the_present_ones() {
    for repeated in [false, true] {
        let mut reach = after(&[Input::Reconnect, Input::Reached]);
        let next = reach.handle(NOW, push_refused(0, repeated));
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
        let kind = if dice.unit() < 0.5 { Kind::Push } else { Kind::Pull };
        let input = match dice.next_u64() % 15 {
            0 => Input::Check,
            1 => Input::Reconnect,
            2 => Input::Disconnect,
            3 => Input::Served { kind, sent_with },
            4 => Input::Reached,
            5 => check_refused(404),
            6 => check_refused(503),
            7 => refused(429),
            8 => refused(500),
            9 => Input::Lost(Loss::Network),
            10 => Input::Lost(Loss::Offline),
            11 if asking => Input::Asked { done: dice.unit() < 0.5 },
            _ => Input::Unauthenticated {
                kind: Some(kind).filter(|_| dice.unit() < 0.9),
                sent_with,
                repeated: dice.unit() < 0.3,
            },
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
