//! What lasts on a connection, from WATCH or MULTI to the EXEC that ends it: everything in between goes over a
//! connection of its own, to the master. It opens no connection, nothing that was lost begins again by itself, and
//! nothing is executed as if a watch that was lost still held.

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
    /// A watch was lost, and no EXEC has said so by its nil yet. What is watched since changes nothing about that.
    spoiled: bool,
}

/// What Redis said to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Done,
    Refused,
    /// Of EXEC: that nothing of what was queued is executed, because of an error in it.
    Aborted,
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

    /// Whether this watches something anew after what was watched is lost, and so needs another connection first.
    pub(crate) fn begins_anew(&self, work: Work<'_>) -> bool {
        let (lasts, steps) = (self.lasts.after_loss(), work.steps());
        let watches = steps.iter().any(|(_, step)| *step == Step::Watch);
        self.own.is_none() && lasts.spoiled && !lasts.queueing && watches && !lasts.is_missed_by(&steps)
    }

    /// Goes on with this connection. What was lost stays lost.
    pub(crate) fn begin_anew(&mut self, own: Own) {
        self.node = own.node.clone();
        self.own = Some(own);
        self.lasts = self.lasts.after_loss();
    }

    /// Sends this on the session's connection, if that is still one to the master; `None` if it is none of the
    /// session's business any more. Dropping the future loses the session and closes its connection.
    pub(crate) async fn carry_out(&mut self, work: Work<'_>, routes: &Routes) -> Option<RedisResult<Reply>> {
        match self.own.take() {
            Some(_) if self.lasts.is_missed_by(&work.steps()) => Some(self.answer(work)),
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
                self.own = Some(own).filter(|_| self.lasts.watching || self.lasts.queueing);
                reply
            }
            Verdict::Refused(refusal) => {
                if before.watching && steps.iter().any(|(_, step)| *step == Step::Exec) {
                    self.lasts = Lasting::SPOILED;
                }
                let what = format!("{} refused it, and the session on it is lost: {refusal}", self.node);
                Err(failure(Outcome::NotExecuted, io::ErrorKind::ConnectionAborted, what))
            }
            Verdict::Broken(error) => Err(unknown(&self.node, &error)),
        }
    }

    /// The session's connection ended before this was sent. That is news to whoever shares it, or was told to one of
    /// them, by an error or by the end of a call that he gave up.
    fn lost(&mut self, is_news: bool, work: Work<'_>) -> Option<RedisResult<Reply>> {
        self.lasts = self.lasts.after_loss();
        let steps = work.steps();
        let unwatches = steps.iter().any(|(_, step)| *step == Step::Unwatch);
        // It has come true with the loss, whether that is news or not.
        let has_come_true = unwatches && matches!(work, Work::Command(_)) && !self.lasts.queueing;
        // What should have been queued must not be executed alone.
        let is_told = is_news || self.lasts.queueing || self.lasts.is_missed_by(&steps);
        if is_told && !has_come_true {
            return Some(self.answer(work));
        }
        if unwatches {
            self.lasts = Lasting::default();
        }
        None
    }

    /// What is answered to this without sending it. No error but that of DISCARD makes a lost watch be forgotten: it
    /// says that this may be sent again, which must not be executed unwatched then.
    fn answer(&mut self, work: Work<'_>) -> RedisResult<Reply> {
        if self.lasts.spoiled
            && let Some(nil) = work.nil_of_exec()
        {
            self.lasts = Lasting::default();
            return Ok(nil);
        }
        self.lasts = work.steps().iter().fold(self.lasts, |lasts, (_, step)| match step {
            Step::Exec => Lasting { queueing: false, ..lasts },
            Step::Discard => lasts.after(*step, Said::Done),
            // In a pipeline UNWATCH is no word on its own: it may stand behind MULTI.
            Step::Watch | Step::Multi | Step::Unwatch => lasts,
        });
        let hint = self.lasts.way_out();
        let what = format!("the session on {} ended with its connection{hint}", self.node);
        Err(failure(Outcome::NotExecuted, io::ErrorKind::ConnectionAborted, what))
    }
}

impl Lasting {
    const SPOILED: Self = Self { watching: false, queueing: false, spoiled: true };

    fn after(self, step: Step, said: Said) -> Self {
        match (step, said) {
            (Step::Watch, Said::Done | Said::Unknown) => Self { watching: true, ..self },
            (Step::Multi, Said::Done | Said::Unknown) => Self { queueing: true, ..self },
            // Within MULTI it is queued like any command.
            (Step::Unwatch, Said::Done) if !self.queueing => Self::default(),
            // Sent again, it must not be executed unwatched.
            (Step::Exec, Said::Refused) if self.watching => Self::SPOILED,
            // With it Redis gives up the watch, too: as on a connection of one's own, who goes on begins with WATCH.
            (Step::Exec, Said::Done | Said::Aborted) => Self::default(),
            (Step::Discard, Said::Done) if self.queueing => Self::default(),
            (Step::Exec | Step::Discard, Said::WithoutMulti) => Self { queueing: false, ..self },
            // Nothing is taken for ended that may not be.
            _ => self,
        }
    }

    /// What an error says of how this ends, when the connection has ended.
    fn way_out(self) -> &'static str {
        match self {
            Self { queueing: true, .. } => "; EXEC or DISCARD ends what was queued",
            Self { spoiled: true, .. } => "; UNWATCH, or the nil of EXEC, is the end of its WATCH",
            _ => "",
        }
    }

    /// What lasts when the connection has ended.
    fn after_loss(self) -> Self {
        Self { watching: false, spoiled: self.watching || self.spoiled, ..self }
    }

    /// Whether one of these steps needs a watch that was lost.
    fn is_missed_by(self, steps: &[(usize, Step)]) -> bool {
        let mut lasts = self;
        steps.iter().any(|(_, step)| {
            let needs_it = *step == Step::Exec || *step == Step::Multi && !lasts.watching;
            let misses = lasts.spoiled && needs_it;
            lasts = lasts.after(*step, Said::Done);
            misses
        })
    }
}

impl Said {
    /// What the reply to this says to the step in that place.
    fn of(work: Work<'_>, place: usize, reply: &RedisResult<Reply>) -> Self {
        let value = match (work, reply) {
            (_, Err(error)) if multi_was_refused(error) => return Self::WithoutMulti,
            (_, Err(error)) if is_aborted(error) => return Self::Aborted,
            (_, Err(_)) => None,
            (Work::Pipeline(_, skip, _), Ok(Reply::Many(values))) => {
                place.checked_sub(skip).and_then(|place| values.get(place))
            }
            (_, Ok(Reply::One(value))) => Some(value),
            (Work::Command(_), Ok(Reply::Many(values))) => values.first(),
        };
        match value {
            None => Self::Unknown,
            Some(Value::ServerError(error)) if error.code() == "EXECABORT" => Self::Aborted,
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
