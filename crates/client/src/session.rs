//! What lasts on a connection, from WATCH or MULTI to the EXEC that ends it: everything in between goes over a
//! connection of its own, to the master.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use redis::{RedisError, RedisResult, Value};
use redis_failover_core::routing::Step;
use tokio::sync::Mutex;

use crate::outcome::{Outcome, failure, unknown};
use crate::own::Own;
use crate::routes::Routes;
use crate::work::{Reply, Verdict, Work};

/// A session. Clones of a connection that are made while it lasts share it, as redis-rs's `transaction_async` needs.
#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
    phase: AtomicU8,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Something lasts on it.
    Open,
    /// EXEC, DISCARD or UNWATCH ended it.
    Ended,
    /// Its connection ended first, or a command on it was dropped half-way. Whoever shares it must be told.
    Lost,
}

#[derive(Debug)]
struct State {
    own: Own,
    watching: bool,
    queueing: bool,
}

impl Session {
    pub(crate) fn new(own: Own) -> Self {
        let state = Mutex::new(State { own, watching: false, queueing: false });
        Self { state, phase: AtomicU8::new(Phase::Open as u8) }
    }

    pub(crate) fn phase(&self) -> Phase {
        let phase = self.phase.load(Ordering::Acquire);
        [Phase::Open, Phase::Ended].into_iter().find(|it| *it as u8 == phase).unwrap_or(Phase::Lost)
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Sends this on the session's connection, if that is still one to the master. Dropping the future loses the
    /// session and closes its connection.
    pub(crate) async fn carry_out(
        &self,
        work: Work<'_>,
        steps: &[Step],
        routes: &Routes,
    ) -> RedisResult<Reply> {
        let mut state = self.state.lock().await;
        if self.phase() != Phase::Open || !state.own.serves(routes) {
            self.set(Phase::Lost);
            return state.lost(work, steps);
        }
        self.set(Phase::Lost);
        // What blocks must not live on in the server without anybody who hears its reply.
        let dropped = state.own.end_on_drop();
        let reply = state.own.send(work).await;
        dropped.detach();
        match work.judge(reply) {
            Verdict::Done(reply) => {
                state.take(steps, &reply);
                self.set(if state.watching || state.queueing { Phase::Open } else { Phase::Ended });
                reply
            }
            Verdict::Refused(refusal) => {
                let what = format!("{} refused it, and the session on it is lost: {refusal}", state.own.node);
                Err(failure(Outcome::NotExecuted, io::ErrorKind::ConnectionAborted, what))
            }
            Verdict::Broken(error) => Err(unknown(&state.own.node, &error)),
        }
    }
}

impl State {
    /// What lasts after these steps. Where a reply is an error, nothing is taken for ended that may not be.
    fn take(&mut self, steps: &[Step], reply: &RedisResult<Reply>) {
        let aborted = |error: &RedisError| error.code() == Some("EXECABORT");
        let failed = match reply {
            Err(error) => !aborted(error),
            Ok(Reply::One(value)) => {
                matches!(value, Value::ServerError(error) if error.code() != "EXECABORT")
            }
            Ok(Reply::Many(values)) => values
                .iter()
                .any(|value| matches!(value, Value::ServerError(error) if error.code() != "EXECABORT")),
        };
        for step in steps {
            match step {
                Step::Watch => self.watching = true,
                Step::Multi => self.queueing = true,
                // Within MULTI it is queued like any command.
                Step::Unwatch if self.queueing => {}
                Step::Unwatch if !failed => self.watching = false,
                Step::Exec | Step::Discard if !failed => (self.watching, self.queueing) = (false, false),
                Step::Unwatch | Step::Exec | Step::Discard => {}
            }
        }
    }

    /// The session's connection ended before this was sent.
    fn lost(&self, work: Work<'_>, steps: &[Step]) -> RedisResult<Reply> {
        // What was watched may have changed since: nil is what EXEC says then.
        if self.watching && steps.contains(&Step::Exec) {
            return Ok(match work {
                Work::Command(_) => Reply::One(Value::Nil),
                Work::Pipeline(_, _, keep) => Reply::Many(vec![Value::Nil; keep]),
            });
        }
        let what = format!("the session on {} ended with its connection", self.own.node);
        Err(failure(Outcome::NotExecuted, io::ErrorKind::ConnectionAborted, what))
    }
}
