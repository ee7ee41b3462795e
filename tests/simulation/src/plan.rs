//! What a world is made of, drawn from its seed: the relay, the devices, and which misfortunes happen how often.
//! Decides nothing while the world runs.

use crate::contract::Manners;
use crate::rng::Rng;

/// The families of worlds; a seed's remainder picks one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    PlainLossy,
    PlainCrash,
    PlainSchema,
    PlainSeedPeers,
    PlainEverything,
    /// Small pages over slow links, and the one that is read from crashes in between.
    PlainPaging,
    Storing,
    StoringCrash,
    StoringLog,
    StoringSchema,
    StoringSeedPeers,
    StoringEverything,
    /// The same with a log that is restored in between.
    StoringPaging,
    /// No relay but a server of the push-pull contract.
    Records,
    RecordsLossy,
    RecordsCrash,
    RecordsSchema,
    /// With ways of its own.
    RecordsOdd,
    RecordsEverything,
}

pub const KINDS: [Kind; 20] = [
    Kind::Plain,
    Kind::PlainLossy,
    Kind::PlainCrash,
    Kind::PlainSchema,
    Kind::PlainSeedPeers,
    Kind::PlainEverything,
    Kind::PlainPaging,
    Kind::Storing,
    Kind::StoringCrash,
    Kind::StoringLog,
    Kind::StoringSchema,
    Kind::StoringSeedPeers,
    Kind::StoringEverything,
    Kind::StoringPaging,
    Kind::Records,
    Kind::RecordsLossy,
    Kind::RecordsCrash,
    Kind::RecordsSchema,
    Kind::RecordsOdd,
    Kind::RecordsEverything,
];

/// Percentages are of the occasions at which the thing could happen.
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: Kind,
    pub storing: bool,
    /// A server of the push-pull contract, and what it is like.
    pub records: Option<Manners>,
    pub pull_every: u64,
    /// Percent of calls that the server fails.
    pub call_faults: u64,
    /// Devices of ours, and peers that know only the seed.
    pub devices: usize,
    pub seed_peers: usize,
    /// Milliseconds of chaos.
    pub chaos: u64,
    /// Longest pause between two actions of one app.
    pub app_pause: u64,
    /// Longest pause between two misfortunes.
    pub fault_pause: u64,
    pub latency: u64,
    /// How long a job waits for its turn, and its outcome for delivery.
    pub job_delay: u64,
    pub loss: u64,
    pub duplicates: u64,
    pub reorder: bool,
    pub crashes: bool,
    pub restores: bool,
    pub schema_lag: bool,
    pub tables_option: bool,
    pub log_faults: bool,
    /// The misfortunes are mostly crashes (or restored logs).
    pub paging: bool,
    /// Several tabs, of which one leads and others have led.
    pub tabs: bool,
    /// Copies of databases are opened while the originals live.
    pub clones: bool,
    /// The relay closes a connection on which more bytes come in one message.
    pub largest_frame: Option<usize>,
    pub job_faults: bool,
    pub app_transactions: bool,
    pub savepoints: bool,
    /// The largest message, in changes.
    pub budget: usize,
    pub answer_bytes: usize,
    pub poll: u64,
    /// Percent of app transactions that are larger than the budget.
    pub huge: u64,
    pub keys: u64,
}

