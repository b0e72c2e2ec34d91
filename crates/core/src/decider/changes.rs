//! How often the master changed lately, and until when the next failover therefore waits. It begins none.
//!
//! Each monitor counts what it saw published itself: nothing is written for it, and a monitor that was restarted begins
//! anew.

use super::Decider;
use super::reading::steady_epoch;
use crate::diagnosis::{Diagnosis, Facts, diagnose};
use crate::policy::FLAPPING_WINDOW;
use crate::time::Instant;
use crate::topology::{Change, Found, Phase, Reason, Topology};

/// So many failovers within the window are hurried.
const HURRIED: usize = 2;

impl Decider {
    /// Notes that another master is published, if that is what is new.
    pub(super) fn count_change(&mut self, now: Instant, found: &Found) {
        let known = self.settled;
        let Some(epoch) = steady_epoch(found) else { return };
        self.settled = Some(epoch);
        let by_an_operator = self.record().is_some_and(|before| {
            let asked = |it: &Change| matches!(it.reason, Reason::Switchover | Reason::Ordered);
            matches!(&before.phase, Phase::FailingOver(it) if asked(it) && before.epoch == epoch)
        });
        if by_an_operator {
            return;
        }
        if known.is_some_and(|known| known < epoch) {
            self.changes.retain(|change| now.since(*change) < FLAPPING_WINDOW);
            self.changes.push(now);
        }
    }

    /// Keeps since when the master is lost.
    pub(super) fn follow_loss(&mut self, now: Instant) {
        let lost = self.facts(now).is_some_and(|facts| matches!(diagnose(&facts), Diagnosis::MasterLost(_)));
        self.lost_since = lost.then(|| self.lost_since.unwrap_or(now));
    }

    /// Until when a failover that is due now waits; `None` where nobody needs to wait.
    pub(super) fn postponed_until(&self, now: Instant, record: &Topology) -> Option<Instant> {
        if self.is_hurried(record.epoch) {
            return None;
        }
        let lately = self.changes.iter().filter(|change| now.since(**change) < FLAPPING_WINDOW).count();
        let since = self.lost_since.filter(|_| lately >= HURRIED)?;
        Some(since + record.policy.third_failover_waits()).filter(|until| *until > now)
    }
}

/// Until when the failover that `facts` ask for waits.
pub(super) fn postponed(facts: &Facts<'_>) -> Option<Instant> {
    match diagnose(facts) {
        Diagnosis::MasterLost(reason) if reason != Reason::Restarted => facts.postponed_until,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decider::requests::Hurried;
    use crate::names::{Epoch, NodeAddr};
    use crate::policy::Policy;
    use crate::request::{Failover, Request, RequestId};
    use crate::topology::{Member, Version, Versioned};

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1_000_000 + seconds * 1_000)
    }

    /// Sees these epochs published at these seconds.
    fn decider(published: &[(u64, u64)]) -> Decider {
        let node = NodeAddr::new("a", 1);
        let mut decider =
            Decider::new("m".parse().expect("an id"), vec![node.clone()], Policy::default(), at(0));
        for (order, (second, epoch)) in (1..).zip(published) {
            let record = Topology {
                members: vec![Member { addr: node.clone(), ok: true }],
                lineages: crate::position::Lineages::default(),
                ..Topology::new(Epoch(*epoch), node.clone(), Policy::default())
            };
            let version = Version { order, document: 0, state: Some(0) };
            decider.read(at(*second), Versioned { version, found: Found::Record(Box::new(record)) });
        }
        decider
    }

    #[test]
    fn the_third_failover_waits_and_what_is_ten_minutes_old_counts_no_more() {
        let postponed = |published: &[(u64, u64)], lost: u64| {
            let mut decider = decider(published);
            decider.lost_since = Some(at(lost));
            decider.postponed_until(at(lost), decider.record().expect("it was read"))
        };
        assert_eq!(postponed(&[(0, 1), (10, 2)], 20), None, "the second");
        assert_eq!(postponed(&[(0, 1), (10, 2), (20, 3)], 30), Some(at(90)));
        assert_eq!(postponed(&[(0, 1), (10, 2), (20, 2), (30, 2)], 40), None, "one epoch seen again");
        assert_eq!(postponed(&[(0, 7), (10, 9)], 40), None, "epochs that had no master count no change");
        assert_eq!(postponed(&[(0, 1), (10, 2), (20, 3)], 609), Some(at(669)));
        assert_eq!(postponed(&[(0, 1), (10, 2), (20, 3)], 610), None);
    }

    #[test]
    fn the_minute_counts_from_when_the_master_was_lost() {
        let mut decider = decider(&[(0, 1), (10, 2), (20, 3)]);
        decider.lost_since = Some(at(30));
        let record = decider.record().expect("it was read").clone();
        assert_eq!(decider.postponed_until(at(89), &record), Some(at(90)));
        assert_eq!(decider.postponed_until(at(90), &record), None);
        let policy = Policy::default().with_third_failover_waiting(Duration::ZERO);
        assert_eq!(decider.postponed_until(at(30), &Topology { policy, ..record }), None);
    }

    #[test]
    fn an_operator_hurries_the_failover_of_one_epoch_and_for_as_long_as_the_request_stands() {
        let mut decider = decider(&[(0, 1), (10, 2), (20, 3)]);
        decider.lost_since = Some(at(30));
        let record = decider.record().expect("it was read").clone();
        let hurried = Hurried { by: RequestId(7), epoch: Epoch(3), ordered: false };
        decider.asked.hurried = Some(hurried);
        assert_eq!(decider.postponed_until(at(31), &record), Some(at(90)), "it was withdrawn");
        decider.requests = [(RequestId(7), Request::Failover(Failover::default()))].into();
        assert_eq!(decider.postponed_until(at(31), &record), None);
        let next = Topology { epoch: Epoch(4), ..record };
        assert_eq!(decider.postponed_until(at(31), &next), Some(at(90)));
    }
}
