//! The client: one group, followed by one task, used by any number of connections.

use std::fmt;
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult};
use redis_failover_core::NodeAddr;
use redis_failover_store::{GroupPathError, Store};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::builder::Builder;
use crate::callbacks::{Callbacks, call_back};
use crate::connection::Connection;
use crate::follow::follow;
use crate::metrics::{Counters, Metrics};
use crate::outcome::{Outcome, failure};
use crate::own_writes::Questions;
use crate::pubsub::PubSub;
use crate::queue::Queue;
use crate::routes::Routes;
use crate::settings::{BuildError, Settings};
use crate::source::Source;
use crate::topology::{Topologies, Topology};

/// A client of one group. A handle: cheap to clone, all clones are one client.
///
/// Nothing is connected before it is used: before [`Client::ready`] or [`Client::topology`] is awaited, or a command is
/// sent. When the last handle and the last [`Connection`] are dropped, all is closed.
///
/// ```no_run
/// use std::time::Duration;
/// # #[cfg(feature = "tokio")]
/// use redis_failover::{Client, ReadFrom};
///
/// # #[cfg(feature = "tokio")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder().servers("zk1,zk2,zk3").path("/redis/shop").read_from(ReadFrom::Master).build()?;
/// client.ready(Duration::from_secs(5)).await?;
/// // Another group on the same session with ZooKeeper.
/// let sessions = client.group("/redis/sessions")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What all handles and connections of a client share.
pub(crate) struct Shared {
    pub(crate) inner: Arc<Inner>,
    source: Source,
    tasks: OnceLock<Vec<AbortOnDropHandle<()>>>,
}

/// What the client's own tasks need. It does not keep them alive.
pub(crate) struct Inner {
    pub(crate) settings: Arc<Settings>,
    /// What the group is called where there are several: its path, or nothing.
    pub(crate) group: String,
    pub(crate) routes: watch::Sender<Arc<Routes>>,
    pub(crate) topology: watch::Sender<Option<Arc<Topology>>>,
    /// Those who wait for a node.
    pub(crate) queue: Queue,
    /// Whose turn it is to be read from.
    pub(crate) turn: AtomicUsize,
    pub(crate) counters: Counters,
    pub(crate) callbacks: Callbacks,
    /// What the nodes are asked, for those who read what they wrote.
    pub(crate) questions: Arc<Questions>,
}

impl Client {
    /// What a client is made with.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The client that a URL describes:
    /// `redis+zk://USER:PASS@HOST:PORT,HOST:PORT/ABSOLUTE/PATH?db=0&read=replica`. User, password, ports and parameters
    /// may be left out; what would end a part is written as in all URLs (`@` as `%40`). With the feature `tls`,
    /// `rediss+zk://` calls the nodes over TLS, trusting whom this system trusts.
    ///
    /// # Errors
    /// When it is no such URL; the error names the part and never shows the password. Whether there is anything at that
    /// address is told by [`Client::ready`], or by the first command after the limit for waiting (10 s).
    pub fn open(url: &str) -> Result<Self, BuildError> {
        Builder::from_url(url)?.client()
    }

