//! The requests of the push-pull protocol that wait for an answer. Decides whose an answer is, whether it is of the
//! right type, and what has timed out. Never holds a promise: numbers stand for them. Called by `web::ws`.

use super::clock::{Duration, Now};

/// What was asked, and so which answer fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Push,
    Pull,
}

impl Kind {
    /// The frame's `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Push => "push",
            Kind::Pull => "pull",
        }
    }
}

/// A request's number: 1, 2, …, never used twice.
pub type RequestNo = u64;

/// Whose an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It settles this request.
    Settles(RequestNo),
    /// It names this request, which asked for something else; the request is over.
    WrongType(RequestNo),
    /// Nobody waits for it (any more).
    NotOurs,
}

/// A request that had its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    pub number: RequestNo,
    pub id: String,
    pub sent: Duration,
}

/// How the `requestId` of a probe begins. Whatever answers one is a sign of life and nothing else.
const PROBE: &str = "probe_";

/// The answer names a probe.
#[must_use]
pub fn is_probe(id: &str) -> bool {
    id.starts_with(PROBE)
}

#[derive(Debug)]
struct Pending {
    number: RequestNo,
    id: String,
    kind: Kind,
    sent: Duration,
    deadline: Option<Duration>,
}

/// The requests that wait; few at a time.
#[derive(Debug, Default)]
pub struct Requests {
    last: RequestNo,
    last_probe: RequestNo,
    pending: Vec<Pending>,
}

impl Requests {
    /// Books a request; the text is its `requestId`.
    pub fn begin(&mut self, now: Now, kind: Kind, timeout: Option<Duration>) -> (RequestNo, String) {
        self.last += 1;
        let number = self.last;
        let id = format!("req_{number}_{}", now.wall_ms);
        let deadline = timeout.map(|timeout| now.at + timeout);
        self.pending.push(Pending { number, id: id.clone(), kind, sent: now.at, deadline });
        (number, id)
    }

    /// The `requestId` of a new probe. Nobody waits for its answer, so nothing is booked.
    pub fn probe(&mut self, now: Now) -> String {
        self.last_probe += 1;
        format!("{PROBE}{}_{}", self.last_probe, now.wall_ms)
    }

    /// An answer has come: `push_result` (a push), `pull_result` (a pull), or `error`, which fits both.
    pub fn answered(&mut self, id: &str, kind: Option<Kind>) -> Match {
        let Some(index) = self.pending.iter().position(|pending| pending.id == id) else {
            return Match::NotOurs;
        };
        let asked = self.pending.remove(index);
        if kind.is_none_or(|kind| kind == asked.kind) {
            Match::Settles(asked.number)
        } else {
            Match::WrongType(asked.number)
        }
    }

    /// Nobody wants the answer any more. `false` when it was settled before.
    pub fn cancel(&mut self, number: RequestNo) -> bool {
        let before = self.pending.len();
        self.pending.retain(|pending| pending.number != number);
        self.pending.len() < before
    }

    /// What has timed out by now.
    pub fn expired(&mut self, now: Now) -> Vec<Expired> {
        let due = |pending: &mut Pending| pending.deadline.is_some_and(|deadline| deadline <= now.at);
        let expired = |gone: Pending| Expired { number: gone.number, id: gone.id, sent: gone.sent };
        self.pending.extract_if(.., due).map(expired).collect()
    }

    /// The connection is gone, and every request with it.
    pub fn lost(&mut self) -> Vec<RequestNo> {
        self.pending.drain(..).map(|gone| gone.number).collect()
    }

