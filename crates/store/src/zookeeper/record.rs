//! The record's feed, and the exact bytes that it was read from.
//!
//! Document and state are read in one request, so a torn pair is never seen. It never writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_failover_core::{Version, Versioned};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::sleep;
use zookeeper_client::{Error, MultiReadResult, OneshotWatcher, Stat};

use super::session::{Session, Shared};
use super::znodes::Znodes;
use crate::feed::Feed;
use crate::{Sight, wire};

/// The rest after something failed.
const REST: Duration = Duration::from_millis(100);

/// What a znode held, and which writing of it.
pub(super) type Content = Option<(Vec<u8>, Stat)>;

/// The bytes of both documents, as they were read or written last.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) version: Version,
    pub(super) document: Vec<u8>,
    pub(super) state: Option<Vec<u8>>,
}

/// The record of one group as it was last seen.
pub(super) struct Record {
    sights: watch::Sender<Sight>,
    /// Held over each read and each commit, so that neither undoes what the other learned. `None` while
    /// nothing was read that a commit may replace.
    pub(super) known: Mutex<Option<Raw>>,
    again: Notify,
}

impl Record {
    /// Starts to follow.
    pub(super) fn follow(shared: &Arc<Shared>, znodes: &Znodes) -> Arc<Self> {
        let record = Arc::new(Self {
            sights: watch::Sender::new(Sight::default()),
            known: Mutex::default(),
            again: Notify::new(),
        });
        let (task, session_of, znodes) = (Arc::clone(&record), Arc::clone(shared), znodes.clone());
        drop(shared.spawn(async move { task.run(&session_of, &znodes).await }));
        record
    }

    pub(super) fn feed(&self) -> Feed<Sight> {
        self.sights.subscribe().into()
    }

    pub(super) fn reread(&self) {
        self.again.notify_one();
    }

    async fn run(&self, shared: &Shared, znodes: &Znodes) {
        shared.in_each_session(|session| self.follow_in(session, znodes)).await;
    }

    /// Follows in one session. It never returns; the session's end drops it.
    async fn follow_in(&self, session: Session, znodes: &Znodes) {
        let mut failures = 0_u32;
        loop {
            let Err(error) = self.watch_and_read(&session, znodes).await;
            failures += 1;
            if failures % 100 == 3 {
                tracing::warn!(path = znodes.document, %error, "cannot read the record; trying on");
            }
            sleep(REST).await;
        }
    }

    async fn watch_and_read(
        &self,
        session: &Session,
        znodes: &Znodes,
    ) -> Result<std::convert::Infallible, Error> {
        let (mut document, mut state) = (None, None);
        // A server that this session did not ask before may lag behind what another one confirmed to us.
        let mut lagging = true;
        loop {
            if std::mem::take(&mut lagging) {
                session.limited(session.client.sync(&znodes.document)).await?;
            }
            // Armed before the read: whatever comes after the read rings.
            arm(session, &znodes.document, &mut document).await?;
            arm(session, &znodes.state, &mut state).await?;
            self.read(session, znodes).await?;
            tokio::select! {
                () = rung(&mut document) => {}
                () = rung(&mut state) => {}
                () = self.again.notified() => lagging = true,
            }
        }
    }

    async fn read(&self, session: &Session, znodes: &Znodes) -> Result<(), Error> {
        let mut known = self.known.lock().await;
        let (document, state) = read_both(session, znodes).await?;
        let (raw, found) = understand(znodes, document, state);
        let read = found.map(|found| Versioned { version: raw.version, found }).map_err(Arc::new);
        *known = read.is_ok().then_some(raw);
        self.sights.send_replace(Sight { read: Some(read), at: Some(Instant::now()) });
        Ok(())
    }
}

type Bell = Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>;

async fn arm(session: &Session, znode: &str, bell: &mut Bell) -> Result<(), Error> {
    if bell.is_none() {
        // This watch also rings for a znode that is only created later.
        let (_, watcher) = session.limited(session.client.check_and_watch_stat(znode)).await?;
        *bell = Some(Box::pin(ring(watcher)));
    }
    Ok(())
}

async fn ring(watcher: OneshotWatcher) {
    watcher.changed().await;
}

/// Waits for the bell and takes it down.
async fn rung(bell: &mut Bell) {
    match bell {
        Some(ringing) => ringing.await,
        None => std::future::pending().await,
    }
    *bell = None;
}

/// Document and state, from one moment.
pub(super) async fn read_both(session: &Session, znodes: &Znodes) -> Result<(Content, Content), Error> {
    let mut reader = session.client.new_multi_reader();
    reader.add_get_data(&znodes.document)?;
    reader.add_get_data(&znodes.state)?;
    let mut results = session.limited(reader.commit()).await?.into_iter().map(content);
    let mut next =
        || results.next().unwrap_or(Err(Error::UnexpectedError("an answer is missing".to_owned())));
    Ok((next()?, next()?))
}

fn content(result: MultiReadResult) -> Result<Content, Error> {
    match result {
        MultiReadResult::Data { data, stat } => Ok(Some((data, stat))),
        MultiReadResult::Error { err: Error::NoNode } => Ok(None),
        MultiReadResult::Error { err } => Err(err),
        _ => Err(Error::UnexpectedError("an answer to another question".to_owned())),
    }
}

/// What both mean, and what a commit must know of them.
pub(super) fn understand(
    znodes: &Znodes,
    document: Content,
    state: Content,
) -> (Raw, Result<redis_failover_core::Found, wire::Unreadable>) {
    let order = |content: &Content| content.as_ref().map_or(0, |(_, stat)| stat.mzxid);
    let version = Version {
        order: order(&document).max(order(&state)),
        // No znode has this version: a commit that expects it is refused before it is sent.
        document: document.as_ref().map_or(-1, |(_, stat)| stat.version),
        state: state.as_ref().map(|(_, stat)| stat.version),
    };
    let document = document.map(|(bytes, _)| bytes);
    let state = state.map(|(bytes, _)| bytes);
    let found = wire::read(&znodes.document, document.as_deref(), state.as_deref());
    (Raw { version, document: document.unwrap_or_default(), state }, found)
}
