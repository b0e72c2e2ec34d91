//! Who was seen to hold a copy of the group's data before that was recorded. It records nothing.

use super::Decider;
use super::chronicle::receives;
use crate::names::{NodeAddr, ReplId};
use crate::time::Instant;

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
            // A group that was founded anew has none of the histories of the one before.
            let is_ours = |name: &ReplId| record.lineages.as_slice().iter().any(|it| it.replid == *name);
            let is_member = |node: &NodeAddr| record.nodes().any(|member| member == node);
            followed.retain(|node, (_, name)| unrecorded(node) && is_member(node) && is_ours(name));
        }
        self.followed = followed;
    }
}
