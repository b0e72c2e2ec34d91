//! What an operator asks of the leader, and what it answers. It carries nothing out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::names::{Epoch, MonitorId, NodeAddr};
use crate::policy::Policy;

/// Names one request of a group; a later request has a greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RequestId(pub i64);

/// The requests that nobody has answered yet, the oldest first.
pub type Requests = BTreeMap<RequestId, Request>;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// Publish this node as the master of a group without a record, or whose record was lost, or in which nobody may
    /// take over.
    Adopt {
        /// The node: a master already, but in the last case.
        master: NodeAddr,
    },
    /// Count this monitor no longer among the registered ones.
    Forget {
        /// A monitor that is not alive.
        monitor: MonitorId,
    },
    /// Give up what this node holds beyond the group's history, and fill it with a copy of the master's data.
    Resync {
        /// A node that is held back because that could not be saved yet.
        node: NodeAddr,
    },
    /// Begin a failover now: one that is due though it waits as the third within ten minutes, or one that is not.
    Failover(Failover),
    /// Have another node take over from a master that serves.
    Switchover(Switchover),
    /// Begin no change of master, and say when one would have been begun.
    Pause {
        /// Who asks.
        by: String,
        /// Why.
        reason: String,
        /// For how long; `None` until somebody resumes.
        lasts: Option<Duration>,
    },
    /// End the pause.
    Resume,
    /// Take a node in or out, or keep what an operator says of it.
    Node {
        /// The node.
        node: NodeAddr,
        /// What is asked.
        order: Order,
    },
    /// Replace the group's policy.
    Configure {
        /// The one that was shown to who asks: another one that stands is not replaced.
        before: Box<Policy>,
        /// The new one.
        after: Box<Policy>,
    },
    /// Something that this version does not know.
    Unknown(String),
}

/// What is asked of a failover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Failover {
    /// Who takes over; the leader chooses where nobody is named.
    pub to: Option<NodeAddr>,
    /// The epoch that it ends, as the operator saw it; `None` for the one that stands.
    pub epoch: Option<Epoch>,
    /// Whether the master is replaced though no quorum finds it lost, and by a node that may hold less than another.
    pub accept_loss: bool,
    /// Only say what would be done and what that would cost.
    pub dry_run: bool,
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failover")?;
        self.epoch.map_or(Ok(()), |epoch| write!(f, " of epoch {epoch}"))?;
        self.to.as_ref().map_or(Ok(()), |to| write!(f, " to {to}"))?;
        f.write_str(if self.accept_loss { ", whatever is lost" } else { "" })
    }
}

/// What is asked about one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Order {
    /// It becomes a member of the group.
    Add,
    /// It is no member any more.
    Remove,
    /// It is taken out of service, or back into it.
    Drain(bool),
    /// This counts in the place of its own `replica-priority`; `None` for its own.
    Priority(Option<u32>),
    /// Where it is, in the operator's words.
    Zone(Option<String>),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add => f.write_str("is a node of the group"),
            Self::Remove => f.write_str("is no node of the group any more"),
            Self::Drain(true) => f.write_str("is drained: nobody reads from it, and it does not lead"),
            Self::Drain(false) => f.write_str("is in service"),
            Self::Priority(Some(0)) => f.write_str("is never to lead"),
            Self::Priority(Some(priority)) => write!(f, "has priority {priority}"),
            Self::Priority(None) => f.write_str("has the priority that it tells itself"),
            Self::Zone(Some(zone)) => write!(f, "is in zone {zone}"),
            Self::Zone(None) => f.write_str("is in no zone that is known"),
        }
    }
}

/// What is asked of a switchover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Switchover {
    /// Who takes over; the leader chooses where nobody is named.
    pub to: Option<NodeAddr>,
    /// The epoch that it ends, as the operator saw it: what another change has ended meanwhile is left as it is.
    pub epoch: Epoch,
    /// For how long to wait until that node is near.
    pub timeout: Duration,
    /// Only say what would be done.
    pub dry_run: bool,
}

impl fmt::Display for Switchover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "switchover of epoch {}", self.epoch)?;
        self.to.as_ref().map_or(Ok(()), |to| write!(f, " to {to}"))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopt { master } => write!(f, "adopt {master}"),
            Self::Forget { monitor } => write!(f, "forget {monitor}"),
            Self::Resync { node } => write!(f, "resync {node}"),
            Self::Failover(wanted) => wanted.fmt(f),
            Self::Switchover(wanted) => wanted.fmt(f),
            Self::Pause { reason, lasts: Some(lasts), .. } => write!(f, "paused for {lasts:?}: {reason}"),
            Self::Pause { reason, lasts: None, .. } => write!(f, "paused until resumed: {reason}"),
            Self::Resume => f.write_str("resumed"),
            Self::Node { node, order } => write!(f, "{node} {order}"),
            Self::Configure { before, after } => {
                let pairs = before.settings().into_iter().zip(after.settings());
                let differing = pairs.filter(|((_, before), (_, after))| before != after);
                let each =
                    differing.map(|((key, before), (_, after))| format!("{key} is {after} (was {before})"));
                f.write_str(&each.collect::<Vec<_>>().join(", "))
            }
            Self::Unknown(word) => f.write_str(word),
        }
    }
}

/// What the leader answers. The text is for people, a clause without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Answer {
    /// It was done.
    Done(String),
    /// It was not done, for this reason; nothing was changed.
    Refused(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(text) => write!(f, "done: {text}"),
            Self::Refused(text) => write!(f, "refused: {text}"),
        }
    }
}
