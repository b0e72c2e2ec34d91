//! What a decision was based on, for people. It decides nothing, and is as it was when the decision was made only until
//! the decider is told something new.

use std::collections::BTreeMap;

use super::{Decider, Status};
use crate::candidate::Ranking;
use crate::event::Observation;
use crate::names::{MonitorId, NodeAddr};
use crate::plan::rank;
use crate::time::Instant;
use crate::view::{Ballot, Evidence};

/// What a decision was based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// What the decider concludes.
    pub status: Status,
    /// What each registered live monitor says of the recorded master; empty while there is no record.
    pub votes: BTreeMap<MonitorId, Ballot>,
    /// What nodes said on the connections over which they were frozen, or when they were looked at for a first record.
    pub evidence: BTreeMap<NodeAddr, Evidence>,
    /// Who may take over and why the others may not, where the nodes were frozen for that.
    pub ranking: Option<Ranking>,
}

impl Decider {
    /// What the last decision was based on, if it was made at `now` and nothing was handed in since.
    pub fn grounds(&self, now: Instant) -> Grounds {
        let facts = self.facts(now);
        let votes = facts.as_ref().map(|facts| facts.electorate.ballots(&facts.record.master));
        let frozen = facts.as_ref().filter(|_| self.progress.frozen);
        Grounds {
            status: self.status(now),
            votes: votes.unwrap_or_default(),
            evidence: self.progress.evidence.clone(),
            ranking: frozen.map(|facts| rank(facts, &self.progress)),
        }
    }

    /// What this monitor saw last.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// Whose decisions these are.
    pub fn monitor(&self) -> &MonitorId {
        &self.me
    }
}
