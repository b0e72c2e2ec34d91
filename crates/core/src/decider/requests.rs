//! What a leader does about the requests of operators: one at a time, the oldest first, and none in a change of master.

mod failover;
mod nodes;
mod pausing;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Decider;
use crate::candidate::Dropped;
use crate::diagnosis::{Diagnosis, diagnose};
use crate::divergence::{Divergence, Keeping};
use crate::founding::Founding;
use crate::names::{Epoch, MonitorId, NodeAddr};
use crate::request::{Answer, Request, RequestId};
use crate::step::{Purpose, Step};
use crate::time::Instant;
use crate::topology::{Found, Phase, Topology};
use crate::view::{Evidence, Role};

pub(super) use failover::Hurried;

/// A published master is opened within so much more than `down_after`, or replaced, or stays closed for long.
const SETTLES: Duration = Duration::from_secs(3);

/// What this leader knows of the requests in this term.
#[derive(Clone, Debug, Default, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Asked {
    /// What was asked for stands in the record.
    pub(super) granted: BTreeSet<RequestId>,
    /// Those that need no further answer.
    pub(super) answered: BTreeSet<RequestId>,
    /// Until when no answer is tried: the last one could not be written. What else there is to do goes on.
    pub(super) rest_until: Option<Instant>,
    /// The request for which all nodes are looked at, and what they said once they were.
    pub(super) look: Option<(RequestId, Option<BTreeMap<NodeAddr, Evidence>>)>,
    /// The request that hurries the next failover.
    pub(super) hurried: Option<Hurried>,
    /// For how long a request waits at most until the master of this epoch takes writes.
    pub(super) settles: Option<(Epoch, Instant)>,
}

impl Decider {
    /// The next step towards the answer of a request, if there is one that can be attended to now.
    pub(super) fn answer_request(&mut self, now: Instant) -> Option<Step> {
        if self.has_ceded() {
            // There is no master: nothing else comes first.
            return None;
        }
        if let Some(until) = self.asked.rest_until.filter(|until| *until > now && !self.requests.is_empty()) {
            self.wake = Some(until);
            return None;
        }
        self.progress.accepted.take_if(|(id, _)| !self.requests.contains_key(id));
        self.drop_withdrawn();
        let open = self.requests.iter().find(|(id, _)| !self.asked.answered.contains(id));
        let (id, request) = open.map(|(id, request)| (*id, request.clone()))?;
        let answer = |answer| Some(Step::Answer { request: id, answer });
        if self.asked.granted.contains(&id) {
            return answer(Answer::Done(request.to_string()));
        }
        let step = match &request {
            Request::Forget { monitor } => self.forget_monitor(id, monitor),
            Request::Adopt { master } => self.adopt_master(now, id, master),
            Request::Resync { node } => self.resync(id, node),
            Request::Failover(wanted) => self.fail_over(now, id, wanted),
            Request::Switchover(wanted) => self.switch_over(now, id, wanted),
            Request::Pause { by, reason, lasts } => self.pause_group(now, id, (by, reason, *lasts)),
            Request::Resume => self.resume_group(id),
            Request::Node { node, order } => self.order_node(now, id, (node, order)),
            Request::Configure { before, after } => self.configure(now, id, (before, after)),
            Request::Unknown(word) => {
                Err(Answer::Refused(format!("the leading monitor {} does not know `{word}`", self.me)))
            }
        };
        step.unwrap_or_else(answer)
    }

    /// The record, once no change is under way.
    ///
    /// # Errors
    /// Where that needs an operator: what he asks for then must not wait behind this.
    pub(super) fn steady_record(&self) -> Result<Option<&Topology>, Answer> {
        if let Some(loss) = self.loss {
            return Err(Answer::Refused(format!("{loss}: adopt a master first")));
        }
        let record = self.record().ok_or_else(|| Answer::Refused("the group has no record yet".into()))?;
        let steady = record.phase == Phase::Steady;
        if !steady && self.stuck.is_some() {
            return Err(nobody_may("`adopt` takes one all the same"));
        }
        Ok(steady.then_some(record))
    }

