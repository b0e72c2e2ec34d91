//! What is looked at when an operator has another node take over from a master that serves.

use std::collections::BTreeMap;

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{
    Change, NodeAddr, Phase, Reason, ReplId, RequestId, RunId, Step, Topology, Verdict,
};

use super::brief;
use crate::operators::Wish;
use crate::queue::{MS, Micros, S};
use crate::redis::{WriteId, Writes};
use crate::wires::{ConnId, End, Owner};
use crate::world::World;

/// Switchovers that operators asked for, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switchovers {
    /// All of them.
    pub asked: u64,
    /// Those that a leader said are done.
    pub done: u64,
    /// Those that a leader refused.
    pub refused: u64,
    /// Their epochs.
    pub epochs: u64,
    /// Those that were asked for while all was well.
    pub alone: u64,
}

/// What is remembered of switchovers.
#[derive(Clone, Debug, Default)]
pub(super) struct Switchings {
    /// The one that nothing else has befallen since it was asked for.
    alone: Option<RequestId>,
    /// Who was master before the latest change, where no fault befell that.
    smooth: Option<(usize, RunId)>,
    /// The master that held writes for a switchover last.
    held: Option<Held>,
    /// Who gave up its role last.
    ceded: Option<Ceded>,
    /// The clients that nodes had when they gave up their roles, and when that was.
    clients: BTreeMap<usize, (RunId, Micros, Vec<ConnId>)>,
    /// Which node each monitor looked at last beside the master.
    wanted: BTreeMap<usize, usize>,
}

/// What a master had as it began to hold writes.
#[derive(Clone, Debug)]
struct Held {
    node: usize,
    run: RunId,
    replid: ReplId,
    offset: u64,
    until: Micros,
    /// The lives in which all servers were.
    runs: Vec<RunId>,
    /// A leader was told that it does.
    heard: bool,
}

/// What a master had as it gave up its role.
#[derive(Clone, Debug)]
struct Ceded {
    node: usize,
    run: RunId,
    at: Micros,
    /// It was a master until then: no operator had made it a replica before.
    led: bool,
    replid: ReplId,
    offset: u64,
    writes: Writes,
}

impl Switchings {
    /// Something befell somebody, or is over.
    pub(super) fn disturbed(&mut self) {
        self.alone = None;
    }
}

/// What is noted.
impl World {
    /// An operator asks: whether anything is wrong just now.
    pub(crate) fn note_asked(&mut self, request: RequestId, wish: Wish) {
        let alone = !wish.dry_run && !self.somebody_asks() && self.nothing_is_wrong();
        self.checks.switchings.alone = alone.then_some(request);
        self.checks.counts.switchovers.alone += u64::from(alone);
    }

    fn nothing_is_wrong(&mut self) -> bool {
        let now = self.queue.now() / MS;
        let paused = self.nodes.iter().any(|node| node.server.paused_until > now);
        let well = |it: &crate::monitor::Monitor| {
            it.alive && it.stopped_until.is_none() && it.leaving.is_none() && it.zk.is_in_touch()
        };
        let monitors = self.monitors.iter().all(well);
        self.active == 0
            && self.ensemble.up
            && !paused
            && monitors
            && self.somebody_leads()
            && self.all_is_well()
    }

    /// How long a switchover that is asked for may take until it is answered, where nothing goes wrong.
    pub(crate) fn longest_switchover(&self, timeout: Micros) -> Micros {
        timeout + 2 * S + 4 * self.swarm.lag + 40 * self.swarm.delay.1
    }

    /// A leader begins something: whether it looks at a master and the node that is to take over.
    pub(crate) fn note_looked(&mut self, m: usize, step: &Step) {
        if let Step::Look { nodes } = step
            && let [_, wanted] = nodes.as_slice()
            && let Some(wanted) = self.node_of(wanted)
        {
            self.checks.switchings.wanted.insert(m, wanted);
        }
    }

