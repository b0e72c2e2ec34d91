//! Who was seen to hold more of the group's data than the record knows of. It records nothing.

use std::collections::BTreeMap;

use super::Decider;
use super::chronicle::receives;
use crate::diagnosis::Facts;
use crate::names::{NodeAddr, RunId};
use crate::position::History;
use crate::time::Instant;
use crate::topology::Topology;
use crate::view::{Copied, Link, Role, Sighting, Vote};

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
    let renamed = published_master(facts).map(|it| &it.history.replid);
    let copied = move |node: &'a NodeAddr| {
        let seen = facts.fresh(node, None)?;
        let up = matches!(seen.role, Role::Replica { link: Link::Up, .. });
        let follows = receives(facts, node) || (up && renamed == Some(&seen.history.replid));
        follows.then(|| (node, Copied { run: seen.run.clone(), history: as_recorded(facts, &seen.history) }))
    };
    facts.record.nodes().filter_map(copied)
}

/// The published master, where it was seen as one in its recorded run.
fn published_master<'a>(facts: &'a Facts<'a>) -> Option<&'a Sighting> {
    let record = facts.record;
    let master = facts.fresh(&record.master, None).filter(|it| it.role.is_master());
    master.filter(|it| record.master_run.as_ref() == Some(&it.run))
}

/// The published master's history by the name that is recorded of it.
///
/// A master that kept no backlog takes another name when its first replica comes, and as long as that can't be recorded
/// nobody could tell later what the name stands for.
fn as_recorded(facts: &Facts<'_>, history: &History) -> History {
    match facts.record.lineages.current() {
        Some(current) if current.replid != history.replid => {
            History { replid: current.replid.clone(), offset: history.offset, previous: None }
        }
        Some(_) | None => history.clone(),
    }
}

/// The members that this monitor does not reach, and that the published master feeds.
fn told_of_by_the_master<'a>(facts: &'a Facts<'a>) -> impl Iterator<Item = (&'a NodeAddr, Copied)> {
    let record = facts.record;
    let master = published_master(facts);
    let own = facts.electorate.own;
    let reached = |node: &NodeAddr| own.get(node).is_some_and(|ballot| ballot.vote == Vote::Up);
    let fed = move |node: &&NodeAddr| master.is_some_and(|it| it.feeds.contains(node)) && !reached(node);
    let copied =
        move || master.map(|it| Copied { run: RunId::UNKNOWN, history: as_recorded(facts, &it.history) });
    record.nodes().filter(fed).filter_map(move |node| Some((node, copied()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Observation};
    use crate::names::{Epoch, ReplId};
    use crate::policy::Policy;
    use crate::position::{Lineage, Lineages};
    use crate::topology::{Found, Member, Version, Versioned};
    use crate::view::Ballot;

    const AT: Instant = Instant::from_millis(10_000);

    fn node(name: &str) -> NodeAddr {
        NodeAddr::new(name, 1)
    }

    /// The master is m with history q since 100 of p; a was the master before, and is not known to have followed since.
    fn record() -> Topology {
        let lineage = |replid: &str, epoch, start, parent: Option<&str>| Lineage {
            replid: ReplId(replid.into()),
            epoch: Epoch(epoch),
            start,
            parent: parent.map(|it| ReplId(it.into())),
        };
        Topology {
            master_run: Some(RunId("m".into())),
            synced: [(node("a"), RunId("a".into()))].into(),
            reached: [(node("a"), (ReplId("p".into()), 100))].into(),
            members: ["m", "a"].map(|name| Member { addr: node(name), ok: true }).into(),
            lineages: Lineages::new(vec![lineage("p", 1, 0, None), lineage("q", 2, 100, Some("p"))]),
            ..Topology::new(Epoch(2), node("m"), Policy::default())
        }
    }

    fn seen(run: &str, role: Role, replid: &str, offset: u64) -> Sighting {
        let history = History { replid: ReplId(replid.into()), offset, previous: None };
        let asked = AT + std::time::Duration::from_millis(5);
        let (run, guarded, good_replicas, feeds) = (RunId(run.into()), false, 0, Vec::new());
        Sighting { asked, run, role, history, guarded, good_replicas, feeds }
    }

    /// What is remembered of a after this was seen, and then that all are dead.
    fn remembered(master: Sighting, replica: Sighting) -> Option<History> {
        let mut decider = Decider::new("m1".parse().expect("an id"), Vec::new(), Policy::default(), AT);
        let found = Found::Record(Box::new(record()));
        decider.handle(AT, Event::TopologyRead(Versioned { version: Version::default(), found }));
        let ballot = |vote| Ballot { vote, since: AT };
        let all = |vote| ["m", "a"].map(|name| (node(name), ballot(vote))).into();
        let sightings: BTreeMap<_, _> = [(node("m"), master), (node("a"), replica)].into();
        let observed = Observation { ballots: all(Vote::Up), sightings, troubles: BTreeMap::new() };
        decider.handle(AT, Event::Observed(observed));
        let lost = Observation { ballots: all(Vote::Refused), ..Observation::default() };
        decider.handle(AT, Event::Observed(lost));
        decider.followed.remove(&node("a")).map(|copied| copied.history)
    }

    #[test]
    fn who_follows_a_master_under_a_name_that_is_not_recorded_yet_is_remembered_by_the_recorded_one() {
        let master = |run, replid| seen(run, Role::Master { replicas: 1 }, replid, 107);
        let replica =
            |link, replid| seen("a", Role::Replica { of: Some(node("m")), link, received: 107 }, replid, 107);
        let by_its_name = History { replid: ReplId("q".into()), offset: 107, previous: None };
        assert_eq!(remembered(master("m", "q"), replica(Link::Up, "q")), Some(by_its_name.clone()));
        assert_eq!(remembered(master("m", "x"), replica(Link::Up, "x")), Some(by_its_name));
        assert_eq!(remembered(master("m", "x"), replica(Link::Up, "y")), None, "it receives something else");
        assert_eq!(remembered(master("m", "x"), replica(Link::Down { seconds: 0 }, "x")), None);
        assert_eq!(
            remembered(master("another", "x"), replica(Link::Up, "x")),
            None,
            "who knows what that has"
        );
    }
}
