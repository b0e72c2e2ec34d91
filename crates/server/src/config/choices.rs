//! Options with a few words to choose from, and what each word means.

use clap::ValueEnum;
use redis_failover_core::{Discover, Fencing, OnDivergence};

/// What becomes of a replica that nobody listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DiscoverArg {
    /// Nothing.
    Off,
    /// It is watched, published and read from, and never takes over.
    Watch,
    /// It becomes a node of the group like any other.
    Promote,
}

impl From<DiscoverArg> for Discover {
    fn from(choice: DiscoverArg) -> Self {
        match choice {
            DiscoverArg::Off => Self::Off,
            DiscoverArg::Watch => Self::Watch,
            DiscoverArg::Promote => Self::Promote,
        }
    }
}

/// What becomes of what a node alone holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnDivergenceArg {
    /// It is counted and told, and gone with the next full copy.
    Discard,
    /// It is saved to a file on the node, which is held back until that is done.
    Save,
}

impl From<OnDivergenceArg> for OnDivergence {
    fn from(choice: OnDivergenceArg) -> Self {
        match choice {
            OnDivergenceArg::Discard => Self::Discard,
            OnDivergenceArg::Save => Self::Save,
        }
    }
}

/// What keeps a master that is cut off from taking writes for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FencingArg {
    /// Nothing.
    Off,
    /// It takes writes only while a replica follows it (min-replicas-to-write), unless the leader lets it go on alone.
    Replicas,
}

impl From<FencingArg> for Fencing {
    fn from(choice: FencingArg) -> Self {
        match choice {
            FencingArg::Off => Self::Off,
            FencingArg::Replicas => Self::Replicas,
        }
    }
}
