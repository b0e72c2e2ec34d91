//! The decider: facts in, one action at a time out. It reads no clock and does nothing by itself.
//!
//! It remembers only what this leader learned in this term, and forgets that with the term. Whoever leads next goes
//! on from the record.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::candidate::Ranking;
use crate::diagnosis::{Diagnosis, Facts, diagnose};
use crate::event::{Event, Leadership, Observation};
use crate::founding::Founding;
use crate::names::{MonitorId, NodeAddr};
use crate::plan::{Next, Progress, Promotion, confirms, plan};
use crate::policy::Policy;
use crate::start::StartRefusal;
use crate::step::{Action, ActionId, Outcome, Purpose, Step};
use crate::time::Instant;
use crate::topology::{Found, Phase, Topology, Version, Versioned};
use crate::verdict::{Doubt, Electorate, Verdict};
use crate::view::{Evidence, Peers, Vote};

/// What the decider would tell a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether this monitor leads.
    pub leadership: Leadership,
    /// What is wrong with the master; `None` while there is no record.
    pub diagnosis: Option<Diagnosis>,
    /// What all votes say of each node.
    pub verdicts: BTreeMap<NodeAddr, Verdict>,
    /// Why no master could be named at the start.
    pub refusal: Option<StartRefusal>,
    /// Why nobody could take over, when that was last tried.
    pub stuck: Option<Ranking>,
    /// The record is gone, or older than this monitor remembers: nothing is done until a newer one stands.
    pub record_lost: bool,
}

/// One monitor's decisions for one group.
#[derive(Clone, Debug)]
pub struct Decider {
    me: MonitorId,
    configured: Vec<NodeAddr>,
    policy: Policy,
    leadership: Leadership,
    read: Option<Versioned>,
    /// Since when the present epoch and phase are known here.
    record_since: Instant,
    /// A commit failed, or its outcome is unknown: nothing is decided before the record was read again.
    must_read: bool,
    /// What was read last is no successor of what is known.
    record_lost: bool,
    peers: Peers,
    observation: Observation,
    doubt: Option<Doubt>,
    progress: Progress,
    attempts: u32,
    in_flight: Option<(ActionId, Step)>,
    next_id: u64,
    refusal: Option<StartRefusal>,
    stuck: Option<Ranking>,
    wake: Option<Instant>,
}

/// The rest after a first failed attempt; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_millis(100);

/// The longest rest between attempts.
const LONGEST_REST: Duration = Duration::from_secs(5);

impl Decider {
    /// A decider for monitor `me`; `configured` and `policy` only seed a group that has no record yet.
    pub fn new(me: MonitorId, configured: Vec<NodeAddr>, policy: Policy, now: Instant) -> Self {
        Self {
            me,
            configured,
            policy,
            leadership: Leadership::Following,
            read: None,
            record_since: now,
            must_read: false,
            record_lost: false,
            peers: Peers::new(),
            observation: Observation::default(),
            doubt: None,
            progress: Progress::default(),
            attempts: 0,
            in_flight: None,
            next_id: 0,
            refusal: None,
            stuck: None,
            wake: None,
        }
    }

