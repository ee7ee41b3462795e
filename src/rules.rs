//! The rules without which rows get lost or replicas differ for ever, each with a name. What ships obeys them all:
//! [`holds`] is a constant there and costs nothing. The feature `mutants` lets a test leave one out, to see that something
//! notices. Decides nothing itself; asked at the place where a rule acts.

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal,)*) => {
        /// What must not be left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        #[cfg(feature = "mutants")]
        impl Rule {
            /// All of them.
            pub const ALL: &[Rule] = &[$(Rule::$rule,)*];

            /// The stable name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Rule::$rule => $name,)*
                }
            }

            /// The rule of that name.
            #[must_use]
            pub fn named(name: &str) -> Option<Rule> {
                Rule::ALL.iter().copied().find(|rule| rule.name() == name)
            }
        }
    };
}

rules! {
    // ------------------------------------------------------------------------------------------ clocks
    /// A clock is (run, version): a cursor of an earlier run counts only as far as the runs since agree with it.
    DeviceRuns = "device-runs",
    /// The same for the clock of a relay's log.
    LogRuns = "log-runs",
    /// A run begins at min(`high`, MAX), not at MAX: the app may have reused versions before a leader started.
    RunBeginsAtHigh = "run-begins-at-high",
    /// A cursor that a page moved carries the `head` of its snapshot while there is more.
    PageHead = "page-head",
    /// A watermark is MAX(db_version) over rows, never `crsql_db_version()`.
    MaxOfRows = "max-of-rows",
    /// `crsql_changes` is sorted by one key at most: by two descending ones it comes back in another order.
    OneSortKey = "one-sort-key",
    /// A version in a row is the sender's clock, whoever wrote it: rows move no cursor of their origin.
    SendersClock = "senders-clock",
    /// cr-sqlite's floor keeps versions above `high`.
    Floor = "floor",
    /// The same for a page of a log, which may be restored from a backup in between.
    LogPageHead = "log-page-head",
    /// A table that `tables` gains starts everything over.
    TablesGrow = "tables-grow",
    /// A leader that was replaced has no say: its jobs are refused.
    OneLeader = "one-leader",
    // ------------------------------------------------------------------------------------- what is sent
    /// With an odd `-1` travel all rows of its key.
    Additions = "additions",
    /// Of any origin, not only our own.
    AdditionsOfAnyOrigin = "additions-of-any-origin",
    /// In answers too, not only in pushes and uploads.
    AdditionsInAnswers = "additions-in-answers",
    /// Rows with col_version 0 travel whoever wrote them.
    ZeroedRows = "zeroed-rows",
    /// An answer holds the requester's own rows too.
    RequestersOwnRows = "requesters-own-rows",
    /// A message is cut on whole versions.
    WholeVersions = "whole-versions",
    /// A log is sent rows of every origin.
    UploadEveryOrigin = "upload-every-origin",
    /// Nothing is read or written while the app holds a transaction open.
    AppTransaction = "app-transaction",
    // -------------------------------------------------------------------------------- what moves a cursor
    /// An answer moves *received* only if it begins at or before it.
    BaseCheck = "base-check",
    /// An acknowledgement or a forward moves *received* of a log only if it begins at or before it.
    PlaceBase = "place-base",
    /// Parts of one answer count only in order.
    PartsInOrder = "parts-in-order",
    /// A push never moves *received*.
    PushMovesNothing = "push-moves-nothing",
    /// *uploaded* moves over a message only when all before it are acknowledged.
    ContiguousAcks = "contiguous-acks",
    /// *uploaded* moves only over messages that begin at or before it.
    AckBase = "ack-base",
    /// A log that has less than we saw of it is noticed by its `stored`.
    StoredClaim = "stored-claim",
    /// When *uploaded* goes back to 0, the ranges that were excluded go too.
    ResetDropsRanges = "reset-drops-ranges",
    /// What cannot be applied is kept aside in the transaction that moves the cursor over it.
    Quarantine = "quarantine",
    /// Whoever hears a request asks back, and a silent device states its head now and then.
    AskBackAndBeat = "ask-back-and-beat",
    /// A server that shows again what lies behind the cursor is doubted.
    Doubt = "doubt",
    // --------------------------------------------------------------------------------------- the log
    /// Compaction goes by row: highest cl first, then per column.
    CompactByRow = "compact-by-row",
    /// At a tie every distinct value stays.
    KeepTies = "keep-ties",
    /// The log never compares values: it does not know affinities.
    NoValueOrder = "no-value-order",
    /// Compaction happens in the transaction that inserts.
    CompactAtOnce = "compact-at-once",
    /// Ack and forward leave after the commit.
    CommitBeforeForward = "commit-before-forward",
    // ----------------------------------------------------------------------------------------- merging
    /// Change tracking is switched on again after a merge that failed.
    TrackingOn = "tracking-on",
    /// Every statement of a merge is one that SQLite undoes as a whole.
    UndoneStatements = "undone-statements",
    /// Values reach SQLite in their exact type.
    TypedValues = "typed-values",
    /// Values and keys take the affinity of the local column before they are merged.
    Affinity = "affinity",
    /// No key that was not checked reaches the database.
    CheckedKeys = "checked-keys",
    /// A merge binds db_version 0.
    BindZero = "bind-zero",
    /// Versions out of range are kept aside.
    VersionRange = "version-range",
    /// A site id has 16 bytes.
    WholeSiteIds = "whole-site-ids",
    /// Sentinels that would poison a row are kept aside.
    SoundSentinels = "sound-sentinels",
    /// One bad row of a message stops no other.
    Bisection = "bisection",
    /// The quarantine is tried again when the schema changes.
    QuarantineRetry = "quarantine-retry",
}

/// Whether this rule is obeyed: always, in what ships.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
#[must_use]
pub const fn holds(_: Rule) -> bool {
    true
}

#[cfg(feature = "mutants")]
pub use mutants::{holds, leave_out};

#[cfg(feature = "mutants")]
mod mutants {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        // A program of several threads is told by its environment.
        static LEFT_OUT: Cell<Option<Rule>> =
            Cell::new(std::env::var("CRSQLITE_LEAVE_OUT").ok().and_then(|name| Rule::named(&name)));
    }

    /// Whether this rule is obeyed on this thread.
    #[must_use]
    pub fn holds(rule: Rule) -> bool {
        LEFT_OUT.get() != Some(rule)
    }

    /// Leaves one rule out on this thread, or none.
    pub fn leave_out(rule: Option<Rule>) {
        LEFT_OUT.set(rule);
    }
}
