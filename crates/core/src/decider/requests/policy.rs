//! What a leader does when an operator changes the group's policy: for all monitors at once, and not where the change
//! itself would cost the group its master or its failovers.

use super::Decider;
use crate::diagnosis::{Diagnosis, Facts, diagnose};
use crate::policy::Policy;
use crate::request::{Answer, RequestId};
use crate::step::Step;
use crate::time::Instant;
use crate::topology::Topology;
use crate::verdict::Electorate;

impl Decider {
    /// Records the policy `after`, if `before` is still the one that stands: what was shown is what is changed.
    pub(super) fn configure(
        &mut self,
        now: Instant,
        id: RequestId,
        (before, after): (&Policy, &Policy),
    ) -> Result<Option<Step>, Answer> {
        let Some(record) = self.steady_record()?.cloned() else { return Ok(None) };
        if record.policy == *after {
            return Err(Answer::Done("the group has this policy".into()));
        }
        if record.policy != *before {
            let hint = "look at it again (redis-failover config show)";
            return Err(Answer::Refused(format!(
                "the policy was changed by somebody else meanwhile: {hint}"
            )));
        }
        if self.changes_now(now) {
            return Ok(None);
        }
        let registered = record.monitors.len();
        let quorum = after.quorum_of(registered);
        if quorum > registered {
            return Err(Answer::Refused(format!(
                "{quorum} monitors would have to agree, and only {registered} are registered: there would be no \
                 failover"
            )));
        }
        let changed = Topology { policy: after.clone(), ..record };
        if self.loses_master(now, &changed) {
            return Err(Answer::Refused(format!(
                "by this policy {} would be found lost at once, as some monitors do not reach it now",
                changed.master
            )));
        }
        Ok(self.commit_as_asked(id, changed))
    }

    /// Whether the master is not lost now and would be by `changed`.
    fn loses_master(&self, now: Instant, changed: &Topology) -> bool {
        let Some(facts) = self.facts(now) else { return false };
        let electorate = Electorate { policy: &changed.policy, ..facts.electorate };
        let then = Facts { record: changed, electorate, ..facts };
        let is_lost = |facts: &Facts<'_>| {
            matches!(diagnose(facts), Diagnosis::MasterLost(_) | Diagnosis::AwaitingWitness(_))
        };
        is_lost(&then) && !is_lost(&facts)
    }
}
