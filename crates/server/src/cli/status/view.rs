//! What there is to show of a group, from one look at the store. It asks nobody and prints nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use redis_failover_core::{
    Divergence, Found, MonitorId, NodeAddr, Pause, Phase, Reason, Report, Topology, Versioned, Wait,
};
use redis_failover_store::{Leader, Snapshot};

use super::state::State;
use super::trouble::{self, Trouble};
use crate::cli::place::Place;
use crate::failure::{Failure, Kind};

/// A group that has a record.
#[derive(Clone, Debug)]
pub(in crate::cli) struct View {
    /// The group's path.
    pub(in crate::cli) path: String,
    /// How many changes of master there were.
    pub(in crate::cli) epoch: u64,
    /// The record's phase.
    pub(in crate::cli) phase: State,
    /// What is under way.
    pub(in crate::cli) change: Option<ChangeView>,
    /// An operator's word that no change is to begin.
    pub(in crate::cli) pause: Option<Pause>,
    /// The published master.
    pub(in crate::cli) master: NodeAddr,
    /// All nodes in the operator's order.
    pub(in crate::cli) nodes: Vec<NodeView>,
    /// The registered monitors.
    pub(in crate::cli) monitors: Vec<MonitorView>,
    /// Who leads.
    pub(in crate::cli) leader: Option<Leader>,
    /// How many monitors must agree.
    pub(in crate::cli) quorum: usize,
    /// How many registered monitors are alive.
    pub(in crate::cli) alive: usize,
    /// What keeps the group from being well.
    pub(in crate::cli) troubles: Vec<Trouble>,
    /// Which writing of the record it was.
    pub(in crate::cli) order: i64,
    /// When it was looked at.
    pub(in crate::cli) now: SystemTime,
}

/// A change of master that is under way.
#[derive(Clone, Debug)]
pub(in crate::cli) struct ChangeView {
    /// From whom.
    pub(in crate::cli) old: NodeAddr,
    /// Why.
    pub(in crate::cli) reason: Reason,
    /// Who takes over.
    pub(in crate::cli) new: NodeAddr,
}

impl fmt::Display for ChangeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, {} takes over", self.old, self.reason, self.new)
    }
}

/// A node of the group.
#[derive(Clone, Debug)]
pub(in crate::cli) struct NodeView {
    /// Its address.
    pub(in crate::cli) addr: NodeAddr,
    /// Master or replica.
    pub(in crate::cli) role: State,
    /// OK or KO.
    pub(in crate::cli) is: State,
    /// By how many bytes it was behind the master when the leading monitor saw both last, where that is known.
    pub(in crate::cli) lag: Option<u64>,
    /// What each monitor that is alive says of it.
    pub(in crate::cli) votes: BTreeMap<MonitorId, State>,
    /// What else is known of it, in words.
    pub(in crate::cli) notes: Vec<(State, String)>,
    /// What it alone holds, and what becomes of that.
    pub(in crate::cli) diverged: Option<(State, Divergence)>,
    /// Why it may not take over, where the group waits for a better one.
    pub(in crate::cli) waits: Option<(State, Wait)>,
}

/// A registered monitor.
#[derive(Clone, Debug)]
pub(in crate::cli) struct MonitorView {
    /// Its id.
    pub(in crate::cli) id: MonitorId,
    /// What it is.
    pub(in crate::cli) is: State,
    /// Whether it is alive.
    pub(in crate::cli) live: bool,
    /// Where it can be asked.
    pub(in crate::cli) listens: Option<String>,
    /// The version of its program.
    pub(in crate::cli) version: Option<String>,
}

/// Why there is no group to show.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Absence {
    /// What stands there instead.
    pub(in crate::cli) state: State,
    /// The same for people.
    pub(in crate::cli) failure: Failure,
}

impl Absence {
    /// ZooKeeper was not to be asked.
    pub(in crate::cli) fn no_zookeeper(failure: Failure) -> Self {
        Self { state: State::NoZooKeeper, failure }
    }

    fn new(state: State, message: impl std::fmt::Display) -> Self {
        Self { state, failure: Failure::new(Kind::Failed, message) }
    }

    /// The same where it ends the command.
    pub(super) fn into_failure(self) -> Failure {
        let message = format!("{} [{}]", self.failure.message, self.state);
        Failure { message, ..self.failure }.state(self.state.word())
    }

    fn hint(mut self, hint: impl std::fmt::Display) -> Self {
        self.failure = self.failure.hint(hint);
        self
    }
}

impl View {
    /// What a look at the group at `place` shows, taken `now`.
    ///
    /// # Errors
    /// With what stands there, where it is no record.
    pub(in crate::cli) fn of(place: &Place, snapshot: &Snapshot, now: SystemTime) -> Result<Self, Absence> {
        let path = place.path();
        let read =
            snapshot.record.as_ref().map_err(|unreadable| Absence::new(State::Unreadable, unreadable))?;
        match &read.found {
            Found::Record(record) => Ok(Self::of_record(place, record, read, snapshot, now)),
            Found::Nothing => {
                let absence =
                    Absence::new(State::NothingPublished, format!("nothing is published at {path}"));
                Err(absence.hint(why_nothing(place, snapshot)))
            }
            Found::Predecessor { master, .. } => {
                let addr = &master.addr;
                let message = format!("{path} holds a predecessor's document (master {addr}) and no record");
                Err(Absence::new(State::PredecessorDocument, message).hint(
                    "a monitor that leads will adopt it: start one for this path (`redis-failover run`)",
                ))
            }
        }
    }