    /// A server holds writes for a switchover.
    pub(crate) fn note_held(&mut self, n: usize) {
        let server = &self.nodes[n].server;
        self.checks.switchings.held = Some(Held {
            node: n,
            run: server.run(),
            replid: server.replid().clone(),
            offset: server.offset(),
            until: server.paused_until * MS,
            runs: self.nodes.iter().map(|node| node.server.run()).collect(),
            heard: false,
        });
    }

    /// A leader hears in time that a server holds writes.
    pub(crate) fn note_hold_is_heard(&mut self, n: usize) {
        if let Some(held) = self.checks.switchings.held.as_mut().filter(|held| held.node == n) {
            held.heard = true;
        }
    }

    /// Whether the recorded master has given up its role in its recorded life, and no epoch was opened since.
    pub(super) fn has_given_up(&self) -> bool {
        let main = self.steady_record().and_then(|record| self.run_of_master(record));
        let ceded = self.checks.switchings.ceded.as_ref();
        ceded.is_some_and(|it| main == Some((it.node, it.run.clone())))
    }

    /// A server is about to give up the role of a master.
    pub(crate) fn note_ceded(&mut self, n: usize) {
        let (at, server) = (self.queue.now(), &self.nodes[n].server);
        let run = server.run();
        // Also where an operator has demoted it by hand a moment ago, and nobody has seen that yet.
        if self.checks.published.as_ref() != Some(&(n, run.clone())) {
            return;
        }
        let its = |owner: Owner| matches!(owner, Owner::Client(_));
        let clients = self.wires.all(|it| it.node == n && its(it.owner) && !it.is_closed(End::Server));
        let (replid, offset) = (server.replid().clone(), server.offset());
        let (led, writes) = (server.is_master(), server.writes.clone());
        let ceded = Ceded { node: n, run: run.clone(), at, led, replid, offset, writes };
        self.checks.switchings.ceded = Some(ceded);
        self.checks.switchings.clients.insert(n, (run, at, clients));
    }
}

/// What must hold.
impl World {
    /// The time is over in which a switchover must be.
    pub(crate) fn check_switched_in_time(&mut self, request: RequestId) {
        if self.checks.switchings.alone != Some(request) {
            return;
        }
        self.checks.switchings.alone = None;
        let now = self.queue.now();
        let serves = self.steady_record().is_some_and(|record| {
            let node = self.node_of(&record.master).map(|n| &self.nodes[n]);
            node.is_some_and(|node| {
                let server = &node.server;
                let open = server.min_replicas_to_write != CLOSED && server.paused_until <= now / MS;
                node.serves(now) && server.is_master() && record.master_run == Some(server.run()) && open
            })
        });
        let stands = self.ensemble.is_open(request);
        if stands || !serves {
            let record = self.last_record().map(brief);
            let detail = format!("{request:?} stands: {stands}, its master serves: {serves}; {record:?}");
            self.violate("a-switchover-alone-ends-in-time", &detail);
        }
    }

    /// A monitor has a master give up its role.
    pub(crate) fn check_cedes(&mut self, m: usize, n: usize) {
        let (now, switchings) = (self.queue.now(), &self.checks.switchings);
        let Some(to) = switchings.wanted.get(&m).copied() else { return };
        // One that an operator has made a replica meanwhile has no role to give up.
        let (run, leads) = (self.nodes[n].server.run(), self.nodes[n].server.is_master());
        // Who was not told that it holds writes goes by what is near.
        let holds = |held: &&Held| held.node == n && held.run == run && held.heard && now < held.until;
        let held = switchings.held.as_ref().filter(holds).filter(|_| leads);
        let (Some(held), server) = (held, &self.nodes[to].server) else { return };
        let same = held.runs[to] == server.run() && held.replid == *server.replid();
        if same && server.offset() < held.offset {
            let detail = format!("m{m}: {} is at {}, {held:?}", server.addr, server.offset());
            self.violate("cedes-when-all-is-there", &detail);
        }
    }

