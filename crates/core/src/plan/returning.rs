//! Nodes that were lost and may be back: what is remembered of them, and when they are worth a look at once. It
//! chooses nobody.

use super::Planner;
use crate::names::NodeAddr;
use crate::position::History;
use crate::topology::{Intent, Member, Topology};
use crate::view::{Role, Vote};

/// Notes in `published` what the master of `record` may hold, which `intent` has replaced.
///
/// It led, so it holds what the group wrote, like one that was seen to follow: also when it follows again where only
/// the new master sees it, and its bound is dropped for that.
pub(super) fn note_the_former(published: &mut Topology, record: &Topology, intent: &Intent) {
    published.synced.extend(record.master_run.iter().map(|run| (record.master.clone(), run.clone())));
    // What it holds beyond this is given up. A choice may have had a name that nobody recorded, and in which nothing
    // can be compared: then all that was before the new history counts as within the bound.
    let stood = History { replid: intent.replid.clone(), offset: intent.offset, previous: None };
    let is_known = record.lineages.locate(&stood).is_some();
    let current = published.lineages.current().filter(|_| !is_known);
    let name = current.map_or(stood.replid, |lineage| lineage.replid.clone());
    published.reached.insert(record.master.clone(), (name, intent.offset));
    published.reached.remove(&intent.node);
}

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

    /// Notes in `seen` how far the master had come when it fed a lost replica no more, until that is `OK` again or
    /// the master feeds it, or feeds somebody of whom it is not known who that is: a replica may follow though the
    /// monitors do not reach it. The master has gone on without it, whoever else follows.
    pub(super) fn remember_the_lost(&self, seen: &mut Topology) {
        let record = self.facts.record;
        let master = self.facts.fresh(&record.master, None);
        let Some(master) = master.filter(|it| record.master_run.as_ref() == Some(&it.run)) else { return };
        let Role::Master { replicas } = master.role else { return };
        let named = &master.feeds;
        let is_stranger = |node: &NodeAddr| !record.nodes().any(|member| member == node);
        let feeds_somebody = usize::try_from(replicas).map_or(true, |replicas| replicas > named.len());
        let feeds_others = feeds_somebody || named.iter().any(is_stranger);
        for Member { addr, ok } in &seen.members {
            let lost_since = self.facts.electorate.own.get(addr).map(|ballot| ballot.since);
            if *ok || feeds_others || named.contains(addr) {
                seen.reached.remove(addr);
            } else if seen.synced.contains_key(addr) && lost_since.is_some_and(|since| master.asked > since) {
                let history = &master.history;
                seen.reached.entry(addr.clone()).or_insert_with(|| (history.replid.clone(), history.offset));
                seen.left.insert(addr.clone());
            }
        }
    }

    /// Notes in `seen` who was seen to follow while that could not be recorded: it holds something of the group's, or
    /// more than the bound that is recorded of it.
    pub(super) fn remember_who_followed(&self, seen: &mut Topology) {
        for (node, copied) in self.facts.followed {
            seen.synced.entry(node.clone()).or_insert_with(|| copied.run.clone());
            seen.reached.remove(node);
        }
    }
}
