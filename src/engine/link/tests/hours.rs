//! Hours of trouble on a virtual clock: how often a server is bothered by one that cannot use it.

use super::*;

/// Attempts in one hour in which every connection that opens is closed at once, and something happens every `beat`.
fn attempts_in_an_hour(beat: Duration, mut happens: impl FnMut(&mut Rig, u32)) -> u64 {
    let mut rig = Rig::new(0);
    rig.feed(Input::Connect);
    let end = rig.now + MINUTE * 60;
    let (mut next, mut turn) = (rig.now + beat, 0);
    while rig.now < end {
        if rig.phase() == Phase::Connecting {
            rig.opened();
            rig.closed(1006);
        }
        let due = rig.link.poll_timeout().filter(|due| *due < next);
        rig.now = due.unwrap_or(next);
        if due.is_some() {
            rig.feed(Input::Timeout);
        } else {
            happens(&mut rig, turn);
            (next, turn) = (next + beat, turn + 1);
        }
    }
    rig.last
}

fn flip(turn: u32, on: Input, off: Input) -> Input {
    if turn.is_multiple_of(2) { off } else { on }
}

#[test]
fn a_server_that_accepts_and_closes_is_not_hammered() {
    let quiet = attempts_in_an_hour(MINUTE, |_, _| {});
    assert!(quiet <= 30, "{quiet}");
    assert!(quiet >= 12, "{quiet}: it must go on trying");
}

#[test]
fn nor_by_a_page_that_flickers_a_network_that_comes_and_goes_or_a_machine_that_naps() {
    type Nuisance = fn(&mut Rig, u32);
    let nuisances: [(&str, Nuisance); 5] = [
        ("visibility", |rig, turn| drop(rig.feed(flip(turn, Input::Shown, Input::Hidden)))),
        ("network", |rig, turn| drop(rig.feed(flip(turn, Input::Online, Input::Offline)))),
        ("freezing", |rig, turn| drop(rig.feed(flip(turn, Input::Resumed, Input::Frozen)))),
        ("leaving", |rig, turn| {
            let shown = Input::PageShown { restored: true };
            rig.feed(flip(turn, shown, Input::PageHidden));
        }),
        ("sleep", |rig, turn| {
            rig.ahead += MINUTE;
            rig.feed(flip(turn, Input::Shown, Input::Hidden));
        }),
    ];
    for (name, happens) in nuisances {
        for beat in [100, 700, 1_500, 10_000] {
            let attempts = attempts_in_an_hour(Duration::from_millis(beat), happens);
            // Half a minute apart after the first few.
            assert!(attempts <= 160, "{name} every {beat} ms: {attempts}");
            assert!(attempts >= 12, "{name} every {beat} ms: {attempts}, so it starves");
        }
    }
}

#[test]
fn credentials_that_stay_wrong_are_tried_twice_and_no_more() {
    let mut rig = Rig::new(0);
    rig.feed(Input::Connect);
    let end = rig.now + MINUTE * 60;
    let mut turn = 0;
    while rig.now < end {
        if rig.phase() == Phase::Connecting {
            rig.opened();
            rig.closed(4001);
        }
        rig.feed(Input::AuthAnswered { ask: rig.last_ask, kept: true });
        rig.feed(flip(turn, Input::Online, Input::Offline));
        rig.feed(flip(turn, Input::Shown, Input::Hidden));
        rig.now += SECOND;
        turn += 1;
    }
    assert_eq!((rig.last, rig.last_ask), (2, 1));
}

#[test]
fn a_day_of_idle_health_costs_no_reconnect() {
    let mut rig = Rig::at(Place::Open);
    let mut probes = 0;
    for _ in 0..24 * 60 * 60 {
        if !rig.pass(SECOND).is_empty() {
            probes += 1;
            rig.heard();
        }
    }
    assert_eq!((rig.last, rig.place()), (1, Place::Open));
    assert!((2_700..=2_900).contains(&probes), "{probes}");
}
