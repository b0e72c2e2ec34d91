//! Where a client's documents come from: `ZooKeeper`, any open store, or one document that never changes. What they
//! mean is not decided here.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis_failover_core::topology::Publication;
use redis_failover_core::{Epoch, Member, NodeAddr};
use redis_failover_store::{
    Access, ConnectString, Connection as Session, Feed, Glance, GroupPath, ZooKeeper,
};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::patience::growing;

/// The longest rest before a session with `ZooKeeper` that could not be begun is tried again.
const LONGEST_REST: Duration = Duration::from_secs(2);

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
    opened: OnceLock<ZooKeeper>,
}

impl LazySession {
    /// The session, begun if there is none yet. What failed is tried again.
    pub(crate) fn open(&self) -> io::Result<&ZooKeeper> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = ZooKeeper::connect_with(self.servers.clone(), self.timeout, &self.access)?;
        // Of two that are begun at once one is closed again.
        Ok(self.opened.get_or_init(|| opened))
    }
}

impl LazySession {
    /// The session, however long none can be begun: no descriptor may be left, or a file of TLS is being replaced.
    pub(crate) async fn opened(&self) -> &ZooKeeper {
        let mut rests = growing(Duration::from_millis(50), LONGEST_REST);
        loop {
            match self.open() {
                Ok(opened) => return opened,
                Err(error) => tracing::warn!("no session could be begun with ZooKeeper: {error}; trying on"),
            }
            sleep(rests.next().unwrap_or(LONGEST_REST)).await;
        }
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
                    "nothing is published at {path} in ZooKeeper at {servers}, or nothing that may be read (does a \
                     monitor run? is the path right? has this client the right to read it?)"
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

#[cfg(all(test, feature = "tls"))]
mod tests {
    use redis_failover_lab::Authority;
    use redis_failover_store::Tls;

    use super::*;
    use crate::client::Client;
    use crate::settings::Settings;

    #[tokio::test]
    async fn a_session_that_could_not_be_begun_is_begun_later() {
        let directory = tempfile::tempdir().expect("a directory");
        let roots = directory.path().join("roots.pem");
        let access = Access::default().tls(Tls::new().roots_file(&roots));
        let servers = "127.0.0.1:1".parse().expect("servers");
        let path = "/redis/cluster".parse().expect("a path");
        let source = Source::zookeeper(servers, Duration::from_secs(2), access, path);
        let client = Client::new(source, Arc::new(Settings::default()));
        let trouble = async || {
            let error = client.ready(Duration::from_millis(100)).await.expect_err("there is no ZooKeeper");
            assert_eq!(crate::outcome(&error), crate::Outcome::NotExecuted);
            error.to_string()
        };
        for _ in 0..2 {
            let text = trouble().await;
            assert!(text.contains("no session could be begun") && text.contains("roots.pem"), "{text}");
        }
        std::fs::copy(Authority::new().roots(), &roots).expect("it can be written");
        let text = trouble().await;
        assert!(text.contains("there is no session with ZooKeeper at 127.0.0.1:1"), "{text}");
    }
}
