//! Scripts of silence: heartbeats, trials and their deadlines, late timers, sockets that never say that they closed.

use super::*;

const SILENCE: Doubt = Doubt::Silence;
const SIGNAL: Doubt = Doubt::Signal;

/// The socket is ended, and who waits on it is told.
fn ended(socket: SocketId) -> Vec<Output> {
    vec![Output::Close { socket, code: CloseCode::NORMAL }, Output::Lost { socket }]
}

#[test]
fn a_silent_peer_is_made_to_speak_and_a_byte_is_enough() {
    let mut rig = Rig::at(Place::Open);
    assert_eq!(rig.tick(), vec![rig.probe(SILENCE)]);
    assert_eq!(rig.now, SECOND * 31);
    rig.now += SECOND * 9;
    assert_eq!(rig.heard(), vec![]);
    assert_eq!(rig.place(), Place::Open);
    assert_eq!(rig.due(), rig.now + SECOND * 30, "from the last byte on");
}

#[test]
fn a_peer_that_stays_silent_is_given_up() {
    let mut rig = Rig::at(Place::Open);
    rig.tick();
    let outputs = rig.tick();
    assert_eq!(rig.now, SECOND * 41);
    assert_eq!(outputs[..2], ended(1));
    assert_eq!((rig.phase(), rig.reason()), (Phase::Connecting, "heartbeat-timeout"), "its first failure");
    rig.opened();
    rig.tick();
    rig.tick();
    assert_eq!((rig.phase(), rig.reason()), (Phase::Waiting, "heartbeat-timeout"), "and no first any more");
}

#[test]
fn a_peer_that_never_said_a_byte_has_proved_nothing_by_being_open() {
    let mut rig = Rig::new(3);
    rig.feed(Input::Connect);
    let mut sockets = 0;
    while rig.phase() != Phase::Failed {
        sockets += 1;
        assert!(sockets < 10, "for ever");
        rig.opened();
        rig.tick();
        rig.tick();
        if rig.phase() == Phase::Waiting {
            rig.tick();
        }
    }
    assert_eq!((sockets, rig.reason()), (4, "gave-up"));
}

#[test]
fn a_peer_that_spoke_for_a_while_and_died_is_replaced_at_once() {
    let mut rig = Rig::new(0);
    rig.feed(Input::Connect);
    for _ in 0..6 {
        rig.closed(1006);
        rig.tick();
    }
    rig.opened();
    rig.now += PROVEN_AFTER;
    rig.heard();
    rig.pass(SECOND * 39);
    assert_eq!(rig.place(), Place::Probing);
    rig.pass(SECOND);
    assert_eq!((rig.phase(), rig.reason()), (Phase::Connecting, "heartbeat-timeout"));
}

#[test]
fn bytes_move_no_deadline_but_count_when_it_comes() {
    let mut rig = Rig::at(Place::Open);
    let due = rig.due();
    for _ in 0..29 {
        rig.now += SECOND;
        rig.heard();
        assert_eq!(rig.due(), due, "a timer for every byte");
    }
    assert_eq!(rig.tick(), vec![]);
    assert_eq!(rig.due(), due + SECOND * 29);
    assert_eq!(rig.tick(), vec![rig.probe(SILENCE)]);
}

#[test]
fn nobody_is_judged_who_need_not_answer() {
    let mut rig = Rig::at(Place::Open);
    for _ in 0..50 {
        assert_eq!(rig.tick(), vec![rig.probe(SILENCE)]);
        assert_eq!(rig.feed(Input::NoProbe { socket: 1 }), vec![]);
        assert_eq!(rig.place(), Place::Open);
        assert_eq!(rig.due(), rig.now + SECOND * 30);
    }
}

#[test]
fn after_a_signal_silence_counts_whoever_was_asked() {
    let mut rig = Rig::at(Place::Open);
    assert_eq!(rig.feed(Input::Resumed), vec![rig.probe(SIGNAL)]);
    rig.feed(Input::NoProbe { socket: 1 });
    assert_eq!(rig.due(), rig.now + SECOND * 10);
    assert_eq!(rig.tick()[..2], ended(1));
}

#[test]
fn without_heartbeats_only_signals_raise_doubt() {
    let mut rig = Rig::with(&Config { heartbeat: None, ..config(0) });
    rig.feed(Input::Connect);
    rig.opened();
    assert_eq!(rig.link.poll_timeout(), None);
    assert_eq!(rig.feed(Input::Online), vec![rig.probe(SIGNAL)]);
    rig.heard();
    assert_eq!(rig.link.poll_timeout(), None);
}

#[test]
fn a_hidden_page_waits_four_times_as_long() {
    let mut rig = Rig::at(Place::Open);
    rig.now += SECOND * 20;
    rig.feed(Input::Hidden);
    assert_eq!(rig.tick(), vec![], "at the old deadline nothing happens");
    assert_eq!(rig.due(), SECOND * 121);
    rig.now += SECOND * 5;
    assert_eq!(rig.feed(Input::Shown), vec![rig.probe(SILENCE)], "seen again, it has been silent for long");
    let mut rig = Rig::at(Place::Open);
    rig.feed(Input::Hidden);
    rig.tick();
    assert_eq!(rig.tick(), vec![rig.probe(SILENCE)]);
    assert_eq!(rig.due(), rig.now + SECOND * 10);
}

