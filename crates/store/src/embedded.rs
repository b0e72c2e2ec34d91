//! The store in one process, without `ZooKeeper`: the [`Model`] behind a lock, and feeds that are told at once.
//!
//! No other process sees any of it. Everything is gone with the process, for tests and for trying the program out; or
//! the record and the history are kept in a file that the next one begins with, for a monitor that is alone. Without a
//! file it starts no thread and needs no particular runtime; it never waits while it holds its lock.

mod asked;
mod campaign;
mod state_file;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use redis_failover_core::{Answer, Instant as Moment, MonitorId, Report, Request, Requests};
use tokio::sync::watch;
use tokio::time::timeout;

use asked::Asked;

use crate::feed::Feed;
use crate::model::{Model, SessionId};
use crate::names::GroupPath;
use crate::{CommitError, Contact, Glance, Recorded, SeenReport, Sight, Store, StoreError};
pub use campaign::EmbeddedCampaign;
use campaign::Standing;
use state_file::StateFile;
pub use state_file::StateFileError;
use writer::Writer;

type Reports = Arc<BTreeMap<MonitorId, SeenReport>>;

/// A store of this process. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

impl Embedded {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::of(Model::default(), None)
    }

    /// The store that is kept in the file at `path`, which is made where it is missing. Beside it stands `path.lock`,
    /// and while it is written `path.new`.
    ///
    /// A commit is on the disk before it is answered; where it can't be written it is refused, and nobody is told
    /// anything else than what stands in the file. Reports, locks and requests end with the process. Terms and all
    /// other numbers are greater than in the lives before. The file is nobody else's until all handles are dropped.
    ///
    /// # Errors
    /// Where another process uses the file, or it is none that can be read, or it can't be written.
    pub fn open(path: &Path) -> Result<Self, StateFileError> {
        let (file, lock, kept) = StateFile::open(path)?;
        let model = Model::of(kept);
        // Before any number of this life is given away, so that the next life begins after it.
        file.begin(&model.kept())?;
        let name = file.name();
        let no_thread = |error| StateFileError::Refused { file: name, what: "given a thread", error };
        Ok(Self::of(model, Some(Writer::start(file, lock).map_err(no_thread)?)))
    }

    fn of(model: Model, writer: Option<Writer>) -> Self {
        let inner = Inner { model, readers: Vec::new(), standings: Vec::new() };
        Self { shared: Arc::new(Shared { origin: Instant::now(), inner: Mutex::new(inner), writer }) }
    }

    /// A new session: one user of the store, such as a monitor.
    pub fn session(&self) -> EmbeddedSession {
        let id = self.shared.change(|model, _| model.open());
        EmbeddedSession { owner: Arc::new(Owner { shared: Arc::clone(&self.shared), id }) }
    }

    /// Does something to the store behind the back of its sessions, which are told at once: what others would do to
    /// a `ZooKeeper`, or to the way there. `with` must not call the store itself, which is locked meanwhile. Where
    /// there is a file, what it changes stands there from the next commit on.
    pub fn meddle<T>(&self, with: impl FnOnce(&mut Model) -> T) -> T {
        self.shared.change(|model, _| with(model))
    }
}

/// One session with an [`Embedded`] store. Cheap to clone; when the last handle (groups and campaigns count) is
/// dropped, the session ends: its locks and reports vanish.
#[derive(Clone, Debug)]
pub struct EmbeddedSession {
    owner: Arc<Owner>,
}

impl EmbeddedSession {
    /// The group that is published at `path`.
    pub fn group(&self, path: &GroupPath) -> EmbeddedGroup {
        let reader = Arc::new(Reader {
            session: self.owner.id,
            group: path.clone(),
            sights: watch::Sender::default(),
            glances: watch::Sender::default(),
            reports: watch::Sender::default(),
            requests: watch::Sender::default(),
            news: watch::Sender::default(),
            predecessors: watch::Sender::default(),
        });
        let mut inner = self.owner.shared.lock();
        reader.look(&mut inner.model, false);
        inner.readers.push(Arc::clone(&reader));
        drop(inner);
        EmbeddedGroup { owner: Arc::clone(&self.owner), reader }
    }

    /// By which name [`Embedded::meddle`] finds it.
    pub fn id(&self) -> SessionId {
        self.owner.id
    }

    /// Ends the session at once; all its handles are of no use from then on.
    pub fn close(&self) {
        self.owner.close();
    }
}

/// One group of an [`EmbeddedSession`].
#[derive(Clone)]
pub struct EmbeddedGroup {
    owner: Arc<Owner>,
    reader: Arc<Reader>,
}

impl fmt::Debug for EmbeddedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedGroup").field("group", &self.reader.group).finish_non_exhaustive()
    }
}

impl Store for EmbeddedGroup {
    type Campaign = EmbeddedCampaign;

    fn record(&self) -> Feed<Sight> {
        self.reader.sights.subscribe().into()
    }

