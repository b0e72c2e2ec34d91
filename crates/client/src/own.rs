//! A connection of its own to the master, for what would hold up or confuse others. It has no response timeout: a
//! blocking command that timed out here would live on in the server and swallow what it waited for.

use std::io;

use redis::{RedisError, RedisResult};
use redis_failover_core::NodeAddr;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::link::Wire;
use crate::routes::Routes;
use crate::settings::Settings;
use crate::work::{Reply, Work};

/// One open connection to the master. Dropping it closes it, and ends what still blocks on it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) node: NodeAddr,
    wire: Wire,
    tenure: CancellationToken,
}

impl Own {
    /// Connects to the master of these routes.
    ///
    /// # Errors
    /// When it can't be reached, or is no master (any more); nothing is left open.
    pub(crate) async fn open(routes: &Routes, node: &NodeAddr, settings: &Settings) -> RedisResult<Self> {
        let limit = settings.connect_timeout;
        let work = async {
            let wire = Wire::open(node, settings, None).await?;
            let said = wire.look(routes.follower.order()).await?;
            RedisResult::Ok((wire, said))
        };
        let (wire, said) = timeout(limit, work)
            .await
            .map_err(|_| RedisError::from(io::Error::from(io::ErrorKind::TimedOut)))??;
        routes
            .follower
            .may_write(&said)
            .map_err(|doubt| RedisError::from(io::Error::other(format!("{node} {doubt}"))))?;
        Ok(Self { node: node.clone(), wire, tenure: routes.tenure.clone() })
    }

    /// Whether it has ended, or its node is no longer the master.
    pub(crate) fn is_over(&self) -> bool {
        self.wire.ended.is_cancelled() || self.tenure.is_cancelled()
    }

    /// Sends this, and waits for the reply for as long as the node is the master.
    pub(crate) async fn send(&mut self, work: Work<'_>) -> RedisResult<Reply> {
        tokio::select! {
            biased;
            reply = work.send(&mut self.wire.connection) => reply,
            () = self.tenure.cancelled() => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        }
    }
}