    /// An epoch is opened after a master gave up its role. Yields whether something broke.
    pub(super) fn check_taken_over(
        &mut self,
        m: usize,
        chosen: usize,
        old: &Topology,
        change: &Change,
    ) -> bool {
        if old.phase != Phase::Steady {
            return false;
        }
        let switches = change.reason == Reason::Switchover;
        self.checks.counts.switchovers.epochs += u64::from(switches);
        let ceded = self.checks.switchings.ceded.take().filter(|it| {
            self.node_of(&old.master) == Some(it.node) && old.master_run.as_ref() == Some(&it.run)
        });
        let Some(ceded) = ceded else {
            if switches {
                let detail = format!("{} never gave up its role", old.master);
                self.violate("who-takes-over-has-all", &detail);
            }
            return switches;
        };
        if self.nodes[chosen].server.run() != change.intent.run {
            return false;
        }
        if self.checks.meddled_at.iter().flatten().any(|at| *at >= ceded.at) {
            return false;
        }
        let server = &self.nodes[chosen].server;
        let all = |it: &Ceded| it.writes.without(&server.writes).next().is_none();
        let said = self.monitors[m].held.get(&chosen).map(|held| &held.said.history);
        let exactly = |it: &Ceded| {
            let same = |replid: &ReplId, offset: u64| (replid, offset) == (&it.replid, it.offset);
            // It may have died since it said so.
            same(&change.intent.replid, change.intent.offset)
                && said.is_none_or(|it| same(&it.replid, it.offset))
        };
        let holds = if switches { exactly(&ceded) && all(&ceded) } else { self.leads_on(m, chosen, &ceded) };
        if !holds {
            let lacks: Vec<WriteId> = ceded.writes.without(&server.writes).collect();
            let (replid, offset) = (&ceded.replid, ceded.offset);
            let detail = format!(
                "{:?} ceded at {replid:?} {offset}, {:?} opened for {:?}, which says {said:?}, lacks {lacks:?}",
                ceded.run, change.reason, change.intent
            );
            self.violate("who-takes-over-has-all", &detail);
        }
        !holds
    }

    /// Where a switchover failed: whether the old master was chosen, or was not reached. One that an operator had made
    /// a replica before it gave up its role is chosen like any other.
    fn leads_on(&self, m: usize, chosen: usize, ceded: &Ceded) -> bool {
        let server = &self.nodes[ceded.node].server;
        let addr: &NodeAddr = &server.addr;
        let reached = self.monitors[m].held.get(&ceded.node).is_some_and(|held| held.said.run == ceded.run)
            && self.monitors[m].judged.get(addr) == Some(&Verdict::Up)
            && server.priority > 0;
        !ceded.led || !reached || chosen == ceded.node
    }

    /// A node was made a master by a monitor: nobody is connected any more who was when it gave up that role.
    pub(crate) fn check_cut_off(&mut self, n: usize) {
        let Some((run, at, clients)) = self.checks.switchings.clients.remove(&n) else { return };
        if run != self.nodes[n].server.run() || self.checks.meddled_at[n].is_some_and(|it| it >= at) {
            return;
        }
        let is_open = |conn: &&ConnId| self.wires.get(**conn).is_some_and(|it| !it.is_closed(End::Server));
        let open = clients.iter().filter(is_open).count();
        if open > 0 {
            let detail = format!("{run:?} leads again with {open} clients of its former life as a master");
            self.violate("cut-off-before-it-leads-again", &detail);
        }
    }

    /// Another master is published, which lacks so many acknowledged writes. Yields whether something broke.
    pub(super) fn check_smooth(&mut self, old: &Topology, lost: usize) -> bool {
        let alone = self.checks.switchings.alone.is_some();
        self.checks.switchings.smooth = self.run_of_master(old).filter(|_| alone);
        if alone && lost > 0 {
            let detail = format!("{lost} writes are lost after {}", brief(old));
            self.violate("a-switchover-alone-loses-nothing", &detail);
        }
        alone && lost > 0
    }

    /// The former master's acknowledgement arrives, and the present master lacks the write.
    pub(super) fn check_late(&mut self, id: WriteId) {
        let by = self.checks.executed.get(&id).map(|(n, run, _)| (*n, run.clone()));
        if by.is_some() && by == self.checks.switchings.smooth {
            self.violate("a-switchover-alone-loses-nothing", &format!("{id:?} of {by:?} is lost"));
        }
    }
}
