//! The requests of the push-pull protocol that wait for an answer. Decides whose an answer is, whether it is of the
//! right type, and what has timed out. Never holds a promise: numbers stand for them. Called by `web::ws`.

use std::time::Duration;

use super::clock::Now;

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

#[derive(Debug)]
struct Pending {
    number: RequestNo,
    id: String,
    kind: Kind,
    deadline: Option<Duration>,
}

/// The requests that wait; few at a time.
#[derive(Debug, Default)]
pub struct Requests {
    last: RequestNo,
    pending: Vec<Pending>,
}

impl Requests {
    /// Books a request; the text is its `requestId`.
    pub fn begin(&mut self, now: Now, kind: Kind, timeout: Option<Duration>) -> (RequestNo, String) {
        self.last += 1;
        let number = self.last;
        let id = format!("req_{number}_{}", now.wall_ms);
        let deadline = timeout.map(|timeout| now.at + timeout);
        self.pending.push(Pending { number, id: id.clone(), kind, deadline });
        (number, id)
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

    /// What has timed out by now, with its `requestId`.
    pub fn expired(&mut self, now: Now) -> Vec<(RequestNo, String)> {
        let due = |pending: &mut Pending| pending.deadline.is_some_and(|deadline| deadline <= now.at);
        self.pending.extract_if(.., due).map(|gone| (gone.number, gone.id)).collect()
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
        assert_eq!(requests.expired(at(15)), vec![(quick, id)]);
        assert_eq!(requests.poll_timeout(), Some(SECOND * 30));
        assert_eq!(requests.expired(at(99)).len(), 1);
        assert!(!requests.cancel(slow));
    }
}
