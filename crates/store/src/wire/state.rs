//! The monitors' state beside the published document: everything of the record that only they need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis_failover_core::{
    Change, Epoch, Intent, Lineage, Lineages, Member, MonitorId, NodeAddr, Phase, Policy, Reason, ReplId,
    RunId, Topology, Vote,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{FORMAT, Unreadable, format_of, garbage, merged, object};

/// The keys of format 1, in the order in which they are written.
#[derive(Serialize, Deserialize)]
struct StateV1 {
    epoch: u64,
    phase: String,
    master: String,
    #[serde(default)]
    master_run: Option<String>,
    nodes: Vec<String>,
    #[serde(default)]
    synced: BTreeMap<String, String>,
    #[serde(default)]
    reached: BTreeMap<String, ReachedV1>,
    monitors: BTreeSet<String>,
    policy: PolicyV1,
    min_replicas_to_write: u32,
    lineages: Vec<LineageV1>,
    #[serde(default)]
    change: Option<ChangeV1>,
}

#[derive(Serialize, Deserialize)]
struct PolicyV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quorum: Option<u32>,
    down_after_ms: u64,
    probe_interval_ms: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    misconf_is_unusable: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    refusal_waits: bool,
}

#[derive(Serialize, Deserialize)]
struct ReachedV1 {
    replid: String,
    offset: u64,
}

