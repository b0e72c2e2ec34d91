//! Who was seen to hold a copy of the group's data before that was recorded. It records nothing.

use super::Decider;
use super::chronicle::receives;
use crate::diagnosis::Facts;
use crate::names::{NodeAddr, ReplId, RunId};
use crate::time::Instant;
use crate::view::Vote;

impl Decider {
    /// Remembers who was seen to follow and is not recorded to have followed ever: nobody leads, or the store is away.
    ///
    /// Where that is lost before it is recorded, the record says that it holds nothing.
    pub(super) fn follow_copies(&mut self, now: Instant) {
        let mut followed = std::mem::take(&mut self.followed);
        if let Some(facts) = self.facts(now) {
            let record = facts.record;
            let unrecorded = |node: &NodeAddr| *node != record.master && !record.synced.contains_key(node);
            for node in record.nodes().filter(|node| unrecorded(node) && receives(&facts, node)) {
                let seen = &facts.sightings[node];
                followed.insert(node.clone(), (seen.run.clone(), seen.history.replid.clone()));
            }
            for node in told_of_by_the_master(&facts).filter(|node| unrecorded(node)) {
                let seen = &facts.sightings[&record.master];
                let what = || (RunId::UNKNOWN, seen.history.replid.clone());
                followed.entry(node.clone()).or_insert_with(what);
            }
            // A group that was founded anew has none of the histories of the one before.
            let is_ours = |name: &ReplId| record.lineages.as_slice().iter().any(|it| it.replid == *name);
            let is_member = |node: &NodeAddr| record.nodes().any(|member| member == node);
            followed.retain(|node, (_, name)| unrecorded(node) && is_member(node) && is_ours(name));
        }
        self.followed = followed;
    }
}

/// The members that this monitor does not reach, and that the published master feeds.
fn told_of_by_the_master<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a NodeAddr> {
    let record = facts.record;
    let master = facts.fresh(&record.master, None).filter(|it| it.role.is_master());
    let is_published = master.is_some_and(|it| record.master_run.as_ref() == Some(&it.run));
    let feeds = facts.sightings.get(&record.master).filter(|_| is_published).map(|it| &it.feeds);
    let own = facts.electorate.own;
    let reached = |node: &NodeAddr| own.get(node).is_some_and(|ballot| ballot.vote == Vote::Up);
    record.nodes().filter(move |node| feeds.is_some_and(|feeds| feeds.contains(node)) && !reached(node))
}
