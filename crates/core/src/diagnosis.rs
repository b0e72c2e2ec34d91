//! What is wrong with a group: one word of a closed list. What to do about it is the plan's affair.

use std::collections::BTreeMap;
use std::fmt;

use crate::names::NodeAddr;
use crate::time::Instant;
use crate::topology::{Phase, Reason, Topology};
use crate::verdict::{Doubt, Electorate, Verdict, Witness};
use crate::view::{Copied, Evidence, Sighting, Vote};

/// What is wrong with the master, most urgent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// An epoch was opened and not published.
    ChangeUnfinished,
    /// It must be replaced.
    MasterLost(Reason),
    /// A quorum can't reach it, but this replica still hears it: it is isolated from us and left alone.
    MasterIsolated(NodeAddr),
    /// A quorum can't reach it; until this time a replica whose link stands may show that it still hears it.
    AwaitingWitness(Instant),
    /// It is back for this monitor, and what a quorum said against it may be older: until this time the others may say
    /// that they see it, too.
    AwaitingVotes(Instant),
    /// It has given up its role for a switchover that is under way.
    MasterCeded,
    /// Some monitors can't reach it, but no quorum.
    MasterDoubted,
    /// Nothing is known of it yet.
    MasterUnknown,
    /// It is there.
    Healthy,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChangeUnfinished => f.write_str("a change of master is under way"),
            Self::MasterLost(Reason::Ordered) => f.write_str("an operator has the master replaced"),
            Self::MasterLost(reason) => write!(f, "the master is lost ({reason})"),
            Self::MasterIsolated(witness) => {
                write!(f, "the master is out of our reach, but {witness} still hears it: left alone")
            }
            Self::AwaitingWitness(_) => f.write_str("the master is out of reach, asking its replicas"),
            Self::AwaitingVotes(_) => {
                f.write_str("the master is back, waiting for the other monitors' votes")
            }
            Self::MasterCeded => f.write_str("a switchover is under way"),
            Self::MasterDoubted => f.write_str("some monitors cannot reach the master, but no quorum"),
            Self::MasterUnknown => f.write_str("nothing is known of the master yet"),
            Self::Healthy => f.write_str("the master is well"),
        }
    }
}

/// Everything that a diagnosis rests on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The present.
    pub now: Instant,
    /// What was agreed.
    pub record: &'a Topology,
    /// Since when this reader knows of this epoch and phase: what was asked before says nothing about it.
    pub record_since: Instant,
    /// The votes.
    pub electorate: Electorate<'a>,
    /// The reader's own last answers of the nodes.
    pub sightings: &'a BTreeMap<NodeAddr, Sighting>,
    /// What was seen of the replicas since the master came into doubt; `None` if it is not in doubt.
    pub doubt: Option<&'a Doubt>,
    /// Who was seen to hold more than the record knows of.
    pub followed: &'a BTreeMap<NodeAddr, Copied>,
    /// Until when a failover that is not begun yet should wait, because others came shortly before.
    pub postponed_until: Option<Instant>,
    /// Whether the reader itself has had the master give up its role, for a switchover.
    pub ceded: bool,
    /// Whether an operator has said that none is to be begun.
    pub paused: bool,
    /// Whether an operator has said that one is to be begun, whatever the votes say.
    pub ordered: bool,
    /// What the master said as the reader itself froze it, for the change that it prepares.
    pub frozen: Option<&'a Evidence>,
}

impl Facts<'_> {
    /// What the votes say of `node`.
    pub fn verdict(&self, node: &NodeAddr) -> Verdict {
        self.electorate.verdict(node, self.now)
    }

    /// The last answer of `node` that was asked for since `from` and since this epoch and phase began.
    pub fn fresh(&self, node: &NodeAddr, from: Option<Instant>) -> Option<&Sighting> {
        let since = from.map_or(self.record_since, |from| from.max(self.record_since));
        self.sightings.get(node).filter(|sighting| sighting.asked > since)
    }
}

/// Says what is wrong with the master.
pub fn diagnose(facts: &Facts<'_>) -> Diagnosis {
    match of_the_master(facts) {
        found @ (Diagnosis::ChangeUnfinished
        | Diagnosis::MasterLost(
            Reason::Refused | Reason::Silent | Reason::Unusable | Reason::Restarted,
        )) => found,
        // Who is frozen for it is found demoted.
        _ if facts.ordered => Diagnosis::MasterLost(Reason::Ordered),
        found => found,
    }
}

