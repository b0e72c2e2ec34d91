//! Where the record of a group is kept: on ZooKeeper, or by this process alone in a file. It opens neither.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use redis_failover_core::MonitorId;
use redis_failover_store::{Access, ConnectString, GroupPath};

use super::group::Origin;
use super::said::Said;
use super::secure::OpenFile;
use super::{usage, values};
use crate::failure::Failure;

/// The session's time-out where nothing is said.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// The group's path where the command line says none and nobody else reads it: clients of Redis Sentinel ask for the
/// group by its last part, and this is the name that most of them are set up with.
pub(super) const PATH: &str = "/mymaster";

/// The only monitor's id where none is said. Not the host's name: a host that is called otherwise at each start must
/// not leave a monitor behind each time.
const ID: &str = "single";

/// Where a group's record is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// On these servers, for all monitors.
    ZooKeeper(Ensemble),
    /// In this file, by this process, which is the only monitor.
    StateFile(PathBuf),
}

/// The servers that a group's record is kept on, and how the session with them is asked for. Groups that agree in it
/// share one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ensemble {
    /// The ZooKeeper servers.
    pub zkhosts: ConnectString,
    /// The ZooKeeper session's time-out.
    pub session_timeout: Duration,
    /// Over TLS or not, and as whom.
    pub access: Access,
}

impl Backing {
    /// The file, where it is one.
    pub(crate) fn state_file(&self) -> Option<&Path> {
        match self {
            Self::ZooKeeper(_) => None,
            Self::StateFile(file) => Some(file),
        }
    }

    /// Where `group` is kept, the same for all its monitors, however they split it between the servers' path and the
    /// group's.
    pub(crate) fn znode(&self, group: &GroupPath) -> String {
        match self {
            Self::ZooKeeper(ensemble) => ensemble.zkhosts.absolute(group),
            Self::StateFile(_) => group.to_string(),
        }
    }

    /// Whether `group` is kept where `others` keep `other_group`, as far as their spelling tells.
    pub(super) fn is_same_place(&self, group: &GroupPath, others: &Self, other_group: &GroupPath) -> bool {
        match (self, others) {
            (Self::ZooKeeper(here), Self::ZooKeeper(there)) => {
                here.zkhosts.is_same_znode(group, &there.zkhosts, other_group)
            }
            // A process has one state file.
            _ => group == other_group,
        }
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZooKeeper(_) => f.write_str("ZooKeeper"),
            Self::StateFile(file) => write!(f, "the state file {}", file.display()),
        }
    }
}

/// The options of a monitor that is the only one.
#[derive(Args, Clone, Debug)]
pub(super) struct AloneArgs {
    /// Be the only monitor, without ZooKeeper: what must outlive a restart is kept in --state-file. While this process
    /// or its host is gone there is no failover.
    #[arg(long)]
    pub(super) embedded: bool,

    /// The file that --embedded keeps the group's record in, on a disk of this host; made where it is missing.
    #[arg(long, value_name = "FILE")]
    pub(super) state_file: Option<PathBuf>,
}

impl AloneArgs {
    /// One of them that was given.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        let file = self.state_file.as_ref().map(|_| "--state-file");
        self.embedded.then_some("--embedded").or(file)
    }
}

/// The id of a monitor that is said to have none: the host's name, or where it is the only one the same on every host.
pub(super) fn default_id(alone: bool) -> Result<MonitorId, Failure> {
    if alone { ID.parse().map_err(usage) } else { values::default_id() }
}

/// The file that was said to keep the records of all groups, if any was.
///
/// # Errors
/// Where only one of the two was said.
pub(super) fn state_file(
    origin: &Origin,
    embedded: bool,
    file: Option<PathBuf>,
) -> Result<Option<PathBuf>, Failure> {
    let (option, needed) = (origin.option("embedded"), origin.option("state_file"));
    match (embedded, file) {
        (true, None) => Err(usage(format!("{option} needs {needed}")).hint(
            "without a file a restart would forget the epoch and who is master, and two nodes might be taken for one",
        )),
        (false, Some(_)) => Err(usage(format!("{needed} means nothing without {option}"))
            .hint(format!("say {option} as well: this process is the only monitor then, without ZooKeeper"))),
        (_, file) => Ok(file),
    }
}

impl Said {
    /// Where the record is to be kept: in `state_file` if there is one.
    pub(super) fn backing(
        &self,
        origin: &Origin,
        state_file: Option<&Path>,
        open_files: &mut Vec<OpenFile>,
    ) -> Result<Backing, Failure> {
        if let Some(file) = state_file {
            return match self.first_of_zookeeper() {
                None => Ok(Backing::StateFile(file.to_owned())),
                Some(key) => {
                    let (option, embedded) = (origin.option(key), origin.option("embedded"));
                    Err(usage(format!("{option} contradicts {embedded}, for there is no ZooKeeper then"))
                        .hint(origin.contradiction()))
                }
            };
        }
        let missing = || usage(format!("{} is missing", origin.option("zkhosts")));
        let zkhosts = self.zkhosts.clone().ok_or_else(missing)?;
        let session_timeout = self.session_timeout.unwrap_or(SESSION_TIMEOUT);
        if !(Duration::from_millis(400)..=Duration::from_mins(5)).contains(&session_timeout) {
            let option = origin.option("session_timeout");
            return Err(usage(format!("{option} {session_timeout:?} is out of range"))
                .hint("use 400ms to 300s; ZooKeeper grants 2 to 20 of its ticks (tickTime, 2s by default)"));
        }
        let access = self.access(origin, &zkhosts, open_files)?;
        Ok(Backing::ZooKeeper(Ensemble { zkhosts, session_timeout, access }))
    }

    /// The first key that was said and is about ZooKeeper.
    fn first_of_zookeeper(&self) -> Option<&'static str> {
        let said = [
            ("zkhosts", self.zkhosts.is_some()),
            ("session_timeout", self.session_timeout.is_some()),
            ("take_over", self.take_over == Some(true)),
            ("zookeeper_user", self.zookeeper_user.is_some()),
            ("zookeeper_password_file", self.zookeeper_password_file.is_some()),
            ("zookeeper_tls", self.zookeeper_tls.is_some()),
            ("zookeeper_tls_ca_file", self.zookeeper_tls_ca_file.is_some()),
            ("zookeeper_tls_cert_file", self.zookeeper_tls_cert_file.is_some()),
            ("zookeeper_tls_key_file", self.zookeeper_tls_key_file.is_some()),
        ];
        said.into_iter().find(|(_, said)| *said).map(|(key, _)| key)
    }

    /// What is said of a group with one monitor, which agrees with itself.
    ///
    /// # Errors
    /// Where more monitors were to agree.
    pub(super) fn alone(self, origin: &Origin) -> Result<Self, Failure> {
        match self.quorum {
            None | Some(1) => Ok(Self { quorum: Some(1), ..self }),
            Some(quorum) => {
                let (option, embedded) = (origin.option("quorum"), origin.option("embedded"));
                Err(usage(format!("{option} {quorum} contradicts {embedded}: there is one monitor"))
                    .hint(format!("leave {option} out; more monitors need ZooKeeper")))
            }
        }
    }
}
