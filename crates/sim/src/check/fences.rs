//! What is looked at of the two fences: which leader's commands a server carries out, and when a master takes writes.
//! It asks what is, not what a leader takes it for.

use std::collections::{BTreeMap, BTreeSet};

use redis_failover_core::{Evidence, NodeAddr, Reason, RunId, Term, Topology, Verdict};

use crate::queue::{MS, Micros, S};
use crate::redis::{WriteId, Writes};
use crate::wires::{Ask, Host};
use crate::world::World;

/// After so long without a word of a replica a fenced master takes no write: two whole seconds, and what whole seconds
/// and one look a second make of them.
const ALONE: Micros = 4 * S;

/// So soon a master without replicas is let go on by a leader who is in touch with it.
const LET_GO: Micros = 5 * S;

/// What is remembered of the fences.
#[derive(Clone, Debug, Default)]
pub(super) struct Fences {
    /// The latest term whose leader has commanded each server, or read what it acts upon, in the server's life.
    heard: BTreeMap<usize, (RunId, Term)>,
    /// The lives of the servers of which a leader knows that they take writes only while a replica follows.
    closing: BTreeMap<usize, RunId>,
    /// When each server was last told to take writes without one.
    lowered: BTreeMap<usize, Micros>,
    /// When each server last went on after it had stood still.
    woke: BTreeMap<usize, Micros>,
    /// Without whom the master was let go on: who followed it before, or was not there as it was published. Who
    /// followed only since then may lead.
    without: BTreeSet<NodeAddr>,
    /// What it took since then and nobody else can have.
    alone: Writes,
    /// Since when the published master takes no write though nothing hinders its leader.
    stranded: Option<Micros>,
}

impl Fences {
    /// Something befell somebody, or is over.
    pub(super) fn disturbed(&mut self) {
        self.stranded = None;
    }

    pub(super) fn woke(&mut self, n: usize, now: Micros) {
        self.woke.insert(n, now);
    }

    /// A server was told something that may have it take writes without replicas.
    pub(super) fn obeyed(&mut self, n: usize, ask: &Ask, now: Micros) {
        if matches!(ask, Ask::Fence(0) | Ask::Open { number: 0, .. } | Ask::Follow { .. }) {
            self.closing.remove(&n);
            self.lowered.insert(n, now);
        }
    }

    /// The record was written, and no master was replaced by that; by the last monitor, which `leaves`, or another.
    pub(super) fn recorded(&mut self, old: &Topology, new: &Topology, leaves: bool) {
        if (old.fenced || leaves) && !new.fenced {
            // Not asked of `left`: whether that names them is the question.
            let followed = old.synced.keys().filter(|node| **node != new.master);
            self.without.extend(followed.cloned());
        }
    }

    /// What the former master took alone is given up.
    pub(super) fn published(&mut self) {
        (self.without, self.alone) = Default::default();
    }
}

/// Connections.
impl World {
    /// A node carries out a command: none of a later term's leader was there before, and no such leader has read
    /// anything there that it acts upon.
    pub(crate) fn check_fence(&mut self, n: usize, m: usize, term: Term) {
        let run = self.nodes[n].server.run();
        let latest = self.checks.fences.heard.get(&n).filter(|(of, _)| *of == run).map(|(_, term)| *term);
        if let Some(latest) = latest.filter(|latest| *latest > term) {
            let detail = format!("node {n} obeys m{m} of term {term} after one of term {latest}");
            self.violate("fenced-commands", &detail);
        }
        self.note_leader(n, term);
    }

    /// A leader commands a node, or reads what it acts upon.
    pub(crate) fn note_leader(&mut self, n: usize, term: Term) {
        let run = self.nodes[n].server.run();
        let heard = self.checks.fences.heard.entry(n).or_insert_with(|| (run.clone(), term));
        *heard = if heard.0 == run { (run, heard.1.max(term)) } else { (run, term) };
    }
}

