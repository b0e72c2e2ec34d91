//! The published master's `min-replicas-to-write`: 1 while a replica follows it, so that a master that is cut off
//! closes by itself; its operator's own number, usually 0, while none does. It changes no master.
//!
//! What is to be set is recorded before it is set: a leader that finds a master which was let go on alone knows which
//! replicas it went on without.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Fence, Planner, TELL_AGAIN};
use crate::names::NodeAddr;
use crate::policy::Fencing;
use crate::step::Step;
use crate::time::Instant;
use crate::topology::{Member, Phase, Topology};
use crate::view::{Role, Vote};

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
            seen.fenced = self.takes_down();
            seen.left.clear();
            return;
        }
        let is_master = |role: &Role| matches!(role, Role::Master { .. });
        let master = self.facts.fresh(&record.master, None).filter(|it| is_master(&it.role));
        let Some(master) = master.filter(|it| record.master_run.as_ref() == Some(&it.run)) else { return };
        if record.phase != Phase::Steady {
            return;
        }
        let follows_well = |member: &Member| {
            let stays = seen.left.contains(&member.addr) && !self.is_in_step(&member.addr);
            member.addr != record.master && member.ok && !stays && self.follows(&member.addr)
        };
        if record.fenced && master.good_replicas == 0 {
            // The master itself counts, and takes no write until it is let go on.
            seen.fenced = false;
            self.leave_behind(seen);
        } else if !record.fenced && master.good_replicas > 0 {
            seen.fenced = seen.members.iter().any(follows_well);
        }
        let told = self.progress.fence.as_ref().filter(|it| record.master_run.as_ref() == Some(&it.run));
        if seen.fenced && told.is_some_and(|it| it.number > 0 && it.done) {
            // Not before, also not when that is only recorded, or told and not heard: a master that is not fenced goes
            // on without who is in step as soon as their link breaks.
            seen.left.retain(|node| !self.is_in_step(node));
        }
    }

    /// Whether the policy is that nothing is fenced any more, and the master still is: until it was told otherwise the
    /// record says so, for whoever leads next.
    fn takes_down(&self) -> bool {
        let record = self.facts.record;
        let told =
            |fence: &Fence| fence.number == 0 && fence.done && record.master_run.as_ref() == Some(&fence.run);
        let off = record.policy.fencing() == Fencing::Off && record.min_replicas_to_write == 0;
        off && record.fenced && !self.progress.fence.as_ref().is_some_and(told)
    }

    /// Notes in `seen` that the master goes on without any of the replicas, also of those that followed first just now.
    pub(super) fn leave_behind(&self, seen: &mut Topology) {
        let record = self.facts.record;
        let replicas = record.nodes().filter(|node| **node != record.master);
        seen.left.extend(replicas.filter(|node| seen.synced.contains_key(*node)).cloned());
    }

    /// Notes in `published` that the new master goes on without who held something of the group's and is not there.
    pub(super) fn leave_the_absent(&self, published: &mut Topology) {
        let record = self.facts.record;
        let is_absent = |node: &&NodeAddr| {
            let own = self.facts.electorate.own.get(*node).map(|ballot| ballot.vote);
            let fails = own.is_some_and(|vote| !matches!(vote, Vote::Up | Vote::Unknown));
            fails && !self.progress.evidence.contains_key(*node) && published.synced.contains_key(*node)
        };
        let absent: Vec<_> = record.nodes().filter(is_absent).cloned().collect();
        published.left.extend(absent);
    }

    /// How far the master was when each replica that was left behind was first seen to follow it again: who is there is
    /// in step. A link that is up proves nothing, and a bar that moved with the master might never be reached.
    pub(super) fn bars(&self) -> BTreeMap<NodeAddr, (Instant, u64)> {
        let record = self.facts.record;
        let master = self.facts.fresh(&record.master, None).filter(|it| it.role.is_master());
        let Some(master) = master.filter(|it| record.master_run.as_ref() == Some(&it.run)) else {
            return self.progress.bars.clone();
        };
        if master.good_replicas == 0 {
            // Whoever stands where it stands has only not missed anything yet.
            return BTreeMap::new();
        }
        let bar = |node: &NodeAddr| {
            let bar = self.progress.bars.get(node).copied();
            (node.clone(), bar.unwrap_or((master.asked, master.history.offset)))
        };
        record.left.iter().filter(|node| self.follows_since_it_answers(node)).map(bar).collect()
    }

    fn is_in_step(&self, node: &NodeAddr) -> bool {
        let Some((asked, offset)) = self.progress.bars.get(node) else { return false };
        let seen = self.facts.fresh(node, Some(*asked)).filter(|it| self.holds_a_copy(it));
        seen.is_some_and(|it| it.history.offset >= *offset)
    }

    /// What it said before it was lost says nothing of what it follows now.
    fn follows_since_it_answers(&self, node: &NodeAddr) -> bool {
        let up = self.facts.electorate.own.get(node).filter(|ballot| ballot.vote == Vote::Up);
        let asked = self.facts.fresh(node, None).map(|it| it.asked);
        up.zip(asked).is_some_and(|(ballot, asked)| asked >= ballot.since) && self.follows(node)
    }

    fn follows(&self, node: &NodeAddr) -> bool {
        self.facts.fresh(node, None).is_some_and(|it| self.holds_a_copy(it))
    }

    /// Whether this step lets a master go on that takes no write because it has lost its last replica: nothing else is
    /// as urgent.
    pub(super) fn lets_go(&self, step: &Step) -> bool {
        self.facts.record.fenced && matches!(step, Step::Commit { record, .. } if !record.fenced)
    }

    /// Sets the number that is recorded, once in a term and after each change of it, and again, ever more rarely, where
    /// the master is seen to have another.
    pub(super) fn set_fence(&self) -> Option<Step> {
        let (record, now) = (self.facts.record, self.facts.now);
        // An operator's own number is his to change.
        let takes_down = self.takes_down();
        let own = record.policy.fencing() == Fencing::Off || record.min_replicas_to_write > 0;
        let run = record.master_run.clone().filter(|_| takes_down || !own)?;
        self.opened()?;
        let number = if takes_down { 0 } else { record.number() };
        let seen = |since| self.facts.fresh(&record.master, since);
        let Some(set) = self.progress.fence.as_ref().filter(|fence| fence.run == run) else {
            let guarded = seen(None).is_some_and(|it| it.guarded);
            return (number > 0 || guarded || takes_down).then(|| Step::Fence {
                node: record.master.clone(),
                run,
                number,
            });
        };
        let rest = TELL_AGAIN.saturating_mul(1 << set.times.min(6));
        let other = !set.done || seen(Some(set.at)).is_some_and(|it| it.guarded != (number > 0));
        let due = set.number != number || (other && now.since(set.at) >= rest);
        due.then(|| Step::Fence { node: record.master.clone(), run, number })
    }
}
