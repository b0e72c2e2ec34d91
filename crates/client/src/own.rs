//! A connection of its own to the master, for what would hold up or confuse others. It has no response timeout: a
//! blocking command that timed out here would live on in the server and swallow what it waited for.

use std::io;
use std::sync::Arc;

use redis::{RedisError, RedisResult};
use redis_failover_core::NodeAddr;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::link::{Link, Wire};
use crate::metrics::{NodeCounters, count};
use crate::routes::Routes;
use crate::settings::Settings;
use crate::spans;
use crate::work::{Reply, Work};

/// One open connection to the master. Dropping it closes it, and ends what still blocks on it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) node: NodeAddr,
    wire: Wire,
    tenure: CancellationToken,
    counters: Arc<NodeCounters>,
}

impl Own {
    /// Connects to the master of these routes.
    ///
    /// # Errors
    /// When it can't be reached, or is no master (any more); nothing is left open, and the link is doubted then.
    pub(crate) async fn open(routes: &Routes, link: &Link, settings: &Settings) -> RedisResult<Self> {
        let (limit, node) = (settings.connect_timeout, &link.node);
        let work = async {
            let wire = Wire::open(node, settings, None).await?;
            let said = wire.look(routes.follower.order()).await?;
            RedisResult::Ok((wire, said))
        };
        let (wire, said) = tokio::select! {
            opened = timeout(limit, work) => {
                opened.map_err(|_| RedisError::from(io::Error::from(io::ErrorKind::TimedOut)))??
            }
            () = routes.tenure.cancelled() => return Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        };
        routes
            .follower
            .may_write(&said)
            .inspect_err(|_| link.doubt())
            .map_err(|doubt| RedisError::from(io::Error::other(format!("{node} {doubt}"))))?;
        // It is closed with the tenure also while nothing is sent on it.
        let (closing, ended, tenure) = (wire.end_on_drop(), wire.ended.clone(), routes.tenure.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = tenure.cancelled() => {}
                () = ended.cancelled() => {}
            }
            drop(closing);
        });
        let counters = Arc::clone(&link.counters);
        Ok(Self { node: node.clone(), wire, tenure: routes.tenure.clone(), counters })
    }

    /// Whether it is open and its node is the master of these routes, in the same tenure.
    pub(crate) fn serves(&self, routes: &Routes) -> bool {
        let leads = routes.master.as_ref().is_some_and(|link| link.node == self.node);
        leads && !self.tenure.is_cancelled() && !self.wire.ended.is_cancelled()
    }

    /// Sends this, and waits for the reply for as long as the node is the master.
    pub(crate) async fn send(&mut self, work: Work<'_>) -> RedisResult<Reply> {
        count(&self.counters.commands);
        tokio::select! {
            biased;
            reply = work.send(&mut self.wire.connection).instrument(spans::attempt(&self.node)) => reply,
            () = self.tenure.cancelled() => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        }
    }
}
