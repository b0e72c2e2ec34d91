//! The cases' store in this process.

use std::time::Duration;

use redis_failover_store::model::Stat;
use redis_failover_store::{Embedded, EmbeddedGroup, EmbeddedSession};

use super::subject::Subject;
use super::world::path;

pub(crate) struct OnEmbedded(Embedded);

impl Subject for OnEmbedded {
    type Session = EmbeddedSession;
    type Group = EmbeddedGroup;

    async fn start() -> Self {
        Self(Embedded::new())
    }

    fn open(&self, _: Duration) -> EmbeddedSession {
        self.0.session()
    }

    async fn close(&self, session: &EmbeddedSession) {
        session.close();
    }

    fn group(&self, session: &EmbeddedSession, group: &str) -> EmbeddedGroup {
        session.group(&path(group))
    }

    fn cut(&mut self, session: &EmbeddedSession) {
        self.0.meddle(|model| model.disconnect(session.id()));
    }

    async fn expire(&mut self, session: &EmbeddedSession) {
        self.0.meddle(|model| model.expire(session.id()));
    }

    fn mend(&mut self, session: &EmbeddedSession) {
        self.0.meddle(|model| model.reconnect(session.id()));
    }

    async fn put(&self, znode: &str, data: &str) {
        self.0.meddle(|model| model.put(znode, data.as_bytes()));
    }

    async fn delete(&self, znode: &str) {
        self.0.meddle(|model| model.delete(znode));
    }

    async fn get(&self, znode: &str) -> Option<(String, Stat)> {
        let text = |(data, stat): (&[u8], Stat)| (String::from_utf8(data.to_owned()).unwrap(), stat);
        self.0.meddle(|model| model.get(znode).map(text))
    }

    async fn children(&self, znode: &str) -> Vec<String> {
        self.0.meddle(|model| model.children(znode))
    }

    fn transaction(&self) -> i64 {
        self.0.meddle(|model| model.transaction())
    }
}
