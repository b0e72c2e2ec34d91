//! What is looked at when nodes are sent to a master that may replace what they hold, and what restarts cost.

use std::collections::BTreeMap;

use redis_failover_core::{Link, NodeAddr, RunId, Term, Topology};

use crate::bugs::Bug;
use crate::nodes::Process;
use crate::queue::{MS, Micros, S};
use crate::redis::{Kind, WriteId, Writes};
use crate::wires::Ask;
use crate::world::World;

/// For so long a leader takes a node that it told to follow for one that may yet be filled (5 s of its own clock).
const BEGINS: Micros = 4_900 * MS;

/// A copy that lasts for so long was seen by a leader who reaches the node.
const SEEN: Micros = 2 * S;

/// How many bytes a write has at least.
const WRITE: u64 = Kind::Write(WriteId(0)).size();

/// What is remembered of nodes that came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Returns {
    /// Those that were told to take a full copy and have none yet.
    told: BTreeMap<usize, Told>,
    /// Since when each takes one in.
    filled: BTreeMap<usize, Micros>,
    /// When each last came to hold something otherwise than from the published master.
    changed: BTreeMap<usize, Micros>,
    /// Those that were lost while nobody led, since when.
    unled: BTreeMap<usize, Micros>,
    /// The published master to which each monitor began to send each node last.
    sent: BTreeMap<(usize, usize), (usize, RunId)>,
    /// Masters that came back with less, in this life, before another was published, and whether anybody was filled.
    forgetful: BTreeMap<usize, (RunId, bool)>,
}

#[derive(Clone, Debug)]
struct Told {
    at: Micros,
    by: Term,
    run: RunId,
}

impl Returns {
    /// A node may hold something since now that it did not before, and not from the published master.
    pub(super) fn changed(&mut self, n: usize, now: Micros) {
        self.changed.insert(n, now);
    }

    /// A node is no longer about to be filled: it was frozen, or goes on with what it has.
    pub(super) fn is_not_filled(&mut self, n: usize) {
        self.told.remove(&n);
        self.filled.remove(&n);
    }

    /// A full copy is on its way to it.
    pub(super) fn is_filled(&mut self, n: usize, now: Micros) {
        self.filled.insert(n, now);
    }

    /// A monitor leads, or does no longer: it has forgotten whom it told.
    pub(super) fn led_anew(&mut self) {
        self.told.clear();
    }

    /// Another master is published.
    pub(super) fn published(&mut self) {
        self.told.clear();
        self.forgetful.clear();
    }
}

/// Commands.
impl World {
    /// A leader begins to send nodes to the master: notes when it looked at each last, and who is published.
    pub(crate) fn note_looks(&mut self, m: usize, nodes: &[NodeAddr]) {
        for node in nodes {
            let Some(n) = self.node_of(node) else { continue };
            let monitor = &self.monitors[m];
            let seen = monitor.observer.sightings().get(node).map(|it| monitor.real(it.asked));
            let read = monitor.frozen_at.get(&n).copied();
            let demoted = monitor.looked_at.get(&n).copied();
            let looked = seen.max(read).max(demoted).unwrap_or(0);
            self.monitors[m].looked_at.insert(n, looked);
            let published = self.checks.published.clone();
            self.checks.returns.sent.extend(published.map(|master| ((m, n), master)));
        }
    }

    /// A node is sent to the master by a leader, by which it may lose what that lacks: the record tells of it, but for
    /// what it came to hold since that leader looked at it last, and what the master has lost since that began: a
    /// command may wait in the sockets of a node that hangs until the same server is published in another life.
    pub(crate) fn check_counted(&mut self, n: usize, m: usize, master: &NodeAddr) {
        let Some(record) = self.steady_record().filter(|record| record.master == *master) else { return };
        let Some(main) = self.node_of(master).filter(|main| *main != n) else { return };
        let (here, there) = (&self.nodes[n].server, &self.nodes[main].server);
        let leads = (main, there.run());
        let sent_there = self.checks.returns.sent.get(&(m, n)) == Some(&leads);
        let led_there = sent_there && self.checks.published.as_ref() == Some(&leads);
        let unseen = self.has_changed_unseen(n, m);
        // Who takes all histories for one counts nothing, and is to be found for choosing by that.
        let miscounts = self.bug == Some(Bug::IgnoresLineage);
        if !led_there || unseen || miscounts || here.master() == Some(master) {
            return;
        }
        let beyond = here.writes.without(&there.writes).count() as u64;
        let told = record.diverged.get(&here.addr).filter(|it| it.run == here.run());
        // A count of bytes tells of all writes, and of what a master says by itself.
        let counted = told.is_some_and(|it| it.bytes.is_none_or(|bytes| bytes >= beyond * WRITE));
        if beyond > 0 && !counted {
            let detail = format!(
                "{} holds {beyond} writes beyond at {:?}, recorded is {told:?}, and is sent to {master} at {:?}; {:?}",
                here.addr,
                here.history(),
                there.history(),
                record.lineages.as_slice()
            );
            self.violate("counted-before-replaced", &detail);
        }
    }

