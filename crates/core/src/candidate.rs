//! Who may take over, in which order, and why the others may not. It ranks what was read; it asks nobody.

mod last_resort;

use std::collections::BTreeMap;
use std::fmt;

use last_resort::nothing_better;

use crate::names::NodeAddr;
use crate::position::{History, Lineage, Lineages, Position};
use crate::topology::{Reason, Topology};
use crate::view::{Evidence, Wait, Waits};

/// Why a node may not take over now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Dropped {
    /// It did not answer the freeze.
    NotFrozen,
    /// It was not asked: an operator named another, which holds all.
    NotAsked,
    /// The monitors find it up but of no use, and it is the master that is being replaced for that.
    Unusable,
    /// It answered this monitor, and a quorum can't reach it: it would have to be replaced at once.
    OutOfReach,
    /// Its operator said never (`replica-priority 0`, or an order).
    PriorityZero,
    /// An operator has taken it out of service.
    Drained,
    /// Nobody listed it, and the policy says that such a node is only watched.
    OnlyWatched,
    /// It was being filled with a full copy, and holds nothing of the group's.
    HalfSynced,
    /// It is empty while another holds keys, or came back empty while another is missing.
    Empty,
    /// It was restarted since it last followed or led, and what may hold more is missing or can't be compared: the
    /// recorded master is not there, or one is back with keys under a name that nobody recorded.
    Restarted,
    /// It was restarted, and a node that is missing may hold more than it has left.
    Behind,
    /// The master was let go on or published without it, or went on while others followed, and it was not seen in step
    /// since: it may lack any number of writes, and what may hold more is missing or can't be compared.
    LeftBehind,
    /// It holds a history that the group never recorded: nobody knows what is missing in it.
    UnknownHistory,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFrozen => "did not answer",
            Self::NotAsked => "not asked: another was to take over, and held all",
            Self::Unusable => "unusable",
            Self::OutOfReach => "out of most monitors' reach",
            Self::PriorityZero => "never to lead (priority 0)",
            Self::Drained => "drained",
            Self::OnlyWatched => "nobody listed it, and the policy is to watch such nodes only (discover)",
            Self::HalfSynced => "in the middle of a full sync",
            Self::Empty => "empty while another holds keys or is missing",
            Self::Restarted => "restarted, and the recorded master, or one of unknown history, may hold more",
            Self::Behind => "restarted, and a missing node may hold more",
            Self::LeftBehind => "the master went on without it",
            Self::UnknownHistory => "its history is not in the record",
        })
    }
}

/// The outcome of a ranking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ranking {
    /// Who takes over, if anybody may.
    pub chosen: Option<NodeAddr>,
    /// Whether that is the recorded master, which leads on where nobody holds more.
    #[cfg_attr(feature = "serde", serde(default))]
    pub leads_on: bool,
    /// Whether that is the one that an operator wanted, whoever holds more.
    #[cfg_attr(feature = "serde", serde(default))]
    pub wished: bool,
    /// Where each eligible node stands.
    pub positions: BTreeMap<NodeAddr, Position>,
    /// Why the others are not eligible.
    pub dropped: BTreeMap<NodeAddr, Dropped>,
    /// What each node that answered holds.
    pub holds: BTreeMap<NodeAddr, Holding>,
}

/// What a node holds, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Holding {
    /// How many keys.
    pub keys: u64,
    /// See [`Evidence::saved`].
    pub saved: Option<u64>,
}

impl Ranking {
    /// Why each node may not take over.
    pub fn waits(&self) -> Waits {
        let wait = |(node, why): (&NodeAddr, &Dropped)| {
            let holding = self.holds.get(node);
            let (keys, saved) = (holding.map(|it| it.keys), holding.and_then(|it| it.saved));
            (node.clone(), Wait { why: why.to_string(), keys, saved })
        };
        self.dropped.iter().map(wait).collect()
    }

