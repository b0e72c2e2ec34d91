//! Where the reads of one connection may go. Which nodes are read from at all is decided elsewhere: see `routes`.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;

use super::Connection;
use crate::link::Link;
use crate::own_writes::{OwnWrites, Writing};
use crate::work::Work;

/// A link, and this connection's handle of it.
pub(super) struct Seat {
    pub(super) link: Arc<Link>,
    pub(super) connection: MultiplexedConnection,
    leads: bool,
}

impl Seat {
    pub(super) fn take(link: &Arc<Link>, leads: bool) -> Self {
        Self { link: Arc::clone(link), connection: link.wire.connection.clone(), leads }
    }

    /// Whether a read may go there now that must find what is held by whoever has proved the question `needed`.
    pub(super) fn serves(&self, needed: u64) -> bool {
        self.link.is_usable() && (needed == 0 || self.leads || self.link.sounding.proved() >= needed)
    }
}

impl Connection {
    /// Whether reads on this connection find what was written on it before: see [`crate::Builder::read_your_writes`],
    /// which says it for all connections of a client.
    ///
    /// Clones are in one session with what they were cloned from: each finds what any of them wrote. This begins a
    /// session of its own, which also finds what was written in the former one until now. A connection for each user's
    /// request, from [`Client::connection`](crate::Client::connection) or by this, has reads of one not wait for the
    /// writes of all.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn example(connection: redis_failover::Connection) -> redis_failover::redis::RedisResult<()> {
    /// use redis_failover::redis::AsyncCommands;
    ///
    /// let mut request = connection.clone().read_your_writes(true);
    /// let _: () = request.hset("user:1", "name", "Ada").await?;
    /// let name: String = request.hget("user:1", "name").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn read_your_writes(mut self, read_own: bool) -> Self {
        let questions = &self.shared.inner.questions;
        self.own_writes = read_own.then(|| OwnWrites::new(questions, self.own_writes.as_deref()));
        self
    }

    /// The question that a replica must have proved to be read from here; 0 if none.
    pub(super) fn needed(&self) -> u64 {
        self.own_writes.as_ref().map_or(0, |own| own.needed())
    }

    /// Has the nodes asked soon, if no replica can be read from yet.
    pub(super) fn want_proof(&self, needed: u64) {
        if !self.readers.iter().any(|seat| !seat.leads && seat.serves(needed)) {
            self.own_writes.iter().for_each(|own| own.want());
        }
    }

    /// Notes this, if reads must find it, when what it returns is dropped.
    pub(super) fn note_on_drop(&self, work: Work<'_>) -> Option<Writing> {
        self.own_writes.as_ref().filter(|_| work.may_write()).map(OwnWrites::note_on_drop)
    }
}
