//! The next step, and only the next: a pure function of what is recorded, seen and held as evidence.

mod astray;
mod choice;
mod fence;
mod parting;
mod pausing;
mod progress;
mod refresh;
mod returning;
mod switching;

use std::collections::BTreeMap;
use std::time::Duration;

pub use astray::{Begun, Save};
pub use progress::{Fence, Opened, Progress, Promotion, Wish};
pub use switching::{Gap, HOLDS_WRITES, NEAR, Stage, Switch};

use crate::candidate::Ranking;
use crate::diagnosis::{Diagnosis, Facts, diagnose};
use crate::names::NodeAddr;
use crate::policy::Fencing;
use crate::position::Lineage;
use crate::step::{Purpose, Step};
use crate::time::Instant;
pub use fence::MAX_LAG;

use crate::topology::{Change, Intent, Phase, Reason, Topology, Version};
use crate::view::{Ballot, Evidence, Vote};

/// `min-replicas-to-write` of a promoted master that is not published yet: no group has so many replicas, so it
/// takes no write, whoever follows it.
pub const CLOSED: u32 = 1_000_000;

/// Where a frozen node is told to look for its master: a port that nobody serves, so it is refused at once.
pub const NOBODY: (&str, &str) = ("127.0.0.1", "1");

/// How long a node that was told something is given before it is told again.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This.
    Do(Step),
    /// Nothing, until something is seen or this time comes.
    Wait(Option<Instant>),
    /// Nothing: nobody may take over. The nodes must be frozen and read again later.
    Stuck(Ranking),
}

/// Says what comes next.
pub fn plan(facts: &Facts<'_>, version: Version, progress: &Progress) -> Next {
    let planner = Planner { facts, version, progress };
    if let Some(switch) = &progress.switch {
        return planner.switch(switch);
    }
    match diagnose(facts) {
        Diagnosis::ChangeUnfinished => match &facts.record.phase {
            Phase::FailingOver(change) => planner.finish(change),
            Phase::Steady => Next::Wait(None),
        },
        Diagnosis::MasterLost(reason) => planner.replace(reason),
        Diagnosis::AwaitingWitness(until) => Next::Wait(Some(until)),
        Diagnosis::AwaitingVotes(until) => planner.tend_until(until),
        // Tending changes no master, so it needs no quorum; but who does not see a master commands nobody.
        Diagnosis::Healthy | Diagnosis::MasterDoubted | Diagnosis::MasterUnknown if planner.sees_master() => {
            planner.tend()
        }
        Diagnosis::MasterIsolated(_)
        | Diagnosis::MasterCeded
        | Diagnosis::MasterDoubted
        | Diagnosis::MasterUnknown
        | Diagnosis::Healthy => {
            let matures = facts.electorate.matures(&facts.record.master, facts.now);
            planner.refresh().map_or(Next::Wait(matures), Next::Do)
        }
    }
}

/// What a replica that was left behind must reach: see [`Progress::bars`].
pub(crate) fn bars(facts: &Facts<'_>, progress: &Progress) -> BTreeMap<NodeAddr, (Instant, u64)> {
    Planner { facts, version: Version::default(), progress }.bars()
}

/// What comes next for a leader that is the last monitor of its group, and leaves it.
pub(crate) fn part(facts: &Facts<'_>, version: Version, progress: &Progress) -> Next {
    Planner { facts, version, progress }.part()
}

/// Whether a monitor that is the last of its group, and `leads` or not, has nothing left to do in it.
pub(crate) fn has_parted(facts: &Facts<'_>, progress: &Progress, leads: bool) -> bool {
    let planner = Planner { facts, version: Version::default(), progress };
    planner.has_parted(leads)
}

/// Who would take over by the evidence of the present attempt, and why the others would not.
pub(crate) fn rank(facts: &Facts<'_>, progress: &Progress) -> Ranking {
    Planner { facts, version: Version::default(), progress }.rank()
}

/// Whether the master is lost and a pause keeps it from being replaced.
pub(crate) fn is_withheld(facts: &Facts<'_>, progress: &Progress) -> bool {
    let planner = Planner { facts, version: Version::default(), progress };
    matches!(diagnose(facts), Diagnosis::MasterLost(reason) if planner.is_withheld(reason))
}

/// Whether what a promoted node says is what the intent asked for.
pub fn confirms(intent: &Intent, evidence: &Evidence) -> bool {
    let parted = (intent.replid.clone(), intent.offset + 1);
    evidence.run == intent.run
        && evidence.role.is_master()
        && evidence.history.previous.as_ref() == Some(&parted)
}

