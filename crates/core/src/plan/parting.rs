//! What the last monitor of a group does before it leaves that for good: nobody will look after the fence any more, so
//! the master gets its operator's number back. It begins no change of master.

use super::{Next, Planner, TELL_AGAIN};
use crate::policy::Fencing;
use crate::step::{Purpose, Step};
use crate::topology::{Phase, Topology};

impl Planner<'_> {
    /// The next step of a leader that is the last monitor of its group and leaves it.
    pub(super) fn part(&self) -> Next {
        let record = self.facts.record;
        if let Phase::FailingOver(change) = &record.phase {
            // A group is not left in the middle of a change, if it can be helped.
            return self.finish(change);
        }
        if let Some(switch) = &self.progress.switch {
            // The master has given up its role, or holds writes for nothing and goes on.
            return self.switch(switch);
        }
        if !self.sees_master() {
            return Next::Wait(None);
        }
        if self.fences() && self.let_go_of_all() != *record {
            return Next::Do(self.commit(self.let_go_of_all(), Purpose::Refresh));
        }
        // A master that is still closed is opened, with its operator's number.
        if let Some(open) = self.open() {
            return Next::Do(open);
        }
        if self.opened().is_none() {
            // It could not be: what follows would write that it is closed into its file.
            return Next::Wait(self.progress.rest_until);
        }
        // Before others are seen to, which may take its time: who is lost meanwhile must not close it.
        if let Some(next) = self.give_back() {
            return next;
        }
        if let (Some(step), _) = self.gather() {
            return Next::Do(step);
        }
        // The master's file may have been written while it was fenced.
        let resting = self.progress.rest_until.filter(|until| *until > self.facts.now);
        if !self.progress.unsaved.is_empty() && resting.is_none() {
            return Next::Do(Step::Persist { nodes: self.progress.unsaved.iter().cloned().collect() });
        }
        Next::Wait(resting)
    }

    /// Sets the master's number to that of its operator, again and again until that is done.
    fn give_back(&self) -> Option<Next> {
        let record = self.facts.record;
        let run = record.master_run.clone().filter(|_| self.fences() && !self.is_let_go())?;
        let tried = self.progress.fence.as_ref().filter(|fence| fence.run == run && !fence.done);
        let again = tried.filter(|fence| fence.number == 0).map(|fence| fence.at + TELL_AGAIN);
        Some(match again.filter(|again| *again > self.facts.now) {
            Some(again) => Next::Wait(Some(again)),
            None => Next::Do(Step::Fence { node: record.master.clone(), run, number: 0 }),
        })
    }

    /// Whether there is nothing left to do: who `leads` has seen to it that the master takes writes, that the others
    /// follow it, that its fence is down, and that the files know. Without a fence who does not lead may go.
    pub(super) fn has_parted(&self, leads: bool) -> bool {
        let record = self.facts.record;
        if !leads {
            return !self.fences();
        }
        let let_go = !self.fences() || (self.is_let_go() && self.let_go_of_all() == *record);
        let changes = record.phase != Phase::Steady || self.progress.switch.is_some();
        let settled = !changes && self.opened().is_some() && let_go;
        settled && self.gather().0.is_none() && self.progress.unsaved.is_empty()
    }

    /// Whether the group's masters are fenced, and not by a number of their operator's.
    pub(super) fn fences(&self) -> bool {
        let record = self.facts.record;
        record.policy.fencing() != Fencing::Off && record.min_replicas_to_write == 0
    }

    /// Whether this leader has set the recorded master's number to that of its operator.
    fn is_let_go(&self) -> bool {
        let run = self.facts.record.master_run.as_ref();
        self.progress.fence.as_ref().is_some_and(|it| Some(&it.run) == run && it.number == 0 && it.done)
    }

    /// The record of a master that goes on with nobody to see which replica it does so without.
    fn let_go_of_all(&self) -> Topology {
        let mut parted = self.facts.record.clone();
        parted.fenced = false;
        self.remember_who_followed(&mut parted);
        self.leave_behind(&mut parted);
        parted
    }
}
