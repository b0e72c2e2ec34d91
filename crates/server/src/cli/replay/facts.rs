//! What a decider thinks, as named facts in words: so that two moments can be compared, and only what changed be shown.

use std::collections::BTreeMap;

use redis_failover_core::{
    Dropped, Evidence, Instant, Leadership, Link, NodeAddr, Phase, Ranking, Role, Sighting, Status, Topology,
    Verdict,
};

use crate::journal::{Decision, View};

/// The facts in the order in which they are shown.
pub(super) fn facts(status: &Status, record: Option<&Topology>) -> Vec<(String, String)> {
    let mut facts = vec![("lead".to_owned(), lead(status.leadership))];
    let mut add = |name: &str, what: Option<String>| {
        facts.extend(what.map(|what| (name.to_owned(), what)));
    };
    add("record", Some(record.map_or_else(|| "none".to_owned(), describe_record)));
    add("members", record.map(members));
    add("diagnosis", status.diagnosis.as_ref().map(ToString::to_string));
    for (node, verdict) in &status.verdicts {
        add(&format!("verdict on {node}"), Some(describe_verdict(*verdict)));
    }
    let too_few = |(alive, quorum)| format!("{alive} of the registered live, and {quorum} must agree");
    add("too few monitors", status.too_few.map(too_few));
    add("no master", status.refusal.as_ref().map(ToString::to_string));
    add("the record is lost", status.loss.as_ref().map(ToString::to_string));
    add("postponed", status.postponed_until.map(|_| "two failovers came shortly before".to_owned()));
    for (node, why) in status.stuck.iter().flat_map(|ranking| &ranking.dropped) {
        add(&format!("nobody may take over: {node}"), Some(why.to_string()));
    }
    facts
}

/// The facts that became others, each with what it is now; `None` for one that is no more.
pub(super) fn changes(before: &View, after: &View) -> Vec<(String, Option<String>)> {
    if before == after {
        return Vec::new();
    }
    let old = facts(&before.status, before.record.as_ref());
    let new = facts(&after.status, after.record.as_ref());
    let was: BTreeMap<_, _> = old.iter().cloned().collect();
    let is: BTreeMap<_, _> = new.iter().cloned().collect();
    let changed = new.into_iter().filter(|(name, what)| was.get(name) != Some(what));
    let gone = old.into_iter().filter(|(name, _)| !is.contains_key(name));
    changed.map(|(name, what)| (name, Some(what))).chain(gone.map(|(name, _)| (name, None))).collect()
}

/// What each monitor says of the recorded master.
pub(super) fn votes(decision: &Decision, now: Instant) -> Vec<(String, String)> {
    let vote = |ballot: &redis_failover_core::Ballot| {
        format!("{} since {} ms", ballot.vote, now.since(ballot.since).as_millis())
    };
    decision.grounds.votes.iter().map(|(id, ballot)| (id.to_string(), vote(ballot))).collect()
}

/// What this monitor saw last of each node.
pub(super) fn sightings(decision: &Decision, now: Instant) -> Vec<(String, String)> {
    let seen = decision.observation.sightings.iter();
    seen.map(|(node, sighting)| (node.to_string(), describe_sighting(sighting, now))).collect()
}

/// Who takes over, and why each other node does not.
pub(super) fn candidates(decision: &Decision) -> Vec<(NodeAddr, bool, String)> {
    let (Some(ranking), Some(record)) = (&decision.grounds.ranking, &decision.record) else {
        return Vec::new();
    };
    let taken = |node: &NodeAddr| ranking.chosen.as_ref() == Some(node);
    let judged = |node: &NodeAddr| {
        let said = decision.grounds.evidence.get(node);
        (node.clone(), taken(node), describe_candidate(node, ranking, record, said))
    };
    let mut all: Vec<_> = record.nodes().map(judged).collect();
    all.sort_by_key(|(_, taken, _)| !taken);
    all
}

fn lead(leadership: Leadership) -> String {
    match leadership {
        Leadership::Following => "another monitor's, or nobody's".to_owned(),
        Leadership::Leading(term) => format!("this monitor's, term {term}"),
        Leadership::Suspended => "in doubt: hands off".to_owned(),
    }
}

fn describe_record(record: &Topology) -> String {
    let (epoch, master) = (record.epoch, &record.master);
    match &record.phase {
        Phase::Steady => {
            let run = record.master_run.as_ref().map(|run| format!(" in run {run}")).unwrap_or_default();
            format!("epoch {epoch}, steady: master {master}{run}")
        }
        Phase::FailingOver(change) => {
            let intent = &change.intent;
            format!(
                "epoch {epoch}, failing over: master {master} is {}, {} is to take over in run {} at offset {} of \
                 history {}",
                change.reason, intent.node, intent.run, intent.offset, intent.replid
            )
        }
    }
}

fn members(record: &Topology) -> String {
    let word = |ok| if ok { "OK" } else { "KO" };
    let each = record.members.iter().map(|member| format!("{} {}", member.addr, word(member.ok)));
    let (registered, quorum) = (record.monitors.len(), record.quorum());
    format!("{}; of {registered} monitors {quorum} must agree", each.collect::<Vec<_>>().join(", "))
}

fn describe_verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Up => "up: a quorum reaches it".to_owned(),
        Verdict::Down(reason) => format!("down: a quorum finds it {reason}"),
        Verdict::Doubted => "doubted: some find it down, and no quorum does".to_owned(),
        Verdict::Unknown => "unknown: nobody finds it down, and no quorum reaches it".to_owned(),
    }
}

fn describe_sighting(sighting: &Sighting, now: Instant) -> String {
    let asked = now.since(sighting.asked).as_millis();
    let (role, history) = (describe_role(&sighting.role), &sighting.history);
    format!("{role}, at offset {} of history {}, asked {asked} ms before", history.offset, history.replid)
}

fn describe_role(role: &Role) -> String {
    match role {
        Role::Master { replicas } => format!("master of {replicas} replicas"),
        Role::Replica { of, link, received } => {
            let of = of.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
            let link = match link {
                Link::Up => "up".to_owned(),
                Link::Down { seconds } => format!("down for {seconds} s"),
                Link::Syncing => "in a full sync".to_owned(),
            };
            format!("replica of {of}, link {link}, {received} received")
        }
    }
}

fn describe_candidate(
    node: &NodeAddr,
    ranking: &Ranking,
    record: &Topology,
    said: Option<&Evidence>,
) -> String {
    let taken = ranking.chosen.as_ref() == Some(node);
    let held = said.map(|it| {
        let saved = if it.priority == 100 { String::new() } else { format!(", priority {}", it.priority) };
        format!("; {} keys, offset {} of history {}{saved}", it.keys, it.history.offset, it.history.replid)
    });
    let held = held.unwrap_or_default();
    if let Some(position) = ranking.positions.get(node) {
        let lineage = record.lineages.as_slice().get(position.lineage());
        let epoch = lineage.map(|lineage| format!(" of the history of epoch {}", lineage.epoch));
        let (word, epoch) = (if taken { "taken" } else { "not taken" }, epoch.unwrap_or_default());
        let behind = Some(ranking.behind(node)).filter(|behind| !behind.is_empty());
        let behind = behind.map(|behind| format!(", {behind}")).unwrap_or_default();
        return format!("{word}: it stands at {}{epoch}{behind}{held}", position.offset());
    }
    let why = ranking.dropped.get(node).copied().unwrap_or(Dropped::NotFrozen);
    if taken {
        return format!("taken, as there is nothing better, though {why}{held}");
    }
    format!("dropped: {why}{held}")
}