    /// By how much a node that could take over holds less than the one that does; nothing for that one.
    pub fn behind(&self, node: &NodeAddr) -> String {
        let best = self.chosen.as_ref().filter(|best| *best != node);
        let (Some(best), Some(own)) =
            (best.and_then(|best| self.positions.get(best)), self.positions.get(node))
        else {
            return String::new();
        };
        match best.ahead_of(*own) {
            _ if self.wished => "not the one that an operator wanted".to_owned(),
            Some(0) if self.leads_on => "as far as the one that is taken, which was the master".to_owned(),
            Some(0) => {
                "as far as the one that is taken, which comes first by priority, zone or address".to_owned()
            }
            Some(bytes) => format!("{bytes} bytes behind"),
            None => "in an older history".to_owned(),
        }
    }
}

/// Ranks the members of `record` by what they said when they were frozen; those that are `down` for a quorum stay out.
///
/// The greatest position wins. At one position, who goes on under the published master's name wins, then who has more
/// beyond what was recorded; among equals the recorded master itself, in its recorded run or in a paused group: nobody
/// needs to change over; then one that was not being filled, then the lower priority, then one in the published
/// master's zone, then the address.
///
/// Where no member is eligible there may be nothing better to wait for: the recorded master wins if it came back with
/// the keys of an append-only file, or if all members are there and all are empty; where all are there and those that
/// hold keys share one history, the one of them wins that has most of it. Where the master is missing and all others
/// follow on under a name that it took while nobody led, the one of them wins that has most of that.
pub fn rank_candidates(
    record: &Topology,
    evidence: &BTreeMap<NodeAddr, Evidence>,
    down: &BTreeMap<NodeAddr, Reason>,
) -> Ranking {
    let lineages = lineages(record, evidence);
    let holding =
        |(node, it): (&NodeAddr, &Evidence)| (node.clone(), Holding { keys: it.keys, saved: it.saved });
    let mut ranking = Ranking {
        chosen: None,
        leads_on: false,
        wished: false,
        positions: BTreeMap::new(),
        dropped: BTreeMap::new(),
        holds: evidence.iter().map(holding).collect(),
    };
    for node in record.nodes() {
        let judged = match (evidence.get(node), down.get(node)) {
            (None, _) => Err(Dropped::NotFrozen),
            (Some(_), Some(Reason::Unusable)) => Err(Dropped::Unusable),
            (Some(_), Some(_)) => Err(Dropped::OutOfReach),
            (Some(_), None) => judge(node, record, evidence, down, &lineages),
        };
        match judged {
            Ok(position) => drop(ranking.positions.insert(node.clone(), position)),
            Err(reason) => drop(ranking.dropped.insert(node.clone(), reason)),
        }
    }
    let_in_who_lacks_nothing(&mut ranking, evidence, &lineages);
    let in_its_run = |it: &&Evidence| record.master_run.as_ref() == Some(&it.run);
    let masters = evidence.get(&record.master).filter(in_its_run);
    let masters_name = masters.map(|it| &it.history.replid);
    // Who paused the group wants no other master where none is needed.
    let leads_on = |node: &NodeAddr| *node == record.master && (masters.is_some() || record.pause.is_some());
    let order = |(node, position): &(&NodeAddr, &Position)| {
        let it = &evidence[*node];
        // A master that was demoted and promoted by hand goes on under a name that nobody has recorded yet: what it
        // took since is in no position.
        let beyond = (masters_name == Some(&it.history.replid), it.history.offset);
        let (position, beyond) = (std::cmp::Reverse(**position), std::cmp::Reverse(beyond));
        let elsewhere = !record.is_in_masters_zone(node);
        let priority = record.priority(node, it);
        (position, beyond, !leads_on(node), it.is_half_synced(), priority, elsewhere, (*node).clone())
    };
    ranking.chosen = ranking.positions.iter().min_by_key(order).map(|(node, _)| node.clone());
    ranking.leads_on = ranking.chosen.as_ref().is_some_and(leads_on);
    if ranking.chosen.is_none() {
        ranking.chosen = nothing_better(record, evidence, &lineages, &ranking.dropped);
    }
    ranking
}

