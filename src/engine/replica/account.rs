//! Whose log the relay speaks for: a database belongs to one account. Decides what another one leads to, and what ends
//! it; never believes a connection that was made before the question. Called by the rest of the replica.

use super::applied::Answered;
use super::conn::Mode;
use super::jobs::{After, Task};
use super::{Event, LinkState, Output, Phase, Problem, Replica};
use crate::wire::{Body, Message};

/// Why nothing goes on.
pub(super) const ACCOUNT_CHANGED: &str = "account-changed";

pub(super) fn account_changed() -> Problem {
    let text = "this database was synced with another account: open another one for this account";
    Problem::fatal(ACCOUNT_CHANGED, text)
}

impl Replica {
    /// A job has found that the log is another account's.
    pub(super) fn other_account(&mut self, account: Option<String>) {
        let (run, known, accepted) = match &self.phase {
            Phase::Running(run) => (run.clone(), false, false),
            Phase::Checking { run, account: before, accepted } => {
                (run.clone(), *before == account, *accepted)
            }
            Phase::Stopped | Phase::Starting(_) | Phase::Halted { .. } | Phase::Refused { .. } => return,
        };
        self.give_up_work();
        if known && accepted {
            self.phase = Phase::Running(run);
            self.drop_conn_tasks();
            self.push_front(Task::AcceptAccount(account));
            return;
        }
        self.tasks.clear();
        self.phase = Phase::Refused { run, account };
        if !known {
            self.outputs.push_back(Output::Event(Event::Error(account_changed())));
        }
    }

    /// An answer of our account's log was applied.
    pub(super) fn own_account(&mut self, after: &After) {
        if let (Phase::Checking { run, .. }, After::Answer(Answered { durable: true, .. })) =
            (&self.phase, after)
        {
            self.phase = Phase::Running(run.clone());
        }
    }

    /// A connection says anew whom it speaks to.
    pub(super) fn ask_whose(&mut self) {
        if let Phase::Refused { run, account } = &self.phase {
            self.phase = Phase::Checking { run: run.clone(), account: account.clone(), accepted: false };
        }
    }

    /// The app asks for another look: what is open was made with the credentials of before.
    pub(super) fn check_account(&mut self) {
        if let Phase::Refused { .. } = self.phase {
            self.ask_whose();
            self.connect_anew();
        }
    }

    /// The app goes on with the account that was refused, if it is the one that is named from now on.
    pub(super) fn accept_account(&mut self) {
        self.ask_whose();
        if let Phase::Checking { accepted, .. } = &mut self.phase {
            *accepted = true;
            self.connect_anew();
        }
    }

    fn connect_anew(&mut self) {
        self.conn = None;
        self.drop_conn_tasks();
        if let LinkState::Failed { .. } = self.link {
            self.link = LinkState::TRYING;
        }
        self.outputs.push_back(Output::Reconnect);
    }

