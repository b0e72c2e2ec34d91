//! How a monitor carries out one action at a time, as `server/src/monitor/executor.rs` and `redis_admin.rs` do:
//! visits to nodes, each command after a look whether it still leads.

mod doors;
mod visits;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis_failover_core::{
    Action, ActionId, Evidence, Instant, Intent, NodeAddr, Outcome, Role, RunId, Step, Term,
};

use crate::bugs::Bug;
use crate::ensemble::Up;
use crate::monitor::Monitor;
use crate::queue::Micros;
use crate::wires::{Ask, ConnId, End, Owner, Payload};
use crate::world::{Event, World};

pub(crate) use doors::Door;

const FREEZE_LIMIT: Duration = Duration::from_millis(500);
const VISIT_LIMIT: Duration = Duration::from_secs(1);

/// Whose answer that of a promotion is: no visit has this number.
const PROMOTION: u64 = 0;

/// The action under way.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// Which.
    pub(crate) id: ActionId,
    term: Term,
    what: What,
    /// When it is over at the latest.
    pub(crate) deadline: Option<Instant>,
}

#[derive(Clone, Debug)]
enum What {
    /// It waits for `ZooKeeper`.
    Store,
    /// For those nodes.
    Freeze(BTreeSet<usize>),
    /// For so many visits, to say what was read or who has done it.
    All { left: usize, reads: bool, said: BTreeMap<NodeAddr, Option<Evidence>> },
    /// For a visit that begins a file, or asks for it.
    Save,
    /// For `ZooKeeper` to remove another's lock.
    Depose,
    /// For the answer on this connection, to the node's promotion.
    Promote(ConnId),
}

/// A connection over which a node was frozen, and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) conn: ConnId,
    pub(crate) said: Evidence,
    /// When it was begun to be asked.
    pub(crate) since: Micros,
}

/// One visit to one node.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    node: usize,
    pub(crate) conn: ConnId,
    job: Job,
    term: Term,
    of: ActionId,
    was: Option<Role>,
    began: Micros,
    /// When it is given up.
    pub(crate) deadline: Instant,
}

#[derive(Clone, Debug)]
enum Job {
    Freeze { patient: bool, cuts: bool },
    Demote,
    HoldWrites { lasts: Micros },
    ResumeWrites,
    Cede { run: RunId },
    Save { run: RunId, begun: bool },
    Look,
    Open { run: RunId, number: u32, first: bool },
    Fence { run: RunId, number: u32 },
    Follow { master: NodeAddr, number: u32, closes: bool },
    Persist,
}

impl Running {
    /// Whether it is a commit whose reply is awaited.
    pub(crate) fn waits_for_store(&self) -> bool {
        matches!(self.what, What::Store) && self.deadline.is_none()
    }

    /// Whether it is the removal of another's lock.
    pub(crate) fn deposes(&self) -> bool {
        matches!(self.what, What::Depose)
    }
}

impl World {
    /// Begins an action.
    pub(crate) fn begin(&mut self, m: usize, action: Action) {
        let Action { id, term, step } = action;
        self.check_leaver(m, &step);
        self.note_looked(m, &step);
        if step == Step::Depose {
            return self.begin_deposing(m, id, term);
        }
        let term = self.monitors[m].true_term(term);
        let (real, session) = (self.queue.now(), self.swarm.session);
        let now = self.monitors[m].local(real);
        let start = |what, limit| Running { id, term, what, deadline: Some(now + limit) };
        if !self.monitors[m].holds(term, now, session) && self.bug != Some(Bug::IgnoresLease) {
            self.monitors[m].running = Some(start(What::Store, Duration::ZERO));
            return self.finish(m, Outcome::NotBegun);
        }
        let step = self.distort_step(m, step);
        self.monitors[m].fencing = match &step {
            Step::Fence { node, run, number } => Some((node.clone(), run.clone(), *number, real)),
            _ => None,
        };
        if let Some(outcome) = self.pretend(m, &step) {
            self.monitors[m].running = Some(start(What::Store, Duration::ZERO));
            return self.finish(m, outcome);
        }
        match step {
            Step::Commit { expected, record, entry, .. } => {
                self.monitors[m].judged = self.monitors[m].decider.status(now).verdicts;
                self.monitors[m].running = Some(Running { id, term, what: What::Store, deadline: None });
                self.send_perhaps_late(m, Up::Commit(id, term, expected, record, entry));
            }
            // Begun above: whoever does it does not lead.
            Step::Depose => {}
            Step::Amend { entry } => {
                // It takes no time here, and draws nothing: whatever comes of it, all goes on in the same way.
                self.amend(m, term, &entry);
                self.monitors[m].running = Some(start(What::Store, Duration::ZERO));
                self.finish(m, Outcome::Amended);
            }
            Step::Answer { request, answer } => {
                self.monitors[m].running = Some(Running { id, term, what: What::Store, deadline: None });
                self.send_up(m, Up::Answer(id, term, request, answer));
            }
            Step::Freeze { nodes, awaited, cut } => {
                let cut = cut.as_ref().and_then(|node| self.node_of(node));
                let awaited: BTreeSet<_> = awaited.iter().filter_map(|node| self.node_of(node)).collect();
                let running = start(What::Freeze(awaited.clone()), FREEZE_LIMIT);
                self.freeze(m, running, &nodes, &awaited, cut);
            }
            Step::Promote { intent, closable, closes } => {
                self.promote(m, start(What::Store, VISIT_LIMIT), &intent, closable, closes);
            }
            step => self.begin_visits(m, start, step),
        }
    }

