//! What a decider learns from an action that has ended. It begins none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Decider;
use super::requests::Asked;
use super::switching::Switched;
use crate::names::{NodeAddr, RunId};
use crate::plan::{Fence, Opened, Progress, Promotion, confirms};
use crate::step::{Outcome, Purpose, Step};
use crate::time::Instant;
use crate::topology::{Found, Phase, Topology, Version, Versioned};
use crate::view::Evidence;

/// The rest after a first failed attempt; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_millis(100);

/// The rest after an answer that could not be written.
const ANSWER_AGAIN: Duration = Duration::from_secs(1);

/// The longest rest between attempts.
const LONGEST_REST: Duration = Duration::from_secs(5);

impl Decider {
    pub(super) fn finished(&mut self, now: Instant, step: Step, outcome: Outcome) {
        if outcome == Outcome::NotBegun {
            return self.not_begun(now);
        }
        self.unbegun = None;
        match (step, outcome) {
            (Step::Commit { record, purpose, entry, .. }, Outcome::Committed(version)) => {
                self.committed(now, *record, purpose, version);
                if purpose == Purpose::Publish {
                    self.note_published(now, entry);
                }
            }
            (Step::Commit { .. }, _) => self.not_written(now),
            // A removal is tried again by the clock, for as long as the leader is found gone.
            (Step::Amend { .. } | Step::Depose, _) => {}
            (Step::Freeze { awaited, .. }, Outcome::Read(evidence)) => {
                self.note_frozen(now);
                self.frozen(now, awaited, evidence);
            }
            (Step::HoldWrites { node, .. }, Outcome::Done(done)) => {
                self.writes_are_held(now, done.contains(&node));
            }
            (Step::ResumeWrites { .. }, _) => self.writes_go_on(),
            (Step::Cede { .. }, Outcome::Read(said)) => self.ceded(now, said),
            (Step::Demote { nodes }, Outcome::Read(evidence)) => self.demoted(now, nodes, evidence),
            (Step::Save { node, run, .. }, Outcome::Saving(saving)) => self.saving(now, node, run, saving),
            (Step::Look { .. }, Outcome::Read(evidence)) => self.looked(now, evidence),
            (Step::Promote { intent, .. }, Outcome::Promoted(evidence)) => {
                // Whatever came of it, what the node said before is over.
                self.progress.evidence.remove(&intent.node);
                self.progress.promotion = match evidence {
                    Some(evidence) if confirms(&intent, &evidence) => {
                        self.note_promoted(now);
                        Promotion::Confirmed(evidence)
                    }
                    Some(_) | None => Promotion::Unclear,
                };
            }
            (Step::Open { node, run, .. }, Outcome::Done(done)) if done.contains(&node) => {
                self.opened_to_writes(now, node, run);
            }
            (Step::Open { .. }, Outcome::Done(_)) => self.progress.rest_until = Some(now + FIRST_REST),
            (Step::Fence { node, run, number }, Outcome::Done(done)) => {
                self.fenced(now, run, (number, done.contains(&node)));
            }
            (Step::Follow { nodes, closes, .. }, Outcome::Done(done)) => {
                self.note_closed(closes, &done);
                self.sent_to_follow(now, nodes, done);
            }
            (Step::Persist { nodes }, outcome) => self.persisted(now, nodes, &outcome),
            (Step::Answer { request, .. }, Outcome::Answered) => {
                self.asked.answered.insert(request);
            }
            (Step::Answer { .. }, _) => self.asked.rest_until = Some(now + ANSWER_AGAIN),
            // An executor that answers another question than it was asked: ask again, after a rest.
            (
                Step::Freeze { .. }
                | Step::HoldWrites { .. }
                | Step::Cede { .. }
                | Step::Demote { .. }
                | Step::Save { .. }
                | Step::Look { .. }
                | Step::Promote { .. }
                | Step::Open { .. }
                | Step::Fence { .. }
                | Step::Follow { .. },
                _,
            ) => self.rest(now),
        }
    }

    fn fenced(&mut self, now: Instant, run: RunId, (number, done): (u32, bool)) {
        let before = self.progress.fence.take().filter(|it| it.run == run && it.number == number);
        let times = before.map_or(0, |fence| fence.times + 1);
        let master = self.record().map(|record| record.master.clone()).filter(|_| done);
        if self.leaving.is_some() {
            // Nobody sets the number again after a restart.
            self.progress.unsaved.extend(master);
        }
        self.progress.fence = Some(Fence { run, number, done, at: now, times });
    }

    fn opened_to_writes(&mut self, now: Instant, node: NodeAddr, run: RunId) {
        let before = self.progress.opened.take().filter(|opened| opened.run == run);
        let times = before.map_or(0, |opened| opened.times + 1);
        if times == 0 {
            self.progress.unsaved.insert(node.clone());
        }
        self.progress.opened = Some(Opened { node, run, at: now, times });
        self.note_open(now);
    }

