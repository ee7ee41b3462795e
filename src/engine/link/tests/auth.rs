//! Scripts of refused credentials: who is asked, how often, and whose answer counts.

use super::*;

const ASKED: Output = Output::AskAuth { ask: 1 };

fn refused(rig: &mut Rig) -> Vec<Output> {
    rig.opened();
    rig.closed(4001)
}

fn asks(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::AskAuth { .. })).count()
}

#[test]
fn a_refusal_asks_the_app_and_its_answer_tries_again_at_once() {
    for code in [4001, 4401] {
        let mut rig = Rig::at(Place::Open);
        let outputs = rig.closed(code);
        assert_eq!(outputs, vec![Output::Lost { socket: 1 }, Output::Changed, ASKED]);
        assert_eq!((rig.phase(), rig.reason()), (Phase::Connecting, "unauthenticated"), "not yet final");
        let outputs = rig.feed(Input::AuthAnswered { ask: 1, kept: true });
        assert_eq!(outputs, vec![Output::Open { socket: 2 }, Output::Changed]);
    }
}

#[test]
fn a_second_refusal_asks_nobody() {
    let mut rig = Rig::at(Place::Asking);
    rig.feed(Input::AuthAnswered { ask: 1, kept: true });
    assert_eq!(asks(&refused(&mut rig)), 0);
    assert_eq!((rig.place(), rig.link.poll_timeout()), (Place::NeedsAuth, None));
}

#[test]
fn attempts_between_two_refusals_prove_nothing() {
    let mut rig = Rig::at(Place::Asking);
    rig.feed(Input::AuthAnswered { ask: 1, kept: true });
    for _ in 0..5 {
        rig.closed(1006);
        rig.tick();
    }
    assert_eq!(asks(&refused(&mut rig)), 0);
}

#[test]
fn without_an_answer_it_stays_in_need() {
    let mut rig = Rig::at(Place::Asking);
    assert_eq!(rig.feed(Input::AuthAnswered { ask: 1, kept: false }), vec![Output::Changed]);
    assert_eq!((rig.place(), rig.phase()), (Place::NeedsAuth, Phase::NeedsAuth));
    assert_eq!(rig.feed(Input::AuthAnswered { ask: 1, kept: true }), vec![], "it has answered");
    assert_eq!(rig.place(), Place::NeedsAuth);
}

#[test]
fn the_app_can_be_asked_again_when_it_or_the_peer_has_done_something_for_it() {
    type Deed = fn(&mut Rig);
    let deeds: [(Deed, usize); 5] = [
        (|_| {}, 0),
        (|rig| drop(rig.feed(Input::Connect)), 1),
        (|rig| drop(rig.feed(Input::Reconnect)), 1),
        (
            |rig| {
                rig.opened();
                rig.feed(Input::Healthy { socket: rig.last });
            },
            1,
        ),
        (
            |rig| {
                rig.opened();
                rig.now += PROVEN_AFTER;
            },
            1,
        ),
    ];
    for (index, (deed, asked)) in deeds.into_iter().enumerate() {
        let mut rig = Rig::at(Place::Asking);
        rig.feed(Input::AuthAnswered { ask: 1, kept: true });
        if (1..3).contains(&index) {
            refused(&mut rig);
            assert_eq!(rig.place(), Place::NeedsAuth);
        }
        deed(&mut rig);
        assert_eq!(asks(&refused(&mut rig)), asked, "deed {index}");
    }
}

#[test]
fn a_server_that_serves_and_then_refuses_is_not_asked_about_for_ever() {
    let mut rig = Rig::new(0);
    rig.feed(Input::Connect);
    let mut asked = 0;
    for _ in 0..10 {
        rig.opened();
        rig.feed(Input::Healthy { socket: rig.last });
        asked += asks(&rig.closed(4001));
        rig.feed(Input::AuthAnswered { ask: rig.last_ask, kept: true });
    }
    assert_eq!((asked, rig.last, rig.place()), (3, 4, Place::NeedsAuth));
    rig.feed(Input::Reconnect);
    rig.opened();
    assert_eq!(asks(&rig.closed(4001)), 1, "the app has done something for it");
}

#[test]
fn the_attempt_after_an_answer_counts() {
    let mut rig = Rig::new(1);
    rig.feed(Input::Connect);
    refused(&mut rig);
    rig.feed(Input::AuthAnswered { ask: 1, kept: true });
    assert_eq!(rig.phase(), Phase::Connecting);
    rig.closed(1006);
    assert_eq!((rig.place(), rig.reason()), (Place::Failed, "gave-up"));
}

#[test]
fn what_the_app_does_while_it_is_asked_voids_its_answer() {
    for (deed, after) in [
        (Input::Disconnect, Phase::Closed),
        (Input::Reconnect, Phase::Connecting),
        (Input::Connect, Phase::Connecting),
    ] {
        let mut rig = Rig::at(Place::Asking);
        rig.feed(deed);
        assert_eq!(rig.feed(Input::AuthAnswered { ask: 1, kept: true }), vec![]);
        assert_eq!(rig.phase(), after);
    }
    let mut rig = Rig::at(Place::Asking);
    rig.feed(Input::Reconnect);
    refused(&mut rig);
    assert_eq!((rig.place(), rig.last_ask), (Place::Asking, 2));
    assert_eq!(rig.feed(Input::AuthAnswered { ask: 1, kept: true }), vec![], "that was another question");
    assert_eq!(rig.place(), Place::Asking);
}

#[test]
fn where_nobody_can_be_asked_nobody_is() {
    let mut rig = Rig::with(&Config { asks_auth: false, ..config(0) });
    rig.feed(Input::Connect);
    assert_eq!(asks(&refused(&mut rig)), 0);
    rig.feed(Input::Reconnect);
    assert_eq!(asks(&refused(&mut rig)), 0);
    assert_eq!(rig.place(), Place::NeedsAuth);
}

#[test]
fn an_answer_that_comes_while_the_page_is_left_waits_for_somebody() {
    let mut rig = Rig::at(Place::Asking);
    rig.feed(Input::PageHidden);
    rig.feed(Input::AuthAnswered { ask: 1, kept: true });
    assert_eq!(rig.place(), Place::Parked);
    rig.feed(Input::PageShown { restored: true });
    assert_eq!(rig.phase(), Phase::Connecting);
}
