//! What a leader does about a request to switch over, and what it learns on the way. Who may take over is said in
//! [`crate::switchover`], the steps are the plan's.

use std::collections::{BTreeMap, BTreeSet};

use super::Decider;
use crate::diagnosis::{Diagnosis, diagnose};
use crate::names::{Epoch, NodeAddr};
use crate::plan::{Gap, NEAR, Stage, Switch};
use crate::request::{Answer, RequestId, Switchover};
use crate::step::Step;
use crate::switchover::prospects;
use crate::time::Instant;
use crate::topology::Phase;
use crate::view::Evidence;

/// What became of a switchover in this term.
#[derive(Clone, Debug, Default, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Switched {
    /// The request that was attended to, and until when its node may come near.
    begun: Option<(RequestId, Instant)>,
    /// Why nothing came of it.
    failed: Option<(RequestId, String)>,
    /// Since when writes have waited for the epoch that is to be opened.
    held: Option<Instant>,
}

impl Switched {
    /// Since when writes have waited for the epoch that is to be opened; `None` where nobody has had them wait.
    pub(super) fn held_since(&self) -> Option<Instant> {
        self.held
    }
}

/// The request, and its progress.
impl Decider {
    /// Begins it, sees how it went, or refuses.
    pub(super) fn switch_over(
        &mut self,
        now: Instant,
        id: RequestId,
        wanted: &Switchover,
    ) -> Result<Option<Step>, Answer> {
        let steady = self.steady_record()?.map(|record| (record.epoch, record.master.clone()));
        let Some((epoch, master)) = steady else { return Ok(None) };
        if epoch != wanted.epoch {
            return if self.is_opened(now)? {
                Err(self.ended(id, wanted, (epoch, &master)))
            } else {
                Ok(None)
            };
        }
        if self.progress.switch.is_some() {
            return Ok(None);
        }
        let diagnosis = self.facts(now).map(|facts| diagnose(&facts));
        let failed = self.switched.failed.as_ref().filter(|(of, _)| *of == id);
        if let Some((_, why)) = failed.filter(|_| diagnosis == Some(Diagnosis::Healthy)) {
            return Err(Answer::Refused(format!("{why}; {master} goes on as the master of epoch {epoch}")));
        }
        let begun = self.switched.begun.filter(|(of, _)| *of == id).map(|(_, until)| until);
        let until = begun.unwrap_or(now + wanted.timeout);
        self.switched.begun = Some((id, until));
        let is_known = self.record().is_some_and(|record| record.master_run.is_some());
        match diagnosis {
            Some(Diagnosis::Healthy) if is_known => {}
            // It is recorded with the next step: until then nobody could tell who holds what it held, if this leader
            // is lost on the way.
            Some(Diagnosis::Healthy) if now < until => return Ok(None),
            Some(Diagnosis::Healthy) => {
                return Err(Answer::Refused(format!(
                    "the life and the history of {master} are not known yet"
                )));
            }
            Some(diagnosis) if now >= until => return Err(Answer::Refused(diagnosis.to_string())),
            Some(Diagnosis::MasterIsolated(_)) => {
                return Err(Answer::Refused(format!("{master} is out of our reach")));
            }
            // It will be known in a moment, or another epoch begins.
            _ => return Ok(None),
        }
        let looked = self.asked.look.take().filter(|(of, _)| *of == id);
        let Some((_, Some(said))) = looked else {
            self.asked.look = Some((id, None));
            let nodes = self.record().map(|record| record.nodes().cloned().collect());
            return Ok(nodes.map(|nodes| Step::Look { nodes }));
        };
        self.begin_switch(now, (id, wanted, until), &said)
    }

    fn begin_switch(
        &mut self,
        now: Instant,
        (id, wanted, until): (RequestId, &Switchover, Instant),
        said: &BTreeMap<NodeAddr, Evidence>,
    ) -> Result<Option<Step>, Answer> {
        let Some(facts) = self.facts(now) else { return Ok(None) };
        let record = facts.record;
        let prospects = prospects(&facts, said);
        let to = match prospects.choose(record, wanted.to.as_ref()) {
            Ok(to) => to,
            Err(why) => return Err(Answer::Refused(why)),
        };
        if wanted.dry_run {
            return Err(Answer::Done(prospects.would(&to)));
        }
        let Some(run) = said.get(&record.master).map(|it| it.run.clone()) else {
            return Err(Answer::Refused(format!("{} does not answer", record.master)));
        };
        let from = (record.master.clone(), run);
        self.progress.frozen = false;
        self.progress.evidence.clear();
        self.progress.switch =
            Some(Switch { request: id, from, to, until, stage: Stage::Approaching, seen: None });
        Ok(None)
    }

