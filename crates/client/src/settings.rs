//! What the parts of a client need to know, and why something is no setting. Nothing is opened here but
//! the files of TLS.

use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::NodeAddr;
use redis_failover_core::names::AddrError;
use redis_failover_core::reading::Rules;
use redis_failover_store::{ConnectStringError, GroupPathError, Tls};
use secrecy::SecretString;

use crate::credentials::Callback;
use crate::url::UrlError;

pub use redis_failover_core::reading::ReadFrom;

/// Says which nodes are in the program's own zone.
#[derive(Clone)]
pub(crate) struct OwnZone(Arc<IsInIt>);

type IsInIt = dyn Fn(&NodeAddr) -> bool + Send + Sync;

impl OwnZone {
    pub(crate) fn new(is_in_it: impl Fn(&NodeAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_in_it))
    }

    pub(crate) fn holds(&self, node: &NodeAddr) -> bool {
        // The caller's own code, in the task that follows.
        let held = catch_unwind(AssertUnwindSafe(|| (self.0)(node)));
        held.unwrap_or_else(|_| {
            tracing::error!(%node, "the function that was given as `own_zone` panicked; the node counts as outside");
            false
        })
    }
}

impl fmt::Debug for OwnZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnZone").finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The `ZooKeeper` servers.
    #[error(transparent)]
    Servers(#[from] ConnectStringError),
    /// The group's path.
    #[error(transparent)]
    Path(#[from] GroupPathError),
    /// The address of a node.
    #[error("`{text}` is no node: {why}")]
    Node {
        /// What was given; where there is an `@` in it, only what stands behind that.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// The URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The files of TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// Another setting.
    #[error("{setting} cannot be {value}: {hint}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        hint: &'static str,
    },
}

/// What the parts of a client need to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) db: i64,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) credentials: Option<Callback>,
    pub(crate) tls: Option<Tls>,
    /// How reads choose among the nodes.
    pub(crate) rules: Rules,
    pub(crate) own_zone: Option<OwnZone>,
    pub(crate) read_your_writes: bool,
    pub(crate) wait_limit: Duration,
    pub(crate) queue_limit: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) pubsub_buffer: usize,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) retry_unknown: bool,
    pub(crate) nodelay: bool,
    pub(crate) source_address: Option<IpAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            db: 0,
            username: None,
            password: None,
            credentials: None,
            tls: None,
            rules: Rules {
                read_from: ReadFrom::default(),
                max_lag: Some(Duration::from_secs(10)),
                tolerance: Duration::from_millis(1),
            },
            own_zone: None,
            read_your_writes: false,
            wait_limit: Duration::from_secs(10),
            queue_limit: 10_000,
            queue_bytes: 64 << 20,
            pubsub_buffer: 1_000,
            response_timeout: Some(Duration::from_secs(10)),
            connect_timeout: Duration::from_secs(2),
            retry_unknown: false,
            nodelay: false,
            source_address: None,
        }
    }
}

impl Settings {
    pub(crate) fn checked(self) -> Result<Arc<Self>, BuildError> {
        let refuse = |setting, value, hint| Err(BuildError::Setting { setting, value, hint });
        if self.db < 0 {
            return refuse("db", self.db.to_string(), "databases count from 0");
        }
        if self.username.is_some() && self.password.is_none() {
            return refuse("username", "without a password".to_owned(), "give the password as well");
        }
        // The largest that a channel may have room for.
        if self.pubsub_buffer == 0 || self.pubsub_buffer > tokio::sync::Semaphore::MAX_PERMITS {
            return refuse(
                "pubsub_buffer",
                self.pubsub_buffer.to_string(),
                "one event at least has to fit in",
            );
        }
        if self.credentials.is_some() && self.password.is_some() {
            let hint = "say who the client is in one way: a callback, or a password";
            return refuse("credentials", "asked for beside a password".to_owned(), hint);
        }
        if let Some(tls) = &self.tls {
            tls.check().map_err(|error| BuildError::Tls(error.to_string()))?;
        }
        for (setting, limit) in
            [("connect_timeout", Some(self.connect_timeout)), ("response_timeout", self.response_timeout)]
        {
            if limit.is_some_and(|limit| limit.is_zero()) {
                return refuse(setting, "0".to_owned(), "nothing is that fast");
            }
        }
        Ok(Arc::new(self))
    }
}

/// The node that is meant. No error repeats what stands before an `@`: who gives a URL gives a password with it.
pub(crate) fn node(text: &str) -> Result<NodeAddr, BuildError> {
    if let Some((_, rest)) = text.rsplit_once('@') {
        return Err(BuildError::Node {
            text: rest.to_owned(),
            why: "write HOST:PORT, without what stood before the `@`; `username` and `password` of the builder say \
                  who the client is"
                .to_owned(),
        });
    }
    text.parse()
        .map_err(|error: AddrError| BuildError::Node { text: text.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_node_is_named_without_the_password() {
        for text in ["redis://u:hunter2@h:6379", "redis://:hun@ter2@h:6379", ":hunter2@h", "hunter2@"] {
            let error = node(text).expect_err(text);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("ter2") && shown.contains("HOST:PORT"), "{shown}");
        }
        let error = node("h").expect_err("no port").to_string();
        assert!(error.contains("`h`") && error.contains("port"), "{error}");
        assert_eq!(node("[::1]:6379").expect("a node").port(), 6379);
    }
}
