//! SCAN and its like: each page is asked of the link that gave the cursor.

use std::io;
use std::sync::Arc;

use redis::{Cmd, RedisError, RedisResult};
use tokio::time::timeout_at;
use tracing::Instrument;

use super::Connection;
use crate::cursor::{self, Cursor};
use crate::link::Link;
use crate::metrics::count;
use crate::outcome::{Outcome, failure};
use crate::spans;
use crate::work::{Reply, Verdict, Work};

impl Connection {
    /// A page of SCAN and its like.
    pub(super) async fn read_on(&mut self, command: &Cmd, at: usize) -> RedisResult<Reply> {
        let (number, reply) = match Cursor::of(command, at) {
            // No number: the server has the words for it.
            None => return self.persist(Work::Command(command), false, None).await.map(|(_, reply)| reply),
            Some(Cursor { link: 0, place: 0 }) => self.persist(Work::Command(command), true, None).await?,
            Some(Cursor { link: 0, .. }) => return Err(lost("this cursor was not given by this client")),
            Some(cursor) => {
                let plain = cursor.untagged(command, at);
                (cursor.link, self.next_page(Work::Command(&plain), cursor.link).await?)
            }
        };
        match reply {
            Reply::One(page) => match cursor::tagged(page, number) {
                Ok(page) => Ok(Reply::One(page)),
                Err(_) => Err(lost("this server's cursors can't be followed through this client")),
            },
            many @ Reply::Many(_) => Ok(many),
        }
    }

    /// A page from the link of this number, which is waited for while it exists.
    async fn next_page(&mut self, work: Work<'_>, number: u16) -> RedisResult<Reply> {
        let (deadline, mut again) = (self.patience(), false);
        loop {
            self.look_at_routes();
            let before = self.sending();
            let Some(link) = self.link_numbered(number) else {
                return Err(lost("the node that gave this cursor can't be asked any more"));
            };
            if link.is_usable() {
                if std::mem::replace(&mut again, true) {
                    count(&self.shared.inner.counters.repeats);
                }
                count(&link.counters.commands);
                let mut connection = link.wire.connection.clone();
                let reply = work.send(&mut connection).instrument(spans::attempt(&link.node)).await;
                match work.judge(reply) {
                    Verdict::Done(reply) => return reply,
                    Verdict::Refused(_) => link.doubt(),
                    Verdict::Broken(error) if error.is_timeout() => link.doubt(),
                    Verdict::Broken(_) => {
                        return Err(lost("the connection to the node that gave this cursor ended"));
                    }
                }
            }
            self.not_sent(before);
            if timeout_at(deadline.at, self.routes.changed()).await.is_err() {
                return Err(lost("the node that gave this cursor does not answer"));
            }
            self.take_seats();
        }
    }

    /// Also of a node that others read from no more, because it lags or another is nearer.
    fn link_numbered(&self, number: u16) -> Option<Arc<Link>> {
        let routes = self.routes.borrow();
        let mut links = routes.replicas.iter().chain(&routes.master);
        links.find(|link| link.number == number && !link.wire.ended.is_cancelled()).cloned()
    }
}

pub(super) fn lost(why: &str) -> RedisError {
    let what = format!("{why}: begin again with the cursor 0");
    failure(Outcome::NotExecuted, io::ErrorKind::NotFound, what)
}
