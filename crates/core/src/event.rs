//! What a decider is told: present values, so that a late one is late and not wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{MonitorId, NodeAddr, Term};
use crate::request::Requests;
use crate::step::{ActionId, Outcome};
use crate::time::Instant;
use crate::topology::Versioned;
use crate::view::{Ballots, LeadBallot, Peers, Sighting};

/// Whether this monitor leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Leadership {
    /// Another leads, or nobody.
    Following,
    /// This one leads.
    Leading(Term),
    /// This one led, and may no longer: hands off until it is known.
    Suspended,
}

/// What this monitor sees of the nodes, from its [`crate::observer::Observer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Observation {
    /// Its votes.
    pub ballots: Ballots,
    /// The last answer of each node.
    pub sightings: BTreeMap<NodeAddr, Sighting>,
    /// Since when each troubled node has been in trouble.
    pub troubles: BTreeMap<NodeAddr, Instant>,
}

/// What the decider is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// Whether this monitor leads. Whoever hands this in has dropped the action under way, also where it says the same
    /// as before, has the record read again, and hands that in next.
    Leadership(Leadership),
    /// What stands in the store.
    TopologyRead(Versioned),
    /// What stands in the store cannot be read, or contradicts itself.
    TopologyUnreadable,
    /// What the other live monitors vote.
    ReportsRead(Peers),
    /// What this monitor says of who leads, where that is another one that it has reached.
    LeaderWatched(Option<LeadBallot>),
    /// What operators ask for and nobody has answered yet.
    RequestsRead(Requests),
    /// What this monitor's wall clock says, in milliseconds of the Unix epoch. Only the length of a pause is measured
    /// by it, where its beginning was not seen.
    WallClock(u64),
    /// What this monitor sees.
    Observed(Observation),
    /// What came of an action.
    Finished(ActionId, Outcome),
    /// This monitor leaves its group for good. These others are alive, by a reading that was begun when its own report
    /// was gone: of those that leave at the same time the last finds nobody.
    Leaving(BTreeSet<MonitorId>),
}
