//! From probes to one monitor's votes. It knows silence from an answer, and its own stalls from a node's.
//!
//! It sends nothing: whoever probes tells it what happened and when.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::names::NodeAddr;
use crate::policy::Policy;
use crate::time::Instant;
use crate::view::{Ballot, Ballots, Sighting, Vote};

/// What happened to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A question was sent, or a connection attempt begun.
    Sent,
    /// It was answered.
    Answered(Sighting),
    /// It was answered, but only by an error that says the node cannot serve (LOADING).
    Unusable,
    /// It was answered, but the node takes no writes because it cannot save (MISCONF).
    Misconf(Sighting),
    /// It was answered by an error that is nobody's death (BUSY, or NOPERM on an open connection).
    Alive,
    /// The node will not talk to us (NOAUTH, WRONGPASS, too many clients): our fault or the limit's.
    Denied,
    /// The connection was closed by the node or the network.
    Lost,
    /// A connection attempt was refused: nobody listens.
    Refused,
}

/// One monitor's watch over the nodes of one group.
#[derive(Clone, Debug)]
pub struct Observer {
    down_after: Duration,
    interval: Duration,
    misconf: Vote,
    refusal_waits: bool,
    nodes: BTreeMap<NodeAddr, Watched>,
    next_tick: Instant,
    /// What was asked before this moment counts no more: the monitor itself stood still.
    valid_from: Instant,
}

#[derive(Clone, Debug)]
struct Watched {
    ballot: Ballot,
    /// Since when a question waits for its answer, over all connections.
    waiting: Option<Instant>,
    /// When the node was last heard of in a way that may be the beginning of trouble.
    doubted: Option<Instant>,
    sighting: Option<Sighting>,
}

impl Watched {
    fn new(now: Instant) -> Self {
        Self {
            ballot: Ballot { vote: Vote::Unknown, since: now },
            waiting: None,
            doubted: None,
            sighting: None,
        }
    }

    fn vote(&mut self, vote: Vote, now: Instant) {
        if self.ballot.vote != vote {
            self.ballot = Ballot { vote, since: now };
        }
    }

    fn answered(&mut self, vote: Vote, now: Instant) {
        self.waiting = None;
        if vote == Vote::Up {
            self.doubted = None;
        }
        self.vote(vote, now);
    }
}

/// How long after the beginning of trouble nodes are asked at the dense pace, in units of `down_after`.
const DENSE_FOR: u32 = 3;

/// How long after a connection broke or was refused nodes are asked as fast as makes sense.
const ALARMED_FOR: Duration = Duration::from_millis(100);

impl Observer {
    /// A watch over `nodes`, of which nothing is known yet.
    pub fn new(policy: &Policy, nodes: impl IntoIterator<Item = NodeAddr>, now: Instant) -> Self {
        Self::patient(policy, policy.down_after(), nodes, now)
    }

    /// The same, where a node is silent only after `patience`.
    pub(crate) fn patient(
        policy: &Policy,
        patience: Duration,
        nodes: impl IntoIterator<Item = NodeAddr>,
        now: Instant,
    ) -> Self {
        Self {
            down_after: patience,
            interval: policy.probe_interval(),
            misconf: misconf_vote(policy),
            refusal_waits: policy.refusal_waits(),
            nodes: nodes.into_iter().map(|node| (node, Watched::new(now))).collect(),
            next_tick: now + policy.probe_interval(),
            valid_from: now,
        }
    }

