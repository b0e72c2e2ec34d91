//! A subscriber for programs without a runtime: the asynchronous one, whose task runs on the client's own thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, ToRedisArgs};
use tokio::time::timeout;

use super::engine::{self, Engine};
use crate::pubsub::{Event, PubSub as Driven, PubSubSink as DrivenSink, PubSubStream as DrivenStream, gone};

/// A subscriber: what is published on the master is heard here, whichever node that is.
///
/// It has a TCP connection of its own, from the first subscription on. When that breaks, or another master is
/// published, all subscriptions are made again on the present master at once, and [`Event::Missed`] comes before what
/// is heard there: exactly once for each loss, and never without one. What may be missing, and what becomes of a reader
/// that is too slow, is told with `redis_failover::PubSub`, which this one drives.
///
/// ```no_run
/// use std::time::Duration;
/// use redis_failover::Event;
///
/// # fn example(client: redis_failover::blocking::Client) -> redis_failover::redis::RedisResult<()> {
/// let mut news = client.pubsub();
/// news.subscribe(&["prices", "orders"])?;
/// while let Some(event) = news.next_within(Duration::from_secs(60))? {
///     match event {
///         Event::Message(message) => println!("{}: {:?}", message.get_channel_name(), message.get_payload_bytes()),
///         Event::Missed { master } => println!("reading everything anew from {master}"),
///         other => println!("{other:?}"),
///     }
/// }
/// println!("nothing for a minute");
/// # Ok(())
/// # }
/// ```
///
/// An [`Iterator`] that waits for each event and ends with the client.
pub struct PubSub {
    sink: PubSubSink,
    events: Events,
}

/// The half of a [`PubSub`] that subscribes and unsubscribes. Cheap to clone. It does nothing any more when the other
/// half is dropped.
#[derive(Clone)]
pub struct PubSubSink {
    // Dropped first: what it drives ends before the thread does.
    driven: DrivenSink,
    engine: Arc<Engine>,
}

/// The half of a [`PubSub`] that hears: an [`Iterator`] that waits for each event and ends with the client.
pub struct Events {
    /// Away only while it is waited for, or for ever where that panicked.
    driven: Option<DrivenStream>,
    engine: Arc<Engine>,
}

impl PubSub {
    pub(super) fn new(driven: Driven, engine: &Arc<Engine>) -> Self {
        let (sink, stream) = driven.split();
        Self {
            sink: PubSubSink { driven: sink, engine: Arc::clone(engine) },
            events: Events { driven: Some(stream), engine: Arc::clone(engine) },
        }
    }

    /// Subscribes to a channel, or to several: see [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn subscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.subscribe(channels)
    }

    /// Subscribes to all channels that a pattern matches, or one of several: see [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn psubscribe(&mut self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.psubscribe(patterns)
    }

    /// Subscribes to sharded channels, which servers have since 7.0: see [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn ssubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.ssubscribe(channels)
    }

    /// Unsubscribes from these channels: see [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn unsubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.unsubscribe(channels)
    }

    /// Unsubscribes from these patterns: see [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn punsubscribe(&mut self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.punsubscribe(patterns)
    }

    /// Unsubscribes from these sharded channels: see [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn sunsubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.sunsubscribe(channels)
    }

    /// The next event within this time, if there is one: see [`Events::next_within`].
    ///
    /// # Errors
    /// As there.
    pub fn next_within(&mut self, limit: Duration) -> RedisResult<Option<Event>> {
        self.events.next_within(limit)
    }

    /// Both halves, for a program that subscribes on one thread and hears on another.
    pub fn split(self) -> (PubSubSink, Events) {
        (self.sink, self.events)
    }
}

impl PubSubSink {
    /// Subscribes to a channel, or to several, and waits until the master has confirmed it; for a master it waits as
    /// commands do ([`crate::Builder::wait_limit`]). What was confirmed is kept through every change of master.
    ///
    /// # Errors
    /// The server's answer where it refuses, `NOPERM` for one: then it is subscribed to none of these. Or that no
    /// master confirmed it in time, which is [`Outcome::NotExecuted`](crate::Outcome): then the subscription is not
    /// remembered.
    pub fn subscribe(&self, channels: impl ToRedisArgs) -> RedisResult<()> {
        let (driven, names) = (self.driven.clone(), channels.to_redis_args());
        self.engine.wait(async move { driven.subscribe(names).await })?
    }

    /// Subscribes to all channels that a pattern matches, or one of several: as [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn psubscribe(&self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        let (driven, names) = (self.driven.clone(), patterns.to_redis_args());
        self.engine.wait(async move { driven.psubscribe(names).await })?
    }

    /// Subscribes to sharded channels, which servers have since 7.0: as [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn ssubscribe(&self, channels: impl ToRedisArgs) -> RedisResult<()> {
        let (driven, names) = (self.driven.clone(), channels.to_redis_args());
        self.engine.wait(async move { driven.ssubscribe(names).await })?
    }

    /// Unsubscribes from these channels, or from all if none is named (`&[""; 0]`), and waits until the master has
    /// confirmed it; without a connection that is at once. What was heard before is still handed on.
    ///
    /// # Errors
    /// When the server refuses, or confirms nothing in time ([`Outcome::NotExecuted`](crate::Outcome)); it will not be
    /// subscribed to again all the same.
    pub fn unsubscribe(&self, channels: impl ToRedisArgs) -> RedisResult<()> {
        let (driven, names) = (self.driven.clone(), channels.to_redis_args());
        self.engine.wait(async move { driven.unsubscribe(names).await })?
    }

    /// Unsubscribes from these patterns: as [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn punsubscribe(&self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        let (driven, names) = (self.driven.clone(), patterns.to_redis_args());
        self.engine.wait(async move { driven.punsubscribe(names).await })?
    }

    /// Unsubscribes from these sharded channels: as [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn sunsubscribe(&self, channels: impl ToRedisArgs) -> RedisResult<()> {
        let (driven, names) = (self.driven.clone(), channels.to_redis_args());
        self.engine.wait(async move { driven.sunsubscribe(names).await })?
    }
}

impl Events {
    /// The next event, if one comes within this time.
    ///
    /// # Errors
    /// When none will come any more, because the client has ended, or on the client's own thread, where callbacks run:
    /// [`Outcome::NotExecuted`](crate::Outcome) both.
    pub fn next_within(&mut self, limit: Duration) -> RedisResult<Option<Event>> {
        engine::may_wait()?;
        if let Some(event) = self.driven.as_mut().and_then(DrivenStream::take) {
            return Ok(Some(event));
        }
        let handle = self.engine.handle()?;
        let mut driven = self.driven.take().ok_or_else(gone)?;
        let waited = engine::wait_on(&handle, async move {
            let next = timeout(limit, driven.next()).await;
            (driven, next)
        });
        let (driven, next) = waited.ok_or_else(gone)?;
        self.driven = Some(driven);
        match next {
            Ok(event) => event.map(Some).ok_or_else(gone),
            Err(_) => Ok(None),
        }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            match self.next_within(Duration::MAX) {
                Ok(None) => {}
                Ok(event) => return event,
                Err(_) => return None,
            }
        }
    }
}

impl Iterator for PubSub {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.events.next()
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("blocking::PubSub").finish_non_exhaustive()
    }
}

impl fmt::Debug for PubSubSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("blocking::PubSubSink").finish_non_exhaustive()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("blocking::Events").finish_non_exhaustive()
    }
}
