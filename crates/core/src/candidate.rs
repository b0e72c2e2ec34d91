//! Who may take over, in which order, and why the others may not. It ranks what was read; it asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::names::NodeAddr;
use crate::position::{Lineage, Lineages, Position};
use crate::topology::Topology;
use crate::view::{Evidence, Link, Role};

/// Why a node may not take over now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It did not answer the freeze.
    NotFrozen,
    /// The monitors find it up but of no use, and it is the master that is being replaced for that.
    Unusable,
    /// Its operator said never (`replica-priority 0`).
    PriorityZero,
    /// It was being filled with a full copy.
    HalfSynced,
    /// It is empty while another holds keys.
    Empty,
    /// It holds a history that the group never recorded: nobody knows what is missing in it.
    UnknownHistory,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFrozen => "did not answer",
            Self::Unusable => "unusable",
            Self::PriorityZero => "replica-priority 0",
            Self::HalfSynced => "in the middle of a full sync",
            Self::Empty => "empty while another holds keys",
            Self::UnknownHistory => "its history is not in the record",
        })
    }
}

/// The outcome of a ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// Who takes over, if anybody may.
    pub chosen: Option<NodeAddr>,
    /// Where each eligible node stands.
    pub positions: BTreeMap<NodeAddr, Position>,
    /// Why the others are not eligible.
    pub dropped: BTreeMap<NodeAddr, Dropped>,
}

/// Ranks the members of `record` by what they said when they were frozen; those in `unusable` stay out.
///
/// The greatest position wins. Among equals the lower `replica-priority` wins, then the address. Where no member
/// is eligible but the recorded master came back with its keys, or where all members are there and all are empty,
/// there is nothing better to wait for, and the recorded master wins.
pub fn rank_candidates(
    record: &Topology,
    evidence: &BTreeMap<NodeAddr, Evidence>,
    unusable: &BTreeSet<NodeAddr>,
) -> Ranking {
    let lineages = lineages(record, evidence);
    let keys_somewhere = evidence.values().any(|evidence| evidence.keys > 0);
    let mut ranking = Ranking { chosen: None, positions: BTreeMap::new(), dropped: BTreeMap::new() };
    for node in record.nodes() {
        let judged = match evidence.get(node) {
            None => Err(Dropped::NotFrozen),
            Some(_) if unusable.contains(node) => Err(Dropped::Unusable),
            Some(evidence) => judge(evidence, &lineages, keys_somewhere),
        };
        match judged {
            Ok(position) => drop(ranking.positions.insert(node.clone(), position)),
            Err(reason) => drop(ranking.dropped.insert(node.clone(), reason)),
        }
    }
    let order = |(node, position): &(&NodeAddr, &Position)| {
        (std::cmp::Reverse(**position), evidence[*node].priority, (*node).clone())
    };
    ranking.chosen = ranking.positions.iter().min_by_key(order).map(|(node, _)| node.clone());
    if ranking.chosen.is_none() {
        ranking.chosen = nothing_better(record, evidence, &ranking.dropped);
    }
    ranking
}

fn judge(evidence: &Evidence, lineages: &Lineages, keys_somewhere: bool) -> Result<Position, Dropped> {
    if evidence.priority == 0 {
        return Err(Dropped::PriorityZero);
    }
    if matches!(evidence.role, Role::Replica { link: Link::Syncing, .. }) {
        return Err(Dropped::HalfSynced);
    }
    if evidence.keys == 0 && keys_somewhere {
        return Err(Dropped::Empty);
    }
    lineages.locate(&evidence.history).ok_or(Dropped::UnknownHistory)
}

/// The recorded lineages, or, where none was recorded yet, the one that all frozen nodes share.
///
/// An adopted group whose master died before it was ever seen has no recorded lineage.
fn lineages(record: &Topology, evidence: &BTreeMap<NodeAddr, Evidence>) -> Lineages {
    let mut names = evidence.values().map(|evidence| &evidence.history.replid);
    match names.next() {
        Some(first) if record.lineages.current().is_none() && names.all(|name| name == first) => {
            let shared = Lineage { replid: first.clone(), epoch: record.epoch, start: 0, parent: None };
            record.lineages.with(shared)
        }
        _ => record.lineages.clone(),
    }
}

fn nothing_better(
    record: &Topology,
    evidence: &BTreeMap<NodeAddr, Evidence>,
    dropped: &BTreeMap<NodeAddr, Dropped>,
) -> Option<NodeAddr> {
    let willing = |node: &NodeAddr| dropped.get(node) == Some(&Dropped::UnknownHistory);
    let master = Some(&record.master).filter(|master| willing(master));
    if let Some(master) = master.filter(|master| evidence[*master].keys > 0) {
        return Some(master.clone());
    }
    let all_here = record.nodes().all(|node| evidence.contains_key(node));
    let all_empty = evidence.values().all(|evidence| evidence.keys == 0);
    if all_here && all_empty {
        return master.or_else(|| record.nodes().find(|node| willing(node))).cloned();
    }
    None
}
