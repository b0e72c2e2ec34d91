//! One group on the session: the [`Store`] of a monitor. It starts each task when it is first needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use redis_failover_core::{Answer, MonitorId, Report, Request, RequestId, Requests};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::campaign::ZooKeeperCampaign;
use super::examination::{self, Examination};
use super::history;
use super::predecessors::{self, Predecessors};
use super::publication;
use super::publisher::{self, Published};
use super::record::{Followed, Record};
use super::reports;
use super::requests::{self, Unanswered};
use super::session::Shared;
use super::snapshot::{self, Snapshot};
use super::{Owner, StoreError};
use crate::feed::Feed;
use crate::names::GroupPath;
use crate::znodes::{PREDECESSORS, Znodes};
use crate::{Contact, Glance, Recorded, SeenReport, Sight, Store};

type Reports = Arc<BTreeMap<MonitorId, SeenReport>>;

/// One group of a [`super::ZooKeeper`].
#[derive(Clone)]
pub struct ZooKeeperGroup {
    inner: Arc<Inner>,
}

struct Inner {
    owner: Arc<Owner>,
    znodes: Znodes,
    record: OnceLock<Followed>,
    reports: OnceLock<watch::Receiver<Reports>>,
    published: OnceLock<watch::Receiver<Glance>>,
    own_report: OnceLock<watch::Sender<Option<Published>>>,
    requests: OnceLock<watch::Receiver<Arc<Requests>>>,
    predecessors: OnceLock<watch::Receiver<Predecessors>>,
}

impl fmt::Debug for ZooKeeperGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperGroup").field("znodes", &self.inner.znodes).finish_non_exhaustive()
    }
}

impl ZooKeeperGroup {
    pub(super) fn new(owner: Arc<Owner>, path: &GroupPath) -> Self {
        let znodes = Znodes::new(owner.shared.servers.absolute(path));
        let (record, reports, published, own_report) = Default::default();
        let (requests, predecessors) = Default::default();
        let inner = Inner { owner, znodes, record, reports, published, own_report, requests, predecessors };
        Self { inner: Arc::new(inner) }
    }

    /// One look at everything, within `limit`, for people. It follows nothing and creates nothing.
    ///
    /// # Errors
    /// When there is no session, or not all answers, in time.
    pub async fn snapshot(&self, limit: Duration) -> Result<Snapshot, StoreError> {
        snapshot::take(self.shared(), &self.inner.znodes, limit).await
    }

    /// How the ensemble and the group's znodes are set up, within `limit`, for people. It changes nothing.
    ///
    /// # Errors
    /// As [`ZooKeeperGroup::snapshot`].
    pub async fn examine(&self, limit: Duration) -> Result<Examination, StoreError> {
        examination::take(self.shared(), &self.inner.znodes, limit).await
    }

    /// As [`Store::ask`]; tells which request it is as soon as it stands, to find in reports how far the leader is with
    /// it.
    ///
    /// # Errors
    /// As [`Store::ask`]; what could not even be asked for is told apart.
    pub async fn ask_as(
        &self,
        request: &Request,
        left_as: impl FnOnce(RequestId) + Send + 'static,
    ) -> Result<Answer, Unanswered> {
        let session = self.shared().session(Duration::MAX).await.map_err(Unanswered::NotAsked)?;
        let (shared, znodes) = (Arc::clone(self.shared()), self.inner.znodes.clone());
        let work = self.shared().spawn(requests::ask(shared, session, znodes, request.clone(), left_as));
        AbortOnDropHandle::new(work)
            .await
            .ok()
            .flatten()
            .unwrap_or(Err(Unanswered::Unclear(StoreError::Closed)))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.owner.shared
    }

    fn record_task(&self) -> &Followed {
        self.inner.record.get_or_init(|| Record::follow(self.shared(), &self.inner.znodes))
    }
}

impl Store for ZooKeeperGroup {
    type Campaign = ZooKeeperCampaign;

    fn record(&self) -> Feed<Sight> {
        self.record_task().feed()
    }

    fn reread(&self) {
        self.record_task().reread();
    }

    fn published(&self) -> Feed<Glance> {
        let receiver = self.inner.published.get_or_init(|| {
            let (sender, receiver) = watch::channel(Glance::default());
            let (shared, znode) = (Arc::clone(self.shared()), self.inner.znodes.document.clone());
            drop(self.shared().spawn(publication::follow(shared, znode, sender)));
            receiver
        });
        receiver.clone().into()
    }

    fn reports(&self) -> Feed<Reports> {
        let receiver = self.inner.reports.get_or_init(|| {
            let (sender, receiver) = watch::channel(Reports::default());
            drop(self.shared().spawn(reports::follow(
                Arc::clone(self.shared()),
                self.inner.znodes.clone(),
                sender,
            )));
            receiver
        });
        receiver.clone().into()
    }

    fn publish(&self, report: Report) {
        let own_report = self.inner.own_report.get_or_init(|| {
            let (sender, receiver) = watch::channel(None);
            let shared = Arc::clone(self.shared());
            drop(self.shared().spawn(publisher::publish(shared, self.inner.znodes.clone(), receiver)));
            sender
        });
        own_report.send_replace(Some(Published { report, at: Instant::now() }));
    }

    fn requests(&self) -> Feed<Arc<Requests>> {
        let receiver = self.inner.requests.get_or_init(|| {
            let (sender, receiver) = watch::channel(Arc::default());
            let (shared, znodes) = (Arc::clone(self.shared()), self.inner.znodes.clone());
            drop(self.shared().spawn(requests::follow(shared, znodes, sender)));
            receiver
        });
        receiver.clone().into()
    }

    async fn ask(&self, request: &Request) -> Result<Answer, StoreError> {
        Ok(self.ask_as(request, |_| {}).await?)
    }

    fn predecessors(&self) -> Feed<Predecessors> {
        let receiver = self.inner.predecessors.get_or_init(|| {
            let (sender, receiver) = watch::channel(None);
            let shared = Arc::clone(self.shared());
            let znode = shared.servers.below_chroot(PREDECESSORS);
            drop(self.shared().spawn(predecessors::follow(shared, znode, sender)));
            receiver
        });
        receiver.clone().into()
    }

    async fn history(&self, limit: Duration) -> Result<Vec<Recorded>, StoreError> {
        history::read(self.shared(), &self.inner.znodes, limit).await
    }

    async fn remaining(&self, me: &MonitorId, limit: Duration) -> Result<BTreeSet<MonitorId>, StoreError> {
        reports::remaining(self.shared(), &self.inner.znodes, me, limit).await
    }

    fn withdraw(&self) {
        if let Some(own_report) = self.inner.own_report.get() {
            own_report.send_replace(None);
        }
    }

    fn campaign(&self, me: &MonitorId, contact: Option<&Contact>) -> ZooKeeperCampaign {
        ZooKeeperCampaign::stand(
            Arc::clone(&self.inner.owner),
            self.inner.znodes.clone(),
            self.record_task().clone(),
            me,
            contact,
        )
    }
}
