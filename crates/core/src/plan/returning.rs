//! Nodes that were lost and may be back: what is remembered of them, and when they are worth a look at once. It
//! chooses nobody.

use super::Planner;
use crate::names::{NodeAddr, ReplId};
use crate::topology::Topology;
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

    /// Notes in `seen` how far the master had come when it fed a lost replica no more, until that is `OK` again.
    pub(super) fn remember_the_lost(&self, seen: &mut Topology) {
        for member in &seen.members {
            if member.ok {
                seen.reached.remove(&member.addr);
            } else if seen.synced.contains_key(&member.addr)
                && !seen.reached.contains_key(&member.addr)
                && let Some(stood) = self.master_without(&member.addr, seen)
            {
                seen.reached.insert(member.addr.clone(), stood);
            }
        }
    }

    /// Where the master stood after it had lost `node`: it feeds no more replicas than are in order.
    fn master_without(&self, node: &NodeAddr, seen: &Topology) -> Option<(ReplId, u64)> {
        let record = self.facts.record;
        let lost_since = self.facts.electorate.own.get(node)?.since;
        let master = self.facts.fresh(&record.master, Some(lost_since))?;
        let Role::Master { replicas } = master.role else { return None };
        let in_order = seen.members.iter().filter(|member| member.ok && member.addr != record.master).count();
        let alone = usize::try_from(replicas).is_ok_and(|replicas| replicas <= in_order);
        let same_run = record.master_run.as_ref() == Some(&master.run);
        (alone && same_run).then(|| (master.history.replid.clone(), master.history.offset))
    }
}
