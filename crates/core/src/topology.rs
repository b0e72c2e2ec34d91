//! The record: what the group agreed on. It is read from the store and replaced whole, never patched in place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::divergence::Divergence;
use crate::history::Opening;
use crate::names::{Epoch, MonitorId, NodeAddr, ReplId, RunId};
use crate::orders::Orders;
use crate::pause::Pause;
use crate::policy::{Discover, Policy};
use crate::position::Lineages;
use crate::view::Vote;

/// Who is who in one group, and everything a new leader needs to go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Topology {
    /// How many changes of master there were.
    pub epoch: Epoch,
    /// Whether the master may be written to, or a change is under way.
    pub phase: Phase,
    /// The published master; while a change is under way the old one.
    pub master: NodeAddr,
    /// The life of the master's process that was published; `None` until it was seen once.
    pub master_run: Option<RunId>,
    /// All nodes of the group in the operator's order, the master among them.
    pub members: Vec<Member>,
    /// Those of the members that nobody listed: the master named them as its replicas.
    pub discovered: BTreeSet<NodeAddr>,
    /// The run of each replica when it was last seen to follow the master, and of each former master when it was
    /// replaced: in another run it may have lost its memory. [`RunId::UNKNOWN`] where only the master told of it.
    pub synced: BTreeMap<NodeAddr, RunId>,
    /// Where the master stood when it fed a lost replica no more: that replica holds no more of the history than this.
    /// A lost one that is not here was lost together with the master, and may hold all that there was.
    pub reached: BTreeMap<NodeAddr, (ReplId, u64)>,
    /// What nodes that came back hold beyond the master, from when it was counted until they follow again.
    pub diverged: BTreeMap<NodeAddr, Divergence>,
    /// The histories that positions are compared in.
    pub lineages: Lineages,
    /// The monitors whose votes make the quorum, dead or alive.
    pub monitors: BTreeSet<MonitorId>,
    /// The group's settings.
    pub policy: Policy,
    /// The operator's own `min-replicas-to-write`, to be restored when the master is opened.
    pub min_replicas_to_write: u32,
    /// Whether the published master takes writes only while a replica follows it.
    pub fenced: bool,
    /// The nodes without which the master was let go on, was published, or went on while others followed, and that have
    /// not been seen in step with it since: they may lack any number of writes.
    pub left: BTreeSet<NodeAddr>,
    /// The former masters that gave up their role in this life of their process, and whose clients were not cut off
    /// since. What these wait for it must never answer as a master again.
    pub unclosed: BTreeMap<NodeAddr, RunId>,
    /// What operators have said of single nodes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub orders: BTreeMap<NodeAddr, Orders>,
    /// An operator's word that no change of master is to begin.
    pub pause: Option<Pause>,
}

impl Topology {
    /// A group without members in which nothing has happened yet.
    pub fn new(epoch: Epoch, master: NodeAddr, policy: Policy) -> Self {
        let (master_run, pause, phase) = (None, None, Phase::Steady);
        let (fenced, min_replicas_to_write) = (false, 0);
        let (members, lineages, monitors) = Default::default();
        let (discovered, synced, reached, diverged) = Default::default();
        let (left, unclosed, orders) = Default::default();
        Self {
            epoch,
            phase,
            master,
            master_run,
            members,
            discovered,
            synced,
            reached,
            diverged,
            lineages,
            monitors,
            policy,
            min_replicas_to_write,
            fenced,
            left,
            unclosed,
            orders,
            pause,
        }
    }

    /// The nodes' addresses in the operator's order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeAddr> {
        self.members.iter().map(|member| &member.addr)
    }

    /// The run in which a node was when it was the published master, or was last seen to follow it.
    pub fn run_of(&self, node: &NodeAddr) -> Option<&RunId> {
        let run = if *node == self.master { self.master_run.as_ref() } else { self.synced.get(node) };
        run.filter(|run| run.is_known())
    }

    /// Whether nobody listed this node and the policy is that such a one never takes over.
    pub fn only_watches(&self, node: &NodeAddr) -> bool {
        self.policy.discover() == Discover::Watch && self.discovered.contains(node)
    }

    /// The `min-replicas-to-write` that the published master is to have.
    pub fn number(&self) -> u32 {
        self.min_replicas_to_write.max(u32::from(self.fenced))
    }

    /// How many monitors must agree that a node is down.
    pub fn quorum(&self) -> usize {
        self.policy.quorum_of(self.monitors.len())
    }
}

