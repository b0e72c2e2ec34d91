//! What a leader did and learned in its term: the plan goes on from it. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::astray::Save;
use super::switching::Switch;
use crate::names::{Epoch, NodeAddr, RunId};
use crate::request::RequestId;
use crate::time::Instant;
use crate::view::Evidence;

/// What this leader did and learned in this term. Nothing of it outlives the term.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Progress {
    /// What nodes said on the connections over which they were frozen, and which still stand.
    pub evidence: BTreeMap<NodeAddr, Evidence>,
    /// Whether `evidence` is the answer to a freeze of the present attempt.
    pub frozen: bool,
    /// What became of the recorded intent.
    pub promotion: Promotion,
    /// Nothing is begun before this time: attempts have failed.
    pub rest_until: Option<Instant>,
    /// The run in which each node was when it was last frozen: another one is new, and no rest is kept for it.
    pub tried: BTreeMap<NodeAddr, RunId>,
    /// The node that an operator wants to lead where nobody may, whatever is lost by that.
    pub accepted: Option<(RequestId, NodeAddr)>,
    /// The node that an operator wants to lead instead of the present master.
    pub wish: Option<Wish>,
    /// The nodes that said when they were last frozen that they never lead (`replica-priority 0`).
    pub never: BTreeSet<NodeAddr>,
    /// The master that was opened.
    pub opened: Option<Opened>,
    /// What the master's `min-replicas-to-write` was set to.
    pub fence: Option<Fence>,
    /// How far the master was when each replica that was left behind was first seen to follow it again, and when that
    /// was asked.
    pub bars: BTreeMap<NodeAddr, (Instant, u64)>,
    /// The run that this leader promoted and published: nobody needs to be asked whether it is a master.
    pub published: Option<RunId>,
    /// When each node was last told to follow, or could not be frozen for that.
    pub told: BTreeMap<NodeAddr, Instant>,
    /// When nodes were frozen that wait to be told to follow: their evidence is as old as that.
    pub demoted: BTreeMap<NodeAddr, Instant>,
    /// The snapshots that nodes were asked for.
    pub saves: BTreeMap<NodeAddr, Save>,
    /// The nodes whose configuration files do not know their role yet.
    pub unsaved: BTreeSet<NodeAddr>,
    /// The switchover of which nothing is recorded yet.
    pub switch: Option<Switch>,
    /// The masters that were told to give up their role, and in which life of their process.
    pub ceded: BTreeMap<NodeAddr, RunId>,
    /// The former masters whose clients were cut off, and in which life of their process.
    pub closed: BTreeMap<NodeAddr, RunId>,
}

/// Whom an operator wants to lead next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Wish {
    /// Who asked: without that request nothing more is begun for it.
    pub by: RequestId,
    /// The epoch that this ends; it counts for no other.
    pub epoch: Epoch,
    /// The node.
    pub to: NodeAddr,
    /// Whether it leads also where it holds less than another, or would not be taken.
    pub accepts_loss: bool,
}

/// A master that this leader has opened to writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Opened {
    /// The node.
    pub node: NodeAddr,
    /// The life of its process.
    pub run: RunId,
    /// When it was last found open.
    pub at: Instant,
    /// How often that was checked.
    pub times: u32,
}

/// A `min-replicas-to-write` that this leader has set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fence {
    /// The life of the master's process.
    pub run: RunId,
    /// The number.
    pub number: u32,
    /// Whether the master answered.
    pub done: bool,
    /// When.
    pub at: Instant,
    /// How often it was set again, the number being the same.
    pub times: u32,
}

/// What became of the recorded intent, as far as this leader knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Promotion {
    /// Nothing was done about it in this term.
    #[default]
    Untried,
    /// It was commanded, and the answer is not known.
    Unclear,
    /// The node is a master, in the intended run and with the intended history: it may be published.
    Confirmed(Box<Evidence>),
    /// It was not carried out, or not by the intended run. A new epoch is needed.
    Failed,
}
