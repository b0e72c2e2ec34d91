//! A group's life in memory, as one monitor's decider is told of it: founded, its master killed, another in its place.

use std::collections::{BTreeMap, BTreeSet};

use redis_failover_core::{
    Action, Ballot, Event, Evidence, Found, History, Instant, Leadership, Link, NodeAddr, Observation,
    Outcome, Peer, Peers, Policy, ReplId, Role, RunId, Sighting, Step, Term, Version, Versioned, Vote,
};

use super::super::{JournalFile, Recorded};

pub(super) fn node(name: &str) -> NodeAddr {
    NodeAddr::new(name, 6379)
}

/// The decider and the servers that it hears of.
pub(super) struct Story {
    pub(super) recorded: Recorded,
    pub(super) now: u64,
    alive: BTreeSet<NodeAddr>,
    master: NodeAddr,
    /// The history of the master, and the one that it came from.
    history: (String, Option<(ReplId, u64)>),
    offset: u64,
    order: i64,
    /// Every action that was begun.
    pub(super) actions: Vec<Action>,
}

impl Story {
    pub(super) fn new(place: Option<JournalFile>) -> Self {
        let nodes: Vec<_> = ["a", "b", "c"].map(node).into();
        let me = "m1".parse().expect("an id");
        let now = 1_000_000;
        let decider = redis_failover_core::Decider::new(me, nodes.clone(), Policy::default(), at(now));
        Self {
            recorded: Recorded::new(decider, "orders", place),
            now,
            master: node("a"),
            alive: nodes.into_iter().collect(),
            history: ("first".to_owned(), None),
            offset: 100,
            order: 0,
            actions: Vec::new(),
        }
    }

    /// It leads a group that is founded, loses its master, and gets another.
    pub(super) fn whole(place: Option<JournalFile>) -> Self {
        let mut story = Self::new(place);
        story.found();
        story.pass(5);
        story.kill("a");
        story.pass(15);
        story
    }

    pub(super) fn found(&mut self) {
        self.recorded.seed(at(self.now), ["a", "b", "c"].map(node).into(), Policy::default());
        self.tell(Event::Leadership(Leadership::Leading(Term(7))));
        let nothing = Versioned { version: Version::default(), found: Found::Nothing };
        self.tell(Event::TopologyRead(nothing));
        self.pass(5);
    }

    pub(super) fn kill(&mut self, name: &str) {
        self.alive.remove(&node(name));
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.recorded.handle(at(self.now), event);
    }

    /// Lets so many probes pass.
    pub(super) fn pass(&mut self, probes: usize) {
        for _ in 0..probes {
            self.now += 100;
            self.offset += 10;
            let observation = self.observation();
            let ballots = observation.ballots.clone();
            self.tell(Event::Observed(observation));
            let peer = Peer { ballots, remembers: self.recorded.remembers(), ..Peer::default() };
            self.tell(Event::ReportsRead(Peers::from([("m2".parse().expect("an id"), peer)])));
            while let Some(action) = self.recorded.poll_action(at(self.now)) {
                self.actions.push(action.clone());
                self.now += 1;
                let outcome = self.carry_out(&action.step);
                self.tell(Event::Finished(action.id, outcome));
            }
        }
    }

    pub(super) fn observation(&self) -> Observation {
        let before = self.recorded.observation();
        let mut seen = Observation::default();
        for node in ["a", "b", "c"].map(node) {
            let vote = if self.alive.contains(&node) { Vote::Up } else { Vote::Refused };
            let old = before.ballots.get(&node).filter(|old| old.vote == vote);
            seen.ballots.insert(node.clone(), old.copied().unwrap_or(Ballot { vote, since: at(self.now) }));
            if vote == Vote::Up {
                seen.sightings.insert(node.clone(), self.sighting(&node));
            } else {
                seen.sightings.extend(before.sightings.get(&node).map(|old| (node.clone(), old.clone())));
                let since = before.troubles.get(&node).copied();
                seen.troubles.insert(node, since.unwrap_or(at(self.now - 2)));
            }
        }
        seen
    }

    fn sighting(&self, node: &NodeAddr) -> Sighting {
        let Evidence { run, role, history, .. } = self.evidence(node);
        let feeds = if *node == self.master { self.followers() } else { Vec::new() };
        Sighting { asked: at(self.now - 1), run, role, history, guarded: false, good_replicas: 0, feeds }
    }

    fn followers(&self) -> Vec<NodeAddr> {
        self.alive.iter().filter(|node| **node != self.master).cloned().collect()
    }

    fn evidence(&self, node: &NodeAddr) -> Evidence {
        let (replid, previous) = self.history.clone();
        // c is a little behind.
        let offset = self.offset - u64::from(node.host() == "c") * 3;
        let role = if *node == self.master {
            Role::Master { replicas: 2 }
        } else {
            let link = if self.alive.contains(&self.master) { Link::Up } else { Link::Down { seconds: 0 } };
            Role::Replica { of: Some(self.master.clone()), link, received: offset }
        };
        Evidence {
            run: RunId(format!("run-of-{}", node.host())),
            role,
            history: History { replid: ReplId(replid), offset, previous },
            priority: 100,
            uncounted: false,
            keys: 12,
            saved: None,
            min_replicas_to_write: Some(0),
            version: None,
            appends: None,
        }
    }

    fn carry_out(&mut self, step: &Step) -> Outcome {
        let said = |story: &Self, nodes: &[NodeAddr]| {
            let alive = nodes.iter().filter(|node| story.alive.contains(node));
            alive.map(|node| (node.clone(), story.evidence(node))).collect::<BTreeMap<_, _>>()
        };
        match step {
            Step::Commit { .. } => {
                self.order += 1;
                let number = i32::try_from(self.order).expect("a short story");
                Outcome::Committed(Version { order: self.order, document: number, state: Some(number) })
            }
            Step::HoldWrites { node, .. } | Step::ResumeWrites { node } => {
                Outcome::Done([node.clone()].into())
            }
            Step::Cede { node, .. } => Outcome::Read(said(self, std::slice::from_ref(node))),
            Step::Freeze { nodes, .. } | Step::Demote { nodes } | Step::Look { nodes } => {
                Outcome::Read(said(self, nodes))
            }
            Step::Promote { intent, .. } => {
                self.master = intent.node.clone();
                self.offset = intent.offset;
                self.history = ("second".to_owned(), Some((intent.replid.clone(), intent.offset + 1)));
                Outcome::Promoted(Some(Box::new(self.evidence(&intent.node))))
            }
            Step::Depose => Outcome::Deposed,
            Step::Open { node, .. } | Step::Fence { node, .. } => Outcome::Done([node.clone()].into()),
            Step::Follow { nodes, .. } | Step::Persist { nodes } => {
                Outcome::Done(nodes.iter().filter(|node| self.alive.contains(*node)).cloned().collect())
            }
            Step::Save { .. } => Outcome::Saving(None),
            Step::Answer { .. } => Outcome::Answered,
            Step::Amend { .. } => Outcome::Amended,
        }
    }
}

pub(super) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}
