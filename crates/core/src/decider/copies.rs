//! Who was seen to hold more of the group's data than the record knows of. It records nothing.

use std::collections::BTreeMap;

use super::Decider;
use super::chronicle::receives;
use crate::diagnosis::Facts;
use crate::names::{NodeAddr, RunId};
use crate::position::History;
use crate::time::Instant;
use crate::topology::Topology;
use crate::view::{Copied, Vote};

impl Decider {
    /// Remembers who was seen to follow and is not recorded to have followed ever, or beyond the bound that is recorded
    /// of it: nobody leads, or the store is away, or the leader is busy or stands still.
    ///
    /// What the node says later, frozen or in another life, takes nothing of that back: it may be the only one that
    /// held it, and be lost again. Where the memory is lost before it is recorded, the record says less than there was.
    pub(super) fn follow_copies(&mut self, now: Instant) {
        let mut followed = std::mem::take(&mut self.followed);
        if let Some(facts) = self.facts(now) {
            let record = facts.record;
            for (node, copied) in seen(&facts).chain(told_of_by_the_master(&facts)) {
                remember(&mut followed, record, node, copied);
            }
            followed.retain(|node, copied| is_news(record, node, &copied.history));
        }
        self.followed = followed;
    }
}

/// Keeps `copied` unless more of that node is remembered.
fn remember(followed: &mut BTreeMap<NodeAddr, Copied>, record: &Topology, node: &NodeAddr, copied: Copied) {
    if !is_news(record, node, &copied.history) {
        return;
    }
    let Some(before) = followed.get_mut(node) else {
        followed.insert(node.clone(), copied);
        return;
    };
    if copied.run.is_known() {
        before.run = copied.run;
    }
    if record.lineages.locate(&before.history) < record.lineages.locate(&copied.history) {
        before.history = copied.history;
    }
}

/// Whether a member's having held `history` is more than the record knows of it.
fn is_news(record: &Topology, node: &NodeAddr, history: &History) -> bool {
    // A group that was founded anew has none of the histories of the one before.
    let Some(stood) = record.lineages.locate(history) else { return false };
    let beyond_its_bound = || {
        let (replid, offset) = record.reached.get(node)?;
        let bound = History { replid: replid.clone(), offset: *offset, previous: None };
        Some(record.lineages.locate(&bound) < Some(stood))
    };
    let is_member = record.nodes().any(|member| member == node) && *node != record.master;
    is_member && (!record.synced.contains_key(node) || beyond_its_bound().unwrap_or(false))
}

/// The replicas that this monitor sees follow.
fn seen<'a>(facts: &'a Facts<'a>) -> impl Iterator<Item = (&'a NodeAddr, Copied)> {
    let copied = |node: &NodeAddr| {
        let seen = &facts.sightings[node];
        Copied { run: seen.run.clone(), history: seen.history.clone() }
    };
    facts.record.nodes().filter(|node| receives(facts, node)).map(move |node| (node, copied(node)))
}

/// The members that this monitor does not reach, and that the published master feeds.
fn told_of_by_the_master<'a>(facts: &'a Facts<'a>) -> impl Iterator<Item = (&'a NodeAddr, Copied)> {
    let record = facts.record;
    let master = facts.fresh(&record.master, None).filter(|it| it.role.is_master());
    let is_published = master.is_some_and(|it| record.master_run.as_ref() == Some(&it.run));
    let master = facts.sightings.get(&record.master).filter(|_| is_published);
    let own = facts.electorate.own;
    let reached = |node: &NodeAddr| own.get(node).is_some_and(|ballot| ballot.vote == Vote::Up);
    let fed = move |node: &&NodeAddr| master.is_some_and(|it| it.feeds.contains(node)) && !reached(node);
    let copied =
        move |_: &NodeAddr| master.map(|it| Copied { run: RunId::UNKNOWN, history: it.history.clone() });
    record.nodes().filter(fed).filter_map(move |node| Some((node, copied(node)?)))
}
