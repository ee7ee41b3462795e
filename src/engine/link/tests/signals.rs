//! Scripts of the world around a link: network, page, sleep.

use super::*;

#[test]
fn losing_the_network_does_not_kill_a_connection_that_answers() {
    let mut rig = Rig::at(Place::Open);
    assert_eq!(rig.feed(Input::Offline), vec![rig.probe(Doubt::Signal)]);
    rig.heard();
    assert_eq!(rig.place(), Place::Open);
    rig.feed(Input::Offline);
    rig.tick();
    assert_eq!((rig.phase(), rig.reason()), (Phase::Offline, "offline"), "one that does not is given up");
}

#[test]
fn a_good_moment_ends_a_wait() {
    for signal in [Input::Online, Input::Shown, Input::Resumed, Input::PageShown { restored: true }] {
        let mut rig = Rig::at(Place::Waiting);
        assert_eq!(rig.feed(signal), vec![Output::Open { socket: 2 }, Output::Changed]);
    }
}

#[test]
fn a_sleep_ends_a_wait_that_began_before_it() {
    let mut rig = Rig::at(Place::Waiting);
    rig.ahead += MINUTE;
    assert_eq!(rig.feed(Input::Hidden), vec![Output::Open { socket: 2 }, Output::Changed]);
    rig.ahead += MINUTE;
    rig.closed(1006);
    assert_eq!(rig.phase(), Phase::Waiting, "this one has only begun");
}

#[test]
fn early_attempts_are_a_base_apart_and_a_signal_between_is_not_lost() {
    let mut rig = Rig::new(0);
    rig.feed(Input::Connect);
    rig.closed(1006);
    rig.closed(1006);
    rig.feed(Input::Shown);
    let first = rig.now;
    rig.closed(1006);
    rig.now += SECOND;
    assert_eq!(rig.feed(Input::Shown), vec![Output::Changed]);
    assert_eq!(rig.link.status().retry_at, Some(first + SECOND * 3), "brought forward as far as it may be");
    assert_eq!(rig.feed(Input::Online), vec![], "no further");
    assert_eq!(rig.tick(), vec![Output::Open { socket: 3 }, Output::Changed]);
}

#[test]
fn early_attempts_count_like_others() {
    let mut rig = Rig::new(3);
    rig.feed(Input::Connect);
    for attempts in 0..4 {
        assert_eq!(rig.phase(), Phase::Connecting, "{attempts}");
        rig.closed(1006);
        rig.now += MINUTE;
        rig.feed(Input::Shown);
    }
    assert_eq!((rig.phase(), rig.reason()), (Phase::Failed, "gave-up"));
}

#[test]
fn no_signal_breaks_a_pause_that_the_server_asked_for() {
    let mut rig = Rig::at(Place::Open);
    rig.closed_with(1013, "retryAfter=60000");
    let until = rig.now + MINUTE;
    for signal in [Input::Shown, Input::Online, Input::Resumed] {
        rig.now += SECOND;
        rig.feed(signal);
        assert_eq!((rig.phase(), rig.due()), (Phase::Waiting, until));
    }
    rig.feed(Input::PageHidden);
    rig.feed(Input::PageShown { restored: true });
    assert_eq!((rig.phase(), rig.due()), (Phase::Waiting, until));
    rig.feed(Input::Offline);
    rig.feed(Input::Online);
    assert_eq!((rig.phase(), rig.due()), (Phase::Waiting, until));
}

#[test]
fn a_page_that_was_hidden_for_long_doubts_its_connection() {
    let mut rig = Rig::at(Place::Open);
    rig.feed(Input::Hidden);
    rig.now += SECOND * 19;
    assert_eq!(rig.feed(Input::Shown), vec![]);
    rig.feed(Input::Hidden);
    rig.now += SECOND * 10;
    rig.feed(Input::Hidden);
    rig.now += SECOND * 10;
    assert_eq!(rig.feed(Input::Shown), vec![rig.probe(Doubt::Signal)]);
}

#[test]
fn a_frozen_page_judges_nobody_until_it_runs_again() {
    let mut rig = Rig::at(Place::Probing);
    rig.feed(Input::Frozen);
    assert_eq!(rig.place(), Place::Open);
    rig.now += MINUTE * 10;
    assert_eq!(rig.feed(Input::Resumed), vec![rig.probe(Doubt::Signal)]);
    assert_eq!(rig.due(), rig.now + SECOND * 10);
}

#[test]
fn a_page_that_is_left_closes_its_socket_and_waits_in_silence() {
    let mut rig = Rig::at(Place::Open);
    let close = Output::Close { socket: 1, code: CloseCode::NORMAL };
    assert_eq!(rig.feed(Input::PageHidden), vec![close, Output::Lost { socket: 1 }, Output::Changed]);
    assert_eq!((rig.phase(), rig.reason(), rig.link.poll_timeout()), (Phase::Waiting, "page-hidden", None));
    for signal in [Input::Online, Input::Offline, Input::Online, Input::Shown, Input::Frozen, Input::Resumed]
    {
        assert_eq!(rig.feed(signal), vec![]);
    }
    rig.now += MINUTE * 60;
    let again = rig.feed(Input::PageShown { restored: true });
    assert_eq!(again, vec![Output::Open { socket: 2 }, Output::Changed]);
}

#[test]
fn a_call_to_connect_survives_the_way_out_and_back() {
    let mut rig = Rig::at(Place::Connecting);
    rig.feed(Input::PageHidden);
    rig.feed(Input::PageShown { restored: true });
    assert!(rig.settled.is_empty());
    rig.opened();
    assert_eq!(rig.settled, vec![Ok(())]);
}

#[test]
fn leaving_and_entering_does_not_outrun_the_backoff() {
    let mut rig = Rig::at(Place::Waiting);
    rig.feed(Input::PageHidden);
    rig.feed(Input::PageShown { restored: true });
    assert_eq!(rig.phase(), Phase::Connecting, "once");
    rig.closed(1006);
    rig.feed(Input::PageHidden);
    assert_eq!(rig.feed(Input::PageShown { restored: true }), vec![Output::Changed]);
    assert_eq!((rig.phase(), rig.reason(), rig.due()), (Phase::Waiting, "page-hidden", rig.now + SECOND * 3));
}

#[test]
fn the_app_may_connect_while_its_page_is_left() {
    let mut rig = Rig::at(Place::Parked);
    rig.feed(Input::Connect);
    assert_eq!(rig.phase(), Phase::Connecting);
    rig.closed(1006);
    assert!(rig.link.poll_timeout().is_some(), "and somebody is there");
}

#[test]
fn coming_back_online_in_vain_is_a_wait_like_any_other() {
    let mut rig = Rig::at(Place::Offline);
    rig.feed(Input::Online);
    rig.closed(1006);
    rig.feed(Input::Offline);
    assert_eq!(rig.phase(), Phase::Offline);
    assert_eq!(rig.feed(Input::Online), vec![Output::Changed]);
    assert_eq!((rig.phase(), rig.reason(), rig.due()), (Phase::Waiting, "offline", rig.now + SECOND * 3));
}
