//! How a client is made. Strings are checked in [`Builder::build`] and nowhere later; nothing is opened here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use redis_failover_store::{ConnectString, GroupPath, Store};
use secrecy::SecretString;

#[cfg(feature = "blocking")]
use crate::blocking;
use crate::client::Client;
use crate::settings::{BuildError, ReadFrom, Settings, node};
use crate::source::Source;
use crate::url;

/// How a client is made. Each setting has the default of the Python predecessor where that had one.
///
/// | setting | default |
/// |---|---|
/// | `servers`, `path`, `db` | `localhost:2181`, `/redis/cluster`, 0 |
/// | `username`, `password` | none |
/// | `read_from` | the replicas |
/// | `wait_limit`, `queue_limit` | 10 s, 10,000 commands |
/// | `pubsub_buffer` | 1,000 events |
/// | `response_timeout`, `connect_timeout` | 10 s, 2 s |
/// | `session_timeout` | 10 s |
/// | `retry_unknown` | no |
/// | `nodelay` | no |
/// | `source_address` | the system's choice |
#[derive(Clone, Debug)]
#[must_use = "nothing happens until `build`"]
pub struct Builder {
    servers: String,
    path: String,
    session_timeout: Duration,
    pub(crate) settings: Settings,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            servers: "localhost:2181".to_owned(),
            path: "/redis/cluster".to_owned(),
            session_timeout: Duration::from_secs(10),
            settings: Settings::default(),
        }
    }
}

impl Builder {
    /// The `ZooKeeper` servers, `HOST[:PORT],…[/CHROOT]`; default `localhost:2181`.
    pub fn servers(mut self, servers: impl Into<String>) -> Self {
        self.servers = servers.into();
        self
    }

    /// The path at which the group is published; default `/redis/cluster`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The database; default 0.
    pub fn db(mut self, db: i64) -> Self {
        self.settings.db = db;
        self
    }

