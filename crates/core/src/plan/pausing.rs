//! What a pause keeps a leader from, and what is recorded of that. How long it lasts is the decider's affair.

use super::{NOBODY, Planner};
use crate::diagnosis::{Diagnosis, diagnose};
use crate::topology::{Phase, Reason, Topology};
use crate::view::Role;

impl Planner<'_> {
    /// Whether a change of master for this reason is not begun, for the group is paused. One that was begun is
    /// finished, and a master that may have lost its memory is never left to its replicas.
    pub(super) fn is_withheld(&self, reason: Reason) -> bool {
        let begun = self.progress.frozen || self.progress.switch.is_some() || self.was_frozen();
        let begins = self.facts.record.phase == Phase::Steady && !begun;
        self.facts.paused && begins && reason != Reason::Restarted
    }

    /// Whether the master is as a freeze leaves it: then a change was begun, by this leader or an earlier one.
    pub(super) fn was_frozen(&self) -> bool {
        let seen = self.facts.fresh(&self.facts.record.master, None).map(|seen| &seen.role);
        let Some(Role::Replica { of: Some(of), .. }) = seen else { return false };
        of.host() == NOBODY.0 && of.port().to_string() == NOBODY.1
    }

    /// Notes that the master would be replaced now, once for each time that it is lost.
    pub(super) fn note_withheld(&self, seen: &mut Topology) {
        let Some(pause) = seen.pause.as_mut().filter(|_| self.facts.paused) else { return };
        match diagnose(self.facts) {
            Diagnosis::MasterLost(reason) if self.is_withheld(reason) => {
                pause.withheld.get_or_insert(reason);
            }
            Diagnosis::Healthy => pause.withheld = None,
            _ => {}
        }
    }
}
