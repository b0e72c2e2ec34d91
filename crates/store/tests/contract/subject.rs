//! What the cases run on: a store, its sessions, and somebody who can look at its back and harm it. It never says
//! which store that is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::{
    Answer, Entry, Leadership, MonitorId, Report, Request, RequestId, Requests, Term, Topology, Version,
};
use redis_failover_store::model::Stat;
use redis_failover_store::{
    Campaign, CommitError, Contact, Feed, Glance, Leader, Recorded, SeenReport, Sight, Store, StoreError,
};
use tokio::task::JoinHandle;

use super::world::LONG;

pub(crate) type Reports = Arc<BTreeMap<MonitorId, SeenReport>>;

/// Makes a test of each case, for each store.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod model {
            $(#[tokio::test]
            async fn $case() {
                super::$case::<crate::contract::on_model::OnModel>().await;
            })+
        }
        mod embedded {
            $(#[tokio::test]
            async fn $case() {
                super::$case::<crate::contract::on_embedded::OnEmbedded>().await;
            })+
        }
        mod state_file {
            $(#[tokio::test]
            async fn $case() {
                super::$case::<crate::contract::on_embedded::OnStateFile>().await;
            })+
        }
        mod zookeeper {
            $(#[tokio::test]
            async fn $case() {
                super::$case::<crate::contract::on_zookeeper::OnZooKeeper>().await;
            })+
        }
    };
}
pub(crate) use cases;

/// One store, with nothing in it.
pub(crate) trait Subject: Sized {
    type Session;
    type Group: Group;

    async fn start() -> Self;

    /// A session that expires when it is cut off for as long as `timeout`.
    fn open(&self, timeout: Duration) -> Self::Session;
    async fn close(&self, session: &Self::Session);
    fn group(&self, session: &Self::Session, path: &str) -> Self::Group;

    /// Cuts the session off; others may be as well.
    fn cut(&mut self, session: &Self::Session);
    /// Returns when the session, which is cut off, is given up by everybody.
    async fn expire(&mut self, session: &Self::Session);
    /// Undoes the cut.
    fn mend(&mut self, session: &Self::Session);

    /// Somebody else writes the znode, which is made where it is missing, and all above it.
    async fn put(&self, znode: &str, data: &str);
    /// Somebody else deletes the znode and all below it, in one transaction.
    async fn delete(&self, znode: &str);
    async fn get(&self, znode: &str) -> Option<(String, Stat)>;
    async fn children(&self, znode: &str) -> Vec<String>;
    /// The number of the last transaction.
    fn transaction(&self) -> i64;

    async fn text(&self, znode: &str) -> String {
        self.get(znode).await.unwrap().0
    }

    async fn stat(&self, znode: &str) -> Option<Stat> {
        self.get(znode).await.map(|(_, stat)| stat)
    }
}

/// What [`Store`] promises, for what has no feeds as well.
pub(crate) trait Group {
    type Campaign: Candidate;

    fn record(&self) -> impl Shows<Sight> + use<Self>;
    fn reread(&self);
    fn published(&self) -> impl Shows<Glance> + use<Self>;
    fn reports(&self) -> impl Shows<Reports> + use<Self>;
    fn publish(&self, report: Report);
    fn requests(&self) -> impl Shows<Arc<Requests>> + use<Self>;
    /// Leaves a request; the answer is asked of what this yields, and dropping that withdraws it.
    fn leave(&self, request: &Request) -> impl Asked + use<Self>;
    fn predecessors(&self) -> impl Shows<Option<Arc<Vec<String>>>> + use<Self>;
    fn withdraw(&self);
    async fn remaining(&self, me: &MonitorId) -> BTreeSet<MonitorId>;
    async fn history(&self) -> Vec<Recorded>;
    fn campaign(&self, me: &MonitorId, contact: Option<&Contact>) -> Self::Campaign;
}

/// A request that waits for its answer.
pub(crate) trait Asked {
    async fn answer(&mut self) -> Result<Answer, StoreError>;
}

/// What [`Campaign`] promises. Dropping it resigns.
pub(crate) trait Candidate {
    fn leadership(&self) -> impl Shows<Leadership> + use<Self>;
    fn leader(&self) -> impl Shows<Option<Leader>> + use<Self>;
    async fn depose(&self, term: Term);
    fn holds(&self, term: Term) -> bool;
    /// Without an entry for the history.
    async fn commit(&self, term: Term, expected: Version, record: &Topology) -> Result<Version, CommitError> {
        self.commit_with(term, expected, record, None).await
    }
    async fn commit_with(
        &self,
        term: Term,
        expected: Version,
        record: &Topology,
        entry: Option<&Entry>,
    ) -> Result<Version, CommitError>;
    async fn amend(&self, term: Term, entry: &Entry) -> Result<(), CommitError>;
    async fn confirm(&self, term: Term) -> Result<(), CommitError>;
    async fn answer(&self, term: Term, request: RequestId, answer: &Answer) -> Result<(), CommitError>;
    fn stand(&self, stands: bool);
    async fn resign(&self);
}

