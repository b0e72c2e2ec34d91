//! One group's configuration: what is meant by what was said of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis_failover_core::{NodeAddr, Policy};
use redis_failover_store::GroupPath;
use secrecy::ExposeSecret;

use super::backing::Backing;
use super::said::Said;
use super::secure::OpenFile;
use super::usage;
use crate::failure::Failure;
use crate::journal::JournalFile;
use crate::redis_link::Credentials;

/// How often INFO's slow sections are read where nothing is said: in seconds, as the predecessor's sleep.
const SLEEPTIME: u64 = 30;

/// How many bytes of a journal are kept where nothing is said.
const JOURNAL_LIMIT: u64 = 16 << 20;

/// One group, checked.
#[derive(Clone, Debug)]
pub(crate) struct GroupConfig {
    /// Where it was said.
    origin: Origin,
    /// What people call it.
    pub name: String,
    /// Where it is published.
    pub path: GroupPath,
    /// Where its record is kept.
    pub backing: Backing,
    /// The group's nodes in the operator's order; none where this process monitors it not, and only answers for it.
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
    /// The files of secrets that every user of this machine may read.
    pub open_files: Vec<OpenFile>,
}

impl GroupConfig {
    /// Whether a monitor that runs by `other` needs no new start to run by this: at most what only seeds the record
    /// differs.
    pub(crate) fn runs_like(&self, other: &Self) -> bool {
        let secret =
            |group: &Self| group.credentials.password.as_ref().map(|it| it.expose_secret().to_owned());
        self.path == other.path
            && self.backing == other.backing
            && self.name == other.name
            && self.slow_every == other.slow_every
            && self.take_over == other.take_over
            && self.only_follows() == other.only_follows()
            && self.journal == other.journal
            && self.credentials.source_address == other.credentials.source_address
            && self.credentials.username == other.credentials.username
            && secret(self) == secret(other)
            && self.credentials.tls == other.credentials.tls
    }

    /// Whether what seeds the record is the same.
    pub(crate) fn seeds_like(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.policy == other.policy
    }

    /// Whether this process does not monitor it, and only answers for it.
    pub(crate) fn only_follows(&self) -> bool {
        self.nodes.is_empty()
    }

    /// That it lists no server where there is nothing else to do for it.
    pub(super) fn lists_nobody(&self) -> Failure {
        let missing = usage(format!("{} is missing", self.origin.option("redishosts")));
        let (nodes, endpoint) = (self.origin.option("redishosts"), self.origin.option("sentinel"));
        self.origin.blame(&self.path, missing).hint(format!(
            "give {nodes}; a process that monitors nothing and only answers as a Sentinel needs {endpoint}"
        ))
    }

    /// Whether this is the group that `former` was, as far as a configuration tells: what is kept in the same place, or
    /// is called the same at the same path.
    pub(crate) fn goes_on_for(&self, former: &Self) -> bool {
        self.path == former.path
            && (self.name == former.name
                || self.backing.is_same_place(&self.path, &former.backing, &former.path))
    }

    pub(super) fn differs_from(&self, other: &Self) -> Result<(), Failure> {
        let (here, there) = (self.origin.place(&self.path), other.origin.place(&other.path));
        if self.backing.is_same_place(&self.path, &other.backing, &other.path) {
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
    pub(crate) fn shares_journal(&self, other: &Self) -> Option<PathBuf> {
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

    /// What to do about two things that contradict each other.
    pub(super) fn contradiction(&self) -> &'static str {
        match self {
            Self::Flags => "leave one of the two out; an environment variable may have said it",
            Self::File(_) => "leave one of the two out",
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

impl Said {
    /// Checks what was said as a whole, of a group that is kept in `state_file` if there is one.
    ///
    /// # Errors
    /// With the option, the value, and what would be right.
    pub(super) fn check(self, origin: Origin, state_file: Option<&Path>) -> Result<GroupConfig, Failure> {
        let missing = |key: &str| usage(format!("{} is missing", origin.option(key)));
        let path = self.path.clone().ok_or_else(|| missing("path"))?;
        let of_group = |failure: Failure| origin.blame(&path, failure);
        let mut open_files = Vec::new();
        let backing = self.backing(&origin, state_file, &mut open_files).map_err(of_group)?;
        if let Some(nodes) = &self.redishosts {
            check_nodes(&origin, nodes).map_err(of_group)?;
        }
        let said = if state_file.is_some() { self.alone(&origin).map_err(of_group)? } else { self };
        let policy = said.policy().map_err(of_group)?;
        let sleeptime = said.sleeptime.unwrap_or(SLEEPTIME);
        if !(1..=86_400).contains(&sleeptime) {
            let option = origin.option("sleeptime");
            return Err(of_group(usage(format!("{option} {sleeptime} is not in 1..=86400 (seconds)"))));
        }
        let limit = said.journal_limit.unwrap_or(JOURNAL_LIMIT);
        let journal = said.journal.clone().map(|path| JournalFile { path, limit });
        let credentials = said.credentials(&origin, &mut open_files).map_err(of_group)?;
        Ok(GroupConfig {
            name: said.name.unwrap_or_else(|| path.name().to_owned()),
            path,
            backing,
            nodes: said.redishosts.unwrap_or_default(),
            policy,
            slow_every: Duration::from_secs(sleeptime),
            credentials,
            take_over: said.take_over.unwrap_or(false),
            journal,
            open_files,
            origin,
        })
    }

    fn policy(&self) -> Result<Policy, Failure> {
        self.policy_over(&Policy::default())
    }

    /// What is said, and where nothing is what `default` says.
    ///
    /// # Errors
    /// When that cannot stand together.
    pub(super) fn policy_over(&self, default: &Policy) -> Result<Policy, Failure> {
        let down_after = self.down_after.unwrap_or(default.down_after());
        let probe_interval = self.probe_interval.unwrap_or(default.probe_interval());
        let policy = Policy::new(self.quorum.or(default.quorum()), down_after, probe_interval)
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