fn of_the_master(facts: &Facts<'_>) -> Diagnosis {
    let record = facts.record;
    if matches!(record.phase, Phase::FailingOver(_)) {
        return Diagnosis::ChangeUnfinished;
    }
    let seen = facts.fresh(&record.master, None);
    let is_other_life =
        |it: &Sighting| record.master_run.as_ref().is_some_and(|run| *run != it.run) && it.role.is_master();
    if seen.is_some_and(is_other_life) {
        // Votes that find the earlier life dead change nothing about it, and there is no time to ask its replicas:
        // they are about to follow this one.
        return Diagnosis::MasterLost(Reason::Restarted);
    }
    if let Verdict::Down(reason) = facts.verdict(&record.master) {
        return beyond_reach(facts, reason);
    }
    if facts.ceded {
        return Diagnosis::MasterCeded;
    }
    // Who does not reach it any more does not know what it is by now, unless he made it that.
    let answers = facts.electorate.own.get(&record.master).is_some_and(|ballot| ballot.vote == Vote::Up);
    if (answers || facts.frozen.is_some()) && seen.is_some_and(|it| !it.role.is_master()) {
        return Diagnosis::MasterLost(Reason::Demoted);
    }
    match facts.verdict(&record.master) {
        Verdict::Doubted => Diagnosis::MasterDoubted,
        Verdict::Unknown => Diagnosis::MasterUnknown,
        Verdict::Up | Verdict::Down(_) => Diagnosis::Healthy,
    }
}

fn beyond_reach(facts: &Facts<'_>, reason: Reason) -> Diagnosis {
    let others_may_vote = back_since(facts).map(|since| since + facts.record.policy.down_after());
    if let Some(until) = others_may_vote.filter(|until| facts.now < *until) {
        return Diagnosis::AwaitingVotes(until);
    }
    // A master that answers, though only with errors, is not out of reach: its replicas may well hear it.
    let Some(doubt) = facts.doubt.filter(|_| reason != Reason::Unusable) else {
        return Diagnosis::MasterLost(reason);
    };
    let record = facts.record;
    // A stranger that the master fed may follow another by now, and need not be where it said.
    let members =
        facts.electorate.own.iter().filter(|(node, _)| record.nodes().any(|member| member == *node));
    let own = members.map(|(node, ballot)| (node.clone(), *ballot)).collect();
    match doubt.witness(&record.master, &own, facts.sightings, &record.policy, facts.now) {
        Witness::Speaks(node) => Diagnosis::MasterIsolated(node),
        Witness::Awaited(until) => Diagnosis::AwaitingWitness(until),
        Witness::None => Diagnosis::MasterLost(reason),
    }
}

