//! The client: one group, followed by one task, used by any number of connections.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::RedisResult;
use redis_failover_core::NodeAddr;
use redis_failover_store::{GroupPathError, Store};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::builder::Builder;
use crate::callbacks::Callbacks;
use crate::closing::{Gate, closed};
use crate::connection::Connection;
use crate::follow::follow;
use crate::metrics::{Counters, Metrics};
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
/// sent. When the last handle and the last [`Connection`] are dropped, all is closed; with
/// [`Client::close`] earlier, and after what is in flight.
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
    /// Away when the client was closed.
    source: Mutex<Option<Source>>,
    tasks: OnceLock<Tasks>,
}

struct Tasks {
    handles: Vec<AbortOnDropHandle<()>>,
    /// Cancelled when what follows has ended.
    ended: CancellationToken,
}

/// What the client's own tasks need. It does not keep them alive.
pub(crate) struct Inner {
    pub(crate) gate: Arc<Gate>,
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
            gate: Arc::default(),
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
        let source = Mutex::new(Some(source));
        Self { shared: Arc::new(Shared { inner: Arc::new(inner), source, tasks: OnceLock::new() }) }
    }

    /// A client of another group, with the same settings and on the same session with `ZooKeeper`.
    ///
    /// A client of fixed nodes or of another store has no paths: it yields a second client of the same. Of a closed one
    /// it yields a closed one.
    ///
    /// # Errors
    /// When the path is none.
    pub fn group(&self, path: &str) -> Result<Self, GroupPathError> {
        let path = path.parse()?;
        let settings = Arc::clone(&self.shared.inner.settings);
        Ok(match self.shared.source() {
            Some(Source::ZooKeeper { session, .. }) => {
                Self::new(Source::ZooKeeper { session, path }, settings)
            }
            Some(other @ Source::Feed(_)) => Self::new(other, settings),
            // It was closed, and there is no session any more.
            None => self.clone(),
        })
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
    /// When that took longer than `limit`; the error tells what is missing, and is
    /// [`crate::Outcome::NotExecuted`].
    pub async fn ready(&self, limit: Duration) -> RedisResult<()> {
        self.shared.start();
        let mut routes = self.shared.inner.routes.subscribe();
        if self.shared.has_ended() {
            return Err(self.shared.not_in_time(limit));
        }
        let usable = |routes: &Arc<Routes>| routes.master.as_ref().is_some_and(|link| link.is_usable());
        tokio::select! {
            biased;
            () = self.shared.inner.gate.closing.cancelled() => Err(closed()),
            usable = timeout(limit, routes.wait_for(usable)) => match usable {
                Ok(_) => Ok(()),
                Err(_) => Err(self.shared.not_in_time(limit)),
            }
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
        Topologies::new(self.shared.inner.topology.subscribe(), start, self.shared.inner.gate.closing.clone())
    }

    /// Closes the client, for all its handles and connections at once: no call begins any more, those that wait or are
    /// in flight are waited for, for so long at most, and then all is closed: the connections, the subscribers, the
    /// client's tasks, and the session with `ZooKeeper` if no other group's client uses it. Yields how many calls were
    /// not waited for.
    ///
    /// What comes later fails with [`crate::Outcome::NotExecuted`]. What was not waited for fails at once, writes that
    /// were in flight with [`crate::Outcome::Unknown`]. A session (WATCH, MULTI) is no call: its EXEC fails when it
    /// comes too late. Subscribers hear nothing more, and streams of topologies end, when this is called.
    ///
    /// Dropping the future leaves the client shut and open connections as they are; it can be called again.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn example(client: redis_failover::Client) {
    /// let left = client.close(std::time::Duration::from_secs(5)).await;
    /// if left > 0 {
    ///     eprintln!("{left} commands were given up");
    /// }
    /// # }
    /// ```
    pub async fn close(&self, limit: Duration) -> usize {
        self.shared.close(limit).await
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
        self.shared.inner.callbacks.add(Arc::new(callback));
        if self.shared.inner.gate.closed.is_cancelled() {
            // Nobody will call it, nor let go of it: it may own this client.
            return self.shared.inner.callbacks.clear();
        }
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
        let Some(source) = self.source() else { return };
        let tasks = self.tasks.get_or_init(|| {
            let (follower, callbacks) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
            let ended = CancellationToken::new();
            let guard = ended.clone().drop_guard();
            let span = tracing::info_span!("follow", group = self.inner.group);
            let following = async move {
                // Also when this task is aborted.
                let _guard = guard;
                match source {
                    Source::Feed(feed) => follow(follower, feed()).await,
                    Source::ZooKeeper { session, path } => {
                        let zookeeper = session.opened().await;
                        // Held for as long as it is followed.
                        let group = zookeeper.group(&path);
                        follow(follower, group.published()).await;
                    }
                }
            };
            let topologies = callbacks.topology.subscribe();
            let handles = [
                tokio::spawn(following.instrument(span)),
                tokio::spawn(async move { callbacks.callbacks.call(topologies).await }),
                #[cfg(feature = "metrics")]
                tokio::spawn(crate::facade::report(Arc::clone(&self.inner))),
            ];
            Tasks { handles: handles.map(AbortOnDropHandle::new).into(), ended }
        });
        // It may have been closed meanwhile.
        if self.inner.gate.closed.is_cancelled() {
            tasks.handles.iter().for_each(AbortOnDropHandle::abort);
        }
    }

    /// Ends the tasks, and yields what is cancelled when that is done.
    pub(crate) fn stop(&self) -> Option<CancellationToken> {
        self.inner.callbacks.clear();
        let tasks = self.tasks.get()?;
        tasks.handles.iter().for_each(AbortOnDropHandle::abort);
        Some(tasks.ended.clone())
    }

    /// Where the documents come from; `None` when it was closed.
    pub(crate) fn source(&self) -> Option<Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves where the documents come from to others.
    pub(crate) fn forget_source(&self) {
        drop(self.source.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whether the tasks that follow are gone, with the runtime in which they were started.
    pub(crate) fn has_ended(&self) -> bool {
        let ended = |tasks: &Tasks| tasks.ended.is_cancelled();
        self.inner.gate.closed.is_cancelled() || self.tasks.get().is_some_and(ended)
    }
}