    fn reread(&self) {
        self.reader.look(&mut self.owner.shared.lock().model, true);
    }

    fn published(&self) -> Feed<Glance> {
        self.reader.glances.subscribe().into()
    }

    fn reports(&self) -> Feed<Reports> {
        self.reader.reports.subscribe().into()
    }

    fn publish(&self, report: Report) {
        let Reader { session, group, .. } = &*self.reader;
        self.owner.shared.change(|model, now| model.publish(*session, group, report, now));
    }

    fn requests(&self) -> Feed<Arc<Requests>> {
        self.reader.requests.subscribe().into()
    }

    async fn ask(&self, request: &Request) -> Result<Answer, StoreError> {
        let Reader { session, group, .. } = &*self.reader;
        // Hung before the request is left: its answer may come within that very call.
        let news = self.reader.news.subscribe();
        let id = self.owner.shared.change(|model, _| model.ask(*session, group, request));
        let asked = Asked { shared: &self.owner.shared, group, id: id.ok_or(StoreError::Closed)? };
        asked.answered(news).await
    }

    fn predecessors(&self) -> Feed<Option<Arc<Vec<String>>>> {
        self.reader.predecessors.subscribe().into()
    }

    fn withdraw(&self) {
        let Reader { session, group, .. } = &*self.reader;
        self.owner.shared.change(|model, _| model.withdraw(*session, group));
    }

    async fn remaining(&self, me: &MonitorId, limit: Duration) -> Result<BTreeSet<MonitorId>, StoreError> {
        let mut news = self.reader.news.subscribe();
        let gone = async {
            loop {
                let standing = self.owner.shared.lock().model.remaining(&self.reader.group);
                if !standing.contains(me) {
                    return Ok(standing);
                }
                if news.changed().await.is_err() {
                    return Err(StoreError::Closed);
                }
            }
        };
        timeout(limit, gone).await.unwrap_or(Err(StoreError::NoAnswer(limit)))
    }

    async fn history(&self, _: Duration) -> Result<Vec<Recorded>, StoreError> {
        Ok(self.owner.shared.lock().model.history(&self.reader.group))
    }

    fn campaign(&self, me: &MonitorId, contact: Option<&Contact>) -> EmbeddedCampaign {
        let Reader { session, group, .. } = &*self.reader;
        let id = self.owner.shared.change(|model, _| model.campaign(*session, group, me, contact));
        EmbeddedCampaign::new(&self.owner, group, id)
    }
}

/// Ends the session when nobody needs it any more. Nothing that the store itself keeps holds it.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    id: SessionId,
}

