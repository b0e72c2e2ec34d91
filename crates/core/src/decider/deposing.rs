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
