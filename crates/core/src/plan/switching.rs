//! The part of a switchover that comes before its epoch: the master stops taking writes when the node that is to take
//! over has all of them. From the epoch on it is a change of master like any other.
//!
//! Until the master has given up its role all can be taken back, and nothing of it is recorded. After that the epoch
//! is opened for the wanted node only if it holds exactly what the master held; otherwise for whoever holds most, which
//! is the old master itself wherever it lives.

use std::time::Duration;

use super::{Next, Planner};
use crate::names::{NodeAddr, RunId};
use crate::request::RequestId;
use crate::step::Step;
use crate::time::Instant;
use crate::topology::{Intent, Reason};
use crate::view::Evidence;

/// By how many bytes a replica that is near enough is behind at most: what passes over in a moment.
pub const NEAR: u64 = 1 << 20;

/// For how long the master is asked to hold writes. It is for their callers only, who are answered later instead of
/// with an error: nothing rests on it.
pub const HOLDS_WRITES: Duration = Duration::from_secs(1);

/// How long a replica that is near may take to have all.
const CATCHES_UP: Duration = Duration::from_millis(500);

/// How often a replica that is not near is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How often one is looked at for which writes wait.
const LOOK_SOON: Duration = Duration::from_millis(1);

/// A switchover under way, before its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Switch {
    /// Who asked for it.
    pub request: RequestId,
    /// The published master, in the life of its process in which it is to give up its role.
    pub from: (NodeAddr, RunId),
    /// Who is to take over.
    pub to: NodeAddr,
    /// Until when it must be near.
    pub until: Instant,
    /// How far it is.
    pub stage: Stage,
    /// What was seen last in this stage, and when.
    pub seen: Option<(Instant, Gap)>,
}

/// How far a switchover is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Stage {
    /// The node is to come near.
    Approaching,
    /// The master was asked to hold writes.
    Holding {
        /// When.
        since: Instant,
        /// Whether it does.
        held: bool,
    },
    /// It holds them for nothing: it is to go on.
    Resuming,
    /// The master has given up its role, and this is what it holds.
    Ceded {
        /// When.
        since: Instant,
        /// What it said then.
        said: Box<Evidence>,
    },
    /// It has, and the wanted node will not take over: whoever holds most does.
    Failed,
}

/// By how much the wanted node is behind the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Gap {
    /// By so many bytes of the same history.
    Bytes(u64),
    /// Not known: one of them did not answer, or it no longer follows.
    Unknown,
}

impl Gap {
    fn is_near(self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes <= NEAR)
    }
}

impl Switch {
    /// Whether the master has given up its role for it.
    pub fn is_ceded(&self) -> bool {
        matches!(self.stage, Stage::Ceded { .. } | Stage::Failed)
    }

    /// Whether the time is over in which something can come of this stage.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        match &self.stage {
            Stage::Approaching => now >= self.until,
            Stage::Holding { since, .. } | Stage::Ceded { since, .. } => now >= *since + CATCHES_UP,
            Stage::Resuming | Stage::Failed => false,
        }
    }
}

/// Whether a frozen node holds exactly what the master held when it gave up its role.
fn holds_all(node: &Evidence, master: &Evidence) -> bool {
    let (held, wanted) = (&node.history, &master.history);
    !node.role.is_master() && held.replid == wanted.replid && held.offset == wanted.offset
}

impl Planner<'_> {
    /// The next step of a switchover of which nothing is recorded yet.
    pub(super) fn switch(&self, switch: &Switch) -> Next {
        let both = || vec![switch.from.0.clone(), switch.to.clone()];
        let gap = switch.seen.map(|(_, gap)| gap);
        let (node, run) = switch.from.clone();
        match &switch.stage {
            Stage::Approaching if gap.is_some_and(Gap::is_near) => {
                Next::Do(Step::HoldWrites { node, lasts: HOLDS_WRITES })
            }
            Stage::Approaching => match self.look(switch, both(), LOOK_AGAIN) {
                // The group is kept in order meanwhile.
                Next::Wait(Some(until)) => self.tend_until(until),
                other => other,
            },
            Stage::Holding { held, .. } => match gap {
                Some(Gap::Bytes(0)) => Next::Do(Step::Cede { node, run }),
                // It is written to, so it is never seen to have all. Most servers feed it on when they give up.
                Some(gap) if !held && gap.is_near() => Next::Do(Step::Cede { node, run }),
                _ => self.look(switch, both(), LOOK_SOON),
            },
            Stage::Resuming => Next::Do(Step::ResumeWrites { node }),
            Stage::Ceded { said, .. } => match (self.progress.evidence.get(&switch.to), gap) {
                (Some(it), _) if self.progress.frozen && holds_all(it, said) => {
                    Next::Do(self.open_epoch(Reason::Switchover, switch.to.clone()))
                }
                (_, Some(Gap::Bytes(0))) => {
                    let nodes = vec![switch.to.clone()];
                    Next::Do(Step::Freeze { awaited: nodes.iter().cloned().collect(), nodes, cut: None })
                }
                _ => self.look(switch, vec![switch.to.clone()], LOOK_SOON),
            },
            Stage::Failed => self.replace(Reason::Demoted),
        }
    }

    /// Whether the clients of the intended node are those of a master that gave up its role.
    pub(super) fn is_unclosed(&self, intent: &Intent) -> bool {
        self.facts.record.unclosed.get(&intent.node) == Some(&intent.run)
    }

    /// A look at once, or when it is time for the next one.
    fn look(&self, switch: &Switch, nodes: Vec<NodeAddr>, pace: Duration) -> Next {
        match switch.seen {
            Some((at, _)) if self.facts.now < at + pace => Next::Wait(Some(at + pace)),
            _ => Next::Do(Step::Look { nodes }),
        }
    }
}