/// One node of the group as published.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Member {
    /// Its address.
    pub addr: NodeAddr,
    /// The predecessor's `OK` (true) or `KO` (false).
    pub ok: bool,
}

/// What the published document alone says: all that those who follow a group need, and may rely upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// How many changes of master there were; 0 in the predecessor's document, which does not count them.
    pub epoch: Epoch,
    /// Whether the published master takes writes; false while a change of master is under way.
    pub steady: bool,
    /// The published master; while a change is under way the old one.
    pub master: Member,
    /// All other nodes in their order.
    pub replicas: Vec<Member>,
    /// The life of the master's process that was published, where it is known.
    pub run: Option<RunId>,
    /// The history that the published master writes, where it is known.
    pub replid: Option<ReplId>,
}

/// Whether the group has a master that may be written to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Phase {
    /// The published master takes writes.
    Steady,
    /// An epoch was opened with this intent; nobody is master until it is published.
    FailingOver(Change),
}

/// A change of master under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Change {
    /// Why it was begun.
    pub reason: Reason,
    /// What each monitor said of the old master when it was begun.
    pub votes: BTreeMap<MonitorId, Vote>,
    /// The one choice of this epoch.
    pub intent: Intent,
    /// What else was known then, for the history; `None` where a version that noted nothing opened it.
    pub opening: Option<Box<Opening>>,
}

/// The node chosen to be promoted, and what it was when it was chosen: any other run or history is another node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Intent {
    /// The node.
    pub node: NodeAddr,
    /// The life of its process.
    pub run: RunId,
    /// The history it held, frozen.
    pub replid: ReplId,
    /// How much of it.
    pub offset: u64,
}

/// Why a change of master was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reason {
    /// A quorum found its port closed.
    Refused,
    /// A quorum got no answer for longer than `down_after`.
    Silent,
    /// A quorum got answers, but none that a client could use, for longer than `down_after`.
    Unusable,
    /// It was found a replica.
    Demoted,
    /// It was found in another life of its process.
    Restarted,
    /// An operator wanted another master.
    Switchover,
    /// An operator wanted another master, whatever is lost by that.
    Ordered,
    /// For a reason that this version does not know: a newer monitor began the change, and any may finish it.
    Other,
}

impl Reason {
    /// The word that is written into the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Unusable => "unusable",
            Self::Demoted => "demoted",
            Self::Restarted => "restarted",
            Self::Switchover => "switchover",
            Self::Ordered => "ordered",
            Self::Other => "other",
        }
    }

    /// The reason that has this word, [`Reason::Other`] where none has.
    pub fn from_word(word: &str) -> Self {
        let all = [
            Self::Refused,
            Self::Silent,
            Self::Unusable,
            Self::Demoted,
            Self::Restarted,
            Self::Switchover,
            Self::Ordered,
        ];
        all.into_iter().find(|reason| reason.word() == word).unwrap_or(Self::Other)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Which writing of the record was read. A later one has the greater `order`, also after the record was deleted
/// and made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Version {
    /// Grows with every write.
    pub order: i64,
    /// The store's version of the published document.
    pub document: i32,
    /// The store's version of the monitors' state; `None` where there is none yet.
    pub state: Option<i32>,
}

/// What stands in the store for the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Found {
    /// Nothing was ever published.
    Nothing,
    /// The predecessor's document: a master and its replicas, with their `OK`, and nothing else.
    Predecessor {
        /// Its master.
        master: Member,
        /// Its replicas in their order.
        replicas: Vec<Member>,
    },
    /// Our record.
    Record(Box<Topology>),
}

/// What was read from the store, and which writing of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Versioned {
    /// To be given back with a commit.
    pub version: Version,
    /// The content.
    pub found: Found,
}
