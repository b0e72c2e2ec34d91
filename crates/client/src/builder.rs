//! How a client is made. Strings are checked in [`Builder::build`] and nowhere later; nothing is opened here
//! but the files of TLS.

mod identity;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::NodeAddr;
use redis_failover_store::{Access, ConnectString, GroupPath, Store};

#[cfg(feature = "blocking")]
use crate::blocking;
use crate::client::Client;
use crate::settings::{BuildError, OwnZone, ReadFrom, Settings, node};
use crate::source::Source;
use crate::url;

/// How a client is made. Each setting has the default of the Python predecessor where that had one.
///
/// | setting | default |
/// |---|---|
/// | `servers`, `path`, `db` | `localhost:2181`, `/redis/cluster`, 0 |
/// | `username`, `password`, `credentials` | none |
/// | `tls` | no |
/// | `read_from` | the replicas |
/// | `max_lag` | 10 s |
/// | `latency_tolerance` | 1 ms |
/// | `own_zone` | none |
/// | `read_your_writes` | no |
/// | `wait_limit`, `queue_limit`, `queue_bytes` | 10 s, 10,000 commands, 64 MiB |
/// | `pubsub_buffer` | 1,000 events |
/// | `response_timeout`, `connect_timeout` | 10 s, 2 s |
/// | `session_timeout` | 10 s |
/// | `zookeeper_auth`, `zookeeper_tls` | nobody, no |
/// | `retry_unknown` | no |
/// | `nodelay` | no |
/// | `source_address` | the system's choice |
#[derive(Clone, Debug)]
#[must_use = "nothing happens until `build`"]
pub struct Builder {
    servers: String,
    path: String,
    session_timeout: Duration,
    access: Access,
    pub(crate) settings: Settings,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            servers: "localhost:2181".to_owned(),
            path: "/redis/cluster".to_owned(),
            session_timeout: Duration::from_secs(10),
            access: Access::default(),
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

    /// Where reads go; default [`ReadFrom::Replica`].
    pub fn read_from(mut self, read_from: ReadFrom) -> Self {
        self.settings.rules.read_from = read_from;
        self
    }

    /// By how much the answer of a node may take longer than the nearest one's for [`ReadFrom::Nearest`] to read from
    /// it, too; default 1 ms.
    ///
    /// What counts is the smoothed round trip of a question that the client asks each node once a second, over the
    /// connection that commands use. Within one site round trips take tenths of a millisecond, and differ by as much
    /// from chance: less than 1 ms would have all reads go to whichever node chance prefers. Between sites far from
    /// each other use more, such as 15 ms.
    pub fn latency_tolerance(mut self, tolerance: Duration) -> Self {
        self.settings.rules.tolerance = tolerance;
        self
    }

    /// For how long a replica may have heard nothing of its master and still be read from; default 10 s, `None` for
    /// ever.
    ///
    /// The client asks each node once a second. One that has not answered yet, or that is being filled with a copy, is
    /// not read from at all. One that does not answer counts as silent, and so does one whose link to the master is
    /// down: since it was heard of last. So reads from replicas go on for that long while the master is being changed.
    /// Where no replica is left, they go to the master.
    ///
    /// Redis counts in whole seconds, so two seconds are given in addition. An idle master speaks every
    /// `repl-ping-replica-period` (1 s under the monitors of redis-failover, else 10 s): with less than that its
    /// replicas seem silent.
    ///
    /// A replica that hears its master may still be behind: by what it has received and not applied yet. Where the user
    /// may not call INFO nothing is known, and what the monitors publish decides alone, as with `None`.
    pub fn max_lag(mut self, limit: Option<Duration>) -> Self {
        self.settings.rules.max_lag = limit;
        self
    }

    /// Which nodes are in the program's own zone: reads stay among them while one of them can be read from, and go
    /// elsewhere only then. Default: there are no zones.
    ///
    /// It goes together with each [`ReadFrom`] but the master, which says first which nodes are read from: with
    /// [`ReadFrom::Replica`] reads leave the zone rather than going to a master in it. The function is called once for
    /// each node that joins the group, must not block, and is given the address as it is published.
    ///
    /// ```
    /// # use redis_failover::Client;
    /// let builder = Client::builder().own_zone(|node| node.host().starts_with("10.1."));
    /// ```
    pub fn own_zone(mut self, is_in_it: impl Fn(&NodeAddr) -> bool + Send + Sync + 'static) -> Self {
        self.settings.own_zone = Some(OwnZone::new(is_in_it));
        self
    }

    /// Whether reads find what was written before on the same connection, or on a clone of it; default no. Then a
    /// replica is read from only when it surely holds all of that, and the master otherwise.
    ///
    /// A write counts when it was answered, or when its future was dropped. A read that is sent before is not covered.
    /// What the replicas hold is asked once a second, and within some milliseconds where a read had to go to the
    /// master: no more often than reads do, and a hundred times a second at most. Where the user may not call INFO
    /// nothing is ever proved, and after its first write a connection reads from the master.
    ///
    /// A failover may lose writes that were acknowledged: these are not found any more, by anybody. A replica that is
    /// filled anew with a copy older than the write, and ready again before the client asks it, is not noticed.
    ///
    /// A connection's own `read_your_writes` says it for that one, and for the clones that are made of it.
    pub fn read_your_writes(mut self, read_own: bool) -> Self {
        self.settings.read_your_writes = read_own;
        self
    }

    /// How long a command waits for a node that can take it; default 10 s. Then it fails with
    /// [`crate::Outcome::NotExecuted`]. What is sent again because its reply did not come waits as long once more,
    /// and is given up when no reply has come by then.
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

    /// How many bytes the commands of this client that wait may have together, as they are sent; default 64 MiB. One
    /// that would be too many fails at once, with [`crate::Outcome::NotExecuted`].
    pub fn queue_bytes(mut self, limit: usize) -> Self {
        self.settings.queue_bytes = limit;
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
        self.access.check(&servers).map_err(|error| BuildError::Tls(format!("ZooKeeper: {error}")))?;
        let source = Source::zookeeper(servers, self.session_timeout, self.access, path);
        Ok(Client::new(source, self.settings.checked()?))
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
        #[cfg(feature = "tls")]
        if parts.tls {
            builder = builder.tls(crate::Tls::new());
        }
        if let Some(db) = parts.db {
            builder.settings.db = db;
        }
        if let Some(read_from) = parts.read_from {
            builder.settings.rules.read_from = read_from;
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
        let asked = Builder::default()
            .password("hunter2")
            .credentials(|| async { Err::<crate::Credentials, _>("none") });
        let error = asked.client().expect_err("one of the two").to_string();
        assert!(error.contains("credentials") && !error.contains("hunter2"), "{error}");
        let builder = Builder::default().username("u").password("hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let builder = Builder::default().zookeeper_auth("u", "hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let builder = Builder::from_url("redis+zk://u:hunter2@h/g").expect("a URL");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
