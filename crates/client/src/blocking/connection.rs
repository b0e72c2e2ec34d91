//! A blocking connection as redis-rs knows it: each call is handed to the asynchronous one.

use std::fmt;
use std::io;
use std::time::Duration;

use redis::aio::ConnectionLike as _;
use redis::{Cmd, ConnectionLike, Pipeline, RedisError, RedisResult, Value};

use super::{Client, engine, packed};
use crate::connection::Connection as Driven;
use crate::outcome::{Outcome, failure};
use crate::work::Reply;

/// A connection to the group for programs without a runtime: writes go to the master, reads where [`crate::ReadFrom`]
/// says.
///
/// It implements redis-rs's [`ConnectionLike`], so everything of redis-rs that takes a connection takes it: commands,
/// pipelines, scripts, iterators, `redis::transaction`. It shares one TCP connection to each node with all other
/// connections of its client; make one for each thread.
///
/// ```no_run
/// use redis_failover::redis::{self, Commands, RedisResult};
///
/// # fn example(client: redis_failover::blocking::Client) -> RedisResult<()> {
/// let mut connection = client.connection();
/// let _: () = connection.hset("user:1", "name", "Ada")?;
/// let (logins,): (i64,) = redis::pipe().atomic().incr("logins", 1).query(&mut connection)?;
/// # Ok(())
/// # }
/// ```
///
/// # What goes where
///
/// A command goes to a replica only if Redis itself flags it `readonly`; everything else, and what is not known, goes
/// to the master. A pipeline goes whole to one node. SCAN and its like read on where their cursor was given. Blocking
/// commands (`BLPOP`, `XREAD BLOCK`, a pipeline with `WAIT`) get a TCP connection of their own, without the response
/// timeout: they end with their reply, with their connection, or when another master is published.
///
/// WATCH and MULTI begin a session: everything up to EXEC, DISCARD or UNWATCH goes over a TCP connection of its own. If
/// the master changes in between, EXEC yields nil, as if a watched key had changed, and `redis::transaction` tries
/// again. Any other command but UNWATCH fails once then, as not executed; later ones go on as without a session. Where
/// the closure of `redis::transaction` fails, redis-rs leaves WATCH behind: send UNWATCH.
///
/// What would change the shared connection for others is refused, with [`Outcome::NotExecuted`](crate::Outcome) and a
/// hint: SELECT, AUTH, HELLO, SUBSCRIBE and its like, MONITOR, CLIENT REPLY, TRACKING and SETNAME, and WAIT alone.
///
/// # Open and broken
///
/// It follows the master by itself, and whatever breaks is made anew, so it never needs to be replaced:
/// [`ConnectionLike::is_open`] says yes until a panic took it. [`ConnectionLike::check_connection`] asks the
/// master whether it answers, be it with an error of its own, and says no while there is none.
pub struct Connection {
    /// Away only while a call is on its way, or for ever where that panicked: whatever lasted on it is gone, and what
    /// comes next must not be sent as if nothing had been.
    driven: Option<Driven>,
    client: Client,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Connection").field(&self.driven).finish()
    }
}

/// What is to be sent, owned by the task that sends it.
enum Call {
    Command(Cmd),
    Pipeline(Pipeline, usize, usize),
}

impl Connection {
    pub(super) fn new(client: Client) -> Self {
        Self { driven: Some(client.driven.connection()), client }
    }

    /// Whether what is sent on this connection may be executed twice: see [`crate::Builder::retry_unknown`], which says
    /// it for all connections of a client. For single calls make a connection.
    #[must_use]
    pub fn retry_unknown(mut self, retry: bool) -> Self {
        self.driven = self.driven.map(|driven| driven.retry_unknown(retry));
        self
    }

    /// Whether reads on this connection find what was written on it before: see [`crate::Builder::read_your_writes`],
    /// which says it for all connections of a client.
    #[must_use]
    pub fn read_your_writes(mut self, read_own: bool) -> Self {
        self.driven = self.driven.map(|driven| driven.read_your_writes(read_own));
        self
    }