/// Something that changes.
pub(crate) trait Shows<T> {
    fn latest(&self) -> T;
    /// The first value not seen here yet of which `pick` makes something; it must come in time.
    async fn until<U>(&mut self, what: &str, pick: impl FnMut(&T) -> Option<U>) -> U;
    /// Fails if anything new is shown within `span`.
    async fn stays(&mut self, what: &str, span: Duration);
}

impl<T: Clone + Debug> Shows<T> for Feed<T> {
    fn latest(&self) -> T {
        self.latest()
    }

    async fn until<U>(&mut self, what: &str, mut pick: impl FnMut(&T) -> Option<U>) -> U {
        let last = self.clone();
        let work = async {
            loop {
                if let Some(found) = pick(&self.next().await) {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(LONG, work).await;
        found.unwrap_or_else(|_| panic!("not within {LONG:?}: {what}; it is {:?}", last.latest()))
    }

    async fn stays(&mut self, what: &str, span: Duration) {
        if let Ok(new) = tokio::time::timeout(span, self.next()).await {
            panic!("within {span:?}: {what}; it became {new:?}");
        }
    }
}

impl<G: Store> Group for G {
    type Campaign = G::Campaign;

    fn record(&self) -> impl Shows<Sight> + use<G> {
        Store::record(self)
    }

    fn reread(&self) {
        Store::reread(self);
    }

    fn published(&self) -> impl Shows<Glance> + use<G> {
        Store::published(self)
    }

    fn reports(&self) -> impl Shows<Reports> + use<G> {
        Store::reports(self)
    }

    fn publish(&self, report: Report) {
        Store::publish(self, report);
    }

    fn requests(&self) -> impl Shows<Arc<Requests>> + use<G> {
        Store::requests(self)
    }

    fn leave(&self, request: &Request) -> impl Asked + use<G> {
        let (group, request) = (self.clone(), request.clone());
        Waiting(tokio::spawn(async move { Store::ask(&group, &request).await }))
    }

    fn predecessors(&self) -> impl Shows<Option<Arc<Vec<String>>>> + use<G> {
        Store::predecessors(self)
    }

    fn withdraw(&self) {
        Store::withdraw(self);
    }

    async fn remaining(&self, me: &MonitorId) -> BTreeSet<MonitorId> {
        Store::remaining(self, me, LONG).await.unwrap()
    }

    async fn history(&self) -> Vec<Recorded> {
        Store::history(self, LONG).await.unwrap()
    }

    fn campaign(&self, me: &MonitorId, contact: Option<&Contact>) -> G::Campaign {
        Store::campaign(self, me, contact)
    }
}

impl<C: Campaign> Candidate for C {
    fn leadership(&self) -> impl Shows<Leadership> + use<C> {
        Campaign::leadership(self)
    }

    fn leader(&self) -> impl Shows<Option<Leader>> + use<C> {
        Campaign::leader(self)
    }

    async fn depose(&self, term: Term) {
        Campaign::depose(self, term).await.unwrap();
    }

    fn holds(&self, term: Term) -> bool {
        Campaign::holds(self, term)
    }

    async fn commit_with(
        &self,
        term: Term,
        expected: Version,
        record: &Topology,
        entry: Option<&Entry>,
    ) -> Result<Version, CommitError> {
        Campaign::commit(self, term, expected, record, entry).await
    }

    async fn amend(&self, term: Term, entry: &Entry) -> Result<(), CommitError> {
        Campaign::amend(self, term, entry).await
    }

    async fn confirm(&self, term: Term) -> Result<(), CommitError> {
        Campaign::confirm(self, term).await
    }

    async fn answer(&self, term: Term, request: RequestId, answer: &Answer) -> Result<(), CommitError> {
        Campaign::answer(self, term, request, answer).await
    }

    fn stand(&self, stands: bool) {
        Campaign::stand(self, stands);
    }

    async fn resign(&self) {
        Campaign::resign(self).await;
    }
}

/// Somebody who waits for an answer, on a task of his own.
struct Waiting(JoinHandle<Result<Answer, StoreError>>);

impl Asked for Waiting {
    async fn answer(&mut self) -> Result<Answer, StoreError> {
        tokio::time::timeout(LONG, &mut self.0).await.unwrap().unwrap()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abort();
    }
}