    /// Takes in an event.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Leadership(leadership) => {
                if leadership != self.leadership {
                    self.leadership = leadership;
                    self.forget();
                }
            }
            Event::TopologyRead(read) => {
                self.must_read = false;
                self.adopt(now, read);
            }
            Event::ReportsRead(peers) => self.peers = peers,
            Event::Observed(observation) => self.observation = observation,
            Event::Finished(id, outcome) => {
                if let Some((_, step)) = self.in_flight.take_if(|(expected, _)| *expected == id) {
                    self.finished(now, step, outcome);
                }
            }
        }
        self.follow_doubt(now);
    }

    /// The next action, if there is one to begin now. At most one is under way at any time.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.wake = None;
        let Leadership::Leading(term) = self.leadership else { return None };
        if self.in_flight.is_some() || self.must_read || self.record_lost {
            return None;
        }
        let step = self.next_step(now)?;
        let id = ActionId(self.next_id);
        self.next_id += 1;
        self.in_flight = Some((id, step.clone()));
        Some(Action { id, term, step })
    }

    /// When to ask [`Decider::poll_action`] again though nothing has happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// The record, if ours was read.
    pub fn record(&self) -> Option<&Topology> {
        match self.read.as_ref().map(|read| &read.found) {
            Some(Found::Record(record)) => Some(record),
            Some(Found::Nothing | Found::Predecessor { .. }) | None => None,
        }
    }

    /// The nodes that this monitor should watch: the record's, or the configured ones while there is none.
    pub fn nodes(&self) -> Vec<NodeAddr> {
        self.record().map_or_else(|| self.configured.clone(), |record| record.nodes().cloned().collect())
    }

    /// What there is to tell.
    pub fn status(&self, now: Instant) -> Status {
        let facts = self.facts(now);
        let verdicts = |facts: &Facts<'_>| {
            facts.record.nodes().map(|node| (node.clone(), facts.verdict(node))).collect()
        };
        Status {
            leadership: self.leadership,
            diagnosis: facts.as_ref().map(diagnose),
            verdicts: facts.as_ref().map(verdicts).unwrap_or_default(),
            refusal: self.refusal.clone(),
            stuck: self.stuck.clone(),
            record_lost: self.record_lost,
        }
    }

    fn facts(&self, now: Instant) -> Option<Facts<'_>> {
        let record = self.record()?;
        Some(Facts {
            now,
            record,
            record_since: self.record_since,
            electorate: Electorate {
                me: &self.me,
                own: &self.observation.ballots,
                peers: &self.peers,
                registered: &record.monitors,
                policy: &record.policy,
            },
            sightings: &self.observation.sightings,
            doubt: self.doubt.as_ref(),
        })
    }

    /// Forgets what belonged to the term that is over.
    fn forget(&mut self) {
        self.progress = Progress::default();
        self.in_flight = None;
        self.attempts = 0;
        self.stuck = None;
        self.refusal = None;
    }

    fn adopt(&mut self, now: Instant, read: Versioned) {
        let epoch = self.record().map(|record| record.epoch);
        self.record_lost = match &read.found {
            Found::Record(record) => epoch.is_some_and(|known| known > record.epoch),
            Found::Nothing | Found::Predecessor { .. } => epoch.is_some(),
        };
        // A lagging server's reading, or our own commit overtaken by the reading before it, is old news.
        let old = self.read.as_ref().is_some_and(|known| known.version.order > read.version.order);
        if self.record_lost || old {
            return;
        }
        let changed = match (self.record(), &read.found) {
            (Some(old), Found::Record(new)) => old.epoch != new.epoch || old.phase != new.phase,
            _ => true,
        };
        if changed {
            self.record_since = now;
            self.progress.promotion = Promotion::Untried;
        }
        self.read = Some(read);
    }

    /// Keeps what the replicas still hear since the master came into trouble.
    fn follow_doubt(&mut self, now: Instant) {
        let Some(facts) = self.facts(now) else { return };
        let master = &facts.record.master;
        let down = matches!(facts.verdict(master), Verdict::Down(_));
        let since = self.observation.troubles.get(master).copied().or(down.then_some(now));
        match (since, &mut self.doubt) {
            (None, doubt) => *doubt = None,
            (Some(since), doubt @ None) => *doubt = Some(Doubt::new(since)),
            (Some(_), Some(_)) => {}
        }
        if let Some(doubt) = &mut self.doubt {
            doubt.look(&self.observation.sightings);
        }
    }

    fn next_step(&mut self, now: Instant) -> Option<Step> {
        let Some(facts) = self.facts(now) else { return self.begin(now) };
        let version = self.read.as_ref().map(|read| read.version).unwrap_or_default();
        match plan(&facts, version, &self.progress) {
            Next::Do(step) => Some(step),
            Next::Wait(until) => {
                self.wake = until;
                None
            }
            Next::Stuck(ranking) => {
                self.stuck = Some(ranking);
                self.progress.evidence.clear();
                self.rest(now);
                None
            }
        }
    }

    /// The way to the first record of a group: adopt the predecessor's, or look at all nodes and name a master.
    fn begin(&mut self, now: Instant) -> Option<Step> {
        let read = self.read.as_ref()?;
        let founding = Founding {
            me: &self.me,
            peers: &self.peers,
            configured: &self.configured,
            policy: &self.policy,
            said: &self.progress.evidence,
        };
        if let Found::Predecessor { master, replicas } = &read.found {
            return Some(founding.adopt(read.version, master, replicas));
        }
        if let Some(until) = self.progress.rest_until.filter(|until| *until > now) {
            self.wake = Some(until);
            return None;
        }
        if !self.progress.frozen {
            let ballots = &self.observation.ballots;
            let unheard = |node| ballots.get(node).is_none_or(|ballot| ballot.vote == Vote::Unknown);
            // Every node was heard of once, or had a little time.
            let patience = self.record_since + self.policy.down_after();
            if self.configured.iter().any(unheard) && now < patience {
                self.wake = Some(patience);
                return None;
            }
            return Some(Step::Look { nodes: self.configured.clone() });
        }
        match founding.found(read.version) {
            Ok(step) => Some(step),
            Err(refusal) => {
                self.refusal = Some(refusal);
                self.rest(now);
                None
            }
        }
    }

    fn finished(&mut self, now: Instant, step: Step, outcome: Outcome) {
        match (step, outcome) {
            (_, Outcome::NotBegun) => {}
            (Step::Commit { record, purpose, .. }, Outcome::Committed(version)) => {
                self.committed(now, *record, purpose, version);
            }
            (Step::Commit { .. }, _) => self.must_read = true,
            (Step::Freeze { .. }, Outcome::Read(evidence)) => {
                self.progress.evidence = evidence;
                self.progress.frozen = true;
            }
            (Step::Look { .. }, Outcome::Read(evidence)) => self.looked(now, evidence),
            (Step::Promote { intent, .. }, Outcome::Promoted(evidence)) => {
                // Whatever came of it, what the node said before is over.
                self.progress.evidence.remove(&intent.node);
                self.progress.promotion = match evidence {
                    Some(evidence) if confirms(&intent, &evidence) => Promotion::Confirmed(evidence),
                    Some(_) | None => Promotion::Unclear,
                };
            }
            (Step::Open { node, run, .. }, Outcome::Done(done)) => {
                if done.contains(&node) {
                    self.progress.opened = Some((node, run, now));
                } else {
                    self.progress.rest_until = Some(now + FIRST_REST);
                }
            }
            (Step::Follow { nodes, .. }, Outcome::Done(done)) => {
                for node in nodes {
                    self.progress.evidence.remove(&node);
                    self.progress.told.insert(node, now);
                }
                self.progress.unsaved.extend(done);
            }
            (Step::Persist { nodes }, _) => {
                for node in nodes {
                    self.progress.unsaved.remove(&node);
                }
            }
            // An executor that answers another question than it was asked: ask again, after a rest.
            (
                Step::Freeze { .. }
                | Step::Look { .. }
                | Step::Promote { .. }
                | Step::Open { .. }
                | Step::Follow { .. },
                _,
            ) => self.rest(now),
        }
    }

    fn committed(&mut self, now: Instant, record: Topology, purpose: Purpose, version: Version) {
        self.adopt(now, Versioned { version, found: Found::Record(Box::new(record)) });
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
                self.progress.told.clear();
                if let Some(master) = self.record().map(|record| record.master.clone()) {
                    self.progress.evidence.remove(&master);
                    self.progress.unsaved.insert(master);
                }
            }
            Purpose::OpenEpoch | Purpose::Refresh => {}
        }
    }

    fn looked(&mut self, now: Instant, evidence: BTreeMap<NodeAddr, Evidence>) {
        let Some(record) = self.record() else {
            self.progress.evidence = evidence;
            self.progress.frozen = true;
            return;
        };
        let Phase::FailingOver(change) = &record.phase else { return };
        let said = evidence.get(&change.intent.node);
        if let Some(said) = said.filter(|said| confirms(&change.intent, said)) {
            self.progress.promotion = Promotion::Confirmed(said.clone());
            return;
        }
        if self.progress.promotion == Promotion::Unclear {
            self.rest(now);
        }
        self.progress.promotion = Promotion::Failed;
        self.progress.evidence.clear();
        self.progress.frozen = false;
    }

    /// Rests after a failed attempt, twice as long each time.
    fn rest(&mut self, now: Instant) {
        self.progress.frozen = false;
        let rest = FIRST_REST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST_REST);
        self.attempts += 1;
        self.progress.rest_until = Some(now + rest);
        self.wake = self.progress.rest_until;
    }
}
