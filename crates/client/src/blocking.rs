//! The client for programs without a runtime: the same client and the same connection, driven by a thread of its own.
//!
//! ```no_run
//! use redis_failover::blocking::Client;
//! use redis_failover::redis::Commands;
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open("redis+zk://zk1:2181,zk2:2181/redis/cluster")?;
//! let mut connection = client.connection();
//! let _: () = connection.set("greeting", "hello")?;
//! let greeting: Option<String> = connection.get("greeting")?;
//! # Ok(())
//! # }
//! ```
//!
//! Where commands go, what is sent again and what an error means is as in [the whole crate](crate): there is no second
//! implementation of any of it. Nothing here decides anything, and no rule of the client is written down here.
//!
//! # Threads, runtimes, `fork`
//!
//! A client has one thread, from its first use until its last handle and its last [`Connection`] are dropped; then it
//! ends by itself, at once. All connections are driven by it, those of [`Client::group`], too. The session with
//! `ZooKeeper` has two threads more; while names of nodes are looked up there are up to four others, which end after
//! ten idle seconds. A client that was never used has none.
//!
//! Calls may be made from anywhere, within a tokio runtime, too: they block the thread that makes them, and nothing of
//! the runtime is used. There it is better to call them in `spawn_blocking`, or to take the asynchronous client. Only
//! the client's own thread, on which callbacks run, must not wait for itself: a call in a callback fails with
//! [`Outcome::NotExecuted`](crate::Outcome).
//!
//! After a `fork` the child has none of these threads, and shares the parent's TCP connections: use a client first
//! after the fork, never before.
//!
//! # Pools
//!
//! No pool is needed to save connections: all connections of a client share one TCP connection to each node, and
//! [`Client::connection`] costs next to nothing. For frameworks that want a pool, the feature `r2d2` makes [`Client`]
//! an `r2d2::ManageConnection`.

mod connection;
mod engine;
mod packed;
#[cfg(feature = "r2d2")]
mod pool;
mod pubsub;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use redis::RedisResult;
use redis_failover_core::NodeAddr;
use redis_failover_store::GroupPathError;

use crate::builder::Builder;
use crate::client::Client as Driven;
use crate::metrics::Metrics;
use crate::settings::BuildError;
use crate::topology::{Topologies as DrivenTopologies, Topology};
pub use connection::Connection;
use engine::Engine;
pub use pubsub::{Events, PubSub, PubSubSink};

/// A client of one group for programs without a runtime. A handle: cheap to clone, all clones are one client.
///
/// Nothing is connected and no thread is started before it is used: before [`Client::ready`], [`Client::on_change`] or
/// [`Client::topology`], or a command. When the last handle and the last [`Connection`] are dropped, all is closed.
///
/// ```no_run
/// use std::time::Duration;
/// use redis_failover::ReadFrom;
/// use redis_failover::blocking::Client;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Client::builder().servers("zk1,zk2,zk3").path("/redis/shop").read_from(ReadFrom::Master);
/// let client = builder.build_blocking()?;
/// client.ready(Duration::from_secs(5))?;
/// // Another group on the same thread and the same session with ZooKeeper.
/// let sessions = client.group("/redis/sessions")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    // Dropped first: what it drives ends before the thread does.
    driven: Driven,
    engine: Arc<Engine>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Client").field(&self.driven).finish()
    }
}

impl Client {
    /// What a client is made with; [`Builder::build_blocking`] makes it.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The client that a URL describes:
    /// `redis+zk://USER:PASS@HOST:PORT,HOST:PORT/ABSOLUTE/PATH?db=0&read=replica`. User, password, ports and parameters
    /// may be left out; what would end a part is written as in all URLs (`@` as `%40`).
    ///
    /// # Errors
    /// When it is no such URL; the error names the part and never shows the password. Whether there is anything at that
    /// address is told by [`Client::ready`], or by the first command after the limit for waiting (10 s).
    pub fn open(url: &str) -> Result<Self, BuildError> {
        Builder::from_url(url)?.build_blocking()
    }

