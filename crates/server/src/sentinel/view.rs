//! One group at one moment, as all its monitors' endpoints agree on it: what the record and the votes in the store say.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use redis_failover_core::{
    Found, Instant as Tick, Member, MonitorId, NodeAddr, Phase, Reason, Topology, Verdict,
};
use redis_failover_store::SeenReport;

use super::group::Group;
use super::run_id;

/// A group's record, and what the live monitors say.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// What clients call it.
    pub(super) name: String,
    pub(super) record: Topology,
    /// The live monitors that answer as Sentinels, by their ids as such; the one that is asked among them.
    pub(super) sentinels: BTreeMap<String, Sentinel>,
    /// How many of the registered monitors are alive.
    pub(super) alive: usize,
    /// What the votes say of the published master.
    pub(super) verdict: Verdict,
}

/// Another monitor's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentinel {
    /// Where it says that it is.
    pub(super) address: NodeAddr,
    /// When what it published last was seen here.
    pub(super) heard: Instant,
}

/// How a group's master is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Master {
    /// It serves, as far as a quorum knows.
    Well,
    /// A quorum finds it down.
    Down,
    /// A quorum found it down, and another takes over.
    Replaced,
    /// Another takes over because an operator wants it.
    SwitchedOver,
    /// Another takes over for what it is: it was demoted, or came back without its memory.
    Deposed,
}

impl View {
    /// The group as it is now; `None` where it has no record of ours yet.
    pub(super) fn of(group: &Group) -> Option<Self> {
        let read = group.record.latest().read?.ok()?;
        let Found::Record(record) = read.found else { return None };
        let reports = group.reports.latest();
        // An instant of the core's is told from another one only: any will do for the present.
        let now = Tick::from_millis(u64::MAX / 4);
        // Without ZooKeeper nobody can take a vote back: none comes to count by time alone then.
        let until = group.since.borrow().cut_off.unwrap_or_else(Instant::now);
        let peer = |(id, seen): (&MonitorId, &SeenReport)| {
            let age = until.saturating_duration_since(seen.seen_at);
            (id.clone(), seen.report.peer(now.before(age)))
        };
        let peers = reports.iter().map(peer).collect();
        let sentinel = |(id, seen): (&MonitorId, &SeenReport)| {
            let address: NodeAddr = seen.report.sentinel.as_deref()?.parse().ok()?;
            if is_local(&address) && !is_local(&record.master) {
                // Whoever is told of it elsewhere would find another Sentinel there, or none.
                return None;
            }
            Some((run_id(&id.to_string()), Sentinel { address, heard: seen.seen_at }))
        };
        Some(Self {
            name: group.name.clone(),
            verdict: Verdict::of(&record.master, &peers, &record.monitors, &record.policy, now),
            sentinels: reports.iter().filter_map(sentinel).collect(),
            alive: record.monitors.iter().filter(|id| peers.contains_key(*id)).count(),
            record: *record,
        })
    }

    /// Why there is no view of a group: it has no record, or it was not read yet, or can't be.
    pub(super) fn missing(group: &Group) -> &'static str {
        match group.record.latest().read {
            None => "the group's record was not read yet: is ZooKeeper there?",
            Some(Err(_)) => "the group's record can't be read by this version",
            Some(Ok(_)) => "the group has no record yet: does a monitor run?",
        }
    }

    /// How the published master is.
    pub(super) fn master(&self) -> Master {
        match &self.record.phase {
            Phase::FailingOver(change) => match change.reason {
                Reason::Switchover | Reason::Ordered => Master::SwitchedOver,
                Reason::Refused | Reason::Silent | Reason::Unusable => Master::Replaced,
                Reason::Demoted | Reason::Restarted | Reason::Other => Master::Deposed,
            },
            Phase::Steady if matches!(self.verdict, Verdict::Down(_)) => Master::Down,
            Phase::Steady => Master::Well,
        }
    }

    /// All nodes but the published master, in their order.
    pub(super) fn replicas(&self) -> impl Iterator<Item = &Member> {
        self.record.members.iter().filter(|member| member.addr != self.record.master)
    }

    /// The replica that takes over, once it is chosen.
    pub(super) fn promoted(&self) -> Option<&NodeAddr> {
        match &self.record.phase {
            Phase::FailingOver(change) => Some(&change.intent.node),
            Phase::Steady => None,
        }
    }
}

/// Whether an address leads each machine to itself.
fn is_local(addr: &NodeAddr) -> bool {
    addr.host() == "localhost" || addr.host().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
