//! What operators have said of single nodes: it is kept in the record and counts for every leader. It changes no master
//! by itself.

use std::fmt;

use crate::names::NodeAddr;
use crate::topology::Topology;
use crate::view::Evidence;

/// What an operator has said of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Orders {
    /// Counts in the place of the node's own `replica-priority`: lower is preferred, 0 never.
    pub priority: Option<u32>,
    /// It is out of service: published as not OK, so that nobody reads from it, and never to lead.
    pub drained: bool,
    /// Where it is, in the operator's words.
    pub zone: Option<String>,
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priority = self.priority.map(|priority| match priority {
            0 => "never to lead".to_owned(),
            priority => format!("priority {priority}"),
        });
        let drained = self.drained.then(|| "drained".to_owned());
        let zone = self.zone.as_ref().map(|zone| format!("zone {zone}"));
        let all: Vec<_> = [drained, priority, zone].into_iter().flatten().collect();
        f.write_str(&all.join(", "))
    }
}

impl Topology {
    /// The priority of a node that said this: lower is preferred, 0 never.
    ///
    /// What is ordered of the published master counts once another leads: where a change fails it leads on, for it
    /// holds most.
    pub fn priority(&self, node: &NodeAddr, said: &Evidence) -> u32 {
        match self.orders.get(node).filter(|_| *node != self.master) {
            Some(Orders { drained: true, .. }) => 0,
            Some(Orders { priority: Some(priority), .. }) => *priority,
            Some(_) | None => said.priority,
        }
    }

    /// Whether an operator has taken the node out of service.
    pub fn is_drained(&self, node: &NodeAddr) -> bool {
        *node != self.master && self.orders.get(node).is_some_and(|orders| orders.drained)
    }

    /// Whether an operator, or the policy, has said that this node is not to lead.
    pub fn never_leads(&self, node: &NodeAddr) -> bool {
        let never = self.orders.get(node).is_some_and(|orders| orders.priority == Some(0));
        never || self.is_drained(node) || self.only_watches(node)
    }

    /// Where the node is, if an operator has said so.
    pub fn zone(&self, node: &NodeAddr) -> Option<&str> {
        self.orders.get(node)?.zone.as_deref()
    }

    /// Whether the node is where the published master is, as far as operators have said.
    pub fn is_in_masters_zone(&self, node: &NodeAddr) -> bool {
        self.zone(node) == self.zone(&self.master)
    }
}
