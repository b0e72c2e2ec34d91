//! Calls that end in time, whatever they wait for, and what may be assumed of one that was ended so.

use std::io;
use std::time::Duration;

use redis::RedisResult;
use tokio::time::timeout_at;

use super::Connection;
use crate::outcome::{Outcome, failure};
use crate::patience::Deadline;
use crate::work::{Reply, Work};

impl Connection {
    /// How long a call on this connection may take as a whole: waiting for a node, all attempts, the reply; default no
    /// limit but the client's own ones. For single calls take a clone.
    ///
    /// A call that is not over by then fails: with [`Outcome::NotExecuted`] if nothing was sent that may have been
    /// executed, else with [`Outcome::Unknown`], reads too, for which that is harmless. It also ends what has no other
    /// limit: a blocking command's connection is closed, so that it takes nothing from a list any more, and a session
    /// (WATCH, MULTI) ends with its connection. What was sent on the shared connection may still be executed.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn example(connection: redis_failover::Connection) -> redis_failover::redis::RedisResult<()> {
    /// use std::time::Duration;
    /// use redis_failover::redis::AsyncCommands;
    ///
    /// let mut hurried = connection.clone().deadline(Some(Duration::from_millis(500)));
    /// let _name: Option<String> = hurried.hget("user:1", "name").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn deadline(mut self, limit: Option<Duration>) -> Self {
        self.limit = limit;
        self
    }

    /// Carries it out, in time where there is a limit, or says what may be assumed.
    pub(super) async fn in_time(&mut self, work: Work<'_>) -> RedisResult<Reply> {
        let Some(limit) = self.limit else { return self.carry_out(work).await };
        self.in_doubt = false;
        if let Ok(reply) = timeout_at(Deadline::after(limit).at, Box::pin(self.carry_out(work))).await {
            return reply;
        }
        if self.in_doubt {
            let what = format!("no reply came within the deadline of {limit:?}");
            return Err(failure(Outcome::Unknown, io::ErrorKind::TimedOut, what));
        }
        Err(self.shared.not_in_time(limit))
    }

    /// From here on, what is in flight may be executed. Yields whether an earlier attempt may have been.
    pub(super) fn sending(&mut self) -> bool {
        std::mem::replace(&mut self.in_doubt, true)
    }

    /// What was sent last was not executed: what was so before holds again.
    pub(super) fn not_sent(&mut self, before: bool) {
        self.in_doubt = before;
    }
}