    fn of_record(
        place: &Place,
        record: &Topology,
        read: &Versioned,
        snapshot: &Snapshot,
        now: SystemTime,
    ) -> Self {
        let change = match &record.phase {
            Phase::Steady => None,
            Phase::FailingOver(change) => {
                let (old, new) = (record.master.clone(), change.intent.node.clone());
                Some(ChangeView { old, reason: change.reason, new })
            }
        };
        Self {
            path: place.path().to_owned(),
            epoch: record.epoch.0,
            phase: (&record.phase).into(),
            change,
            pause: record.pause.clone(),
            master: record.master.clone(),
            nodes: record
                .members
                .iter()
                .map(|member| node(&member.addr, member.ok, record, snapshot))
                .collect(),
            monitors: record.monitors.iter().map(|id| monitor(id, snapshot)).collect(),
            leader: snapshot.leader.clone(),
            quorum: record.quorum(),
            alive: alive(record, snapshot),
            troubles: trouble::all(place, record, snapshot),
            order: read.version.order,
            now,
        }
    }

    /// All states that it shows.
    #[cfg(test)]
    pub(super) fn states(&self) -> std::collections::BTreeSet<State> {
        let of_node = |node: &NodeView| {
            let mut states = vec![node.role, node.is];
            states.extend(node.votes.values());
            states.extend(node.notes.iter().map(|(state, _)| state));
            states.extend(node.diverged.iter().map(|(state, _)| state));
            states.extend(node.waits.iter().map(|(state, _)| state));
            states
        };
        let nodes = self.nodes.iter().flat_map(of_node);
        let monitors = self.monitors.iter().map(|monitor| monitor.is);
        let troubles = self.troubles.iter().map(|trouble| trouble.state);
        [self.phase].into_iter().chain(nodes).chain(monitors).chain(troubles).collect()
    }
}

/// What keeps a group from having a record, as far as can be seen.
fn why_nothing(place: &Place, snapshot: &Snapshot) -> String {
    let remembered = snapshot.reports.values().filter_map(|report| report.remembers).max();
    match (remembered, snapshot.predecessors.first(), &snapshot.leader) {
        (Some(epoch), ..) => format!(
            "the monitors remember epoch {epoch}: ZooKeeper was emptied; say which node is the master: {}",
            trouble::adopt(place)
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

fn node(addr: &NodeAddr, ok: bool, record: &Topology, snapshot: &Snapshot) -> NodeView {
    let vote = |(id, report): (&MonitorId, &Report)| {
        let (vote, _) = report.votes.get(addr)?;
        Some((id.clone(), State::from(*vote)))
    };
    let diverged = record.diverged.get(addr);
    let waits = waits(snapshot).find(|(node, _)| *node == addr).map(|(_, wait)| wait);
    NodeView {
        addr: addr.clone(),
        role: if *addr == record.master { State::Master } else { State::Replica },
        is: if ok { State::Ok } else { State::Ko },
        lag: lag(addr, record, snapshot),
        votes: snapshot.reports.iter().filter_map(vote).collect(),
        notes: notes(addr, record),
        diverged: diverged.map(|it| (State::from(&it.keeping), it.clone())),
        waits: waits.map(|wait| (State::of_wait(&wait.why), wait.clone())),
    }
}

fn notes(addr: &NodeAddr, record: &Topology) -> Vec<(State, String)> {
    let mut notes = Vec::new();
    if record.is_drained(addr) {
        let text = "an operator has taken it out of service, so nobody reads from it and it never takes over";
        notes.push((State::Drained, text.to_owned()));
    }
    match record.orders.get(addr).and_then(|orders| orders.priority) {
        Some(0) => {
            let text = "an operator has said that it never takes over";
            notes.push((State::PriorityZero, text.to_owned()));
        }
        Some(number) => {
            let text =
                format!("an operator has given it {number} in the place of its own; lower is preferred");
            notes.push((State::Priority, text));
        }
        None => {}
    }
    if record.only_watches(addr) {
        let text = "nobody listed it, so it is watched and never takes over";
        notes.push((State::OnlyWatched, text.to_owned()));
    } else if record.discovered.contains(addr) {
        notes.push((State::Discovered, "nobody listed it: the master named it as its replica".to_owned()));
    }
    if record.left.contains(addr) {
        let text = "the master went on without it, so it may lack any number of writes";
        notes.push((State::LeftBehind, text.to_owned()));
    }
    notes
}

fn monitor(id: &MonitorId, snapshot: &Snapshot) -> MonitorView {
    let report = snapshot.reports.get(id);
    let leads = snapshot.leader.as_ref().is_some_and(|leader| leader.monitor == id.to_string());
    MonitorView {
        id: id.clone(),
        is: match report {
            _ if leads => State::Leader,
            Some(_) => State::Standby,
            None => State::Gone,
        },
        live: report.is_some(),
        listens: report.and_then(|report| report.address.clone()),
        version: report.and_then(|report| report.version.clone()),
    }
}

/// What the leader says that it waits for.
pub(super) fn waits(snapshot: &Snapshot) -> impl Iterator<Item = (&NodeAddr, &Wait)> {
    of_leader(snapshot).into_iter().flat_map(|report| &report.waits)
}

/// How far the leader says that a replica is behind. The master is not, though it was when it was a replica.
fn lag(addr: &NodeAddr, record: &Topology, snapshot: &Snapshot) -> Option<u64> {
    of_leader(snapshot)?.lags.get(addr).copied().filter(|_| *addr != record.master)
}

fn of_leader(snapshot: &Snapshot) -> Option<&Report> {
    let leader = snapshot.leader.as_ref()?;
    snapshot.reports.iter().find(|(id, _)| id.to_string() == leader.monitor).map(|(_, report)| report)
}

/// How many registered monitors are alive.
pub(super) fn alive(record: &Topology, snapshot: &Snapshot) -> usize {
    record.monitors.iter().filter(|id| snapshot.reports.contains_key(*id)).count()
}
