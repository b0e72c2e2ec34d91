//! The decider: facts in, one action at a time out. It reads no clock and does nothing by itself.
//!
//! It remembers only what this leader learned in this term, and forgets that with the term. Whoever leads next goes
//! on from the record.

mod attending;
mod beginning;
mod changes;
mod chronicle;
mod copies;
mod deposing;
mod fingerprint;
mod grounds;
mod outcomes;
mod parting;
mod pausing;
mod reading;
mod requests;
mod returns;
mod standing;
mod switching;

use std::collections::{BTreeMap, BTreeSet};

use crate::candidate::Ranking;
use crate::diagnosis::{Diagnosis, Facts, diagnose};
use crate::event::{Event, Leadership, Observation};
use crate::names::{Epoch, MonitorId, NodeAddr, Term};
use crate::plan::{Next, Progress, bars, is_withheld, plan};
use crate::policy::{Discover, Policy};
use crate::request::Requests;
use crate::start::StartRefusal;
use crate::step::{Action, ActionId, Step};
use crate::time::Instant;
use crate::topology::{Found, Topology, Versioned};
use crate::verdict::{Doubt, Electorate, Verdict};
use crate::view::{Attends, Copied, LeadBallot, Peers};
use changes::postponed;
use chronicle::Chronicle;
use pausing::Pausing;
use requests::Asked;
use switching::Switched;

pub use grounds::Grounds;
pub use reading::Loss;

/// What the decider would tell a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether this monitor leads.
    pub leadership: Leadership,
    /// What is wrong with the master; `None` while there is no record.
    pub diagnosis: Option<Diagnosis>,
    /// What all votes say of each node.
    pub verdicts: BTreeMap<NodeAddr, Verdict>,
    /// How many registered monitors are alive and how many must agree, where these are too few for any failover.
    pub too_few: Option<(usize, usize)>,
    /// Why no master could be named at the start.
    pub refusal: Option<StartRefusal>,
    /// Why nobody could take over, when that was last tried.
    pub stuck: Option<Ranking>,
    /// What is wrong with the record itself: nothing is done then, but what an operator asks for.
    pub loss: Option<Loss>,
    /// Until when the failover that is due waits, because others came shortly before it.
    pub postponed_until: Option<Instant>,
    /// How far it is with each request that it has not answered.
    pub attends: Attends,
}

