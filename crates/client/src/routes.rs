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
    /// The links that reads take in turn, the master's among them where it is read like the others. None: the master.
    pub(crate) readers: Vec<Arc<Link>>,
    /// The links to all replicas that serve, chosen to be read from or not.
    pub(crate) replicas: Vec<Arc<Link>>,
    /// Ends when another master is published. What is in flight on connections of their own ends with it.
    pub(crate) tenure: CancellationToken,
    /// What is believed.
    pub(crate) follower: Arc<Follower>,
    /// Why there is no master to write to; empty if there is one.
    pub(crate) why: Arc<str>,
}
