//! `redis-failover monitor list`: the monitors of a group, registered or alive. It reads the store, and asks nobody.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use redis_failover_core::{Found, MonitorId, NodeAddr, Topology, Vote};
use redis_failover_store::Snapshot;
use serde_json::{Value, json};

use crate::config::StoreArgs;
use crate::failure::{Failure, Kind};
use crate::journal::Moment;
use crate::output::print_line;

/// What `monitor list` is asked.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

/// One monitor, for people.
struct Shown {
    id: String,
    /// `leader`, `standby`, or `gone`.
    is: &'static str,
    registered: bool,
    address: Option<String>,
    version: Option<String>,
    /// Since when this life of it is there.
    since: Option<String>,
    /// What it says of each node.
    votes: Vec<(NodeAddr, Vote)>,
}

pub(super) fn run(args: &ListArgs) -> Result<ExitCode, Failure> {
    let snapshot = super::runtime()?.block_on(super::status::snapshot(&args.store))?;
    let read = snapshot.record.as_ref().map_err(|unreadable| Failure::new(Kind::Failed, unreadable))?;
    let record = match &read.found {
        Found::Record(record) => Some(&**record),
        Found::Nothing | Found::Predecessor { .. } => None,
    };
    let all = monitors(record, &snapshot);
    if all.is_empty() {
        return Err(Failure::new(Kind::Failed, format!("no monitor is known at {}", args.store.path))
            .hint("is the path right (-p), and does a monitor run for it?"));
    }
    if args.json {
        print_line(Value::Array(all.iter().map(Shown::json).collect()))?;
        return Ok(ExitCode::SUCCESS);
    }
    print_line(format_args!(
        "{:<24} {:<8} {:<9} {:<24} {:<24} votes",
        "monitor", "is", "version", "since", "listens"
    ))?;
    for monitor in &all {
        print_line(monitor.line())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn monitors(record: Option<&Topology>, snapshot: &Snapshot) -> Vec<Shown> {
    let registered = record.map(|record| record.monitors.clone()).unwrap_or_default();
    let all: BTreeSet<&MonitorId> = registered.iter().chain(snapshot.reports.keys()).collect();
    let shown = |id: &MonitorId| {
        let report = snapshot.reports.get(id);
        let leads = snapshot.leader.as_ref().is_some_and(|leader| leader.monitor == id.to_string());
        let votes = report.into_iter().flat_map(|report| &report.votes);
        Shown {
            id: id.to_string(),
            is: if leads { "leader" } else { report.map_or("gone", |_| "standby") },
            registered: registered.contains(id),
            address: report.and_then(|report| report.address.clone()),
            version: report.and_then(|report| report.version.clone()),
            since: snapshot.since.get(id).map(|since| Moment::from(*since).to_string()),
            votes: votes.map(|(node, (vote, _))| (node.clone(), *vote)).collect(),
        }
    };
    all.into_iter().map(shown).collect()
}

impl Shown {
    fn line(&self) -> String {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let (version, since, address) =
            (or_none(&self.version), or_none(&self.since), or_none(&self.address));
        let votes: Vec<_> = self.votes.iter().map(|(node, vote)| format!("{node} {vote}")).collect();
        let unregistered = if self.registered { "" } else { " (not registered yet)" };
        let Self { id, is, .. } = self;
        format!("{id:<24} {is:<8} {version:<9} {since:<24} {address:<24} {}{unregistered}", votes.join(", "))
    }

    fn json(&self) -> Value {
        let vote = |(node, vote): &(NodeAddr, Vote)| (node.to_string(), Value::from(vote.word()));
        let votes: serde_json::Map<_, _> = self.votes.iter().map(vote).collect();
        json!({
            "id": self.id,
            "is": self.is,
            "registered": self.registered,
            "alive": self.is != "gone",
            "address": self.address,
            "version": self.version,
            "since": self.since,
            "votes": votes,
        })
    }
}
