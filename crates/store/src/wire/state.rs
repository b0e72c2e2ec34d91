//! The monitors' state beside the published document: everything of the record that only they need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis_failover_core::{
    Change, Discover, Divergence, Epoch, Fencing, Intent, Lineage, Lineages, Member, MonitorId, NodeAddr,
    OnDivergence, Orders, Phase, Policy, Reason, ReplId, RunId, Topology, Vote,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::divergence::DivergenceV1;
use super::history::{opening, opening_v1};
use super::pause::PauseV1;
use super::{FORMAT, Unreadable, bytes, format_of, garbage, merged, object};

/// The keys of format 1, in the order in which they are written.
#[derive(Deserialize)]
struct StateV1 {
    epoch: u64,
    phase: String,
    master: String,
    #[serde(default)]
    master_run: Option<String>,
    nodes: Vec<String>,
    #[serde(default)]
    discovered: Vec<String>,
    #[serde(default)]
    synced: BTreeMap<String, String>,
    #[serde(default)]
    reached: BTreeMap<String, ReachedV1>,
    #[serde(default)]
    diverged: BTreeMap<String, DivergenceV1>,
    monitors: BTreeSet<String>,
    policy: PolicyV1,
    min_replicas_to_write: u32,
    #[serde(default)]
    fenced: bool,
    #[serde(default)]
    left: Vec<String>,
    #[serde(default)]
    to_close: BTreeMap<String, String>,
    #[serde(default)]
    orders: BTreeMap<String, OrdersV1>,
    #[serde(default)]
    pause: Option<PauseV1>,
    lineages: Vec<LineageV1>,
    #[serde(default)]
    change: Option<ChangeV1>,
}

#[derive(Deserialize)]
pub(super) struct PolicyV1 {
    #[serde(default)]
    quorum: Option<u32>,
    down_after_ms: u64,
    probe_interval_ms: u64,
    #[serde(default)]
    misconf_is_unusable: bool,
    #[serde(default)]
    refusal_waits: bool,
    #[serde(default)]
    link_grace_ms: Option<u64>,
    #[serde(default)]
    third_failover_waits_ms: Option<u64>,
    #[serde(default)]
    discover: Option<String>,
    #[serde(default)]
    fencing: Option<String>,
    #[serde(default)]
    on_divergence: Option<String>,
    #[serde(default)]
    parallel_syncs: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct OrdersV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    drained: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
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
    /// Not read as strictly as the rest: it is only told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opening: Option<Value>,
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
    let policy = policy_of(&state.policy)?;
    let monitors = state.monitors.iter().map(|id| parsed(id)).collect::<Result<_, _>>()?;
    Ok(Topology {
        epoch: Epoch(state.epoch),
        phase,
        master,
        master_run: state.master_run.map(RunId),
        members: nodes.into_iter().map(|addr| Member { addr, ok: false }).collect(),
        discovered: state.discovered.iter().map(|node| parsed(node)).collect::<Result<_, _>>()?,
        synced: state.synced.iter().map(run_of).collect::<Result<_, _>>()?,
        reached: state.reached.iter().map(reached).collect::<Result<_, _>>()?,
        diverged: state.diverged.into_iter().map(divergence).collect::<Result<_, _>>()?,
        lineages: Lineages::new(state.lineages.into_iter().map(lineage).collect()),
        monitors,
        policy,
        min_replicas_to_write: state.min_replicas_to_write,
        fenced: state.fenced,
        left: state.left.iter().map(|node| parsed(node)).collect::<Result<_, _>>()?,
        unclosed: state.to_close.iter().map(run_of).collect::<Result<_, _>>()?,
        orders: state.orders.into_iter().map(orders).collect::<Result<_, _>>()?,
        pause: state.pause.map(PauseV1::read),
    })
}

/// The policy as it was written.
pub(super) fn policy_of(read: &PolicyV1) -> Result<Policy, String> {
    let policy = Policy::new(
        read.quorum,
        Duration::from_millis(read.down_after_ms),
        Duration::from_millis(read.probe_interval_ms),
    );
    let policy = policy.map_err(|error| format!("its `policy`: {error}"))?;
    let policy = policy.misconf_unusable(read.misconf_is_unusable).patient_with_refusal(read.refusal_waits);
    with_later_settings(policy, read)
}

