//! Who is who, as a client knows it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt};
use redis_failover_core::{Epoch, NodeAddr, topology::Publication};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Who is who in one group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Topology {
    /// How many changes of master there were; 0 in the Python predecessor's document.
    pub epoch: Epoch,
    /// Whether there is a master; false while a change of master is under way.
    pub steady: bool,
    /// The published master; `None` while a change is under way.
    pub master: Option<NodeAddr>,
    /// All other nodes in the operator's order; while a change is under way the old master is not among them.
    pub replicas: Vec<Replica>,
}

/// A replica as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replica {
    /// Its address.
    pub addr: NodeAddr,
    /// Whether the monitors find it usable: the predecessor's `OK`.
    pub healthy: bool,
}

impl From<&Publication> for Topology {
    fn from(publication: &Publication) -> Self {
        let replica = |it: &redis_failover_core::Member| Replica { addr: it.addr.clone(), healthy: it.ok };
        Self {
            epoch: publication.epoch,
            steady: publication.steady,
            master: publication.steady.then(|| publication.master.addr.clone()),
            replicas: publication.replicas.iter().map(replica).collect(),
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}: ", self.epoch.0)?;
        match &self.master {
            Some(master) => write!(f, "master {master}")?,
            None => f.write_str("no master, it is being changed")?,
        }
        for replica in &self.replicas {
            write!(f, ", {} {}", replica.addr, if replica.healthy { "OK" } else { "KO" })?;
        }
        Ok(())
    }
}

/// The present topology, and each later one. It keeps no history: a slow reader sees fewer, never old ones.
///
/// A [`Stream`] that ends with the client.
pub struct Topologies {
    stream: Pin<Box<dyn Stream<Item = Arc<Topology>> + Send + Sync>>,
}

impl fmt::Debug for Topologies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topologies").finish_non_exhaustive()
    }
}

impl Topologies {
    /// `start` is called when it is first awaited. It ends with the sender, or when it is `closed`.
    pub(crate) fn new<S: Fn() + Send + Sync + 'static>(
        mut receiver: watch::Receiver<Option<Arc<Topology>>>,
        start: S,
        closed: CancellationToken,
    ) -> Self {
        // What is known already is news to this reader.
        receiver.mark_changed();
        let next = |(mut receiver, start): (watch::Receiver<Option<Arc<Topology>>>, S)| async move {
            start();
            loop {
                receiver.changed().await.ok()?;
                let present = receiver.borrow_and_update().clone();
                if let Some(topology) = present {
                    return Some((topology, (receiver, start)));
                }
            }
        };
        let all = stream::unfold((receiver, start), next);
        Self { stream: Box::pin(all.take_until(closed.cancelled_owned())) }
    }

    /// The next topology that was not seen here, at first the present one, or the first that is read.
    ///
    /// Dropping the future loses nothing. After the end of the client it waits for ever.
    pub async fn next(&mut self) -> Arc<Topology> {
        match self.stream.next().await {
            Some(topology) => topology,
            None => std::future::pending().await,
        }
    }
}

impl Stream for Topologies {
    type Item = Arc<Topology>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(context)
    }
}
