//! What commands see of the group: which links they may use now. A snapshot; it is replaced, never changed.

use std::sync::Arc;

use redis_failover_core::follower::Follower;
use tokio_util::sync::CancellationToken;

use crate::link::Link;

/// Where commands go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// The link to the master, if there is one that takes writes.
    pub(crate) master: Option<Arc<Link>>,
    /// The links that reads take in turn; the master's is not among them unless reads go there.
    pub(crate) readers: Vec<Arc<Link>>,
    /// Ends when another master is published. What is in flight on connections of their own ends with it.
    pub(crate) tenure: CancellationToken,
    /// What is believed.
    pub(crate) follower: Arc<Follower>,
    /// Why there is no master to write to; empty if there is one.
    pub(crate) why: Arc<str>,
}