/// Who was left behind, and is as far as one that may lead, lacks nothing that this one has.
fn let_in_who_lacks_nothing(
    ranking: &mut Ranking,
    evidence: &BTreeMap<NodeAddr, Evidence>,
    lineages: &Lineages,
) {
    let Some(least) = ranking.positions.values().min().copied() else { return };
    let Ranking { positions, dropped, .. } = ranking;
    dropped.retain(|node, why| {
        let left = (*why == Dropped::LeftBehind).then(|| lineages.locate(&evidence[node].history));
        let position = left.flatten().filter(|position| *position >= least);
        positions.extend(position.map(|position| (node.clone(), position)));
        position.is_none()
    });
}

fn judge(
    node: &NodeAddr,
    record: &Topology,
    all: &BTreeMap<NodeAddr, Evidence>,
    down: &BTreeMap<NodeAddr, Reason>,
    lineages: &Lineages,
) -> Result<Position, Dropped> {
    let evidence = &all[node];
    let known_run = record.run_of(node);
    let restarted = known_run.is_some_and(|run| *run != evidence.run);
    let located = lineages.locate(&evidence.history);
    let keys_elsewhere = all.values().any(|other| other.keys > 0);
    // One that is unusable tells what it holds all the same.
    let is_gone = |other: &NodeAddr| down.get(other).is_some_and(|reason| *reason != Reason::Unusable);
    let is_there = |other: &NodeAddr| all.contains_key(other) && !is_gone(other);
    if record.is_drained(node) {
        return Err(Dropped::Drained);
    }
    if record.priority(node, evidence) == 0 {
        return Err(Dropped::PriorityZero);
    }
    if record.only_watches(node) {
        return Err(Dropped::OnlyWatched);
    }
    // What it held is there until the copy is complete, and the freeze has ended that. How much that is its history
    // says, in whatever run; only where that is not the group's nobody knows.
    let holds_its_own = located.is_some() && evidence.keys > 0;
    if evidence.is_half_synced() && !holds_its_own {
        return Err(Dropped::HalfSynced);
    }
    let emptied = keys_elsewhere && !was_cleared(node, record, all, lineages);
    let all_there = record.nodes().all(is_there);
    if evidence.keys == 0 && (emptied || (restarted && !all_there)) {
        return Err(Dropped::Empty);
    }
    let master = all.get(&record.master).filter(|_| is_there(&record.master));
    let is_missing = *node != record.master && master.is_none();
    let is_left = record.left.contains(node);
    let beside_unknown = || located.is_some() && is_beside_unknown(node, record, all, lineages);
    if (restarted || is_left) && (is_missing || beside_unknown()) {
        return Err(if restarted { Dropped::Restarted } else { Dropped::LeftBehind });
    }
    let position = located.ok_or(Dropped::UnknownHistory)?;
    let has_more = |other: &NodeAddr| match all.get(other) {
        Some(it) => lineages.locate(&it.history).is_some_and(|it| it > position),
        None => may_be_ahead(other, position, record, lineages),
    };
    if (restarted || is_left) && record.nodes().any(|other| !is_there(other) && has_more(other)) {
        return Err(if restarted { Dropped::Behind } else { Dropped::LeftBehind });
    }
    Ok(position)
}

/// Whether a node holds no keys because all were deleted: it has not stopped following, or leading.
///
/// A copy that could not be loaded leaves a node empty under its old name, too, but such a one is not `OK` any more;
/// and nobody is empty where another that stands at the same position has keys.
fn was_cleared(
    node: &NodeAddr,
    record: &Topology,
    all: &BTreeMap<NodeAddr, Evidence>,
    lineages: &Lineages,
) -> bool {
    let it = &all[node];
    let stands = if *node == record.master {
        it.role.is_master()
    } else {
        record.members.iter().any(|member| member.addr == *node && member.ok)
    };
    let located = lineages.locate(&it.history);
    let contradicted = all.values().any(|other| other.keys > 0 && lineages.locate(&other.history) == located);
    stands && record.run_of(node) == Some(&it.run) && located.is_some() && !contradicted
}

