//! From what was typed or written in a file to what is meant. Nothing past this module sees an unchecked string;
//! nothing is opened here but the configuration's files and the passwords'.

mod file;
mod flags;
mod group;
mod keys;
mod values;

use std::net::SocketAddr;

use redis_failover_core::MonitorId;

use crate::failure::{Failure, Kind};
pub(crate) use file::ConfigFile;
pub(crate) use flags::{RunArgs, Source, StoreArgs};
pub(crate) use group::{Ensemble, GroupConfig};
pub(crate) use keys::reference;
pub(crate) use values::{parse_node, parse_time};

/// What one monitor process is to do, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// This monitor's id, in all its groups.
    pub id: MonitorId,
    /// Where it answers.
    pub listen: Option<SocketAddr>,
    /// The groups, each another one.
    pub groups: Vec<GroupConfig>,
}

impl Config {
    /// Checks that the groups are different ones.
    ///
    /// # Errors
    /// Where two are at one path of one ensemble, have one name, or list one server: two groups that command one
    /// server would undo each other's work. And where two write one journal.
    fn new(id: MonitorId, listen: Option<SocketAddr>, groups: Vec<GroupConfig>) -> Result<Self, Failure> {
        for (index, group) in groups.iter().enumerate() {
            for earlier in &groups[..index] {
                group.differs_from(earlier)?;
            }
        }
        Ok(Self { id, listen, groups })
    }

    /// What an operator may not have meant.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> =
            self.groups.iter().filter_map(|group| group.open_password_file.clone()).collect();
        warnings.sort();
        warnings.dedup();
        let warning = |file: String| {
            format!("the password file {file} can be read by every user of this machine (chmod 600 {file})")
        };
        warnings.into_iter().map(warning).collect()
    }
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Usage, message)
}