/// `min-replicas-to-write`.
impl World {
    /// A leader has heard that a master takes writes only while so many replicas follow it.
    pub(crate) fn note_fenced(&mut self, node: &NodeAddr, run: RunId, number: u32, since: Micros) {
        let Some(n) = self.node_of(node) else { return };
        let fences = &mut self.checks.fences;
        if number > 0 && fences.lowered.get(&n).is_none_or(|at| *at < since) {
            fences.closing.insert(n, run);
        }
    }

    /// The record says that a master takes writes without replicas, and whom it went on without, before it is told so.
    pub(super) fn check_lowered(&mut self, n: usize, m: usize, ask: &Ask) {
        let (Ask::Fence(number) | Ask::Open { number, .. }) = ask else { return };
        let Some(record) = self.steady_record().filter(|it| it.master == self.nodes[n].server.addr) else {
            return;
        };
        if *number < record.number() {
            let detail = format!("m{m} has {} take {number}, recorded is {}", record.master, record.number());
            self.violate("recorded-before-lowered", &detail);
        }
    }

    /// A master has taken a write.
    pub(crate) fn check_taken(&mut self, n: usize, id: WriteId) {
        let now = self.queue.now();
        let server = &self.nodes[n].server;
        let run = server.run();
        let heard = server.heard_of_a_replica();
        if heard.is_some_and(|at| now < at * MS + ALONE) {
            return;
        }
        let fences = &mut self.checks.fences;
        // Who wakes finds what came meanwhile before it looks who follows.
        let stood = fences.woke.get(&n).is_some_and(|at| now < at + ALONE + S);
        if fences.closing.get(&n) == Some(&run) && !stood {
            let detail = format!("{run:?} executes {id:?} and heard of a replica at {heard:?} ms");
            return self.violate("closes-when-cut-off", &detail);
        }
        let goes_on = self.steady_record().is_some_and(|record| !record.fenced);
        if goes_on && self.checks.published == Some((n, run)) && !self.checks.fences.without.is_empty() {
            self.checks.fences.alone.insert(id);
        }
    }

    /// A master is published: who held something of the group's, was not frozen and has been out of the leader's reach
    /// for so long that this found so has no part in what the new one will take alone.
    pub(super) fn note_absent(&mut self, new: &Topology) {
        let Some(m) = self.checks.committer else { return };
        let lately = self.queue.now().saturating_sub(2 * S);
        let monitor = &self.monitors[m];
        let ballots = monitor.observer.ballots();
        let is_absent = |n: &usize| {
            let frozen = monitor.frozen_at.get(n).is_some_and(|at| *at >= lately);
            let node = &self.nodes[*n].server.addr;
            let fails = ballots.get(node).is_some_and(|ballot| crate::check::is_failing(ballot.vote));
            *node != new.master && new.synced.contains_key(node) && !frozen && fails
        };
        let absent = (0..self.nodes.len()).filter(is_absent);
        let absent = absent.map(|n| self.nodes[n].server.addr.clone()).collect();
        self.checks.fences.published();
        self.checks.fences.without = absent;
    }

    /// An epoch is opened while the master is missing, or is back with keys under a name that is not in the record: the
    /// chosen one does not lack what that took when it was let go on alone. Yields whether that broke.
    pub(super) fn check_left(&mut self, m: usize, chosen: usize, old: &Topology) -> bool {
        let Some(master) = self.node_of(&old.master).filter(|it| *it != chosen) else { return false };
        let tells = |it: &Evidence| it.keys == 0 || old.lineages.locate(&it.history).is_some();
        let judged = &self.monitors[m].judged;
        let reached =
            !matches!(judged.get(&old.master), Some(Verdict::Down(reason)) if *reason != Reason::Unusable);
        if reached && self.monitors[m].held.get(&master).is_some_and(|it| tells(&it.said)) {
            return false;
        }
        let held = &self.nodes[chosen].server.writes;
        let lacking =
            self.checks.fences.alone.without(held).filter(|id| self.checks.live.contains(*id)).count();
        let without = |n: usize| self.checks.fences.without.contains(&self.nodes[n].server.addr);
        // It may where one that may lead is there and has no more.
        let has_no_more = |n: &usize| {
            let held = &self.nodes[*n].server.writes;
            !without(*n) && self.checks.fences.alone.without(held).count() >= lacking
        };
        let is_as_good = self.monitors[m].held.keys().any(has_no_more);
        let was_left = without(chosen) && !is_as_good;
        if lacking > 0 && was_left {
            let (addr, left) = (&self.nodes[chosen].server.addr, &old.left);
            let detail = format!("{addr} lacks {lacking} that {} took alone; left {left:?}", old.master);
            self.violate("who-was-left-does-not-lead", &detail);
        }
        lacking > 0 && was_left
    }

