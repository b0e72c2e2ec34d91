//! What lasts on a connection, from WATCH or MULTI to the EXEC that ends it: everything in between goes over a
//! connection of its own, to the master. It opens no connection, and nothing that was lost begins again by itself.

use std::io;

use redis::{RedisResult, Value};
use redis_failover_core::NodeAddr;
use redis_failover_core::routing::Step;
use tokio::sync::{Mutex, MutexGuard};

use crate::outcome::{Outcome, failure, is_aborted, multi_was_refused, unknown};
use crate::own::Own;
use crate::routes::Routes;
use crate::work::{Reply, Verdict, Work};

/// A session. Clones of a connection that are made while it lasts share it, as redis-rs's `transaction_async` needs.
#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
}

/// How a session stands. Whoever holds it is the only one who sends, and the only one who decides.
#[derive(Debug)]
pub(crate) struct State {
    node: NodeAddr,
    /// The connection; away while something is in flight on it. So whatever comes to no good end there closes it.
    own: Option<Own>,
    lasts: Lasting,
}

/// What lasts, or did when the connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lasting {
    watching: bool,
    queueing: bool,
}

/// What Redis said to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It did it. EXEC also ends what it aborts.
    Done,
    Refused,
    /// That there is nothing to execute or to discard.
    WithoutMulti,
    Unknown,
}

impl Session {
    pub(crate) fn new(own: Own) -> Self {
        let node = own.node.clone();
        Self { state: Mutex::new(State { node, own: Some(own), lasts: Lasting::default() }) }
    }

    /// Waits for whoever shares it.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().await
    }

    /// Whether nothing lasts on it any more. One in which something is in flight lasts.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.try_lock().is_ok_and(|state| state.has_ended())
    }
}

impl State {
    pub(crate) fn is_open(&self) -> bool {
        self.own.is_some()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.own.is_none() && self.lasts == Lasting::default()
    }

    /// Sends this on the session's connection, if that is still one to the master; `None` if it is none of the
    /// session's business any more. Dropping the future loses the session and closes its connection.
    pub(crate) async fn carry_out(&mut self, work: Work<'_>, routes: &Routes) -> Option<RedisResult<Reply>> {
        match self.own.take() {
            Some(own) if own.serves(routes) => Some(self.send(own, work).await),
            ended => self.lost(ended.is_some(), work),
        }
    }

    async fn send(&mut self, mut own: Own, work: Work<'_>) -> RedisResult<Reply> {
        let (steps, before) = (work.steps(), self.lasts);
        // This holds if no reply comes, or nobody waits for it any more.
        self.lasts = steps.iter().fold(before, |lasts, (_, step)| match step {
            Step::Watch | Step::Multi => lasts,
            Step::Exec | Step::Discard | Step::Unwatch => lasts.after(*step, Said::Done),
        });
        let reply = own.send(work).await;
        match work.judge(reply) {
            Verdict::Done(reply) => {
                let after = |lasts: Lasting, (place, step): &(usize, Step)| {
                    lasts.after(*step, Said::of(work, *place, &reply))
                };
                self.lasts = steps.iter().fold(before, after);
                self.own = Some(own).filter(|_| self.lasts != Lasting::default());
                reply
            }
            Verdict::Refused(refusal) => {
                let what = format!("{} refused it, and the session on it is lost: {refusal}", self.node);
                Err(failure(Outcome::NotExecuted, io::ErrorKind::ConnectionAborted, what))
            }
            Verdict::Broken(error) => Err(unknown(&self.node, &error)),
        }
    }

    /// The session's connection ended before this was sent. That is news to whoever shares it, or was told to one of
    /// them, by an error or by the end of a call that he gave up.
    fn lost(&mut self, is_news: bool, work: Work<'_>) -> Option<RedisResult<Reply>> {
        let lasted = self.lasts;
        let steps: Vec<_> = work.steps().into_iter().map(|(_, step)| step).collect();
        let ends = |step: &Step| !lasted.queueing || matches!(step, Step::Exec | Step::Discard);
        if steps.iter().any(ends) {
            self.lasts = Lasting::default();
        }
        // What was watched may have changed since: nil is what EXEC says then.
        if lasted.watching && steps.contains(&Step::Exec) {
            return Some(Ok(match work {
                Work::Command(_) => Reply::One(Value::Nil),
                Work::Pipeline(_, _, keep) => Reply::Many(vec![Value::Nil; keep]),
            }));
        }
        // What should have been queued must not be executed alone, nor what should have been watched unwatched.
        let needs_it = lasted.queueing || lasted.watching && steps.contains(&Step::Multi);
        (is_news || needs_it).then(|| {
            let what = format!("the session on {} ended with its connection", self.node);
            Err(failure(Outcome::NotExecuted, io::ErrorKind::ConnectionAborted, what))
        })
    }
}

impl Lasting {
    fn after(self, step: Step, said: Said) -> Self {
        match (step, said) {
            (Step::Watch, Said::Done | Said::Unknown) => Self { watching: true, ..self },
            (Step::Multi, Said::Done | Said::Unknown) => Self { queueing: true, ..self },
            // Within MULTI it is queued like any command.
            (Step::Unwatch, Said::Done) if !self.queueing => Self { watching: false, ..self },
            (Step::Exec | Step::Discard, Said::Done) => Self::default(),
            (Step::Exec | Step::Discard, Said::WithoutMulti) => Self { queueing: false, ..self },
            // Nothing is taken for ended that may not be.
            _ => self,
        }
    }
}

impl Said {
    /// What the reply to this says to the step in that place.
    fn of(work: Work<'_>, place: usize, reply: &RedisResult<Reply>) -> Self {
        let value = match (work, reply) {
            (_, Err(error)) if multi_was_refused(error) => return Self::WithoutMulti,
            (_, Err(error)) if is_aborted(error) => return Self::Done,
            (_, Err(_)) => None,
            (Work::Pipeline(_, skip, _), Ok(Reply::Many(values))) => {
                place.checked_sub(skip).and_then(|place| values.get(place))
            }
            (_, Ok(Reply::One(value))) => Some(value),
            (Work::Command(_), Ok(Reply::Many(values))) => values.first(),
        };
        match value {
            None => Self::Unknown,
            Some(Value::ServerError(error)) if error.code() == "EXECABORT" => Self::Done,
            Some(Value::ServerError(error))
                if error.details().is_some_and(|why| why.ends_with("without MULTI")) =>
            {
                Self::WithoutMulti
            }
            Some(Value::ServerError(_)) => Self::Refused,
            Some(_) => Self::Done,
        }
    }
}
