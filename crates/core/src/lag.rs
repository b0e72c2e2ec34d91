//! How far replicas are behind their master, as one monitor sees it. For people: nothing is decided by it.

use std::collections::BTreeMap;

use crate::names::NodeAddr;
use crate::view::{Ballots, Link, Role, Sighting, Vote};

/// By how many bytes each replica is behind the master.
pub type Lags = BTreeMap<NodeAddr, u64>;

/// The lag of each node that follows `master`, by the last answers of both.
///
/// The two are not asked at the same moment, so what was written in between counts too. Whose vote is not
/// [`Vote::Up`], who is being filled with a copy, and who holds another history has none: no number would be true.
pub fn lags(master: &NodeAddr, sightings: &BTreeMap<NodeAddr, Sighting>, ballots: &Ballots) -> Lags {
    let answers = |node: &NodeAddr| ballots.get(node).is_some_and(|ballot| ballot.vote == Vote::Up);
    let leading = sightings.get(master).filter(|it| it.role.is_master() && answers(master));
    let Some(leading) = leading.map(|it| &it.history) else { return Lags::new() };
    let lag = |(node, it): (&NodeAddr, &Sighting)| {
        let follows = matches!(it.role, Role::Replica { link: Link::Up | Link::Down { .. }, .. });
        let comparable = follows && answers(node) && it.history.replid == leading.replid;
        comparable.then(|| (node.clone(), leading.offset.saturating_sub(it.history.offset)))
    };
    sightings.iter().filter_map(lag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ReplId, RunId};
    use crate::position::History;
    use crate::time::Instant;
    use crate::view::Ballot;

    const MASTER: Role = Role::Master { replicas: 2 };

    fn node(name: &str) -> NodeAddr {
        NodeAddr::new(name, 1)
    }

    fn replica(link: Link) -> Role {
        Role::Replica { of: Some(node("a")), link, received: 0 }
    }

    fn seen(role: Role, replid: &str, offset: u64) -> Sighting {
        Sighting {
            asked: Instant::from_millis(1),
            run: RunId("1".into()),
            role,
            history: History { replid: ReplId(replid.into()), offset, previous: None },
            guarded: false,
            good_replicas: 0,
            feeds: Vec::new(),
        }
    }

    fn of(sightings: &[(&str, Sighting)], votes: &[(&str, Vote)]) -> Vec<(String, u64)> {
        let sightings = sightings.iter().map(|(name, it)| (node(name), it.clone())).collect();
        let ballot = |vote| Ballot { vote, since: Instant::from_millis(1) };
        let ballots = votes.iter().map(|(name, vote)| (node(name), ballot(*vote))).collect();
        lags(&node("a"), &sightings, &ballots).into_iter().map(|(it, lag)| (it.to_string(), lag)).collect()
    }

    #[test]
    fn who_follows_lags_by_what_it_has_not() {
        let down = replica(Link::Down { seconds: 3 });
        let all = [
            ("a", seen(MASTER, "x", 100)),
            ("b", seen(replica(Link::Up), "x", 11)),
            ("c", seen(down, "x", 100)),
            // Asked a moment later than the master.
            ("d", seen(replica(Link::Up), "x", 101)),
        ];
        let votes = ["a", "b", "c", "d"].map(|name| (name, Vote::Up));
        let told = [("b:1", 89), ("c:1", 0), ("d:1", 0)].map(|(name, lag)| (name.to_owned(), lag));
        assert_eq!(of(&all, &votes), told);
    }

    #[test]
    fn where_no_number_would_be_true_there_is_none() {
        let well = |name| (name, Vote::Up);
        let master = ("a", seen(MASTER, "x", 100));
        let with = |it: Sighting| [master.clone(), ("b", it)];
        assert_eq!(of(&with(seen(replica(Link::Up), "y", 11)), &[well("a"), well("b")]), []);
        assert_eq!(of(&with(seen(replica(Link::Syncing), "x", 11)), &[well("a"), well("b")]), []);
        assert_eq!(of(&with(seen(MASTER, "x", 11)), &[well("a"), well("b")]), []);
        let follows = with(seen(replica(Link::Up), "x", 11));
        assert_eq!(of(&follows, &[well("a"), ("b", Vote::Silent)]), []);
        assert_eq!(of(&follows, &[("a", Vote::Refused), well("b")]), []);
        assert_eq!(of(&follows[1..], &[well("a"), well("b")]), []);
    }
}
