//! What a master may do, now and on each node that may be the next: keep its data, take writes, hold as much.

use std::time::Duration;

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{Fencing, NodeAddr, Phase};

use super::{Judge, bytes, set};
use crate::cli::doctor::facts::{Facts, NodeFacts};
use crate::cli::doctor::finding::{Finding, Name, Severity};

pub(super) const JUDGES: &[Judge] = &[
    no_persistence,
    closed,
    min_replicas_without_spare,
    min_replicas_off,
    fencing_off,
    maxmemory_smaller,
    clients_near_limit,
    stale_reads_refused,
    timeout_set,
    busy_after_down,
];

/// The nodes of which this holds, each with its line.
fn each<'a>(
    facts: &'a Facts,
    says: impl Fn(&NodeAddr, &NodeFacts) -> Option<String> + 'a,
) -> (Vec<&'a NodeAddr>, Vec<String>) {
    facts.told().filter_map(|(node, told)| Some((node, says(node, told)?))).unzip()
}

fn no_persistence(facts: &Facts) -> Option<Finding> {
    let (nodes, found) = each(facts, |node, told| {
        let nothing = told.setting("save") == Some("") && told.setting("appendonly") == Some("no");
        nothing.then(|| format!("{node} keeps nothing on its disk (save \"\", appendonly no)"))
    });
    let why = "a supervisor that restarts it brings it back empty. A master that came back so is replaced before its \
               replicas copy its emptiness, but that is a race, nobody runs it while no monitor leads, and what \
               restarts all nodes at once loses everything (docs/guarantees.md)";
    let mut fix: Vec<_> = nodes.iter().map(|node| set(node, "appendonly", "yes")).collect();
    fix.push("or let no supervisor restart it: a node that stays dead loses nothing".to_owned());
    Finding::of(Severity::Warning, Name::NoPersistence, found, why, fix)
}

/// The master's `min-replicas-to-write`.
fn min_replicas(facts: &Facts) -> Option<u64> {
    facts.master()?.number("min-replicas-to-write")
}

fn closed(facts: &Facts) -> Option<Finding> {
    let closed = min_replicas(facts)? >= u64::from(CLOSED) && facts.record.phase == Phase::Steady;
    let master = &facts.record.master;
    let found = closed.then(|| format!("the master {master} has min-replicas-to-write {CLOSED}"));
    let why = "it takes no writes; the leader opens a published master at once, if one leads";
    let number = facts.record.min_replicas_to_write.to_string();
    let fix = [
        "look whether a monitor leads, and what its log says:".to_owned(),
        facts.place.command("status", &[]),
        format!("only while none does: {}", set(master, "min-replicas-to-write", &number)),
    ];
    Finding::of(Severity::Error, Name::MasterClosed, found, why, fix)
}

fn min_replicas_without_spare(facts: &Facts) -> Option<Finding> {
    let (number, master) = (min_replicas(facts)?, &facts.record.master);
    let replicas = facts.record.members.len() as u64 - 1;
    // 1 is the fence, which the leader lifts when the last replica is lost.
    let is_own = number > 1 || facts.record.policy.fencing() == Fencing::Off;
    let applies = is_own && number > 0 && number < u64::from(CLOSED) && number >= replicas;
    let found = applies.then(|| {
        format!("the master {master} takes writes only with {number} replicas (min-replicas-to-write), of {replicas}")
    });
    let (severity, why) = if number > replicas {
        (Severity::Error, "there are not so many: it takes no writes")
    } else {
        (
            Severity::Warning,
            "when one replica is lost it takes no writes, and so it is for a while after each failover",
        )
    };
    let fix = set(master, "min-replicas-to-write", &replicas.saturating_sub(1).min(1).to_string());
    Finding::of(severity, Name::MinReplicasWithoutSpare, found, why, [fix])
}

fn min_replicas_off(facts: &Facts) -> Option<Finding> {
    let (nodes, found) = each(facts, |node, told| {
        let (number, lag) = (told.number("min-replicas-to-write")?, told.number("min-replicas-max-lag")?);
        (number > 0 && lag == 0)
            .then(|| format!("{node} has min-replicas-to-write {number} and min-replicas-max-lag 0"))
    });
    let why = "with 0 there the server ignores the other: a master that is cut off goes on taking writes that are lost";
    let fix: Vec<_> = nodes.iter().map(|node| set(node, "min-replicas-max-lag", "2")).collect();
    Finding::of(Severity::Warning, Name::MinReplicasOff, found, why, fix)
}