    /// Sends something to the store; it may stand still just before.
    fn send_perhaps_late(&mut self, m: usize, up: Up) {
        if self.stands_still(m) {
            let life = self.monitors[m].life;
            self.monitors[m].later.push(Event::LateUp { m, life, up });
        } else {
            self.send_up(m, up);
        }
    }

    fn begin_deposing(&mut self, m: usize, id: ActionId, term: Term) {
        self.monitors[m].running = Some(Running { id, term, what: What::Depose, deadline: None });
        self.send_up(m, Up::Depose(id, term));
    }

    fn freeze(
        &mut self,
        m: usize,
        running: Running,
        nodes: &[NodeAddr],
        awaited: &BTreeSet<usize>,
        cut: Option<usize>,
    ) {
        let now = self.monitors[m].local(self.queue.now());
        self.check_freeze(running.term);
        self.abandon_visits(m);
        self.monitors[m].held.clear();
        self.monitors[m].running = Some(running);
        for n in nodes.iter().filter_map(|node| self.node_of(node)).collect::<Vec<_>>() {
            let patient = awaited.contains(&n);
            let limit = if patient { FREEZE_LIMIT } else { VISIT_LIMIT };
            self.visit(m, n, Job::Freeze { patient, cuts: cut == Some(n) }, now + limit);
        }
        self.freeze_ends(m, now);
    }

    fn promote(&mut self, m: usize, running: Running, intent: &Intent, closable: bool, closes: bool) {
        let node = self.node_of(&intent.node);
        let held = node.and_then(|n| self.monitors[m].held.remove(&n));
        let running_term = running.term;
        self.monitors[m].running = Some(running);
        let unbound = self.bug == Some(Bug::PromotesAnyRun);
        let same = |said: &Evidence| {
            said.run == intent.run
                && said.history.replid == intent.replid
                && said.history.offset == intent.offset
        };
        if let (true, Some(n)) = (unbound, node) {
            // As if any connection would do.
            self.close_door(m, n);
            let conn = self.enter(m, n, running_term, PROMOTION);
            self.set_what(m, What::Promote(conn));
            return;
        }
        let Some(held) = held.filter(|held| same(&held.said)) else {
            return self.finish(m, Outcome::Promoted(None));
        };
        self.set_what(m, What::Promote(held.conn));
        let promote = Ask::Promote { closed: closable && self.bug != Some(Bug::PromotesOpen), cut: closes };
        self.command(m, held.conn, PROMOTION, promote);
        if self.bug == Some(Bug::PublishesUnconfirmed) {
            self.finish(m, Outcome::Promoted(Some(Box::new(as_if_promoted(held.said)))));
        }
    }

    fn set_what(&mut self, m: usize, what: What) {
        if let Some(running) = &mut self.monitors[m].running {
            running.what = what;
        }
    }

    fn visit(&mut self, m: usize, node: usize, job: Job, deadline: Instant) {
        let Some((of, term)) = self.monitors[m].running.as_ref().map(|it| (it.id, it.term)) else { return };
        let monitor = &mut self.monitors[m];
        monitor.last_visit += 1;
        let id = monitor.last_visit;
        let conn = self.enter(m, node, term, id);
        let visit = Visit { node, conn, job, term, of, was: None, began: self.queue.now(), deadline };
        self.monitors[m].visits.insert(id, visit.clone());
        if self.monitors[m].doors.get(&node).is_some_and(|door| door.ready) {
            self.step(m, id, &visit, Payload::Accepted);
        }
    }

