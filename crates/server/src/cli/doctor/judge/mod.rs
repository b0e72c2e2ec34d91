//! What will bite, judged from the facts alone: a pure function. Each file judges one side of a group.

mod hosts;
mod master;
mod monitors;
mod nodes;
mod replication;
mod rights;
mod zookeeper;

use redis_failover_core::NodeAddr;

use super::facts::{Facts, NodeFacts};
use super::finding::Finding;

/// Finds one kind of thing, or does not.
type Judge = fn(&Facts) -> Option<Finding>;

/// What was found, the heaviest first.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let sides: [&[Judge]; 7] = [
        monitors::JUDGES,
        zookeeper::JUDGES,
        hosts::JUDGES,
        nodes::JUDGES,
        replication::JUDGES,
        master::JUDGES,
        rights::JUDGES,
    ];
    let mut findings: Vec<_> = sides.into_iter().flatten().filter_map(|judge| judge(facts)).collect();
    findings.sort_by_key(|finding| (finding.severity, finding.name));
    findings
}

impl Facts {
    /// The nodes that said something, in the operator's order.
    fn told(&self) -> impl Iterator<Item = (&NodeAddr, &NodeFacts)> {
        self.record.nodes().filter_map(|node| Some((node, self.nodes.get(node)?.as_ref().ok()?)))
    }

    /// What the master said.
    fn master(&self) -> Option<&NodeFacts> {
        self.nodes.get(&self.record.master)?.as_ref().ok()
    }

    /// The nodes but the master that said something.
    fn replicas(&self) -> impl Iterator<Item = (&NodeAddr, &NodeFacts)> {
        self.told().filter(|(node, _)| **node != self.record.master)
    }
}

/// How a setting is set on a node, and written into its configuration file.
fn set(node: &NodeAddr, setting: &str, value: &str) -> String {
    format!(
        "{} CONFIG SET {setting} {value}   # and `{setting} {value}` in its configuration file",
        cli(node)
    )
}

/// How a node is called by hand.
fn cli(node: &NodeAddr) -> String {
    format!("redis-cli -h {} -p {}", node.host(), node.port())
}

/// A number of bytes, as a person reads it.
fn bytes(number: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| number >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(number) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{number} bytes"),
    }
}
