//! Every state and every event: where it leads, and what nobody may forget when there is one more of either.

use super::*;

const PLACES: [Place; 11] = [
    Place::Idle,
    Place::Connecting,
    Place::Open,
    Place::Probing,
    Place::Waiting,
    Place::Offline,
    Place::Parked,
    Place::Asking,
    Place::NeedsAuth,
    Place::Failed,
    Place::Closed,
];

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    use Place::{
        Asking as Ask, Closed as Shut, Connecting as Conn, Failed as Fail, Idle, NeedsAuth as Auth,
        Offline as Offl, Open, Parked as Park, Probing as Prob, Waiting as Wait,
    };
    let s = 1; // the only socket of a new rig
    let close = |code| Input::Closed { socket: s, code: CloseCode(code), text: String::new() };
    let answer = |kept| Input::AuthAnswered { ask: 1, kept };
    #[rustfmt::skip]
    let table: [(Input, [Place; 11]); 37] = [
        //                                  Idle  Conn  Open  Prob  Wait  Offl  Park  Ask   Auth  Fail  Shut
        (Input::Connect,                   [Conn, Conn, Open, Prob, Conn, Conn, Conn, Conn, Conn, Conn, Conn]),
        (Input::Reconnect,                 [Conn, Conn, Conn, Conn, Conn, Conn, Conn, Conn, Conn, Conn, Conn]),
        (Input::Disconnect,                [Idle, Shut, Shut, Shut, Shut, Shut, Shut, Shut, Shut, Shut, Shut]),
        (Input::Drop { socket: s },        [Idle, Wait, Wait, Wait, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Opened { socket: s },      [Idle, Open, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::OpenFailed { socket: s },  [Idle, Wait, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::SocketError { socket: s }, [Idle, Wait, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (close(1006),                      [Idle, Wait, Wait, Wait, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (close(1009),                      [Idle, Wait, Wait, Wait, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (close(1013),                      [Idle, Wait, Wait, Wait, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (close(4001),                      [Idle, Ask,  Ask,  Ask,  Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (close(4401),                      [Idle, Ask,  Ask,  Ask,  Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (close(1008),                      [Idle, Fail, Fail, Fail, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        // On trial like one in doubt, but with a nearer end.
        (Input::Ending { socket: s },      [Idle, Conn, Prob, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Heard { socket: s },       [Idle, Conn, Open, Open, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        // What a signal has raised, no excuse ends.
        (Input::NoProbe { socket: s },     [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Unanswered { socket: s, sent: SECOND },
                                           [Idle, Conn, Prob, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Healthy { socket: s },     [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Pause { delay: SECOND },   [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (answer(true),                     [Idle, Conn, Open, Prob, Wait, Offl, Park, Conn, Auth, Fail, Shut]),
        (answer(false),                    [Idle, Conn, Open, Prob, Wait, Offl, Park, Auth, Auth, Fail, Shut]),
        (Input::AuthAnswered { ask: 9, kept: true },
                                           [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Online,                    [Idle, Conn, Prob, Prob, Conn, Conn, Park, Ask,  Auth, Fail, Shut]),
        (Input::Offline,                   [Idle, Conn, Prob, Prob, Offl, Offl, Park, Ask,  Auth, Fail, Shut]),
        // Not seen for no time at all.
        (Input::Shown,                     [Idle, Conn, Open, Prob, Conn, Conn, Park, Ask,  Auth, Fail, Shut]),
        (Input::Hidden,                    [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Frozen,                    [Idle, Conn, Open, Open, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Resumed,                   [Idle, Conn, Prob, Prob, Conn, Conn, Park, Ask,  Auth, Fail, Shut]),
        (Input::PageHidden,                [Idle, Park, Park, Park, Park, Park, Park, Ask,  Auth, Fail, Shut]),
        (Input::PageShown { restored: true },
                                           [Idle, Conn, Prob, Prob, Conn, Conn, Conn, Ask,  Auth, Fail, Shut]),
        (Input::PageShown { restored: false },
                                           [Idle, Conn, Open, Prob, Wait, Offl, Conn, Ask,  Auth, Fail, Shut]),
        (Input::Timeout,                   [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Opened { socket: 99 },     [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Heard { socket: 99 },      [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Ending { socket: 99 },     [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Drop { socket: 99 },       [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
        (Input::Unanswered { socket: 99, sent: SECOND },
                                           [Idle, Conn, Open, Prob, Wait, Offl, Park, Ask,  Auth, Fail, Shut]),
    ];
    for place in PLACES {
        row_of(place);
    }
    for (input, _) in &table {
        column_of(input);
    }
    for (input, expected) in table {
        for (from, to) in PLACES.into_iter().zip(expected) {
            let mut rig = Rig::at(from);
            rig.feed(input.clone());
            assert_eq!(rig.place(), to, "{from:?} × {input:?}");
        }
    }
}

/// Does not compile when there is a state that the table does not know.
fn row_of(place: Place) {
    match Rig::at(place).link.state {
        State::Idle
        | State::Connecting { .. }
        | State::Open { .. }
        | State::Waiting { .. }
        | State::Offline { .. }
        | State::Parked
        | State::NeedsAuth { .. }
        | State::Failed { .. }
        | State::Closed => {}
    }
}

/// Does not compile when there is an input that the table does not know.
fn column_of(input: &Input) {
    match input {
        Input::Connect
        | Input::Disconnect
        | Input::Reconnect
        | Input::Drop { .. }
        | Input::Opened { .. }
        | Input::OpenFailed { .. }
        | Input::SocketError { .. }
        | Input::Closed { .. }
        | Input::Ending { .. }
        | Input::Heard { .. }
        | Input::NoProbe { .. }
        | Input::Unanswered { .. }
        | Input::Healthy { .. }
        | Input::Pause { .. }
        | Input::AuthAnswered { .. }
        | Input::Online
        | Input::Offline
        | Input::Shown
        | Input::Hidden
        | Input::Frozen
        | Input::Resumed
        | Input::PageHidden
        | Input::PageShown { .. }
        | Input::Timeout => {}
    }
}

#[test]
fn a_deadline_is_kept_exactly_in_the_states_that_wait_for_something() {
    for place in PLACES {
        let waits = match place {
            Place::Connecting | Place::Open | Place::Probing | Place::Waiting | Place::Offline => true,
            Place::Idle
            | Place::Parked
            | Place::Asking
            | Place::NeedsAuth
            | Place::Failed
            | Place::Closed => false,
        };
        assert_eq!(Rig::at(place).link.poll_timeout().is_some(), waits, "{place:?}");
    }
}

#[test]
fn a_state_that_says_too_little_says_why() {
    for place in PLACES {
        let says = match place {
            Place::Waiting
            | Place::Offline
            | Place::Parked
            | Place::Asking
            | Place::NeedsAuth
            | Place::Failed => true,
            Place::Idle | Place::Connecting | Place::Open | Place::Probing | Place::Closed => false,
        };
        assert_eq!(Rig::at(place).link.status().reason.is_some(), says, "{place:?}");
    }
}