    /// A client of nodes that never change, without `ZooKeeper`: for development. There is no failover.
    ///
    /// # Errors
    /// When an address is not of the form `HOST:PORT`.
    ///
    /// ```
    /// let client = redis_failover::blocking::Client::fixed("localhost:6379", ["localhost:6380"])?;
    /// assert!(client.current_master().is_none(), "nothing is read before it is used");
    /// # Ok::<(), redis_failover::BuildError>(())
    /// ```
    pub fn fixed(
        master: &str,
        replicas: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, BuildError> {
        Builder::default().build_blocking_fixed(master, replicas)
    }

    /// Drives a client that nobody has used yet: one that was would stay in its runtime.
    pub(crate) fn new(driven: Driven) -> Self {
        Self { driven, engine: Arc::default() }
    }

    /// A client of another group, with the same settings, on the same thread and the same session with `ZooKeeper`.
    ///
    /// A client of fixed nodes or of another store has no paths: it yields a second client of the same.
    ///
    /// # Errors
    /// When the path is none.
    pub fn group(&self, path: &str) -> Result<Self, GroupPathError> {
        Ok(Self { driven: self.driven.group(path)?, engine: Arc::clone(&self.engine) })
    }

    /// A connection. It costs next to nothing: all connections of a client share one TCP connection to each node.
    pub fn connection(&self) -> Connection {
        Connection::new(self.clone())
    }

    /// A subscriber, which hears what is published on the master. Nothing is connected before its first subscription.
    pub fn pubsub(&self) -> PubSub {
        PubSub::new(self.driven.pubsub(), &self.engine)
    }

    /// Waits until the master can be written to.
    ///
    /// # Errors
    /// When that took longer than `limit`; the error tells what is missing, and is
    /// [`Outcome::NotExecuted`](crate::Outcome).
    pub fn ready(&self, limit: Duration) -> RedisResult<()> {
        let driven = self.driven.clone();
        self.engine.wait(async move { driven.ready(limit).await })?
    }

    /// The present topology and all later ones, each as soon as it is known. It does not keep the client: when that
    /// ends, so does the iterator.
    ///
    /// ```no_run
    /// # fn example(client: redis_failover::blocking::Client) {
    /// std::thread::spawn(move || {
    ///     for topology in client.topology() {
    ///         println!("{topology}");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn topology(&self) -> Topologies {
        Topologies { driven: Some(self.driven.topology()), engine: Arc::downgrade(&self.engine) }
    }

    /// Closes the client, for all its handles and connections at once: no call begins any more, those that wait or are
    /// in flight are waited for, for so long at most, and then all is closed: the connections, the subscribers, the
    /// client's tasks, and the session with `ZooKeeper` if no other group's client uses it. Yields how many calls were
    /// not waited for. The client's thread, which then has nothing to do, ends with the last handle.
    ///
    /// What comes later fails with [`Outcome::NotExecuted`](crate::Outcome). What was not waited for fails at once,
    /// writes that were in flight with [`Outcome::Unknown`](crate::Outcome). A session (WATCH, MULTI) is no call: its
    /// EXEC fails when it comes too late. Subscribers hear nothing more, and iterators of topologies end, when this is
    /// called.
    ///
    /// # Errors
    /// When there is no thread to do it, or this is the one, in a callback; then nothing is closed.
    pub fn close(&self, limit: Duration) -> RedisResult<usize> {
        let driven = self.driven.clone();
        self.engine.wait(async move { driven.close(limit).await })
    }

    /// The published master. `None` while it is being changed, and until a document was read.
    pub fn current_master(&self) -> Option<NodeAddr> {
        self.driven.current_master()
    }

    /// The published replicas that are healthy, in the operator's order; empty until a document was read.
    pub fn current_replicas(&self) -> Vec<NodeAddr> {
        self.driven.current_replicas()
    }

    /// What it has done since it was made, and how it stands.
    pub fn metrics(&self) -> Metrics {
        self.driven.metrics()
    }

    /// Has `callback` called with the present topology, if one is known, and with later ones. Changes that follow each
    /// other quickly are one: the time without a master may be too short to be told.
    ///
    /// Callbacks are called one after the other, on the client's only thread: one that blocks holds up everything of
    /// this client, and commands of a blocking client fail there. Hand over to another thread what takes long. One that
    /// panics is called again at the next change, and disturbs nobody.
    ///
    /// It is called until the client ends, and is kept until then: one that owns a handle of its own client keeps that
    /// client for ever. This counts as the first use of the client.
    ///
    /// ```no_run
    /// # fn example(client: &redis_failover::blocking::Client) {
    /// client.on_change(|topology| match &topology.master {
    ///     Some(master) => println!("{master} takes writes since epoch {}", topology.epoch.0),
    ///     None => println!("the master is being changed"),
    /// });
    /// # }
    /// ```
    pub fn on_change(&self, callback: impl Fn(&Topology) + Send + Sync + 'static) {
        // Without a thread nothing will ever change; the first command tells why there is none.
        let handle = self.engine.handle();
        let _entered = handle.as_ref().map(|handle| handle.enter());
        self.driven.on_change(callback);
    }
}

/// The present topology, and each later one. It keeps no history: a slow reader sees fewer, never old ones.
///
/// An [`Iterator`] that waits for each, and ends with the client. It ends at once on the client's own thread, where
/// callbacks run.
pub struct Topologies {
    /// Away only while it is waited for.
    driven: Option<DrivenTopologies>,
    engine: Weak<Engine>,
}

impl fmt::Debug for Topologies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("blocking::Topologies").finish_non_exhaustive()
    }
}

impl Iterator for Topologies {
    type Item = Arc<Topology>;

    fn next(&mut self) -> Option<Self::Item> {
        // The engine is not kept while this waits: it may end meanwhile, and this with it.
        let handle = self.engine.upgrade()?.handle().ok()?;
        let mut driven = self.driven.take()?;
        let (driven, next) = engine::wait_on(&handle, async move {
            let next = StreamExt::next(&mut driven).await;
            (driven, next)
        })?;
        self.driven = Some(driven);
        next
    }
}
