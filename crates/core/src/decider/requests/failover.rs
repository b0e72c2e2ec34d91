//! What a leader does when an operator asks for a failover: it does not wait with one that is due, and begins one that
//! is not if what is lost by that is accepted. What that is, is said first.

use super::{Decider, list, nobody_may};
use crate::diagnosis::{Diagnosis, diagnose};
use crate::failover::Costs;
use crate::names::Epoch;
use crate::plan::Wish;
use crate::request::{Answer, Failover, RequestId};
use crate::step::Step;
use crate::time::Instant;
use crate::topology::Topology;
use crate::verdict::Verdict;

/// A request that hurries a failover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(in super::super) struct Hurried {
    /// The request.
    pub(in super::super) by: RequestId,
    /// The epoch that the failover ends.
    pub(in super::super) epoch: Epoch,
    /// Whether it is begun whatever the votes say.
    pub(in super::super) ordered: bool,
}

impl Decider {
    /// The failover begins; a master that serves is taken away from its clients only where that is accepted.
    pub(super) fn fail_over(
        &mut self,
        now: Instant,
        id: RequestId,
        wanted: &Failover,
    ) -> Result<Option<Step>, Answer> {
        self.steady_record()?;
        self.refuse_while_paused(now)?;
        let Some(record) = self.steady_record()?.cloned() else { return Ok(None) };
        let begun = self.asked.hurried.as_ref().filter(|it| it.by == id).map(|it| it.epoch);
        if begun.or(wanted.epoch).is_some_and(|epoch| epoch < record.epoch) {
            return if self.is_opened(now)? { Err(failed_over(&record, wanted)) } else { Ok(None) };
        }
        if begun.is_some() {
            return self.goes_on(now, &record);
        }
        refuse_to(&record, wanted, self.stuck.is_some())?;
        let due = match self.facts(now).map(|facts| diagnose(&facts)) {
            Some(Diagnosis::MasterLost(_)) if self.changes_now(now) => return Ok(None),
            Some(Diagnosis::MasterLost(_)) => true,
            // It will be known in a moment.
            Some(Diagnosis::AwaitingVotes(_) | Diagnosis::AwaitingWitness(_)) | None => return Ok(None),
            Some(_) if wanted.accept_loss => self.refuse_pause(now).map(|()| false)?,
            Some(Diagnosis::Healthy) => {
                let (master, epoch) = (&record.master, record.epoch);
                return Err(Answer::Refused(format!("{master} serves as the master of epoch {epoch}")));
            }
            Some(other) => {
                return Err(Answer::Refused(format!("{} is not found lost: {other}", record.master)));
            }
        };
        let mut to = None;
        if wanted.to.is_some() || wanted.dry_run || !due {
            let looked = self.asked.look.take().filter(|(of, _)| *of == id);
            let Some((_, Some(said))) = looked else {
                self.asked.look = Some((id, None));
                return Ok(Some(Step::Look { nodes: record.nodes().cloned().collect() }));
            };
            let costs = Costs::new(&record, &said);
            let heir = costs.heir(wanted.to.as_ref(), wanted.accept_loss).map_err(Answer::Refused)?;
            if self.facts(now).is_some_and(|facts| matches!(facts.verdict(&heir), Verdict::Down(_))) {
                let hint = "it would have to be replaced at once";
                return Err(Answer::Refused(format!("most monitors do not reach {heir}: {hint}")));
            }
            if wanted.dry_run {
                return Err(Answer::Done(costs.would(&heir)));
            }
            to = Some(heir);
        }
        let ordered = !due;
        if let Some(to) = to {
            // What it said when it was tried before is not what counts.
            self.progress.tried.remove(&to);
            let (epoch, accepts_loss) = (record.epoch, wanted.accept_loss);
            self.progress.wish = Some(Wish { by: id, epoch, to, accepts_loss });
        }
        // It is tried anew.
        self.stuck = None;
        self.progress.rest_until = None;
        self.asked.hurried = Some(Hurried { by: id, epoch: record.epoch, ordered });
        Ok(None)
    }

    /// What becomes of a failover that was begun and has ended no epoch yet.
    fn goes_on(&mut self, now: Instant, record: &Topology) -> Result<Option<Step>, Answer> {
        let lost = self.facts(now).is_some_and(|facts| matches!(diagnose(&facts), Diagnosis::MasterLost(_)));
        let answer = if self.stuck.is_some() {
            nobody_may("`--to NODE --accept-loss`, or `adopt`, takes one all the same")
        } else if !self.progress.frozen && !lost {
            Answer::Refused(format!("{} serves again as the master of epoch {}", record.master, record.epoch))
        } else {
            return Ok(None);
        };
        (self.asked.hurried, self.progress.wish) = (None, None);
        Err(answer)
    }

    /// Drops what was asked for and is withdrawn. Where nodes were frozen for it, it goes on.
    pub(super) fn drop_withdrawn(&mut self) {
        if self.progress.frozen {
            return;
        }
        self.asked.hurried.take_if(|it| !self.requests.contains_key(&it.by));
        self.progress.wish.take_if(|wish| !self.requests.contains_key(&wish.by));
    }

    fn refuse_pause(&self, now: Instant) -> Result<(), Answer> {
        match self.paused(now) {
            Some(pause) => Err(Answer::Refused(format!("{pause} (redis-failover resume)"))),
            None => Ok(()),
        }
    }

    /// Whether an operator has asked not to wait with the failover that ends this epoch.
    pub(in super::super) fn is_hurried(&self, epoch: Epoch) -> bool {
        let hurried = self.asked.hurried.as_ref();
        hurried.is_some_and(|it| it.epoch == epoch && self.requests.contains_key(&it.by))
    }

    /// Whether an operator has asked for the failover that ends this epoch, whatever the votes say. One for which nodes
    /// were frozen goes on though it was withdrawn.
    pub(in super::super) fn is_ordered(&self, record: &Topology) -> bool {
        let hurried = self.asked.hurried.as_ref().filter(|it| it.ordered && it.epoch == record.epoch);
        hurried.is_some_and(|it| self.progress.frozen || self.requests.contains_key(&it.by))
    }
}

/// Refuses who can't take over at all.
fn refuse_to(record: &Topology, wanted: &Failover, stuck: bool) -> Result<(), Answer> {
    let Some(to) = &wanted.to else { return Ok(()) };
    if *to == record.master {
        let is = format!("{to} is the master of epoch {}", record.epoch);
        let why = if stuck { "and may not lead now: `adopt` takes it all the same" } else { "already" };
        return Err(Answer::Refused(format!("{is} {why}")));
    }
    if !record.nodes().any(|node| node == to) {
        return Err(Answer::Refused(format!(
            "{to} is no node of the group; these are: {}",
            list(record.nodes())
        )));
    }
    Ok(())
}

fn failed_over(record: &Topology, wanted: &Failover) -> Answer {
    let leads = format!("{} is the master of epoch {}", record.master, record.epoch);
    match &wanted.to {
        Some(to) if *to != record.master => Answer::Refused(format!(
            "{to} did not take over (redis-failover explain {}): {leads}",
            record.epoch
        )),
        Some(_) | None => Answer::Done(leads),
    }
}