    /// Before an answer has said whose log it is, nothing else is listened to that could be another account's.
    pub(super) fn may_be_a_strangers(&mut self, message: &Message) -> bool {
        let checking = matches!(self.phase, Phase::Checking { .. });
        let probing = matches!(self.conn.as_ref().map(|conn| &conn.mode), Some(Mode::Probing(_)));
        match &message.body {
            Body::Push(push) => match &push.relay {
                Some(place) => {
                    let unknown = probing && self.view.log.is_some_and(|log| log != place.site_id);
                    if unknown {
                        self.ask_for_gap(place.site_id);
                    }
                    unknown
                }
                None => checking,
            },
            Body::Request(_) => checking,
            Body::Response(response) => checking && !response.durable,
            Body::Ack(_) | Body::Error(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Input, JobId, Level, Replica, State};
    use crate::engine::clock::Now;
    use crate::engine::store::Budget;
    use crate::engine::txn::{Applied, Job, Outcome, View, What};
    use crate::wire::{Body, Message, Place, Run, SiteId, SyncPush, SyncResponse};

    use super::{Mode, Output};

    const OURS: SiteId = SiteId([1; 16]);

    /// A replica on a database that belongs to `account`, and what has come of it.
    struct Device {
        replica: Replica,
        account: String,
        conn: u64,
        applied: usize,
        reconnects: usize,
        told: usize,
        settled: Vec<bool>,
        /// The job that waits to be done, where jobs are slow.
        slow: Option<Vec<(JobId, Job)>>,
    }

    impl Device {
        fn of(account: &str) -> Self {
            let replica = Replica::new(Config {
                site: SiteId([9; 16]),
                tables: None,
                budget: Budget { changes: 100, bytes: 10_000 },
                seed: 1,
                poll: super::super::Duration::from_secs(5),
                records: None,
            });
            let account = account.to_owned();
            let settled = Vec::new();
            let mut device =
                Device { replica, account, conn: 0, applied: 0, reconnects: 0, told: 0, settled, slow: None };
            device.feed(Input::Start { run: Run::from_random(1) });
            device
        }

        fn feed(&mut self, input: Input) {
            self.replica.handle(Now::default(), input);
            while let Some(output) = self.replica.poll_output() {
                match output {
                    Output::Run { job, what, .. } => match &mut self.slow {
                        Some(waiting) => waiting.push((job, what)),
                        None => self.work(job, &what),
                    },
                    Output::Reconnect => self.reconnects += 1,
                    Output::Event(super::Event::Error(problem)) => {
                        assert_eq!(problem.code, "account-changed");
                        self.told += 1;
                    }
                    Output::Settled { result, .. } => self.settled.push(result.is_ok()),
                    _ => {}
                }
            }
        }

        /// What the database does.
        fn work(&mut self, job: JobId, what: &Job) {
            let what = match what {
                Job::Start { .. } => What::Started { too_large: vec![] },
                Job::Request => What::Request { cursors: Default::default(), stored: None },
                Job::Apply(apply) => match apply.durable.as_ref().and_then(|durable| durable.account.clone())
                {
                    Some(account) if account != self.account => What::OtherAccount(Some(account)),
                    _ => {
                        self.applied += 1;
                        What::Applied(Applied::default())
                    }
                },
                Job::AcceptAccount { account } => {
                    self.account = account.clone().unwrap();
                    What::AccountAccepted
                }
                Job::CaughtUp { .. } => What::CaughtUp,
                _ => What::Polled { retried: vec![], rewound: false },
            };
            let view = View { log: Some(OURS), ..View::default() };
            self.feed(Input::JobDone { job, result: Ok(Outcome { view, what }) });
        }

        fn connect(&mut self) {
            self.conn += 1;
            self.feed(Input::Opened { conn: self.conn });
        }

        fn hear(&mut self, body: Body) {
            let message = Message { site_id: OURS, timestamp: 0, body };
            self.feed(Input::Received { conn: self.conn, text: message.encode() });
        }

        /// The relay of this connection says whose log it is.
        fn named(&mut self, account: &str) {
            self.hear(Body::Response(SyncResponse {
                changes: vec![],
                current_version: 0,
                run: None,
                to: None,
                reference: None,
                base_version: Some(0),
                head: Some(0),
                more: false,
                part: None,
                durable: true,
                account: Some(account.to_owned()),
                stored: None,
                differ: None,
            }));
        }

        fn refused(account: &str, named: &str) -> Self {
            let mut device = Device::of(account);
            device.connect();
            device.named(named);
            assert!(device.stands());
            device
        }

        fn stands(&self) -> bool {
            let status = self.replica.status();
            status.state == State::Failed && status.reason.as_deref() == Some("account-changed")
        }
    }

    #[test]
    fn any_new_connection_that_names_our_own_account_ends_it() {
        let mut device = Device::refused("gus", "hal");
        device.connect();
        assert!(device.stands(), "nothing is known yet");
        device.named("gus");
        assert!(!device.stands());
        assert_eq!((device.told, device.account.as_str()), (1, "gus"));
    }

    #[test]
    fn a_reconnect_to_the_same_stranger_is_no_news() {
        let mut device = Device::refused("gus", "hal");
        device.connect();
        device.named("hal");
        assert!(device.stands());
        assert_eq!((device.told, device.applied), (1, 0));
    }

    #[test]
    fn accepting_waits_for_a_connection_that_is_newer_than_the_question() {
        let mut device = Device::refused("gus", "hal");
        device.feed(Input::AcceptAccount);
        device.feed(Input::Wait { wait: 1, level: Level::Account });
        assert_eq!(device.reconnects, 1);
        device.named("hal"); // a frame of before
        assert_eq!((device.account.as_str(), device.settled.len()), ("gus", 0));
        device.connect();
        device.named("hal");
        assert_eq!((device.account.as_str(), &device.settled), ("hal", &vec![true]));
        device.named("hal");
        assert!(!device.stands());
        assert_eq!(device.told, 1);
    }

    #[test]
    fn accepting_keeps_our_own_account_where_it_is_the_one_that_is_named_by_then() {
        let mut device = Device::refused("gus", "hal");
        device.feed(Input::AcceptAccount);
        device.feed(Input::Wait { wait: 1, level: Level::Account });
        device.connect();
        device.named("gus");
        assert_eq!((device.account.as_str(), &device.settled), ("gus", &vec![true]));
        assert!(!device.stands());
        device.connect();
        device.named("hal");
        assert!(device.stands(), "what was accepted is not accepted for ever");
    }

    #[test]
    fn accepting_one_account_is_not_accepting_a_third() {
        let mut device = Device::refused("gus", "hal");
        device.feed(Input::AcceptAccount);
        device.feed(Input::Wait { wait: 1, level: Level::Account });
        device.connect();
        device.named("ida");
        assert_eq!((device.account.as_str(), &device.settled, device.told), ("gus", &vec![false], 2));
        assert!(device.stands());
    }

    #[test]
    fn a_judgement_that_is_still_being_made_for_an_older_connection_says_nothing_of_the_new_one() {
        let mut device = Device::refused("gus", "hal");
        device.connect();
        device.slow = Some(vec![]);
        device.named("hal");
        device.feed(Input::AcceptAccount);
        let waiting = device.slow.take().unwrap();
        for (job, what) in waiting {
            device.work(job, &what);
        }
        assert_eq!(device.account, "gus");
        device.connect();
        device.named("gus");
        assert!(!device.stands());
        assert_eq!(device.account, "gus");
    }

    #[test]
    fn a_forward_of_a_strange_log_is_not_applied_before_an_answer_has_said_whose_it_is() {
        let mut device = Device::of("gus");
        device.connect();
        let strange = SiteId([2; 16]);
        let place = Place { site_id: strange, run: Run::from_random(3), base_version: 0, version: 1 };
        let push = SyncPush { relay: Some(place), ..SyncPush::default() };
        assert!(matches!(device.replica.conn.as_ref().map(|conn| &conn.mode), Some(Mode::Probing(_))));
        device.hear(Body::Push(push.clone()));
        assert_eq!(device.applied, 0);
        device.named("gus");
        let judged = device.applied;
        device.hear(Body::Push(push));
        assert_eq!((judged, device.applied), (1, 2));
    }
}
