//! From all monitors' votes, and from what the replicas still hear, to what the leader concludes of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::names::{MonitorId, NodeAddr};
use crate::policy::Policy;
use crate::time::Instant;
use crate::topology::Reason;
use crate::view::{Ballot, Ballots, Link, Peers, Role, Sighting, Vote};

/// What the leader concludes of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A quorum reaches it.
    Up,
    /// A quorum found it down.
    Down(Reason),
    /// Some find it down, but no quorum does.
    Doubted,
    /// Nobody finds it down, but no quorum reaches it.
    Unknown,
}

/// Those who vote, and their votes.
#[derive(Clone, Copy, Debug)]
pub struct Electorate<'a> {
    /// The monitor that counts.
    pub me: &'a MonitorId,
    /// Its own votes.
    pub own: &'a Ballots,
    /// The other live monitors' votes.
    pub peers: &'a Peers,
    /// Whose votes count. A registered monitor that is not alive has no vote, and still makes the quorum larger.
    pub registered: &'a BTreeSet<MonitorId>,
    /// Quorum and deadlines.
    pub policy: &'a Policy,
}

impl Electorate<'_> {
    /// What each registered live monitor says of `node`.
    pub fn ballots(&self, node: &NodeAddr) -> BTreeMap<MonitorId, Ballot> {
        self.cast(node).map(|(id, ballot)| (id.clone(), ballot)).collect()
    }

    /// The same without a copy of the names: the votes are counted with every fact that comes in.
    fn cast<'b>(&'b self, node: &'b NodeAddr) -> impl Iterator<Item = (&'b MonitorId, Ballot)> {
        let ballots = |id: &MonitorId| {
            if id == self.me { Some(self.own) } else { self.peers.get(id).map(|peer| &peer.ballots) }
        };
        self.registered.iter().filter_map(move |id| Some((id, *ballots(id)?.get(node)?)))
    }

    /// What the votes say of `node` at `now`.
    pub fn verdict(&self, node: &NodeAddr, now: Instant) -> Verdict {
        let quorum = self.policy.quorum_of(self.registered.len());
        let (mut unusable, mut silent, mut refused, mut up) = (0, 0, 0, 0);
        for (_, ballot) in self.cast(node).filter(|(_, ballot)| self.is_mature(ballot, now)) {
            match ballot.vote {
                Vote::Unusable => unusable += 1,
                Vote::Silent => silent += 1,
                Vote::Refused => refused += 1,
                Vote::Up => up += 1,
                Vote::Unknown => {}
            }
        }
        // Of reasons that are given equally often the last one is told.
        let down = [(unusable, Reason::Unusable), (silent, Reason::Silent), (refused, Reason::Refused)];
        let total: usize = down.iter().map(|(votes, _)| votes).sum();
        match down.into_iter().max_by_key(|(votes, _)| *votes) {
            Some((_, reason)) if total >= quorum => Verdict::Down(reason),
            _ if up >= quorum => Verdict::Up,
            _ if total > 0 => Verdict::Doubted,
            _ => Verdict::Unknown,
        }
    }

    /// How many of the registered are alive and how many must agree, if these are too few.
    pub fn too_few(&self) -> Option<(usize, usize)> {
        let alive = |id: &&MonitorId| *id == self.me || self.peers.contains_key(*id);
        let (alive, quorum) =
            (self.registered.iter().filter(alive).count(), self.policy.quorum_of(self.registered.len()));
        (alive < quorum).then_some((alive, quorum))
    }

    /// When an `unusable` vote on `node` will begin to count, if one is waiting to.
    pub fn matures(&self, node: &NodeAddr, now: Instant) -> Option<Instant> {
        let waiting = self.cast(node).filter(|(_, ballot)| !self.is_mature(ballot, now));
        waiting.map(|(_, ballot)| ballot.since + self.policy.down_after()).min()
    }

    /// Refusal counts at once and silence carries its deadline in it; being unusable has to last.
    fn is_mature(&self, ballot: &Ballot, now: Instant) -> bool {
        ballot.vote != Vote::Unusable || now.since(ballot.since) >= self.policy.down_after()
    }
}

impl Verdict {
    /// What all monitors' votes say of `node` to somebody who has none; only those of the `registered` count.
    pub fn of(
        node: &NodeAddr,
        monitors: &Peers,
        registered: &BTreeSet<MonitorId>,
        policy: &Policy,
        now: Instant,
    ) -> Self {
        let Some((me, own)) = monitors.first_key_value() else { return Self::Unknown };
        let votes = Electorate { me, own: &own.ballots, peers: monitors, registered, policy };
        votes.verdict(node, now)
    }
}

