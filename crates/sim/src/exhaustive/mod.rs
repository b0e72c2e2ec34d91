//! A small group, enumerated: all that two monitors, three nodes and a client can come to when few things befall them,
//! with the real [`Decider`](redis_failover_core::Decider) in each monitor. It draws no random number, and what it
//! cannot see the random simulator has to.
//!
//! **What there is.** Two monitors that lead or stand by, with quorum 1, so that either can act when the other is gone,
//! or 2, so that both must agree. The record as one cell with a version, and the lead's lock with its term: the rule of
//! a commit is the store's, but not [`Model`](redis_failover_store::model::Model) itself, whose transaction numbers
//! count everything, so that two ways to one state would never meet. Three [`Server`](crate::redis::Server)s and the
//! connections between them. A client that writes to whom the document that it read last names, in the published life.
//!
//! **What happens, in every order.** The leader looks at the recorded master alone, or at all nodes; reads the record;
//! hears the other's votes. An action is carried out node by node, and heard of. Replicas connect, take in copies and
//! entries one by one. The client reads the document, and writes. **Faults**, of which there is a budget: a node dies
//! (and at any later time is back with all by an append-only file, with all or less by a snapshot, or with nothing); a
//! monitor dies; the leader's session expires and it does not know; what came of a commit or a promotion is lost; a
//! replica's link stalls. What a monitor had sent when it died or was deposed arrives later, at any time or never.
//! With `--deposing` a monitor may find the leader gone and remove its lock; that one goes on until it hears of it, on
//! the nodes that the next leader has not reached yet.
//!
//! **What is left out, and so not seen.**
//! - Time moves only when nothing else can happen, but for the client, for accidents and for what is late: to the next
//!   time at which a decider wants to be woken, or to the next round of probes. A deadline that passes while something
//!   is under way is not seen, nor is silence: a dead node refuses. The [`Observer`](redis_failover_core::Observer) is
//!   not there; votes and sightings are made from what a monitor reaches, and monitors reach all nodes.
//! - What a node feeds, and how far it is, is no reason to look, nor what it guards unless it is to be fenced: the next
//!   look for another reason sees it.
//! - Who does not lead sees at once who lives, and reads and hears only as time moves; its vote still arrives at the
//!   leader at any time. It may lead with what it saw before, but not with an older vote.
//! - While its action is under way a leader sees and hears nothing: it could do nothing about it. It may once it is
//!   carried out, before it hears so.
//! - Once nothing can befall the group any more, and the published master is open, what is left is to bring all in
//!   order: that is taken in one order, the client's moves last.
//! - A visit to a node is one moment; readings of the record are of the present; CONFIG REWRITE is carried out at all
//!   nodes at once; a link's seconds, and lags, stay 0: where the master is fenced (`--fencing`) it misses a replica
//!   whose link is gone, and not one whose link stalls.
//! - The clock is the same everywhere, and two states that differ only in when something was are two.
//!
//! **What must hold** is in [`Broken`]: in every state, and where nothing more need happen: a path may end before a
//! fault, a return, or what is late. There a master must be published, open and followed by all who live, and the
//! client must have written, unless two nodes died or too few monitors live. What was acknowledged must be on each
//! master that is published later: all of it if no node died, else all that was everywhere when one died, unless a
//! replica had begun to be filled by a master that was back with less: `docs/guarantees.md` calls that a race.
//!
//! **What was found** is kept as tests: a node that answers the freeze and not the monitors is promoted open, because
//! the executor does not ask it for its number (here it is asked, but where that is planted); and a master that is back
//! with less wins over replicas that still hold all, if all of them had begun to be filled.
//!
//! A state is known again by 128 bits. Waiting states share their parts, which are what needs the memory; of a state
//! that was looked into only the bits, its predecessor and the move remain, by which its path is taken again.

mod actions;
mod deposing;
mod group;
mod moves;
mod pool;
mod promises;
mod replication;
mod search;
mod seen;
#[cfg(test)]
mod tests;
mod turn;
mod words;

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use clap::ValueEnum;
use group::Group;
use moves::Move;
pub use moves::{Fault, Memory};
pub use promises::{Amiss, Broken};
use search::Search;
use turn::Turn;

