//! Random walks: whatever happens in whatever order, what [`Link`] promises holds; and every reason is one that the
//! public types know.

use super::*;
use crate::engine::clock::Jitter;

const CODES: [u16; 9] = [1000, 1001, 1006, 1008, 1009, 1013, 4001, 4429, 4999];

fn any_input(rig: &mut Rig, dice: &mut Jitter) -> Input {
    let socket = rig.last.saturating_sub(u64::from(dice.unit() < 0.2));
    let code = CloseCode(CODES[usize::try_from(dice.next_u64()).unwrap() % CODES.len()]);
    // What was never made or is gone cannot fail to open.
    let can_fail = rig.phase() == Phase::Connecting || !rig.alive.contains(&socket);
    match dice.next_u64() % 30 {
        0 => Input::Connect,
        1 if dice.unit() < 0.3 => Input::Disconnect,
        2 if dice.unit() < 0.3 => Input::Reconnect,
        3 => Input::Drop { socket },
        4..=7 => Input::Opened { socket },
        8 if can_fail => Input::OpenFailed { socket },
        9 => Input::SocketError { socket },
        10 | 11 => Input::Closed { socket, code, text: "retryAfter=4000".into() },
        12 => Input::Healthy { socket },
        13 => Input::Offline,
        14 => Input::Online,
        15 | 16 => Input::Heard { socket },
        17 => Input::NoProbe { socket },
        18 => Input::Unanswered { socket, sent: rig.now.saturating_sub(SECOND * 2) },
        19 => Input::Ending { socket },
        20 | 21 => {
            let ask = rig.last_ask.saturating_sub(u64::from(dice.unit() < 0.2));
            Input::AuthAnswered { ask, kept: dice.unit() < 0.7 }
        }
        22 => Input::Shown,
        23 => Input::Hidden,
        24 => Input::Frozen,
        25 => Input::Resumed,
        26 if dice.unit() < 0.3 => Input::PageHidden,
        27 => Input::PageShown { restored: dice.unit() < 0.5 },
        _ => {
            if let Some(deadline) = rig.link.poll_timeout() {
                rig.now = rig.now.max(deadline);
            }
            if dice.unit() < 0.1 {
                rig.now += MINUTE.mul_f64(dice.unit());
            }
            Input::Timeout
        }
    }
}

#[test]
fn no_walk_of_events_whatever_breaks_an_invariant() {
    let mut reasons = BTreeSet::new();
    for seed in 0..3_000 {
        let mut dice = Jitter::new(seed);
        let heartbeat = (seed % 4 != 0).then_some(SECOND * 30);
        let limit = u32::try_from(seed % 3).unwrap() * 4;
        let mut rig = Rig::with(&Config { heartbeat, seed, ..config(limit) });
        let (mut may_ask, mut since) = (true, Duration::ZERO);
        for step in 0..150 {
            let input = any_input(&mut rig, &mut dice);
            let asks = rig.last_ask;
            let stopped = rig.place() == Place::Asking
                || !matches!(rig.phase(), Phase::Connecting | Phase::Open | Phase::Waiting | Phase::Offline);
            may_ask |= input == Input::Reconnect || (input == Input::Connect && stopped);
            let was_open = rig.phase() == Phase::Open;
            let healthy = input == Input::Healthy { socket: rig.last };
            may_ask |= was_open && (healthy || rig.now - since >= PROVEN_AFTER);
            rig.feed(input.clone());
            if !was_open && rig.phase() == Phase::Open {
                since = rig.now;
            }
            let context = || format!("seed {seed}, step {step}, {input:?}: {:?}", rig.link);
            let asking = rig.place() == Place::Asking;
            let holds = !asking && matches!(rig.phase(), Phase::Connecting | Phase::Open);
            assert_eq!(rig.alive.len(), usize::from(holds), "{}", context());
            if let Some(deadline) = rig.link.poll_timeout() {
                assert!(deadline <= rig.now + LONGEST, "{}", context());
                if input == Input::Timeout {
                    assert!(deadline > rig.now, "it would spin: {}", context());
                }
            }
            if rig.last_ask > asks {
                assert!(may_ask, "asked again for nothing: {}", context());
                may_ask = false;
            }
            rig.now += SECOND.mul_f64(dice.unit() * 4.0);
            if dice.unit() < 0.05 {
                rig.ahead += MINUTE.mul_f64(dice.unit());
            }
        }
        rig.feed(Input::Disconnect);
        assert!(rig.alive.is_empty() && rig.link.poll_timeout().is_none(), "seed {seed}");
        assert!(!rig.asked, "seed {seed}: somebody waits for ever");
        reasons.append(&mut rig.reasons);
    }
    assert!(reasons.len() >= 12, "the walks do not go far: {reasons:?}");
    every_reason_is_public(&reasons);
}

/// The union `DisconnectReason` of the public types names them all.
fn every_reason_is_public(reasons: &BTreeSet<&str>) {
    let types = include_str!("../../../web/types.d.ts");
    let (_, rest) = types.split_once("export type DisconnectReason =").expect("the union");
    let (union, _) = rest.split_once(';').unwrap();
    for reason in reasons {
        assert!(union.contains(&format!("\"{reason}\"")), "{reason} is not in the types");
    }
}