    /// Sends something for a visit: the answer is its own.
    fn ask_node(&mut self, m: usize, conn: ConnId, whose: u64, ask: Ask) {
        if let Some(door) = self.monitors[m].doors.values_mut().find(|door| door.conn == conn) {
            door.asked.push_back(whose);
        }
        self.send(conn, End::Caller, Payload::Ask(ask));
    }

    /// Sends a command that may change a node, after a last look whether this monitor leads; it may stand still between
    /// the look and the sending.
    fn command(&mut self, m: usize, conn: ConnId, whose: u64, ask: Ask) {
        let now = self.monitors[m].local(self.queue.now());
        let term = self.term_of(m, whose);
        if !term.is_some_and(|term| self.monitors[m].holds(term, now, self.swarm.session))
            && self.bug != Some(Bug::IgnoresLease)
            && !(self.bug == Some(Bug::CedesOn) && matches!(ask, Ask::Cede))
        {
            return self.deposed(m, whose);
        }
        if self.stands_still(m) {
            return self.monitors[m].later.push(Event::Late { conn, whose, ask });
        }
        if let Some(n) = self.wires.get(conn).map(|conn| conn.node) {
            self.check_command(m, n, &ask);
        }
        self.ask_node(m, conn, whose, ask);
    }

    /// It goes on, and sends it: after what it sent first as it woke, and so it is answered after that.
    pub(crate) fn sends_late(&mut self, conn: ConnId, whose: u64, ask: Ask) {
        if let Some(Owner::Admin(m, _)) = self.wires.get(conn).map(|conn| conn.owner) {
            self.ask_node(m, conn, whose, ask);
        }
    }

    /// Whether chance has a monitor stand still between its last look and what it is about to send.
    fn stands_still(&mut self, m: usize) -> bool {
        let unlucky = self.swarm.stalls > 0 && self.rng.u32(0..self.swarm.stalls) == 0 && self.is_hostile();
        if unlucky {
            let lasts = self.rng.u64(1..self.swarm.fault_lasts * 2);
            self.stop_monitor(m, lasts);
        }
        unlucky
    }

    fn term_of(&self, m: usize, whose: u64) -> Option<Term> {
        let monitor = &self.monitors[m];
        let visit = monitor.visits.get(&whose).map(|visit| visit.term);
        visit.or_else(|| monitor.running.as_ref().map(|running| running.term))
    }

    /// It leads no more: nothing is sent.
    fn deposed(&mut self, m: usize, whose: u64) {
        if self.monitors[m].visits.contains_key(&whose) {
            self.visit_is_over(m, Some(whose), None);
        } else {
            self.finish(m, Outcome::Promoted(None));
        }
    }

    /// Gives up what takes too long.
    pub(crate) fn visits_due(&mut self, m: usize, now: Instant) {
        let late = |(id, visit): (&u64, &Visit)| (now >= visit.deadline).then_some(*id);
        for id in self.monitors[m].visits.iter().filter_map(late).collect::<Vec<_>>() {
            self.visit_is_over(m, Some(id), None);
        }
        self.freeze_ends(m, now);
        let late = |running: &Running| running.deadline.is_some_and(|deadline| now >= deadline);
        if let Some(running) = self.monitors[m].running.as_ref().filter(|it| late(it))
            && matches!(running.what, What::Promote(..))
        {
            self.finish(m, Outcome::Promoted(None));
        }
    }

    /// An action of a term that is over, or in doubt, goes no further. What was sent is sent.
    pub(crate) fn abort(&mut self, m: usize) {
        if self.bug == Some(Bug::CedesOn) && self.monitors[m].is_about_to_cede() {
            return;
        }
        self.monitors[m].running = None;
        self.abandon_visits(m);
    }

    fn abandon_visits(&mut self, m: usize) {
        for (id, visit) in std::mem::take(&mut self.monitors[m].visits) {
            self.leave(m, visit.node, id);
        }
    }
}

impl Monitor {
    /// Whether it is about to have the master give up its role.
    pub(crate) fn is_about_to_cede(&self) -> bool {
        self.visits.values().any(|visit| matches!(visit.job, Job::Cede { .. }))
    }
}

/// What a node would say if it were promoted already.
fn as_if_promoted(mut said: Evidence) -> Evidence {
    said.role = Role::Master { replicas: 0 };
    said.history.previous = Some((said.history.replid.clone(), said.history.offset + 1));
    said
}

fn all(reads: bool) -> What {
    What::All { left: 0, reads, said: BTreeMap::new() }
}
