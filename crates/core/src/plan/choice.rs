//! Whom to freeze and whom to choose, where not all monitors reach the same nodes. It judges no node's data.

use std::collections::{BTreeMap, BTreeSet};

use super::{Next, Planner, Stage, Wish};
use crate::candidate::{Dropped, Ranking, rank_candidates};
use crate::diagnosis::{Diagnosis, diagnose};
use crate::names::NodeAddr;
use crate::step::Step;
use crate::topology::{Phase, Reason};
use crate::verdict::Verdict;
use crate::view::Vote;

impl Planner<'_> {
    /// Those whom a quorum reaches come first, for another would have to be replaced at once. Where none of them may
    /// lead, one that only this monitor reaches is better than nobody.
    pub(super) fn rank(&self) -> Ranking {
        let (mut record, evidence, mut down) =
            (self.facts.record.clone(), &self.progress.evidence, self.down());
        self.remember_who_followed(&mut record);
        let mut ranking = rank_candidates(&record, evidence, &down);
        if let Some(switch) = &self.progress.switch
            && matches!(switch.stage, Stage::Ceded { .. })
        {
            (ranking.chosen, ranking.leads_on) = (Some(switch.to.clone()), false);
            for why in ranking.dropped.values_mut().filter(|why| **why == Dropped::NotFrozen) {
                *why = Dropped::NotAsked;
            }
            return ranking;
        }
        if let Some(node) = self.wished(&ranking) {
            (ranking.chosen, ranking.leads_on, ranking.wished) = (Some(node), false, true);
            return ranking;
        }
        // One that answered and may not lead is out of use: whom it would have been left to is not there any more.
        let unfit = record.phase != Phase::Steady
            && evidence.contains_key(&record.master)
            && ranking.dropped.contains_key(&record.master);
        let ordered = self.is_only_ordered() && !unfit;
        if ordered {
            // Nobody but who was named is to be taken in the place of a master that no quorum finds lost.
            ranking.chosen = ranking.chosen.filter(|node| *node == record.master);
        }
        let accepted = self.progress.accepted.as_ref().map(|(_, node)| node);
        let nobody = ranking.chosen.is_none();
        if let Some(node) = accepted.filter(|node| nobody && evidence.contains_key(*node)) {
            ranking.chosen = Some(node.clone());
            return ranking;
        }
        // One that was restarted may have lost what a node out of their reach still holds.
        let in_its_run = |node: &NodeAddr| {
            record.run_of(node).is_none_or(|run| evidence.get(node).is_some_and(|it| it.run == *run))
        };
        if ordered || ranking.chosen.as_ref().is_some_and(in_its_run) {
            return ranking;
        }
        down.retain(|_, reason| *reason == Reason::Unusable);
        rank_candidates(&record, evidence, &down)
    }

    /// Whether the master is replaced for an operator alone. An epoch of that may have come to nothing.
    fn is_only_ordered(&self) -> bool {
        match &self.facts.record.phase {
            Phase::Steady => diagnose(self.facts) == Diagnosis::MasterLost(Reason::Ordered),
            Phase::FailingOver(change) => {
                let (master, run) = (&self.facts.record.master, self.facts.record.master_run.as_ref());
                let lost = matches!(self.facts.verdict(master), Verdict::Down(_));
                // In another life it is not what an operator had replaced.
                let other = self.progress.evidence.get(master).is_some_and(|it| Some(&it.run) != run);
                change.reason == Reason::Ordered && !lost && !other
            }
        }
    }

    /// Whom the operator wants, if that one answered and holds all that the best one does, or what is lost is accepted.
    fn wished(&self, ranking: &Ranking) -> Option<NodeAddr> {
        let record = self.facts.record;
        let ends = |wish: &&Wish| wish.epoch == record.epoch && record.phase == Phase::Steady;
        let wish = self.progress.wish.as_ref().filter(ends)?;
        let it = self.progress.evidence.get(&wish.to)?;
        let as_far = |best: &NodeAddr| {
            let positions = &ranking.positions;
            let far = positions.get(&wish.to).zip(positions.get(best)).is_some_and(|(own, best)| own == best);
            far && self
                .progress
                .evidence
                .get(best)
                .is_some_and(|best| best.history.offset == it.history.offset)
        };
        // That one would have to be replaced at once.
        let lost = ranking.dropped.get(&wish.to) == Some(&Dropped::OutOfReach);
        let may = (wish.accepts_loss && !lost) || ranking.chosen.as_ref().is_some_and(as_far);
        may.then(|| wish.to.clone())
    }

    /// Freezes all nodes, if any answers: a master from which nobody can take over is not made to stand still.
    pub(super) fn freeze(&self) -> Next {
        let up = |node: &&NodeAddr| {
            self.facts.electorate.own.get(*node).is_some_and(|ballot| ballot.vote == Vote::Up)
        };
        let awaited: BTreeSet<_> = self.facts.record.nodes().filter(up).cloned().collect();
        let down = self.down();
        let record = self.facts.record;
        // Who was asked in this life and did not take over when the present master did will not do so now, unless it
        // has followed that one since.
        let mine = self.progress.published.is_some() && self.progress.published == record.master_run;
        let current = record.lineages.current().map(|lineage| &lineage.replid);
        let tried = |node: &NodeAddr| {
            let seen = self.facts.sightings.get(node);
            let run = seen.map(|it| &it.run);
            let follows = seen.is_some_and(|it| Some(&it.history.replid) == current);
            let may = !self.progress.never.contains(node) && !record.only_watches(node);
            let nothing_new = run.is_some() && run == self.progress.tried.get(node) && !(follows && may);
            mine && *node != record.master && nothing_new
        };
        let nobody = awaited.iter().all(|node| down.contains_key(node) || tried(node));
        let serves = nobody && self.serves_some();
        if let Some(open) = self.open().filter(|_| serves) {
            return Next::Do(open);
        }
        if awaited.is_empty() || serves {
            return Next::Stuck(rank_candidates(self.facts.record, &BTreeMap::new(), &down));
        }
        let cut = Some(record.master.clone());
        Next::Do(Step::Freeze { nodes: record.nodes().cloned().collect(), awaited, cut })
    }

    /// Whether this monitor still reaches the published master, and nobody has stopped it.
    fn serves_some(&self) -> bool {
        let record = self.facts.record;
        let reached =
            self.facts.electorate.own.get(&record.master).is_some_and(|ballot| ballot.vote == Vote::Up);
        let demoted = self.facts.fresh(&record.master, None).is_some_and(|it| !it.role.is_master());
        record.phase == Phase::Steady && reached && !demoted
    }

    /// The nodes that a quorum finds down. One that has only just come back for this monitor is none of them: the
    /// others may see it, too, and not have said so yet.
    fn down(&self) -> BTreeMap<NodeAddr, Reason> {
        let patience = self.facts.record.policy.down_after();
        let is_back = |node: &NodeAddr| {
            let own = self.facts.electorate.own.get(node).filter(|ballot| ballot.vote == Vote::Up);
            own.is_some_and(|ballot| self.facts.now.since(ballot.since) < patience)
        };
        let down = |node: &NodeAddr| match self.facts.verdict(node) {
            Verdict::Down(reason) if !is_back(node) => Some((node.clone(), reason)),
            Verdict::Down(_) | Verdict::Up | Verdict::Doubted | Verdict::Unknown => None,
        };
        self.facts.record.nodes().filter_map(down).collect()
    }
}