/// Settings that a record need not have: the default stands where one is missing, and is not written.
fn with_later_settings(policy: Policy, state: &PolicyV1) -> Result<Policy, String> {
    let grace = state.link_grace_ms.map_or(policy.link_grace(), Duration::from_millis);
    let wait = state.third_failover_waits_ms.map_or(policy.third_failover_waits(), Duration::from_millis);
    let discover = match &state.discover {
        Some(word) => {
            Discover::from_word(word).ok_or_else(|| format!("its `policy`: `{word}` is no discover"))?
        }
        None => policy.discover(),
    };
    let fencing = match &state.fencing {
        Some(word) => {
            Fencing::from_word(word).ok_or_else(|| format!("its `policy`: `{word}` is no fencing"))?
        }
        // An older record: its masters' numbers are their operators'.
        None => Fencing::Off,
    };
    let policy = policy.with_link_grace(grace).with_third_failover_waiting(wait);
    with_return_settings(policy.with_discover(discover).with_fencing(fencing), state)
}

/// Those of the same kind that concern nodes that come back.
fn with_return_settings(policy: Policy, state: &PolicyV1) -> Result<Policy, String> {
    let choice = |word: &String| {
        OnDivergence::from_word(word).ok_or_else(|| format!("its `policy`: `{word}` is no on_divergence"))
    };
    let on_divergence = state.on_divergence.as_ref().map(choice).transpose()?;
    let on_divergence = on_divergence.unwrap_or(policy.on_divergence());
    let parallel_syncs = state.parallel_syncs.unwrap_or(policy.parallel_syncs());
    Ok(policy.with_on_divergence(on_divergence).with_parallel_syncs(parallel_syncs))
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn run_of((node, run): (&String, &String)) -> Result<(NodeAddr, RunId), String> {
    Ok((parsed(node)?, RunId(run.clone())))
}

fn orders((node, it): (String, OrdersV1)) -> Result<(NodeAddr, Orders), String> {
    let OrdersV1 { priority, drained, zone } = it;
    Ok((parsed(&node)?, Orders { priority, drained, zone }))
}

fn orders_v1((node, it): (&NodeAddr, &Orders)) -> (String, OrdersV1) {
    let Orders { priority, drained, zone } = it.clone();
    (node.to_string(), OrdersV1 { priority, drained, zone })
}

/// For a key that is written only where it says something.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(it: &bool) -> bool {
    !it
}

fn reached(
    (node, ReachedV1 { replid, offset }): (&String, &ReachedV1),
) -> Result<(NodeAddr, (ReplId, u64)), String> {
    Ok((parsed(node)?, (ReplId(replid.clone()), *offset)))
}

fn divergence((node, it): (String, DivergenceV1)) -> Result<(NodeAddr, Divergence), String> {
    let divergence = it.read().map_err(|why| format!("`diverged` {node}: {why}"))?;
    Ok((parsed(&node)?, divergence))
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
    // Nothing is decided by these words: one that only a newer version knows must not keep others from finishing.
    let vote = |(id, word): (&String, &String)| -> Result<(MonitorId, Vote), String> {
        Ok((parsed(id)?, Vote::from_word(word).unwrap_or(Vote::Unknown)))
    };
    Ok(Change {
        reason: Reason::from_word(&change.reason),
        votes: change.votes.iter().map(vote).collect::<Result<_, _>>()?,
        intent: Intent {
            node: parsed(&change.intent.node)?,
            run: RunId(change.intent.run),
            replid: ReplId(change.intent.replid),
            offset: change.intent.offset,
        },
        opening: change.opening.and_then(opening).map(Box::new),
    })
}

