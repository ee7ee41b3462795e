//! Scripts of attempts: connecting, backoff, giving up, pauses, ends.

use super::*;

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
        waits.push((rig.now - asked).as_ms() / 1000.0);
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
    let mut rig = Rig::at(Place::Open);
    assert_eq!(rig.closed(1006), vec![Output::Lost { socket: 1 }, Output::Changed]);
    let mut rig = Rig::at(Place::Open);
    let close = Output::Close { socket: 1, code: CloseCode::NORMAL };
    assert_eq!(rig.feed(Input::Disconnect), vec![close.clone(), Output::Lost { socket: 1 }, Output::Changed]);
    assert_eq!(rig.feed(Input::Disconnect), vec![]);
    let mut rig = Rig::at(Place::Open);
    assert_eq!(
        rig.feed(Input::Reconnect),
        vec![close, Output::Lost { socket: 1 }, Output::Open { socket: 2 }, Output::Changed]
    );
}

#[test]
fn disconnecting_while_connecting_tells_who_waits() {
    let mut rig = Rig::at(Place::Connecting);
    rig.feed(Input::Disconnect);
    assert_eq!(rig.settled, vec![Err(ConnectError::Disconnected)]);
}

#[test]
fn reconnecting_while_connecting_keeps_who_waits() {
    let mut rig = Rig::at(Place::Connecting);
    rig.feed(Input::Reconnect);
    assert!(rig.settled.is_empty());
    rig.opened();
    assert_eq!(rig.settled, vec![Ok(())]);
}

#[test]
fn a_pause_that_the_server_asks_for_is_kept() {
    let mut rig = Rig::at(Place::Open);
    let text = "busy; retryAfter=60000".to_owned();
    rig.feed(Input::Closed { socket: 1, code: CloseCode::TRY_AGAIN_LATER, text });
    assert_eq!(rig.link.poll_timeout(), Some(rig.now + SECOND * 60));
    let mut rig = Rig::at(Place::Open);
    rig.feed(Input::Pause { delay: SECOND * 40 });
    rig.now += SECOND * 10;
    rig.closed(1006);
    assert_eq!(rig.link.poll_timeout(), Some(rig.now + SECOND * 30));
    let mut rig = Rig::at(Place::Open);
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
    let mut rig = Rig::at(Place::Open);
    let text = "token expired".to_owned();
    rig.feed(Input::Closed { socket: 1, code: CloseCode(4001), text: text.clone() });
    assert_eq!((rig.phase(), rig.reason()), (Phase::Connecting, "unauthenticated"));
    assert_eq!(rig.link.status().close, Some((CloseCode(4001), text)));
    rig.feed(Input::Reconnect);
    assert!(rig.link.status().close.is_some());
    rig.opened();
    assert_eq!(rig.link.status().close, None);
}
