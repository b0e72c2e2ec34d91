//! Whether the others can follow, and can go on following after an interruption, whoever leads.

use std::time::Duration;

use redis_failover_core::NodeAddr;
use secrecy::ExposeSecret;

use super::{Judge, bytes, cli, set};
use crate::cli::doctor::facts::{Facts, NodeFacts};
use crate::cli::doctor::finding::{Finding, Name, Severity};

pub(super) const JUDGES: &[Judge] = &[
    not_following,
    masterauth_missing,
    masterauth_wrong,
    replica_writable,
    backlog_too_small,
    backlog_expires,
    output_buffer_small,
];

fn not_following(facts: &Facts) -> Option<Finding> {
    let found = facts.replicas().filter_map(|(node, told)| {
        let field = |name| told.info.field(name).unwrap_or_default();
        match (told.info.field("role")?, field("master_link_status"), field("master_sync_in_progress")) {
            ("master", ..) => Some(format!("{node} says that it is a master")),
            (_, "down", "0") => Some(format!(
                "{node} has lost {}:{}, {} s ago",
                field("master_host"),
                field("master_port"),
                told.counted("master_link_down_since_seconds").unwrap_or_default()
            )),
            _ => None,
        }
    });
    let found: Vec<_> = found.collect();
    let why = "what was written since is on fewer nodes, and it may not take over without a loss";
    let fix =
        "its log says why it can't follow; a password that is missing is found under masterauth-missing"
            .to_owned();
    Finding::of(Severity::Error, Name::NotFollowing, found, why, [fix])
}

/// The nodes that could not log in to others, with these.
fn shut_out<'a>(
    facts: &'a Facts,
    fails: impl Fn(&NodeFacts, &NodeFacts) -> bool + 'a,
) -> Vec<(&'a NodeAddr, Vec<&'a NodeAddr>)> {
    let out = facts.told().map(|(node, told)| {
        let others = facts.told().filter(|(other, its)| *other != node && fails(told, its));
        (node, others.map(|(other, _)| other).collect::<Vec<_>>())
    });
    out.filter(|(_, others)| !others.is_empty()).collect()
}

