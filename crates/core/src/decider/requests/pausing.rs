//! What a leader does when an operator pauses the group or resumes it. A change of master that was begun, or is due, is
//! finished first.

use std::time::Duration;

use super::Decider;
use crate::diagnosis::{Diagnosis, diagnose};
use crate::pause::Pause;
use crate::plan::is_withheld;
use crate::request::{Answer, RequestId};
use crate::step::Step;
use crate::time::Instant;
use crate::topology::Topology;

/// What an operator says who pauses: who, why, and for how long.
pub(super) type Said<'a> = (&'a str, &'a str, Option<Duration>);

impl Decider {
    /// Records the pause, in the place of one that stands.
    pub(super) fn pause_group(
        &mut self,
        now: Instant,
        id: RequestId,
        (by, reason, lasts): Said<'_>,
    ) -> Result<Option<Step>, Answer> {
        let Some(record) = self.steady_record()?.cloned() else { return Ok(None) };
        if self.changes_now(now) {
            return Ok(None);
        }
        // What an attempt that came to nothing has frozen is no beginning of another one.
        self.progress.frozen = false;
        // What is known to be withheld is so still.
        let withheld = record.pause.as_ref().and_then(|pause| pause.withheld);
        let (by, reason, since) = (by.to_owned(), reason.to_owned(), self.wall_clock(now));
        let pause = Some(Pause { by, reason, lasts, since, withheld });
        Ok(self.commit_as_asked(id, Topology { pause, ..record }))
    }

    /// Whether a change of master is being prepared, or is due and waits for nothing.
    pub(super) fn changes_now(&self, now: Instant) -> bool {
        let Some(facts) = self.facts(now) else { return false };
        let withheld = is_withheld(&facts, &self.progress);
        let waits = withheld || facts.postponed_until.is_some() || self.stuck.is_some();
        matches!(diagnose(&facts), Diagnosis::MasterLost(_)) && (self.progress.frozen || !waits)
    }

    /// Strikes the pause out.
    pub(super) fn resume_group(&mut self, id: RequestId) -> Result<Option<Step>, Answer> {
        let Some(record) = self.steady_record()?.cloned() else { return Ok(None) };
        if record.pause.is_none() {
            return Err(Answer::Refused("the group is not paused".into()));
        }
        Ok(self.commit_as_asked(id, Topology { pause: None, ..record }))
    }

    /// While a pause stands no change of master is begun for an operator, either.
    pub(super) fn refuse_while_paused(&self, now: Instant) -> Result<(), Answer> {
        let withheld = self.facts(now).is_some_and(|facts| is_withheld(&facts, &self.progress));
        match self.paused(now).filter(|_| withheld) {
            Some(pause) => Err(Answer::Refused(format!("{pause} (redis-failover resume)"))),
            None => Ok(()),
        }
    }
}
