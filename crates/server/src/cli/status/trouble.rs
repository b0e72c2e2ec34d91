//! What keeps a group from being well, as far as the record and the reports tell, and what to do. It asks nobody.

use redis_failover_core::{Divergence, Epoch, Keeping, Member, NodeAddr, Report, Topology, Vote};
use redis_failover_store::Snapshot;

use super::pausing;
use super::state::State;
use super::view::{alive, waits};
use crate::cli::bars;
use crate::cli::place::Place;

/// One thing that keeps a group from being well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Trouble {
    /// What it is.
    pub(in crate::cli) state: State,
    /// The same with names and numbers.
    pub(in crate::cli) found: String,
    /// What programs are told besides (`troubles`), if anything.
    then: Option<String>,
    /// What to do, line by line: sentences, and commands as they are typed.
    pub(in crate::cli) fix: Vec<String>,
}

impl Trouble {
    /// A trouble of which programs are told what was found.
    pub(super) fn new(state: State, found: impl Into<String>) -> Self {
        Self { state, found: found.into(), then: None, fix: Vec::new() }
    }

    /// The same with one more line of what to do.
    pub(super) fn fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
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

/// What is wrong with the group, the heaviest first.
pub(super) fn all(place: &Place, record: &Topology, snapshot: &Snapshot) -> Vec<Trouble> {
    let of_the_group = [pausing::trouble(place, record), no_quorum(place, record, snapshot)];
    let mut troubles: Vec<_> = of_the_group.into_iter().flatten().collect();
    troubles.extend(no_leader(snapshot));
    troubles.extend(older(place, record, snapshot));
    let against = snapshot.reports.values().filter(|report| finds_down(record, report)).count();
    if against > 0 {
        let found = format!("{against} monitors find the master {} down", record.master);
        troubles.push(Trouble::new(State::MasterDown, found).fix(whether_replaced(record, snapshot)));
    }
    troubles.extend(held(place, record));
    troubles.extend(ko(record, against > 0));
    troubles.extend(nobody(place, record, snapshot));
    troubles
}

/// That no node may take over from a master that is lost, or could when it is.
fn nobody(place: &Place, record: &Topology, snapshot: &Snapshot) -> Option<Trouble> {
    if waits(snapshot).next().is_some() {
        let found = "no node may take over: the group waits for a better one to come back";
        let trouble = Trouble::new(State::NobodyMayTakeOver, found);
        return Some(trouble.fix("start that node; if it is lost for good:").fix(adopt(place)));
    }
    let bars = bars::of_all(record);
    let found = format!("when the master is lost no node may take over: {}", bars::told(&bars));
    let trouble = Trouble::new(State::NobodyMayTakeOver, found).fix("let one of them take over:");
    let lifted = bars.iter().map(|(node, bar)| bar.lifted(place, node));
    (!bars.is_empty()).then(|| lifted.fold(trouble, Trouble::fix))
}

/// What to do about a master that is found down, and what happens by itself, if anything.
fn whether_replaced(record: &Topology, snapshot: &Snapshot) -> String {
    let (quorum, is_alone) = (record.quorum(), record.members.len() == 1);
    let nobody_may = is_alone || waits(snapshot).next().is_some() || !bars::of_all(record).is_empty();
    let look = |then: &str| format!("look at that server; {then}");
    if record.pause.is_some() {
        look("while the group is paused nobody takes over")
    } else if snapshot.leader.is_none() {
        look("while no monitor leads nobody takes over")
    } else if is_older(record, snapshot).is_some() {
        look("until a master is adopted nobody takes over")
    } else if nobody_may {
        look("no other node may take over")
    } else if alive(record, snapshot) < quorum {
        look(&format!("nobody takes over before {quorum} monitors are alive"))
    } else {
        look(&format!("when {quorum} monitors agree another node takes over by itself"))
    }
}

/// How an operator says which node is the master; only the operator knows that one.
pub(super) fn adopt(place: &Place) -> String {
    place.command("adopt", &["--master", "NODE"])
}

fn no_quorum(place: &Place, record: &Topology, snapshot: &Snapshot) -> Option<Trouble> {
    let (quorum, alive) = (record.quorum(), alive(record, snapshot));
    let found = format!("{alive} monitors are alive and {quorum} must agree: no failover");
    let gone = record.monitors.iter().filter(|id| !snapshot.reports.contains_key(*id));
    let forget = gone.map(|id| place.command("monitor forget", &[&id.to_string()]));
    // A number stays what it is, whoever is forgotten.
    let first = record.policy.quorum().map(|_| place.command("config set", &["quorum=majority"]));
    let fixes = first.into_iter().chain(forget);
    let trouble = Trouble::new(State::NoQuorum, found).fix("start monitors; if some won't come back:");
    (alive < quorum).then(|| fixes.fold(trouble, Trouble::fix))
}

fn no_leader(snapshot: &Snapshot) -> Vec<Trouble> {
    if snapshot.leader.is_some() {
        return Vec::new();
    }
    let nobody = Trouble::new(State::NoLeader, "no monitor leads")
        .fix("start monitors; of those that run the log says why none leads");
    let predecessor = |znode: &String| {
        Trouble::new(State::PredecessorAlive, format!("a monitor of the predecessor is alive: {znode}"))
            .fix("end it; or start ours with --take-over")
    };
    [nobody].into_iter().chain(snapshot.predecessors.iter().map(predecessor)).collect()
}

/// The epoch that the monitors remember, where it is a later one than the record's.
fn is_older(record: &Topology, snapshot: &Snapshot) -> Option<Epoch> {
    let remembered = snapshot.reports.values().filter_map(|report| report.remembers).max();
    remembered.filter(|epoch| *epoch > record.epoch)
}

fn older(place: &Place, record: &Topology, snapshot: &Snapshot) -> Option<Trouble> {
    let later = is_older(record, snapshot)?;
    let found = format!("this record is older than the monitors remember (epoch {later})");
    let then = "nothing is done until one adopts a master (redis-failover adopt)";
    Some(Trouble::new(State::RecordOlder, found).fix(adopt(place)).then(then))
}

fn finds_down(record: &Topology, report: &Report) -> bool {
    let vote = report.votes.get(&record.master).map(|(vote, _)| *vote);
    matches!(vote, Some(Vote::Refused | Vote::Silent | Vote::Unusable))
}

/// The nodes that must not be filled yet.
fn held(place: &Place, record: &Topology) -> Vec<Trouble> {
    let holding = record.diverged.iter().filter(|(_, divergence)| divergence.keeping.holds());
    let trouble = |(node, divergence): (&NodeAddr, &Divergence)| {
        let found = format!("{node} is held back, for what it alone holds is not saved yet");
        let trouble = Trouble::new(State::from(&divergence.keeping), found);
        match divergence.keeping {
            Keeping::Held { .. } => trouble
                .fix("copy that; then, to give it up:")
                .fix(place.command("resync", &[&node.to_string()]))
                .then(format!("copy that, then give it up (redis-failover resync {node})")),
            Keeping::Due { .. } | Keeping::Saved { .. } | Keeping::Discarded => {
                trouble.fix("wait: it follows when that is done").then("it follows when that is done")
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
    let trouble = |member: &Member| {
        let node = &member.addr;
        if *node == record.master {
            let fix = "look at that server, and at the log of the monitor that leads";
            return Trouble::new(State::Ko, format!("the master {node} is KO")).fix(fix);
        }
        let found = format!("{node} is KO: it doesn't answer, or holds no current copy");
        Trouble::new(State::Ko, found).fix("look at that server; a first copy takes its time")
    };
    members.map(trouble).collect()
}
