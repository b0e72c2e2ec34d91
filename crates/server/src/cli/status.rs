//! `redis-failover status`: who is who, from the record and the monitors' reports. It needs no monitor to answer.

mod pausing;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use redis_failover_core::{
    Divergence, Found, Keeping, NodeAddr, Phase, Report, Topology, Versioned, Vote, Wait,
};
use redis_failover_store::Snapshot;
use serde_json::{Value, json};

use crate::config::StoreArgs;
use crate::failure::{Failure, Kind};

/// What `status` is asked.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let snapshot = super::runtime()?.block_on(snapshot(&args.store))?;
    let path = &args.store.path;
    let read = snapshot.record.as_ref().map_err(|unreadable| Failure::new(Kind::Failed, unreadable))?;
    let record = match &read.found {
        Found::Record(record) => record,
        Found::Nothing => {
            return Err(Failure::new(Kind::Failed, format!("nothing is published at {path}"))
                .hint(why_nothing(&snapshot)));
        }
        Found::Predecessor { master, .. } => {
            let message =
                format!("{path} holds a predecessor's document (master {}) and no record", master.addr);
            return Err(Failure::new(Kind::Failed, message)
                .hint("a monitor that leads will adopt it: redis-failover run"));
        }
    };
    if args.json {
        println!("{}", as_json(path.as_str(), record, read, &snapshot));
    } else {
        print!("{}", as_text(path.as_str(), record, &snapshot));
    }
    Ok(ExitCode::SUCCESS)
}

/// What keeps a group from having a record, as far as can be seen.
fn why_nothing(snapshot: &Snapshot) -> String {
    let remembered = snapshot.reports.values().filter_map(|report| report.remembers).max();
    match (remembered, snapshot.predecessors.first(), &snapshot.leader) {
        (Some(epoch), ..) => format!(
            "the monitors remember epoch {epoch}: ZooKeeper was emptied; say which node is the master: \
             redis-failover adopt"
        ),
        (None, Some(znode), None) => {
            format!("a monitor of the predecessor is alive ({znode}): end it, or start ours with --take-over")
        }
        (None, _, Some(leader)) => {
            format!("{} leads and has found no master yet: its log says why", leader.monitor)
        }
        (None, None, None) => "is the path right (-p), and does a monitor run for it?".to_owned(),
    }
}

/// One look at the group.
pub(super) async fn snapshot(store: &StoreArgs) -> Result<Snapshot, Failure> {
    let zookeeper = super::connect(store, LIMIT)?;
    let snapshot = zookeeper.group(&store.path).snapshot(LIMIT).await;
    zookeeper.close().await;
    snapshot.map_err(|error| {
        Failure::new(Kind::StoreUnreachable, error).hint("are the servers right (-z), and do they run?")
    })
}

fn phase(record: &Topology) -> &'static str {
    match record.phase {
        Phase::Steady => "steady",
        Phase::FailingOver(_) => "failing_over",
    }
}

fn word(ok: bool) -> &'static str {
    if ok { "OK" } else { "KO" }
}

fn as_text(path: &str, record: &Topology, snapshot: &Snapshot) -> String {
    let mut text = format!("group    {path}\nepoch    {}\nphase    {}\n", record.epoch, phase(record));
    let mut line = |args: std::fmt::Arguments<'_>| {
        writeln!(text, "{args}").expect("a string takes everything");
    };
    if let Phase::FailingOver(change) = &record.phase {
        line(format_args!(
            "change   {} is {}, {} takes over",
            record.master, change.reason, change.intent.node
        ));
    }
    for said in pausing::lines(record) {
        line(format_args!("{said}"));
    }
    line(format_args!("from     the record in ZooKeeper\n"));
    line(format_args!("{:<32} {:<8} {:<4} votes", "node", "role", "is"));
    for member in &record.members {
        let role = if member.addr == record.master { "master" } else { "replica" };
        let votes: Vec<_> = votes(snapshot, &member.addr).map(|(id, vote)| format!("{id}: {vote}")).collect();
        let addr = member.addr.to_string();
        line(format_args!("{addr:<32} {role:<8} {:<4} {}", word(member.ok), votes.join(", ")));
    }
    for (node, divergence) in &record.diverged {
        line(format_args!("diverged {node}: {divergence}"));
    }
    for (node, wait) in waits(snapshot) {
        line(format_args!("waits    {node}: {}{}", wait.why, holding(wait)));
    }
    line(format_args!("\n{:<32} {:<8} listens", "monitor", "is"));
    for id in &record.monitors {
        let report = snapshot.reports.get(id);
        let leads = snapshot.leader.as_ref().is_some_and(|leader| leader.monitor == id.to_string());
        let is = if leads { "leader" } else { report.map_or("gone", |_| "standby") };
        let address = report.and_then(|report| report.address.as_deref()).unwrap_or("-");
        let id = id.to_string();
        line(format_args!("{id:<32} {is:<8} {address}"));
    }
    let (quorum, alive) = (record.quorum(), alive(record, snapshot));
    let registered = record.monitors.len();
    line(format_args!("\nquorum   {quorum} of {registered} registered monitors, {alive} alive"));
    for trouble in troubles(record, snapshot) {
        line(format_args!("trouble  {trouble}"));
    }
    text
}

