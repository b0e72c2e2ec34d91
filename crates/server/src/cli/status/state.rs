//! Every state that `status` can show, each with the short name that stands in its output. It finds none.

use std::fmt;

use redis_failover_core::{Dropped, Keeping, Phase, Vote};

/// Declares the states, so that none is missing from the list of all.
macro_rules! states {
    ($($state:ident = $word:literal,)*) => {
        /// A state of a group, a node or a monitor. A name never changes its meaning: scripts look for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(in crate::cli) enum State {
            $(#[doc = concat!("See docs/reference/status.md, `", $word, "`.")] $state,)*
        }

        impl State {
            /// All there are.
            #[cfg(test)]
            pub(in crate::cli) const ALL: &[Self] = &[$(Self::$state,)*];

            /// The name as it is printed.
            pub(in crate::cli) fn word(self) -> &'static str {
                match self { $(Self::$state => $word,)* }
            }
        }
    };
}

states! {
    // What stands at the group's path, if it is no record.
    NothingPublished = "nothing-published",
    PredecessorDocument = "predecessor-document",
    Unreadable = "unreadable",
    NoZooKeeper = "no-zookeeper",
    // The group's phase.
    Steady = "steady",
    FailingOver = "failing_over",
    // A node's role, and whether it is as it should be.
    Master = "master",
    Replica = "replica",
    Ok = "OK",
    Ko = "KO",
    // What a monitor says of a node.
    Up = "up",
    Refused = "refused",
    Silent = "silent",
    Unusable = "unusable",
    Unknown = "unknown",
    // What else is known of a node.
    Priority = "priority",
    Discovered = "discovered",
    Discarded = "discarded",
    Due = "due",
    Saved = "saved",
    Held = "held",
    // Why a node may not take over.
    NotAnswering = "not-answering",
    NotAsked = "not-asked",
    OutOfUse = "out-of-use",
    OutOfReach = "out-of-reach",
    PriorityZero = "priority-zero",
    Drained = "drained",
    OnlyWatched = "only-watched",
    HalfSynced = "half-synced",
    Empty = "empty",
    Restarted = "restarted",
    Behind = "behind",
    LeftBehind = "left-behind",
    UnknownHistory = "unknown-history",
    OtherReason = "other-reason",
    // What a monitor is.
    Leader = "leader",
    Standby = "standby",
    Gone = "gone",
    // What else keeps the group from being well.
    Paused = "paused",
    Withheld = "withheld",
    NoQuorum = "no-quorum",
    NoLeader = "no-leader",
    PredecessorAlive = "predecessor-alive",
    RecordOlder = "record-older",
    MasterDown = "master-down",
    NobodyMayTakeOver = "nobody-may-take-over",
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl From<&Phase> for State {
    fn from(phase: &Phase) -> Self {
        match phase {
            Phase::Steady => Self::Steady,
            Phase::FailingOver(_) => Self::FailingOver,
        }
    }
}

impl From<Vote> for State {
    fn from(vote: Vote) -> Self {
        match vote {
            Vote::Up => Self::Up,
            Vote::Refused => Self::Refused,
            Vote::Silent => Self::Silent,
            Vote::Unusable => Self::Unusable,
            Vote::Unknown => Self::Unknown,
        }
    }
}

impl From<&Keeping> for State {
    fn from(keeping: &Keeping) -> Self {
        match keeping {
            Keeping::Discarded => Self::Discarded,
            Keeping::Due { .. } => Self::Due,
            Keeping::Saved { .. } => Self::Saved,
            Keeping::Held { .. } => Self::Held,
        }
    }
}

impl From<Dropped> for State {
    fn from(why: Dropped) -> Self {
        match why {
            Dropped::NotFrozen => Self::NotAnswering,
            Dropped::NotAsked => Self::NotAsked,
            Dropped::Unusable => Self::OutOfUse,
            Dropped::OutOfReach => Self::OutOfReach,
            Dropped::PriorityZero => Self::PriorityZero,
            Dropped::Drained => Self::Drained,
            Dropped::OnlyWatched => Self::OnlyWatched,
            Dropped::HalfSynced => Self::HalfSynced,
            Dropped::Empty => Self::Empty,
            Dropped::Restarted => Self::Restarted,
            Dropped::Behind => Self::Behind,
            Dropped::LeftBehind => Self::LeftBehind,
            Dropped::UnknownHistory => Self::UnknownHistory,
        }
    }
}

/// The reasons that leaders of this version give.
const REASONS: [Dropped; 13] = [
    Dropped::NotFrozen,
    Dropped::NotAsked,
    Dropped::Unusable,
    Dropped::OutOfReach,
    Dropped::PriorityZero,
    Dropped::Drained,
    Dropped::OnlyWatched,
    Dropped::HalfSynced,
    Dropped::Empty,
    Dropped::Restarted,
    Dropped::Behind,
    Dropped::LeftBehind,
    Dropped::UnknownHistory,
];

impl State {
    /// The state of a node that may not take over for this reason, as the leader wrote it; one of another version may
    /// have others.
    pub(super) fn of_wait(why: &str) -> Self {
        let known = REASONS.into_iter().find(|reason| reason.to_string() == why);
        known.map_or(Self::OtherReason, Self::from)
    }
}