/// What is enumerated, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many writes the client does, one after the other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=6), value_name = "N")]
    pub writes: u8,
    /// How many faults befall the group at most.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=8), value_name = "N")]
    pub faults: u8,
    /// Which faults: all, or only these.
    #[arg(long, value_enum, value_name = "FAULT")]
    pub only: Vec<Fault>,
    /// What a node that died has left when it is back: anything, or only this.
    #[arg(long, value_enum, value_name = "MEMORY")]
    pub back: Vec<Memory>,
    /// A node that died does not come back.
    #[arg(long, conflicts_with = "back")]
    pub no_return: bool,
    /// How many of the two monitors must agree that a node is down.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2), value_name = "N")]
    pub quorum: u32,
    /// The published master takes writes only while a replica follows it.
    #[arg(long)]
    pub fencing: bool,
    /// Who does not lead may find the leader gone, dead or not, and remove its lock; with a quorum of 1 only that ends
    /// the lead of a monitor that died.
    #[arg(long)]
    pub deposing: bool,
    /// In which order: breadth first finds a shortest path to what is wrong, depth first needs little memory.
    #[arg(long, value_enum, default_value_t = Order::Breadth)]
    pub order: Order,
    /// After how many states to stop, complete or not; breadth first a million of them may need 4 GiB.
    #[arg(long, value_name = "N")]
    pub states: Option<usize>,
    /// After how many minutes to stop, complete or not.
    #[arg(long, default_value_t = 10, value_name = "M")]
    pub minutes: u64,
}

/// In which order states are looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// The nearest first: the path to what is wrong is a shortest one.
    Breadth,
    /// The latest first: few states wait.
    Depth,
}

/// What a group is made of, and what is wrong with it on purpose.
#[derive(Clone, Debug)]
struct Rules {
    writes: u8,
    faults: u8,
    only: Vec<Fault>,
    back: Vec<Memory>,
    quorum: u32,
    fencing: bool,
    deposing: bool,
    order: Order,
    planted: Option<Planted>,
}

/// A bug at the boundary of the core, to show that it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    /// A freeze only reads.
    NoFreeze,
    /// A promotion reaches whoever lives at the address.
    UnboundPromotion,
    /// A promoted node is not closed to writes.
    OpenPromotion,
    /// A commit does not check the lock.
    UnfencedCommit,
    /// What a promoted node says is not read.
    UnreadPublication,
    /// How far a node is, is taken from the last probe and not from the freeze.
    StaleEvidence,
    /// A node that did not answer the monitors, and answers the freeze, is not asked for its `min-replicas-to-write`,
    /// and so is promoted as one that cannot be closed. The program did so until this was found.
    UnaskedNumber,
    /// A monitor begins actions without asking whether it still leads.
    UnaskedLead,
    /// A master that has lost its last replica is not told to go on without.
    UntoldLettingGo,
    /// A monitor that finds the leader gone believes that the other does, too.
    DeposesAlone,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different states.
    pub states: usize,
    /// Moves between them.
    pub moves: usize,
    /// How many moves lead to the farthest state that was looked into.
    pub depth: usize,
    /// States in which nothing more need happen.
    pub ends: usize,
    /// Those of them in which the group waits, as it may.
    pub waits: usize,
    /// Those of them in which a restarted node had begun to fill a replica before anybody froze it: nothing is owed.
    pub races: usize,
    /// States that were found and not looked into.
    pub waiting: usize,
    /// Different monitors, nodes and records.
    pub parts: [usize; 3],
    /// Bytes of what is kept of all states, without the parts.
    pub bytes: usize,
}

/// What came of an enumeration.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What was asked for.
    pub options: Options,
    /// What was counted.
    pub counts: Counts,
    /// Whether that is all there is.
    pub complete: bool,
    /// How long it took.
    pub took: Duration,
    /// The promise that was broken, and the moves that led there.
    pub broken: Option<(Broken, Vec<String>)>,
}

/// Enumerates.
pub fn run(options: &Options) -> Summary {
    let Options { writes, faults, quorum, fencing, deposing, order, .. } = *options;
    let only = if options.only.is_empty() { Fault::value_variants() } else { &options.only };
    let back = match options.back.as_slice() {
        _ if options.no_return => &[],
        [] => Memory::value_variants(),
        these => these,
    };
    let (only, back) = (only.to_vec(), back.to_vec());
    let rules = Rules { writes, faults, only, back, quorum, fencing, deposing, order, planted: None };
    let limit = Duration::from_secs(options.minutes * 60);
    let clock = stopwatch();
    let found = enumerate(&rules, founded(&rules), |counts| {
        clock() >= limit || options.states.is_some_and(|states| counts.states >= states)
    });
    Summary {
        options: options.clone(),
        counts: found.counts,
        complete: found.complete,
        took: clock(),
        broken: found.trail.map(|trail| (trail.broken, trail.lines)),
    }
}

