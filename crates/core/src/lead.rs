//! The watch over who leads: from probes of its address to one monitor's vote on it, and from all votes to whether its
//! lock is to be removed before its session ends.
//!
//! A vote is about one term. Whoever was never reached in its term is not voted on: it may be alive behind a closed
//! port, and then nothing is gained by another leader that is not reached either.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::names::{MonitorId, NodeAddr, Term};
use crate::observer::{Observer, Probe};
use crate::policy::Policy;
use crate::time::Instant;
use crate::view::{Ballot, LeadBallot, Peers, Vote};

/// How much longer than a node a leader may leave a question unanswered. A leader that is removed too soon costs an
/// election; one that is removed a second later costs that second, and only where it hangs.
const GRACE: Duration = Duration::from_secs(1);

/// One monitor's watch over one term of another's lead.
#[derive(Clone, Debug)]
pub struct LeadWatch {
    term: Term,
    address: NodeAddr,
    observer: Observer,
    /// Whether it has answered in this term.
    reached: bool,
}

impl LeadWatch {
    /// A watch over who leads in `term` and can be asked at `address`, of whom nothing is known yet.
    pub fn new(policy: &Policy, term: Term, address: NodeAddr, now: Instant) -> Self {
        let observer = Observer::patient(policy, policy.down_after() + GRACE, [address.clone()], now);
        Self { term, address, observer, reached: false }
    }

    /// Whose term it is.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Takes in what happened at `at` to a question that was asked at `asked`, as [`Observer::probed`] does.
    pub fn probed(&mut self, asked: Instant, at: Instant, probe: Probe) {
        self.reached |= matches!(probe, Probe::Alive);
        self.observer.probed(asked, at, &self.address, probe);
    }

    /// Passes time, as [`Observer::tick`] does.
    pub fn tick(&mut self, now: Instant) -> bool {
        self.observer.tick(now)
    }

    /// When [`LeadWatch::tick`] must be called next.
    pub fn poll_timeout(&self) -> Instant {
        self.observer.poll_timeout()
    }

    /// The vote as it stands; `None` while it was never reached.
    pub fn ballot(&self) -> Option<LeadBallot> {
        let ballot = *self.observer.ballots().get(&self.address)?;
        self.reached.then_some(LeadBallot { term: self.term, ballot })
    }
}

/// Whether a leader of which this monitor says `own` is gone by the votes of a quorum of those `registered`.
///
/// Its own vote must be one of them: who still reaches a leader leaves it in peace.
pub(crate) fn is_gone(
    own: &LeadBallot,
    me: &MonitorId,
    peers: &Peers,
    registered: &BTreeSet<MonitorId>,
    policy: &Policy,
) -> bool {
    let lost = |ballot: &Ballot| matches!(ballot.vote, Vote::Refused | Vote::Silent);
    let of = |id: &MonitorId| if id == me { Some(own) } else { peers.get(id)?.lead.as_ref() };
    let agrees = |id: &&MonitorId| of(id).is_some_and(|it| it.term == own.term && lost(&it.ballot));
    lost(&own.ballot) && registered.iter().filter(agrees).count() >= policy.quorum_of(registered.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Peer;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(10_000 + millis)
    }

    fn id(name: &str) -> MonitorId {
        name.parse().expect("a valid id")
    }

    fn watch() -> LeadWatch {
        LeadWatch::new(&Policy::default(), Term(7), NodeAddr::new("m1", 80), at(0))
    }

    fn vote(watch: &LeadWatch) -> Option<Vote> {
        watch.ballot().map(|it| it.ballot.vote)
    }

    /// Ticks as the driver would, up to `until`.
    fn pass(watch: &mut LeadWatch, until: Instant) {
        while watch.poll_timeout() <= until {
            let next = watch.poll_timeout();
            assert!(!watch.tick(next));
        }
    }

    #[test]
    fn who_was_never_reached_is_not_voted_on() {
        let mut watch = watch();
        watch.probed(at(0), at(0), Probe::Sent);
        watch.probed(at(0), at(1), Probe::Refused);
        assert_eq!(watch.ballot(), None);
        watch.probed(at(200), at(201), Probe::Alive);
        watch.probed(at(300), at(301), Probe::Refused);
        assert_eq!(vote(&watch), Some(Vote::Refused));
        assert_eq!(watch.ballot().map(|it| it.term), Some(Term(7)));
    }

    #[test]
    fn silence_counts_a_second_later_than_that_of_a_node() {
        let mut watch = watch();
        watch.probed(at(0), at(1), Probe::Alive);
        watch.probed(at(200), at(200), Probe::Sent);
        pass(&mut watch, at(2_199));
        assert_eq!(vote(&watch), Some(Vote::Up));
        pass(&mut watch, at(2_200));
        assert_eq!(vote(&watch), Some(Vote::Silent));
    }

    /// Whether m2 finds the leader gone, which it says is `own`, when m3 and m4 vote so.
    fn gone(registered: &[&str], own: Vote, others: [Option<(i64, Vote)>; 2]) -> bool {
        let ballot = |vote| Ballot { vote, since: at(0) };
        let peer = |said: Option<(i64, Vote)>| Peer {
            lead: said.map(|(term, vote)| LeadBallot { term: Term(term), ballot: ballot(vote) }),
            ..Peer::default()
        };
        let peers = [id("m3"), id("m4")].into_iter().zip(others.map(peer)).collect();
        let registered = registered.iter().map(|name| id(name)).collect();
        let own = LeadBallot { term: Term(7), ballot: ballot(own) };
        is_gone(&own, &id("m2"), &peers, &registered, &Policy::default())
    }

    #[test]
    fn a_quorum_of_the_registered_must_find_it_gone_in_this_term() {
        let three = ["m1", "m2", "m3"];
        let lost = Some((7, Vote::Silent));
        assert!(gone(&three, Vote::Refused, [lost, None]));
        assert!(!gone(&three, Vote::Refused, [None, None]), "one of three");
        assert!(!gone(&three, Vote::Refused, [Some((6, Vote::Silent)), None]), "an earlier term");
        assert!(!gone(&three, Vote::Refused, [Some((7, Vote::Up)), None]));
        assert!(!gone(&three, Vote::Refused, [None, lost]), "strangers have no vote");
        assert!(!gone(&["m1", "m2"], Vote::Refused, [None, None]), "of two both must agree");
        let four = ["m1", "m2", "m3", "m4"];
        assert!(gone(&four, Vote::Silent, [lost, lost]));
        let others = ["m2", "m3", "m4"];
        assert!(
            !gone(&others, Vote::Up, [lost, lost]),
            "who reaches it leaves it in peace, though two are a quorum"
        );
    }
}
