//! Pub/sub: what is published on the master, whoever that is. Nothing is remembered here that the server does not know,
//! and no message is ever handed on twice.

mod frames;
mod listener;
mod subscriber;
mod words;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::Stream;
use redis::{Msg, RedisError, RedisResult, ToRedisArgs};
use redis_failover_core::NodeAddr;
use redis_failover_core::subscriptions::Kind;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::client::Shared;
use crate::outcome::{Outcome, failure};
use subscriber::{Request, Subscriber};
use words::Wish;

/// What a subscriber is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Something was published.
    Message(Msg),
    /// Subscriptions had been lost, with their connection or their master, and are made again: what was published
    /// meanwhile is missing here. What follows comes from this master. Whoever must know what was missed looks for
    /// it now, in the data; all that is published from now on will be heard.
    Missed {
        /// The master that is listened to from now on.
        master: NodeAddr,
    },
    /// A subscription could not be made again: the server refused it, as after a change of the user's rights. It is
    /// still wanted and asked for again, after longer and longer pauses, up to 10 s. The other subscriptions go on.
    Refused {
        /// The channel or the pattern. What is no UTF-8 in it is shown as `\u{fffd}`.
        name: String,
        /// The server's answer.
        error: RedisError,
    },
}

/// A subscriber: what is published on the master is heard here, whichever node that is.
///
/// It has a TCP connection of its own, from the first subscription on. When that breaks, or another master is
/// published, all subscriptions are made again on the present master at once, and [`Event::Missed`] comes before what
/// is heard there. While there is no master the old one is listened to for as long as its connection lives.
///
/// ```no_run
/// # #[cfg(feature = "tokio")]
/// # async fn example(client: redis_failover::Client) -> redis_failover::redis::RedisResult<()> {
/// use redis_failover::Event;
///
/// let mut news = client.pubsub();
/// news.subscribe("prices").await?;
/// news.psubscribe(&["orders.*", "returns.*"]).await?;
/// while let Some(event) = news.next().await {
///     match event {
///         Event::Message(message) => println!("{}: {:?}", message.get_channel_name(), message.get_payload_bytes()),
///         Event::Missed { master } => println!("reading everything anew from {master}"),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # What may be missing
///
/// Redis delivers at most once, and so does this: a message is heard once or not at all. Whatever is published while no
/// connection to the master is subscribed is not heard, and [`Event::Missed`] says so: exactly once for each time that
/// subscriptions were lost, and never otherwise. Two things no marker can tell: what is published on a node that is no
/// master is not heard on the master; and a master that hangs, or is cut off, and is no more than silent, is noticed
/// when another one is published, or when it has answered no PING for as long as a reply may take
/// ([`crate::Builder::response_timeout`]; 10 s where there is no limit).
///
/// # A reader that is too slow
///
/// Up to 1000 events wait for the reader ([`crate::Builder::pubsub_buffer`]). Then no more is read from the connection,
/// so that the server keeps what it publishes, and closes the connection when that is more than its
/// `client-output-buffer-limit` for `pubsub` allows: then some is missing, and [`Event::Missed`] comes. While a
/// subscription is being made more is read all the same.
///
/// A [`Stream`] of [`Event`]s that ends with the client. Dropping it closes the connection.
pub struct PubSub {
    sink: PubSubSink,
    stream: PubSubStream,
}

/// The half of a [`PubSub`] that subscribes and unsubscribes. Cheap to clone. It does nothing any more when the other
/// half is dropped.
#[derive(Clone)]
pub struct PubSubSink {
    start: Arc<Start>,
    requests: mpsc::UnboundedSender<Request>,
}

/// The half of a [`PubSub`] that hears: a [`Stream`] of [`Event`]s that ends with the client.
///
/// It goes on when the other half is dropped. Dropping it closes the connection.
pub struct PubSubStream {
    start: Arc<Start>,
    events: mpsc::Receiver<Event>,
}

/// Starts the task when it is first needed, and keeps the client.
struct Start {
    shared: Arc<Shared>,
    subscriber: Mutex<Option<Subscriber>>,
}

impl Start {
    fn start(&self) {
        let subscriber = self.subscriber.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(subscriber) = subscriber {
            self.shared.start();
            tokio::spawn(subscriber.run());
        }
    }
}