#[test]
fn a_late_timer_gives_what_waits_behind_it_the_same_time_again() {
    let mut rig = Rig::at(Place::Open);
    rig.tick();
    assert_eq!(rig.tick_late(SECOND * 15), vec![], "the answer may be the next event");
    assert_eq!(rig.due(), rig.now + SECOND * 10);
    rig.heard();
    assert_eq!(rig.place(), Place::Open);
    rig.pass(SECOND * 30);
    assert_eq!(rig.place(), Place::Probing);
    assert_eq!(rig.tick_late(SECOND * 15), vec![]);
    assert_eq!(
        rig.tick_late(SECOND * 15)[..2],
        ended(1),
        "but only once, or a throttled page would wait for ever"
    );
}

#[test]
fn a_timer_that_is_hardly_late_is_no_excuse() {
    let mut rig = Rig::at(Place::Open);
    rig.tick();
    assert_eq!(rig.tick_late(Duration::from_millis(500))[..2], ended(1));
}

#[test]
fn a_timer_that_comes_after_a_sleep_asks_anew() {
    for place in [Place::Open, Place::Probing] {
        let mut rig = Rig::at(place);
        for _ in 0..5 {
            assert_eq!(rig.tick_late(MINUTE * 60), vec![rig.probe(SIGNAL)]);
            assert_eq!(rig.due(), rig.now + SECOND * 10);
        }
        assert_eq!(rig.tick()[..2], ended(1));
    }
}

#[test]
fn throttled_timers_of_a_hidden_page_are_no_sleep() {
    let mut rig = Rig::at(Place::Open);
    rig.feed(Input::Hidden);
    rig.tick();
    assert_eq!(rig.tick_late(SECOND * 59), vec![rig.probe(SILENCE)]);
    assert_eq!(rig.tick_late(SECOND * 50), vec![]);
    assert_eq!(rig.tick_late(SECOND * 50)[..2], ended(1));
}

#[test]
fn a_wall_clock_that_ran_ahead_raises_doubt_with_the_next_input_whatever_it_is() {
    let mut rig = Rig::at(Place::Open);
    rig.now += SECOND;
    rig.ahead += MINUTE;
    assert_eq!(rig.heard(), vec![rig.probe(SIGNAL)], "it may have come before the sleep");
    rig.ahead += MINUTE;
    assert_eq!(rig.tick(), vec![rig.probe(SIGNAL)], "its time is not over");
    assert_eq!(rig.due(), rig.now + SECOND * 10);
    rig.ahead += SECOND * 19;
    assert_eq!(rig.heard(), vec![], "a clock that was put right");
    rig.ahead = rig.ahead - SECOND * 70;
    assert_eq!(rig.heard(), vec![]);
    rig.ahead += MINUTE;
    assert!(!rig.closed(1006).iter().any(|output| matches!(output, Output::Probe { .. })));
}

#[test]
fn a_sleep_that_a_signal_tells_of_is_doubted_once() {
    let mut rig = Rig::at(Place::Open);
    rig.now += SECOND;
    rig.ahead += MINUTE;
    assert_eq!(rig.feed(Input::Resumed), vec![rig.probe(SIGNAL)]);
    assert_eq!(rig.due(), rig.now + SECOND * 10);
}

#[test]
fn a_socket_that_opens_after_a_sleep_is_not_doubted_for_it() {
    let mut rig = Rig::at(Place::Connecting);
    rig.ahead += MINUTE;
    assert_eq!(rig.opened(), vec![Output::Changed, Output::ConnectSettled(Ok(()))]);
}

#[test]
fn signals_that_follow_each_other_do_not_keep_a_dead_socket() {
    let mut rig = Rig::at(Place::Open);
    rig.feed(Input::Online);
    for second in 0..10 {
        assert_eq!(rig.place(), Place::Probing, "{second}");
        let signal = if second % 2 == 0 { Input::Offline } else { Input::Online };
        assert_eq!(rig.feed(signal), vec![]);
        rig.now += SECOND;
    }
    assert_eq!(rig.feed(Input::Timeout)[..2], ended(1));
}

#[test]
fn a_request_without_an_answer_raises_doubt_if_nothing_else_came() {
    let mut rig = Rig::at(Place::Open);
    rig.now += SECOND * 5;
    let sent = rig.now;
    rig.now += SECOND;
    rig.heard();
    rig.now += SECOND * 20;
    assert_eq!(rig.feed(Input::Unanswered { socket: 1, sent }), vec![], "it has spoken since");
    let sent = rig.now;
    rig.now += SECOND;
    assert_eq!(rig.feed(Input::Unanswered { socket: 1, sent }), vec![rig.probe(SIGNAL)]);
}

#[test]
fn a_socket_that_knows_its_end_but_does_not_tell_is_given_up() {
    let mut rig = Rig::at(Place::Open);
    assert_eq!(rig.feed(Input::Ending { socket: 1 }), vec![]);
    let due = rig.due();
    assert_eq!(due, rig.now + SECOND * 2);
    rig.now += SECOND;
    rig.feed(Input::Ending { socket: 1 });
    rig.heard();
    rig.feed(Input::Online);
    assert_eq!(rig.due(), due, "nothing moves it");
    assert_eq!(rig.tick()[..2], ended(1));
    assert_eq!((rig.phase(), rig.reason()), (Phase::Connecting, "connection-lost"));
}

#[test]
fn a_socket_that_ends_slowly_may_still_say_how() {
    let mut rig = Rig::at(Place::Open);
    rig.feed(Input::Ending { socket: 1 });
    assert_eq!(rig.tick_late(SECOND * 5), vec![], "its last word may wait behind the timer");
    rig.closed(4001);
    assert_eq!(rig.place(), Place::Asking);
}
