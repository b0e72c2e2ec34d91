//! One group's configuration: what was said of it, whether by options or in a file, and what is meant.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use redis_failover_core::{Discover, Fencing, NodeAddr, OnDivergence, Policy};
use redis_failover_store::{ConnectString, GroupPath};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer, Error};

use super::usage;
use super::values::{parse_node, parse_size, parse_time, password};
use crate::failure::Failure;
use crate::journal::JournalFile;
use crate::redis_link::Credentials;

/// How often INFO's slow sections are read where nothing is said: in seconds, as the predecessor's sleep.
const SLEEPTIME: u64 = 30;

/// The session's time-out where nothing is said.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// How many bytes of a journal are kept where nothing is said.
const JOURNAL_LIMIT: u64 = 16 << 20;

/// The servers that a group's record is kept on, and how the session with them is asked for. Groups that agree in it
/// share one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ensemble {
    /// The ZooKeeper servers.
    pub zkhosts: ConnectString,
    /// The ZooKeeper session's time-out.
    pub session_timeout: Duration,
}

/// One group, checked.
#[derive(Clone, Debug)]
pub(crate) struct GroupConfig {
    /// Where it was said.
    origin: Origin,
    /// What people call it.
    pub name: String,
    /// Where it is published.
    pub path: GroupPath,
    /// The store.
    pub ensemble: Ensemble,
    /// The group's nodes in the operator's order.
    pub nodes: Vec<NodeAddr>,
    /// What seeds the group's policy.
    pub policy: Policy,
    /// How often INFO's slow sections are read.
    pub slow_every: Duration,
    /// Who we are to Redis.
    pub credentials: Credentials,
    /// Whether it stands for the lead beside a living monitor of the predecessor.
    pub take_over: bool,
    /// Where its monitor writes a journal.
    pub journal: Option<JournalFile>,
    /// The password's file, where every user of this machine may read it.
    pub open_password_file: Option<String>,
}

impl GroupConfig {
    /// Whether a monitor that runs by `other` needs no new start to run by this: at most what only seeds the record
    /// differs.
    pub(crate) fn runs_like(&self, other: &Self) -> bool {
        let secret =
            |group: &Self| group.credentials.password.as_ref().map(|it| it.expose_secret().to_owned());
        self.path == other.path
            && self.ensemble == other.ensemble
            && self.name == other.name
            && self.slow_every == other.slow_every
            && self.take_over == other.take_over
            && self.journal == other.journal
            && self.credentials.source_address == other.credentials.source_address
            && self.credentials.username == other.credentials.username
            && secret(self) == secret(other)
    }

    /// Whether what seeds the record is the same.
    pub(crate) fn seeds_like(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.policy == other.policy
    }

    pub(super) fn differs_from(&self, other: &Self) -> Result<(), Failure> {
        let (here, there) = (self.origin.place(&self.path), other.origin.place(&other.path));
        if self.ensemble.zkhosts.is_same_znode(&self.path, &other.ensemble.zkhosts, &other.path) {
            return Err(usage(format!("{here} is the same as {there}"))
                .hint("each group stands in the configuration once"));
        }
        if self.name == other.name {
            return Err(usage(format!("{here} and {there} are both called {}", self.name))
                .hint("give one of them another `name`"));
        }
        if let Some(file) = self.shares_journal(other) {
            return Err(usage(format!("{here} and {there} both write the journal {}", file.display()))
                .hint("give each group a `journal` of its own; NAME.1 is where that of NAME goes on"));
        }
        match self.nodes.iter().find(|node| other.nodes.contains(node)) {
            Some(node) => Err(usage(format!("{here} and {there} both list {node}"))
                .hint("a Redis server belongs to one group: two would undo each other's work")),
            None => Ok(()),
        }
    }

    /// The file that both journals would be written to.
    fn shares_journal(&self, other: &Self) -> Option<PathBuf> {
        let (here, there) = (self.journal.as_ref()?, other.journal.as_ref()?);
        let files = |journal: &JournalFile| {
            // By its parts: `a//b` and `a/./b` are one file.
            [journal.path.clone(), journal.older()].map(|path| path.components().collect::<PathBuf>())
        };
        let there = files(there);
        files(here).into_iter().find(|file| there.contains(file))
    }
}

/// Who said something of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line, or the environment.
    Flags,
    /// This file.
    File(PathBuf),
}

impl Origin {
    /// How an option is called there.
    pub(super) fn option(&self, key: &str) -> String {
        match self {
            Self::Flags => format!("--{}", key.replace('_', "-")),
            Self::File(_) => format!("`{key}`"),
        }
    }

    /// A failure about the group at `path`, so that it names where that is said.
    fn blame(&self, path: &GroupPath, mut failure: Failure) -> Failure {
        if let Self::File(file) = self {
            failure.message = format!("{}: group {path}: {}", file.display(), failure.message);
        }
        failure
    }

    fn place(&self, path: &GroupPath) -> String {
        match self {
            Self::Flags => format!("group {path}"),
            Self::File(file) => format!("group {path} in {}", file.display()),
        }
    }
}

