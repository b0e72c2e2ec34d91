//! The record's feed, and the exact bytes that it was read from.
//!
//! Document and state are read in one request, so a torn pair is never seen. It never writes.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use redis_failover_core::Versioned;
use tokio::sync::{Mutex, Notify, watch};
use zookeeper_client::{Error, MultiReadResult, Stat};

use super::bell::{self, Bell};
use super::session::{Session, Shared};
use crate::Sight;
use crate::feed::Feed;
use crate::raw::{Raw, Writing};
use crate::znodes::Znodes;

/// What a znode held, and which writing of it.
pub(super) type Content = Option<(Vec<u8>, Stat)>;

/// The record of one group as it was last seen.
pub(super) struct Record {
    sights: watch::Sender<Sight>,
    /// Held over each read and each commit, so that neither undoes what the other learned. `None` while
    /// nothing was read that a commit may replace.
    pub(super) known: Mutex<Option<Raw>>,
    again: Notify,
}

/// Somebody who needs the record to be followed. When none is left, and no feed, it is followed no longer.
#[derive(Clone)]
pub(super) struct Followed {
    record: Arc<Record>,
    _needed: watch::Receiver<Sight>,
}

impl Deref for Followed {
    type Target = Arc<Record>;

    fn deref(&self) -> &Arc<Record> {
        &self.record
    }
}

impl Record {
    /// Starts to follow.
    pub(super) fn follow(shared: &Arc<Shared>, znodes: &Znodes) -> Followed {
        let record = Arc::new(Self {
            sights: watch::Sender::new(Sight::default()),
            known: Mutex::default(),
            again: Notify::new(),
        });
        let needed = record.sights.subscribe();
        let (task, session_of, znodes) = (Arc::clone(&record), Arc::clone(shared), znodes.clone());
        drop(shared.spawn(async move {
            tokio::select! {
                () = task.sights.closed() => {}
                () = task.run(&session_of, &znodes) => {}
            }
        }));
        Followed { record, _needed: needed }
    }

    pub(super) fn feed(&self) -> Feed<Sight> {
        self.sights.subscribe().into()
    }

    pub(super) fn reread(&self) {
        self.again.notify_one();
    }

    async fn run(&self, shared: &Shared, znodes: &Znodes) {
        let follow = |session: Session| async move {
            let watch_and_read = || self.watch_and_read(&session, znodes);
            bell::follow(&znodes.document, "the record", watch_and_read).await;
        };
        shared.in_each_session(follow).await;
    }

    async fn watch_and_read(&self, session: &Session, znodes: &Znodes) -> Result<Infallible, Error> {
        let (mut document, mut state) = (Bell::default(), Bell::default());
        // A server that this session did not ask before may lag behind what another one confirmed to us.
        let mut lagging = true;
        loop {
            if std::mem::take(&mut lagging) {
                session.limited(session.client.sync(&znodes.document)).await?;
            }
            document.hang(session, &znodes.document).await?;
            state.hang(session, &znodes.state).await?;
            self.read(session, znodes).await?;
            tokio::select! {
                () = document.rung() => {}
                () = state.rung() => {}
                () = self.again.notified() => lagging = true,
            }
        }
    }

    async fn read(&self, session: &Session, znodes: &Znodes) -> Result<(), Error> {
        let mut known = self.known.lock().await;
        let (document, state) = read_both(session, znodes).await?;
        let raw = raw(document, state);
        let read = raw
            .found(&znodes.document)
            .map(|found| Versioned { version: raw.version, found })
            .map_err(Arc::new);
        *known = read.is_ok().then_some(raw);
        self.sights.send_replace(Sight { read: Some(read), at: Some(Instant::now()) });
        Ok(())
    }
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

pub(super) fn content(result: MultiReadResult) -> Result<Content, Error> {
    match result {
        MultiReadResult::Data { data, stat } => Ok(Some((data, stat))),
        MultiReadResult::Error { err: Error::NoNode } => Ok(None),
        MultiReadResult::Error { err } => Err(err),
        _ => Err(Error::UnexpectedError("an answer to another question".to_owned())),
    }
}

/// The same without the client library's words.
pub(super) fn raw(document: Content, state: Content) -> Raw {
    let writing =
        |(bytes, stat): (Vec<u8>, Stat)| Writing { bytes, order: stat.mzxid, version: stat.version };
    Raw::new(document.map(writing), state.map(writing))
}
