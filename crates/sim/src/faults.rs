//! Who breaks what, and mends it. Which faults there are stands in `swarm`.

use std::collections::BTreeSet;

use redis_failover_core::{Leadership, Link};

use crate::nodes::Process;
use crate::queue::{MS, Micros, S};
use crate::redis::Persistence;
use crate::swarm::{FaultKind, choose};
use crate::wires::{ConnId, End, Host, Payload};
use crate::world::{Event, World};

/// One fault that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A server is dead; whether it comes back empty.
    DeadNode(usize, bool),
    /// A server stands still.
    StoppedNode(usize),
    /// A monitor is dead.
    DeadMonitor(usize),
    /// Ways are cut.
    Cut(Vec<(Host, Host)>),
    /// Ways are slow, by so much.
    Slow(Vec<(Host, Host)>, Micros),
    /// `ZooKeeper` has no quorum.
    NoEnsemble,
}

impl World {
    /// The next fault, if it is time for one.
    pub(crate) fn strike(&mut self) {
        if !self.is_hostile() {
            return;
        }
        let next = self.rng.u64(self.swarm.fault_every / 2..self.swarm.fault_every * 2);
        self.queue.after(next, Event::Strike);
        if self.swarm.gentle && !self.is_caught_up() {
            return;
        }
        let total: u32 = self.swarm.faults.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.rng.u32(0..total);
        let kind = self.swarm.faults.iter().find_map(|(kind, weight)| {
            let hit = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            hit.then_some(*kind)
        });
        let lasts = self.rng.u64(MS..=self.swarm.fault_lasts);
        // A restart before the failover is another promise.
        let failover = self.swarm.down_after + self.swarm.third_failover_waits + 2 * S;
        let lasts = if self.swarm.gentle { lasts + failover } else { lasts };
        let Some(kind) = kind else { return };
        self.say(|| format!("! {kind:?}"));
        self.checks.disturbed();
        if let Some(fault) = self.cause(kind, lasts) {
            self.say(|| format!("! {fault:?} for {} ms", lasts / MS));
            self.active += 1;
            self.checks.counts.faults += 1;
            self.queue.after(lasts, Event::Heal(fault));
        }
        self.quiet = false;
    }

    /// In a gentle world: clients pause before a fault, until all have everything. A monitor's crash is over when
    /// another leads: until then nobody guards a master that comes back with less.
    fn is_caught_up(&mut self) -> bool {
        if self.active > 0 || !self.somebody_leads() || !self.all_is_well() {
            self.quiet = false;
            return false;
        }
        self.quiet = true;
        let offset = self.nodes[0].server.offset();
        let same = self.nodes.iter().all(|node| node.server.offset() == offset);
        same && self.clients.iter().all(|client| !client.is_writing())
    }

    fn cause(&mut self, kind: FaultKind, lasts: Micros) -> Option<Fault> {
        let n = self.rng.usize(0..self.nodes.len());
        let m = self.rng.usize(0..self.monitors.len());
        let alive = self.nodes[n].process != Process::Dead;
        match kind {
            FaultKind::KillNode | FaultKind::CrashHost | FaultKind::WipeNode if alive => {
                self.kill_node(n, kind == FaultKind::CrashHost);
                Some(Fault::DeadNode(n, kind == FaultKind::WipeNode))
            }
            FaultKind::RestartNode if alive => {
                self.kill_node(n, false);
                self.start_node(n, false);
                self.checks.counts.faults += 1;
                None
            }
            FaultKind::StopNode if self.nodes[n].process == Process::Running => {
                self.nodes[n].process = Process::Stopped;
                Some(Fault::StoppedNode(n))
            }
            FaultKind::Save if alive => {
                self.nodes[n].server.save();
                None
            }
            FaultKind::KillMonitor if self.monitors[m].alive => {
                self.kill_monitor(m);
                Some(Fault::DeadMonitor(m))
            }
            FaultKind::StopMonitor => {
                self.stop_monitor(m, lasts);
                None
            }
            FaultKind::CutLink | FaultKind::IsolateHost | FaultKind::CutReplication => {
                let ways = self.draw_ways(kind);
                for (from, to) in &ways {
                    self.wires.way_mut(*from, *to).cuts += 1;
                }
                Some(Fault::Cut(ways))
            }
            FaultKind::SlowLink => {
                let ways = self.draw_ways(FaultKind::CutLink);
                let slow = self.rng.u64(MS..600 * MS);
                for (from, to) in &ways {
                    self.wires.way_mut(*from, *to).slowed += slow;
                }
                Some(Fault::Slow(ways, slow))
            }
            FaultKind::StopEnsemble if self.ensemble.up => {
                self.switch_ensemble(false);
                Some(Fault::NoEnsemble)
            }
            FaultKind::ExpireSession if self.ensemble.up => {
                let holder = self.ensemble.holder();
                self.checks.ended_by_force(holder);
                self.expire(m);
                None
            }
            FaultKind::DropSession => {
                self.lose_session(m);
                None
            }
            FaultKind::Meddle => self.meddle(n),
            FaultKind::PauseClients => {
                self.pause_clients(n, lasts);
                None
            }
            _ => None,
        }
    }

