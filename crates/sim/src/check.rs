//! What must hold, looked at whenever something happens that could break it. Each invariant has a name; the table of
//! all is in docs/testing.md. It changes nothing in the world.

mod fences;
mod invariants;
mod orders;
mod parting;
mod record;
mod returns;
mod switching;
mod writes;

use std::collections::BTreeMap;

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{Epoch, Phase, RunId, Term, Topology, Vote};

use crate::queue::Micros;
use crate::redis::{Server, WriteId, Writes, named};
use crate::wires::Ask;
use fences::Fences;
pub use invariants::{INVARIANTS, Invariant};
use parting::Partings;
use returns::Returns;
use switching::Switchings;
pub use switching::Switchovers;

/// What broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// When.
    pub at: Micros,
    /// What was seen.
    pub detail: String,
}

/// What happened, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Faults.
    pub faults: u64,
    /// Changes of master that were published.
    pub changes: u64,
    /// Switchovers that operators asked for.
    pub switchovers: Switchovers,
    /// Other orders of theirs, done and refused, and the epochs of failovers that nobody else would have begun.
    pub orders: (u64, u64, u64),
    /// Commits.
    pub commits: u64,
    /// Leaders whose locks the others removed.
    pub deposed: u64,
    /// Monitors that left the group, those of them that were the last, and those of these that said what is left.
    pub left: (u64, u64, u64),
    /// Writes that the published master acknowledged.
    pub acknowledged: u64,
    /// Those of them that the last published master lacks.
    pub lost: u64,
    /// Writes that somebody else acknowledged.
    pub elsewhere: u64,
    /// Writes whose client does not know.
    pub unknown: u64,
    /// Reads.
    pub reads: u64,
    /// Writes that a replica confirmed, and those of them that were lost.
    pub confirmed: (u64, u64),
    /// How often a server lost data to a full copy that lacked acknowledged writes.
    pub wiped: u64,
    /// How often the recorded master was back with less than was acknowledged, and how often it then filled a replica.
    pub forgot: (u64, u64),
    /// Whether the group waits for an operator at the end, as the guarantees say that it does.
    pub waits: u64,
    /// How long after the last fault all was well.
    pub calm_after: Micros,
}

/// What is remembered to judge by.
#[derive(Clone, Debug)]
pub struct Checks {
    /// The first violation.
    pub violation: Option<Violation>,
    /// In numbers.
    pub counts: Counts,
    /// All came to rest.
    pub is_well: bool,
    /// Writes since the faults ended.
    pub acked_since_calm: u32,
    now: Micros,
    orders: (i64, i64),
    record: Option<Topology>,
    published: Option<(usize, RunId)>,
    committer: Option<usize>,
    /// The epoch whose master was opened to writes last.
    opened: Option<Epoch>,
    executed: BTreeMap<WriteId, (usize, RunId, bool)>,
    confirmed: Writes,
    /// Acknowledged by the published master and not given up by a later change.
    live: Writes,
    given_up: Writes,
    /// Who was promoted by a monitor, in which run, and is not published.
    promoted: Vec<Option<RunId>>,
    /// When each server was last found a replica, or was meddled with.
    replica_at: Vec<Option<Micros>>,
    fences: Fences,
    returns: Returns,
    partings: Partings,
    switchings: Switchings,
    /// When the node that was chosen for the latest epoch was asked to freeze.
    chosen_since: Micros,
    /// When an operator changed what a server follows.
    meddled_at: Vec<Option<Micros>>,
    /// Terms that were ended by force: no lease tells of that.
    forced: Vec<Term>,
    /// Which monitors' votes against which nodes counted when `ZooKeeper` was lost, until it is back.
    stood: Vec<(usize, usize)>,
}

/// A record in a few words.
pub fn brief(record: &Topology) -> String {
    let phase = match &record.phase {
        Phase::Steady => "steady".to_owned(),
        Phase::FailingOver(change) => {
            format!("{} -> {} at {}", change.reason, change.intent.node, change.intent.offset)
        }
    };
    let run = record.master_run.as_ref().map_or("?", |run| &run.0);
    let ok: Vec<_> = record.members.iter().filter(|it| it.ok).map(|it| named(&it.addr)).collect();
    format!("epoch {} {phase}, master {run}, ok {ok:?}, registered {}", record.epoch, record.monitors.len())
}