    /// Whether the published master, which is not that of the epoch that was to be ended, takes writes: who asked is
    /// answered after that. It is waited for once in an epoch, and not for long: later requests wait behind this one,
    /// and among them may be the one that helps.
    ///
    /// # Errors
    /// Once that time is over.
    pub(super) fn is_opened(&mut self, now: Instant) -> Result<bool, Answer> {
        if self.progress.opened.is_some() {
            return Ok(true);
        }
        let Some(facts) = self.facts(now) else { return Ok(false) };
        let (diagnosis, record) = (diagnose(&facts), facts.record);
        let (epoch, until) = (record.epoch, now + record.policy.down_after() + SETTLES);
        let late = self.asked.settles.filter(|(of, _)| *of == epoch);
        if late.is_some_and(|(_, until)| until <= now) {
            let is = format!("{} is published as the master of epoch {epoch}", record.master);
            return Err(Answer::Refused(format!("{is}, and is not known to take writes: {diagnosis}")));
        }
        self.asked.settles = late.or(Some((epoch, until)));
        Ok(false)
    }

    /// Wakes the leader when a request has waited for long enough.
    pub(super) fn wake_for_request(&mut self, now: Instant) {
        let Some((_, until)) = self.asked.settles.filter(|(_, until)| *until > now) else { return };
        self.wake = Some(self.wake.map_or(until, |wake| wake.min(until)));
    }

    /// What the node holds beyond is given up, if it is held for that.
    fn resync(&self, id: RequestId, node: &NodeAddr) -> Result<Option<Step>, Answer> {
        let Some(record) = self.steady_record()? else { return Ok(None) };
        let held = |divergence: &&mut Divergence| divergence.keeping.holds();
        let mut record = record.clone();
        let Some(divergence) = record.diverged.get_mut(node).filter(held) else {
            return Err(Answer::Refused(format!("{node} is not held back for anything that it alone holds")));
        };
        divergence.keeping = Keeping::Discarded;
        Ok(self.commit_as_asked(id, record))
    }

    fn forget_monitor(&self, id: RequestId, monitor: &MonitorId) -> Result<Option<Step>, Answer> {
        let Some(record) = self.steady_record()? else { return Ok(None) };
        if !record.monitors.contains(monitor) {
            let registered = list(record.monitors.iter());
            return Err(Answer::Refused(format!(
                "no monitor {monitor} is registered; these are: {registered}"
            )));
        }
        if *monitor == self.me || self.peers.contains_key(monitor) {
            return Err(Answer::Refused(format!(
                "{monitor} is alive: end it first, or it is registered again"
            )));
        }
        let mut record = record.clone();
        record.monitors.remove(monitor);
        Ok(self.commit_as_asked(id, record))
    }

    fn adopt_master(
        &mut self,
        now: Instant,
        id: RequestId,
        master: &NodeAddr,
    ) -> Result<Option<Step>, Answer> {
        if self.loss.is_none() {
            self.refuse_while_paused(now)?;
        }
        if let Some(accepted) = self.accept(now, id, master) {
            return accepted;
        }
        if let (None, Some(record)) = (self.loss, self.record()) {
            let (epoch, present) = (record.epoch, &record.master);
            let wrong = self.facts(now).map(|facts| diagnose(&facts)).filter(|it| *it != Diagnosis::Healthy);
            return Err(match wrong {
                _ if present != master => Answer::Refused(format!(
                    "the group has a record: its master in epoch {epoch} is {present}"
                )),
                None => Answer::Done(format!("{master} is the recorded master of epoch {epoch} already")),
                Some(wrong) => Answer::Refused(format!(
                    "{master} is the recorded master of epoch {epoch} already, but: {wrong}"
                )),
            });
        }
        let nodes = self.known_nodes();
        if !nodes.contains(master) {
            return Err(Answer::Refused(format!(
                "{master} is no node of the group; these are: {}",
                list(nodes.iter())
            )));
        }
        let looked = self.asked.look.take().filter(|(of, _)| *of == id);
        let Some((_, Some(said))) = looked else {
            self.asked.look = Some((id, None));
            return Ok(Some(Step::Look { nodes }));
        };
        match said.get(master).map(|evidence| &evidence.role) {
            None => return Err(Answer::Refused(format!("{master} does not answer"))),
            Some(Role::Replica { .. }) => {
                let hint = "send REPLICAOF NO ONE to the right master first";
                return Err(Answer::Refused(format!("{master} is a replica: {hint}")));
            }
            Some(Role::Master { .. }) => {}
        }
        let epoch = self.remembered().map_or(Epoch(1), Epoch::next);
        let founding = self.founding(&said);
        let record = founding.adopted(epoch, master, nodes, self.best_known());
        Ok(self.commit_as_asked(id, record))
    }