    fn committed(&mut self, now: Instant, record: Topology, purpose: Purpose, version: Version) {
        self.failures = 0;
        let anew = self.loss.is_some() || self.record().is_none();
        self.read(now, Versioned { version, found: Found::Record(Box::new(record)) });
        match purpose {
            Purpose::Found => {
                // What was looked at was not frozen: it is no evidence for anything else.
                self.progress = Progress::default();
                self.refusal = None;
            }
            Purpose::Publish => {
                self.attempts = 0;
                self.stuck = None;
                self.progress.frozen = false;
                self.progress.rest_until = None;
                self.progress.opened = None;
                self.progress.fence = None;
                self.progress.told.clear();
                self.progress.bars.clear();
                let master = self.record().map(|it| (it.master.clone(), it.master_run.clone()));
                if let Some((node, run)) = master {
                    // A better one was there, and leads: the operator is told so.
                    self.progress.accepted.take_if(|(_, wanted)| *wanted != node);
                    self.progress.evidence.remove(&node);
                    self.progress.demoted.remove(&node);
                    // The clients that it gets from now on are others than those that were cut off before.
                    self.progress.closed.remove(&node);
                    self.progress.ceded.remove(&node);
                    self.progress.published = run;
                }
            }
            Purpose::Asked(request) => {
                self.asked.granted.insert(request);
                if anew {
                    self.progress = Progress::default();
                    self.refusal = None;
                }
            }
            // Somebody takes over: nobody needs an operator for that.
            Purpose::OpenEpoch => self.stuck = None,
            Purpose::Count | Purpose::Refresh => {}
        }
    }

    fn frozen(&mut self, now: Instant, awaited: BTreeSet<NodeAddr>, evidence: BTreeMap<NodeAddr, Evidence>) {
        for node in awaited {
            let said = evidence.get(&node).map(|it| &it.run);
            let run = said.or(self.observation.sightings.get(&node).map(|it| &it.run));
            if let Some(run) = run.cloned() {
                self.progress.tried.insert(node, run);
            }
        }
        for (node, said) in &evidence {
            self.progress.never.remove(node);
            let priority = self.record().map_or(said.priority, |record| record.priority(node, said));
            if priority == 0 {
                self.progress.never.insert(node.clone());
            }
        }
        let mut evidence = evidence;
        self.with_ceded(&mut evidence);
        // What was seen of them before is not what they are.
        self.progress.demoted.extend(evidence.keys().map(|node| (node.clone(), now)));
        self.progress.evidence = evidence;
        self.progress.frozen = true;
    }

    fn looked(&mut self, now: Instant, evidence: BTreeMap<NodeAddr, Evidence>) {
        if let Some((_, said @ None)) = &mut self.asked.look {
            *said = Some(evidence);
            return;
        }
        if self.looked_for_switch(now, &evidence) {
            return;
        }
        let Some(record) = self.record() else {
            self.progress.evidence = evidence;
            self.progress.frozen = true;
            return;
        };
        let Phase::FailingOver(change) = &record.phase else { return };
        let said = evidence.get(&change.intent.node);
        if let Some(said) = said.filter(|said| confirms(&change.intent, said)) {
            self.progress.promotion = Promotion::Confirmed(Box::new(said.clone()));
            self.note_promoted(now);
            return;
        }
        if self.progress.promotion == Promotion::Unclear {
            self.rest(now);
        }
        self.progress.promotion = Promotion::Failed;
        self.progress.evidence.clear();
        self.progress.frozen = false;
    }

    /// Forgets what belonged to the term that is over.
    pub(super) fn forget(&mut self) {
        self.progress = Progress::default();
        self.chronicle.forget();
        self.in_flight = None;
        self.attempts = 0;
        self.stuck = None;
        self.refusal = None;
        self.asked = Asked::default();
        self.switched = Switched::default();
    }

    /// The lead was in doubt: nothing is begun for a moment, twice as long each time in a row.
    fn not_begun(&mut self, now: Instant) {
        let before = self.unbegun.unwrap_or(0);
        self.pause_until = Some(now + rest_after(before));
        self.unbegun = Some(before + 1);
    }

    /// A commit was not written, or may have been: nothing is begun for a moment, twice as long each time.
    fn not_written(&mut self, now: Instant) {
        self.must_read = true;
        self.pause_until = Some(now + rest_after(self.failures));
        self.failures += 1;
    }

    /// The doubt is over for which something could not be begun, or another leads: that is not waited for any more. A
    /// commit that was not written may fail again, and waits.
    pub(super) fn lift_pause(&mut self) {
        if self.unbegun.take().is_some() {
            self.pause_until = None;
        }
    }

    /// Rests after a failed attempt, twice as long each time.
    pub(super) fn rest(&mut self, now: Instant) {
        self.progress.frozen = false;
        self.progress.rest_until = Some(now + rest_after(self.attempts));
        self.attempts += 1;
        self.wake = self.progress.rest_until;
    }
}

/// Twice as long each time.
fn rest_after(failures: u32) -> Duration {
    FIRST_REST.saturating_mul(1 << failures.min(16)).min(LONGEST_REST)
}