impl Owner {
    fn close(&self) {
        self.shared.change(|model, _| model.close(self.id));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

struct Shared {
    /// From when the model's moments count.
    origin: Instant,
    inner: Mutex<Inner>,
    /// Where it is kept in a file.
    writer: Option<Writer>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

struct Inner {
    model: Model,
    readers: Vec<Arc<Reader>>,
    standings: Vec<Weak<Standing>>,
}

impl Shared {
    /// Changes the model, has every session do its part, and tells everybody what came of it.
    fn change<T>(&self, with: impl FnOnce(&mut Model, Moment) -> T) -> T {
        let now = Moment::from_millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut inner = self.lock();
        let Inner { model, readers, standings } = &mut *inner;
        let outcome = with(model, now);
        model.settle(now);
        // The lead first: whoever reads a record that another leader wrote knows that it leads no longer.
        standings.retain(|standing| standing.strong_count() > 0);
        standings.iter().filter_map(Weak::upgrade).for_each(|standing| standing.look(model));
        readers.retain(Reader::is_needed);
        for reader in readers {
            reader.look(model, false);
        }
        outcome
    }

    /// The same for what must be found again after a restart.
    async fn commit<T: Send + 'static>(
        self: &Arc<Self>,
        with: impl Fn(&mut Model) -> Result<T, CommitError> + Send + 'static,
    ) -> Result<T, CommitError> {
        match &self.writer {
            Some(writer) => writer.commit(self, with).await,
            None => self.change(|model, _| with(model)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one group handle, and every feed that it gave away, is told.
struct Reader {
    session: SessionId,
    group: GroupPath,
    sights: watch::Sender<Sight>,
    glances: watch::Sender<Glance>,
    reports: watch::Sender<Reports>,
    requests: watch::Sender<Arc<Requests>>,
    predecessors: watch::Sender<Option<Arc<Vec<String>>>>,
    /// Rings at every look, for those who wait for an answer.
    news: watch::Sender<()>,
}

impl Reader {
    /// Whether there is anybody to be told. Feeds outlive the handle that they came from.
    fn is_needed(self: &Arc<Self>) -> bool {
        let feeds = [
            self.sights.receiver_count(),
            self.glances.receiver_count(),
            self.reports.receiver_count(),
            self.requests.receiver_count(),
            self.predecessors.receiver_count(),
        ];
        Arc::strong_count(self) > 1 || feeds.iter().any(|count| *count > 0)
    }

    /// Tells what differs from what was told before, the record also `again`.
    fn look(&self, model: &mut Model, again: bool) {
        self.news.send_replace(());
        let Some(read) = model.look(self.session, &self.group) else { return };
        let read = Some(read.map_err(Arc::new));
        self.sights.send_if_modified(|sight| {
            let differs = again || sight.read != read;
            if differs {
                *sight = Sight { read, at: Some(Instant::now()) };
            }
            differs
        });
        let glance = model.publication(&self.group);
        self.glances.send_if_modified(|told| std::mem::replace(told, glance.clone()) != glance);
        let reports = model.reports(&self.group);
        self.reports.send_if_modified(|told| {
            let reports = seen(reports, told);
            let differs = **told != reports;
            if differs {
                *told = Arc::new(reports);
            }
            differs
        });
        let requests = Arc::new(model.requests(&self.group));
        self.requests.send_if_modified(|told| std::mem::replace(told, requests.clone()) != requests);
        let predecessors = Some(Arc::new(model.predecessors()));
        self.predecessors
            .send_if_modified(|told| std::mem::replace(told, predecessors.clone()) != predecessors);
    }
}

/// The reports, and when each writing was first seen.
fn seen(
    reports: BTreeMap<MonitorId, (Report, i64)>,
    told: &BTreeMap<MonitorId, SeenReport>,
) -> BTreeMap<MonitorId, SeenReport> {
    let seen = |(id, (report, order)): (MonitorId, (Report, i64))| {
        let before = told.get(&id).filter(|it| it.order == order).map(|it| it.seen_at);
        (id, SeenReport { report, order, seen_at: before.unwrap_or_else(Instant::now) })
    };
    reports.into_iter().map(seen).collect()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use redis_failover_core::{Found, Leadership, Versioned, Vote};

    use super::*;
    use crate::Campaign;

    /// What the future has come to when it is asked once. There is no runtime here.
    fn now<T>(future: impl Future<Output = T> + Send) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn path() -> GroupPath {
        "/g".parse().unwrap()
    }

    fn report() -> Report {
        let votes = [("h1:1".parse().unwrap(), (Vote::Up, std::time::Duration::ZERO))];
        let (address, remembers, lead, waits) = Default::default();
        Report {
            monitor: "m1".parse().unwrap(),
            address,
            remembers,
            votes: votes.into(),
            lead,
            waits,
            attends: [].into(),
            lags: [].into(),
            version: None,
            sentinel: None,
            clock: None,
        }
    }

    #[test]
    fn everybody_is_told_within_the_call_that_changes_something_and_no_runtime_is_needed() {
        let store = Embedded::new();
        let group = store.session().group(&path());
        let (mut record, mut published) = (group.record(), group.published());
        let first = now(record.next()).and_then(|sight| sight.read);
        assert!(matches!(first, Some(Ok(Versioned { found: Found::Nothing, .. }))), "{first:?}");
        assert_eq!(now(published.next()).and_then(|glance| glance.read), Some(Ok(None)));
        assert!(now(record.next()).is_none() && now(published.next()).is_none());

        store.meddle(|model| model.put("/g", br#"{"master":["h1:1","OK"],"slaves":{}}"#));
        assert!(now(record.next()).is_some() && now(published.next()).is_some());
        let campaign = group.campaign(&"m1".parse().unwrap(), None);
        let Some(Leadership::Leading(term)) = now(campaign.leadership().next()) else {
            panic!("nobody else")
        };
        assert!(campaign.holds(term));
        assert_eq!(now(campaign.resign()), Some(()));
        assert!(!campaign.holds(term));
    }

    #[test]
    fn a_session_ends_with_its_last_handle_and_feeds_are_none() {
        let store = Embedded::new();
        let watcher = store.session().group(&path());
        let count =
            || (watcher.reports().latest().len(), store.meddle(|model| model.children("/g/leader").len()));
        let session = store.session();
        let group = session.group(&path());
        group.publish(report());
        let campaign = group.campaign(&"m1".parse().unwrap(), None);
        let feed = group.record();
        drop(session);
        drop(group);
        assert_eq!(count(), (1, 1), "the campaign keeps it");
        drop(campaign);
        assert_eq!(count(), (0, 0));
        assert!(feed.latest().read.is_some(), "the last value stays");
    }

    #[test]
    fn a_feed_outlives_the_handle_it_came_from_and_what_nobody_hears_is_forgotten() {
        let store = Embedded::new();
        let session = store.session();
        let mut published = session.group(&path()).published();
        assert!(now(published.next()).is_some());
        store.meddle(|model| model.put("/g", b""));
        assert!(now(published.next()).is_some());
        drop(published);
        store.meddle(|_| ());
        assert!(store.shared.lock().readers.is_empty());
    }
}