struct Planner<'a> {
    facts: &'a Facts<'a>,
    version: Version,
    progress: &'a Progress,
}

impl Planner<'_> {
    /// Goes on with a change that was recorded, by this leader or by an earlier one.
    fn finish(&self, change: &Change) -> Next {
        let intent = &change.intent;
        match &self.progress.promotion {
            Promotion::Confirmed(evidence) => Next::Do(self.publish(intent, evidence)),
            Promotion::Failed => self.replace(change.reason),
            Promotion::Unclear => Next::Do(Step::Look { nodes: vec![intent.node.clone()] }),
            Promotion::Untried => match self.progress.evidence.get(&intent.node) {
                Some(evidence) => Next::Do(Step::Promote {
                    intent: intent.clone(),
                    closable: evidence.min_replicas_to_write.is_some(),
                    closes: self.is_unclosed(intent),
                }),
                // An earlier leader's intent: it may have been carried out. What that leader froze is no
                // evidence for us.
                None => Next::Do(Step::Look { nodes: vec![intent.node.clone()] }),
            },
        }
    }

    /// Freezes, chooses, and opens an epoch for the choice.
    fn replace(&self, reason: Reason) -> Next {
        if self.is_withheld(reason) {
            return self.refresh().map_or(Next::Wait(None), Next::Do);
        }
        if let Some(until) = self.postponed(reason) {
            return self.refresh().map_or(Next::Wait(Some(until)), Next::Do);
        }
        if !self.progress.frozen {
            let resting = self.progress.rest_until.filter(|until| *until > self.facts.now);
            return match resting.filter(|_| !self.somebody_is_back()) {
                // Nobody could take over: until somebody can, the document says that the master is gone.
                Some(until) => self.refresh().map_or(Next::Wait(Some(until)), Next::Do),
                None => self.freeze(),
            };
        }
        let ranking = self.rank();
        match ranking.chosen.clone() {
            Some(node) => Next::Do(self.open_epoch(reason, node)),
            None => Next::Stuck(ranking),
        }
    }

    /// Until when this failover waits because others came shortly before it. One that was begun is finished, and a
    /// master that may have lost its memory is never left to its replicas.
    fn postponed(&self, reason: Reason) -> Option<Instant> {
        let begun = self.progress.switch.is_some() || self.was_frozen();
        let begins = self.facts.record.phase == Phase::Steady && reason != Reason::Restarted && !begun;
        self.facts.postponed_until.filter(|until| begins && *until > self.facts.now)
    }

    fn open_epoch(&self, reason: Reason, node: NodeAddr) -> Step {
        let record = self.facts.record;
        let evidence = &self.progress.evidence[&node];
        let intent = Intent {
            node,
            run: evidence.run.clone(),
            replid: evidence.history.replid.clone(),
            offset: evidence.history.offset,
        };
        let votes = self.facts.electorate.ballots(&record.master);
        let votes = votes.into_iter().map(|(id, Ballot { vote, .. })| (id, vote)).collect();
        let fences = record.policy.fencing() != Fencing::Off;
        let ours = |number: u32| number == CLOSED || (fences && number == 1);
        let own_number = evidence.min_replicas_to_write.filter(|number| !ours(*number));
        let mut opened = Topology {
            epoch: record.epoch.next(),
            phase: Phase::FailingOver(Change { reason, votes, intent, opening: None }),
            min_replicas_to_write: own_number.unwrap_or(record.min_replicas_to_write),
            ..record.clone()
        };
        let ceded = self.progress.ceded.iter().filter(|(node, run)| {
            self.progress.closed.get(*node) != Some(*run) && record.nodes().any(|member| member == *node)
        });
        opened.unclosed.extend(ceded.map(|(node, run)| (node.clone(), run.clone())));
        // A master that answers no freeze may have given up its role for a leader that was lost then.
        let seen = self.facts.sightings.get(&record.master);
        let silent = record.master_run.iter().filter(|run| {
            !self.progress.evidence.contains_key(&record.master) && seen.is_none_or(|it| it.run == **run)
        });
        opened.unclosed.extend(silent.map(|run| (record.master.clone(), run.clone())));
        mark(&mut opened, &record.master, false);
        self.commit(opened, Purpose::OpenEpoch)
    }

    fn publish(&self, intent: &Intent, evidence: &Evidence) -> Step {
        let record = self.facts.record;
        let lineage = Lineage {
            replid: evidence.history.replid.clone(),
            epoch: record.epoch,
            start: intent.offset,
            parent: Some(intent.replid.clone()),
        };
        let mut published = Topology {
            phase: Phase::Steady,
            master: intent.node.clone(),
            master_run: Some(intent.run.clone()),
            lineages: record.lineages.with(lineage),
            // Nobody follows it yet.
            fenced: false,
            ..record.clone()
        };
        published.diverged.remove(&intent.node);
        returning::note_the_former(&mut published, record, intent);
        if self.fences() {
            self.leave_the_absent(&mut published);
        }
        published.left.remove(&intent.node);
        if self.is_unclosed(intent) {
            // Its promotion has cut them off.
            published.unclosed.remove(&intent.node);
        }
        mark(&mut published, &intent.node, true);
        self.commit(published, Purpose::Publish)
    }

    fn commit(&self, record: Topology, purpose: Purpose) -> Step {
        Step::Commit { expected: self.version, record: Box::new(record), purpose, entry: None }
    }

    /// Whether this monitor itself knows the master as one: it made it and has not lost sight of it since, or it
    /// reaches it.
    fn sees_master(&self) -> bool {
        let (facts, record) = (self.facts, self.facts.record);
        let own = facts.electorate.own.get(&record.master);
        let up = own.is_some_and(|ballot| ballot.vote == Vote::Up);
        if self.progress.published.is_some() && self.progress.published == record.master_run {
            // One that is back in another life, and still loads what it has left, is not what was made.
            return up || own.is_none_or(|ballot| ballot.since <= facts.record_since);
        }
        up && facts.fresh(&record.master, None).is_some()
    }

    /// Keeps the group in order while the others' votes are awaited, if this monitor sees the master.
    fn tend_until(&self, until: Instant) -> Next {
        let next = if self.sees_master() { self.tend() } else { Next::Wait(None) };
        match next {
            Next::Wait(again) => Next::Wait(Some(again.map_or(until, |again| again.min(until)))),
            other => other,
        }
    }

    /// Keeps a group with a living master in order.
    fn tend(&self) -> Next {
        if let Some(open) = self.open() {
            return Next::Do(open);
        }
        if let Some(fence) = self.set_fence() {
            return Next::Do(fence);
        }
        // It is the dearest part of a plan that changes nothing, as most do.
        let mut refresh = self.refresh();
        if let Some(urgent) = refresh.take_if(|step| self.lets_go(step)) {
            return Next::Do(urgent);
        }
        let (step, again) = self.gather();
        if let Some(step) = step.or(refresh) {
            return Next::Do(step);
        }
        // A master that is still closed must not have that written into its file.
        if self.opened().is_some() && !self.progress.unsaved.is_empty() {
            return Next::Do(Step::Persist { nodes: self.progress.unsaved.iter().cloned().collect() });
        }
        Next::Wait(again)
    }

    /// What this leader knows of having opened the published master.
    fn opened(&self) -> Option<&Opened> {
        let record = self.facts.record;
        let present = |opened: &&Opened| {
            opened.node == record.master && Some(&opened.run) == record.master_run.as_ref()
        };
        self.progress.opened.as_ref().filter(present)
    }

    /// Opens the master once in a term, and looks again, ever more rarely, while it guards its writes and is not to:
    /// where a server lets nobody fence its connections, a deposed leader's promotion may arrive late, and closes.
    fn open(&self) -> Option<Step> {
        let record = self.facts.record;
        let now = self.facts.now;
        let run = record.master_run.clone()?;
        let guarded_since = |opened: &Opened| {
            // One that is to guard its writes is seen to elsewhere, and so is one that has just been told not to.
            let told = self.progress.fence.as_ref();
            let since = told.map_or(opened.at, |fence| fence.at.max(opened.at));
            let unguarded = record.number() == 0 && told.is_none_or(|fence| fence.number == 0);
            let seen = self.facts.fresh(&record.master, Some(since));
            let rest = TELL_AGAIN.saturating_mul(1 << opened.times.min(6));
            unguarded && seen.is_some_and(|sighting| sighting.guarded) && now.since(opened.at) >= rest
        };
        let resting = self.progress.rest_until.is_some_and(|until| until > now);
        let opened = self.opened();
        let due = opened.is_none_or(guarded_since) && !resting;
        due.then(|| Step::Open {
            node: record.master.clone(),
            run,
            min_replicas_to_write: record.number(),
            first: opened.is_none(),
        })
    }
}

fn mark(record: &mut Topology, node: &NodeAddr, ok: bool) {
    for member in record.members.iter_mut().filter(|member| member.addr == *node) {
        member.ok = ok;
    }
}
