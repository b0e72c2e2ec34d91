//! What was seen of nodes and monitors and is not what is recorded. It changes no master.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Planner;
use crate::diagnosis::{Diagnosis, diagnose};
use crate::names::{NodeAddr, RunId};
use crate::policy::Discover;
use crate::position::Lineage;
use crate::step::{Purpose, Step};
use crate::topology::{Member, Phase};
use crate::verdict::Verdict;
use crate::view::{Link, Role, Sighting, Vote};

impl Planner<'_> {
    /// What was seen of nodes and monitors, if it is not what is recorded.
    pub(super) fn refresh(&self) -> Option<Step> {
        let record = self.facts.record;
        let mut seen = record.clone();
        let electorate = &self.facts.electorate;
        seen.monitors.insert(electorate.me.clone());
        seen.monitors.extend(electorate.peers.keys().cloned());
        for addr in self.newcomers() {
            seen.members.push(Member { addr: addr.clone(), ok: false });
            seen.discovered.insert(addr);
        }
        for member in &mut seen.members {
            member.ok = self.published_as(&member.addr).unwrap_or(member.ok);
            member.ok &= !record.is_drained(&member.addr);
        }
        if let Some(orders) = seen.orders.get_mut(&record.master) {
            // Who was taken as the master all the same serves.
            orders.drained = false;
        }
        self.remember_who_followed(&mut seen);
        self.remember_the_lost(&mut seen);
        let current = record.lineages.current();
        for node in record.nodes() {
            if let Some(sighting) = self.facts.fresh(node, None).filter(|it| self.holds_a_copy(it)) {
                seen.synced.insert(node.clone(), sighting.run.clone());
                // It holds the master's data: what it held beyond is over.
                seen.diverged.remove(node);
            }
        }
        // In another run it may have lost some of its history, and its new name for it says nothing of how far it came.
        let in_its_run = |it: &&Sighting| record.master_run.as_ref().is_none_or(|run| *run == it.run);
        let master = self.facts.fresh(&record.master, None).filter(|it| it.role.is_master());
        if let Some(sighting) = master.filter(in_its_run) {
            seen.master_run = Some(sighting.run.clone());
            if current.is_none_or(|lineage| lineage.replid != sighting.history.replid) {
                // A master renames its history when it gets its first replica.
                seen.lineages = record.lineages.with(Lineage {
                    replid: sighting.history.replid.clone(),
                    epoch: record.epoch,
                    start: current.map_or(0, |_| sighting.history.offset),
                    parent: current.map(|lineage| lineage.replid.clone()),
                });
            }
        }
        seen.unclosed.retain(|node, run| {
            // Another life of the process has none of those clients.
            let other = self.facts.sightings.get(node).is_some_and(|it| it.run != *run);
            !other && self.progress.closed.get(node) != Some(run)
        });
        self.fence_or_let_go(&mut seen);
        self.note_withheld(&mut seen);
        (seen != *record).then(|| self.commit(seen, Purpose::Refresh))
    }

    /// Whether it is a replica that receives the published master's history.
    pub(super) fn holds_a_copy(&self, sighting: &Sighting) -> bool {
        let current = self.facts.record.lineages.current();
        let up = matches!(sighting.role, Role::Replica { link: Link::Up, .. });
        up && current.is_some_and(|lineage| lineage.replid == sighting.history.replid)
    }

    /// The replicas that the master names and the record does not, once they were seen to follow it.
    ///
    /// A member may be known by another name: a server in a run that belongs to a member is no newcomer, and while a
    /// member does not answer, and so may be back in another run, nobody is who has its port.
    fn newcomers(&self) -> Vec<NodeAddr> {
        let (record, facts) = (self.facts.record, self.facts);
        let steady = record.phase == Phase::Steady && record.policy.discover() != Discover::Off;
        let master = facts.fresh(&record.master, None).filter(|it| steady && it.role.is_master());
        let run_of = |node: &NodeAddr| {
            let up = facts.electorate.own.get(node).is_some_and(|ballot| ballot.vote == Vote::Up);
            facts.sightings.get(node).filter(|_| up).map(|sighting| &sighting.run)
        };
        let is_member = |node: &NodeAddr, run: &RunId| {
            record.nodes().any(|member| match run_of(member) {
                Some(known) => member == node || known == run,
                None => member == node || member.port() == node.port(),
            })
        };
        let follows = |node: &&NodeAddr| {
            let seen = facts.fresh(node, None).filter(|it| self.holds_a_copy(it));
            seen.is_some_and(|it| !is_member(node, &it.run))
        };
        let feeds: BTreeSet<_> =
            master.into_iter().flat_map(|it| &it.feeds).filter(follows).cloned().collect();
        feeds.into_iter().collect()
    }

    /// `OK`, `KO`, or as it was.
    fn published_as(&self, node: &NodeAddr) -> Option<bool> {
        let link = match self.facts.fresh(node, None).map(|sighting| &sighting.role) {
            Some(Role::Replica { link, .. }) => Some(*link),
            Some(Role::Master { .. }) | None => None,
        };
        let grace = self.facts.record.policy.link_grace();
        match (self.facts.verdict(node), link) {
            // A master that is only out of our reach goes on serving those who reach it; one that answers may be lost
            // all the same, when it is back without its memory or was made a replica.
            (Verdict::Down(_) | Verdict::Up, _) if *node == self.facts.record.master => {
                let lost = matches!(diagnose(self.facts), Diagnosis::MasterLost(_));
                (lost || self.facts.verdict(node) == Verdict::Up).then_some(!lost)
            }
            (Verdict::Down(_), _) | (_, Some(Link::Syncing)) => Some(false),
            (Verdict::Up, Some(Link::Up)) => Some(true),
            (_, Some(Link::Down { seconds })) if Duration::from_secs(seconds) >= grace => Some(false),
            (Verdict::Up | Verdict::Doubted | Verdict::Unknown, _) => None,
        }
    }
}