    /// Takes in what happened at `at` to a probe of `node` that was asked at `asked`.
    ///
    /// A node that is not watched is ignored, and so is what was asked before this monitor last stood still.
    pub fn probed(&mut self, asked: Instant, at: Instant, node: &NodeAddr, probe: Probe) {
        let Some(watched) = self.nodes.get_mut(node).filter(|_| asked >= self.valid_from) else { return };
        match probe {
            Probe::Sent => {
                watched.waiting.get_or_insert(at);
            }
            Probe::Answered(sighting) => {
                watched.answered(Vote::Up, at);
                watched.sighting = Some(sighting);
            }
            Probe::Misconf(sighting) => {
                watched.answered(self.misconf, at);
                watched.sighting = Some(sighting);
            }
            Probe::Alive => watched.answered(Vote::Up, at),
            Probe::Unusable => {
                watched.doubted.get_or_insert(at);
                watched.answered(Vote::Unusable, at);
            }
            Probe::Denied => watched.answered(Vote::Unknown, at),
            Probe::Lost => {
                watched.doubted.get_or_insert(at);
                watched.waiting.get_or_insert(at);
            }
            Probe::Refused if self.refusal_waits => {
                watched.doubted.get_or_insert(at);
                watched.waiting.get_or_insert(asked);
            }
            Probe::Refused => {
                watched.doubted.get_or_insert(at);
                watched.answered(Vote::Refused, at);
            }
        }
    }

    /// Passes time: finds silent nodes, and finds out whether this monitor itself stood still.
    ///
    /// To be called no later than [`Observer::poll_timeout`] says. A call that comes later by more than half of
    /// `down_after` means that the monitor was stalled: all that it thinks it knows is dropped, and true is
    /// returned.
    pub fn tick(&mut self, now: Instant) -> bool {
        let stalled = now.since(self.next_tick) > self.down_after / 2;
        if stalled {
            self.valid_from = now;
            for watched in self.nodes.values_mut() {
                watched.vote(Vote::Unknown, now);
                *watched = Watched { ballot: watched.ballot, ..Watched::new(now) };
            }
        }
        for watched in self.nodes.values_mut() {
            if watched.waiting.is_some_and(|since| now.since(since) >= self.down_after) {
                watched.doubted = watched.doubted.or(watched.waiting);
                watched.vote(Vote::Silent, now);
            }
        }
        self.next_tick = now + self.interval;
        stalled
    }

    /// When [`Observer::tick`] must be called next: at the pace of the probes, or when a node becomes silent.
    pub fn poll_timeout(&self) -> Instant {
        let silent = |watched: &Watched| {
            let undecided = watched.ballot.vote != Vote::Silent;
            watched.waiting.filter(|_| undecided).map(|since| since + self.down_after)
        };
        self.nodes.values().filter_map(silent).fold(self.next_tick, Instant::min)
    }

    /// Whether nodes should be asked at the dense pace: trouble began, and not long ago.
    pub fn in_doubt(&self, now: Instant) -> bool {
        let fresh = |since: Instant| now.since(since) < self.down_after * DENSE_FOR;
        let late = |since: Instant| now.since(since) >= self.interval && fresh(since);
        self.nodes
            .values()
            .any(|watched| watched.doubted.is_some_and(fresh) || watched.waiting.is_some_and(late))
    }

    /// Whether a connection broke or was refused a moment ago.
    ///
    /// In these moments a master may be back in another life of its process, and its replicas may follow that at any
    /// time: whoever asks first wins.
    pub fn is_alarmed(&self, now: Instant) -> bool {
        let fresh = |since: Instant| now.since(since) < ALARMED_FOR;
        self.nodes.values().any(|watched| watched.doubted.is_some_and(fresh))
    }

    /// The votes as they stand.
    pub fn ballots(&self) -> Ballots {
        self.nodes.iter().map(|(node, watched)| (node.clone(), watched.ballot)).collect()
    }

    /// Since when each troubled node has been in trouble: refused, lost, unusable, or late with an answer.
    pub fn troubles(&self) -> BTreeMap<NodeAddr, Instant> {
        let trouble = |(node, watched): (&NodeAddr, &Watched)| {
            let since = watched.doubted.into_iter().chain(watched.waiting).min()?;
            Some((node.clone(), since))
        };
        self.nodes.iter().filter_map(trouble).collect()
    }

