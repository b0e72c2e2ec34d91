//! Who could take over from a master that serves, and what speaks for and against each. It asks nobody and begins
//! nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::diagnosis::Facts;
use crate::names::NodeAddr;
use crate::topology::Topology;
use crate::verdict::Verdict;
use crate::view::{Evidence, Link, Role};

/// What speaks for and against each node but the master, in the operator's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prospects(Vec<(NodeAddr, Prospect)>);

/// What is known of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// Why it can't take over; `None` where it can.
    pub against: Option<Against>,
    /// By how many bytes it was behind the master; `None` where that can't be said.
    pub behind: Option<u64>,
    /// Redis's `replica-priority`; `None` where it did not answer.
    pub priority: Option<u32>,
}

/// Why a node can't take over from a master that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// It gave no answer.
    Silent,
    /// A quorum, or this monitor alone, does not reach it.
    OutOfReach,
    /// It is a master itself.
    Master,
    /// Its link is down, for so many seconds.
    LinkDown(u64),
    /// It is being filled with a full copy.
    Syncing,
    /// It follows another, or nobody.
    Elsewhere(Option<NodeAddr>),
    /// It holds another history than the master.
    OtherHistory,
    /// Its operator said never (`replica-priority 0`).
    PriorityZero,
    /// Nobody listed it, and the policy says that such a node is only watched.
    OnlyWatched,
    /// The master was let go on without it, and it was not seen to have caught up.
    LeftBehind,
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("it does not answer"),
            Self::OutOfReach => f.write_str("monitors do not reach it"),
            Self::Master => f.write_str("it is a master itself"),
            Self::LinkDown(seconds) => write!(f, "its link has been down for {seconds} s"),
            Self::Syncing => f.write_str("it is being filled with a full copy"),
            Self::Elsewhere(Some(other)) => write!(f, "it follows {other}"),
            Self::Elsewhere(None) => f.write_str("it follows nobody that is known"),
            Self::OtherHistory => f.write_str("it holds another history than the master"),
            Self::PriorityZero => f.write_str("it is never to lead (replica-priority 0)"),
            Self::OnlyWatched => f.write_str("nobody listed it, and such nodes are only watched (discover)"),
            Self::LeftBehind => f.write_str("the master went on without it, and it has not caught up"),
        }
    }
}

impl fmt::Display for Prospect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.against, self.behind, self.priority) {
            (Some(against), ..) => against.fmt(f),
            (None, Some(bytes), Some(priority)) => {
                write!(f, "its link is up, {bytes} bytes behind, priority {priority}")
            }
            (None, ..) => f.write_str("its link is up"),
        }
    }
}

/// What speaks for and against each node but the master, by what all said when they were looked at.
pub fn prospects(facts: &Facts<'_>, said: &BTreeMap<NodeAddr, Evidence>) -> Prospects {
    let record = facts.record;
    let master = said.get(&record.master);
    let others = record.nodes().filter(|node| **node != record.master);
    let prospect = |node: &NodeAddr| {
        let it = said.get(node);
        let offsets = master.zip(it).filter(|(master, it)| master.history.replid == it.history.replid);
        let behind = offsets.map(|(master, it)| master.history.offset.saturating_sub(it.history.offset));
        let priority = it.map(|it| it.priority);
        (node.clone(), Prospect { against: against(facts, node, it, master), behind, priority })
    };
    Prospects(others.map(prospect).collect())
}

fn against(
    facts: &Facts<'_>,
    node: &NodeAddr,
    said: Option<&Evidence>,
    master: Option<&Evidence>,
) -> Option<Against> {
    let record = facts.record;
    let Some(said) = said else { return Some(Against::Silent) };
    if facts.verdict(node) != Verdict::Up {
        return Some(Against::OutOfReach);
    }
    match &said.role {
        Role::Master { .. } => return Some(Against::Master),
        Role::Replica { link: Link::Syncing, .. } => return Some(Against::Syncing),
        Role::Replica { of, .. } if of.as_ref() != Some(&record.master) => {
            return Some(Against::Elsewhere(of.clone()));
        }
        Role::Replica { link: Link::Down { seconds }, .. } => return Some(Against::LinkDown(*seconds)),
        Role::Replica { link: Link::Up, .. } => {}
    }
    if master.is_none_or(|master| master.history.replid != said.history.replid) {
        return Some(Against::OtherHistory);
    }
    if record.only_watches(node) {
        return Some(Against::OnlyWatched);
    }
    if record.left.contains(node) {
        return Some(Against::LeftBehind);
    }
    (said.priority == 0).then_some(Against::PriorityZero)
}

impl Prospects {
    /// The node that takes over: the wanted one, or of those that can the one with the lowest priority number, the
    /// least behind, the first in the operator's order.
    ///
    /// # Errors
    /// Why nobody can, for people.
    pub fn choose(&self, record: &Topology, wanted: Option<&NodeAddr>) -> Result<NodeAddr, String> {
        if let Some(wanted) = wanted {
            if *wanted == record.master {
                return Err(format!("{wanted} is the master of epoch {} already", record.epoch));
            }
            return match self.0.iter().find(|(node, _)| node == wanted) {
                Some((_, Prospect { against: None, .. })) => Ok(wanted.clone()),
                Some((_, Prospect { against: Some(against), .. })) => {
                    Err(format!("{wanted} can't take over: {against}"))
                }
                None => {
                    let nodes: Vec<_> = self.0.iter().map(|(node, _)| node.to_string()).collect();
                    Err(format!("{wanted} is no node of the group; these are: {}", nodes.join(", ")))
                }
            };
        }
        let able = self.0.iter().filter(|(_, prospect)| prospect.against.is_none());
        let best = able.min_by_key(|(_, prospect)| (prospect.priority, prospect.behind));
        let Some((node, _)) = best else {
            let each: Vec<_> = self.0.iter().map(|(node, it)| format!("{node}: {it}")).collect();
            let each = if each.is_empty() { "it has no other node".to_owned() } else { each.join("; ") };
            return Err(format!("nobody can take over from {}: {each}", record.master));
        };
        Ok(node.clone())
    }

    /// What would be done, in a clause for people that begins with the node: who has it confirmed asks for that one.
    pub fn would(&self, to: &NodeAddr) -> String {
        let each = self.0.iter().map(|(node, it)| format!("{node}: {it}")).collect::<Vec<_>>().join("; ");
        format!("{to} would take over ({each})")
    }
}
