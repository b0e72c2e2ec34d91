//! Carries one move out. What may happen is decided in `moves`, and what must not in `promises`.

use std::sync::Arc;

use redis_failover_core::{Ballot, Event, Leadership, Outcome, Peer, Peers, Step, Term, Vote};

use super::Rules;
use super::group::{Command, Group, Late, MONITORS, Monitor, NODES, Node, name};
use super::moves::Move;
use super::promises::Broken;
use crate::redis::WriteId;

/// One move over one state.
pub(super) struct Turn<'a> {
    /// The state, as it becomes.
    pub(super) group: Group,
    /// What is enumerated.
    pub(super) rules: &'a Rules,
    /// What was done that must not be.
    pub(super) broken: Option<Broken>,
}

impl Turn<'_> {
    /// Carries it out.
    pub(super) fn take(&mut self, step: Move) {
        let rest = &mut self.group.rest;
        rest.faults -= u8::from(step.fault().is_some());
        rest.past.events += u8::from(step.is_optional());
        match step {
            Move::Look(monitor, node) => {
                self.look(monitor, node);
                self.observed(monitor);
            }
            Move::LookAll(monitor) => {
                (0..NODES).for_each(|node| self.look(monitor, node));
                self.observed(monitor);
            }
            Move::Read(monitor) => self.read(monitor),
            Move::Hear(monitor) => self.hear(monitor),
            Move::Lead(monitor) => self.lead(monitor),
            Move::Learn(monitor) => self.learn(monitor),
            Move::Visit(monitor, node) => self.visit(monitor, node),
            Move::Miss(monitor, node) => self.miss(monitor, node),
            Move::Finish(monitor) => self.finish(monitor),
            Move::Late(monitor, n) => self.late(monitor, n),
            Move::Connect(node) => self.group.connect(node),
            Move::Receive(node) => self.group.receive(node),
            Move::Follow => self.group.rest.client.sees = self.group.published(),
            Move::Write => self.write(),
            Move::Time => self.time(),
            Move::Restart(node, memory) => {
                self.group.restart(node, memory);
                if self.rules.deposing {
                    self.group.forget_connections(node);
                }
                self.followers_look(node);
            }
            Move::Heal(node) => self.group.rest.stalled[node] = false,
            Move::Die(node) => self.die(node),
            Move::Kill(monitor) => self.kill(monitor),
            Move::Expire(monitor) => {
                self.group.rest.lock = None;
                self.monitor(monitor).session = false;
            }
            Move::Lose(monitor) => self.lose(monitor),
            Move::Stall(node) => self.group.rest.stalled[node] = true,
            Move::Doubt(monitor) | Move::Gone(monitor) => self.doubt(monitor),
        }
    }

    /// One monitor, to be changed.
    pub(super) fn monitor(&mut self, monitor: usize) -> &mut Monitor {
        Arc::make_mut(&mut self.group.monitors[monitor])
    }

    /// Tells the decider, and begins what it wants begun, as the monitor's loop does.
    pub(super) fn tell(&mut self, monitor: usize, event: Event) {
        let now = self.group.now();
        let it = self.monitor(monitor);
        if !matches!(event, Event::Observed(_)) {
            it.stirred = now.as_millis();
        }
        it.decider.handle(now, event);
        self.poll(monitor);
    }

    fn poll(&mut self, monitor: usize) {
        let now = self.group.now();
        if let Some(action) = self.monitor(monitor).decider.poll_action(now) {
            // It may be another one now that wants to see what it did before.
            self.monitor(monitor).stirred = now.as_millis();
            self.begin(monitor, action);
        }
    }

    fn look(&mut self, monitor: usize, node: usize) {
        let now = self.group.now();
        let Node { server, alive, .. } = &*self.group.nodes[node];
        let sighting = alive.then(|| Arc::new(server.sighting(now)));
        let sight = &mut self.monitor(monitor).sees[node];
        let vote = if sighting.is_some() { Vote::Up } else { Vote::Refused };
        if sight.ballot.is_none_or(|ballot| ballot.vote != vote) {
            sight.ballot = Some(Ballot { vote, since: now });
        }
        if sighting.is_some() {
            (sight.sighting, sight.trouble) = (sighting, None);
        } else {
            sight.trouble = sight.trouble.or(Some(now));
        }
    }

    /// Who does not lead sees at once who lives: what it votes is heard late enough.
    fn followers_look(&mut self, node: usize) {
        for monitor in 0..MONITORS {
            let it = &*self.group.monitors[monitor];
            if it.alive && !it.leads {
                self.look(monitor, node);
                self.observed(monitor);
            }
        }
    }

    fn observed(&mut self, monitor: usize) {
        let observation = self.group.monitors[monitor].observation();
        self.tell(monitor, Event::Observed(observation));
    }

    fn read(&mut self, monitor: usize) {
        let read = (*self.group.record).clone();
        self.monitor(monitor).told = read.version.order;
        self.tell(monitor, Event::TopologyRead(read));
    }

    fn hear(&mut self, monitor: usize) {
        let heard = self.group.heard_by(monitor);
        self.monitor(monitor).heard.clone_from(&heard);
        self.tell(monitor, Event::ReportsRead(heard));
    }

    fn lead(&mut self, monitor: usize) {
        let rest = &mut self.group.rest;
        rest.term += 1;
        let term = rest.term;
        rest.lock = Some((monitor, term));
        self.watch_anew(monitor);
        self.monitor(monitor).leads = true;
        self.tell(monitor, Event::Leadership(Leadership::Leading(Term(term))));
    }

    /// The action of a term that is over goes no further; what was sent is on its way.
    fn learn(&mut self, monitor: usize) {
        self.abandon(monitor);
        let it = self.monitor(monitor);
        (it.session, it.leads) = (true, false);
        self.tell(monitor, Event::Leadership(Leadership::Following));
    }

    fn abandon(&mut self, monitor: usize) {
        let it = self.monitor(monitor);
        let Some(running) = it.running.take().filter(super::group::Running::is_pending) else { return };
        if let Some(command) = Command::of(&running.action.step) {
            let late = |node| Late { node, command: command.clone(), straggler: false };
            let alive = |node: &usize| self.group.nodes[*node].alive;
            let sent: Vec<_> = running.pending.into_iter().filter(alive).map(late).collect();
            self.monitor(monitor).late.extend(sent);
        }
    }

    fn write(&mut self) {
        let client = &self.group.rest.client;
        let (id, Some((master, _))) = (client.next, client.sees.master.clone()) else { return };
        if self.group.node(master).server.write(WriteId(u32::from(id))).is_ok() {
            self.group.pass_on(master);
            let client = &mut self.group.rest.client;
            client.acknowledged |= 1 << id;
            client.next += 1;
        }
    }

    /// Everybody probes every node, those who only follow read what there is to read, and then looks what to do.
    ///
    /// A node that is dead was seen to be dead before, or time would not move.
    fn time(&mut self) {
        let Some(moment) = self.group.next_moment(self.rules) else { return };
        (self.group.rest.now, self.group.rest.idle) = (moment, self.group.rest.idle + 1);
        for monitor in (0..MONITORS).filter(|monitor| self.group.monitors[*monitor].alive).collect::<Vec<_>>()
        {
            if self.group.monitors[monitor].told != self.group.record.version.order {
                self.read(monitor);
            }
            if self.group.monitors[monitor].heard != self.group.heard_by(monitor) {
                self.hear(monitor);
            }
            for node in 0..NODES {
                self.look(monitor, node);
            }
            self.observed(monitor);
        }
    }

    fn die(&mut self, node: usize) {
        let (acknowledged, caught_up) = (self.group.rest.client.acknowledged, self.group.is_caught_up());
        self.group.die(node);
        let past = &mut self.group.rest.past;
        past.crashes += 1;
        past.owed = if caught_up { acknowledged } else { 0 };
        self.followers_look(node);
    }

    fn kill(&mut self, monitor: usize) {
        self.abandon(monitor);
        // Where leaders are deposed the lock stands until the other removes it.
        let stands = self.rules.deposing && self.rules.quorum == 1;
        if self.group.leads(monitor) && !stands {
            self.group.rest.lock = None;
        }
        let late = std::mem::take(&mut self.monitor(monitor).late);
        let mut dead = Group::new(self.rules).monitors[monitor].clone();
        let it = Arc::make_mut(&mut dead);
        // What it knew is gone with it; what it sent is not.
        (it.alive, it.session, it.late) = (false, false, late);
        self.group.monitors[monitor] = dead;
    }

    fn lose(&mut self, monitor: usize) {
        let it = self.monitor(monitor);
        let Some(running) = &mut it.running else { return };
        let pending = std::mem::take(&mut running.pending).into_iter().next();
        let commits = matches!(running.action.step, Step::Commit { .. });
        running.outcome = Some(if commits { Outcome::CommitUnknown } else { Outcome::Promoted(None) });
        if let Some((node, command)) = pending.zip(Command::of(&running.action.step)) {
            // It may be in the node's socket all the same.
            it.held[node] = None;
            it.late.insert(Late { node, command, straggler: false });
        }
    }
}

impl Group {
    /// What the other monitors say, as it stands in the store.
    pub(super) fn heard_by(&self, monitor: usize) -> Peers {
        let others = (0..MONITORS).filter(|other| *other != monitor);
        let reports = others.filter(|other| self.monitors[*other].alive && self.monitors[*other].session);
        let peer = |other: usize| {
            let it = &*self.monitors[other];
            Peer { ballots: it.ballots(), remembers: it.decider.remembers(), lead: it.lead }
        };
        reports.map(|other| (name(other), peer(other))).collect()
    }
}
