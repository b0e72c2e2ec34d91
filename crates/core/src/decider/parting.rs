//! A monitor that leaves its group for good. It decides what is left to do, and nothing else any more.

use std::collections::BTreeSet;

use super::Decider;
use crate::event::Leadership;
use crate::names::{MonitorId, NodeAddr};
use crate::plan::{Next, has_parted, part};
use crate::step::{Outcome, Step};
use crate::time::Instant;

impl Decider {
    /// Whether a monitor that was told that it leaves has nothing left to do: others look after the group, or nothing
    /// needs to be looked after.
    ///
    /// One that is the last and does not lead has to wait until it does: who leads now may be about to leave, too.
    pub fn has_parted(&self, now: Instant) -> bool {
        let Some(others) = &self.leaving else { return false };
        // Who cannot read the record never leads.
        !others.is_empty() || self.unreadable || self.left_in_order(now)
    }

    /// Whether nothing is left to do in a group that this monitor, the last, leaves.
    pub fn left_in_order(&self, now: Instant) -> bool {
        let in_order = self.facts(now).is_none_or(|facts| {
            let leads = matches!(self.leadership, Leadership::Leading(_)) && !self.must_read;
            has_parted(&facts, &self.progress, leads)
        });
        // What was read before may be what another has replaced since: also that there was nothing. And what is under
        // way may begin a change.
        let is_known = self.read.is_some() && !self.must_read && self.in_flight.is_none();
        is_known && !self.unreadable && in_order
    }

    /// Takes in that this monitor leaves, and who stays.
    pub(super) fn leave(&mut self, others: BTreeSet<MonitorId>) {
        self.leaving = Some(others);
        // What was set before may not stand in the master's file, and nobody sets it again after a restart.
        self.progress.fence = None;
    }

    /// Nodes were asked to write their files. Who stays does not ask again: the group is seen to after a restart, too.
    /// Who leaves asks the master until it has done it.
    pub(super) fn persisted(&mut self, now: Instant, nodes: Vec<NodeAddr>, outcome: &Outcome) {
        let done = |node: &NodeAddr| matches!(outcome, Outcome::Done(done) if done.contains(node));
        let master = self.record().map(|record| record.master.clone()).filter(|_| self.leaving.is_some());
        let missing = master.filter(|master| nodes.contains(master) && !done(master));
        for node in nodes {
            self.progress.unsaved.remove(&node);
        }
        if let Some(master) = missing {
            self.progress.unsaved.insert(master);
            self.rest(now);
        }
    }

    /// The next step of a monitor that leaves.
    pub(super) fn next_parting_step(&mut self, now: Instant) -> Option<Step> {
        if self.loss.is_some() || self.has_parted(now) {
            return None;
        }
        let version = self.read.as_ref().map(|read| read.version).unwrap_or_default();
        match part(&self.facts(now)?, version, &self.progress) {
            Next::Do(step) => Some(step),
            Next::Wait(until) => {
                self.wake = until;
                None
            }
            Next::Stuck(ranking) => {
                self.stuck = Some(ranking);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::names::Term;
    use crate::policy::Policy;
    use crate::topology::{Found, Version, Versioned};

    const NOW: Instant = Instant::from_millis(1_000);

    #[test]
    fn that_there_was_no_record_before_the_lead_is_no_order() {
        let nothing = || Versioned { version: Version::default(), found: Found::Nothing };
        let me = "m1".parse().expect("an id");
        let mut decider = Decider::new(me, vec![NodeAddr::new("a", 1)], Policy::default(), NOW);
        decider.handle(NOW, Event::TopologyRead(nothing()));
        // Another founds the group meanwhile, and leaves it.
        decider.handle(NOW, Event::Leadership(Leadership::Leading(Term(2))));
        decider.handle(NOW, Event::Leaving(BTreeSet::new()));
        assert!(!decider.has_parted(NOW) && !decider.left_in_order(NOW));
        decider.handle(NOW, Event::TopologyRead(nothing()));
        assert!(decider.has_parted(NOW) && decider.left_in_order(NOW));
    }
}