impl PubSub {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (asking, requests) = mpsc::unbounded_channel();
        let (hearing, events) = mpsc::channel(shared.inner.settings.pubsub_buffer);
        let subscriber = Subscriber::new(Arc::clone(&shared.inner), requests, hearing);
        let start = Arc::new(Start { shared, subscriber: Mutex::new(Some(subscriber)) });
        let stream = PubSubStream { start: Arc::clone(&start), events };
        Self { sink: PubSubSink { start, requests: asking }, stream }
    }

    /// Subscribes to a channel, or to several: see [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn subscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.subscribe(channels).await
    }

    /// Subscribes to all channels that a pattern matches, or one of several: see [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn psubscribe(&mut self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.psubscribe(patterns).await
    }

    /// Subscribes to sharded channels, which servers have since 7.0: see [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn ssubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.ssubscribe(channels).await
    }

    /// Unsubscribes from these channels: see [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn unsubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.unsubscribe(channels).await
    }

    /// Unsubscribes from these patterns: see [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn punsubscribe(&mut self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.punsubscribe(patterns).await
    }

    /// Unsubscribes from these sharded channels: see [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn sunsubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.sink.sunsubscribe(channels).await
    }

    /// The next event; `None` when the client has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.stream.next().await
    }

    /// Both halves, for a program that subscribes in one task and hears in another.
    pub fn split(self) -> (PubSubSink, PubSubStream) {
        (self.sink, self.stream)
    }
}

impl PubSubSink {
    /// Subscribes to a channel, or to several, and waits until the master has confirmed it; for a master it waits as
    /// commands do ([`crate::Builder::wait_limit`]). What was confirmed is kept through every change of master.
    ///
    /// Dropping the future takes the subscription back, unless it is confirmed in that very moment.
    ///
    /// # Errors
    /// The server's answer where it refuses, `NOPERM` for one: then it is subscribed to none of these. Or that no
    /// master confirmed it in time, which is [`Outcome::NotExecuted`]: then the subscription is not remembered.
    pub async fn subscribe(&self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.request(Wish::Subscribe, Kind::Channel, channels).await
    }

    /// Subscribes to all channels that a pattern matches, or one of several: as [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn psubscribe(&self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        self.request(Wish::Subscribe, Kind::Pattern, patterns).await
    }

    /// Subscribes to sharded channels, which servers have since 7.0: as [`PubSubSink::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn ssubscribe(&self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.request(Wish::Subscribe, Kind::Shard, channels).await
    }

    /// Unsubscribes from these channels, or from all if none is named (`&[""; 0]`), and waits until the master has
    /// confirmed it; without a connection that is at once. What was heard before is still handed on.
    ///
    /// # Errors
    /// When the server refuses, or confirms nothing in time ([`Outcome::NotExecuted`]); it will not be subscribed to
    /// again all the same.
    pub async fn unsubscribe(&self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.request(Wish::Unsubscribe, Kind::Channel, channels).await
    }

    /// Unsubscribes from these patterns: as [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn punsubscribe(&self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        self.request(Wish::Unsubscribe, Kind::Pattern, patterns).await
    }

    /// Unsubscribes from these sharded channels: as [`PubSubSink::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn sunsubscribe(&self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.request(Wish::Unsubscribe, Kind::Shard, channels).await
    }

    async fn request(&self, wish: Wish, kind: Kind, names: impl ToRedisArgs) -> RedisResult<()> {
        let names = names.to_redis_args();
        if wish == Wish::Subscribe && names.is_empty() {
            return Ok(());
        }
        self.start.start();
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { wish, kind, names, answer }).map_err(|_| gone())?;
        let limit = self.start.shared.inner.settings.wait_limit;
        match timeout(limit, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(self.unconfirmed()),
        }
    }

    fn unconfirmed(&self) -> RedisError {
        let shared = &self.start.shared;
        let limit = shared.inner.settings.wait_limit;
        let Some(master) = shared.inner.routes.borrow().master.as_ref().map(|link| link.node.clone()) else {
            return shared.not_in_time(limit);
        };
        let what = format!("{master} did not confirm it within {limit:?}");
        failure(Outcome::NotExecuted, io::ErrorKind::TimedOut, what)
    }
}

/// Of who asks when nothing will be heard any more.
pub(crate) fn gone() -> RedisError {
    let what = "nobody hears what is subscribed to: its stream was dropped, or its client has ended";
    failure(Outcome::NotExecuted, io::ErrorKind::NotConnected, what)
}

impl PubSubStream {
    /// The next event; `None` when the client has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.start.start();
        self.events.recv().await
    }

    /// What was heard already.
    #[cfg(feature = "blocking")]
    pub(crate) fn take(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}

impl Stream for PubSubStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.start.start();
        self.events.poll_recv(context)
    }
}

impl Stream for PubSub {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.stream).poll_next(context)
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").finish_non_exhaustive()
    }
}

impl fmt::Debug for PubSubSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubSink").finish_non_exhaustive()
    }
}

impl fmt::Debug for PubSubStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubStream").finish_non_exhaustive()
    }
}