    /// Another epoch has begun than the one that was to be ended.
    fn ended(&self, id: RequestId, wanted: &Switchover, (epoch, master): (Epoch, &NodeAddr)) -> Answer {
        let failed = self.switched.failed.as_ref().filter(|(of, _)| *of == id).map(|(_, why)| why);
        let mine = self.switched.begun.is_some_and(|(of, _)| of == id);
        match (failed, &wanted.to) {
            (None, Some(to)) if to == master => {
                Answer::Done(format!("{master} is the master of epoch {epoch}"))
            }
            (None, None) if mine => Answer::Done(format!("{master} is the master of epoch {epoch}")),
            (Some(why), _) => Answer::Refused(format!("{why}; {master} is the master of epoch {epoch}")),
            (None, _) => {
                Answer::Refused(format!("it did not come about: {master} is the master of epoch {epoch}"))
            }
        }
    }

    /// Drops a switchover of which nothing can come any more, and sees whether it takes too long.
    pub(super) fn follow_switch(&mut self, now: Instant) {
        let Some(switch) = self.progress.switch.take() else {
            self.switched.held = None;
            return;
        };
        let stands = self.record().is_some_and(|record| {
            record.master == switch.from.0
                && record.phase == Phase::Steady
                && record.master_run.as_ref().is_none_or(|run| *run == switch.from.1)
        });
        if !stands {
            // Its epoch was opened, or another one.
            return;
        }
        let switch = self.followed_on(now, switch);
        self.progress.switch = switch;
    }

    fn followed_on(&mut self, now: Instant, mut switch: Switch) -> Option<Switch> {
        let diagnosis =
            self.facts_while(now, switch.is_ceded() || self.cedes()).map(|facts| diagnose(&facts));
        // Who leaves begins no change of master: only where the master has given up its role there is one already.
        let withdrawn = self.leaving.is_some() || !self.requests.contains_key(&switch.request);
        let late = switch.is_late(now);
        let to = switch.to.clone();
        if self.is_told_to_cede_or_hold() && !matches!(diagnosis, Some(Diagnosis::MasterLost(_))) {
            // What comes of it decides.
            return Some(switch);
        }
        match &switch.stage {
            // Nothing but the wanted node is chosen in vain, and what a dead master held counts as usual.
            Stage::Ceded { .. } | Stage::Failed if matches!(diagnosis, Some(Diagnosis::MasterLost(_))) => {
                self.fail_switch(&switch, "the old master was lost meanwhile".to_owned());
                None
            }
            Stage::Ceded { .. } if late => {
                self.fail_switch(&switch, format!("{to} did not have all that the old master held in time"));
                self.progress.frozen = false;
                self.progress.evidence.clear();
                switch.stage = Stage::Failed;
                Some(switch)
            }
            Stage::Ceded { .. } | Stage::Failed => Some(switch),
            _ if matches!(diagnosis, Some(Diagnosis::MasterLost(_) | Diagnosis::MasterIsolated(_))) => {
                self.fail_switch(&switch, "the master was lost meanwhile".to_owned());
                None
            }
            Stage::Approaching if withdrawn => None,
            Stage::Approaching if late => {
                let why = match switch.seen {
                    Some((_, Gap::Bytes(bytes))) if bytes <= NEAR => format!("{to} was not near in time"),
                    Some((_, Gap::Bytes(bytes))) => format!("{to} is still {bytes} bytes behind"),
                    Some((_, Gap::Unknown)) | None => format!("{to} does not follow, or does not answer"),
                };
                self.fail_switch(&switch, why);
                None
            }
            Stage::Holding { .. } if late || withdrawn => {
                self.fail_switch(&switch, format!("{to} did not catch up while writes were held"));
                switch.stage = Stage::Resuming;
                Some(switch)
            }
            Stage::Approaching | Stage::Holding { .. } | Stage::Resuming => Some(switch),
        }
    }