    /// When to ask [`Requests::expired`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.pending.iter().filter_map(|pending| pending.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Now {
        Now { at: SECOND * u32::try_from(seconds).unwrap(), wall_ms: 1_701_388_800_000 }
    }

    #[test]
    fn ids_count_from_one_and_carry_the_wall_clock() {
        let mut requests = Requests::default();
        assert_eq!(requests.begin(at(0), Kind::Push, None), (1, "req_1_1701388800000".into()));
        assert_eq!(requests.begin(at(0), Kind::Pull, None), (2, "req_2_1701388800000".into()));
    }

    #[test]
    fn probes_count_by_themselves_and_are_told_from_requests() {
        let mut requests = Requests::default();
        let probe = requests.probe(at(0));
        assert_eq!(probe, "probe_1_1701388800000");
        let (_, id) = requests.begin(at(0), Kind::Push, None);
        assert_eq!(id, "req_1_1701388800000");
        assert!(is_probe(&probe) && !is_probe(&id));
        assert_eq!(requests.answered(&probe, Some(Kind::Pull)), Match::NotOurs);
    }

    #[test]
    fn no_walk_settles_a_request_twice_or_never() {
        for seed in 0..500 {
            let mut dice = crate::engine::clock::Jitter::new(seed);
            let mut requests = Requests::default();
            let (mut waiting, mut clock) = (Vec::<(RequestNo, String)>::new(), 0);
            for step in 0..200 {
                let context = format!("seed {seed}, step {step}");
                let index = usize::try_from(dice.next_u64()).unwrap() % waiting.len().max(1);
                let settled: Vec<RequestNo> = match dice.next_u64() % 8 {
                    0..=2 => {
                        let timeout = (dice.unit() < 0.8).then(|| SECOND.mul_f64(dice.unit() * 30.0));
                        waiting.push(requests.begin(at(clock), Kind::Pull, timeout));
                        vec![]
                    }
                    3 | 4 => match waiting.get(index) {
                        Some((_, id)) => {
                            let kind = if dice.unit() < 0.5 { Kind::Pull } else { Kind::Push };
                            match requests.answered(&id.clone(), Some(kind)) {
                                Match::Settles(number) | Match::WrongType(number) => vec![number],
                                Match::NotOurs => panic!("{context}: it waited"),
                            }
                        }
                        None => vec![],
                    },
                    5 => match waiting.get(index) {
                        Some(&(number, _)) => {
                            assert!(requests.cancel(number), "{context}");
                            vec![number]
                        }
                        None => vec![],
                    },
                    6 if dice.unit() < 0.2 => {
                        let lost = requests.lost();
                        assert_eq!(lost.len(), waiting.len(), "{context}");
                        lost
                    }
                    _ => {
                        clock += dice.next_u64() % 12;
                        let expired = requests.expired(at(clock));
                        assert!(requests.poll_timeout().is_none_or(|due| due > at(clock).at), "{context}");
                        expired.into_iter().map(|expired| expired.number).collect()
                    }
                };
                for number in settled {
                    let index = waiting.iter().position(|(other, _)| *other == number);
                    let (number, id) = waiting.remove(index.unwrap_or_else(|| panic!("{context}: twice")));
                    assert_eq!(requests.answered(&id, None), Match::NotOurs, "{context}");
                    assert!(!requests.cancel(number), "{context}");
                }
            }
            assert_eq!(requests.lost(), waiting.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_answer_settles_its_request_once_and_only_if_the_type_fits() {
        let mut requests = Requests::default();
        let (push, push_id) = requests.begin(at(0), Kind::Push, None);
        let (pull, pull_id) = requests.begin(at(0), Kind::Pull, None);
        assert_eq!(requests.answered("req_9_1", Some(Kind::Push)), Match::NotOurs);
        assert_eq!(requests.answered(&push_id, Some(Kind::Push)), Match::Settles(push));
        assert_eq!(requests.answered(&push_id, Some(Kind::Push)), Match::NotOurs);
        assert_eq!(requests.answered(&pull_id, Some(Kind::Push)), Match::WrongType(pull));
        assert_eq!(requests.answered(&pull_id, Some(Kind::Pull)), Match::NotOurs);
        let (third, id) = requests.begin(at(0), Kind::Pull, None);
        assert_eq!(requests.answered(&id, None), Match::Settles(third), "an error fits every request");
    }

    #[test]
    fn what_is_cancelled_or_lost_is_nobodys_any_more() {
        let mut requests = Requests::default();
        let (first, id) = requests.begin(at(0), Kind::Push, Some(SECOND));
        assert!(requests.cancel(first));
        assert!(!requests.cancel(first));
        assert_eq!(requests.answered(&id, Some(Kind::Push)), Match::NotOurs);
        assert_eq!(requests.poll_timeout(), None);
        let (second, _) = requests.begin(at(0), Kind::Push, None);
        let (third, _) = requests.begin(at(0), Kind::Push, None);
        assert_eq!(requests.lost(), vec![second, third]);
        assert!(requests.lost().is_empty());
    }

    #[test]
    fn each_request_times_out_at_its_own_deadline() {
        let mut requests = Requests::default();
        let (slow, _) = requests.begin(at(0), Kind::Push, Some(SECOND * 30));
        let (quick, id) = requests.begin(at(10), Kind::Pull, Some(SECOND * 5));
        assert_eq!(requests.poll_timeout(), Some(SECOND * 15));
        assert!(requests.expired(at(14)).is_empty());
        assert_eq!(requests.expired(at(15)), vec![Expired { number: quick, id, sent: SECOND * 10 }]);
        assert_eq!(requests.poll_timeout(), Some(SECOND * 30));
        assert_eq!(requests.expired(at(99)).len(), 1);
        assert!(!requests.cancel(slow));
    }
}
