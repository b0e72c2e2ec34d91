//! The nodes: whether they answer, may take over, are of one version and one time.

use redis_failover_core::NodeAddr;

use super::Judge;
use crate::cli::bars::{self, Bar};
use crate::cli::doctor::facts::{Facts, NodeFacts};
use crate::cli::doctor::finding::{Finding, Name, Severity};

pub(super) const JUDGES: &[Judge] = &[
    unreachable,
    not_checked,
    single,
    nobody_may_take_over,
    cluster_mode,
    replica_older,
    versions_differ,
    clock_differs,
    no_config_file,
];

fn unreachable(facts: &Facts) -> Option<Finding> {
    let found = facts.record.nodes().filter_map(|node| {
        let why = facts.nodes.get(node)?.as_ref().err()?;
        Some(format!("{node}: {why}"))
    });
    let found: Vec<_> = found.collect();
    let why = "nothing is known of it but what the monitors say (redis-failover status); nothing else of it was judged";
    let fix = "if it lives, give this command the monitors' user, password and certificates".to_owned();
    Finding::of(Severity::Error, Name::NodeUnreachable, found, why, [fix])
}

fn not_checked(facts: &Facts) -> Option<Finding> {
    let found = facts.told().flat_map(|(node, told)| {
        told.unread.iter().map(move |(what, why)| format!("{node}: {what} could not be read: {why}"))
    });
    let found: Vec<_> = found.collect();
    let why = "no finding that needs it can be made for this node; its absence here says nothing";
    let fix =
        format!("let {} run info and config|get: see rights-missing and command-missing", facts.redis_user);
    Finding::of(Severity::Note, Name::NotChecked, found, why, [fix])
}

fn single(facts: &Facts) -> Option<Finding> {
    let found =
        (facts.record.members.len() == 1).then(|| format!("{} is the only node", facts.record.master));
    let why = "when it is lost nobody can take over";
    let fix = format!("start a replica: redis-server … --replicaof {}", spaced(&facts.record.master));
    Finding::of(Severity::Warning, Name::SingleNode, found, why, [fix])
}

fn spaced(node: &NodeAddr) -> String {
    format!("{:?}", format!("{} {}", node.host(), node.port()))
}

fn priority(told: &NodeFacts) -> Option<u64> {
    told.number("replica-priority").or_else(|| told.counted("slave_priority"))
}

fn nobody_may_take_over(facts: &Facts) -> Option<Finding> {
    let barred = |node: &NodeAddr| {
        if let Some(bar) = Bar::of(&facts.record, node) {
            return Some((format!("{node} {bar}"), bar.lifted(&facts.place, node)));
        }
        if facts.record.orders.get(node).is_some_and(|orders| orders.priority.is_some()) {
            return None;
        }
        let told = facts.nodes.get(node)?.as_ref().ok()?;
        let own = || (format!("{node} has replica-priority 0"), super::set(node, "replica-priority", "100"));
        (priority(told)? == 0).then(own)
    };
    let all: Option<Vec<_>> = bars::others(&facts.record).map(barred).collect();
    let (found, fix): (Vec<_>, Vec<_>) = all.unwrap_or_default().into_iter().unzip();
    let why = "when the master is lost no node may take over";
    Finding::of(Severity::Error, Name::NobodyMayTakeOver, found, why, fix)
}

fn cluster_mode(facts: &Facts) -> Option<Finding> {
    let in_cluster = facts.told().filter(|(_, told)| told.info.field("cluster_enabled") == Some("1"));
    let found = in_cluster.map(|(node, _)| format!("{node} is in cluster mode (cluster-enabled yes)"));
    let found: Vec<_> = found.collect();
    let why = "it refuses REPLICAOF, so it can be neither frozen nor told to follow; a cluster fails over by itself";
    let fix = "cluster-enabled no   # in its configuration file, and restart it".to_owned();
    Finding::of(Severity::Error, Name::ClusterMode, found, why, [fix])
}

/// Which server it is, and its version's numbers.
fn version(told: &NodeFacts) -> Option<(&'static str, Vec<u32>)> {
    let (name, text) = match told.info.field("valkey_version") {
        Some(version) => ("Valkey", version),
        None => ("Redis", told.info.version()?),
    };
    Some((name, text.split('.').map_while(|number| number.parse().ok()).collect()))
}

fn shown((name, numbers): &(&str, Vec<u32>)) -> String {
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    format!("{name} {}", numbers.join("."))
}

/// Whether what it writes may be more than the other can read: patches change no format.
fn is_older(one: &(&str, Vec<u32>), other: &(&str, Vec<u32>)) -> bool {
    one.0 == other.0 && one.1.iter().take(2).lt(other.1.iter().take(2))
}

fn replica_older(facts: &Facts) -> Option<Finding> {
    let leads = version(facts.master()?)?;
    let found = facts.replicas().filter_map(|(node, told)| {
        let follows = version(told)?;
        is_older(&follows, &leads).then(|| {
            format!(
                "{node} is {}, and its master {} is {}",
                shown(&follows),
                facts.record.master,
                shown(&leads)
            )
        })
    });
    let found: Vec<_> = found.collect();
    let why = "an older server may not be able to read a newer one's data: then no full copy succeeds";
    let fix = "upgrade the replicas first, the master last".to_owned();
    Finding::of(Severity::Warning, Name::ReplicaOlder, found, why, [fix])
}

fn versions_differ(facts: &Facts) -> Option<Finding> {
    let all: Vec<_> = facts.told().filter_map(|(node, told)| Some((node, version(told)?))).collect();
    let differ = all.windows(2).any(|pair| pair[0].1 != pair[1].1);
    let found = differ.then(|| {
        all.iter().map(|(node, version)| format!("{node}: {}", shown(version))).collect::<Vec<_>>().join(", ")
    });
    let why = "once a newer node leads, older ones may not be able to follow it";
    let fix = "finish the upgrade".to_owned();
    Finding::of(Severity::Note, Name::VersionsDiffer, found, why, [fix])
}

fn clock_differs(facts: &Facts) -> Option<Finding> {
    /// In milliseconds.
    const TOLERATED: i64 = 1000;
    let found = facts.told().filter_map(|(node, told)| match told.ahead? {
        (least, _) if least > TOLERATED => {
            Some(format!("the clock of {node} is {least} ms ahead of this machine's"))
        }
        (_, most) if most < -TOLERATED => {
            Some(format!("the clock of {node} is {} ms behind this machine's", -most))
        }
        _ => None,
    });
    let found: Vec<_> = found.collect();
    let why = "keys expire at a time of day: when another node leads they live longer or shorter by the difference. \
               Nothing is decided by these clocks";
    let fix = "timedatectl set-ntp true   # on that machine, or on this one if it is all of them".to_owned();
    Finding::of(Severity::Warning, Name::ClockDiffers, found, why, [fix])
}

fn no_config_file(facts: &Facts) -> Option<Finding> {
    let without = facts.told().filter(|(_, told)| told.info.field("config_file") == Some(""));
    let found = without.map(|(node, _)| format!("{node} was started without a configuration file"));
    let found: Vec<_> = found.collect();
    let why = "what the monitors set on it is gone when it is restarted: it comes back as what its command line says, \
               until they have put it right";
    let fix = "redis-server /path/to/redis.conf".to_owned();
    Finding::of(Severity::Note, Name::NoConfigFile, found, why, [fix])
}
