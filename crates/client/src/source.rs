//! Where a client's documents come from: `ZooKeeper`, any open store, or one document that never changes. What they
//! mean is not decided here.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis_failover_core::topology::Publication;
use redis_failover_core::{Epoch, Member, NodeAddr};
use redis_failover_store::{
    Access, ConnectString, Connection as Session, Feed, Glance, GroupPath, ZooKeeper,
};
use tokio::sync::watch;

/// Where the documents come from.
#[derive(Clone)]
pub(crate) enum Source {
    ZooKeeper { session: Arc<LazySession>, path: GroupPath },
    Feed(Arc<dyn Fn() -> Feed<Glance> + Send + Sync>),
}

/// A session with `ZooKeeper` that is opened when it is first needed.
pub(crate) struct LazySession {
    servers: ConnectString,
    timeout: Duration,
    access: Access,
    opened: OnceLock<Result<ZooKeeper, String>>,
}

impl LazySession {
    pub(crate) fn open(&self) -> Result<&ZooKeeper, String> {
        let connect = || ZooKeeper::connect_with(self.servers.clone(), self.timeout, &self.access);
        let open = || connect().map_err(|error| error.to_string());
        self.opened.get_or_init(open).as_ref().map_err(Clone::clone)
    }
}

impl Source {
    pub(crate) fn zookeeper(
        servers: ConnectString,
        timeout: Duration,
        access: Access,
        path: GroupPath,
    ) -> Self {
        let session = LazySession { servers, timeout, access, opened: OnceLock::new() };
        Self::ZooKeeper { session: Arc::new(session), path }
    }

    pub(crate) fn feed(feed: Arc<dyn Fn() -> Feed<Glance> + Send + Sync>) -> Self {
        Self::Feed(feed)
    }

    /// A document that never changes.
    pub(crate) fn fixed(master: NodeAddr, replicas: Vec<NodeAddr>) -> Self {
        let member = |addr| Member { addr, ok: true };
        let publication = Publication {
            epoch: Epoch(0),
            steady: true,
            master: member(master),
            replicas: replicas.into_iter().map(member).collect(),
            run: None,
            replid: None,
        };
        let glance = Glance { read: Some(Ok(Some(publication))), order: 1, created: 1 };
        let sender = watch::Sender::new(glance);
        Self::Feed(Arc::new(move || sender.subscribe().into()))
    }

    /// The group's path, where there is one.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::ZooKeeper { path, .. } => path.to_string(),
            Self::Feed(_) => String::new(),
        }
    }

    /// Why nothing was read yet.
    pub(crate) fn trouble(&self) -> String {
        let Self::ZooKeeper { session, path } = self else { return "nothing is published yet".to_owned() };
        let servers = &session.servers;
        match session.open().map(|zookeeper| zookeeper.state().latest()) {
            Ok(Session::Connected { .. }) => {
                format!(
                    "nothing is published at {path} in ZooKeeper at {servers} (does a monitor run? is the path right?)"
                )
            }
            Ok(Session::Connecting { last_error: Some(error) }) => {
                format!("there is no session with ZooKeeper at {servers}: {error}")
            }
            Ok(_) => format!("there is no session with ZooKeeper at {servers}"),
            Err(error) => format!("no session could be begun with ZooKeeper: {error}"),
        }
    }
}