/// Since when this monitor reaches the published master, as that and in the published run.
///
/// Not since before it was published: who has just been made master in spite of the votes against it is given the same
/// time as one that is back, or it would be replaced, by itself, as fast as the leader can.
fn back_since(facts: &Facts<'_>) -> Option<Instant> {
    let (master, run) = (&facts.record.master, facts.record.master_run.as_ref());
    let own = facts.electorate.own.get(master).filter(|ballot| ballot.vote == Vote::Up)?;
    let is_other = |it: &Sighting| Some(&it.run) != run || !it.role.is_master();
    (!facts.fresh(master, None).is_some_and(is_other)).then_some(own.since.max(facts.record_since))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::names::{Epoch, MonitorId, ReplId, RunId};
    use crate::policy::Policy;
    use crate::position::History;
    use crate::topology::Member;
    use crate::view::{Ballot, Ballots, Link, Peer, Peers, Role};

    fn at(millis: u64) -> Instant {
        Instant::from_millis(10_000 + millis)
    }

    fn node(host: &str) -> NodeAddr {
        NodeAddr::new(host, 1)
    }

    fn sighting(asked: Instant, run: &str, role: Role) -> Sighting {
        let history = History { replid: ReplId("r".into()), offset: 5, previous: None };
        Sighting {
            asked,
            run: RunId(run.into()),
            role,
            history,
            guarded: false,
            good_replicas: 0,
            feeds: Vec::new(),
        }
    }

    /// What is wrong at 20 ms with master a, recorded in its run 1, of which m2 and m3 say `peers`, and which m1, who
    /// leads, saw in `run`. Replica b, whose link stood when it was last asked, was not asked since.
    fn diagnosis(run: &str, peers: Vote) -> Diagnosis {
        diagnosis_since(at(0), run, peers)
    }

    /// The same of a record that is known since then.
    fn diagnosis_since(record_since: Instant, run: &str, peers: Vote) -> Diagnosis {
        let leads = Role::Master { replicas: 0 };
        diagnosis_where(record_since, (run, leads), Vote::Up, None, peers)
    }

    /// The same where m1 saw a in this role, says this of it now, and has frozen it or not.
    fn diagnosis_where(
        record_since: Instant,
        (run, role): (&str, Role),
        own: Vote,
        frozen: Option<&Evidence>,
        peers: Vote,
    ) -> Diagnosis {
        let id = |name: &str| name.parse::<MonitorId>().expect("an id");
        let record = Topology {
            master_run: Some(RunId("1".into())),
            members: ["a", "b"].map(|host| Member { addr: node(host), ok: true }).into(),
            monitors: BTreeSet::from(["m1", "m2", "m3"].map(id)),
            ..Topology::new(Epoch(1), node("a"), Policy::default())
        };
        let vote = |vote| Ballot { vote, since: at(10) };
        let own = Ballots::from([(node("a"), vote(own)), (node("b"), vote(Vote::Up))]);
        let peer = Peer { ballots: Ballots::from([(node("a"), vote(peers))]), ..Peer::default() };
        let others = Peers::from(["m2", "m3"].map(|name| (id(name), peer.clone())));
        let replica = Role::Replica { of: Some(node("a")), link: Link::Up, received: 5 };
        let sightings = BTreeMap::from([
            (node("a"), sighting(at(15), run, role)),
            (node("b"), sighting(at(5), "1", replica)),
        ]);
        let me = id("m1");
        let electorate = Electorate {
            me: &me,
            own: &own,
            peers: &others,
            registered: &record.monitors,
            policy: &record.policy,
        };
        let doubt = Doubt::new(at(10));
        let doubt = Some(&doubt);
        diagnose(&Facts {
            now: at(20),
            record: &record,
            record_since,
            electorate,
            sightings: &sightings,
            doubt,
            followed: &BTreeMap::new(),
            postponed_until: None,
            ceded: false,
            paused: false,
            ordered: false,
            frozen,
        })
    }

    #[test]
    fn a_master_in_another_life_is_lost_whatever_the_votes_say_of_the_earlier_one() {
        assert_eq!(diagnosis("2", Vote::Up), Diagnosis::MasterLost(Reason::Restarted));
        assert_eq!(diagnosis("2", Vote::Refused), Diagnosis::MasterLost(Reason::Restarted));
        assert_eq!(
            diagnosis("1", Vote::Refused),
            Diagnosis::AwaitingVotes(at(1_010)),
            "in its life votes may be older than its return"
        );
        assert_eq!(diagnosis("1", Vote::Up), Diagnosis::Healthy);
    }

    #[test]
    fn who_reaches_a_demoted_master_no_more_leaves_it_to_the_votes_unless_he_froze_it() {
        let demoted = || Role::Replica { of: Some(node("b")), link: Link::Up, received: 5 };
        let seen = |own, frozen| diagnosis_where(at(0), ("1", demoted()), own, frozen, Vote::Up);
        let said = Evidence {
            run: RunId("1".into()),
            role: demoted(),
            history: History { replid: ReplId("r".into()), offset: 5, previous: None },
            priority: 100,
            uncounted: false,
            keys: 1,
            saved: None,
            min_replicas_to_write: None,
            version: None,
            appends: None,
        };
        assert_eq!(seen(Vote::Up, None), Diagnosis::MasterLost(Reason::Demoted));
        assert_ne!(seen(Vote::Silent, None), Diagnosis::MasterLost(Reason::Demoted));
        assert_eq!(seen(Vote::Silent, Some(&said)), Diagnosis::MasterLost(Reason::Demoted));
    }

    #[test]
    fn a_master_that_was_just_published_in_spite_of_the_votes_is_given_time() {
        assert_eq!(
            diagnosis_since(at(18), "1", Vote::Refused),
            Diagnosis::AwaitingVotes(at(1_018)),
            "this monitor has seen it as what it is now for no longer"
        );
    }
}