    fn fail_switch(&mut self, switch: &Switch, why: String) {
        // What failed first is why; of an earlier request it says nothing.
        if self.switched.failed.as_ref().is_none_or(|(of, _)| *of != switch.request) {
            self.switched.failed = Some((switch.request, why));
        }
    }
}

/// What comes of its steps.
impl Decider {
    /// Whether the master has given up its role for a switchover, or may be about to.
    pub(super) fn has_ceded(&self) -> bool {
        self.cedes() || self.progress.switch.as_ref().is_some_and(Switch::is_ceded)
    }

    /// Whether a command is on its way that has the master treat writes in another way.
    fn is_told_to_cede_or_hold(&self) -> bool {
        self.cedes() || matches!(self.in_flight, Some((_, Step::HoldWrites { .. })))
    }

    fn cedes(&self) -> bool {
        matches!(self.in_flight, Some((_, Step::Cede { .. })))
    }

    /// The switchover, where one is under way.
    fn switch_mut(&mut self) -> Option<&mut Switch> {
        self.progress.switch.as_mut()
    }

    pub(super) fn writes_are_held(&mut self, now: Instant, held: bool) {
        if let Some(switch) = self.switch_mut() {
            (switch.stage, switch.seen) = (Stage::Holding { since: now, held }, None);
            self.switched.held = Some(now);
        }
    }

    pub(super) fn writes_go_on(&mut self) {
        // Whether it was heard or not: writes are not held for long.
        self.progress.switch = None;
    }

    /// The master was told to give up its role, and said this, or nothing: then it may have done it.
    pub(super) fn ceded(&mut self, now: Instant, mut said: BTreeMap<NodeAddr, Evidence>) {
        let Some(mut switch) = self.progress.switch.take() else { return };
        self.progress.ceded.extend([switch.from.clone()]);
        if let Some(said) = said.remove(&switch.from.0) {
            let since = now;
            (switch.stage, switch.seen) = (Stage::Ceded { since, said: Box::new(said) }, None);
        } else {
            self.fail_switch(
                &switch,
                format!("{} did not answer when it was to give up its role", switch.from.0),
            );
            switch.stage = Stage::Resuming;
        }
        self.progress.switch = Some(switch);
    }

    /// A look at the two was taken. `false` where no switchover waits for one.
    pub(super) fn looked_for_switch(&mut self, now: Instant, said: &BTreeMap<NodeAddr, Evidence>) -> bool {
        let Some(switch) = self.switch_mut() else { return false };
        let of_the_master = match &switch.stage {
            Stage::Approaching | Stage::Holding { .. } => said.get(&switch.from.0),
            Stage::Ceded { said, .. } => Some(&**said),
            Stage::Resuming | Stage::Failed => return false,
        };
        let gap = match (of_the_master, said.get(&switch.to)) {
            (Some(master), Some(it))
                if it.history.replid == master.history.replid && !it.role.is_master() =>
            {
                Gap::Bytes(master.history.offset.saturating_sub(it.history.offset))
            }
            _ => Gap::Unknown,
        };
        switch.seen = Some((now, gap));
        true
    }

    /// Nodes were frozen: the master that gave up its role for this is as good as frozen, too.
    pub(super) fn with_ceded(&self, evidence: &mut BTreeMap<NodeAddr, Evidence>) {
        if let Some(Switch { from: (master, _), stage: Stage::Ceded { said, .. }, .. }) =
            &self.progress.switch
        {
            evidence.entry(master.clone()).or_insert_with(|| (**said).clone());
        }
    }

    /// The clients of the former master were cut off where it was told to follow.
    pub(super) fn note_closed(&mut self, closes: Option<NodeAddr>, heard: &BTreeSet<NodeAddr>) {
        let Some(node) = closes.filter(|node| heard.contains(node)) else { return };
        let run = self.record().and_then(|record| record.unclosed.get(&node).cloned());
        self.progress.closed.extend(run.map(|run| (node, run)));
    }
}
