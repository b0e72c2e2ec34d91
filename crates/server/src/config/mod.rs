//! From what was typed or written in a file to what is meant. Nothing past this module sees an unchecked string;
//! nothing is opened here but the configuration's files and the passwords'.

mod backing;
mod choices;
mod file;
mod flags;
mod group;
mod keys;
mod redis_args;
mod said;
mod secure;
mod sentinel;
mod values;
mod wishes;

use std::net::SocketAddr;
use std::path::Path;

use redis_failover_core::{MonitorId, NodeAddr};

use crate::failure::{Failure, Kind};
pub(crate) use backing::{Backing, Ensemble};
pub(crate) use file::ConfigFile;
pub(crate) use flags::{RunArgs, Source, StoreArgs};
pub(crate) use group::GroupConfig;
use group::Origin;
pub(crate) use keys::{keys, near, nearest, reference};
pub(crate) use redis_args::RedisArgs;
use secure::OpenFile;
pub(crate) use secure::ZooKeeperArgs;
pub(crate) use sentinel::SentinelConfig;
use sentinel::SentinelSaid;
pub(crate) use values::{host_name, parse_node, parse_time};
pub(crate) use wishes::{Wishes, settings, written};

/// What one monitor process is to do, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// This monitor's id, in all its groups.
    pub id: MonitorId,
    /// Where it answers.
    pub listen: Option<SocketAddr>,
    /// Where the others are told to ask it, if that is another address.
    pub announce: Option<NodeAddr>,
    /// Where it answers as a Sentinel.
    pub sentinel: Option<SentinelConfig>,
    /// The groups, each another one.
    pub groups: Vec<GroupConfig>,
    /// The files of the endpoint's secrets that every user of this machine may read.
    open_files: Vec<OpenFile>,
}

/// Who and where the process is, as it was said.
#[derive(Clone, Debug, Default)]
struct Identity {
    id: Option<MonitorId>,
    listen: Option<SocketAddr>,
    announce: Option<NodeAddr>,
    sentinel: SentinelSaid,
}

impl Config {
    /// Checks that the groups are different ones.
    ///
    /// # Errors
    /// Where two are at one path of one ensemble, have one name, or list one server: two groups that command one
    /// server would undo each other's work. And where two write one journal. And where something is announced that is
    /// nowhere, or the host has no name. And where a group lists no server, and no endpoint answers for it either.
    fn new(identity: Identity, origin: &Origin, groups: Vec<GroupConfig>) -> Result<Self, Failure> {
        for (index, group) in groups.iter().enumerate() {
            for earlier in &groups[..index] {
                group.differs_from(earlier)?;
            }
        }
        let Identity { id, listen, announce, sentinel } = identity;
        let mut open_files = Vec::new();
        let sentinel = sentinel.check(origin, &mut open_files)?;
        let alone = groups.iter().any(|group| group.backing.state_file().is_some());
        let mut following = groups.iter().filter(|group| group.only_follows());
        // Alone there is nobody whom it could follow.
        if let Some(group) = following.find(|_| sentinel.is_none() || alone) {
            return Err(group.lists_nobody());
        }
        let id = id.map_or_else(|| backing::default_id(alone), Ok)?;
        if let Some(announce) = announce.as_ref().filter(|_| listen.is_none()) {
            return Err(usage(format!("announce {announce}: this monitor listens nowhere"))
                .hint("say also where it is to listen: --listen IP:PORT, or `listen` in the file"));
        }
        Ok(Self { id, listen, announce, sentinel, groups, open_files })
    }

    /// The file that the records of all its groups are kept in, where there is no ZooKeeper.
    pub(crate) fn state_file(&self) -> Option<&Path> {
        self.groups.iter().find_map(|group| group.backing.state_file())
    }

    /// What an operator may not have meant.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let of_groups = self.groups.iter().flat_map(|group| group.open_files.clone());
        let mut open: Vec<_> = of_groups.chain(self.open_files.clone()).collect();
        open.sort();
        open.dedup();
        let warning = |OpenFile { what, file }| {
            format!("the {what} file {file} can be read by every user of this machine (chmod 600 {file})")
        };
        let endpoint = self.sentinel.as_ref().and_then(SentinelConfig::warning);
        open.into_iter().map(warning).chain(endpoint).collect()
    }
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Usage, message)
}
