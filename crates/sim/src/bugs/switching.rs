//! Bugs of switchovers, planted in what a leader's decider is told of the master and of the node that is to take over.

use std::collections::BTreeMap;

use redis_failover_core::{ActionId, Event as Fact, Evidence, History, NodeAddr, Outcome, Purpose, Step};

use super::Bug;
use crate::monitor::Monitor;

/// What a monitor with a planted bug remembers of a switchover.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    /// What it began last.
    begun: Option<Step>,
    /// What the master and the wanted node said when both were looked at last.
    looked: Option<BTreeMap<NodeAddr, Evidence>>,
    /// The master was asked to hold writes since.
    holds: bool,
    /// What the master held when it gave up its role.
    ceded: Option<History>,
}

impl Remembered {
    /// It begins something.
    pub(super) fn begin(&mut self, step: &Step) {
        match step {
            Step::HoldWrites { .. } => self.holds = true,
            Step::Commit { purpose: Purpose::OpenEpoch, .. } => *self = Self::default(),
            Step::Cede { .. } | Step::ResumeWrites { .. } => self.holds = false,
            Step::Look { nodes } if nodes.len() > 2 => *self = Self::default(),
            _ => {}
        }
        self.begun = Some(step.clone());
    }

    /// What it says of a look that it does not take.
    pub(super) fn pretend(&self, bug: Bug, step: &Step) -> Option<Outcome> {
        let looks = matches!(step, Step::Look { nodes } if nodes.len() == 2);
        let early = bug == Bug::LooksBeforeItHolds && self.holds && looks;
        self.looked.clone().filter(|_| early).map(Outcome::Read)
    }
}

impl Monitor {
    /// What a decider is told instead of what was read.
    pub(super) fn distort_read(
        &mut self,
        bug: Bug,
        id: ActionId,
        mut said: BTreeMap<NodeAddr, Evidence>,
    ) -> Fact {
        let remembered = &mut self.planted.switching;
        match &remembered.begun {
            Some(Step::Look { nodes }) if nodes.len() == 2 => {
                remembered.looked = Some(said.clone());
            }
            Some(Step::Look { nodes } | Step::Freeze { nodes, .. }) if nodes.len() == 1 => {
                let master = remembered.ceded.clone();
                if let (Bug::OpensForLess, Some(it), Some(master)) = (bug, said.get_mut(&nodes[0]), master) {
                    it.history = master;
                }
            }
            Some(Step::Cede { node, .. }) => {
                let others = remembered.looked.iter().flatten().find(|(other, _)| *other != node);
                let behind = others.map(|(_, it)| it.history.offset);
                if let (Bug::ForgetsTheEnd, Some(master)) = (bug, said.get_mut(node)) {
                    master.history.offset = behind.unwrap_or(master.history.offset);
                }
                remembered.ceded = said.get(node).map(|it| it.history.clone());
            }
            _ => {}
        }
        Fact::Finished(id, Outcome::Read(said))
    }
}