fn fencing_off(facts: &Facts) -> Option<Finding> {
    let off = facts.record.policy.fencing() == Fencing::Off && facts.record.members.len() > 1;
    let found = off.then(|| "the group's policy is fencing off".to_owned());
    let why =
        "a master that is cut off from the others goes on taking its clients' writes, and they are lost";
    let fix = facts.place.command("config set", &["fencing=replicas"]);
    Finding::of(Severity::Note, Name::FencingOff, found, why, [fix])
}

fn maxmemory_smaller(facts: &Facts) -> Option<Finding> {
    let master = facts.master()?;
    let (limit, used) = (master.number("maxmemory")?, master.counted("used_memory").unwrap_or_default());
    let smaller = facts.replicas().filter_map(|(node, told)| {
        let its = told.number("maxmemory").filter(|its| *its > 0 && (limit == 0 || *its < limit))?;
        Some((node, its))
    });
    let smaller: Vec<_> = smaller.collect();
    let masters = if limit == 0 { "none".to_owned() } else { bytes(limit) };
    let found = smaller.iter().map(|(node, its)| {
        format!(
            "the maxmemory of {node} is {}, the master's is {masters}, and it uses {}",
            bytes(*its),
            bytes(used)
        )
    });
    let found: Vec<_> = found.collect();
    let overflows = smaller.iter().any(|(_, its)| *its < used);
    let severity = if overflows { Severity::Error } else { Severity::Warning };
    let why = "a replica holds what its master holds; once it leads it evicts keys or refuses writes, by its policy";
    let fix: Vec<_> = smaller.iter().map(|(node, _)| set(node, "maxmemory", &limit.to_string())).collect();
    Finding::of(severity, Name::MaxmemorySmaller, found, why, fix)
}

fn clients_near_limit(facts: &Facts) -> Option<Finding> {
    let (nodes, found) = each(facts, |node, told| {
        let (clients, limit) = (told.counted("connected_clients")?, told.number("maxclients")?);
        (clients * 10 >= limit * 9)
            .then(|| format!("{clients} clients are connected to {node}, {limit} may be (maxclients)"))
    });
    let why = "a server that is full lets no monitor in: it can't be watched anew or commanded; with TLS it looks dead";
    let fix: Vec<_> = nodes.iter().map(|node| set(node, "maxclients", "NUMBER")).collect();
    Finding::of(Severity::Warning, Name::ClientsNearLimit, found, why, fix)
}

fn stale_reads_refused(facts: &Facts) -> Option<Finding> {
    let (nodes, found) = each(facts, |node, told| {
        (told.setting("replica-serve-stale-data")? == "no")
            .then(|| format!("{node} has replica-serve-stale-data no"))
    });
    let why = "a replica without its master refuses reads (MASTERDOWN): in each failover all nodes do";
    let fix: Vec<_> = nodes.iter().map(|node| set(node, "replica-serve-stale-data", "yes")).collect();
    Finding::of(Severity::Note, Name::StaleReadsRefused, found, why, fix)
}

fn timeout_set(facts: &Facts) -> Option<Finding> {
    let (nodes, found) = each(facts, |node, told| {
        let time = told.number("timeout").filter(|time| *time > 0)?;
        Some(format!("{node} ends connections that are idle for {time} s (timeout)"))
    });
    let why = "the leader's connections, over which it commands, are idle in a quiet group: each is opened and \
               confirmed anew when it is needed, and so are the clients'";
    let fix: Vec<_> = nodes.iter().map(|node| set(node, "timeout", "0")).collect();
    Finding::of(Severity::Note, Name::TimeoutSet, found, why, fix)
}

fn busy_after_down(facts: &Facts) -> Option<Finding> {
    let down_after = facts.record.policy.down_after();
    let name = |told: &NodeFacts| {
        // Its name before Redis 7.
        ["busy-reply-threshold", "lua-time-limit"].into_iter().find(|name| told.setting(name).is_some())
    };
    let (nodes, found) = each(facts, |node, told| {
        let name = name(told)?;
        let millis = told.number(name)?;
        (Duration::from_millis(millis) >= down_after).then(|| {
            format!("{node} says BUSY after {millis} ms ({name}), and counts as down after {down_after:?}")
        })
    });
    let why = "a master that runs a script for longer is taken for one that hangs, and is replaced";
    let half = (down_after / 2).as_millis().to_string();
    let fix = nodes.iter().filter_map(|node| {
        let told = facts.nodes.get(*node)?.as_ref().ok()?;
        Some(set(node, name(told)?, &half))
    });
    let fix: Vec<_> = fix.collect();
    Finding::of(Severity::Note, Name::BusyAfterDown, found, why, fix)
}