    /// The ACL user on the Redis servers; default Redis's own default user.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.settings.username = Some(username.into());
        self
    }

    /// The password on the Redis servers. It appears in no log, no error and no `Debug`.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.settings.password = Some(SecretString::from(password.into()));
        self
    }

    /// Where reads go; default [`ReadFrom::Replica`].
    pub fn read_from(mut self, read_from: ReadFrom) -> Self {
        self.settings.read_from = read_from;
        self
    }

    /// How long a command waits for a node that can take it; default 10 s. Then it fails with
    /// [`crate::Outcome::NotExecuted`].
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.settings.wait_limit = limit;
        self
    }

    /// How many commands of this client may wait at a time; default 10,000. One more fails at once, with
    /// [`crate::Outcome::NotExecuted`].
    pub fn queue_limit(mut self, limit: usize) -> Self {
        self.settings.queue_limit = limit;
        self
    }

    /// How many events of a [`crate::PubSub`] wait for its reader; default 1,000. When so many wait, no more is read
    /// from the server until the reader has taken some.
    pub fn pubsub_buffer(mut self, events: usize) -> Self {
        self.settings.pubsub_buffer = events;
        self
    }

    /// How long a reply may take; default 10 s, `None` for ever. Then a write fails with [`crate::Outcome::Unknown`],
    /// and a read is repeated. What is asked of the old master ends earlier when another one is published, what is
    /// asked of a replica when that is published as KO.
    pub fn response_timeout(mut self, limit: Option<Duration>) -> Self {
        self.settings.response_timeout = limit;
        self
    }

    /// How long connecting to one node may take, with the handshake; default 2 s. It is tried again for ever.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.settings.connect_timeout = limit;
        self
    }

    /// Whether writes may be executed twice; default no. Then one whose reply did not come is sent again, to the new
    /// master if there is one, three times at most and not after the limit for waiting. If no reply comes in the end,
    /// the error is [`crate::Outcome::Unknown`] as without.
    ///
    /// It is for writes that do the same when they are repeated (`SET`, `HSET`, `DEL`, and not `INCR` or `RPUSH`), and
    /// that nobody overwrites meanwhile: what was sent first may be executed late, after what came behind it. Blocking
    /// commands, and what is sent between WATCH or MULTI and EXEC, are never sent again.
    /// A connection's own `retry_unknown` says it for that one.
    pub fn retry_unknown(mut self, retry: bool) -> Self {
        self.settings.retry_unknown = retry;
        self
    }

    /// Whether each command leaves at once (`TCP_NODELAY`); default no, as in redis-rs 1.
    ///
    /// Without it a command that is sent while others are in flight waits for the next reply, at most one round trip,
    /// and then leaves with all that wait. With it each arrives sooner, and fewer get through: on one machine with 16
    /// tasks a quarter to a third less.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.settings.nodelay = nodelay;
        self
    }

    /// The address of this host from which the nodes are called; default the one that the system chooses. `ZooKeeper`
    /// is called from that one in any case. Nodes are called by their addresses of the same kind, IPv4 or IPv6, only.
    pub fn source_address(mut self, address: IpAddr) -> Self {
        self.settings.source_address = Some(address);
        self
    }

    /// The time-out of the session with `ZooKeeper`; default 10 s.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// A client of the group at the path. Nothing is connected before it is used.
    ///
    /// # Errors
    /// When a setting is no setting; the error names it and what would be right.
    #[cfg(feature = "tokio")]
    pub fn build(self) -> Result<Client, BuildError> {
        self.client()
    }

    /// The same client for programs without a runtime.
    ///
    /// # Errors
    /// When a setting is no setting; the error names it and what would be right.
    #[cfg(feature = "blocking")]
    pub fn build_blocking(self) -> Result<blocking::Client, BuildError> {
        self.client().map(blocking::Client::new)
    }

    pub(crate) fn client(self) -> Result<Client, BuildError> {
        let servers: ConnectString = self.servers.parse()?;
        let path: GroupPath = self.path.parse()?;
        if !(Duration::from_millis(400)..=Duration::from_mins(5)).contains(&self.session_timeout) {
            return Err(BuildError::Setting {
                setting: "session_timeout",
                value: format!("{:?}", self.session_timeout),
                hint: "use 400 ms to 5 minutes; ZooKeeper grants 2 to 20 of its ticks",
            });
        }
        Ok(Client::new(Source::zookeeper(servers, self.session_timeout, path), self.settings.checked()?))
    }

    /// A client of a group in a store that is open already, such as one of `redis-failover-store`'s. Servers, path and
    /// session time-out are not looked at.
    ///
    /// # Errors
    /// When another setting is no setting.
    #[cfg(feature = "tokio")]
    pub fn build_on(self, store: &impl Store) -> Result<Client, BuildError> {
        self.client_on(store)
    }

    /// The same client for programs without a runtime. The store must need no runtime of the caller's.
    ///
    /// # Errors
    /// When another setting is no setting.
    #[cfg(feature = "blocking")]
    pub fn build_blocking_on(self, store: &impl Store) -> Result<blocking::Client, BuildError> {
        self.client_on(store).map(blocking::Client::new)
    }

    fn client_on(self, store: &impl Store) -> Result<Client, BuildError> {
        let store = store.clone();
        Ok(Client::new(Source::feed(Arc::new(move || store.published())), self.settings.checked()?))
    }

    /// A client of nodes that never change, for development without `ZooKeeper`: see [`Client::fixed`].
    ///
    /// # Errors
    /// When an address is none, or another setting is no setting.
    #[cfg(feature = "tokio")]
    pub fn build_fixed(
        self,
        master: &str,
        replicas: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Client, BuildError> {
        self.client_fixed(master, replicas)
    }

    /// The same client for programs without a runtime: see [`blocking::Client::fixed`].
    ///
    /// # Errors
    /// When an address is none, or another setting is no setting.
    #[cfg(feature = "blocking")]
    pub fn build_blocking_fixed(
        self,
        master: &str,
        replicas: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<blocking::Client, BuildError> {
        self.client_fixed(master, replicas).map(blocking::Client::new)
    }

    pub(crate) fn client_fixed(
        self,
        master: &str,
        replicas: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Client, BuildError> {
        let master = node(master)?;
        let replicas = replicas.into_iter().map(|it| node(it.as_ref())).collect::<Result<_, _>>()?;
        Ok(Client::new(Source::fixed(master, replicas), self.settings.checked()?))
    }

    /// What a URL describes, to be changed before it is built: see [`Client::open`].
    ///
    /// # Errors
    /// When it is no such URL; the error names the part and never shows the password.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), redis_failover::BuildError> {
    /// let builder = redis_failover::Builder::from_url("redis+zk://zk1,zk2/redis/cluster")?;
    /// let builder = builder.wait_limit(Duration::from_secs(2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_url(text: &str) -> Result<Self, BuildError> {
        let parts = url::parse(text)?;
        let mut builder = Self::default().servers(parts.servers).path(parts.path);
        builder.settings.username = parts.username;
        builder.settings.password = parts.password;
        if let Some(db) = parts.db {
            builder.settings.db = db;
        }
        if let Some(read_from) = parts.read_from {
            builder.settings.read_from = read_from;
        }
        builder.settings.source_address = parts.source_address;
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_named() {
        let text = |builder: Builder| builder.client().expect_err("refused").to_string();
        let builder = Builder::default;
        assert!(text(builder().servers("h1,,h2")).contains("HOST:PORT"));
        assert!(text(builder().path("redis")).contains("/redis/cluster"));
        assert!(text(builder().db(-1)).contains("db cannot be -1"));
        assert!(text(builder().username("u")).contains("password"));
        assert!(text(builder().session_timeout(Duration::from_millis(5))).contains("400 ms"));
        assert!(text(builder().pubsub_buffer(0)).contains("pubsub_buffer cannot be 0"));
        assert!(text(builder().response_timeout(Some(Duration::ZERO))).contains("response_timeout"));
        let fixed = builder().client_fixed("nowhere", [""; 0]).expect_err("refused").to_string();
        assert!(fixed.contains("`nowhere`"), "{fixed}");
    }

    #[test]
    fn a_password_is_not_shown() {
        let builder = Builder::default().username("u").password("hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let builder = Builder::from_url("redis+zk://u:hunter2@h/g").expect("a URL");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
