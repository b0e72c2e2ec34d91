//! A connection as redis-rs knows it. It finds a link for each command, and decides what may be sent again.

mod apart;
mod persist;
mod reads;
mod scan;
mod seen;
mod timed;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};
use redis_failover_core::routing::{Route, Step};
use tokio::sync::watch;
use tokio::time::timeout_at;
use tracing::Instrument;

use crate::client::Shared;
use crate::closing::{Entered, Gate, closed};
use crate::metrics::count;
use crate::own_writes::OwnWrites;
use crate::patience::Deadline;
use crate::routes::Routes;
use crate::session::Session;
use crate::spans;
use crate::work::{Recent, Reply, Work};
use reads::Seat;

/// A connection to the group: writes go to the master, reads where [`crate::ReadFrom`] says.
///
/// It implements redis-rs's [`ConnectionLike`], so everything of redis-rs that takes a connection takes it. It shares
/// one TCP connection to each node with all other connections of its client; make one for each task, or clone it.
///
/// ```no_run
/// use redis_failover::redis::{self, AsyncCommands, RedisResult};
///
/// # #[cfg(feature = "tokio")]
/// # async fn example(client: redis_failover::Client) -> RedisResult<()> {
/// let mut connection = client.connection();
/// let _: () = connection.hset("user:1", "name", "Ada").await?;
/// let (logins,): (i64,) = redis::pipe().atomic().incr("logins", 1).query_async(&mut connection).await?;
/// # Ok(())
/// # }
/// ```
///
/// # What goes where
///
/// A command goes to a replica only if Redis itself flags it `readonly`; everything else, and what is not known, goes
/// to the master. A pipeline goes whole to one node. SCAN and its like read on where their cursor was given, and fail
/// when that node can't be asked any more: begin again with 0. Blocking commands (`BLPOP`, `XREAD BLOCK`, a pipeline
/// with `WAIT`) get a TCP connection of their own, without the response timeout.
///
/// WATCH and MULTI begin a session: everything up to EXEC, DISCARD or UNWATCH goes over a TCP connection of its own. A
/// clone that is made meanwhile shares the session, as `redis::aio::transaction_async` needs; any other clone does not.
/// If the master changes in between, EXEC yields nil, as if a watched key had changed. Any other command but UNWATCH
/// fails once then, as not executed; later ones go on as without a session. MULTI by itself is refused until EXEC has
/// yielded nil, or WATCH or UNWATCH is sent. What was queued is refused up to EXEC or DISCARD. UNWATCH alone asks no
/// server where nothing is watched (any more).
///
/// What would change the shared connection for others is refused, with [`crate::Outcome::NotExecuted`] and a hint:
/// SELECT, AUTH, HELLO, SUBSCRIBE and its like, MONITOR, CLIENT REPLY, TRACKING and SETNAME, and WAIT alone.
///
/// # Limits
///
/// Each blocking command in flight has a TCP connection of its own; nothing limits their number but Redis. A session
/// and a blocking command have no response timeout: they end with their connection, or when another master is
/// published.
/// Commands that wait for a master have no order among each other. Scripts (EVAL, FCALL) and commands of modules are
/// never sent again once a node has answered, since their errors do not tell whether they did something before. An
/// atomic pipeline needs the rights to MULTI and EXEC: without that to MULTI Redis executes its commands one by one,
/// and redis-rs 1.8.1 panics as it reads the refusal in builds that check for overflows, with which the connection ends
/// and what is in flight on it is unknown. `EVALSHA_RO` goes to the master, where SCRIPT LOAD goes, too.
///
/// # Cancellation
///
/// Dropping the future of a command does not take the command back: it may be executed. Dropping that of a blocking
/// command closes its connection, so it takes nothing from a list any more; what was taken in that very moment is lost
/// with it. Dropping the future of a command in a session ends the session.
pub struct Connection {
    shared: Arc<Shared>,
    /// Where calls are counted; away while one is.
    gate: Option<Arc<Gate>>,
    routes: watch::Receiver<Arc<Routes>>,
    master: Option<Seat>,
    readers: Vec<Seat>,
    session: Option<Arc<Session>>,
    recent: Recent,
    /// Whether a write may be executed twice.
    retry_unknown: bool,
    /// What was written, where reads must find it.
    own_writes: Option<Arc<OwnWrites>>,
    /// How long a call may take.
    limit: Option<Duration>,
    /// Whether something of the present call was sent, and may have been executed.
    in_doubt: bool,
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        let session = self.session.clone().filter(|session| !session.has_ended());
        let own_writes = self.own_writes.clone();
        let (retry_unknown, limit) = (self.retry_unknown, self.limit);
        Self { session, retry_unknown, own_writes, limit, ..Self::new(Arc::clone(&self.shared)) }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let master = self.master.as_ref().map(|seat| &seat.link.node);
        f.debug_struct("Connection").field("master", &master).finish_non_exhaustive()
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let _writing = self.note_on_drop(Work::Command(command));
            let entered = match self.enter() {
                // As everywhere without a session: see `on_own_terms`.
                Err(_) if self.has_nothing_to_unwatch(command) => return Ok(Value::Okay),
                entered => self.counted(entered)?,
            };
            let reply = self.command(command).await;
            self.gate = entered.end();
            reply
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let work = Work::Pipeline(pipeline, offset, count);
            let _writing = self.note_on_drop(work);
            let entered = self.enter();
            let entered = self.counted(entered)?;
            let reply = self.accompany(work).await;
            self.gate = entered.end();
            reply.map(Reply::into_many)
        })
    }

    fn get_db(&self) -> i64 {
        self.shared.inner.settings.db
    }
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let mut routes = shared.inner.routes.subscribe();
        routes.mark_changed();
        let (settings, questions) = (&shared.inner.settings, &shared.inner.questions);
        let retry_unknown = settings.retry_unknown;
        let own_writes = settings.read_your_writes.then(|| OwnWrites::new(questions, None));
        Self {
            shared,
            gate: None,
            routes,
            master: None,
            readers: Vec::new(),
            session: None,
            recent: Recent::default(),
            retry_unknown,
            own_writes,
            limit: None,
            in_doubt: false,
        }
    }

    /// Whether what is sent on this connection may be executed twice: see [`crate::Builder::retry_unknown`], which says
    /// it for all connections of a client. For single calls take a clone.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn example(connection: redis_failover::Connection) -> redis_failover::redis::RedisResult<()> {
    /// use redis_failover::redis::AsyncCommands;
    ///
    /// let mut repeating = connection.clone().retry_unknown(true);
    /// let _: () = repeating.hset("user:1", "name", "Ada").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn retry_unknown(mut self, retry: bool) -> Self {
        self.retry_unknown = retry;
        self
    }

    /// Whether something lasts on it that began with WATCH or MULTI.
    pub(crate) fn is_in_session(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.has_ended())
    }

    /// Begins a call, if calls may still begin.
    fn enter(&mut self) -> RedisResult<Entered> {
        Entered::new(self.gate.take().unwrap_or_else(|| Arc::clone(&self.shared.inner.gate)))
    }

    fn has_nothing_to_unwatch(&mut self, command: &Cmd) -> bool {
        !self.is_in_session() && self.recent.route(command) == Route::Session(Step::Unwatch)
    }

    async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        let Some((read, seat)) = self.straight(command) else {
            return Box::pin(self.accompany(Work::Command(command))).await.map(Reply::into_one);
        };
        count(&seat.link.counters.commands);
        let reply = seat.connection.send_packed_command(command).await;
        if matches!(&reply, Ok(value) if !matches!(value, Value::ServerError(_))) {
            return reply;
        }
        let first = (Arc::clone(&seat.link), Work::Command(command).judge(reply.map(Reply::One)));
        let persisted = Box::pin(self.persist(Work::Command(command), read, Some(first))).await;
        self.counted(persisted).map(|(_, reply)| reply.into_one())
    }

    /// Where nearly all commands go: whether it only reads, and the link that can take it now. All that is not so
    /// simple is boxed, to keep the future of what is as small as redis-rs's own.
    fn straight(&mut self, command: &Cmd) -> Option<(bool, &mut Seat)> {
        if self.session.is_some() || self.limit.is_some() || spans::are_seen() {
            return None;
        }
        let read = match self.recent.route(command) {
            Route::Read => true,
            Route::Master => false,
            _ => return None,
        };
        self.seat(read).map(|seat| (read, seat))
    }

    async fn carry_out(&mut self, work: Work<'_>) -> RedisResult<Reply> {
        if let Some(reply) = self.within_session(work).await {
            return reply;
        }
        match work.route(&mut self.recent) {
            Route::Read => self.persist(work, true, None).await.map(|(_, reply)| reply),
            Route::Master => self.persist(work, false, None).await.map(|(_, reply)| reply),
            other => self.on_own_terms(work, other).await,
        }
    }

    /// The link for the next command, if there is one now.
    fn seat(&mut self, read: bool) -> Option<&mut Seat> {
        self.look_at_routes();
        if read && !self.readers.is_empty() {
            let needed = self.needed();
            let turn = self.shared.inner.turn.fetch_add(1, Ordering::Relaxed);
            let count = self.readers.len();
            let mut next = (0..count).map(|step| turn.wrapping_add(step) % count);
            let found = next.find(|index| self.readers[*index].serves(needed));
            if needed > 0 && found != Some(turn % count) {
                self.want_proof(needed);
            }
            if let Some(found) = found {
                return self.readers.get_mut(found);
            }
        }
        self.master.as_mut().filter(|seat| seat.link.is_usable())
    }

    fn look_at_routes(&mut self) {
        if self.routes.has_changed().unwrap_or(false) {
            self.take_seats();
        }
    }

    fn take_seats(&mut self) {
        let routes = Arc::clone(&self.routes.borrow_and_update());
        self.master = routes.master.as_ref().map(|link| Seat::take(link, true));
        let leads = |link| routes.master.as_ref().is_some_and(|master| Arc::ptr_eq(master, link));
        self.readers = routes.readers.iter().map(|link| Seat::take(link, leads(link))).collect();
    }

    /// Whether there is a link now. It takes no turn.
    fn is_served(&self, read: bool) -> bool {
        let readers = if read { self.readers.as_slice() } else { &[] };
        let needed = self.needed();
        readers.iter().chain(&self.master).any(|seat| seat.serves(needed))
    }

    /// Waits for a link until `deadline`, in the queue.
    async fn wait_for_seat(&mut self, work: Work<'_>, read: bool, deadline: Deadline) -> RedisResult<()> {
        self.look_at_routes();
        if self.is_served(read) {
            return Ok(());
        }
        self.shared.start();
        let shared = Arc::clone(&self.shared);
        if shared.has_ended() {
            return Err(shared.not_in_time(deadline.limit));
        }
        let _place = shared.inner.enter_queue(work.size())?;
        let waiting = spans::wait();
        loop {
            let more_is_proved = pin!(shared.inner.questions.more_is_proved());
            let mut more_is_proved = more_is_proved;
            more_is_proved.as_mut().enable();
            if self.is_served(read) {
                return Ok(());
            }
            let changed = async {
                tokio::select! {
                    _ = self.routes.changed() => {}
                    () = more_is_proved => {}
                }
            };
            if timeout_at(deadline.at, changed.instrument(waiting.clone())).await.is_err() {
                return Err(shared.not_in_time(deadline.limit));
            }
            if shared.inner.gate.closed.is_cancelled() {
                return Err(closed());
            }
            self.take_seats();
        }
    }

    /// When what waits for a node gives up.
    fn patience(&self) -> Deadline {
        Deadline::after(self.shared.inner.settings.wait_limit)
    }
}
