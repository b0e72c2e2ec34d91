//! Who leads where none may that can be compared. It judges who may, and ranks nobody who is eligible.

use std::collections::BTreeMap;

use super::Dropped;
use crate::names::NodeAddr;
use crate::position::Lineages;
use crate::topology::Topology;
use crate::view::Evidence;

/// Who leads where no member is eligible, and nothing better is to be waited for.
pub(super) fn nothing_better(
    record: &Topology,
    evidence: &BTreeMap<NodeAddr, Evidence>,
    lineages: &Lineages,
    dropped: &BTreeMap<NodeAddr, Dropped>,
) -> Option<NodeAddr> {
    let willing = |node: &NodeAddr| dropped.get(node) == Some(&Dropped::UnknownHistory);
    let master = Some(&record.master).filter(|master| willing(master));
    // An append-only file has all of its keys, but no name. A snapshot without a name may be of any age: Redis 6.2
    // never reads a master's, and one that was saved before the first replica came has none.
    let holds_all = |node: &NodeAddr| {
        let it = &evidence[node];
        let restarted = record.run_of(node).is_some_and(|run| *run != it.run);
        // Who never followed has no newer one.
        let others = record.nodes().any(|other| other != node && record.synced.contains_key(other));
        it.keys > 0 && !(restarted && others && it.appends == Some(false))
    };
    if let Some(master) = master.filter(|master| holds_all(master)) {
        return Some(master.clone());
    }
    if let Some(heir) = heir(record, evidence, dropped) {
        return Some(heir);
    }
    let all_here = record.nodes().all(|node| evidence.contains_key(node));
    if !all_here {
        return None;
    }
    let holders: Vec<_> = record.nodes().filter(|node| evidence[*node].keys > 0).collect();
    let name = holders.first().map(|node| &evidence[*node].history.replid);
    let one_history = holders.iter().all(|node| Some(&evidence[*node].history.replid) == name);
    // Who holds no keys, has a known history and was not restarted may be right: they were deleted.
    let known = evidence.iter().any(|(node, it)| {
        lineages.locate(&it.history).is_some() && record.run_of(node).is_none_or(|run| *run == it.run)
    });
    let holder =
        most(record, holders.iter().copied(), evidence).filter(|node| willing(node) && one_history && !known);
    if let Some(holder) = holder {
        // All the others are here and empty, or behind it: this is all that is left.
        return Some(holder.clone());
    }
    if holders.is_empty() {
        return master.or_else(|| record.nodes().find(|node| willing(node))).cloned();
    }
    None
}

/// The replica that has most of what the missing master wrote under a name that it took while nobody led.
///
/// Only where all the others are here, each in the run in which it was recorded as following, and all share that name.
fn heir(
    record: &Topology,
    evidence: &BTreeMap<NodeAddr, Evidence>,
    dropped: &BTreeMap<NodeAddr, Dropped>,
) -> Option<NodeAddr> {
    if evidence.contains_key(&record.master) {
        return None;
    }
    let others = || record.nodes().filter(|node| **node != record.master);
    let name = &evidence.values().next()?.history.replid;
    let followed = |node: &NodeAddr| {
        evidence.get(node).is_some_and(|it| {
            it.history.replid == *name && it.keys > 0 && record.synced.get(node) == Some(&it.run)
        })
    };
    let willing = |node: &&NodeAddr| dropped.get(*node) == Some(&Dropped::UnknownHistory);
    others().all(followed).then(|| most(record, others().filter(willing), evidence)).flatten().cloned()
}

/// The one of `nodes`, which share a history, that has most of it.
fn most<'a>(
    record: &Topology,
    nodes: impl Iterator<Item = &'a NodeAddr>,
    evidence: &BTreeMap<NodeAddr, Evidence>,
) -> Option<&'a NodeAddr> {
    let order = |node: &&NodeAddr| {
        let it = &evidence[*node];
        (std::cmp::Reverse(it.history.offset), record.priority(node, it), (*node).clone())
    };
    nodes.min_by_key(order)
}