impl Checks {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            violation: None,
            counts: Counts::default(),
            is_well: false,
            acked_since_calm: 0,
            now: 0,
            orders: (0, 0),
            record: None,
            published: None,
            committer: None,
            opened: None,
            executed: BTreeMap::new(),
            confirmed: Writes::default(),
            live: Writes::default(),
            given_up: Writes::default(),
            promoted: vec![None; nodes],
            replica_at: vec![None; nodes],
            fences: Fences::default(),
            returns: Returns::default(),
            partings: Partings::default(),
            switchings: Switchings::default(),
            chosen_since: 0,
            meddled_at: vec![None; nodes],
            forced: Vec::new(),
            stood: Vec::new(),
        }
    }

    fn violate(&mut self, invariant: &'static str, detail: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { invariant, at, detail });
    }

    /// Only who holds the lock writes the record.
    pub(crate) fn committed(&mut self, m: usize, term: Term, holder: Option<Term>) {
        self.counts.commits += 1;
        self.committer = Some(m);
        if holder != Some(term) {
            self.violate("fenced-commit", format!("m{m} wrote in term {term}, the lock is of {holder:?}"));
        }
    }

    pub(crate) fn ended_by_force(&mut self, term: Option<Term>) {
        self.forced.extend(term);
    }

    pub(crate) fn promoted(&mut self, n: usize, server: &Server) {
        let run = server.run();
        if self.published.as_ref() != Some(&(n, run.clone())) {
            self.promoted[n] = Some(run);
        }
    }

    /// An operator changed what it follows: what becomes of that is not the monitors' doing.
    pub(crate) fn meddled(&mut self, n: usize, now: Micros) {
        self.now = now;
        self.promoted[n] = None;
        self.replica_at[n] = Some(self.now);
        self.meddled_at[n] = Some(self.now);
        self.returns.changed(n, now);
    }

    /// A write is executed once, and never by a server that was promoted and is not published.
    pub(crate) fn executed(&mut self, id: WriteId, n: usize, server: &Server, now: Micros) {
        self.now = now;
        let run = server.run();
        if self.promoted[n].as_ref() == Some(&run) {
            let closed = server.min_replicas_to_write == CLOSED;
            self.violate("closed-until-published", format!("{run:?} executes {id:?}, closed {closed}"));
        }
        let main = self.published.as_ref() == Some(&(n, run.clone()));
        if !main {
            self.returns.changed(n, now);
        }
        if let Some(before) = self.executed.insert(id, (n, run.clone(), main)) {
            self.violate("executed-once", format!("{id:?} by {before:?} and by {run:?}"));
        }
    }

    pub(crate) fn confirmed(&mut self, id: WriteId) {
        self.confirmed.insert(id);
        self.counts.confirmed.0 += 1;
    }

    /// Something befell somebody, or is over.
    pub(crate) fn disturbed(&mut self) {
        self.fences.disturbed();
        self.switchings.disturbed();
    }

    /// A monitor leads, or does no longer.
    pub(crate) fn led_anew(&mut self) {
        self.disturbed();
        self.returns.led_anew();
    }

    /// A server goes on after it had stood still.
    pub(crate) fn woke(&mut self, n: usize, now: Micros) {
        self.fences.woke(n, now);
    }

    /// A server carries out a command.
    pub(crate) fn obeyed(&mut self, n: usize, ask: &Ask, now: Micros) {
        self.fences.obeyed(n, ask, now);
        if matches!(ask, Ask::Freeze { .. } | Ask::Promote { .. }) {
            self.returns.is_not_filled(n);
        }
    }

    /// A server begins to take in a full copy, or is done with that or needs none.
    pub(crate) fn filled(&mut self, n: usize, begins: Option<Micros>) {
        match begins {
            Some(now) => self.returns.is_filled(n, now),
            None => self.returns.is_not_filled(n),
        }
    }
}

/// Whether a vote says that a node is down.
pub(crate) fn is_failing(vote: Vote) -> bool {
    matches!(vote, Vote::Refused | Vote::Silent | Vote::Unusable)
}