    /// Once a second at the master: where it takes no write for want of replicas, and nothing hinders its leader, that
    /// lets it go on.
    pub(crate) fn check_let_go(&mut self, n: usize) {
        let now = self.queue.now();
        let server = &self.nodes[n].server;
        let published = self.steady_record().is_some_and(|record| {
            record.master == server.addr && record.master_run.as_ref() == Some(&server.run())
        });
        if !published {
            return;
        }
        let refuses = server.is_master() && server.min_replicas_to_write == 1 && !server.has_replicas();
        let (seen, all) = self.who_sees(n);
        let registered = self.steady_record().map_or(0, |record| record.monitors.len());
        if !refuses || !(all || seen > registered / 2) {
            self.checks.fences.stranded = None;
            return;
        }
        // A leader that does not reach it leaves the lead to one that does.
        let limit = if all { LET_GO } else { 2 * LET_GO + 2 * S + 3 * self.swarm.down_after };
        let since = *self.checks.fences.stranded.get_or_insert(now);
        if now - since > limit {
            let detail =
                format!("{} takes no write for {} ms", self.nodes[n].server.addr, (now - since) / MS);
            self.violate("let-go-on-alone", &detail);
        }
    }

    /// How many monitors reach that node, and whether all do, where one leads and nothing lies between those that have
    /// not left and `ZooKeeper`.
    fn who_sees(&self, n: usize) -> (usize, bool) {
        // Who has left the group hinders nobody.
        let staying: Vec<_> = (0..self.monitors.len()).filter(|m| !self.monitors[*m].has_left).collect();
        let open = |m: &usize| {
            let there = self.wires.way(Host::Monitor(*m), Host::Ensemble);
            let back = self.wires.way(Host::Ensemble, Host::Monitor(*m));
            let monitor = &self.monitors[*m];
            let runs = monitor.alive && monitor.stopped_until.is_none();
            runs && [there, back].iter().all(|way| way.cuts == 0 && way.slowed == 0)
        };
        if !(self.ensemble.up && self.somebody_leads() && staying.iter().all(open)) {
            return (0, false);
        }
        let seen = staying.iter().filter(|m| self.reaches(**m, n)).count();
        (seen, seen == staying.len())
    }

    /// Whether a master that has replicas takes writes only while it has: so it is when all is well.
    pub(crate) fn is_guarded(&self) -> bool {
        let Some(record) = self.steady_record() else { return false };
        let master = self.node_of(&record.master).map(|n| &self.nodes[n].server);
        record.fenced && master.is_some_and(|master| master.min_replicas_to_write == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts;
    use crate::wires::{Owner, Payload};

    /// What is broken when a leader of term 4 commands a node after one of term 5 has asked it this.
    fn broken_after(ask: Ask) -> Option<&'static str> {
        let mut world = World::scripted(&scripts::all()[0], None, false);
        for (term, ask) in [(5, ask), (4, Ask::Persist)] {
            let conn = world.open(Owner::Admin(0, Term(term)), 0);
            world.node_receives(0, conn, Payload::Syn);
            world.node_receives(0, conn, Payload::Ask(ask));
        }
        world.checks.violation.map(|it| it.invariant)
    }

    #[test]
    fn who_reads_what_it_acts_upon_has_ended_the_connections_of_earlier_leaders() {
        for ask in [Ask::Read, Ask::LookBefore, Ask::WhichRun, Ask::Persist] {
            assert_eq!(broken_after(ask.clone()), Some("fenced-commands"), "{ask:?}");
        }
        assert_eq!(broken_after(Ask::List), None, "that is how it finds them");
    }
}
