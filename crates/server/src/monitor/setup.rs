//! What a monitor is made of. It is handed in and checks nothing.

use std::time::Duration;

use redis_failover_core::{MonitorId, NodeAddr, Policy};
use redis_failover_store::Contact;

use crate::journal::JournalFile;
use crate::redis_link::Credentials;

/// What one monitor of one group is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The group's name, for the log.
    pub group: String,
    /// Where the group is kept in the store, below no chroot: the same for all its monitors.
    pub znode: String,
    /// This monitor.
    pub id: MonitorId,
    /// Where it can be asked.
    pub contact: Option<Contact>,
    /// Where its process answers as a Redis Sentinel, `HOST:PORT`, if anywhere.
    pub sentinel: Option<String>,
    /// The nodes that seed a group without a record.
    pub nodes: Vec<NodeAddr>,
    /// The policy that seeds a group without a record.
    pub policy: Policy,
    /// Who we are to Redis.
    pub credentials: Credentials,
    /// How often INFO's slow sections are read.
    pub slow_every: Duration,
    /// Whether it stands for the lead beside a living monitor of the predecessor.
    pub take_over: bool,
    /// Where its journal is written, if it is.
    pub journal: Option<JournalFile>,
}

/// What a group without a record is begun with.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    /// The nodes in the operator's order.
    pub(crate) nodes: Vec<NodeAddr>,
    /// The policy.
    pub(crate) policy: Policy,
}
