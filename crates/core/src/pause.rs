//! A pause: an operator has said that no change of master is to begin. It measures no time by itself.

use std::fmt;
use std::time::Duration;

use crate::names::{Epoch, MonitorId, NodeAddr};
use crate::topology::Reason;

/// What an operator said, and what was not done for it. It stands in the record until it is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Pause {
    /// Who paused.
    pub by: String,
    /// Why.
    pub reason: String,
    /// For how long; `None` until somebody resumes.
    pub lasts: Option<Duration>,
    /// When it was recorded, in milliseconds of the Unix epoch by the wall clock of the monitor that led; `None` where
    /// that had none. For people, and for monitors that begin in the middle of the pause.
    pub since: Option<u64>,
    /// Why the master of now would have been replaced; `None` while nothing is wrong with it.
    pub withheld: Option<Reason>,
}

impl Pause {
    /// Whether both are the same saying of an operator, whatever came of it.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        let said = |it: &Self| (it.by.clone(), it.reason.clone(), it.lasts, it.since);
        said(self) == said(other)
    }

    /// When it ends by that wall clock, in milliseconds of the Unix epoch, where both is known.
    pub fn until(&self) -> Option<u64> {
        let lasts = u64::try_from(self.lasts?.as_millis()).unwrap_or(u64::MAX);
        Some(self.since?.saturating_add(lasts))
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, reason, lasts, .. } = self;
        match lasts {
            Some(lasts) => write!(f, "paused by {by} for {lasts:?}: {reason}"),
            None => write!(f, "paused by {by}: {reason}"),
        }
    }
}

/// A change of master that a pause kept from being begun, told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Withheld {
    /// The epoch that would have ended.
    pub epoch: Epoch,
    /// The master that would have been replaced.
    pub master: NodeAddr,
    /// Why.
    pub reason: Reason,
    /// Who paused.
    pub by: String,
    /// Why they did.
    pub why: String,
    /// Who led when this was written.
    pub leader: MonitorId,
}
