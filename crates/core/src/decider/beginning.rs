//! The way to the first record of a group. Nothing is frozen on it: what nodes say is no evidence for anything else.

use super::Decider;
use crate::names::NodeAddr;
use crate::policy::Policy;
use crate::step::Step;
use crate::time::Instant;
use crate::topology::Found;
use crate::view::Vote;

impl Decider {
    /// Replaces what seeds a group that has no record yet; a group that has one is not touched.
    pub fn seed(&mut self, configured: Vec<NodeAddr>, policy: Policy) {
        (self.configured, self.policy) = (configured, policy);
        if self.record().is_none() {
            // What other nodes said names no master among these.
            self.forget();
        }
    }

    /// The way to the first record of a group: adopt the predecessor's, or look at all nodes and name a master.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Step> {
        let read = self.read.as_ref()?;
        let founding = self.founding(&self.progress.evidence);
        if let Found::Predecessor { master, replicas } = &read.found {
            return Some(founding.adopt(read.version, master, replicas));
        }
        if let Some(until) = self.progress.rest_until.filter(|until| *until > now) {
            self.wake = Some(until);
            return None;
        }
        if !self.progress.frozen {
            let ballots = &self.observation.ballots;
            let unheard = |node| ballots.get(node).is_none_or(|ballot| ballot.vote == Vote::Unknown);
            // Every node was heard of once, or had a little time.
            let patience = self.record_since + self.policy.down_after();
            if self.configured.iter().any(unheard) && now < patience {
                self.wake = Some(patience);
                return None;
            }
            return Some(Step::Look { nodes: self.configured.clone() });
        }
        match founding.found(read.version) {
            Ok(step) => Some(step),
            Err(refusal) => {
                self.refusal = Some(refusal);
                self.rest(now);
                None
            }
        }
    }
}
