//! What the history tells of a node that came back. It counts nothing: see [`crate::divergence`].

use crate::divergence::Divergence;
use crate::names::{Epoch, MonitorId, NodeAddr, ReplId};

/// One node that came back with what the master does not have, told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Return {
    /// The epoch in which it was counted.
    pub epoch: Epoch,
    /// The node.
    pub node: NodeAddr,
    /// The history that it held, under the name that it had there.
    pub replid: ReplId,
    /// How much of it.
    pub offset: u64,
    /// How many keys.
    pub keys: u64,
    /// How much of that is beyond where the group's history was left, and what becomes of it.
    pub divergence: Divergence,
    /// Who led when this was written.
    pub leader: MonitorId,
}

impl Return {
    /// Whether both tell of the same data of one node.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        let held = |it: &Self| (it.epoch, it.node.clone(), it.replid.clone(), it.offset);
        held(self) == held(other) && self.divergence.is_same_data(&other.divergence)
    }
}
