//! Nodes that were lost and may be back: what is remembered of them, and when they are worth a look at once. It
//! chooses nobody.

use super::Planner;
use crate::names::NodeAddr;
use crate::topology::{Member, Topology};
use crate::view::{Role, Vote};

impl Planner<'_> {
    /// Whether a node answers in a run that was not frozen yet.
    ///
    /// A master that is back from the dead fills its replicas with what it has left as soon as they are back, too: it
    /// is not given the time of a rest.
    pub(super) fn somebody_is_back(&self) -> bool {
        let new = |node: &NodeAddr| {
            let up = self.facts.electorate.own.get(node).is_some_and(|ballot| ballot.vote == Vote::Up);
            let run = self.facts.sightings.get(node).map(|sighting| &sighting.run);
            up && run.is_some() && run != self.progress.tried.get(node)
        };
        self.facts.record.nodes().any(new)
    }

    /// Notes in `seen` how far the master had come when it fed a lost replica no more, until that is `OK` again, or the
    /// master feeds somebody who is not: a replica may follow though the monitors do not reach it.
    pub(super) fn remember_the_lost(&self, seen: &mut Topology) {
        let record = self.facts.record;
        let master = self.facts.fresh(&record.master, None);
        let Some(master) = master.filter(|it| record.master_run.as_ref() == Some(&it.run)) else { return };
        let Role::Master { replicas } = master.role else { return };
        let in_order = seen.members.iter().filter(|member| member.ok && member.addr != record.master).count();
        let feeds_others = usize::try_from(replicas).is_ok_and(|replicas| replicas > in_order);
        for Member { addr, ok } in &seen.members {
            let lost_since = self.facts.electorate.own.get(addr).map(|ballot| ballot.since);
            if *ok || feeds_others {
                seen.reached.remove(addr);
            } else if seen.synced.contains_key(addr) && lost_since.is_some_and(|since| master.asked > since) {
                let history = &master.history;
                seen.reached.entry(addr.clone()).or_insert_with(|| (history.replid.clone(), history.offset));
            }
        }
    }
}