    /// Where nobody may take over, an operator may say who does, and accepts what is lost by that: the way is that of
    /// any change of master. `None` where the group does not wait for anybody.
    fn accept(
        &mut self,
        now: Instant,
        id: RequestId,
        master: &NodeAddr,
    ) -> Option<Result<Option<Step>, Answer>> {
        let record = self.record().filter(|_| self.loss.is_none())?;
        let accepted = self.progress.accepted.as_ref().is_some_and(|(of, _)| *of == id);
        if accepted && record.phase == Phase::Steady && record.master == *master && self.stuck.is_none() {
            return Some(Err(Answer::Done(format!("{master} is the master of epoch {}", record.epoch))));
        }
        let Some(stuck) = &self.stuck else {
            let may_be_lost = || {
                use Diagnosis::{AwaitingVotes, AwaitingWitness, MasterLost};
                let diagnosis = self.facts(now).map(|facts| diagnose(&facts));
                matches!(diagnosis, Some(MasterLost(_) | AwaitingVotes(_) | AwaitingWitness(_)))
            };
            // A new leader has not looked yet whether anybody may take over.
            let goes_on =
                accepted && (record.phase != Phase::Steady || self.progress.frozen) || may_be_lost();
            // Else the master is back, and nobody takes over from it.
            self.progress.accepted.take_if(|(of, _)| *of == id && !goes_on);
            return goes_on.then_some(Ok(None));
        };
        if !record.nodes().any(|node| node == master) {
            return None;
        }
        if stuck.dropped.get(master) == Some(&Dropped::NotFrozen) {
            return Some(Err(Answer::Refused(format!("{master} does not answer"))));
        }
        if !accepted {
            self.progress.accepted = Some((id, master.clone()));
            self.progress.rest_until = None;
        }
        Some(Ok(None))
    }

    /// The record that is the best to go on from: the remembered one, or the one that stands.
    fn best_known(&self) -> Option<&Topology> {
        let standing = self.predates.as_ref().map(|read| &read.found);
        let standing = standing.and_then(|found| match found {
            Found::Record(record) => Some(&**record),
            Found::Nothing | Found::Predecessor { .. } => None,
        });
        self.record().or(standing)
    }

    /// The nodes of the best known record, and the configured ones where there is none.
    fn known_nodes(&self) -> Vec<NodeAddr> {
        self.best_known().map_or_else(|| self.configured.clone(), |record| record.nodes().cloned().collect())
    }

    fn commit_as_asked(&self, id: RequestId, record: Topology) -> Option<Step> {
        let expected = self.predates.as_ref().or(self.read.as_ref())?.version;
        Some(Step::Commit { expected, record: Box::new(record), purpose: Purpose::Asked(id), entry: None })
    }

    pub(super) fn founding<'a>(&'a self, said: &'a BTreeMap<NodeAddr, Evidence>) -> Founding<'a> {
        Founding {
            me: &self.me,
            peers: &self.peers,
            configured: &self.configured,
            policy: &self.policy,
            said,
        }
    }
}

fn nobody_may(hint: &str) -> Answer {
    Answer::Refused(format!("nobody may take over: `status` says why not, and {hint}"))
}

fn list<T: ToString>(names: impl Iterator<Item = T>) -> String {
    names.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}
