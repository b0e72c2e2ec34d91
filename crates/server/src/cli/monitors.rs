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
use crate::output::{print, print_line};

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
    } else {
        print(as_text(&all))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each.
fn as_text(all: &[Shown]) -> String {
    let first =
        format!("{:<24} {:<8} {:<9} {:<24} {:<24} votes\n", "monitor", "is", "version", "since", "listens");
    first + &all.iter().map(|monitor| monitor.line() + "\n").collect::<String>()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> [Shown; 2] {
        let text = |text: &str| Some(text.to_owned());
        let node = |name: &str| -> NodeAddr { format!("{name}:6379").parse().expect("an address") };
        let leader = Shown {
            id: "m1".to_owned(),
            is: "leader",
            registered: true,
            address: text("10.0.0.1:8080"),
            version: text("0.1.0"),
            since: text("2026-01-31T13:05:00.250Z"),
            votes: vec![(node("a"), Vote::Up), (node("b"), Vote::Silent)],
        };
        let gone = Shown {
            id: "m2".to_owned(),
            is: "gone",
            registered: false,
            address: None,
            version: None,
            since: None,
            votes: Vec::new(),
        };
        [leader, gone]
    }

    #[test]
    fn each_monitor_is_a_line() {
        let shown = "\
monitor                  is       version   since                    listens                  votes
m1                       leader   0.1.0     2026-01-31T13:05:00.250Z 10.0.0.1:8080            a:6379 up, b:6379 silent
m2                       gone     -         -                        -                         (not registered yet)
";
        assert_eq!(as_text(&two()), shown);
    }

    #[test]
    fn each_monitor_is_an_object_of_the_same_keys() {
        let [leader, gone] = two();
        let shown = json!({
            "id": "m1",
            "is": "leader",
            "registered": true,
            "alive": true,
            "address": "10.0.0.1:8080",
            "version": "0.1.0",
            "since": "2026-01-31T13:05:00.250Z",
            "votes": { "a:6379": "up", "b:6379": "silent" },
        });
        assert_eq!(leader.json(), shown);
        let keys = |value: Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        assert_eq!(gone.json()["address"], Value::Null);
        assert_eq!(keys(gone.json()), keys(shown));
    }
}
