//! What is said of a group, by options or in a file, as it was said: each value alone is right, and nothing is checked
//! against the rest.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use redis_failover_core::{Discover, Fencing, NodeAddr, OnDivergence};
use redis_failover_store::{ConnectString, GroupPath};
use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, Error};

use super::values::{parse_announced, parse_node, parse_size, parse_time};

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
    pub(super) redis_tls: Option<bool>,
    pub(super) redis_tls_ca_file: Option<PathBuf>,
    pub(super) redis_tls_cert_file: Option<PathBuf>,
    pub(super) redis_tls_key_file: Option<PathBuf>,
    pub(super) redis_tls_server_name: Option<String>,
    pub(super) zookeeper_user: Option<String>,
    pub(super) zookeeper_password_file: Option<PathBuf>,
    /// As above.
    #[serde(skip)]
    pub(super) zookeeper_password: Option<SecretString>,
    pub(super) zookeeper_tls: Option<bool>,
    pub(super) zookeeper_tls_ca_file: Option<PathBuf>,
    pub(super) zookeeper_tls_cert_file: Option<PathBuf>,
    pub(super) zookeeper_tls_key_file: Option<PathBuf>,
}

pub(super) fn text<'de, T, D>(value: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(value)?.parse().map(Some).map_err(D::Error::custom)
}

pub(super) fn announced<'de, D: Deserializer<'de>>(value: D) -> Result<Option<NodeAddr>, D::Error> {
    parse_announced(&String::deserialize(value)?).map(Some).map_err(D::Error::custom)
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
            redis_tls: self.redis_tls.or(defaults.redis_tls),
            redis_tls_ca_file: self.redis_tls_ca_file.or(defaults.redis_tls_ca_file),
            redis_tls_cert_file: self.redis_tls_cert_file.or(defaults.redis_tls_cert_file),
            redis_tls_key_file: self.redis_tls_key_file.or(defaults.redis_tls_key_file),
            redis_tls_server_name: self.redis_tls_server_name.or(defaults.redis_tls_server_name),
            zookeeper_user: self.zookeeper_user.or(defaults.zookeeper_user),
            zookeeper_password_file: self.zookeeper_password_file.or(defaults.zookeeper_password_file),
            zookeeper_password: self.zookeeper_password.or(defaults.zookeeper_password),
            zookeeper_tls: self.zookeeper_tls.or(defaults.zookeeper_tls),
            zookeeper_tls_ca_file: self.zookeeper_tls_ca_file.or(defaults.zookeeper_tls_ca_file),
            zookeeper_tls_cert_file: self.zookeeper_tls_cert_file.or(defaults.zookeeper_tls_cert_file),
            zookeeper_tls_key_file: self.zookeeper_tls_key_file.or(defaults.zookeeper_tls_key_file),
        }
    }

    /// The same where files that are named without a directory's full path are in `directory`.
    pub(super) fn rebase(&mut self, directory: &Path) {
        let files = [
            &mut self.journal,
            &mut self.redis_password_file,
            &mut self.redis_tls_ca_file,
            &mut self.redis_tls_cert_file,
            &mut self.redis_tls_key_file,
            &mut self.zookeeper_password_file,
            &mut self.zookeeper_tls_ca_file,
            &mut self.zookeeper_tls_cert_file,
            &mut self.zookeeper_tls_key_file,
        ];
        for file in files.into_iter().flatten() {
            *file = directory.join(&file);
        }
    }
}
