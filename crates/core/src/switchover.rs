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
    /// Its priority, by the operator's order or its own; `None` where it did not answer.
    pub priority: Option<u32>,
    /// What else a person should know of it before it leads.
    pub also: Vec<String>,
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
    /// Its operator said never (`replica-priority 0`, or an order).
    PriorityZero,
    /// An operator has taken it out of service.
    Drained,
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
            Self::PriorityZero => f.write_str("it is never to lead (priority 0)"),
            Self::Drained => f.write_str("it is drained"),
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
                write!(f, "its link is up, {bytes} bytes behind, priority {priority}")?;
                self.also.iter().try_for_each(|also| write!(f, ", {also}"))
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
        let priority = it.map(|it| record.priority(node, it));
        let also = it.map(|it| also(record, (node, it), said)).unwrap_or_default();
        (node.clone(), Prospect { against: against(facts, node, it, master), behind, priority, also })
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
    if record.is_drained(node) {
        return Some(Against::Drained);
    }
    (record.priority(node, said) == 0).then_some(Against::PriorityZero)
}

/// Its zone, version and persistence, as far as they are known, and what is odd about them.
fn also(
    record: &Topology,
    (node, it): (&NodeAddr, &Evidence),
    said: &BTreeMap<NodeAddr, Evidence>,
) -> Vec<String> {
    let elsewhere = if record.is_in_masters_zone(node) { "" } else { ", not the master's" };
    let zone = record.zone(node).map(|zone| format!("zone {zone}{elsewhere}"));
    let version = it.version.as_ref().map(|version| {
        let older = said.iter().filter(|(_, other)| is_newer(version, other.version.as_deref()));
        let older: Vec<_> = older.map(|(node, _)| node.to_string()).collect();
        if older.is_empty() {
            return version.clone();
        }
        format!("{version} (which older ones may be unable to copy from: {})", older.join(", "))
    });
    let persistence = it.appends.map(|appends| match (appends, it.saved) {
        (true, _) => "append-only file",
        (false, Some(_)) => "no append-only file, has saved a snapshot",
        (false, None) => "no append-only file, and no snapshot saved since it started",
    });
    [zone, version, persistence.map(str::to_owned)].into_iter().flatten().collect()
}

/// Whether `version` is a later one of the same make, by more than its last number: its snapshots may be in a format
/// that the other can't read.
fn is_newer(version: &str, other: Option<&str>) -> bool {
    let parts = |text: &str| {
        let (make, numbers) = text.split_once(' ')?;
        let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().ok());
        Some((make.to_owned(), numbers.next()??, numbers.next()??))
    };
    let Some(((make, major, minor), (other, others_major, others_minor))) =
        parts(version).zip(other.and_then(parts))
    else {
        return false;
    };
    make == other && (major, minor) > (others_major, others_minor)
}

impl Prospects {
    /// The node that takes over: the wanted one, or of those that can the one with the lowest priority number, in the
    /// master's zone, the least behind, the first in the operator's order.
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
        let best = able.min_by_key(|(node, prospect)| {
            (prospect.priority, !record.is_in_masters_zone(node), prospect.behind)
        });
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
