//! The published master's `min-replicas-to-write`: 1 while a replica follows it, so that a master that is cut off
//! closes by itself; its operator's own number, usually 0, while none does. It changes no master.
//!
//! What is to be set is recorded before it is set: a leader that finds a master which was let go on alone knows which
//! replicas it went on without.

use std::time::Duration;

use super::{Planner, TELL_AGAIN};
use crate::names::NodeAddr;
use crate::policy::Fencing;
use crate::step::Step;
use crate::topology::{Phase, Topology};
use crate::view::Role;

/// How long a replica may have acknowledged nothing to be one that follows, in whole seconds
/// (`min-replicas-max-lag`).
///
/// Replicas acknowledge once a second, and Redis counts whole seconds: with 1 a moment's delay closes a healthy master.
pub const MAX_LAG: Duration = Duration::from_secs(2);

impl Planner<'_> {
    /// Notes in `seen` whether the master takes writes only while a replica follows it, and whom it goes on without.
    pub(super) fn fence_or_let_go(&self, seen: &mut Topology) {
        let record = self.facts.record;
        // An operator's own number is a fence that nobody lets down.
        if record.policy.fencing() == Fencing::Off || record.min_replicas_to_write > 0 {
            seen.fenced = false;
            seen.left.clear();
            return;
        }
        let is_master = |role: &Role| matches!(role, Role::Master { .. });
        let master = self.facts.fresh(&record.master, None).filter(|it| is_master(&it.role));
        let Some(master) = master.filter(|it| record.master_run.as_ref() == Some(&it.run)) else { return };
        if record.phase != Phase::Steady {
            return;
        }
        let follows = |node: &NodeAddr| self.facts.fresh(node, None).filter(|it| self.holds_a_copy(it));
        // A link that is up proves nothing: what was read of the master first must be there.
        let in_step = |node: &NodeAddr| {
            follows(node)
                .is_some_and(|it| it.asked > master.asked && it.history.offset >= master.history.offset)
        };
        seen.left.retain(|node| !in_step(node));
        if record.fenced && master.good_replicas == 0 {
            // The master itself counts, and takes no write until it is let go on.
            seen.fenced = false;
            let replicas = record.nodes().filter(|node| **node != record.master);
            seen.left.extend(replicas.filter(|node| record.synced.contains_key(*node)).cloned());
        } else if !record.fenced && master.good_replicas > 0 {
            let mut members = seen.members.iter().filter(|member| member.addr != record.master);
            seen.fenced = members.any(|member| member.ok && follows(&member.addr).is_some());
        }
    }

    /// Lets a master go on that takes no write because it has lost its last replica: nothing else is as urgent.
    pub(super) fn let_go(&self) -> Option<Step> {
        let lets_go = |step: &Step| matches!(step, Step::Commit { record, .. } if !record.fenced);
        self.refresh().filter(lets_go).filter(|_| self.facts.record.fenced)
    }

    /// Sets the number that is recorded, once in a term and after each change of it, and again, ever more rarely, where
    /// the master is seen to have another.
    pub(super) fn set_fence(&self) -> Option<Step> {
        let (record, now) = (self.facts.record, self.facts.now);
        let run = record.master_run.clone().filter(|_| record.policy.fencing() != Fencing::Off)?;
        self.opened()?;
        let number = record.number();
        let seen = |since| self.facts.fresh(&record.master, since);
        let Some(set) = self.progress.fence.as_ref().filter(|fence| fence.run == run) else {
            let guarded = seen(None).is_some_and(|it| it.guarded);
            return (number > 0 || guarded).then(|| Step::Fence { node: record.master.clone(), run, number });
        };
        let rest = TELL_AGAIN.saturating_mul(1 << set.times.min(6));
        let other = set.number.is_none() || seen(Some(set.at)).is_some_and(|it| it.guarded != (number > 0));
        let due = set.number.is_some_and(|before| before != number) || (other && now.since(set.at) >= rest);
        due.then(|| Step::Fence { node: record.master.clone(), run, number })
    }
}