    /// A client of nodes that never change, without `ZooKeeper`: for development. There is no failover.
    ///
    /// # Errors
    /// When an address is not of the form `HOST:PORT`.
    ///
    /// ```
    /// # #[cfg(feature = "tokio")]
    /// # fn main() -> Result<(), redis_failover::BuildError> {
    /// let client = redis_failover::Client::fixed("localhost:6379", ["localhost:6380"])?;
    /// assert!(client.current_master().is_none(), "nothing is read before it is used");
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "tokio"))]
    /// # fn main() {}
    /// ```
    pub fn fixed(
        master: &str,
        replicas: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, BuildError> {
        Builder::default().client_fixed(master, replicas)
    }

    pub(crate) fn new(source: Source, settings: Arc<Settings>) -> Self {
        let inner = Inner {
            settings,
            group: source.name(),
            routes: watch::Sender::default(),
            topology: watch::Sender::default(),
            queue: Queue::default(),
            turn: AtomicUsize::new(0),
            counters: Counters::default(),
            callbacks: Callbacks::default(),
            questions: Arc::default(),
        };
        Self { shared: Arc::new(Shared { inner: Arc::new(inner), source, tasks: OnceLock::new() }) }
    }

    /// A client of another group, with the same settings and on the same session with `ZooKeeper`.
    ///
    /// A client of fixed nodes or of another store has no paths: it yields a second client of the same.
    ///
    /// # Errors
    /// When the path is none.
    pub fn group(&self, path: &str) -> Result<Self, GroupPathError> {
        let path = path.parse()?;
        let source = match &self.shared.source {
            Source::ZooKeeper { session, .. } => Source::ZooKeeper { session: Arc::clone(session), path },
            other @ Source::Feed(_) => other.clone(),
        };
        Ok(Self::new(source, Arc::clone(&self.shared.inner.settings)))
    }

    /// What it was made with.
    #[cfg(feature = "blocking")]
    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.inner.settings
    }

    /// A connection. It costs next to nothing: all connections of a client share one TCP connection to each node.
    pub fn connection(&self) -> Connection {
        Connection::new(Arc::clone(&self.shared))
    }

    /// A subscriber, which hears what is published on the master. Nothing is connected before its first subscription.
    pub fn pubsub(&self) -> PubSub {
        PubSub::new(Arc::clone(&self.shared))
    }

    /// Waits until the master can be written to.
    ///
    /// Dropping the future changes nothing; the client goes on connecting.
    ///
    /// # Errors
    /// When that took longer than `limit`; the error tells what is missing, and is [`Outcome::NotExecuted`].
    pub async fn ready(&self, limit: Duration) -> RedisResult<()> {
        self.shared.start();
        let mut routes = self.shared.inner.routes.subscribe();
        if self.shared.has_ended() {
            return Err(self.shared.not_in_time(limit));
        }
        let usable = |routes: &Arc<Routes>| routes.master.as_ref().is_some_and(|link| link.is_usable());
        match timeout(limit, routes.wait_for(usable)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.shared.not_in_time(limit)),
        }
    }

    /// The present topology and all later ones. It does not keep the client: when that ends, so does the stream.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn example(client: redis_failover::Client) {
    /// let mut topologies = client.topology();
    /// loop {
    ///     println!("{}", topologies.next().await);
    /// }
    /// # }
    /// ```
    pub fn topology(&self) -> Topologies {
        // The stream does not keep the client.
        let shared = Arc::downgrade(&self.shared);
        let start = move || shared.upgrade().iter().for_each(|shared| shared.start());
        Topologies::new(self.shared.inner.topology.subscribe(), start)
    }

    /// The published master. `None` while it is being changed, and until a document was read.
    pub fn current_master(&self) -> Option<NodeAddr> {
        self.shared.inner.topology.borrow().as_ref()?.master.clone()
    }

    /// The published replicas that are healthy, in the operator's order; empty until a document was read.
    pub fn current_replicas(&self) -> Vec<NodeAddr> {
        let topology = self.shared.inner.topology.borrow();
        let replicas = topology.as_ref().map(|topology| topology.replicas.as_slice()).unwrap_or_default();
        replicas.iter().filter(|replica| replica.healthy).map(|replica| replica.addr.clone()).collect()
    }

    /// What it has done since it was made, and how it stands.
    ///
    /// ```
    /// # #[cfg(feature = "tokio")]
    /// # fn main() -> Result<(), redis_failover::BuildError> {
    /// let client = redis_failover::Client::fixed("localhost:6379", ["localhost:6380"])?;
    /// let metrics = client.metrics();
    /// println!("{} commands wait, {} have failed with unknown outcome", metrics.waiting, metrics.unknown);
    /// for (node, figures) in &metrics.nodes {
    ///     println!("{node}: {} commands", figures.commands);
    /// }
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "tokio"))]
    /// # fn main() {}
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.shared.inner.metrics()
    }

    /// Has `callback` called with the present topology, if one is known, and with later ones. Changes that follow each
    /// other quickly are one: the time without a master may be too short to be told.
    ///
    /// Callbacks are called one after the other in a task of their own. One that panics is called again at the next
    /// change, and disturbs nobody. One that blocks holds up the other callbacks, and in a runtime of one thread
    /// everything.
    ///
    /// It is called until the client ends, and is kept until then: one that owns a handle of its own client keeps that
    /// client for ever. Within a runtime this counts as the first use of the client.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # fn example(client: &redis_failover::Client) {
    /// client.on_change(|topology| match &topology.master {
    ///     Some(master) => println!("{master} takes writes since epoch {}", topology.epoch.0),
    ///     None => println!("the master is being changed"),
    /// });
    /// # }
    /// ```
    pub fn on_change(&self, callback: impl Fn(&Topology) + Send + Sync + 'static) {
        self.shared.inner.callbacks.add(callback);
        if tokio::runtime::Handle::try_current().is_ok() {
            self.shared.start();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topology = self.shared.inner.topology.borrow();
        f.debug_struct("Client").field("topology", &*topology).finish_non_exhaustive()
    }
}