/// Whether another node is back with keys under a name that nobody recorded: an append-only file brings all back, and
/// no name. So does the master's, in whatever life it is.
fn is_beside_unknown(
    node: &NodeAddr,
    record: &Topology,
    all: &BTreeMap<NodeAddr, Evidence>,
    lineages: &Lineages,
) -> bool {
    let is_back = |other: &NodeAddr, it: &Evidence| {
        *other == record.master || record.run_of(other).is_some_and(|run| *run != it.run)
    };
    let own = &all[node].history;
    // What followed it since then has its new name, and can be compared.
    let has_more = |it: &Evidence| it.history.replid != own.replid || it.history.offset > own.offset;
    all.iter().any(|(other, it)| {
        let unknown = it.keys > 0 && lineages.locate(&it.history).is_none();
        other != node && unknown && is_back(other, it) && has_more(it)
    })
}

/// Whether `node`, which is missing, may hold more than one that stands at `position`, restarted or left behind.
///
/// A node that never followed holds nothing of the group's.
fn may_be_ahead(node: &NodeAddr, position: Position, record: &Topology, lineages: &Lineages) -> bool {
    match record.reached.get(node) {
        Some((replid, offset)) => {
            let stood = History { replid: replid.clone(), offset: *offset, previous: None };
            lineages.locate(&stood).is_some_and(|stood| stood > position)
        }
        None => record.synced.contains_key(node),
    }
}