/// How long what a replica has heard proves at least that its master lives.
///
/// An idle master says something once a second (`repl-ping-replica-period`), give or take a tenth, and a probe sees it
/// up to an interval later. Where nothing more is heard a hung master is not protected by it: what it said last was
/// received before the doubt began.
const PROOF: Duration = Duration::from_millis(1_500);

/// Whether a replica still hears a master that the monitors can't reach: then it is isolated from us, not dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// This replica received data from the master lately: within `down_after`, or 1.5 s if that is longer.
    Speaks(NodeAddr),
    /// A replica's link still stands; by this time it has shown growth or does not count.
    Awaited(Instant),
    /// No replica hears it.
    None,
}

/// What was seen of the replicas since the master came into doubt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Doubt {
    since: Instant,
    seen: BTreeMap<NodeAddr, Hearing>,
}

/// What one replica has received, and when that last grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Hearing {
    received: u64,
    grew: Option<Instant>,
}

impl Doubt {
    /// A doubt that began at `since`.
    pub fn new(since: Instant) -> Self {
        Self { since, seen: BTreeMap::new() }
    }

    /// Takes in the latest answers; those asked before the doubt began say nothing about it.
    pub fn look(&mut self, sightings: &BTreeMap<NodeAddr, Sighting>) {
        for (node, sighting) in sightings.iter().filter(|(_, sighting)| sighting.asked > self.since) {
            let Role::Replica { received, .. } = sighting.role else { continue };
            let hearing = self.seen.entry(node.clone()).or_insert(Hearing { received, grew: None });
            if received > hearing.received {
                *hearing = Hearing { received, grew: Some(sighting.asked) };
            }
        }
    }