/// The state of `record`; keys of `base` and of its `policy` that are not ours are kept.
///
/// Such keys deeper inside are not: a newer version that cannot do without one there must raise the format.
pub(crate) fn state_bytes(record: &Topology, base: Option<&[u8]>) -> Vec<u8> {
    let (phase, change) = match &record.phase {
        Phase::Steady => ("steady", None),
        Phase::FailingOver(change) => ("failing_over", Some(change)),
    };
    let nodes: Vec<_> = record.nodes().map(ToString::to_string).collect();
    let monitors: Vec<_> = record.monitors.iter().map(ToString::to_string).collect();
    let discovered: Vec<_> = record.discovered.iter().map(ToString::to_string).collect();
    let left: Vec<_> = record.left.iter().map(ToString::to_string).collect();
    let base = super::base(base);
    let policy = policy(&record.policy, base.get("policy").and_then(Value::as_object).cloned());
    let (synced, unclosed) = (runs(&record.synced), runs(&record.unclosed));
    let reached: BTreeMap<_, _> = record.reached.iter().map(reached_v1).collect();
    let diverged: BTreeMap<_, _> = record.diverged.iter().map(divergence_v1).collect();
    let orders: BTreeMap<_, _> = record.orders.iter().map(orders_v1).collect();
    let lineages: Vec<_> = record.lineages.as_slice().iter().map(lineage_v1).collect();
    bytes(merged(
        base,
        vec![
            ("format", Some(json!(FORMAT))),
            ("epoch", Some(json!(record.epoch.0))),
            ("phase", Some(json!(phase))),
            ("master", Some(json!(record.master.to_string()))),
            ("master_run", record.master_run.as_ref().map(|run| json!(run.0))),
            ("nodes", Some(json!(nodes))),
            ("discovered", (!discovered.is_empty()).then(|| json!(discovered))),
            ("synced", (!synced.is_empty()).then(|| json!(synced))),
            ("reached", (!reached.is_empty()).then(|| json!(reached))),
            ("diverged", (!diverged.is_empty()).then(|| json!(diverged))),
            ("monitors", Some(json!(monitors))),
            ("policy", Some(Value::Object(policy))),
            ("min_replicas_to_write", Some(json!(record.min_replicas_to_write))),
            ("fenced", record.fenced.then(|| json!(true))),
            ("left", (!left.is_empty()).then(|| json!(left))),
            ("to_close", (!unclosed.is_empty()).then(|| json!(unclosed))),
            ("orders", (!orders.is_empty()).then(|| json!(orders))),
            ("pause", record.pause.as_ref().map(|pause| json!(PauseV1::of(pause)))),
            ("lineages", Some(json!(lineages))),
            ("change", change.map(|change| json!(change_v1(change)))),
        ],
    ))
}

pub(super) fn policy(policy: &Policy, base: Option<Map<String, Value>>) -> Map<String, Value> {
    let default = Policy::default();
    let (grace, wait, discover) = (policy.link_grace(), policy.third_failover_waits(), policy.discover());
    let (on_divergence, parallel_syncs) = (policy.on_divergence(), policy.parallel_syncs());
    let fencing = policy.fencing();
    let set = |flag: bool| flag.then(|| json!(true));
    merged(
        base.unwrap_or_default(),
        vec![
            ("quorum", policy.quorum().map(|quorum| json!(quorum))),
            ("down_after_ms", Some(json!(millis(policy.down_after())))),
            ("probe_interval_ms", Some(json!(millis(policy.probe_interval())))),
            ("misconf_is_unusable", set(policy.misconf_is_unusable())),
            ("refusal_waits", set(policy.refusal_waits())),
            ("link_grace_ms", (grace != default.link_grace()).then(|| json!(millis(grace)))),
            (
                "third_failover_waits_ms",
                (wait != default.third_failover_waits()).then(|| json!(millis(wait))),
            ),
            ("discover", (discover != default.discover()).then(|| json!(discover.word()))),
            (
                "on_divergence",
                (on_divergence != default.on_divergence()).then(|| json!(on_divergence.word())),
            ),
            ("parallel_syncs", (parallel_syncs != default.parallel_syncs()).then(|| json!(parallel_syncs))),
            ("fencing", (fencing != Fencing::Off).then(|| json!(fencing.word()))),
        ],
    )
}

fn runs(of: &BTreeMap<NodeAddr, RunId>) -> BTreeMap<String, &str> {
    of.iter().map(|(node, run)| (node.to_string(), run.0.as_str())).collect()
}

fn reached_v1((node, (replid, offset)): (&NodeAddr, &(ReplId, u64))) -> (String, ReachedV1) {
    (node.to_string(), ReachedV1 { replid: replid.to_string(), offset: *offset })
}

fn divergence_v1((node, divergence): (&NodeAddr, &Divergence)) -> (String, DivergenceV1) {
    (node.to_string(), DivergenceV1::of(divergence))
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
        opening: change.opening.as_deref().map(|opening| json!(opening_v1(opening))),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