impl Shared {
    /// Starts to follow, in the runtime of the caller, if nobody has yet.
    pub(crate) fn start(&self) {
        self.tasks.get_or_init(|| {
            let (follower, callbacks) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
            let source = self.source.clone();
            let span = tracing::info_span!("follow", group = self.inner.group);
            let following = async move {
                match source {
                    Source::Feed(feed) => follow(follower, feed()).await,
                    Source::ZooKeeper { session, path } => {
                        // Without a session commands tell why; nothing would come of trying again.
                        let Ok(zookeeper) = session.open() else { return };
                        // Held for as long as it is followed.
                        let group = zookeeper.group(&path);
                        follow(follower, group.published()).await;
                    }
                }
            };
            let tasks = [
                tokio::spawn(following.instrument(span)),
                tokio::spawn(call_back(callbacks)),
                #[cfg(feature = "metrics")]
                tokio::spawn(crate::facade::report(Arc::clone(&self.inner))),
            ];
            tasks.map(AbortOnDropHandle::new).into()
        });
    }

    /// Whether the tasks that follow are gone, with the runtime in which they were started.
    pub(crate) fn has_ended(&self) -> bool {
        self.tasks.get().is_some_and(|tasks| tasks.iter().any(AbortOnDropHandle::is_finished))
    }

    /// Of a command that found no node within `waited`.
    pub(crate) fn not_in_time(&self, waited: Duration) -> RedisError {
        if self.has_ended() {
            let what = "the runtime in which this client was used first has ended, and the client with it";
            return failure(Outcome::NotExecuted, io::ErrorKind::NotConnected, what);
        }
        let (master, why) = {
            let routes = self.inner.routes.borrow();
            (routes.master.as_ref().map(|link| link.node.clone()), Arc::clone(&routes.why))
        };
        let why = match master {
            Some(master) => {
                format!("the master {master} refused it, or could not be connected to, until now")
            }
            None if why.is_empty() => self.source.trouble(),
            None => why.to_string(),
        };
        failure(
            Outcome::NotExecuted,
            io::ErrorKind::TimedOut,
            format!("no node could take it within {waited:?}: {why}"),
        )
    }
}

impl Inner {
    /// Something has waited so long for a node.
    pub(crate) fn waited(&self, time: Duration) {
        self.counters.waited(time);
        #[cfg(feature = "metrics")]
        crate::facade::waited(&self.group, time);
    }

    /// Whether there is a master to write to from now on.
    pub(crate) fn serves(&self, served: bool) {
        if let Some(gap) = self.counters.serves(served, Instant::now()) {
            tracing::info!(?gap, "there is a master to write to again");
            #[cfg(feature = "metrics")]
            crate::facade::gap(&self.group, gap);
        }
    }

    /// The figures now.
    pub(crate) fn metrics(&self) -> Metrics {
        self.counters.snapshot(self.queue.length(), Instant::now())
    }
}
