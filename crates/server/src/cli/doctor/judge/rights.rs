//! What the monitors' user may do on the servers, and what the servers have.

use std::collections::BTreeSet;

use redis_failover_core::{NodeAddr, OnDivergence};

use super::{Judge, cli};
use crate::cli::doctor::facts::{Facts, NodeFacts, Right};
use crate::cli::doctor::finding::{Finding, Name, Severity};
use crate::cli::doctor::rights::VITAL;

pub(super) const JUDGES: &[Judge] = &[rights_missing, command_missing, snapshot_name_protected];

fn listed(rights: &BTreeSet<Right>) -> String {
    rights.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The nodes that lack something, with what.
fn lacking<'a>(
    facts: &'a Facts,
    of: impl Fn(&NodeFacts) -> &BTreeSet<Right> + 'a,
) -> (Vec<(&'a NodeAddr, &'a BTreeSet<Right>)>, Severity) {
    let lacking = facts.told().map(|(node, told)| (node, of(told))).filter(|(_, rights)| !rights.is_empty());
    let lacking: Vec<_> = lacking.collect();
    let vital = lacking.iter().flat_map(|(_, rights)| *rights).any(|right| VITAL.contains(&right.0));
    (lacking, if vital { Severity::Error } else { Severity::Warning })
}

/// What it costs to go without these.
fn cost(lacking: &[(&NodeAddr, &BTreeSet<Right>)]) -> String {
    let lacks = |prefix: &str| {
        lacking.iter().flat_map(|(_, rights)| *rights).any(|right| right.0.starts_with(prefix))
    };
    let mut costs = Vec::new();
    if VITAL.iter().any(|vital| lacks(vital)) {
        costs.push("the monitors can't watch the node, or can't make it follow or lead: it takes part in no failover");
    }
    if lacks("client|pause") || lacks("client|unpause") {
        costs.push("in a switchover writes are refused and sent again, not held");
    }
    if ["client|setname", "client|id", "client|list", "client|kill"].iter().any(|right| lacks(right)) {
        costs.push("a command of a deposed leader that arrives late is still carried out, and a demoted master keeps \
                    its clients");
    }
    if lacks("config") {
        costs.push(
            "a promoted node is not closed to writes until it is published, a master that is cut off is not \
                    fenced, and roles are not written into configuration files",
        );
    }
    if lacks("bgsave") {
        costs.push("what a node alone holds can't be saved: the node is held back");
    }
    costs.join("; ")
}

fn rights_missing(facts: &Facts) -> Option<Finding> {
    let (lacking, severity) = lacking(facts, |told| &told.refused);
    let user = &facts.redis_user;
    let found =
        lacking.iter().map(|(node, rights)| format!("on {node} user {user} may not run {}", listed(rights)));
    let fix = lacking.iter().map(|(node, rights)| {
        // A shell takes the bar for itself.
        let rule = rights.iter().map(|right| format!("'+{right}'")).collect::<Vec<_>>().join(" ");
        format!("{} ACL SETUSER {user} {rule}   # and in its aclfile or configuration file", cli(node))
    });
    Finding::of(severity, Name::RightsMissing, found, cost(&lacking), fix)
}

fn command_missing(facts: &Facts) -> Option<Finding> {
    let (lacking, severity) = lacking(facts, |told| &told.unknown);
    let found = lacking.iter().map(|(node, rights)| format!("{node} does not know {}", listed(rights)));
    let fix = "take the line rename-command out of its configuration file; restrict users by ACL instead"
        .to_owned();
    Finding::of(severity, Name::CommandMissing, found, cost(&lacking), [fix])
}

fn snapshot_name_protected(facts: &Facts) -> Option<Finding> {
    let saves = facts.record.policy.on_divergence() == OnDivergence::Save;
    let shut =
        facts.told().filter(|(_, told)| saves && told.setting("enable-protected-configs") == Some("no"));
    let found =
        shut.map(|(node, _)| format!("{node} has enable-protected-configs no, and on_divergence is save"));
    let found: Vec<_> = found.collect();
    let why = "what only it holds can't be saved in a file of its own: a node that comes back with such data is held \
               back until you have copied it";
    let fix = "enable-protected-configs yes   # in its configuration file, and restart it".to_owned();
    Finding::of(Severity::Warning, Name::SnapshotNameProtected, found, why, [fix])
}
