//! Calls as they are counted, and as they are seen by those who trace.

use redis::RedisResult;
use tracing::Instrument;

use super::Connection;
use crate::metrics::count;
use crate::outcome::{Outcome, outcome};
use crate::spans;
use crate::work::{Reply, Work};

impl Connection {
    /// Carries it out, seen by those who count and by those who listen.
    pub(super) async fn accompany(&mut self, work: Work<'_>) -> RedisResult<Reply> {
        if !spans::are_seen() {
            let reply = self.in_time(work).await;
            return self.counted(reply);
        }
        let span = spans::command(work);
        let reply = self.in_time(work).instrument(span.clone()).await;
        spans::ended(&span, &reply);
        self.counted(reply)
    }

    /// The reply as it is, counted where it is an error.
    pub(super) fn counted<T>(&self, reply: RedisResult<T>) -> RedisResult<T> {
        let counters = &self.shared.inner.counters;
        match reply.as_ref().err().map(outcome) {
            Some(Outcome::NotExecuted) => count(&counters.not_executed),
            Some(Outcome::Unknown) => count(&counters.unknown),
            Some(Outcome::Executed) | None => {}
        }
        reply
    }
}
