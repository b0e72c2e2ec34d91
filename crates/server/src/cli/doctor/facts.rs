//! What the doctor has found out about a group, as data: the judgement needs nothing else. It asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use redis_failover_core::{MonitorId, NodeAddr, Topology};
use redis_failover_store::Examination;
use secrecy::SecretString;

use crate::cli::place::Place;
use crate::info::Info;

/// All that was found out.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Where the group is.
    pub(super) place: Place,
    /// The record.
    pub(super) record: Topology,
    /// The monitors that are alive.
    pub(super) alive: BTreeMap<MonitorId, MonitorFacts>,
    /// Whether one of them leads.
    pub(super) leads: bool,
    /// What ZooKeeper says of itself and of the group's znodes.
    pub(super) examination: Examination,
    /// The hosts that the connect string names.
    pub(super) listed: Vec<String>,
    /// Whether we are somebody to ZooKeeper.
    pub(super) is_somebody: bool,
    /// The addresses behind each host's name that was looked up; none where it leads nowhere.
    pub(super) addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Who we are to the Redis servers.
    pub(super) redis_user: String,
    /// What each node said, or why it said nothing.
    pub(super) nodes: BTreeMap<NodeAddr, Result<NodeFacts, String>>,
    /// How long an outage of a replica is to be made good without a full copy.
    pub(super) outage: Duration,
}

/// What a monitor says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct MonitorFacts {
    /// Where it can be asked, if anywhere.
    pub(super) address: Option<String>,
    /// The version of its program.
    pub(super) version: Option<String>,
    /// By how many milliseconds its clock is ahead of ZooKeeper's.
    pub(super) ahead: Option<i64>,
}

/// What one node said.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeFacts {
    /// Of itself.
    pub(super) info: Info,
    /// Its settings that were asked for; those that it does not have are missing.
    pub(super) settings: BTreeMap<String, String>,
    /// What of it could not be read, and why.
    pub(super) unread: Vec<(&'static str, String)>,
    /// The password that it asks of the default user; `None` where it asks none, or that could not be read.
    pub(super) requires: Option<SecretString>,
    /// The password that it gives to its master.
    pub(super) gives: Option<SecretString>,
    /// What the monitors' user may not do.
    pub(super) refused: BTreeSet<Right>,
    /// What it does not have, by that name at least.
    pub(super) unknown: BTreeSet<Right>,
    /// By how much its clock is ahead of ours, in milliseconds, if that is known: at least and at most.
    pub(super) ahead: Option<(i64, i64)>,
    /// How many bytes were written to its history in how long, where it is the master.
    pub(super) written: Option<(u64, Duration)>,
}

impl NodeFacts {
    /// A setting.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// A setting that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.setting(name)?.parse().ok()
    }

    /// A number that it says of itself.
    pub(super) fn counted(&self, field: &str) -> Option<u64> {
        self.info.field(field)?.parse().ok()
    }
}

/// A command that monitors need, as an ACL calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right(pub(super) &'static str);

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
