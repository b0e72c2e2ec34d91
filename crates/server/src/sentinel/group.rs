//! What the endpoint is given of each group: feeds of what is so, and a way to ask its leader. It holds nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use redis_failover_core::{Answer, MonitorId, Request};
use redis_failover_store::{Connection, Feed, SeenReport, Sight, Store, StoreError};
use tokio::sync::{Semaphore, watch};

use super::events::Since;
use crate::observed::Observed;

/// A request that was left for the leader.
pub(crate) type Asked = Pin<Box<dyn Future<Output = Result<Answer, StoreError>> + Send>>;

/// One group that is answered for.
pub(crate) struct Group {
    /// What clients call it: Sentinel's master name.
    pub(super) name: String,
    pub(super) record: Feed<Sight>,
    pub(super) reports: Feed<Arc<BTreeMap<MonitorId, SeenReport>>>,
    pub(super) observed: watch::Receiver<Observed>,
    /// How the session with ZooKeeper fares; `None` where there is none to lose.
    pub(super) session: Option<Feed<Connection>>,
    /// Since when it is as it is, as far as this process saw it.
    pub(super) since: watch::Sender<Since>,
    /// Becomes true when nobody answers for it any more.
    ended: watch::Sender<bool>,
    /// Held by the client that has a change of master asked for.
    pub(super) asking: Semaphore,
    ask: Box<dyn Fn(Request) -> Asked + Send + Sync>,
}

impl Group {
    /// The group called `name` in `store`, whose nodes are seen as `observed`.
    pub(crate) fn new(
        name: String,
        store: impl Store,
        observed: watch::Receiver<Observed>,
        session: Option<Feed<Connection>>,
    ) -> Self {
        let (record, reports) = (store.record(), store.reports());
        let ask = move |request: Request| -> Asked {
            let store = store.clone();
            Box::pin(async move { store.ask(&request).await })
        };
        let (since, ended, asking) = (watch::Sender::default(), watch::Sender::default(), Semaphore::new(1));
        Self { name, record, reports, observed, session, since, ended, asking, ask: Box::new(ask) }
    }

    /// Nobody answers for it any more.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Becomes true then.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Leaves a request for the leader; dropping what is returned withdraws it.
    pub(super) fn ask(&self, request: Request) -> Asked {
        (self.ask)(request)
    }

    /// Whether what it says may be old because the session with ZooKeeper is lost.
    pub(super) fn is_cut_off(&self) -> bool {
        let connected = |it: &Feed<Connection>| matches!(it.latest(), Connection::Connected { .. });
        self.session.as_ref().is_some_and(|session| !connected(session))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}