    /// How long a call on this connection may take as a whole: waiting for a node, all attempts, the reply; default no
    /// limit but the client's own ones. For single calls make a connection.
    ///
    /// A call that is not over by then fails: with [`Outcome::NotExecuted`](crate::Outcome) if nothing was sent that
    /// may have been executed, else with [`Outcome::Unknown`](crate::Outcome), reads too, for which that is harmless.
    /// It also ends what has no other limit: a blocking command's connection is closed, so that it takes nothing from
    /// a list any more, and a session (WATCH, MULTI) ends with its connection. What was sent on the shared connection
    /// may still be executed.
    #[must_use]
    pub fn deadline(mut self, limit: Option<Duration>) -> Self {
        self.driven = self.driven.map(|driven| driven.deadline(limit));
        self
    }

    fn call(&mut self, call: Call) -> RedisResult<Reply> {
        // Before it is taken: who may not wait keeps what lasts on it.
        engine::may_wait()?;
        let handle = self.client.engine.handle()?;
        let mut driven = self.driven.take().ok_or_else(lost)?;
        let done = engine::wait_on(&handle, async move {
            let reply = match &call {
                Call::Command(command) => driven.req_packed_command(command).await.map(Reply::One),
                Call::Pipeline(pipeline, skip, keep) => {
                    driven.req_packed_commands(pipeline, *skip, *keep).await.map(Reply::Many)
                }
            };
            (driven, reply)
        });
        let (driven, reply) = done.ok_or_else(engine::ended)?;
        self.driven = Some(driven);
        reply
    }

    /// Whether something lasts on it that began with WATCH or MULTI.
    #[cfg(feature = "r2d2")]
    pub(super) fn is_in_session(&self) -> bool {
        self.driven.as_ref().is_some_and(Driven::is_in_session)
    }
}

impl ConnectionLike for Connection {
    fn req_command(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.call(Call::Command(command.clone())).map(Reply::into_one)
    }

    fn req_packed_command(&mut self, packed: &[u8]) -> RedisResult<Value> {
        self.call(Call::Command(packed::command(packed)?)).map(Reply::into_one)
    }

    fn req_packed_commands(&mut self, packed: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let pipeline = packed::pipeline(packed, offset)?;
        self.call(Call::Pipeline(pipeline, offset, count)).map(Reply::into_many)
    }

    fn get_db(&self) -> i64 {
        self.client.driven.settings().db
    }

    fn check_connection(&mut self) -> bool {
        let limit = self.client.driven.settings().connect_timeout;
        // Asked on another one: on this, PING would be queued behind MULTI, or wait for a master.
        let pinged = || redis::cmd("PING").exec(&mut self.client.connection());
        // An error of its own is an answer, too: that it can't save, or that this user may not ask.
        let answers = || pinged().map_or_else(|error| error.code().is_some(), |()| true);
        self.is_open() && self.client.ready(limit).is_ok() && answers()
    }

    fn is_open(&self) -> bool {
        self.driven.is_some()
    }
}

/// Of a call on a connection that was lost in an earlier one.
fn lost() -> RedisError {
    let what = "an earlier command on this connection panicked: make another connection";
    failure(Outcome::NotExecuted, io::ErrorKind::NotConnected, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_in_a_panic_is_not_made_anew_behind_the_callers_back() {
        let client = Client::fixed("localhost:1", [""; 0]).expect("an address");
        let mut connection = client.connection();
        assert!(connection.is_open());
        connection.driven = None;
        let error = connection.req_command(&redis::cmd("EXEC")).expect_err("what it watched is gone");
        assert_eq!(crate::outcome(&error), Outcome::NotExecuted);
        assert!(!connection.is_open() && !connection.check_connection());
    }
}
