//! The client beside ours: redis-rs over whom the sentinels name, shared by all tasks of a process.
//!
//! After an error it asks the sentinels again and connects anew, once for all tasks; before that it hears of no change.
//! It sends nothing a second time: the caller is told, as redis-rs has it.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use redis::aio::MultiplexedConnection;
use redis_failover_lab::Sentinel;
use tokio::sync::Mutex;

use crate::bench::finder::Finder;
use crate::plain;

/// How long it waits for a reply: as long as the client library does.
const PATIENCE: Duration = Duration::from_secs(10);

/// A clone for one task.
#[derive(Clone, Debug)]
pub(super) struct Seeker {
    finder: Arc<Finder>,
    latest: Arc<Mutex<Option<Open>>>,
    own: Option<Open>,
}

/// An open connection, which are numbered.
#[derive(Clone, Debug)]
struct Open {
    number: u64,
    connection: MultiplexedConnection,
}

impl Seeker {
    /// One that asks these sentinels, in this order.
    pub(super) fn new(sentinels: Vec<String>) -> Self {
        Self { finder: Arc::new(Finder::Sentinels(sentinels)), latest: Arc::default(), own: None }
    }

    /// Sends it once, and yields the reply or what the caller is told.
    pub(super) async fn send(&mut self, command: &Cmd) -> Result<i64, String> {
        if self.own.is_none() {
            self.own = self.newer(0).await;
        }
        let Some(open) = &mut self.own else {
            return Err(format!("the sentinels name no master of {} that answers", Sentinel::GROUP));
        };
        let reply = command.query_async(&mut open.connection).await;
        if reply.is_err() {
            let number = open.number;
            self.own = self.newer(number).await;
        }
        reply.map_err(|error| error.to_string())
    }

    /// A connection that is newer than this one: another task's, or one to whom the sentinels name now.
    async fn newer(&self, number: u64) -> Option<Open> {
        let mut latest = self.latest.lock().await;
        if let Some(open) = latest.as_ref().filter(|open| open.number > number) {
            return Some(open.clone());
        }
        let master = self.finder.master().await?;
        let connection = plain::connect(&master, Some(PATIENCE)).await?;
        Some(latest.insert(Open { number: number + 1, connection }).clone())
    }
}