/// What the leader says that it waits for.
fn waits(snapshot: &Snapshot) -> impl Iterator<Item = (&NodeAddr, &Wait)> {
    let leads = |id: &str| snapshot.leader.as_ref().is_some_and(|leader| leader.monitor == id);
    let report = snapshot.reports.iter().find(|(id, _)| leads(&id.to_string()));
    report.into_iter().flat_map(|(_, report)| &report.waits)
}

/// What a node that may not take over holds.
fn holding(wait: &Wait) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let keys = wait.keys.map(|keys| format!("{keys} keys"));
    let saved = wait.saved.map(|saved| format!("saved {} s ago", now.saturating_sub(saved)));
    let all: Vec<_> = keys.into_iter().chain(saved).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

/// How many registered monitors are alive.
fn alive(record: &Topology, snapshot: &Snapshot) -> usize {
    record.monitors.iter().filter(|id| snapshot.reports.contains_key(*id)).count()
}

/// What keeps the group from being well, as far as the record and the reports tell.
fn troubles(record: &Topology, snapshot: &Snapshot) -> Vec<String> {
    let mut troubles = Vec::new();
    let (quorum, alive) = (record.quorum(), alive(record, snapshot));
    troubles.extend(pausing::trouble(record));
    if alive < quorum {
        troubles.push(format!("{alive} monitors are alive and {quorum} must agree: no failover"));
    }
    if snapshot.leader.is_none() {
        troubles.push("no monitor leads".to_owned());
        let alive = snapshot.predecessors.iter();
        troubles.extend(alive.map(|znode| format!("a monitor of the predecessor is alive: {znode}")));
    }
    let remembered = snapshot.reports.values().filter_map(|report| report.remembers).max();
    if let Some(later) = remembered.filter(|epoch| *epoch > record.epoch) {
        troubles.push(format!(
            "this record is older than the monitors remember (epoch {later}): nothing is done until one adopts a \
             master (redis-failover adopt)"
        ));
    }
    let down = |report: &&Report| {
        let vote = report.votes.get(&record.master).map(|(vote, _)| *vote);
        matches!(vote, Some(Vote::Refused | Vote::Silent | Vote::Unusable))
    };
    let against = snapshot.reports.values().filter(down).count();
    if against > 0 {
        troubles.push(format!("{against} monitors find the master {} down", record.master));
    }
    for (node, divergence) in record.diverged.iter().filter(|(_, divergence)| divergence.keeping.holds()) {
        let then = match divergence.keeping {
            Keeping::Held { .. } => format!("copy that, then give it up (redis-failover resync {node})"),
            _ => "it follows when that is done".to_owned(),
        };
        troubles.push(format!("{node} is held back, for what it alone holds is not saved yet: {then}"));
    }
    if waits(snapshot).next().is_some() {
        troubles.push("no node may take over: the group waits for a better one to come back".to_owned());
    }
    troubles
}

fn votes<'a>(snapshot: &'a Snapshot, node: &'a NodeAddr) -> impl Iterator<Item = (String, String)> + 'a {
    let vote = |report: &Report| report.votes.get(node).map(|(vote, _)| vote.to_string());
    snapshot.reports.iter().filter_map(move |(id, report)| Some((id.to_string(), vote(report)?)))
}

/// What a node alone holds.
fn divergence_json(divergence: &Divergence) -> Value {
    let (is, file, why) = match &divergence.keeping {
        Keeping::Discarded => ("discarded", None, None),
        Keeping::Due { file } => ("due", Some(file), None),
        Keeping::Saved { file } => ("saved", Some(file), None),
        Keeping::Held { file, why } => ("held", Some(file), Some(why)),
    };
    let left = divergence.left.map(|epoch| epoch.0);
    json!({ "left": left, "bytes": divergence.bytes, "is": is, "file": file, "why": why })
}

fn as_json(path: &str, record: &Topology, read: &Versioned, snapshot: &Snapshot) -> Value {
    let nodes: Vec<_> = record
        .members
        .iter()
        .map(|member| {
            let votes: serde_json::Map<_, _> =
                votes(snapshot, &member.addr).map(|(id, vote)| (id, vote.into())).collect();
            json!({
                "node": member.addr.to_string(),
                "role": if member.addr == record.master { "master" } else { "replica" },
                "ok": member.ok,
                "votes": votes,
                "diverged": record.diverged.get(&member.addr).map(divergence_json),
                "waits": waits(snapshot).find(|(node, _)| **node == member.addr).map(|(_, wait)| json!({
                    "why": wait.why, "keys": wait.keys, "saved": wait.saved,
                })),
            })
        })
        .collect();
    let monitors: Vec<_> = record
        .monitors
        .iter()
        .map(|id| json!({ "id": id.to_string(), "live": snapshot.reports.contains_key(id) }))
        .collect();
    json!({
        "group": path,
        "epoch": record.epoch.0,
        "phase": phase(record),
        "master": record.master.to_string(),
        "pause": pausing::json(record),
        "nodes": nodes,
        "monitors": monitors,
        "leader": snapshot.leader.as_ref().map(|leader| json!({
            "id": leader.monitor, "address": leader.address, "term": leader.term.0,
        })),
        "quorum": record.quorum(),
        "troubles": troubles(record, snapshot),
        "version": read.version.order,
        "source": "record",
    })
}
