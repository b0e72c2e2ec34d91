//! What is looked at when a write is answered and when a command is sent.

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{Leadership, Phase, Term, Topology};

use super::{brief, is_failing};
use crate::queue::{Micros, S};
use crate::redis::WriteId;
use crate::wires::{Ask, Host, Way};
use crate::world::World;

/// Writes.
impl World {
    pub(crate) fn violate(&mut self, invariant: &'static str, detail: &str) {
        self.checks.now = self.queue.now();
        self.checks.violate(invariant, detail.to_owned());
    }

    pub(crate) fn acknowledged(&mut self, id: WriteId) {
        let main = self.checks.executed.get(&id).is_some_and(|(_, _, main)| *main);
        if !main {
            self.checks.counts.elsewhere += 1;
            return;
        }
        self.checks.counts.acknowledged += 1;
        let kept = self.checks.published.as_ref().is_none_or(|(n, run)| {
            let server = &self.nodes[*n].server;
            server.run() != *run || server.writes.contains(id)
        });
        if !kept {
            self.check_late(id);
        }
        let list = if kept { &mut self.checks.live } else { &mut self.checks.given_up };
        list.insert(id);
    }

    pub(crate) fn finish_counts(&mut self) {
        let Some((n, _)) = self.checks.published.clone() else { return };
        let held = &self.nodes[n].server.writes;
        let lost = self.checks.live.without(held).count() as u64 + self.checks.given_up.len();
        self.checks.counts.lost = lost;
        self.checks.counts.confirmed.1 = self.checks.confirmed.without(held).count() as u64;
        if self.swarm.gentle && lost > 0 {
            self.violate("one-crash-loses-nothing", &format!("{lost} writes are lost at the end"));
        }
    }

    /// The record as it was written last.
    pub(crate) fn last_record(&self) -> Option<&Topology> {
        self.checks.record.as_ref()
    }

    /// The record, where its master may be written to.
    pub(crate) fn steady_record(&self) -> Option<&Topology> {
        self.checks.record.as_ref().filter(|record| record.phase == Phase::Steady)
    }

    /// A monitor sends a command that may change a node: its lock must stand, and nobody is pointed at a node that is
    /// not published.
    pub(crate) fn check_command(&mut self, m: usize, n: usize, ask: &Ask) {
        let term = match self.monitors[m].leadership {
            Leadership::Leading(term) => Some(term),
            _ => None,
        };
        let holder = self.ensemble.holder();
        let forced = term.is_some_and(|term| self.checks.forced.contains(&term));
        if (term.is_none() || term != holder) && !forced {
            self.violate(
                "commands-only-in-the-lead",
                &format!("m{m} in {term:?}, lock of {holder:?}: {ask:?}"),
            );
        }
        let meant = |record: &Topology| match &record.phase {
            Phase::FailingOver(change) => change.intent.node == self.nodes[n].server.addr,
            Phase::Steady => false,
        };
        if matches!(ask, Ask::Promote { .. }) && !self.checks.record.as_ref().is_some_and(meant) {
            let record = self.checks.record.as_ref().map(brief);
            self.violate(
                "made-master-in-an-epoch",
                &format!("m{m} promotes node {n}, the record is {record:?}"),
            );
        }
        if let Ask::Follow { master, .. } = ask
            && self.steady_record().is_none_or(|record| record.master != *master)
        {
            self.violate("follow-only-the-published", &format!("m{m}: {ask:?}"));
        }
        if matches!(ask, Ask::Cede) {
            self.check_cedes(m, n);
        }
        if let Some(term) = term.filter(|_| !forced) {
            self.check_lowered(n, m, ask);
            self.check_filled(m, n, term, ask);
        }
    }

    /// A server is told to take writes: it is none that was promoted and is not published.
    pub(crate) fn check_told_to_open(&mut self, n: usize, ask: &Ask) {
        let server = &self.nodes[n].server;
        let run = server.run();
        let closed = server.min_replicas_to_write == CLOSED;
        if matches!(ask, Ask::Open { .. }) && closed && self.checks.promoted[n].as_ref() == Some(&run) {
            self.violate("closed-until-published", &format!("{run:?} is told to take writes"));
        }
    }

    /// A leader's lock is to be removed: a quorum has found it gone in this term.
    pub(crate) fn check_deposed(&mut self, m: usize, term: Term) {
        if self.ensemble.holder() != Some(term) {
            return;
        }
        // Whoever leads on for a moment is fenced off by the next leader, and not by its lease.
        self.checks.ended_by_force(Some(term));
        self.checks.counts.deposed += 1;
        let registered = self.checks.record.as_ref().map_or(0, |record| record.monitors.len());
        let said = self.monitors.iter().filter(|it| it.lead.gone.contains(&term)).count();
        let needed = self.policy.quorum_of(registered);
        if said < needed {
            let detail = format!("{said} of {registered} said so in term {term}, {needed} needed");
            self.violate("a-quorum-found-the-leader-gone", &detail);
        }
        self.say(|| format!("m{m} removes the lock of term {term}"));
    }

    /// Notes which of a monitor's votes against nodes have a reason in truth.
    pub(crate) fn note_failing(&mut self, m: usize, votes: &[bool], now: Micros) {
        let late = self.swarm.down_after * 2 + S;
        for (n, fails) in votes.iter().enumerate() {
            if !self.reaches(m, n) {
                self.monitors[m].bad[n] = Some(now);
            }
            if *fails && self.monitors[m].bad[n].is_some_and(|at| now - at < late) {
                self.monitors[m].failing[n] = Some(now);
            }
        }
    }

    /// For how long a vote may count at most after it was right for the last time: its session ends.
    pub(super) fn longest_vote(&self) -> Micros {
        self.swarm.session + 2 * self.swarm.lag + 2 * S
    }

    /// `ZooKeeper` is lost, or back: no session ends meanwhile, and then all begin to count anew. So does a vote that
    /// was right and stood there as it was lost.
    pub(crate) fn note_ensemble(&mut self, up: bool) {
        let (now, longest) = (self.queue.now(), self.longest_vote());
        for (m, n) in std::mem::take(&mut self.checks.stood).into_iter().filter(|_| up) {
            self.monitors[m].failing[n] = Some(now);
        }
        if up {
            return;
        }
        let reports = self.ensemble.model.reports(&self.ensemble.group);
        for (m, monitor) in self.monitors.iter().enumerate() {
            let Some((report, _)) = reports.get(&monitor.id) else { continue };
            let stands = |n: &usize| {
                let vote = report.votes.get(&self.nodes[*n].server.addr);
                let right = monitor.failing[*n].is_some_and(|at| now - at < longest);
                right && vote.is_some_and(|(vote, _)| is_failing(*vote))
            };
            let stood = (0..self.nodes.len()).filter(stands).map(|n| (m, n));
            self.checks.stood.extend(stood);
        }
    }

    /// Whether a node serves and nothing lies between it and the monitor.
    pub(super) fn reaches(&self, m: usize, n: usize) -> bool {
        let (there, back) = (Host::Monitor(m), Host::Node(n));
        let open = |way: Way| way.cuts == 0 && way.slowed == 0;
        self.nodes[n].serves(self.queue.now())
            && open(self.wires.way(there, back))
            && open(self.wires.way(back, there))
    }
}