    /// The last answer of each node that has answered.
    pub fn sightings(&self) -> BTreeMap<NodeAddr, Sighting> {
        let seen = |(node, watched): (&NodeAddr, &Watched)| Some((node.clone(), watched.sighting.clone()?));
        self.nodes.iter().filter_map(seen).collect()
    }

    /// Watches exactly `nodes` from now on, with `policy`; what is known of those that stay is kept.
    pub fn reconfigure(&mut self, policy: &Policy, nodes: impl IntoIterator<Item = NodeAddr>, now: Instant) {
        self.down_after = policy.down_after();
        self.interval = policy.probe_interval();
        self.misconf = misconf_vote(policy);
        self.refusal_waits = policy.refusal_waits();
        let mut known = std::mem::take(&mut self.nodes);
        let kept = |node: NodeAddr| {
            let watched = known.remove(&node).unwrap_or_else(|| Watched::new(now));
            (node, watched)
        };
        self.nodes = nodes.into_iter().map(kept).collect();
    }
}

fn misconf_vote(policy: &Policy) -> Vote {
    if policy.misconf_is_unusable() { Vote::Unusable } else { Vote::Up }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ReplId, RunId};
    use crate::position::History;
    use crate::view::Role;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(10_000 + millis)
    }

    fn node() -> NodeAddr {
        NodeAddr::new("a", 1)
    }

    fn answer(asked: Instant) -> Probe {
        let history = History { replid: ReplId("r".into()), offset: 1, previous: None };
        let role = Role::Master { replicas: 0 };
        Probe::Answered(Sighting {
            asked,
            run: RunId("1".into()),
            role,
            history,
            guarded: false,
            good_replicas: 0,
            feeds: Vec::new(),
        })
    }

    fn observer() -> Observer {
        let mut observer = Observer::new(&Policy::default(), [node()], at(0));
        observer.probed(at(0), at(0), &node(), Probe::Sent);
        observer.probed(at(1), at(1), &node(), answer(at(0)));
        observer
    }

    fn vote(observer: &Observer) -> Vote {
        observer.ballots()[&node()].vote
    }

    /// Ticks as the driver would, up to `until`.
    fn pass(observer: &mut Observer, until: Instant) {
        while observer.poll_timeout() <= until {
            let next = observer.poll_timeout();
            assert!(!observer.tick(next));
        }
    }

    #[test]
    fn silence_counts_from_the_first_unanswered_question_over_all_connections() {
        let mut observer = observer();
        observer.probed(at(200), at(200), &node(), Probe::Sent);
        pass(&mut observer, at(700));
        observer.probed(at(700), at(700), &node(), Probe::Lost);
        observer.probed(at(701), at(701), &node(), Probe::Sent);
        pass(&mut observer, at(1199));
        assert_eq!(vote(&observer), Vote::Up);
        pass(&mut observer, at(1200));
        assert_eq!(vote(&observer), Vote::Silent);
        assert_eq!(observer.ballots()[&node()].since, at(1200));
    }

    #[test]
    fn a_refusal_counts_at_once_and_an_answer_ends_it() {
        let mut observer = observer();
        observer.probed(at(5), at(5), &node(), Probe::Lost);
        assert_eq!(vote(&observer), Vote::Up, "a closed connection alone is no death");
        assert!(observer.in_doubt(at(5)));
        observer.probed(at(6), at(6), &node(), Probe::Refused);
        assert_eq!(vote(&observer), Vote::Refused);
        observer.probed(at(9), at(9), &node(), answer(at(8)));
        assert_eq!(vote(&observer), Vote::Up);
        assert!(!observer.in_doubt(at(10)));
    }

    #[test]
    fn answers_are_not_silence() {
        for (probe, expected) in
            [(Probe::Alive, Vote::Up), (Probe::Unusable, Vote::Unusable), (Probe::Denied, Vote::Unknown)]
        {
            let mut observer = observer();
            for n in 1..20 {
                observer.probed(at(n * 200), at(n * 200), &node(), Probe::Sent);
                observer.probed(at(n * 200 + 1), at(n * 200 + 1), &node(), probe.clone());
                pass(&mut observer, at(n * 200 + 100));
            }
            assert_eq!(vote(&observer), expected, "{probe:?}");
        }
    }

    #[test]
    fn a_server_that_cannot_save_is_what_the_policy_says() {
        let Probe::Answered(sighting) = answer(at(200)) else { panic!("an answer has a sighting") };
        for (unusable, expected) in [(false, Vote::Up), (true, Vote::Unusable)] {
            let mut observer = observer();
            let policy = Policy::default().misconf_unusable(unusable);
            observer.reconfigure(&policy, [node()], at(100));
            observer.probed(at(200), at(201), &node(), Probe::Misconf(sighting.clone()));
            assert_eq!(vote(&observer), expected);
        }
    }

    #[test]
    fn where_a_firewall_may_refuse_refusal_waits_like_silence() {
        let mut observer = observer();
        observer.reconfigure(&Policy::default().patient_with_refusal(true), [node()], at(100));
        for n in 1..=6 {
            pass(&mut observer, at(n * 200 - 1));
            assert_eq!(vote(&observer), Vote::Up, "at {n}");
            observer.probed(at(n * 200), at(n * 200), &node(), Probe::Refused);
        }
        pass(&mut observer, at(1200));
        assert_eq!(vote(&observer), Vote::Silent);
    }

    #[test]
    fn a_monitor_that_stood_still_forgets_and_believes_only_what_was_asked_since() {
        let mut observer = observer();
        observer.probed(at(100), at(100), &node(), Probe::Sent);
        // Stopped for 5 s: the answer, the refusal of a process that has died since, all are in the queue.
        assert!(observer.tick(at(5000)));
        assert_eq!(vote(&observer), Vote::Unknown);
        assert!(observer.sightings().is_empty());
        observer.probed(at(200), at(5001), &node(), Probe::Refused);
        assert_eq!(vote(&observer), Vote::Unknown);
        pass(&mut observer, at(5900));
        assert_eq!(vote(&observer), Vote::Unknown, "what was asked before the stall is not waited for");
        observer.probed(at(5901), at(5901), &node(), answer(at(5900)));
        assert_eq!(vote(&observer), Vote::Up);
    }

    #[test]
    fn a_tick_late_by_less_than_half_of_down_after_is_no_stall() {
        let mut observer = observer();
        assert!(!observer.tick(at(200 + 500)));
        assert!(observer.tick(at(700 + 200 + 501)));
    }

    #[test]
    fn the_dense_pace_ends_by_itself() {
        let mut observer = observer();
        observer.probed(at(10), at(10), &node(), Probe::Refused);
        assert!(observer.in_doubt(at(3009)));
        assert!(!observer.in_doubt(at(3010)));
    }

    #[test]
    fn the_alarm_is_raised_by_a_broken_connection_and_not_by_silence() {
        let mut observer = observer();
        observer.probed(at(10), at(10), &node(), Probe::Sent);
        assert!(!observer.is_alarmed(at(50)));
        assert!(observer.in_doubt(at(210)));
        observer.probed(at(300), at(300), &node(), Probe::Lost);
        assert!(observer.is_alarmed(at(399)));
        assert!(!observer.is_alarmed(at(400)));
        observer.probed(at(350), at(350), &node(), answer(at(350)));
        assert!(!observer.is_alarmed(at(351)), "an answer ends it");
    }

    #[test]
    fn a_new_list_keeps_what_is_known_of_those_that_stay() {
        let mut observer = observer();
        observer.reconfigure(&Policy::default(), [node(), NodeAddr::new("b", 1)], at(50));
        assert_eq!(vote(&observer), Vote::Up);
        assert_eq!(observer.ballots()[&NodeAddr::new("b", 1)].vote, Vote::Unknown);
    }
}
