//! Which machines carry what: whose loss takes more than one thing. Machines are told apart by addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use redis_failover_core::NodeAddr;

use super::Judge;
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::{Finding, Name, Severity};

pub(super) const JUDGES: &[Judge] = &[loopback, nodes_on_one, beside_redis];

/// A machine, as far as addresses tell, and what of the group it carries.
#[derive(Default)]
struct Machine {
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
    nodes: Vec<String>,
    monitors: Vec<String>,
    zookeepers: usize,
}

/// The machine of this host, which is made where it is none of those that are known.
fn machine<'a>(machines: &'a mut Vec<Machine>, facts: &Facts, host: &str) -> &'a mut Machine {
    let addresses = facts.addresses.get(host).cloned().unwrap_or_default();
    let is_it = |it: &Machine| it.names.contains(host) || !it.addresses.is_disjoint(&addresses);
    let index = machines.iter().position(is_it).unwrap_or_else(|| {
        machines.push(Machine::default());
        machines.len() - 1
    });
    let machine = &mut machines[index];
    machine.names.insert(host.to_owned());
    machine.addresses.extend(addresses);
    machine
}

/// The machines; none where an address is every machine's own.
fn machines(facts: &Facts) -> Vec<Machine> {
    let mut machines = Vec::new();
    for node in facts.record.nodes() {
        machine(&mut machines, facts, node.host()).nodes.push(node.to_string());
    }
    for (id, it) in &facts.alive {
        if let Some(address) = it.address.as_ref().and_then(|it| it.parse::<NodeAddr>().ok()) {
            machine(&mut machines, facts, address.host()).monitors.push(id.to_string());
        }
    }
    for host in facts.zookeepers().into_iter().flatten() {
        machine(&mut machines, facts, host).zookeepers += 1;
    }
    let own = |address: &IpAddr| address.is_loopback() || address.is_unspecified();
    if machines.iter().any(|machine| machine.addresses.iter().any(own)) { Vec::new() } else { machines }
}

fn loopback(facts: &Facts) -> Option<Finding> {
    let is_loopback =
        |node: &&NodeAddr| facts.addresses.get(node.host()).into_iter().flatten().any(IpAddr::is_loopback);
    let nodes: Vec<_> = facts.record.nodes().filter(is_loopback).map(ToString::to_string).collect();
    let found = (!nodes.is_empty()).then(|| format!("published as a loopback address: {}", nodes.join(", ")));
    let why =
        "clients and monitors on other machines reach themselves there; what shares a machine can't be told";
    let fix = "list each node as its clients reach it (redishosts)".to_owned();
    Finding::of(Severity::Note, Name::LoopbackAddresses, found, why, [fix])
}

fn nodes_on_one(facts: &Facts) -> Option<Finding> {
    let machines = machines(facts);
    let all = facts.record.members.len();
    let found = machines.iter().filter(|machine| all > 1 && machine.nodes.len() == all);
    let found =
        found.map(|machine| format!("all {all} nodes are on one machine: {}", machine.nodes.join(", ")));
    let found: Vec<_> = found.collect();
    let why = "when that machine is lost nobody is left to take over";
    let fix = "let one node at least run on another machine".to_owned();
    Finding::of(Severity::Warning, Name::NodesOnOneHost, found, why, [fix])
}

fn beside_redis(facts: &Facts) -> Option<Finding> {
    let machines = machines(facts);
    let all = facts.zookeepers()?.len();
    let found = machines.iter().filter(|machine| {
        let carries = !machine.nodes.is_empty() || !machine.monitors.is_empty();
        carries && machine.zookeepers > 0 && (all - machine.zookeepers) * 2 <= all
    });
    let found = found.map(|machine| {
        let carried = [&machine.nodes[..], &machine.monitors[..]].concat().join(", ");
        let hosts = machine.names.iter().cloned().collect::<Vec<_>>().join(", ");
        format!("{hosts} carries {} of {all} ZooKeeper servers, and {carried}", machine.zookeepers)
    });
    let found: Vec<_> = found.collect();
    let why = "when that machine is lost ZooKeeper has no majority, and no master is replaced: just when one has to be";
    let fix = "spread ZooKeeper over three machines, so that a majority is left whichever is lost".to_owned();
    Finding::of(Severity::Warning, Name::ZookeeperBesideRedis, found, why, [fix])
}
