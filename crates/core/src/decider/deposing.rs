//! The one thing that a monitor does which does not lead: it removes the lock of a leader that is gone.

use std::time::Duration;

use super::Decider;
use crate::lead::is_gone;
use crate::step::{Action, Step};
use crate::time::Instant;

/// How long after an attempt to remove a leader's lock the next one is made, where the lock still stands. The store is
/// away then: whoever it was has no session either, or not for long.
const DEPOSE_AGAIN: Duration = Duration::from_secs(2);

impl Decider {
    /// The removal of a leader's lock that stands though a quorum found the leader gone.
    pub(super) fn depose(&mut self, now: Instant) -> Option<Action> {
        let own = self.lead?;
        let record = self.record()?;
        // Whose votes count stands in the record.
        let known = !self.unreadable && self.loss.is_none();
        let idle = known && self.in_flight.is_none() && self.leaving.is_none();
        if !idle || !is_gone(&own, &self.me, &self.peers, &record.monitors, &record.policy) {
            return None;
        }
        let again = self.deposed.filter(|(term, _)| *term == own.term).map(|(_, at)| at + DEPOSE_AGAIN);
        if let Some(at) = again.filter(|at| *at > now) {
            self.wake = Some(at);
            return None;
        }
        self.deposed = Some((own.term, now));
        Some(self.begun(own.term, Step::Depose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::names::{Epoch, MonitorId, NodeAddr, ReplId, Term};
    use crate::policy::Policy;
    use crate::position::{Lineage, Lineages};
    use crate::step::Outcome;
    use crate::topology::{Found, Member, Topology, Version, Versioned};
    use crate::view::{Ballot, LeadBallot, Peer, Vote};

    const LOST: LeadBallot = LeadBallot {
        term: Term(7),
        ballot: Ballot { vote: Vote::Refused, since: Instant::from_millis(900) },
    };

    fn id(name: &str) -> MonitorId {
        name.parse().expect("an id")
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000 + millis)
    }

    /// m2 of a group of three monitors, in which it and m3 find m1 gone, which leads.
    fn follower() -> Decider {
        let lineage = Lineage { replid: ReplId("r".into()), epoch: Epoch(1), start: 0, parent: None };
        let record = Topology {
            members: vec![Member { addr: NodeAddr::new("a", 1), ok: true }],
            lineages: Lineages::new(vec![lineage]),
            monitors: ["m1", "m2", "m3"].map(id).into(),
            ..Topology::new(Epoch(1), NodeAddr::new("a", 1), Policy::default())
        };
        let mut decider = Decider::new(id("m2"), Vec::new(), Policy::default(), at(0));
        let version = Version { order: 1, document: 1, state: Some(1) };
        let read = Versioned { version, found: Found::Record(Box::new(record)) };
        decider.handle(at(0), Event::TopologyRead(read));
        let peer = Peer { lead: Some(LOST), ..Peer::default() };
        decider.handle(at(0), Event::ReportsRead([(id("m3"), peer)].into()));
        decider.handle(at(0), Event::LeaderWatched(Some(LOST)));
        decider
    }

    fn deposes(decider: &mut Decider, now: Instant) -> Option<Action> {
        decider.poll_action(now).inspect(|action| assert_eq!(action.step, Step::Depose))
    }

    #[test]
    fn a_lock_that_still_stands_is_removed_again_after_a_rest() {
        let mut decider = follower();
        let action = deposes(&mut decider, at(1)).expect("m1 is gone");
        assert_eq!(action.term, Term(7), "its term");
        assert_eq!(deposes(&mut decider, at(5_000)), None, "one at a time");
        decider.handle(at(5_000), Event::Finished(action.id, Outcome::NotDeposed));
        let again = deposes(&mut decider, at(5_000)).expect("the rest is over");
        decider.handle(at(5_001), Event::Finished(again.id, Outcome::NotDeposed));
        assert_eq!(deposes(&mut decider, at(5_001)), None);
        assert_eq!(decider.poll_timeout(), Some(at(5_000) + DEPOSE_AGAIN));
    }

    #[test]
    fn who_cannot_read_the_record_or_leaves_the_group_deposes_nobody() {
        let mut unreadable = follower();
        unreadable.handle(at(0), Event::TopologyUnreadable);
        assert_eq!(deposes(&mut unreadable, at(1)), None);
        let mut leaving = follower();
        leaving.handle(at(0), Event::Leaving([id("m3")].into()));
        assert_eq!(deposes(&mut leaving, at(1)), None);
    }
}
