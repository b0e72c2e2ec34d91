//! Who would take over if an operator has the master replaced, and what is lost by that, by what all said when they
//! were looked at. It asks nobody and begins nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::candidate::{Dropped, Ranking, rank_candidates};
use crate::names::NodeAddr;
use crate::topology::Topology;
use crate::view::Evidence;

/// What is known of a failover that is not begun.
#[derive(Debug)]
pub struct Costs<'a> {
    record: &'a Topology,
    said: &'a BTreeMap<NodeAddr, Evidence>,
    ranking: Ranking,
}

impl<'a> Costs<'a> {
    /// Those of replacing the master of `record`.
    pub fn new(record: &'a Topology, said: &'a BTreeMap<NodeAddr, Evidence>) -> Self {
        Self { record, said, ranking: rank_candidates(record, said, &BTreeMap::new()) }
    }

    /// Who takes over: the wanted node, or of the others than the master the one that holds most.
    ///
    /// # Errors
    /// Why nobody does, for people. A wanted node does where it answers and `accept_loss` is said, otherwise only where
    /// it may lead and none that may holds more.
    pub fn heir(&self, wanted: Option<&NodeAddr>, accept_loss: bool) -> Result<NodeAddr, String> {
        let best = self.best();
        let Some(wanted) = wanted else {
            return best.cloned().ok_or_else(|| {
                format!("none but {} may lead ({}): name one", self.record.master, self.each())
            });
        };
        if !self.said.contains_key(wanted) {
            return Err(format!("{wanted} does not answer"));
        }
        if self.ranking.dropped.get(wanted) == Some(&Dropped::Empty) {
            return Err(format!(
                "{wanted} holds nothing, so all would be lost (`adopt` takes it where nobody may lead)"
            ));
        }
        if accept_loss {
            return Ok(wanted.clone());
        }
        if let Some(why) = self.ranking.dropped.get(wanted) {
            return Err(format!("{wanted} may not lead: {why} (--accept-loss has it lead all the same)"));
        }
        match best.filter(|best| self.holds(best) > self.holds(wanted)) {
            Some(best) => Err(format!(
                "{best} holds more than {wanted}, which is {} (--accept-loss has it lead all the same)",
                self.lacks(wanted)
            )),
            None => Ok(wanted.clone()),
        }
    }

    /// What would be done and what that would cost, in clauses for people; the first begins with the node.
    pub fn would(&self, to: &NodeAddr) -> String {
        let master = &self.record.master;
        let cost = if self.said.contains_key(master) {
            format!(
                "{master} answers: its clients are cut off, and what it took that {to} has not is lost; now {to} is {}",
                self.lacks(to)
            )
        } else {
            format!(
                "{master} does not answer the leader: what it took since {to} heard it last is lost, and what it goes \
                 on to take from clients that reach it"
            )
        };
        format!("{to} would take over from {master} ({}); {cost}", self.each())
    }

    /// What speaks for and against each node but the master.
    fn each(&self) -> String {
        let others = self.record.nodes().filter(|node| **node != self.record.master);
        let each = others.map(|node| match (self.said.get(node), self.ranking.dropped.get(node)) {
            (None, _) => format!("{node}: it does not answer"),
            (Some(it), Some(why)) => format!("{node}: {why}, {} keys", it.keys),
            (Some(it), None) => format!("{node}: {}, {} keys", self.lacks(node), it.keys),
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// The others than the master, the one that holds most first.
    fn best(&self) -> Option<&NodeAddr> {
        let others = self.ranking.positions.keys().filter(|node| **node != self.record.master);
        others.min_by_key(|node| self.order(node))
    }

    fn order(&self, node: &NodeAddr) -> impl Ord + use<> {
        let it = self.said.get(node);
        (
            Reverse(self.holds(node)),
            it.map(|it| self.record.priority(node, it)),
            !self.record.is_in_masters_zone(node),
            node.clone(),
        )
    }

    /// How far it is: a greater one holds more.
    fn holds(&self, node: &NodeAddr) -> impl Ord + use<> {
        let offset = self.said.get(node).map(|it| it.history.offset);
        (self.ranking.positions.get(node).copied(), offset)
    }

    /// By how many bytes it is behind the one that holds most, the master among them; `None` where that can't be said.
    fn behind(&self, node: &NodeAddr) -> Option<u64> {
        let locate = |it: &Evidence| self.record.lineages.locate(&it.history);
        let furthest = self.said.values().filter_map(locate).max()?;
        furthest.ahead_of(locate(self.said.get(node)?)?)
    }

    fn lacks(&self, node: &NodeAddr) -> String {
        match self.behind(node) {
            Some(0) => "as far as any that answers".to_owned(),
            Some(bytes) => format!("{bytes} bytes behind"),
            None => "behind by nobody knows how much".to_owned(),
        }
    }
}
