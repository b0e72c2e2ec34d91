//! The journal: every call of a monitor's decider in a bounded file, from which the decider can be stepped again.
//!
//! It decides nothing and holds up nobody: what can't be written is dropped and counted. It knows nothing of the
//! monitor, so that reading a journal needs none.

mod change;
mod format;
mod moment;
mod output;
mod reader;
mod recorded;
mod replay;
mod writer;

use std::path::{Path, PathBuf};

use redis_failover_core::{Action, Decider, Event, Instant, NodeAddr, Policy};

pub(crate) use format::Head;
pub(crate) use moment::Moment;
pub(crate) use reader::ReadError;
pub(crate) use recorded::Recorded;
pub(crate) use replay::{Decision, Replay, Turn, View};

/// Where a monitor writes its journal, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalFile {
    /// The file. The part before what is in it is beside it, with `.1` after its name.
    pub path: PathBuf,
    /// How many bytes both files together may take. One snapshot and what waits to be written may come on top.
    pub limit: u64,
}

impl JournalFile {
    /// The file that the present one becomes when it is half of the limit.
    pub(crate) fn older(&self) -> PathBuf {
        older(&self.path)
    }
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// A call that may change a decider. There are no others: whoever makes the same calls in the same order gets the same
/// actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// [`Decider::handle`].
    Handle(Instant, Event),
    /// [`Decider::poll_action`].
    Poll(Instant),
    /// [`Decider::seed`], at this time.
    Seed(Instant, Vec<NodeAddr>, Policy),
}

impl Call {
    /// Makes the call.
    pub(crate) fn make(self, decider: &mut Decider) -> Option<Action> {
        match self {
            Self::Handle(now, event) => decider.handle(now, event),
            Self::Poll(now) => return decider.poll_action(now),
            Self::Seed(_, nodes, policy) => decider.seed(nodes, policy),
        }
        None
    }

    /// When it is made.
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Handle(now, _) | Self::Poll(now) | Self::Seed(now, ..) => *now,
        }
    }
}

#[cfg(test)]
mod tests;
