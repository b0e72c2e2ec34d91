//! `redis-failover adopt`: an operator says which node is the master where the monitors cannot know it. What is known
//! of each node is shown first, as the monitors report it: no node is asked.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use redis_failover_core::{Found, NodeAddr, Report, Request, Topology, Wait};
use redis_failover_store::Snapshot;

use super::ask::has_leader;
use super::asking::Asking;
use super::confirm::Confirmation;
use super::outcome::Outcome;
use super::status;
use crate::config::{near, parse_node};
use crate::failure::{Failure, Kind};

/// What `adopt` is told.
#[derive(Args, Debug)]
pub(super) struct AdoptArgs {
    #[command(flatten)]
    asking: Asking,

    /// The node that is the right master, spelled as in the group's list: a master already, or, in a group in which
    /// nobody may take over, any that answers.
    #[arg(long, value_name = "NODE", value_parser = parse_node)]
    master: NodeAddr,

    /// Only say what is known of each node, and what would be done.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) fn run(args: AdoptArgs) -> Result<ExitCode, Failure> {
    let AdoptArgs { asking, master, dry_run, confirmation } = args;
    let snapshot = super::runtime()?.block_on(status::snapshot(&asking.store))?;
    has_leader(&asking.store, &snapshot)?;
    let known = Known::of(&snapshot);
    known.belongs(&master)?;
    let what = known.would(&master, SystemTime::now());
    if dry_run {
        return Outcome::looked_at(what).show(asking.json);
    }
    confirmation.tell_and_ask(&what, "Is it the right one?")?;
    asking.ask(&Request::Adopt { master })
}

/// What is said where the leader does not tell what the nodes hold.
const UNSEEN: &str =
    "; compare first what they hold (the leader refuses it where the group has a master that is right)";

/// What is known of a group.
struct Known<'a> {
    snapshot: &'a Snapshot,
    record: Option<&'a Topology>,
    nodes: Vec<&'a NodeAddr>,
}

impl<'a> Known<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let record = match snapshot.record.as_ref().map(|read| &read.found) {
            Ok(Found::Record(record)) => Some(&**record),
            Ok(Found::Nothing | Found::Predecessor { .. }) | Err(_) => None,
        };
        let mut nodes: Vec<_> = record.into_iter().flat_map(Topology::nodes).collect();
        // Where there is no record, or an old one, the monitors know the nodes.
        for node in snapshot.reports.values().flat_map(|report| report.votes.keys()) {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        Self { snapshot, record, nodes }
    }

    /// # Errors
    /// Where nobody knows the node.
    fn belongs(&self, node: &NodeAddr) -> Result<(), Failure> {
        if self.nodes.is_empty() || self.nodes.contains(&node) {
            return Ok(());
        }
        let all: Vec<_> = self.nodes.iter().map(ToString::to_string).collect();
        let message = format!("{node} is no node of the group; these are: {}", all.join(", "));
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let failure = Failure::new(Kind::Failed, message);
        Err(match near(&node.to_string(), &all) {
            Some(near) => failure.hint(format!("nothing was done; did you mean `{near}`?")),
            None => failure.hint("nothing was done"),
        })
    }

    /// What would be done, and what is known of each node, in clauses for people; the first begins with the node.
    fn would(&self, master: &NodeAddr, now: SystemTime) -> String {
        let each: Vec<_> = self.nodes.iter().map(|node| format!("{node}{}", self.about(node, now))).collect();
        let unseen = if self.waits().count() == 0 { UNSEEN } else { "" };
        format!(
            "{master} would be the master ({}); every other node would become its replica, and what {master} does \
             not hold would be lost{unseen}",
            each.join("; ")
        )
    }

    fn about(&self, node: &NodeAddr, now: SystemTime) -> String {
        let recorded = self.record.is_some_and(|record| record.master == *node);
        let is = if recorded { ", the recorded master: " } else { ": " };
        let known = match self.waits().find(|(of, _)| *of == node) {
            Some((_, wait)) => holding(wait, now),
            None => self.votes(node),
        };
        let diverged = self.record.and_then(|record| record.diverged.get(node));
        let diverged = diverged.map(|diverged| format!(", holds {diverged}")).unwrap_or_default();
        format!("{is}{known}{diverged}")
    }

    /// Why the leader has none of the nodes take over, and what each holds.
    fn waits(&self) -> impl Iterator<Item = (&'a NodeAddr, &'a Wait)> {
        let leader = self.snapshot.leader.as_ref();
        let leads = |report: &&Report| leader.is_some_and(|it| it.monitor == report.monitor.to_string());
        self.snapshot.reports.values().find(leads).into_iter().flat_map(|report| &report.waits)
    }

    /// What the monitors say of a node of which the leader does not tell what it holds.
    fn votes(&self, node: &NodeAddr) -> String {
        let vote = |report: &Report| {
            let (vote, _) = report.votes.get(node)?;
            Some((report.monitor.clone(), status::State::from(*vote)))
        };
        let votes = self.snapshot.reports.values().filter_map(vote).collect();
        status::votes(&votes, self.snapshot.reports.len()).0
    }
}