    /// An operator's hand at a server.
    fn meddle(&mut self, n: usize) -> Option<Fault> {
        if !self.nodes[n].serves(self.queue.now()) {
            return None;
        }
        let other = self.rng.usize(0..self.nodes.len());
        let of = (other != n).then(|| self.nodes[other].server.addr.clone());
        self.say(|| format!("! an operator has node {n} follow {of:?}"));
        let server = &mut self.nodes[n].server;
        let upheaval = match of {
            Some(of) => server.follow(Some(of)),
            None => server.follow_no_one(),
        };
        let now = self.queue.now();
        self.checks.meddled(n, now);
        self.upheave(n, upheaval);
        self.after_command(n);
        None
    }

    fn draw_ways(&mut self, kind: FaultKind) -> Vec<(Host, Host)> {
        let mut hosts: Vec<_> = (0..self.nodes.len()).map(Host::Node).collect();
        let nodes = hosts.len();
        hosts.extend((0..self.monitors.len()).map(Host::Monitor));
        let (a, mut b) = (self.rng.usize(0..hosts.len()), self.rng.usize(0..nodes));
        let (from, to) = match kind {
            FaultKind::CutReplication => {
                let from = self.rng.usize(0..nodes);
                (hosts[from], hosts[b])
            }
            FaultKind::IsolateHost => {
                hosts.extend((0..self.clients.len()).filter(|_| self.rng.bool()).map(Host::Client));
                hosts.push(Host::Ensemble);
                let one = hosts[a];
                let others = hosts.iter().filter(|host| **host != one);
                return others.flat_map(|other| [(one, *other), (*other, one)]).collect();
            }
            FaultKind::CutLink if self.swarm.listens && self.rng.u8(0..4) == 0 => {
                // It lives, leads and commands, and the others do not reach it.
                let monitors = &hosts[nodes..];
                let one = monitors[self.rng.usize(0..monitors.len())];
                let others = monitors.iter().filter(|host| **host != one);
                return others.flat_map(|other| [(one, *other), (*other, one)]).collect();
            }
            _ => {
                hosts.push(Host::Ensemble);
                if self.rng.u8(0..3) == 0 {
                    b = hosts.len() - 1;
                }
                (hosts[a], hosts[b])
            }
        };
        if from == to {
            return Vec::new();
        }
        choose(&mut self.rng, &[vec![(from, to), (to, from)], vec![(from, to)], vec![(to, from)]]).clone()
    }

    /// Ends a fault.
    pub(crate) fn heal(&mut self, fault: Fault) {
        self.say(|| format!("  {fault:?} is over"));
        self.active -= 1;
        self.checks.disturbed();
        match fault {
            Fault::DeadNode(n, empty) => self.start_node(n, empty),
            Fault::StoppedNode(n) => self.wake_node(n),
            Fault::DeadMonitor(m) => self.restart_monitor(m),
            Fault::Cut(ways) => {
                for (from, to) in ways {
                    self.wires.way_mut(from, to).cuts -= 1;
                    self.mend(from, to);
                }
                self.tell_clients();
            }
            Fault::Slow(ways, slow) => {
                for (from, to) in ways {
                    self.wires.way_mut(from, to).slowed -= slow;
                }
            }
            Fault::NoEnsemble => self.switch_ensemble(true),
        }
    }

    /// A kernel answers for a process that is not there.
    pub(crate) fn reset(&mut self, conn: ConnId, payload: Payload) {
        let Some(it) = self.wires.get(conn) else { return };
        let way = self.wires.way(it.host(End::Server), it.host(End::Caller));
        if way.cuts == 0 {
            let delay = self.delay() + way.slowed;
            self.queue.after(delay, Event::Arrive { conn, to: End::Caller, payload });
        }
    }

    /// The faults are over, or are about to be: all is looked at until it is well.
    pub(crate) fn calm(&mut self) {
        if self.is_ending() {
            if self.is_left() {
                self.check_all_left();
                self.checks.is_well = true;
                return;
            }
        } else if self.active == 0
            && self.all_is_well()
            && self.is_guarded()
            && !self.somebody_asks()
            && self.checks.acked_since_calm >= 3
        {
            let after = &mut self.checks.counts.calm_after;
            *after = if *after == 0 { self.queue.now() - self.hostile_until } else { *after };
            if !self.all_are_to_leave() {
                self.checks.is_well = true;
                return;
            }
        }
        self.quiet = false;
        self.queue.after(100 * MS, Event::Calm);
    }