impl Plan {
    #[must_use]
    pub fn of(seed: u64, rng: &mut Rng) -> Self {
        let kind = KINDS[usize::try_from(seed % KINDS.len() as u64).unwrap()];
        let everything =
            matches!(kind, Kind::PlainEverything | Kind::StoringEverything | Kind::RecordsEverything);
        let records = matches!(
            kind,
            Kind::Records
                | Kind::RecordsLossy
                | Kind::RecordsCrash
                | Kind::RecordsSchema
                | Kind::RecordsOdd
                | Kind::RecordsEverything
        );
        let seed_peers = matches!(kind, Kind::PlainSeedPeers | Kind::StoringSeedPeers)
            || (everything && !records && rng.chance(25));
        let lossy = matches!(kind, Kind::PlainLossy | Kind::RecordsLossy)
            || (matches!(kind, Kind::PlainEverything | Kind::RecordsEverything) && rng.chance(60));
        let paging = matches!(kind, Kind::PlainPaging | Kind::StoringPaging);
        let crashes =
            matches!(kind, Kind::PlainCrash | Kind::StoringCrash | Kind::PlainPaging | Kind::RecordsCrash)
                || everything;
        let schema = matches!(kind, Kind::PlainSchema | Kind::StoringSchema | Kind::RecordsSchema)
            || (everything && rng.chance(50));
        let odd = kind == Kind::RecordsOdd || (kind == Kind::RecordsEverything && rng.chance(60));
        let manners = records.then(|| Manners::of(odd, rng));
        let clones = everything && !records && !seed_peers && rng.chance(25);
        let chaos = rng.range(20, 240) * 1000;
        Plan {
            kind,
            storing: matches!(
                kind,
                Kind::Storing
                    | Kind::StoringCrash
                    | Kind::StoringLog
                    | Kind::StoringSchema
                    | Kind::StoringSeedPeers
                    | Kind::StoringEverything
                    | Kind::StoringPaging
            ) || records,
            records: manners,
            pull_every: *rng.pick(&[2_000, 30_000, 120_000]),
            call_faults: if odd || lossy || everything { rng.range(0, 15) } else { 0 },
            devices: if paging {
                2 + rng.index(2)
            } else if everything && rng.chance(25) {
                6
            } else {
                2 + rng.index(3) + usize::from(rng.chance(20))
            },
            seed_peers: if seed_peers { 1 + rng.index(2) } else { 0 },
            chaos,
            app_pause: chaos / rng.range(3, 20),
            fault_pause: if paging { chaos / 10 } else { *rng.pick(&[3_000, 10_000, 30_000]) },
            latency: if paging { *rng.pick(&[400, 3_000]) } else { *rng.pick(&[5, 50, 400, 3_000]) },
            job_delay: if seed_peers { *rng.pick(&[1, 100]) } else { *rng.pick(&[1, 10, 100, 1_000]) },
            loss: if lossy { rng.range(1, 30) } else { 0 },
            duplicates: if lossy { rng.range(0, 20) } else { 0 },
            reorder: lossy && rng.chance(70),
            crashes,
            restores: crashes && rng.chance(50),
            schema_lag: schema,
            tables_option: schema || rng.chance(25),
            log_faults: matches!(
                kind,
                Kind::StoringLog | Kind::StoringEverything | Kind::StoringPaging | Kind::RecordsOdd
            ) || kind == Kind::RecordsEverything && rng.chance(60),
            paging,
            tabs: rng.chance(if everything { 60 } else { 20 }),
            clones,
            largest_frame: (!records && !seed_peers && rng.chance(20)).then_some(4_000),
            job_faults: rng.chance(30),
            app_transactions: rng.chance(50),
            savepoints: rng.chance(70),
            budget: match (seed_peers || clones, paging) {
                (true, _) => *rng.pick(&[20, 500]),
                (false, true) => *rng.pick(&[2, 6]),
                (false, false) => *rng.pick(&[2, 6, 20, 500]),
            },
            answer_bytes: if paging { 300 } else { *rng.pick(&[300, 2_000, 100_000]) },
            poll: *rng.pick(&[15_000, 60_000, 300_000]),
            huge: *rng.pick(&[0, 0, 3, 10]),
            keys: *rng.pick(&[2, 4, 9]),
        }
    }
}

impl Manners {
    fn of(odd: bool, rng: &mut Rng) -> Self {
        Manners {
            dedupes: !odd || rng.chance(60),
            always_more: odd && rng.chance(30),
            null_cursor: rng.chance(50),
            rewrites: rng.chance(50),
            page: *rng.pick(&[3, 20, 1_000]),
            most: if odd { *rng.pick(&[1, 7, 1_000]) } else { 1_000 },
            forgets: if odd { *rng.pick(&[0, 0, 20]) } else { 0 },
            refuses: if odd { *rng.pick(&[0, 0, 5]) } else { 0 },
            server_push: rng.chance(50),
        }
    }
}