/// How long ago this was called: only to end in time and to say how fast it was.
fn stopwatch() -> impl Fn() -> Duration {
    #[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "no state depends on it")]
    let begun = std::time::Instant::now();
    move || begun.elapsed()
}

/// What a search came to.
struct FoundOut {
    counts: Counts,
    complete: bool,
    trail: Option<search::Trail>,
}

/// Enumerates from `begin` until there is nothing more, a promise is broken, or `stop`, asked now and then, says so.
fn enumerate(rules: &Rules, begin: Group, stop: impl Fn(&Counts) -> bool) -> FoundOut {
    let mut search = Search::new(rules, begin);
    loop {
        for _ in 0..256 {
            if let ControlFlow::Break(trail) = search.step() {
                return FoundOut { counts: search.counts, complete: trail.is_none(), trail };
            }
        }
        if stop(&search.counts) {
            return FoundOut { counts: search.counts, complete: false, trail: None };
        }
    }
}

/// The group as it is enumerated from: founded by the monitors themselves, with a first write that is on all nodes and
/// in all their snapshots.
fn founded(rules: &Rules) -> Group {
    let quiet = Rules { writes: 0, faults: 0, planted: None, ..rules.clone() };
    let mut group = Group::new(&quiet);
    while let Some(next) = group.undisturbed(&quiet) {
        group = next;
    }
    for node in 0..group::NODES {
        group.node(node).server.save();
    }
    group.rest.faults = rules.faults;
    group
}

impl Group {
    /// What comes next while nothing befalls the group: the first of all moves that are not accidents.
    fn undisturbed(&self, rules: &Rules) -> Option<Self> {
        let step = self.moves(rules).into_iter().find(|step| !step.is_optional())?;
        Some(self.after(rules, step))
    }

    /// The state after this.
    fn after(&self, rules: &Rules, step: Move) -> Self {
        let mut turn = Turn { group: self.clone(), rules, broken: None };
        turn.take(step);
        turn.group.note_idleness(self);
        turn.group
    }
}

impl Summary {
    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        let Counts { states, moves, depth, ends, waits, races, waiting, parts, bytes } = self.counts;
        let [monitors, nodes, records] = parts;
        serde_json::json!({
            "writes": self.options.writes, "faults": self.options.faults, "quorum": self.options.quorum,
            "fencing": self.options.fencing, "deposing": self.options.deposing,
            "states": states, "moves": moves, "depth": depth, "complete": self.complete,
            "ends": ends, "waits": waits, "races": races, "waiting": waiting,
            "monitors": monitors, "nodes": nodes, "records": records, "bytes": bytes,
            "milliseconds": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "broken": self.broken.as_ref().map(|(broken, _)| broken.to_string()),
            "moves_to_it": self.broken.as_ref().map(|(_, lines)| lines),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { states, moves, depth, ends, waits, races, waiting, parts, bytes } = self.counts;
        let Options { writes, faults, quorum, fencing, deposing, .. } = self.options;
        let seconds = self.took.as_secs_f64();
        let [monitors, nodes, records] = parts;
        let fenced = if fencing { ", fenced" } else { "" };
        let deposed = if deposing { ", deposing" } else { "" };
        writeln!(
            f,
            "2 monitors (quorum {quorum}{deposed}), 3 nodes{fenced}, writes: {writes}, faults: {faults} at most"
        )?;
        let how = if self.complete { "complete" } else { "not complete" };
        writeln!(f, "{states} states, {moves} moves, to depth {depth}: {how}, {waiting} not looked into")?;
        writeln!(
            f,
            "{ends} ends, of which {waits} wait and {races} had lost the race for a restarted master"
        )?;
        writeln!(f, "{monitors} different monitors, {nodes} nodes, {records} records")?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let (rate, mib) = (states as f64 / seconds.max(0.001), bytes as f64 / 1024.0 / 1024.0);
        write!(
            f,
            "{seconds:.1} s, {rate:.0} states/s, {mib:.0} MiB for what was visited, without the parts"
        )?;
        let Some((broken, lines)) = &self.broken else { return write!(f, "\nno promise was broken") };
        write!(f, "\nBROKEN: {broken}, after {} moves:", lines.len())?;
        lines.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}