/// One monitor's decisions for one group.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Decider {
    me: MonitorId,
    configured: Vec<NodeAddr>,
    policy: Policy,
    leadership: Leadership,
    read: Option<Versioned>,
    /// Since when the present epoch and phase are known here.
    record_since: Instant,
    /// The term is new, a commit failed, or its outcome is unknown: nothing is decided before the record was read
    /// again.
    must_read: bool,
    /// What was read last cannot be read.
    unreadable: bool,
    /// What was read last, where it is no successor of what is known: the store went back in time, or was emptied.
    predates: Option<Versioned>,
    loss: Option<Loss>,
    /// The last reading was older than what is known: the next one decides whether it was only overtaken.
    overtaken: bool,
    /// The last epoch that was seen to have a master.
    settled: Option<Epoch>,
    /// When each of the latest masters was first seen as published, not counting the first.
    changes: Vec<Instant>,
    /// Since when the master is lost and no change of master has begun.
    lost_since: Option<Instant>,
    /// What is known of a pause.
    pausing: Pausing,
    requests: Requests,
    asked: Asked,
    switched: Switched,
    /// Nothing is begun before this time: the last action could not be begun, or its commit was not written.
    pause_until: Option<Instant>,
    failures: u32,
    /// So many actions in a row could not be begun, up to the last one, if that could not.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    unbegun: Option<u32>,
    peers: Peers,
    /// What this monitor says of who leads.
    lead: Option<LeadBallot>,
    /// Whose lock it has begun to remove, and when.
    deposed: Option<(Term, Instant)>,
    observation: Observation,
    doubt: Option<Doubt>,
    /// Who was seen to hold more than the record knows of.
    followed: BTreeMap<NodeAddr, Copied>,
    progress: Progress,
    /// Who else was alive when this monitor began to leave its group for good.
    leaving: Option<BTreeSet<MonitorId>>,
    attempts: u32,
    in_flight: Option<(ActionId, Step)>,
    next_id: u64,
    refusal: Option<StartRefusal>,
    stuck: Option<Ranking>,
    chronicle: Chronicle,
    wake: Option<Instant>,
}

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
            unreadable: false,
            predates: None,
            loss: None,
            overtaken: false,
            settled: None,
            changes: Vec::new(),
            lost_since: None,
            pausing: Pausing::default(),
            requests: Requests::new(),
            asked: Asked::default(),
            switched: Switched::default(),
            pause_until: None,
            failures: 0,
            unbegun: None,
            peers: Peers::new(),
            lead: None,
            deposed: None,
            observation: Observation::default(),
            doubt: None,
            followed: BTreeMap::new(),
            progress: Progress::default(),
            leaving: None,
            attempts: 0,
            in_flight: None,
            next_id: 0,
            refusal: None,
            stuck: None,
            chronicle: Chronicle::default(),
            wake: None,
        }
    }

    /// Takes in an event.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Leadership(leadership) => {
                // Also where it is the same: a doubt came and went between two looks, and whoever carries actions out
                // has dropped the one under way.
                self.leadership = leadership;
                self.forget();
                self.lift_pause();
                // What was read before may be what an earlier leader has replaced since.
                self.must_read = true;
            }
            Event::TopologyRead(read) => {
                self.must_read = false;
                self.unreadable = false;
                self.read(now, read);
            }
            Event::TopologyUnreadable => self.unreadable = true,
            Event::WallClock(unix_millis) => self.see_wall_clock(now, unix_millis),
            Event::RequestsRead(requests) => self.requests = requests,
            Event::ReportsRead(peers) => self.peers = peers,
            Event::LeaderWatched(lead) => self.lead = lead,
            Event::Observed(observation) => {
                self.observation = observation;
                self.follow_master();
                self.follow_replicas(now);
                self.follow_copies(now);
            }
            Event::Leaving(others) => self.leave(others),
            Event::Finished(id, outcome) => {
                if let Some((_, step)) = self.in_flight.take_if(|(expected, _)| *expected == id) {
                    self.finished(now, step, outcome);
                }
            }
        }
        self.follow_doubt(now);
        self.follow_switch(now);
        self.follow_bars(now);
        self.follow_loss(now);
        self.follow_pause(now);
        self.judge_record();
    }

    /// The next action, if there is one to begin now. At most one is under way at any time.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.wake = None;
        if self.leadership == Leadership::Following {
            return self.depose(now);
        }
        let Leadership::Leading(term) = self.leadership else { return None };
        if self.in_flight.is_some() || self.must_read || self.unreadable {
            return None;
        }
        if let Some(until) = self.pause_until.filter(|until| *until > now) {
            self.wake = Some(until);
            return None;
        }
        self.follow_switch(now);
        let step = if self.leaving.is_some() {
            self.next_parting_step(now)
        } else {
            let asked = self.answer_request(now).or_else(|| self.end_pause(now));
            asked.or_else(|| self.next_step(now))
        };
        self.wake_for_pause(now);
        self.wake_for_request(now);
        let step = self.chronicled(now, step?);
        Some(self.begun(term, step))
    }

    fn begun(&mut self, term: Term, step: Step) -> Action {
        let id = ActionId(self.next_id);
        self.next_id += 1;
        self.in_flight = Some((id, step.clone()));
        Action { id, term, step }
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

    /// The nodes that this monitor should watch: the record's, or the configured ones while there is none. A leader
    /// has a look also at the replicas that the master names and nobody listed.
    pub fn nodes(&self) -> Vec<NodeAddr> {
        let Some(record) = self.record() else { return self.configured.clone() };
        let mut nodes: Vec<_> = record.nodes().cloned().collect();
        let leads = matches!(self.leadership, Leadership::Leading(_));
        if leads && record.policy.discover() != Discover::Off {
            let master = self.observation.sightings.get(&record.master);
            for node in master.into_iter().flat_map(|sighting| &sighting.feeds) {
                if !nodes.contains(node) {
                    nodes.push(node.clone());
                }
            }
        }
        nodes
    }

    /// The greatest epoch that this monitor knows of.
    pub fn remembers(&self) -> Option<Epoch> {
        self.record().map(|record| record.epoch)
    }

    /// Whether the record must be read again before anything can be decided.
    pub fn must_read(&self) -> bool {
        self.must_read
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
            too_few: facts.as_ref().and_then(|facts| facts.electorate.too_few()),
            refusal: self.refusal.clone(),
            stuck: self.stuck.clone(),
            loss: self.loss,
            postponed_until: facts.as_ref().and_then(|facts| postponed(facts)),
            attends: self.attends(now),
        }
    }

    fn facts(&self, now: Instant) -> Option<Facts<'_>> {
        self.facts_while(now, self.has_ceded())
    }

    /// The facts, the master having given up its role for a switchover or not.
    fn facts_while(&self, now: Instant, ceded: bool) -> Option<Facts<'_>> {
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
            followed: &self.followed,
            postponed_until: self.postponed_until(now, record),
            ceded,
            paused: self.paused(now).is_some(),
            ordered: self.is_ordered(record),
            frozen: self.progress.evidence.get(&record.master).filter(|_| self.progress.frozen),
        })
    }

    /// Keeps what the replicas still hear since the master came into trouble.
    fn follow_doubt(&mut self, now: Instant) {
        if self.observation.sightings.is_empty() {
            // This monitor stood still: what it heard before is no answer to a doubt that begins now.
            self.doubt = None;
        }
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

    /// Keeps what replicas that were left behind must reach.
    fn follow_bars(&mut self, now: Instant) {
        let bars = self.facts(now).map(|facts| bars(&facts, &self.progress));
        self.progress.bars = bars.unwrap_or_default();
    }

    fn next_step(&mut self, now: Instant) -> Option<Step> {
        if self.loss.is_some() {
            return None;
        }
        let Some(facts) = self.facts(now) else { return self.begin(now) };
        let version = self.read.as_ref().map(|read| read.version).unwrap_or_default();
        let lost = matches!(diagnose(&facts), Diagnosis::MasterLost(_) | Diagnosis::ChangeUnfinished);
        let next = plan(&facts, version, &self.progress);
        if !lost || is_withheld(&facts, &self.progress) {
            // Nobody is waited for any more: the master is back as it was, or nobody is to take over.
            self.stuck = None;
        }
        if !lost {
            // What was read for a change that did not come about is no evidence for the next one.
            self.progress.frozen &= self.has_ceded();
        }
        match next {
            Next::Do(step) => Some(step),
            Next::Wait(until) => {
                self.wake = until;
                self.amend(now)
            }
            Next::Stuck(ranking) => {
                self.stuck = Some(ranking);
                self.progress.evidence.clear();
                self.rest(now);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::step::Outcome;
    use crate::topology::{Member, Version};

    fn at(millis: u64) -> Instant {
        Instant::from_millis(10_000 + millis)
    }

    /// A leader that adopts the predecessor's document: its first step is a commit.
    fn adopting() -> (Decider, Versioned) {
        let me: MonitorId = "m1".parse().expect("an id");
        let master = Member { addr: NodeAddr::new("a", 1), ok: true };
        let found = Found::Predecessor { master: master.clone(), replicas: Vec::new() };
        let read = Versioned { version: Version { order: 7, document: 1, state: None }, found };
        let mut decider = Decider::new(me, vec![master.addr], Policy::default(), at(0));
        decider.handle(at(0), Event::Leadership(Leadership::Leading(Term(1))));
        (decider, read)
    }

    #[test]
    fn a_new_term_reads_the_record_before_it_decides() {
        let (mut decider, read) = adopting();
        assert_eq!(decider.poll_action(at(0)), None);
        decider.handle(at(1), Event::TopologyRead(read.clone()));
        assert!(decider.poll_action(at(1)).is_some());
        decider.handle(at(2), Event::Leadership(Leadership::Suspended));
        decider.handle(at(3), Event::Leadership(Leadership::Leading(Term(1))));
        assert_eq!(decider.poll_action(at(3)), None, "what was read before the doubt is old");
    }

    #[test]
    fn a_doubt_that_nobody_saw_ends_what_was_under_way_all_the_same() {
        let (mut decider, read) = adopting();
        decider.handle(at(1), Event::TopologyRead(read.clone()));
        let begun = decider.poll_action(at(1)).expect("the first step");
        assert_eq!(decider.poll_action(at(2)), None, "one at a time");
        decider.handle(at(3), Event::Leadership(Leadership::Leading(Term(1))));
        assert_eq!(decider.poll_action(at(3)), None, "it reads first");
        decider.handle(at(4), Event::TopologyRead(read));
        assert_eq!(decider.poll_action(at(4)).map(|action| action.step), Some(begun.step));
    }

    #[test]
    fn a_refused_commit_is_tried_again_ever_more_rarely() {
        let (mut decider, read) = adopting();
        let mut now = at(0);
        let mut rests = Vec::new();
        for _ in 0..4 {
            decider.handle(now, Event::TopologyRead(read.clone()));
            let action = decider.poll_action(now).expect("a commit");
            decider.handle(now, Event::Finished(action.id, Outcome::NotCommitted));
            assert_eq!(decider.poll_action(now), None, "nothing before the record is read again");
            decider.handle(now, Event::TopologyRead(read.clone()));
            assert_eq!(decider.poll_action(now), None, "nor at once then");
            let wake = decider.poll_timeout().expect("a time to wake");
            rests.push(wake.since(now));
            now = wake;
        }
        assert_eq!(rests, [100, 200, 400, 800].map(Duration::from_millis));
    }

    #[test]
    fn what_could_not_be_begun_is_tried_ever_more_rarely_until_the_lead_is_sure_again() {
        let (mut decider, read) = adopting();
        decider.handle(at(0), Event::TopologyRead(read.clone()));
        let mut now = at(0);
        for rest in [100, 200, 400, 800] {
            let action = decider.poll_action(now).expect("a commit");
            decider.handle(now, Event::Finished(action.id, Outcome::NotBegun));
            assert_eq!(decider.poll_action(now), None);
            let wake = decider.poll_timeout().expect("a time to wake");
            assert_eq!(wake.since(now), Duration::from_millis(rest));
            now = if rest == 800 { now } else { wake };
        }
        decider.handle(now, Event::Leadership(Leadership::Leading(Term(1))));
        decider.handle(now, Event::TopologyRead(read.clone()));
        let action = decider.poll_action(now).expect("a commit, at once");
        // One that was begun and not written waits, whoever leads.
        decider.handle(now, Event::Finished(action.id, Outcome::NotCommitted));
        decider.handle(now, Event::Leadership(Leadership::Leading(Term(1))));
        decider.handle(now, Event::TopologyRead(read));
        assert_eq!(decider.poll_action(now), None);
        assert_eq!(decider.poll_timeout(), Some(now + Duration::from_millis(100)));
    }

    #[test]
    fn another_seed_counts_until_there_is_a_record() {
        let me: MonitorId = "m1".parse().expect("an id");
        let (one, other) = (NodeAddr::new("a", 1), NodeAddr::new("b", 1));
        let mut decider = Decider::new(me, vec![one.clone()], Policy::default(), at(0));
        decider.handle(at(0), Event::Leadership(Leadership::Leading(Term(1))));
        let read = Versioned { version: Version::default(), found: Found::Nothing };
        decider.handle(at(0), Event::TopologyRead(read));
        let look = |node: &NodeAddr| Step::Look { nodes: vec![node.clone()] };
        let action = decider.poll_action(at(5_000)).expect("a look");
        assert_eq!(action.step, look(&one));
        decider.handle(at(5_000), Event::Finished(action.id, Outcome::Read(BTreeMap::new())));
        assert_eq!(decider.poll_action(at(5_000)), None);
        assert!(decider.status(at(5_000)).refusal.is_some(), "nobody answers");

        decider.seed(vec![other.clone()], Policy::default());
        assert_eq!(decider.nodes(), std::slice::from_ref(&other));
        let action = decider.poll_action(at(5_001)).expect("another look, at once");
        assert_eq!(action.step, look(&other));

        let (mut decider, read) = adopting();
        decider.handle(at(1), Event::TopologyRead(read));
        let action = decider.poll_action(at(1)).expect("a commit");
        decider.handle(at(2), Event::Finished(action.id, Outcome::Committed(Version::default())));
        decider.seed(vec![other], Policy::default());
        assert_eq!(decider.nodes(), [one]);
    }

    #[test]
    fn nothing_is_done_while_the_record_is_lost_or_unreadable() {
        let (mut decider, read) = adopting();
        decider.handle(at(1), Event::TopologyRead(read.clone()));
        decider.handle(at(2), Event::TopologyUnreadable);
        assert_eq!(decider.poll_action(at(2)), None);
        assert_eq!(decider.status(at(2)).loss, Some(Loss::Unreadable));
        decider.handle(at(3), Event::TopologyRead(read));
        assert!(decider.poll_action(at(3)).is_some());
    }

    #[test]
    fn the_outcome_of_an_action_of_another_term_changes_nothing() {
        let (mut decider, read) = adopting();
        decider.handle(at(1), Event::TopologyRead(read.clone()));
        let action = decider.poll_action(at(1)).expect("a commit");
        decider.handle(at(2), Event::Leadership(Leadership::Following));
        let before = decider.read.clone();
        decider.handle(at(3), Event::Finished(action.id, Outcome::Committed(Version::default())));
        assert_eq!(decider.read, before);
        assert_eq!(decider.poll_action(at(3)), None);
    }

    #[test]
    fn an_answer_that_cannot_be_written_holds_up_nothing_else() {
        let (mut decider, read) = adopting();
        let request = crate::request::Request::Unknown("dance".into());
        decider.handle(at(1), Event::RequestsRead([(crate::request::RequestId(1), request)].into()));
        decider.handle(at(1), Event::TopologyRead(read));
        let first = decider.poll_action(at(1)).expect("an answer");
        assert!(matches!(first.step, Step::Answer { .. }), "{}", first.step);
        decider.handle(at(2), Event::Finished(first.id, Outcome::NotAnswered));
        let second = decider.poll_action(at(2)).expect("a commit");
        assert!(matches!(second.step, Step::Commit { .. }), "{}", second.step);
        let version = Version { order: 8, document: 2, state: Some(0) };
        decider.handle(at(3), Event::Finished(second.id, Outcome::Committed(version)));
        let again = decider.poll_action(at(1_002)).expect("the answer again");
        assert!(matches!(again.step, Step::Answer { .. }), "{}", again.step);
    }
}