/// The recorded lineages, or, where none was recorded yet, the one that all frozen nodes share.
///
/// An adopted group whose master died before it was ever seen has no recorded lineage.
fn lineages(record: &Topology, evidence: &BTreeMap<NodeAddr, Evidence>) -> Lineages {
    let mut names = evidence.values().map(|evidence| &evidence.history.replid);
    match names.next() {
        Some(first) if record.lineages.current().is_none() && names.all(|name| name == first) => {
            let shared = Lineage { replid: first.clone(), epoch: record.epoch, start: 0, parent: None };
            record.lineages.with(shared)
        }
        _ => record.lineages.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Epoch, ReplId, RunId};
    use crate::policy::Policy;
    use crate::position::History;
    use crate::topology::Member;
    use crate::view::{Link, Role};

    fn node(name: &str) -> NodeAddr {
        NodeAddr::new(name, 1)
    }

    /// The nodes a (master), b and c, whose recorded history is `r`.
    fn record() -> Topology {
        let lineage = Lineage { replid: ReplId("r".into()), epoch: Epoch(1), start: 0, parent: None };
        Topology {
            master_run: Some(RunId("1".into())),
            synced: ["b", "c"].map(|name| (node(name), RunId("1".into()))).into(),
            members: ["a", "b", "c"].map(|name| Member { addr: node(name), ok: true }).into(),
            lineages: Lineages::new(vec![lineage]),
            ..Topology::new(Epoch(1), node("a"), Policy::default())
        }
    }

    fn said(replid: &str, offset: u64, keys: u64) -> Evidence {
        Evidence {
            run: RunId("1".into()),
            role: Role::Replica { of: None, link: Link::Down { seconds: 0 }, received: offset },
            history: History { replid: ReplId(replid.into()), offset, previous: None },
            priority: 100,
            uncounted: false,
            keys,
            saved: None,
            min_replicas_to_write: Some(0),
            version: None,
            appends: None,
        }
    }

    fn rank(evidence: &[(&str, Evidence)]) -> Ranking {
        let evidence = evidence.iter().map(|(name, said)| (node(name), said.clone())).collect();
        rank_candidates(&record(), &evidence, &BTreeMap::new())
    }

    #[test]
    fn the_greatest_position_wins_whatever_the_order_of_the_list() {
        assert_eq!(rank(&[("b", said("r", 5, 1)), ("c", said("r", 6, 1))]).chosen, Some(node("c")));
        assert_eq!(rank(&[("b", said("r", 6, 1)), ("c", said("r", 6, 1))]).chosen, Some(node("b")));
    }

    #[test]
    fn what_was_written_under_a_name_that_is_not_recorded_counts_before_the_priority() {
        let parted = |name: &str, offset, priority| {
            let mut it = said(name, offset, 1);
            (it.history.previous, it.priority) = (Some((ReplId("r".into()), 6)), priority);
            it
        };
        let (master, behind) = (parted("x", 8, 100), parted("x", 7, 1));
        assert_eq!(rank(&[("a", master.clone()), ("b", behind.clone())]).chosen, Some(node("a")));
        assert_eq!(
            rank(&[("b", behind), ("c", parted("x", 8, 100))]).chosen,
            Some(node("c")),
            "the master is gone, and this replica has more of what it wrote"
        );
        let by_hand = parted("y", 9, 1);
        assert_eq!(
            rank(&[("a", master.clone()), ("b", by_hand.clone())]).chosen,
            Some(node("a")),
            "what another took that was promoted by hand is not the group's"
        );
        let again = Evidence { run: RunId("2".into()), ..master };
        let all = [("a", again), ("b", by_hand), ("c", said("r", 5, 1))];
        assert_eq!(rank(&all).chosen, Some(node("b")), "its word counts in its recorded run alone");
        assert_eq!(
            rank(&[("b", parted("y", 9, 1)), ("c", said("r", 6, 1))]).chosen,
            Some(node("c")),
            "more of what is recorded comes first"
        );
    }

    #[test]
    fn each_node_that_may_not_lead_says_why() {
        let never = Evidence { priority: 0, ..said("r", 9, 1) };
        let ranking = rank(&[("a", never), ("b", said("r", 9, 0)), ("c", said("x", 9, 1))]);
        let why: Vec<_> = ranking.dropped.values().copied().collect();
        assert_eq!(why, [Dropped::PriorityZero, Dropped::Empty, Dropped::UnknownHistory]);
        assert_eq!(ranking.chosen, None);
        assert_eq!(rank(&[]).dropped.len(), 3);
    }

    #[test]
    fn after_all_died_the_first_back_does_not_win() {
        let again = |keys| Evidence { run: RunId("2".into()), ..said("r", 5, keys) };
        assert_eq!(rank(&[("b", again(1))]).dropped[&node("b")], Dropped::Restarted);
        assert_eq!(rank(&[("b", again(0)), ("a", said("x", 0, 0))]).dropped[&node("b")], Dropped::Empty);
        assert_eq!(rank(&[("b", again(1)), ("a", said("r", 9, 2))]).chosen, Some(node("a")));
        // An append-only file brings all keys back, and a new name for them.
        assert_eq!(rank(&[("b", again(1)), ("a", said("x", 0, 1001))]).chosen, Some(node("a")));
        assert_eq!(rank(&[("b", again(1)), ("c", said("r", 4, 1))]).chosen, Some(node("c")));
        let (said, silent) = ([(node("a"), said("r", 9, 2)), (node("b"), again(1))], Reason::Silent);
        let ranking = rank_candidates(&record(), &said.into(), &[(node("a"), silent)].into());
        assert_eq!(ranking.dropped[&node("b")], Dropped::Restarted, "only one monitor reaches the master");
    }

    #[test]
    fn after_all_died_the_recorded_master_is_taken_when_it_is_back_with_keys() {
        assert_eq!(rank(&[("b", said("x", 0, 4))]).chosen, None, "another than the master proves nothing");
        assert_eq!(rank(&[("a", said("x", 0, 4))]).chosen, Some(node("a")));
        assert_eq!(rank(&[("a", said("x", 0, 0)), ("b", said("y", 0, 4))]).chosen, None);
    }

    #[test]
    fn a_snapshot_without_a_name_is_not_taken_for_all_that_there_was() {
        let back = |replid, keys| Evidence { run: RunId("2".into()), ..said(replid, 0, keys) };
        let saved = |replid, keys| Evidence { appends: Some(false), ..back(replid, keys) };
        let named =
            || Evidence { appends: Some(false), ..Evidence { run: RunId("2".into()), ..said("r", 5, 3) } };
        assert_eq!(rank(&[("a", saved("x", 4))]).chosen, None, "b and c may have newer ones");
        assert_eq!(rank(&[("a", back("x", 4))]).chosen, Some(node("a")), "nobody says that it is one");
        let all = [("a", saved("x", 4)), ("b", named()), ("c", named())];
        assert_eq!(rank(&all).chosen, None, "nobody knows which is the newest");
        let alone = [("a", saved("x", 4)), ("b", saved("y", 0)), ("c", saved("z", 0))];
        assert_eq!(rank(&alone).chosen, Some(node("a")), "all are back, and there is nothing else");
        let unfollowed = Topology { synced: BTreeMap::new(), ..record() };
        let ranking = rank_candidates(&unfollowed, &[(node("a"), saved("x", 4))].into(), &BTreeMap::new());
        assert_eq!(ranking.chosen, Some(node("a")), "nobody has ever had a copy");
        let in_its_run = Evidence { appends: Some(false), ..said("x", 0, 4) };
        assert_eq!(rank(&[("a", in_its_run)]).chosen, Some(node("a")), "it was not restarted");
    }

    #[test]
    fn who_is_back_does_not_lead_beside_data_without_a_known_name() {
        let back = |replid, offset, keys| Evidence { run: RunId("2".into()), ..said(replid, offset, keys) };
        let log = Evidence { appends: Some(true), ..back("x", 0, 9) };
        let all = [("a", back("y", 0, 0)), ("b", log.clone()), ("c", back("r", 5, 1))];
        let ranking = rank(&all);
        assert_eq!(ranking.chosen, None, "b's append-only file may hold all");
        assert_eq!(ranking.dropped[&node("c")], Dropped::Restarted);
        let ranking = rank(&[("a", back("r", 5, 1)), ("b", log.clone()), ("c", back("r", 5, 1))]);
        assert_eq!(ranking.dropped[&node("a")], Dropped::Restarted, "nor the recorded master");
        let renamed = |offset, previous| Evidence {
            history: History { previous, ..said("z", offset, 1).history },
            ..back("z", offset, 1)
        };
        let master = renamed(7, Some((ReplId("r".into()), 6)));
        let others = |offset| [("b", renamed(offset, None)), ("c", renamed(7, None))];
        let [b, c] = others(7);
        assert_eq!(
            rank(&[("a", master.clone()), b, c]).chosen,
            Some(node("a")),
            "they have followed it since"
        );
        let [b, c] = others(8);
        assert_eq!(rank(&[("a", master), b, c]).dropped[&node("a")], Dropped::Restarted);
        let stranger = said("x", 9, 9);
        let ranking = rank(&[("a", back("r", 6, 1)), ("b", stranger), ("c", back("r", 5, 1))]);
        assert_eq!(
            ranking.chosen,
            Some(node("a")),
            "who was not restarted lost what it had to the stranger's"
        );
        let never_down = rank(&[("b", log), ("c", said("r", 5, 1))]);
        assert_eq!(never_down.chosen, Some(node("c")));
    }

    #[test]
    fn who_was_left_behind_does_not_lead_before_the_master_tells_what_it_holds() {
        let reached = |offset| BTreeMap::from([(node("c"), (ReplId("r".into()), offset))]);
        let left = Topology { left: ["b", "c"].map(node).into(), reached: reached(5), ..record() };
        let rank = |master: Option<Evidence>, down: &[&str]| {
            let said = [("a", master), ("b", Some(said("r", 5, 1)))];
            let said = said.into_iter().filter_map(|(name, it)| Some((node(name), it?))).collect();
            let down = down.iter().map(|name| (node(name), Reason::Silent)).collect();
            rank_candidates(&left, &said, &down)
        };
        let back = |keys| Some(Evidence { run: RunId("2".into()), ..said("x", 0, keys) });
        let waits = |it: &Ranking| it.dropped.get(&node("b")) == Some(&Dropped::LeftBehind);
        assert!(waits(&rank(None, &[])));
        assert_eq!(
            rank(Some(said("r", 4, 1)), &[]).chosen,
            Some(node("b")),
            "the master has lost what it took"
        );
        assert_eq!(rank(back(0), &[]).chosen, Some(node("b")), "all of it");
        assert_eq!(rank(back(9), &[]).chosen, Some(node("a")), "its file may hold it all");
        let all = [(node("a"), back(0).expect("it is there")), (node("b"), said("r", 5, 1))].into();
        let further = Topology { reached: reached(6), ..left.clone() };
        assert!(
            waits(&rank_candidates(&further, &all, &BTreeMap::new())),
            "c holds more, though it was left, too"
        );
        let out_of_reach = rank(Some(said("r", 9, 1)), &["a"]);
        assert!(out_of_reach.chosen.is_none() && waits(&out_of_reach), "only one monitor reaches it");
    }

    #[test]
    fn what_a_frozen_node_says_is_compared_though_it_is_not_to_lead() {
        let again = |offset| Evidence { run: RunId("2".into()), ..said("r", offset, 1) };
        let rank = |master: Evidence, other: Evidence, (down, reason): (&str, Reason)| {
            let said = [(node("a"), master), (node("b"), again(5)), (node("c"), other)].into();
            rank_candidates(&record(), &said, &[(node(down), reason)].into())
        };
        let emptied = || Evidence { run: RunId("2".into()), ..said("x", 0, 0) };
        let out = ("c", Reason::Silent);
        assert_eq!(
            rank(emptied(), said("r", 6, 1), out).dropped[&node("b")],
            Dropped::Behind,
            "c holds more"
        );
        assert_eq!(rank(emptied(), said("r", 5, 1), out).chosen, Some(node("b")), "and no more than b here");
        let unusable = rank(said("r", 5, 1), again(4), ("a", Reason::Unusable));
        assert_eq!(unusable.chosen, Some(node("b")), "the master holds no more, and is there");
    }

    #[test]
    fn a_replica_from_which_all_was_deleted_is_no_worse_for_that() {
        let behind = || said("r", 4, 1);
        assert_eq!(rank(&[("b", said("r", 9, 0)), ("c", behind())]).chosen, Some(node("b")));
        let of_another = |it: Evidence| rank(&[("b", it), ("c", behind())]).dropped[&node("b")];
        assert_eq!(of_another(Evidence { run: RunId("2".into()), ..said("r", 9, 0) }), Dropped::Empty);
        assert_eq!(of_another(said("x", 9, 0)), Dropped::Empty);
        assert_eq!(of_another(said("r", 4, 0)), Dropped::Empty, "c stands there, too, and has a key");
        let mut lost = record();
        lost.members[1].ok = false;
        let evidence = [(node("b"), said("r", 9, 0)), (node("c"), behind())].into();
        let ranking = rank_candidates(&lost, &evidence, &BTreeMap::new());
        assert_eq!(ranking.dropped[&node("b")], Dropped::Empty, "a copy of it may have failed");
        let cleared = Evidence { role: Role::Master { replicas: 1 }, ..said("r", 9, 0) };
        assert_eq!(rank(&[("a", cleared), ("c", behind())]).chosen, Some(node("a")));
        assert_eq!(
            rank(&[("a", said("r", 9, 0)), ("c", behind())]).chosen,
            Some(node("c")),
            "it was demoted"
        );
    }

    #[test]
    fn one_that_was_being_filled_still_holds_what_it_held() {
        let filling = |offset, keys| {
            let role = Role::Replica { of: None, link: Link::Syncing, received: offset };
            Evidence { role, ..said("r", offset, keys) }
        };
        let back = Evidence { run: RunId("2".into()), ..said("x", 40, 1) };
        assert_eq!(
            rank(&[("a", back.clone()), ("b", filling(9, 5)), ("c", filling(7, 5))]).chosen,
            Some(node("b")),
            "not the master that is back with next to nothing"
        );
        assert_eq!(
            rank(&[("b", filling(9, 5)), ("c", said("r", 9, 5))]).chosen,
            Some(node("c")),
            "among equals"
        );
        let again = Evidence { run: RunId("2".into()), ..filling(9, 5) };
        let older = Evidence { run: RunId("2".into()), ..said("r", 7, 4) };
        assert_eq!(
            rank(&[("a", older), ("b", again.clone()), ("c", said("r", 7, 4))]).chosen,
            Some(node("b")),
            "its history says what it held, also in a run in which it was not seen to follow"
        );
        assert_eq!(rank(&[("b", again)]).dropped[&node("b")], Dropped::Restarted);
        let other = Evidence { history: said("x", 9, 5).history, ..filling(9, 5) };
        assert_eq!(
            rank(&[("b", other)]).dropped[&node("b")],
            Dropped::HalfSynced,
            "nobody knows what it held"
        );
        assert_eq!(
            rank(&[("b", filling(9, 0))]).dropped[&node("b")],
            Dropped::HalfSynced,
            "it may have been emptied for the copy"
        );
    }

    #[test]
    fn where_all_are_back_and_one_history_has_all_the_keys_it_goes_on() {
        let back = |replid, keys| Evidence { run: RunId("2".into()), ..said(replid, 0, keys) };
        let all = [("a", back("x", 0)), ("b", back("y", 4)), ("c", back("z", 0))];
        assert_eq!(rank(&all).chosen, Some(node("b")));
        assert_eq!(rank(&all[..2]).chosen, None, "c may hold more");
        let two = [("a", back("x", 0)), ("b", back("y", 4)), ("c", back("z", 4))];
        assert_eq!(rank(&two).chosen, None, "nobody knows which is the better one");
        let deleted = [("a", said("r", 9, 0)), ("b", back("y", 4)), ("c", back("z", 0))];
        assert_eq!(rank(&deleted).chosen, None, "the keys may have been deleted");
        let further = Evidence { run: RunId("2".into()), ..said("y", 7, 4) };
        let filling = Role::Replica { of: None, link: Link::Syncing, received: 9 };
        let ahead = Evidence { role: filling, ..further.clone() };
        let behind = [("a", back("x", 0)), ("b", ahead), ("c", back("y", 4))];
        assert_eq!(rank(&behind).chosen, None, "another has more of it");
        assert_eq!(rank(&[("a", back("x", 0)), ("b", back("y", 4)), ("c", further)]).chosen, Some(node("c")));
    }

    #[test]
    fn a_restarted_master_waits_for_who_may_hold_more() {
        let rank = |reached: &[(&str, u64)], back: &[(&str, u64)]| {
            let again = |offset| Evidence { run: RunId("2".into()), ..said("r", offset, 1) };
            let back = back.iter().map(|(name, offset)| (node(name), again(*offset))).collect();
            let reached = reached.iter().map(|(name, offset)| (node(name), (ReplId("r".into()), *offset)));
            rank_candidates(&Topology { reached: reached.collect(), ..record() }, &back, &BTreeMap::new())
        };
        let ranking = rank(&[("b", 9), ("c", 5)], &[("a", 5)]);
        assert_eq!(ranking.chosen, None);
        assert_eq!(ranking.dropped[&node("a")], Dropped::Behind);
        assert_eq!(
            rank(&[("b", 9), ("c", 5)], &[("a", 5), ("b", 6)]).chosen,
            Some(node("b")),
            "c held no more"
        );
        assert_eq!(rank(&[("b", 5), ("c", 5)], &[("a", 5)]).chosen, Some(node("a")), "lost long before");
        assert_eq!(rank(&[("b", 5)], &[("a", 5)]).chosen, None, "nobody knows how far c had come");
        let all = [("a", 5), ("b", 6), ("c", 7)];
        assert_eq!(
            rank(&[("b", 9), ("c", 9)], &all).chosen,
            Some(node("c")),
            "all are back: the best of them"
        );
    }

    #[test]
    fn a_restarted_master_without_keys_is_not_chosen_while_another_is_missing() {
        let empty = || Evidence { run: RunId("2".into()), ..said("r", 0, 0) };
        assert_eq!(rank(&[("a", empty()), ("b", empty())]).dropped[&node("a")], Dropped::Empty);
        assert_eq!(rank(&[("a", empty()), ("b", empty()), ("c", empty())]).chosen, Some(node("a")));
    }

    #[test]
    fn what_the_group_waits_for_is_told_with_what_each_holds() {
        let saved = Evidence { saved: Some(7), ..said("x", 0, 4) };
        let waits = rank(&[("b", saved)]).waits();
        let wait = |why: Dropped, keys, saved| Wait { why: why.to_string(), keys, saved };
        assert_eq!(waits[&node("a")], wait(Dropped::NotFrozen, None, None));
        assert_eq!(waits[&node("b")], wait(Dropped::UnknownHistory, Some(4), Some(7)));
    }

    #[test]
    fn empty_nodes_lead_only_when_all_are_back_and_all_are_empty() {
        let empty = || said("x", 0, 0);
        assert_eq!(rank(&[("a", empty()), ("b", empty())]).chosen, None);
        assert_eq!(rank(&[("a", empty()), ("b", empty()), ("c", empty())]).chosen, Some(node("a")));
    }
}
