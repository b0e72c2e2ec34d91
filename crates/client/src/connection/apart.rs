//! What needs a connection of its own: sessions, and commands that block. And what is refused instead.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, RedisResult, Value};
use redis_failover_core::routing::{Refusal, Route, Step};
use tokio::time::sleep;

use super::{Connection, scan};
use crate::cursor::Cursor;
use crate::metrics::count;
use crate::outcome::{Outcome, failure, unknown};
use crate::own::Own;
use crate::patience::{Deadline, LONGEST_REST, Rests, growing};
use crate::session::Session;
use crate::work::{Reply, Verdict, Work};

impl Connection {
    pub(super) async fn on_own_terms(&mut self, work: Work<'_>, route: Route) -> RedisResult<Reply> {
        match (route, work) {
            (Route::Refused(refusal), _) => Err(refused(refusal)),
            (Route::Cursor(at), Work::Command(command)) => self.read_on(command, at).await,
            (Route::Blocking, _) => self.block(work).await,
            // Nothing is watched on the shared connection. The master is not asked for that: `redis::transaction` sends
            // it when all is done, and passes on what becomes of it as what became of the transaction.
            (Route::Session(Step::Unwatch), Work::Command(_)) => Ok(Reply::One(Value::Okay)),
            (Route::Session(_), _) => {
                let begins = |(_, step): &(usize, Step)| matches!(step, Step::Watch | Step::Multi);
                if work.steps().iter().any(begins) {
                    let own = self.own(work, self.patience()).await?;
                    self.session = Some(Arc::new(Session::new(own)));
                    return Box::pin(self.carry_out(work)).await;
                }
                // There is nothing to end, and the server says so. What is in a pipeline with it may block.
                match work {
                    Work::Command(_) => self.persist(work, false, None).await.map(|(_, reply)| reply),
                    Work::Pipeline(..) => self.block(work).await,
                }
            }
            (Route::Read | Route::Master | Route::Cursor(_), _) => {
                self.persist(work, false, None).await.map(|(_, reply)| reply)
            }
        }
    }

    /// Sends it on this connection's session; `None` if there is none (any more) that it belongs to.
    pub(super) async fn within_session(&mut self, work: Work<'_>) -> Option<RedisResult<Reply>> {
        let session = self.session.clone()?;
        let mut state = session.lock().await;
        let anew = state.begins_anew(work);
        if (anew || state.is_open())
            && let Some(error) = self.misplaced(work)
        {
            return Some(Err(error));
        }
        if anew {
            match self.own(work, self.patience()).await {
                Ok(own) => state.begin_anew(own),
                Err(error) => return Some(Err(error)),
            }
        }
        let routes = Arc::clone(&self.routes.borrow());
        let before = self.sending();
        let reply = state.carry_out(work, &routes).await;
        if reply.is_none() {
            self.not_sent(before);
        }
        if state.has_ended() {
            self.session = None;
        }
        reply
    }

    /// Why it can't be sent in a session.
    fn misplaced(&mut self, work: Work<'_>) -> Option<RedisError> {
        match (work.route(&mut self.recent), work) {
            (Route::Refused(refusal), _) if refusal != Refusal::AsksAboutEarlierWrites => {
                Some(refused(refusal))
            }
            (Route::Cursor(at), Work::Command(command))
                if Cursor::of(command, at).is_some_and(|it| it.link != 0) =>
            {
                Some(scan::lost("another node gave this cursor than the session's"))
            }
            _ => None,
        }
    }

    /// Sends it on a connection of its own, for as long as it takes.
    async fn block(&mut self, work: Work<'_>) -> RedisResult<Reply> {
        let (deadline, mut rests) = (self.patience(), Rests::default());
        loop {
            let mut own = self.own(work, deadline).await?;
            let before = self.sending();
            let reply = own.send(work).await;
            match work.judge(reply) {
                Verdict::Done(reply) => return reply,
                Verdict::Broken(error) => return Err(unknown(&own.node, &error)),
                Verdict::Refused(error) => {
                    self.not_sent(before);
                    deadline.check(&format!("{} answered: {error}", own.node))?;
                    sleep(rests.after(&own.node)).await;
                    count(&self.shared.inner.counters.repeats);
                }
            }
        }
    }

    /// A connection of its own to the master, for this.
    async fn own(&mut self, work: Work<'_>, deadline: Deadline) -> RedisResult<Own> {
        let mut rests = growing(Duration::from_millis(2), Duration::from_millis(500));
        loop {
            self.wait_for_seat(work, false, deadline).await?;
            let routes = Arc::clone(&self.routes.borrow());
            let Some(link) = &routes.master else { continue };
            match Own::open(&routes, link, &self.shared.inner.settings).await {
                Ok(own) => return Ok(own),
                Err(error) => deadline.check(&format!("{}: {error}", link.node))?,
            }
            // Who rests waits, too: where only new connections fail, nothing else would keep their number down.
            let shared = Arc::clone(&self.shared);
            let _place = shared.inner.enter_queue(work.size())?;
            tokio::select! {
                () = sleep(rests.next().unwrap_or(LONGEST_REST)) => {}
                Ok(()) = self.routes.changed() => self.take_seats(),
            }
        }
    }
}

fn refused(refusal: Refusal) -> RedisError {
    failure(Outcome::NotExecuted, io::ErrorKind::Unsupported, refusal.to_string())
}