    /// Whether who holds the lock lives and knows that it does.
    pub(crate) fn somebody_leads(&self) -> bool {
        let holder = self.ensemble.holder().map(Leadership::Leading);
        holder.is_some_and(|leads| self.monitors.iter().any(|it| it.alive && it.leadership == leads))
    }

    /// Whether the published master serves, and all others follow it.
    pub(crate) fn all_is_well(&mut self) -> bool {
        let Some(record) = self.steady_record() else { return false };
        let Some(master) = self.node_of(&record.master) else { return false };
        let now = self.queue.now();
        let node = &self.nodes[master];
        let run = node.server.run();
        if !node.serves(now) || !node.server.is_master() || record.master_run != Some(run) {
            return false;
        }
        let follows = |(n, node): (usize, &crate::nodes::Node)| {
            let up = node.server.link() == Link::Up && node.server.master() == Some(&record.master);
            n == master || (node.serves(now) && up)
        };
        self.nodes.iter().enumerate().all(follows) && node.server.min_replicas_to_write <= 1
    }

    /// The world did not come to rest.
    pub(crate) fn not_well(&mut self) {
        if self.is_ending() {
            let detail = self.why_not_well();
            return self.violate("who-leaves-is-gone-in-time", &detail);
        }
        if self.is_for_an_operator() {
            self.checks.counts.waits += 1;
            return;
        }
        let detail = self.why_not_well();
        self.violate(
            "liveness",
            &format!(
                "not well {} s after the last fault: {detail}",
                (self.queue.now() - self.hostile_until) / S
            ),
        );
    }

    /// Whether all are back, and nobody can tell which of several histories is the better one: some hold keys under
    /// names that the record does not know, and neither the recorded master's word counts nor that of one that never
    /// stopped and was not left behind; or they hold some and another, in a history that it does know, is empty, so
    /// that the keys may have been deleted.
    fn is_for_an_operator(&self) -> bool {
        let founders =
            self.nodes.iter().filter(|node| node.server.is_master() && !node.server.writes.is_empty());
        let Some(record) = self.last_record() else {
            // Somebody made another master before there was a record, or left none.
            let headless = !self.nodes.iter().any(|node| node.server.is_master());
            return self.active == 0 && (founders.count() > 1 || headless);
        };
        let known = |node: &&crate::nodes::Node| record.lineages.locate(&node.server.history()).is_some();
        let holders: Vec<_> = self.nodes.iter().filter(|node| !node.server.writes.is_empty()).collect();
        let names: BTreeSet<_> = holders.iter().map(|node| &node.server.replid().0).collect();
        let decides = |node: &&crate::nodes::Node| {
            let server = &node.server;
            let stayed = record.run_of(&server.addr).is_none_or(|run| *run == server.run());
            let has_all = stayed || server.persistence == Persistence::Log;
            let followed = stayed && !record.left.contains(&server.addr);
            if known(node) { followed } else { server.addr == record.master && has_all }
        };
        let deleted = self.nodes.iter().any(|node| node.server.writes.is_empty() && known(&node));
        let ambiguous = names.len() > 1 || (deleted && !names.is_empty());
        let is_back = |node: &crate::nodes::Node| {
            let server = &node.server;
            let restarted = record.run_of(&server.addr).is_some_and(|run| *run != server.run());
            restarted || server.addr == record.master
        };
        let unknown = holders.iter().any(|node| !known(node) && is_back(node));
        self.active == 0 && ambiguous && unknown && !holders.iter().any(decides)
    }

    fn why_not_well(&mut self) -> String {
        let record = self.ensemble.record();
        let record = record.map_or_else(
            || "no record".into(),
            |read| match read.found {
                redis_failover_core::Found::Record(record) => crate::check::brief(&record),
                other => format!("{other:?}"),
            },
        );
        let now = self.queue.now();
        let node = |node: &crate::nodes::Node| {
            let server = &node.server;
            format!(
                "{} {:?} {:?} {:?} serves {} min {}",
                server.addr,
                server.run(),
                server.role(),
                server.history(),
                node.serves(now),
                server.min_replicas_to_write
            )
        };
        let nodes: Vec<_> = self.nodes.iter().map(node).collect();
        let status = |monitor: &crate::monitor::Monitor| {
            let status = monitor.decider.status(monitor.local(now));
            format!(
                "{} {:?} {:?} stuck {:?} loss {:?} refusal {:?}",
                monitor.id,
                status.leadership,
                status.diagnosis,
                status.stuck.map(|it| it.dropped),
                status.loss,
                status.refusal
            )
        };
        let monitors: Vec<_> = self.monitors.iter().map(status).collect();
        format!("{record}\n  {}\n  {}", nodes.join("\n  "), monitors.join("\n  "))
    }
}
