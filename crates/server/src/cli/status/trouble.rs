//! What keeps a group from being well, as far as the record and the reports tell, and what to do. It asks nobody.

use redis_failover_core::{Keeping, Report, Topology, Vote};
use redis_failover_store::Snapshot;

use super::pausing;
use super::state::State;
use super::view::{alive, waits};

/// One thing that keeps a group from being well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Trouble {
    /// What it is.
    pub(in crate::cli) state: State,
    /// The same with names and numbers.
    pub(in crate::cli) found: String,
    /// What programs are told besides (`troubles`), if anything.
    then: Option<String>,
    /// What to do: a sentence, or a command as it is typed.
    pub(in crate::cli) fix: String,
}

impl Trouble {
    /// A trouble of which programs are told what was found.
    pub(super) fn new(state: State, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state, found: found.into(), then: None, fix: fix.into() }
    }

    /// The same, of which they are told more.
    pub(super) fn then(mut self, then: impl Into<String>) -> Self {
        self.then = Some(then.into());
        self
    }

    /// All of it in one line.
    pub(super) fn line(&self) -> String {
        let Self { found, then, .. } = self;
        then.as_ref().map_or_else(|| found.clone(), |then| format!("{found}: {then}"))
    }
}

/// What is wrong with the group at `path`, the heaviest first.
pub(super) fn all(path: &str, record: &Topology, snapshot: &Snapshot) -> Vec<Trouble> {
    let of_the_group = [pausing::trouble(path, record), no_quorum(path, record, snapshot)];
    let mut troubles: Vec<_> = of_the_group.into_iter().flatten().collect();
    troubles.extend(no_leader(snapshot));
    troubles.extend(older(path, record, snapshot));
    let against = snapshot.reports.values().filter(|report| finds_down(record, report)).count();
    if against > 0 {
        let quorum = record.quorum();
        troubles.push(Trouble::new(
            State::MasterDown,
            format!("{against} monitors find the master {} down", record.master),
            format!("look at that server; when {quorum} monitors agree another node takes over by itself"),
        ));
    }
    troubles.extend(held(path, record));
    troubles.extend(ko(record, against > 0));
    if waits(snapshot).next().is_some() {
        troubles.push(Trouble::new(
            State::NobodyMayTakeOver,
            "no node may take over: the group waits for a better one to come back",
            format!("start that node; if it is lost for good: redis-failover adopt -p {path} --master NODE"),
        ));
    }
    troubles
}

fn no_quorum(path: &str, record: &Topology, snapshot: &Snapshot) -> Option<Trouble> {
    let (quorum, alive) = (record.quorum(), alive(record, snapshot));
    (alive < quorum).then(|| {
        Trouble::new(
            State::NoQuorum,
            format!("{alive} monitors are alive and {quorum} must agree: no failover"),
            format!("start monitors; one that won't come back: redis-failover monitor forget -p {path} ID"),
        )
    })
}

fn no_leader(snapshot: &Snapshot) -> Vec<Trouble> {
    if snapshot.leader.is_some() {
        return Vec::new();
    }
    let nobody = Trouble::new(
        State::NoLeader,
        "no monitor leads",
        "start monitors; of those that run the log says why none leads",
    );
    let predecessor = |znode: &String| {
        Trouble::new(
            State::PredecessorAlive,
            format!("a monitor of the predecessor is alive: {znode}"),
            "end it; or start ours with --take-over",
        )
    };
    [nobody].into_iter().chain(snapshot.predecessors.iter().map(predecessor)).collect()
}

fn older(path: &str, record: &Topology, snapshot: &Snapshot) -> Option<Trouble> {
    let remembered = snapshot.reports.values().filter_map(|report| report.remembers).max();
    let later = remembered.filter(|epoch| *epoch > record.epoch)?;
    Some(
        Trouble::new(
            State::RecordOlder,
            format!("this record is older than the monitors remember (epoch {later})"),
            format!("redis-failover adopt -p {path} --master NODE"),
        )
        .then("nothing is done until one adopts a master (redis-failover adopt)"),
    )
}

fn finds_down(record: &Topology, report: &Report) -> bool {
    let vote = report.votes.get(&record.master).map(|(vote, _)| *vote);
    matches!(vote, Some(Vote::Refused | Vote::Silent | Vote::Unusable))
}

/// The nodes that must not be filled yet.
fn held(path: &str, record: &Topology) -> Vec<Trouble> {
    let holding = record.diverged.iter().filter(|(_, divergence)| divergence.keeping.holds());
    let trouble = |(node, divergence): (&redis_failover_core::NodeAddr, &redis_failover_core::Divergence)| {
        let found = format!("{node} is held back, for what it alone holds is not saved yet");
        let state = State::from(&divergence.keeping);
        match divergence.keeping {
            Keeping::Held { .. } => {
                Trouble::new(state, found, format!("copy that; then redis-failover resync -p {path} {node}"))
                    .then(format!("copy that, then give it up (redis-failover resync {node})"))
            }
            Keeping::Due { .. } | Keeping::Saved { .. } | Keeping::Discarded => {
                Trouble::new(state, found, "wait: it follows when that is done")
                    .then("it follows when that is done")
            }
        }
    };
    holding.map(trouble).collect()
}

/// The nodes that are KO, but for those of which more was said: who is held back or drained, and a
/// master that is `found_down`.
fn ko(record: &Topology, found_down: bool) -> Vec<Trouble> {
    let held = |node| record.diverged.get(node).is_some_and(|divergence| divergence.keeping.holds());
    let told = |node| held(node) || record.is_drained(node) || (*node == record.master && found_down);
    let members = record.members.iter().filter(|member| !member.ok && !told(&member.addr));
    let trouble = |member: &redis_failover_core::Member| {
        let node = &member.addr;
        if *node == record.master {
            let fix = "look at that server, and at the log of the monitor that leads";
            return Trouble::new(State::Ko, format!("the master {node} is KO"), fix);
        }
        let found = format!("{node} is KO: it doesn't answer, or holds no current copy");
        Trouble::new(State::Ko, found, "look at that server; a first copy takes its time")
    };
    members.map(trouble).collect()
}
