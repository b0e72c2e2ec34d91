//! How an action is carried out: as `server/src/monitor/executor.rs` and `redis_admin.rs` do, but for the bugs that a
//! test plants. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{
    Action, Event, Evidence, Found, Intent, NodeAddr, Outcome, Role, Step, Term, Topology, Version, Versioned,
};

use super::Planted;
use super::group::{Command, Late, NODES, Running, Said, address, index};
use super::promises::Broken;
use super::turn::Turn;

/// Where a commit is carried out.
const STORE: usize = NODES;

impl Turn<'_> {
    /// Whether this bug is planted.
    fn has(&self, bug: Planted) -> bool {
        self.rules.planted == Some(bug)
    }

    /// Begins an action, if its monitor still leads.
    pub(super) fn begin(&mut self, monitor: usize, action: Action) {
        if matches!(action.step, Step::Amend { .. }) {
            // Nothing here depends on what is told.
            return self.tell(monitor, Event::Finished(action.id, Outcome::Amended));
        }
        let deposes = action.step == Step::Depose;
        let holds = self.group.monitors[monitor].session || self.has(Planted::UnaskedLead) || deposes;
        let pending: BTreeSet<usize> = match &action.step {
            Step::Freeze { nodes, .. }
            | Step::Demote { nodes }
            | Step::Look { nodes }
            | Step::Follow { nodes, .. }
            | Step::Persist { nodes } => nodes.iter().filter_map(index).collect(),
            Step::Promote { intent: Intent { node, .. }, .. }
            | Step::Open { node, .. }
            | Step::HoldWrites { node, .. }
            | Step::ResumeWrites { node }
            | Step::Cede { node, .. }
            | Step::Save { node, .. }
            | Step::Fence { node, .. } => index(node).into_iter().collect(),
            Step::Commit { .. } | Step::Answer { .. } | Step::Amend { .. } | Step::Depose => {
                BTreeSet::from([STORE])
            }
        };
        if holds {
            self.check_begun(monitor, &action.step);
        }
        let it = self.monitor(monitor);
        if holds {
            match &action.step {
                Step::Freeze { .. } => it.late.retain(|late| !late.straggler),
                // Told to follow, a node is no longer frozen: its connection is of no more use.
                Step::Follow { .. } => pending.iter().for_each(|node| it.held[*node] = None),
                _ => {}
            }
        }
        let outcome = (!holds).then_some(Outcome::NotBegun);
        let (said, done) = Default::default();
        it.running = Some(Running { action, pending, said, done, outcome });
    }

    /// A leader commands only while it leads, and sends nobody to a node that is not published.
    fn check_begun(&mut self, monitor: usize, step: &Step) {
        if matches!(step, Step::Depose) || self.group.is_deposed(monitor) {
            // Whose lock was removed does not know yet: its nodes hear it until they hear the next one.
            return;
        }
        if !self.group.leads(monitor) && !matches!(step, Step::Commit { .. }) {
            self.broken = Some(Broken::BegunWithoutTheLead);
        }
        if let Step::Follow { master, .. } = step {
            let published = self.group.published().master.map(|(node, _)| address(node));
            if published.as_ref() != Some(master) {
                self.broken = Some(Broken::SentToUnpublished);
            }
        }
        if let Step::Fence { number, .. } = step
            && self.group.leads(monitor)
            && self.group.topology().is_some_and(|record| *number < record.number())
        {
            self.broken = Some(Broken::LetGoUnrecorded);
        }
    }

    /// The action is carried out at one node, or at the store.
    pub(super) fn visit(&mut self, monitor: usize, node: usize) {
        let Some(term) = self.group.monitors[monitor].running.as_ref().map(|it| it.action.term) else {
            return;
        };
        if node != STORE && !self.enters(node, term) {
            return self.miss(monitor, node);
        }
        let Some(mut running) = self.monitor(monitor).running.take() else { return };
        running.pending.remove(&node);
        let step = running.action.step.clone();
        if matches!(step, Step::Persist { .. }) {
            // It changes what a restart brings and nothing else: the order makes no difference.
            for node in std::mem::take(&mut running.pending) {
                if self.enters(node, term)
                    && self.group.nodes[node].alive
                    && self.command(node, &Command::Persist)
                {
                    running.done.insert(node);
                }
            }
        }
        match &step {
            Step::Commit { expected, record, .. } => {
                let outcome = self.commit(monitor, running.action.term, *expected, record);
                running.outcome = Some(outcome);
            }
            Step::Depose => running.outcome = Some(self.depose(term)),
            Step::Answer { .. } => running.outcome = Some(Outcome::Answered),
            Step::Look { .. } if self.group.nodes[node].alive => {
                let server = &self.group.nodes[node].server;
                running.said[node] = Some(Arc::new(server.evidence(server.role())));
            }
            Step::Demote { .. } if self.group.nodes[node].alive => {
                running.said[node] = Some(Arc::new(self.freeze(node, true)));
            }
            Step::Freeze { awaited, .. } if self.group.nodes[node].alive => {
                let patient = awaited.contains(&address(node));
                let said = self.freeze(node, patient);
                let seen = self.group.monitors[monitor].sees[node].sighting.as_ref();
                let stale =
                    seen.filter(|_| self.has(Planted::StaleEvidence)).map(|seen| seen.history.clone());
                let history = stale.unwrap_or_else(|| said.history.clone());
                running.said[node] = Some(Arc::new(Evidence { history, ..said }));
            }
            Step::Promote { intent, closable, .. } => {
                let said = self.promote_held(monitor, node, intent, *closable);
                running.outcome = Some(Outcome::Promoted(said.map(Box::new)));
            }
            Step::Open { .. } | Step::Fence { .. } | Step::Follow { .. } | Step::Persist { .. }
                if self.group.nodes[node].alive
                    && Command::of(&step).is_some_and(|command| self.command(node, &command)) =>
            {
                running.done.insert(node);
            }
            _ => {}
        }
        self.conclude(monitor, running);
    }

    /// What was sent to a node does not arrive.
    pub(super) fn miss(&mut self, monitor: usize, node: usize) {
        let Some(mut running) = self.monitor(monitor).running.take() else { return };
        running.pending.remove(&node);
        if matches!(running.action.step, Step::Promote { .. }) {
            running.outcome = Some(Outcome::Promoted(None));
        }
        self.conclude(monitor, running);
    }

    /// An action ends when nothing of it is waited for any more.
    fn conclude(&mut self, monitor: usize, mut running: Running) {
        if running.outcome.is_none() {
            running.outcome = match &running.action.step {
                Step::Freeze { awaited, .. } => {
                    let waits = |node: &usize| awaited.contains(&address(*node));
                    (!running.pending.iter().any(waits)).then(|| self.frozen(monitor, &mut running))
                }
                _ if !running.pending.is_empty() => None,
                Step::Demote { .. } | Step::Look { .. } => Some(Outcome::Read(by_address(&running.said))),
                _ => Some(Outcome::Done(running.done.iter().map(|node| address(*node)).collect())),
            };
        }
        self.monitor(monitor).running = Some(running);
    }

    /// The end of a freeze: its connections are kept, and visits to nodes that nobody waits for go on.
    fn frozen(&mut self, monitor: usize, running: &mut Running) -> Outcome {
        let straggler = |node| Late { node, command: Command::Freeze, straggler: true };
        let alive = |node: &usize| self.group.nodes[*node].alive;
        let stragglers: Vec<_> = running.pending.iter().copied().filter(alive).map(straggler).collect();
        running.pending.clear();
        let it = self.monitor(monitor);
        it.late.extend(stragglers);
        it.held.clone_from(&running.said);
        Outcome::Read(by_address(&it.held))
    }

    /// The monitor hears what came of its action.
    pub(super) fn finish(&mut self, monitor: usize) {
        let it = self.monitor(monitor);
        let Some(Running { action, outcome: Some(outcome), .. }) = it.running.take() else { return };
        if let Outcome::Committed(version) = &outcome {
            it.told = version.order;
        }
        self.tell(monitor, Event::Finished(action.id, outcome));
    }

    /// A late command arrives.
    pub(super) fn late(&mut self, monitor: usize, n: usize) {
        let Some(Late { node, command, straggler }) = self.take_late(monitor, n) else { return };
        if self.group.nodes[node].alive {
            self.group.rest.past.came_late |= !straggler;
            self.command(node, &command);
        }
    }

    /// Takes a late command off its way.
    pub(super) fn take_late(&mut self, monitor: usize, n: usize) -> Option<Late> {
        let late = &mut self.monitor(monitor).late;
        let it = late.iter().nth(n).cloned();
        it.filter(|it| late.remove(it))
    }

    /// A node does as it is told; whether it did.
    fn command(&mut self, node: usize, command: &Command) -> bool {
        match command {
            Command::Freeze => drop(self.freeze(node, true)),
            Command::Promote(run) => {
                if self.group.lives(node, run) {
                    self.promote(node, true);
                }
            }
            Command::Open(run, number) => {
                let closed = self.group.nodes[node].server.min_replicas_to_write == CLOSED;
                if !self.group.lives(node, run) {
                    return false;
                }
                if closed {
                    self.group.node(node).server.min_replicas_to_write = *number;
                }
            }
            Command::Fence(run, number) => {
                if !self.group.lives(node, run) {
                    return false;
                }
                if *number > 0 || !self.has(Planted::UntoldLettingGo) {
                    self.group.node(node).server.fence(*number);
                }
            }
            Command::Follow(master) => self.follow(node, master),
            Command::Persist => self.group.node(node).server.rewrite(),
        }
        true
    }

    fn freeze(&mut self, node: usize, patient: bool) -> Evidence {
        let role = self.group.nodes[node].server.role();
        if !self.has(Planted::NoFreeze) {
            let upheaval = self.group.node(node).server.follow(None);
            self.group.shake(node, upheaval);
        }
        let said = self.group.nodes[node].server.evidence(role);
        let asked = patient || !self.has(Planted::UnaskedNumber);
        Evidence { min_replicas_to_write: said.min_replicas_to_write.filter(|_| asked), ..said }
    }

    fn follow(&mut self, node: usize, master: &NodeAddr) {
        let it = self.group.node(node);
        let upheaval = it.server.follow(Some(master.clone()));
        if [1, CLOSED].contains(&it.server.min_replicas_to_write) {
            it.server.min_replicas_to_write = 0;
        }
        self.group.shake(node, upheaval);
    }

    /// Promotes over the connection over which the node was frozen, if that stands and it said what is intended.
    fn promote_held(
        &mut self,
        monitor: usize,
        node: usize,
        intent: &Intent,
        closable: bool,
    ) -> Option<Evidence> {
        let held = Evidence::clone(&*self.monitor(monitor).held[node].take()?);
        let history = &held.history;
        let intended = held.run == intent.run
            && history.replid == intent.replid
            && history.offset == intent.offset
            && self.group.lives(node, &held.run);
        let unbound = self.has(Planted::UnboundPromotion) && self.group.nodes[node].alive;
        if intended || unbound {
            self.promote(node, closable);
            if !self.group.lives(node, &intent.run) {
                self.broken = Some(Broken::PromotedAnotherLife);
            }
        }
        if self.has(Planted::UnreadPublication) {
            let previous = Some((intent.replid.clone(), intent.offset + 1));
            let history = redis_failover_core::History { previous, ..held.history };
            return Some(Evidence { role: Role::Master { replicas: 0 }, history, ..held });
        }
        let server = &self.group.nodes[node].server;
        (intended || unbound).then(|| server.evidence(server.role()))
    }

    fn promote(&mut self, node: usize, closable: bool) {
        let closes = closable && !self.has(Planted::OpenPromotion);
        let it = self.group.node(node);
        if closes {
            it.server.min_replicas_to_write = CLOSED;
        }
        if !it.server.is_master() {
            it.promoted.insert((it.server.run(), it.server.replid().clone(), it.server.offset()));
        }
        let upheaval = it.server.follow_no_one();
        self.group.shake(node, upheaval);
    }

    /// The store's rule: the lock and the version, and nothing is written that is there already.
    fn commit(&mut self, monitor: usize, term: Term, expected: Version, record: &Topology) -> Outcome {
        let holds = self.group.rest.lock == Some((monitor, term.0));
        if !(holds || self.has(Planted::UnfencedCommit)) || self.group.record.version != expected {
            return Outcome::NotCommitted;
        }
        if self.group.topology() == Some(record) {
            return Outcome::Committed(expected);
        }
        if !holds {
            self.broken = Some(Broken::CommittedWithoutTheLock);
        }
        self.check_commit(record);
        let version = Version {
            order: expected.order + 1,
            document: expected.document + 1,
            state: Some(expected.state.map_or(0, |state| state + 1)),
        };
        let found = Found::Record(Box::new(record.clone()));
        self.group.record = Arc::new(Versioned { version, found });
        Outcome::Committed(version)
    }
}

fn by_address(said: &Said) -> BTreeMap<NodeAddr, Evidence> {
    let nodes = said.iter().enumerate();
    nodes.filter_map(|(node, said)| Some((address(node), Evidence::clone(said.as_ref()?)))).collect()
}