    /// What the replicas of `master` say at `now`. A replica that does not answer `own` is no witness.
    pub fn witness(
        &self,
        master: &NodeAddr,
        own: &Ballots,
        sightings: &BTreeMap<NodeAddr, Sighting>,
        policy: &Policy,
        now: Instant,
    ) -> Witness {
        let deadline = self.since + policy.down_after();
        let mut witness = Witness::None;
        for (node, ballot) in own.iter().filter(|(node, _)| *node != master) {
            if ballot.vote == Vote::Unknown && now < deadline {
                // Not asked yet, or not since this monitor stood still.
                witness = Witness::Awaited(deadline);
            }
            let Some(sighting) = sightings.get(node).filter(|_| ballot.vote == Vote::Up) else { continue };
            let follows = |of: &Option<NodeAddr>| of.as_ref() == Some(master);
            let hears = matches!(&sighting.role, Role::Replica { of, link: Link::Up, .. } if follows(of));
            if sighting.asked > self.since && !hears {
                continue;
            }
            let grew = self.seen.get(node).and_then(|hearing| hearing.grew);
            if grew.is_some_and(|at| now.since(at) < policy.down_after().max(PROOF)) {
                return Witness::Speaks(node.clone());
            }
            if now < deadline {
                witness = Witness::Awaited(deadline);
            }
        }
        witness
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ReplId, RunId};
    use crate::position::History;
    use crate::view::Peer;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(10_000 + millis)
    }

    fn id(name: &str) -> MonitorId {
        name.parse().expect("a valid id")
    }

    fn node(host: &str) -> NodeAddr {
        NodeAddr::new(host, 1)
    }

    /// The verdict at +10 s over `a`, when m1 (who counts), m2, m3 … voted this at `since`.
    fn verdict(registered: usize, votes: &[(Vote, Instant)]) -> Verdict {
        let ballots = |(vote, since)| Ballots::from([(node("a"), Ballot { vote, since })]);
        let registered = (1..=registered).map(|n| id(&format!("m{n}"))).collect();
        let mut all = votes.iter().copied().map(ballots);
        let own = all.next().unwrap_or_default();
        let peer = |ballots| Peer { ballots, ..Peer::default() };
        let peers = (2..).map(|n| id(&format!("m{n}"))).zip(all.map(peer)).collect();
        let policy = Policy::default();
        let electorate =
            Electorate { me: &id("m1"), own: &own, peers: &peers, registered: &registered, policy: &policy };
        electorate.verdict(&node("a"), at(10_000))
    }

    #[test]
    fn a_quorum_of_the_registered_must_agree_the_dead_included() {
        let refused = (Vote::Refused, at(0));
        let up = (Vote::Up, at(0));
        assert_eq!(verdict(3, &[refused, refused]), Verdict::Down(Reason::Refused));
        assert_eq!(verdict(3, &[refused]), Verdict::Doubted, "two of three monitors are dead");
        assert_eq!(verdict(3, &[refused, up, up]), Verdict::Up, "only the leader is blind");
        assert_eq!(verdict(1, &[up, refused, refused]), Verdict::Up, "strangers have no vote");
        assert_eq!(verdict(3, &[up, (Vote::Unknown, at(0))]), Verdict::Unknown);
    }

    #[test]
    fn who_has_no_vote_counts_those_of_the_registered_alone() {
        let seen_by = |monitors: &[(&str, Vote)]| {
            let peer = |(name, vote): &(&str, Vote)| {
                let ballots = Ballots::from([(node("a"), Ballot { vote: *vote, since: at(0) })]);
                (id(name), Peer { ballots, ..Peer::default() })
            };
            let (monitors, registered) = (monitors.iter().map(peer).collect(), ["m1", "m2", "m3"].map(id));
            Verdict::of(&node("a"), &monitors, &registered.into(), &Policy::default(), at(10_000))
        };
        let (refused, up) = (Vote::Refused, Vote::Up);
        assert_eq!(seen_by(&[]), Verdict::Unknown);
        assert_eq!(seen_by(&[("m1", refused)]), Verdict::Doubted);
        assert_eq!(seen_by(&[("m1", refused), ("m3", refused)]), Verdict::Down(Reason::Refused));
        // The first by name has no vote itself.
        assert_eq!(seen_by(&[("a", refused), ("m3", refused)]), Verdict::Doubted);
        assert_eq!(seen_by(&[("a", refused), ("b", refused), ("m1", up), ("m2", up)]), Verdict::Up);
    }

    #[test]
    fn different_kinds_of_down_add_up_and_the_most_frequent_names_the_reason() {
        let votes = [(Vote::Silent, at(0)), (Vote::Refused, at(0)), (Vote::Silent, at(0))];
        assert_eq!(verdict(5, &votes), Verdict::Down(Reason::Silent));
    }

    #[test]
    fn unusable_counts_only_after_down_after() {
        assert_eq!(verdict(1, &[(Vote::Unusable, at(9_001))]), Verdict::Unknown);
        assert_eq!(verdict(1, &[(Vote::Unusable, at(9_000))]), Verdict::Down(Reason::Unusable));
    }

    fn replica(asked: Instant, link: Link, received: u64) -> BTreeMap<NodeAddr, Sighting> {
        let history = History { replid: ReplId("r".into()), offset: received, previous: None };
        let role = Role::Replica { of: Some(node("a")), link, received };
        BTreeMap::from([(
            node("b"),
            Sighting {
                asked,
                run: RunId("1".into()),
                role,
                history,
                guarded: false,
                good_replicas: 0,
                feeds: Vec::new(),
            },
        )])
    }

    fn witness(looks: &[BTreeMap<NodeAddr, Sighting>], now: Instant) -> Witness {
        let mut doubt = Doubt::new(at(0));
        for look in looks {
            doubt.look(look);
        }
        let own = Ballots::from([(node("b"), Ballot { vote: Vote::Up, since: at(0) })]);
        let last = looks.last().expect("a look");
        doubt.witness(&node("a"), &own, last, &Policy::default(), now)
    }

    #[test]
    fn a_replica_that_still_receives_is_a_witness() {
        let looks = [replica(at(10), Link::Up, 5), replica(at(500), Link::Up, 6)];
        assert_eq!(witness(&looks, at(1_000)), Witness::Speaks(node("b")));
        assert_eq!(witness(&looks, at(1_999)), Witness::Speaks(node("b")), "an idle master says little");
        assert_eq!(witness(&looks, at(2_000)), Witness::None, "what it heard long ago proves nothing");
    }

    #[test]
    fn a_replica_whose_link_broke_is_none_whatever_it_received_last() {
        let looks = [replica(at(10), Link::Up, 5), replica(at(20), Link::Down { seconds: 0 }, 6)];
        assert_eq!(witness(&looks, at(21)), Witness::None);
    }

    #[test]
    fn a_standing_link_is_given_until_down_after_to_show_growth() {
        let looks = [replica(at(10), Link::Up, 5)];
        assert_eq!(witness(&looks, at(11)), Witness::Awaited(at(1_000)));
        assert_eq!(witness(&looks, at(1_000)), Witness::None);
        let before = [replica(at(0), Link::Down { seconds: 0 }, 5)];
        assert_eq!(witness(&before, at(1)), Witness::Awaited(at(1_000)), "asked before the doubt began");
    }
}
