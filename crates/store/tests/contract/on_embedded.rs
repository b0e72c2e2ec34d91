//! The cases' store in this process: gone with it, and kept in a file.

use std::time::Duration;

use redis_failover_store::model::Stat;
use redis_failover_store::{Embedded, EmbeddedGroup, EmbeddedSession};

use tempfile::TempDir;

use super::subject::Subject;
use super::world::path;

pub(crate) type OnEmbedded = InProcess<false>;

pub(crate) type OnStateFile = InProcess<true>;

pub(crate) struct InProcess<const KEPT: bool>(
    Embedded,
    #[expect(dead_code, reason = "held")] Option<TempDir>,
);

impl<const KEPT: bool> Subject for InProcess<KEPT> {
    type Session = EmbeddedSession;
    type Group = EmbeddedGroup;

    async fn start() -> Self {
        if KEPT {
            let directory = tempfile::tempdir().unwrap();
            Self(Embedded::open(&directory.path().join("state")).unwrap(), Some(directory))
        } else {
            Self(Embedded::new(), None)
        }
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