fn holding(wait: &Wait, now: SystemTime) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let keys = wait.keys.map(|keys| format!(", {keys} keys")).unwrap_or_default();
    let saved = wait.saved.map(|saved| format!(", saved {} s ago", now.saturating_sub(saved)));
    format!("{}{keys}{}", wait.why, saved.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis_failover_core::{Instant, Term, Version, Versioned, Vote};
    use redis_failover_store::Leader;

    use super::*;

    fn node(name: &str) -> NodeAddr {
        NodeAddr::new(name, 6379)
    }

    /// Two monitors that vote on a, b and c, and a leader that tells what some hold.
    fn snapshot(waits: &[(&str, &str, Option<u64>)]) -> Snapshot {
        let report = |id: &str| {
            let votes = ["a", "b", "c"].map(|name| {
                let vote = if name == "a" { Vote::Refused } else { Vote::Up };
                (node(name), (vote, Duration::ZERO))
            });
            let monitor = id.parse().expect("an id");
            Report { votes: votes.into(), ..Report::of(monitor, &[].into(), Instant::from_millis(0)) }
        };
        let wait = |(name, why, keys): &(&str, &str, Option<u64>)| {
            let saved = keys.map(|_| 970);
            (node(name), Wait { why: (*why).to_owned(), keys: *keys, saved })
        };
        let leads = Report { waits: waits.iter().map(wait).collect(), ..report("m1") };
        let leader = Leader { monitor: "m1".to_owned(), address: None, life: None, term: Term(1) };
        Snapshot {
            record: Ok(Versioned { version: Version::default(), found: Found::Nothing }),
            reports: [leads, report("m2")].map(|report| (report.monitor.clone(), report)).into(),
            since: [].into(),
            ahead: [].into(),
            leader: Some(leader),
            predecessors: Vec::new(),
        }
    }

    fn would(snapshot: &Snapshot) -> String {
        Known::of(snapshot).would(&node("b"), UNIX_EPOCH + Duration::from_secs(1_000))
    }

    #[test]
    fn what_each_node_holds_is_told_as_the_leader_tells_it() {
        let told = would(&snapshot(&[("a", "did not answer", None), ("b", "it is behind", Some(12))]));
        let expected = "b:6379 would be the master (a:6379: did not answer; b:6379: it is behind, 12 keys, saved 30 s \
            ago; c:6379: up (all 2)); every other node would become its replica, and what b:6379 does not hold would \
            be lost";
        assert_eq!(told, expected);
    }

    #[test]
    fn where_nobody_tells_what_they_hold_that_is_to_be_compared_first() {
        let told = would(&snapshot(&[]));
        assert!(told.contains("(a:6379: refused (all 2); b:6379: up (all 2); "), "{told}");
        assert!(told.ends_with(&format!("would be lost{UNSEEN}")), "{told}");
    }

    #[test]
    fn a_stranger_is_told_of_who_is_meant() {
        let snapshot = snapshot(&[]);
        let known = Known::of(&snapshot);
        assert_eq!(known.belongs(&node("c")), Ok(()));
        let stranger = known.belongs(&NodeAddr::new("c", 6378)).expect_err("nobody knows it");
        assert_eq!(stranger.hint.as_deref(), Some("nothing was done; did you mean `c:6379`?"));
    }
}