/// What is said of one group, or of all: each may be missing.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Said {
    pub(super) name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) path: Option<GroupPath>,
    #[serde(deserialize_with = "text")]
    pub(super) zkhosts: Option<ConnectString>,
    #[serde(deserialize_with = "nodes")]
    pub(super) redishosts: Option<Vec<NodeAddr>>,
    pub(super) sleeptime: Option<u64>,
    pub(super) quorum: Option<u32>,
    #[serde(deserialize_with = "time")]
    pub(super) down_after: Option<Duration>,
    #[serde(deserialize_with = "time")]
    pub(super) probe_interval: Option<Duration>,
    pub(super) misconf_is_unusable: Option<bool>,
    pub(super) refusal_waits: Option<bool>,
    #[serde(deserialize_with = "time")]
    pub(super) link_grace: Option<Duration>,
    #[serde(deserialize_with = "time")]
    pub(super) third_failover_waits: Option<Duration>,
    #[serde(deserialize_with = "discover")]
    pub(super) discover: Option<Discover>,
    #[serde(deserialize_with = "on_divergence")]
    pub(super) on_divergence: Option<OnDivergence>,
    pub(super) parallel_syncs: Option<u32>,
    #[serde(deserialize_with = "fencing")]
    pub(super) fencing: Option<Fencing>,
    pub(super) take_over: Option<bool>,
    pub(super) journal: Option<PathBuf>,
    #[serde(deserialize_with = "size")]
    pub(super) journal_limit: Option<u64>,
    pub(super) source_address: Option<IpAddr>,
    #[serde(deserialize_with = "time")]
    pub(super) session_timeout: Option<Duration>,
    pub(super) redis_username: Option<String>,
    pub(super) redis_password_file: Option<PathBuf>,
    /// The password itself; only the environment can say it.
    #[serde(skip)]
    pub(super) redis_password: Option<SecretString>,
}

pub(super) fn text<'de, T, D>(value: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(value)?.parse().map(Some).map_err(D::Error::custom)
}

fn time<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    parse_time(&String::deserialize(value)?).map(Some).map_err(D::Error::custom)
}

fn size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    parse_size(&String::deserialize(value)?).map(Some).map_err(D::Error::custom)
}

fn nodes<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Vec<NodeAddr>>, D::Error> {
    let texts = Vec::<String>::deserialize(value)?;
    texts.iter().map(|text| parse_node(text)).collect::<Result<_, _>>().map(Some).map_err(D::Error::custom)
}

fn discover<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Discover>, D::Error> {
    let word = String::deserialize(value)?;
    let wrong = || D::Error::custom(format!("`{word}` is none of off, watch and promote"));
    Discover::from_word(&word).map(Some).ok_or_else(wrong)
}

fn on_divergence<'de, D: Deserializer<'de>>(value: D) -> Result<Option<OnDivergence>, D::Error> {
    let word = String::deserialize(value)?;
    let wrong = || D::Error::custom(format!("`{word}` is none of discard and save"));
    OnDivergence::from_word(&word).map(Some).ok_or_else(wrong)
}

fn fencing<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Fencing>, D::Error> {
    let word = String::deserialize(value)?;
    let wrong = || D::Error::custom(format!("`{word}` is neither off nor replicas"));
    Fencing::from_word(&word).map(Some).ok_or_else(wrong)
}

impl Said {
    /// This, and where it says nothing what the defaults say.
    pub(super) fn or(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        Self {
            name: self.name,
            path: self.path,
            zkhosts: self.zkhosts.or(defaults.zkhosts),
            redishosts: self.redishosts,
            sleeptime: self.sleeptime.or(defaults.sleeptime),
            quorum: self.quorum.or(defaults.quorum),
            down_after: self.down_after.or(defaults.down_after),
            probe_interval: self.probe_interval.or(defaults.probe_interval),
            misconf_is_unusable: self.misconf_is_unusable.or(defaults.misconf_is_unusable),
            refusal_waits: self.refusal_waits.or(defaults.refusal_waits),
            link_grace: self.link_grace.or(defaults.link_grace),
            third_failover_waits: self.third_failover_waits.or(defaults.third_failover_waits),
            discover: self.discover.or(defaults.discover),
            on_divergence: self.on_divergence.or(defaults.on_divergence),
            parallel_syncs: self.parallel_syncs.or(defaults.parallel_syncs),
            fencing: self.fencing.or(defaults.fencing),
            take_over: self.take_over.or(defaults.take_over),
            journal: self.journal,
            journal_limit: self.journal_limit.or(defaults.journal_limit),
            source_address: self.source_address.or(defaults.source_address),
            session_timeout: self.session_timeout.or(defaults.session_timeout),
            redis_username: self.redis_username.or(defaults.redis_username),
            redis_password_file: self.redis_password_file.or(defaults.redis_password_file),
            redis_password: self.redis_password.or(defaults.redis_password),
        }
    }