    /// Whether a node came to hold something, and not from the published master, since this leader looked at it last.
    fn has_changed_unseen(&self, n: usize, m: usize) -> bool {
        let looked = self.monitors[m].looked_at.get(&n).copied().unwrap_or(0);
        self.checks.returns.changed.get(&n).is_some_and(|at| *at > looked)
    }

    /// A node is told to follow: if that means a full copy, fewer of its host are being filled than the policy allows.
    /// That it means one may be the work of an operator since that leader looked at it last: who was sent to go on with
    /// what it had is no copy that was begun.
    pub(super) fn check_filled(&mut self, m: usize, n: usize, term: Term, ask: &Ask) {
        let Ask::Follow { master, .. } = ask else { return };
        let now = self.queue.now();
        let Some(record) = self.steady_record() else { return };
        let server = &self.nodes[n].server;
        if record.lineages.continues(&server.history()) || self.has_changed_unseen(n, m) {
            return;
        }
        let is_filled = |other: usize| {
            let it = &self.nodes[other].server;
            let told = self.checks.returns.told.get(&other);
            let begins =
                told.is_some_and(|told| told.by == term && told.run == it.run() && now < told.at + BEGINS);
            let takes_in = it.link() == Link::Syncing && it.master() == Some(master);
            let since = self
                .checks
                .returns
                .filled
                .get(&other)
                .filter(|_| takes_in && self.reached_for(m, other, SEEN));
            begins || since.is_some_and(|since| now > since + SEEN)
        };
        let same_host =
            |other: &usize| self.nodes[*other].server.addr.host() == server.addr.host() && *other != n;
        let filled: Vec<_> =
            (0..self.nodes.len()).filter(same_host).filter(|other| is_filled(*other)).collect();
        let most = self.policy.parallel_syncs() as usize;
        let run = server.run();
        if filled.len() >= most {
            let detail = format!("m{m} has {} filled beside {filled:?} of its host", server.addr);
            self.violate("one-copy-at-a-time", &detail);
        }
        self.checks.returns.told.insert(n, Told { at: now, by: term, run });
    }

    /// Whether a monitor that runs has reached a node for so long.
    fn reached_for(&self, m: usize, n: usize, lasts: Micros) -> bool {
        let (now, monitor) = (self.queue.now(), &self.monitors[m]);
        let well = monitor.bad[n].is_none_or(|at| now > at + lasts);
        well && now > monitor.awake_since + lasts && self.reaches(m, n)
    }
}

/// Restarts.
impl World {
    /// A server is lost, and perhaps no leader could have recorded that it followed.
    pub(crate) fn note_lost(&mut self, n: usize) {
        let led = self.ensemble.up && self.somebody_leads();
        if !led && self.nodes[n].process != Process::Dead {
            self.checks.returns.unled.insert(n, self.queue.now());
        }
    }

    /// Whether a node was lost while nobody led, before this monitor was started, and is recorded as one that was lost
    /// earlier, or that never followed: what it came to hold since then nobody knows.
    pub(super) fn nobody_could_know(&self, m: usize, n: usize, record: &Topology) -> bool {
        let node = &self.nodes[n].server.addr;
        let unrecorded = record.reached.contains_key(node) || !record.synced.contains_key(node);
        let lost = self.checks.returns.unled.get(&n).filter(|_| self.nodes[n].process == Process::Dead);
        unrecorded && lost.is_some_and(|at| *at < self.monitors[m].began)
    }

    /// A server is back, and held this before: is it the recorded master, with less than was acknowledged?
    pub(crate) fn note_restart(&mut self, n: usize, before: &Writes) {
        self.checks.returns.changed(n, self.queue.now());
        self.checks.returns.unled.remove(&n);
        let server = &self.nodes[n].server;
        let less = before.without(&server.writes).any(|id| self.checks.live.contains(id));
        let recorded = self.checks.record.as_ref().is_some_and(|record| record.master == server.addr);
        if less && recorded {
            let run = server.run();
            self.checks.counts.forgot.0 += 1;
            self.checks.returns.forgetful.insert(n, (run, false));
        }
    }

    /// A whole copy replaced what a server held.
    pub(crate) fn note_replaced(&mut self, n: usize, before: &Writes) {
        let server = &self.nodes[n].server;
        let lost = before.without(&server.writes).any(|id| self.checks.live.contains(id));
        let follows_master = self.checks.published.as_ref().is_some_and(|(master, _)| *master != n);
        let of = server.master().and_then(|master| self.node_of(master));
        if lost && follows_master {
            self.checks.counts.wiped += 1;
        }
        if self.checks.published.as_ref().map(|(master, _)| *master) != of {
            self.checks.returns.changed(n, self.queue.now());
        }
        let Some(of) = of.filter(|_| lost) else { return };
        let run = self.nodes[of].server.run();
        if let Some((_, filled)) = self.checks.returns.forgetful.get_mut(&of).filter(|(of, _)| *of == run) {
            self.checks.counts.forgot.1 += u64::from(!std::mem::replace(filled, true));
            // That race is lost: what the master took alone is nowhere any more.
            self.checks.fences.published();
        }
    }
}