#[derive(Serialize, Deserialize)]
struct LineageV1 {
    replid: String,
    epoch: u64,
    start: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ChangeV1 {
    reason: String,
    votes: BTreeMap<String, String>,
    intent: IntentV1,
}

#[derive(Serialize, Deserialize)]
struct IntentV1 {
    node: String,
    run: String,
    replid: String,
    offset: u64,
}

/// The record of the state; how each node was seen stands in the published document and is missing here.
pub(super) fn parse(znode: &str, bytes: &[u8]) -> Result<Topology, Unreadable> {
    let object = object(znode, bytes)?;
    if format_of(znode, bytes, &object, FORMAT)?.is_none() {
        return Err(garbage(znode, bytes, "it has no `format`"));
    }
    let state: StateV1 = serde_json::from_value(Value::Object(object))
        .map_err(|error| garbage(znode, bytes, format!("it does not fit format {FORMAT}: {error}")))?;
    topology(state).map_err(|why| garbage(znode, bytes, why))
}

fn topology(state: StateV1) -> Result<Topology, String> {
    let master: NodeAddr = parsed(&state.master)?;
    let nodes = state.nodes.iter().map(|node| parsed(node)).collect::<Result<Vec<NodeAddr>, _>>()?;
    if !nodes.contains(&master) {
        return Err(format!("the master {master} is not among its `nodes`"));
    }
    let phase = match (state.phase.as_str(), state.change) {
        ("steady", None) => Phase::Steady,
        ("failing_over", Some(change)) => Phase::FailingOver(self::change(change)?),
        (phase, change) => {
            let with = if change.is_some() { "with" } else { "without" };
            return Err(format!("it is in phase `{phase}` {with} a `change`"));
        }
    };
    let policy = Policy::new(
        state.policy.quorum,
        Duration::from_millis(state.policy.down_after_ms),
        Duration::from_millis(state.policy.probe_interval_ms),
    );
    let policy = policy.map_err(|error| format!("its `policy`: {error}"))?;
    let policy = policy
        .misconf_unusable(state.policy.misconf_is_unusable)
        .patient_with_refusal(state.policy.refusal_waits);
    let monitors = state.monitors.iter().map(|id| parsed(id)).collect::<Result<_, _>>()?;
    Ok(Topology {
        epoch: Epoch(state.epoch),
        phase,
        master,
        master_run: state.master_run.map(RunId),
        members: nodes.into_iter().map(|addr| Member { addr, ok: false }).collect(),
        synced: state.synced.iter().map(synced).collect::<Result<_, _>>()?,
        reached: state.reached.iter().map(reached).collect::<Result<_, _>>()?,
        lineages: Lineages::new(state.lineages.into_iter().map(lineage).collect()),
        monitors,
        policy,
        min_replicas_to_write: state.min_replicas_to_write,
    })
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn synced((node, run): (&String, &String)) -> Result<(NodeAddr, RunId), String> {
    Ok((parsed(node)?, RunId(run.clone())))
}

fn reached(
    (node, ReachedV1 { replid, offset }): (&String, &ReachedV1),
) -> Result<(NodeAddr, (ReplId, u64)), String> {
    Ok((parsed(node)?, (ReplId(replid.clone()), *offset)))
}

fn lineage(lineage: LineageV1) -> Lineage {
    Lineage {
        replid: ReplId(lineage.replid),
        epoch: Epoch(lineage.epoch),
        start: lineage.start,
        parent: lineage.parent.map(ReplId),
    }
}

fn change(change: ChangeV1) -> Result<Change, String> {
    let reason = Reason::from_word(&change.reason);
    let vote = |(id, word): (&String, &String)| -> Result<(MonitorId, Vote), String> {
        let vote = Vote::from_word(word).ok_or_else(|| format!("`{word}` is no vote"))?;
        Ok((parsed(id)?, vote))
    };
    Ok(Change {
        reason: reason.ok_or_else(|| format!("`{}` is no reason for a change", change.reason))?,
        votes: change.votes.iter().map(vote).collect::<Result<_, _>>()?,
        intent: Intent {
            node: parsed(&change.intent.node)?,
            run: RunId(change.intent.run),
            replid: ReplId(change.intent.replid),
            offset: change.intent.offset,
        },
    })
}

/// The state of `record`; keys of `base` that are not ours are kept.
pub(crate) fn state_bytes(record: &Topology, base: Option<&[u8]>) -> Vec<u8> {
    let (phase, change) = match &record.phase {
        Phase::Steady => ("steady", None),
        Phase::FailingOver(change) => ("failing_over", Some(change)),
    };
    let nodes: Vec<_> = record.nodes().map(ToString::to_string).collect();
    let monitors: Vec<_> = record.monitors.iter().map(ToString::to_string).collect();
    let policy = PolicyV1 {
        quorum: record.policy.quorum(),
        down_after_ms: millis(record.policy.down_after()),
        probe_interval_ms: millis(record.policy.probe_interval()),
        misconf_is_unusable: record.policy.misconf_is_unusable(),
        refusal_waits: record.policy.refusal_waits(),
    };
    let synced: BTreeMap<_, _> = record.synced.iter().map(|(node, run)| (node.to_string(), &run.0)).collect();
    let reached: BTreeMap<_, _> = record.reached.iter().map(reached_v1).collect();
    let lineages: Vec<_> = record.lineages.as_slice().iter().map(lineage_v1).collect();
    merged(
        base,
        vec![
            ("format", Some(json!(FORMAT))),
            ("epoch", Some(json!(record.epoch.0))),
            ("phase", Some(json!(phase))),
            ("master", Some(json!(record.master.to_string()))),
            ("master_run", record.master_run.as_ref().map(|run| json!(run.0))),
            ("nodes", Some(json!(nodes))),
            ("synced", (!synced.is_empty()).then(|| json!(synced))),
            ("reached", (!reached.is_empty()).then(|| json!(reached))),
            ("monitors", Some(json!(monitors))),
            ("policy", Some(json!(policy))),
            ("min_replicas_to_write", Some(json!(record.min_replicas_to_write))),
            ("lineages", Some(json!(lineages))),
            ("change", change.map(|change| json!(change_v1(change)))),
        ],
    )
}

fn reached_v1((node, (replid, offset)): (&NodeAddr, &(ReplId, u64))) -> (String, ReachedV1) {
    (node.to_string(), ReachedV1 { replid: replid.to_string(), offset: *offset })
}

fn lineage_v1(lineage: &Lineage) -> LineageV1 {
    LineageV1 {
        replid: lineage.replid.to_string(),
        epoch: lineage.epoch.0,
        start: lineage.start,
        parent: lineage.parent.as_ref().map(ToString::to_string),
    }
}

fn change_v1(change: &Change) -> ChangeV1 {
    ChangeV1 {
        reason: change.reason.word().to_owned(),
        votes: change.votes.iter().map(|(id, vote)| (id.to_string(), vote.word().to_owned())).collect(),
        intent: IntentV1 {
            node: change.intent.node.to_string(),
            run: change.intent.run.to_string(),
            replid: change.intent.replid.to_string(),
            offset: change.intent.offset,
        },
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