fn names(nodes: &[&NodeAddr]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An error where one can't follow the master of now, a warning where it could not follow another.
fn weight(facts: &Facts, shut_out: &[(&NodeAddr, Vec<&NodeAddr>)]) -> Severity {
    let now = shut_out.iter().any(|(_, others)| others.contains(&&facts.record.master));
    if now { Severity::Error } else { Severity::Warning }
}

fn masterauth_missing(facts: &Facts) -> Option<Finding> {
    let out = shut_out(facts, |node, other| node.gives.is_none() && other.requires.is_some());
    let found = out.iter().map(|(node, others)| {
        format!("{node} has no masterauth, and these ask for a password: {}", names(others))
    });
    let found: Vec<_> = found.collect();
    let why = "it can't follow them: it is no replica now, or will be none when one of them leads";
    let fix = out.iter().map(|(node, _)| set(node, "masterauth", "PASSWORD"));
    let fix: Vec<_> = fix.collect();
    Finding::of(weight(facts, &out), Name::MasterauthMissing, found, why, fix)
}

fn masterauth_wrong(facts: &Facts) -> Option<Finding> {
    let out = shut_out(facts, |node, other| {
        // Whose password another user's is, only the other server knows.
        let as_default = node.setting("masteruser").unwrap_or_default().is_empty();
        let pair = node.gives.as_ref().zip(other.requires.as_ref());
        as_default && pair.is_some_and(|(gives, requires)| gives.expose_secret() != requires.expose_secret())
    });
    let found = out.iter().map(|(node, others)| {
        format!("the masterauth of {node} is not the password (requirepass) of {}", names(others))
    });
    let found: Vec<_> = found.collect();
    let why = "it can't follow them: it is no replica now, or will be none when one of them leads";
    let fix = out.iter().map(|(node, _)| set(node, "masterauth", "PASSWORD"));
    let fix: Vec<_> = fix.collect();
    Finding::of(weight(facts, &out), Name::MasterauthWrong, found, why, fix)
}

fn replica_writable(facts: &Facts) -> Option<Finding> {
    let open: Vec<_> = facts
        .told()
        .filter(|(_, told)| told.setting("replica-read-only") == Some("no"))
        .map(|(node, _)| node)
        .collect();
    let found = open.iter().map(|node| format!("{node} has replica-read-only no"));
    let found: Vec<_> = found.collect();
    let why = "what is written to a replica is on no other node, and is gone with its next full copy";
    let fix: Vec<_> = open.iter().map(|node| set(node, "replica-read-only", "yes")).collect();
    Finding::of(Severity::Warning, Name::ReplicaWritable, found, why, fix)
}

/// How many bytes are written in a second, and in how long that was counted.
fn rate(facts: &Facts) -> Option<(u64, Duration)> {
    let (written, span) = facts.master()?.written?;
    let millis = u64::try_from(span.as_millis()).ok()?.max(1);
    Some((written.saturating_mul(1000) / millis, span))
}

fn backlog_too_small(facts: &Facts) -> Option<Finding> {
    let (rate, span) = rate(facts)?;
    let outage = facts.outage.max(facts.record.policy.link_grace());
    let needed = rate.saturating_mul(outage.as_secs().max(1));
    let small = facts.told().filter_map(|(node, told)| {
        told.number("repl-backlog-size").filter(|size| *size < needed).map(|size| (node, size))
    });
    let small: Vec<_> = small.collect();
    let found = small.iter().map(|(node, size)| {
        format!(
            "{node} keeps {} (repl-backlog-size), which is {} s of what is written: {} a second, counted for {:.1} s; \
             {} s need {}",
            bytes(*size),
            size / rate.max(1),
            bytes(rate),
            span.as_secs_f64(),
            outage.as_secs(),
            bytes(needed)
        )
    });
    let found: Vec<_> = found.collect();
    let why = "a replica that was away for longer needs a full copy: the master forks, and the replica has nothing to \
               offer meanwhile";
    let megabytes = needed.div_ceil(1 << 20);
    let fix = small.iter().map(|(node, _)| set(node, "repl-backlog-size", &format!("{megabytes}mb")));
    let fix: Vec<_> = fix.collect();
    Finding::of(Severity::Warning, Name::BacklogTooSmall, found, why, fix)
}

fn backlog_expires(facts: &Facts) -> Option<Finding> {
    let time = facts.master()?.number("repl-backlog-ttl").filter(|time| *time > 0)?;
    let master = &facts.record.master;
    let found = format!("the master {master} has repl-backlog-ttl {time}");
    let why = format!(
        "without replicas for {time} s it forgets its backlog and begins another history: each replica then needs a \
         full copy"
    );
    let fix = set(master, "repl-backlog-ttl", "0");
    Finding::of(Severity::Warning, Name::BacklogExpires, [found], why, [fix])
}

/// The hard limit of a replica's output buffer; `None` where there is none.
fn buffer_limit(told: &NodeFacts) -> Option<u64> {
    let words: Vec<_> = told.setting("client-output-buffer-limit")?.split_whitespace().collect();
    let class = words.iter().position(|word| ["slave", "replica"].contains(word))?;
    words.get(class + 1)?.parse().ok().filter(|limit| *limit > 0)
}

fn output_buffer_small(facts: &Facts) -> Option<Finding> {
    /// What a network of 1 Gbit/s carries in a second.
    const CARRIED: u64 = 125_000_000;
    let master = &facts.record.master;
    let told = facts.master()?;
    let (limit, (rate, _)) = (buffer_limit(told)?, rate(facts)?);
    let seconds = told.counted("used_memory")?.div_ceil(CARRIED);
    let needed = rate.saturating_mul(seconds);
    let found = (limit < needed).then(|| {
        format!(
            "{master} drops a replica that is {} behind (client-output-buffer-limit); a full copy of {} takes \
             {seconds} s at 1 Gbit/s, in which {} are written",
            bytes(limit),
            bytes(told.counted("used_memory").unwrap_or_default()),
            bytes(needed)
        )
    });
    let why = "a replica that needs a full copy is dropped before it has it, and begins again, for ever";
    let limit = needed.saturating_mul(2).div_ceil(1 << 20) << 20;
    let fix = format!("{} CONFIG SET client-output-buffer-limit \"replica {limit} 0 0\"", cli(master));
    Finding::of(Severity::Warning, Name::OutputBufferSmall, found, why, [fix])
}
