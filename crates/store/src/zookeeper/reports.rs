//! The reports of all live monitors. A report that cannot be read is left out and named once; it never stops
//! the others.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_failover_core::MonitorId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use zookeeper_client::{Error, OneshotWatcher};

use super::StoreError;
use super::bell;
use super::session::{Session, Shared};
use super::znodes::failed;
use crate::SeenReport;
use crate::wire::parse_report;
use crate::znodes::Znodes;

type Reports = BTreeMap<MonitorId, SeenReport>;

/// Whose watch rang.
enum Rung {
    List,
    One(MonitorId),
}

/// Follows the reports until nobody needs them any more, or the store is gone.
pub(super) async fn follow(shared: Arc<Shared>, znodes: Znodes, sender: watch::Sender<Arc<Reports>>) {
    let (znodes, sender) = (&znodes, &sender);
    let follow = |session: Session| async move {
        let session = &session;
        let watch_and_read = || async move {
            Follower { session, znodes, sender, bells: JoinSet::new(), watched: BTreeMap::new() }.run().await
        };
        bell::follow(&znodes.monitors, "the reports", watch_and_read).await;
    };
    tokio::select! {
        () = sender.closed() => {}
        () = shared.in_each_session(follow) => {}
    }
}

/// Waits until no report of `me` stands, for `limit` at most, and yields whose reports stand then.
///
/// What is read after the own deletion has all deletions before that in it.
pub(super) async fn remaining(
    shared: &Arc<Shared>,
    znodes: &Znodes,
    me: &MonitorId,
    limit: Duration,
) -> Result<BTreeSet<MonitorId>, StoreError> {
    let (shared, znodes, me) = (Arc::clone(shared), znodes.clone(), me.clone());
    let spawner = Arc::clone(&shared);
    let work = spawner.spawn(async move {
        let session = shared.session(limit).await?;
        loop {
            let listed = bell::children(&session, &znodes.monitors).await;
            let (names, changed) = listed.map_err(|error| failed(&session, &znodes.monitors, &error))?;
            let standing: BTreeSet<MonitorId> = names.iter().filter_map(|name| name.parse().ok()).collect();
            if !standing.contains(&me) {
                return Ok(standing);
            }
            changed.changed().await;
        }
    });
    let work = AbortOnDropHandle::new(work);
    match timeout(limit, work).await {
        Ok(Ok(Some(standing))) => standing,
        Ok(_) => Err(StoreError::Closed),
        Err(_) => Err(StoreError::NoAnswer(limit)),
    }
}

struct Follower<'a> {
    session: &'a Session,
    znodes: &'a Znodes,
    sender: &'a watch::Sender<Arc<Reports>>,
    bells: JoinSet<Rung>,
    /// The monitors on whose report a watch is set, and the writing that was read last.
    watched: BTreeMap<MonitorId, i64>,
}

impl Follower<'_> {
    async fn run(&mut self) -> Result<Infallible, Error> {
        let mut reports = Reports::clone(&self.sender.borrow());
        let mut rung = Rung::List;
        loop {
            match rung {
                Rung::List => self.read_list(&mut reports).await?,
                Rung::One(id) => self.read_one(id, &mut reports).await?,
            }
            self.sender.send_if_modified(|sent| {
                let differs = **sent != reports;
                if differs {
                    *sent = Arc::new(reports.clone());
                }
                differs
            });
            rung = match self.bells.join_next().await {
                Some(Ok(rung)) => rung,
                // Cannot be: a watch is always set on the list, and none is aborted while this runs.
                _ => return Err(Error::UnexpectedError("a watch was lost".to_owned())),
            };
        }
    }

    fn set(&mut self, watcher: OneshotWatcher, rung: Rung) {
        self.bells.spawn(async move {
            watcher.changed().await;
            rung
        });
    }

    async fn read_list(&mut self, reports: &mut Reports) -> Result<(), Error> {
        let (names, watcher) = bell::children(self.session, &self.znodes.monitors).await?;
        self.set(watcher, Rung::List);
        let ids: Vec<MonitorId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        reports.retain(|id, _| ids.contains(id));
        for id in ids {
            if !self.watched.contains_key(&id) {
                self.read_one(id, reports).await?;
            }
        }
        Ok(())
    }

    async fn read_one(&mut self, id: MonitorId, reports: &mut Reports) -> Result<(), Error> {
        self.watched.remove(&id);
        let znode = self.znodes.report(&id);
        let read = self.session.limited(self.session.client.get_and_watch_data(&znode)).await;
        let (bytes, stat, watcher) = match read {
            Err(Error::NoNode) => {
                reports.remove(&id);
                return Ok(());
            }
            read => read?,
        };
        self.set(watcher, Rung::One(id.clone()));
        self.watched.insert(id.clone(), stat.mzxid);
        if reports.get(&id).is_some_and(|seen| seen.order == stat.mzxid) {
            // The same writing, seen again in a new session: it was first seen then, not now.
            return Ok(());
        }
        match parse_report(&znode, &id, &bytes) {
            Ok(report) => {
                reports.insert(id, SeenReport { report, order: stat.mzxid, seen_at: Instant::now() });
            }
            Err(error) => {
                tracing::warn!(%error, "a monitor's report is left out");
                reports.remove(&id);
            }
        }
        Ok(())
    }
}