    /// The same where files that are named without a directory's full path are in `directory`.
    pub(super) fn rebase(&mut self, directory: &Path) {
        for file in [&mut self.redis_password_file, &mut self.journal].into_iter().flatten() {
            *file = directory.join(&file);
        }
    }

    /// Checks what was said as a whole.
    ///
    /// # Errors
    /// With the option, the value, and what would be right.
    pub(super) fn check(self, origin: Origin) -> Result<GroupConfig, Failure> {
        let missing = |key: &str| usage(format!("{} is missing", origin.option(key)));
        let path = self.path.clone().ok_or_else(|| missing("path"))?;
        let of_group = |failure: Failure| origin.blame(&path, failure);
        let zkhosts = self.zkhosts.clone().ok_or_else(|| missing("zkhosts")).map_err(of_group)?;
        let nodes = self.redishosts.clone().ok_or_else(|| missing("redishosts")).map_err(of_group)?;
        check_nodes(&origin, &nodes).map_err(of_group)?;
        let policy = self.policy().map_err(of_group)?;
        let session_timeout = self.session_timeout.unwrap_or(SESSION_TIMEOUT);
        if !(Duration::from_millis(400)..=Duration::from_mins(5)).contains(&session_timeout) {
            let option = origin.option("session_timeout");
            return Err(of_group(usage(format!("{option} {session_timeout:?} is out of range")).hint(
                "use 400ms to 300s; ZooKeeper grants 2 to 20 of its ticks (tickTime, 2s by default)",
            )));
        }
        let sleeptime = self.sleeptime.unwrap_or(SLEEPTIME);
        if !(1..=86_400).contains(&sleeptime) {
            let option = origin.option("sleeptime");
            return Err(of_group(usage(format!("{option} {sleeptime} is not in 1..=86400 (seconds)"))));
        }
        let limit = self.journal_limit.unwrap_or(JOURNAL_LIMIT);
        let journal = self.journal.clone().map(|path| JournalFile { path, limit });
        let (credentials, open_password_file) = self.credentials(&origin).map_err(of_group)?;
        Ok(GroupConfig {
            name: self.name.unwrap_or_else(|| path.name().to_owned()),
            path,
            ensemble: Ensemble { zkhosts, session_timeout },
            nodes,
            policy,
            slow_every: Duration::from_secs(sleeptime),
            credentials,
            take_over: self.take_over.unwrap_or(false),
            journal,
            open_password_file,
            origin,
        })
    }

    fn policy(&self) -> Result<Policy, Failure> {
        let default = Policy::default();
        let down_after = self.down_after.unwrap_or(default.down_after());
        let probe_interval = self.probe_interval.unwrap_or(default.probe_interval());
        let policy = Policy::new(self.quorum, down_after, probe_interval)
            .map_err(|error| usage(format!("the policy cannot stand: {error}")))?;
        let parallel_syncs = self.parallel_syncs.unwrap_or(default.parallel_syncs());
        if parallel_syncs == 0 {
            return Err(usage("the policy cannot stand: parallel-syncs 0 would fill no node: use 1 or more"));
        }
        Ok(policy
            .misconf_unusable(self.misconf_is_unusable.unwrap_or(default.misconf_is_unusable()))
            .patient_with_refusal(self.refusal_waits.unwrap_or(default.refusal_waits()))
            .with_link_grace(self.link_grace.unwrap_or(default.link_grace()))
            .with_third_failover_waiting(self.third_failover_waits.unwrap_or(default.third_failover_waits()))
            .with_discover(self.discover.unwrap_or(default.discover()))
            .with_fencing(self.fencing.unwrap_or(default.fencing()))
            .with_on_divergence(self.on_divergence.unwrap_or(default.on_divergence()))
            .with_parallel_syncs(parallel_syncs))
    }

    fn credentials(&self, origin: &Origin) -> Result<(Credentials, Option<String>), Failure> {
        let option = origin.option("redis_password_file");
        let (password, open) = match &self.redis_password_file {
            None => (self.redis_password.clone(), None),
            Some(file) => {
                let read = password(&option, file)?;
                (Some(read.password), read.is_open.then(|| file.display().to_string()))
            }
        };
        if self.redis_username.is_some() && password.is_none() {
            return Err(usage(format!("{} needs a password", origin.option("redis_username")))
                .hint(format!("give {option}")));
        }
        let (username, source_address) = (self.redis_username.clone(), self.source_address);
        Ok((Credentials { username, password, source_address }, open))
    }
}

fn check_nodes(origin: &Origin, nodes: &[NodeAddr]) -> Result<(), Failure> {
    let option = origin.option("redishosts");
    if nodes.is_empty() {
        return Err(usage(format!("{option} names no server")));
    }
    let mut seen = BTreeSet::new();
    match nodes.iter().find(|node| !seen.insert(*node)) {
        Some(twice) => Err(usage(format!("{option} names {twice} twice"))
            .hint("each server stands in the list once, spelled as its clients reach it")),
        None => Ok(()),
    }
}
