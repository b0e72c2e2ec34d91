//! What is sent again, how often, and what may be assumed when it is given up.

use std::io;
use std::sync::Arc;

use redis::{RedisError, RedisResult, ServerError, Value};
use tokio::time::sleep;
use tracing::Instrument;

use super::Connection;
use crate::link::Link;
use crate::metrics::count;
use crate::outcome::{Outcome, failure, outcome, unknown};
use crate::patience::Rests;
use crate::spans;
use crate::work::{Reply, Verdict, Work};

/// How often what may be executed twice is sent again because its connection broke: what breaks each connection that it
/// comes on breaks them for all others as well.
const REPEATS: usize = 3;

impl Connection {
    /// Sends it until a node takes it, as long as it surely was not executed, or may be executed again: it only reads,
    /// or the caller said so. Yields the number of the link that took it as well.
    ///
    /// `last` is the outcome of a first attempt.
    pub(super) async fn persist(
        &mut self,
        work: Work<'_>,
        read: bool,
        last: Option<(Arc<Link>, Verdict)>,
    ) -> RedisResult<(u16, Reply)> {
        let mut broken = 0;
        let reply = self.attempt(work, read, last, &mut broken).await;
        if read || broken == 0 {
            return reply;
        }
        // Whatever became of the last attempt, an earlier one may have been executed.
        let error = match &reply {
            Err(error) => error.clone(),
            Ok((_, Reply::One(Value::ServerError(error)))) => error.clone().into(),
            Ok(_) => return reply,
        };
        match outcome(&error) {
            Outcome::NotExecuted => Err(after_unknown(&error)),
            Outcome::Unknown | Outcome::Executed => reply,
        }
    }

    async fn attempt(
        &mut self,
        work: Work<'_>,
        read: bool,
        mut last: Option<(Arc<Link>, Verdict)>,
        broken: &mut usize,
    ) -> RedisResult<(u16, Reply)> {
        let shared = Arc::clone(&self.shared);
        let (mut deadline, mut rests) = (self.patience(), Rests::default());
        loop {
            match last.take() {
                None => {}
                Some((link, Verdict::Done(reply))) => return reply.map(|reply| (link.number, reply)),
                Some((link, Verdict::Refused(error))) => {
                    deadline.check(&format!("{} answered: {error}", link.node))?;
                    // A master that was promoted a moment ago is about to be opened; others are looked at again.
                    if !is_about_to_open(&error) {
                        link.doubt();
                    }
                    // Who rests waits, too.
                    let _place = shared.inner.enter_queue(work.size())?;
                    sleep(rests.after(&link.node)).await;
                    count(&shared.inner.counters.repeats);
                }
                Some((link, Verdict::Broken(error))) => {
                    if error.is_timeout() {
                        link.doubt();
                    }
                    *broken += 1;
                    let again = read || self.retry_unknown;
                    if !again || *broken > REPEATS || *broken > 1 && deadline.is_over() {
                        return Err(unknown(&link.node, &error));
                    }
                    // To wait for a reply that never came is not to wait for a node. Where all nodes hang this ends in
                    // time still: only the first one takes nothing of it.
                    if *broken == 1 {
                        deadline = self.patience();
                    }
                    // The link's end is told in another task.
                    tokio::task::yield_now().await;
                    count(&shared.inner.counters.repeats);
                }
            }
            self.wait_for_seat(work, read, deadline).await?;
            let before = self.sending();
            let Some(seat) = self.seat(read) else {
                self.not_sent(before);
                continue;
            };
            count(&seat.link.counters.commands);
            let reply = work.send(&mut seat.connection).instrument(spans::attempt(&seat.link.node)).await;
            let (link, verdict) = (Arc::clone(&seat.link), work.judge(reply));
            if matches!(verdict, Verdict::Refused(_)) {
                self.not_sent(before);
            }
            last = Some((link, verdict));
        }
    }
}

fn is_about_to_open(refusal: &ServerError) -> bool {
    refusal.code() == "NOREPLICAS" || refusal.details().is_some_and(|why| why.contains("NOREPLICAS"))
}

/// Of what was sent again because no reply came, and was given up without one.
fn after_unknown(last: &RedisError) -> RedisError {
    let kind = if last.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
    failure(Outcome::Unknown, kind, format!("it was sent before without a reply, and then: {last}"))
}
