//! Carries out one action at a time, on connections that it keeps. It decides nothing, and asks before each command
//! whether this monitor still leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::{
    Action, Entry, Evidence, Intent, NodeAddr, Outcome, Step, Term, Topology, Version,
};
use redis_failover_store::{Campaign, CommitError};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant as Moment, timeout, timeout_at};

use super::redis_admin::{self, AdminError, Lead};
use crate::names::{Names, PATIENCE, Way};
use crate::redis_link::{Credentials, RedisLink};

/// How long a freeze waits for a node that answered the monitors a moment ago.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);

/// How long any other visit to a node may take.
const VISIT_LIMIT: Duration = Duration::from_secs(1);

/// Carries out actions for one group.
pub(super) struct Executor<C> {
    campaign: Arc<C>,
    visitor: Visitor,
    /// The connections over which nodes were frozen, for the promotion, with what they said.
    frozen: Arc<Mutex<BTreeMap<NodeAddr, Frozen>>>,
    /// The visits of the last freeze to nodes that did not answer in time.
    stragglers: Arc<Mutex<JoinSet<Visit>>>,
}

/// What came of one visit of a freeze.
type Visit = (NodeAddr, Result<Frozen, AdminError>);

// Derived, it would ask for `C: Clone`.
impl<C> Clone for Executor<C> {
    fn clone(&self) -> Self {
        let (campaign, frozen) = (self.campaign.clone(), self.frozen.clone());
        Self { campaign, visitor: self.visitor.clone(), frozen, stragglers: self.stragglers.clone() }
    }
}

struct Frozen {
    link: RedisLink,
    said: Evidence,
}

/// Who knocks at the nodes' doors.
#[derive(Clone)]
struct Visitor {
    names: Names,
    credentials: Credentials,
    name: String,
}

impl Visitor {
    async fn open(&self, node: &NodeAddr) -> Result<RedisLink, AdminError> {
        Ok(RedisLink::open((node, Way::Beside), &self.names, &self.credentials, &self.name, VISIT_LIMIT)
            .await?)
    }
}

impl<C: Campaign> Executor<C> {
    /// An executor for the monitor that stands in `campaign`, known to Redis as `name`.
    pub(super) fn new(campaign: Arc<C>, names: Names, credentials: Credentials, name: String) -> Self {
        Self {
            campaign,
            visitor: Visitor { names, credentials, name },
            frozen: Arc::default(),
            stragglers: Arc::default(),
        }
    }

    /// Carries the action out and says what came of it.
    pub(super) async fn carry_out(&self, action: Action) -> Outcome {
        let term = action.term;
        if !self.campaign.holds(term) {
            return Outcome::NotBegun;
        }
        match action.step {
            Step::Commit { expected, record, entry, .. } => {
                self.commit(term, expected, &record, entry.as_deref()).await
            }
            Step::Amend { entry } => {
                // What there is to do next does not wait for it.
                match timeout(VISIT_LIMIT, self.campaign.amend(term, &entry)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::info!("the history tells less than it could: {error}"),
                    Err(_) => tracing::info!("the history tells less than it could: no answer in time"),
                }
                Outcome::Amended
            }
            Step::Freeze { nodes, awaited } => Outcome::Read(self.freeze(term, nodes, &awaited).await),
            Step::Look { nodes } => {
                let look = |mut link| async move { redis_admin::look(&mut link).await };
                let mut said = self.visit_all(term, nodes, look).await;
                for (node, evidence) in &mut said {
                    let role = evidence.role.clone();
                    evidence.role = self.visitor.names.spelled(node, role, PATIENCE).await;
                }
                Outcome::Read(said)
            }
            Step::Promote { intent, closable } => self.promote(term, &intent, closable).await,
            Step::Open { node, run, min_replicas_to_write, first } => {
                let lead = self.lead(term);
                let open = move |mut link| {
                    let (run, lead) = (run.clone(), lead.clone());
                    async move { redis_admin::open(&mut link, &lead, &run, min_replicas_to_write, first).await }
                };
                Outcome::Done(self.visit_all(term, vec![node], open).await.into_keys().collect())
            }
            Step::Follow { nodes, master, min_replicas_to_write } => {
                // Told to follow, a node is no longer frozen: its connection is of no more use.
                self.frozen.lock().await.retain(|node, _| !nodes.contains(node));
                let lead = self.lead(term);
                let follow = move |mut link| {
                    let (master, lead) = (master.clone(), lead.clone());
                    async move { redis_admin::follow(&mut link, &lead, &master, min_replicas_to_write).await }
                };
                Outcome::Done(self.visit_all(term, nodes, follow).await.into_keys().collect())
            }
            Step::Persist { nodes } => {
                let persist = |mut link| async move { redis_admin::persist(&mut link).await };
                Outcome::Done(self.visit_all(term, nodes, persist).await.into_keys().collect())
            }
            Step::Answer { request, answer } => match self.campaign.answer(term, request, &answer).await {
                // Answered before, or withdrawn: nobody waits for it any more.
                Ok(()) | Err(CommitError::Conflict) => Outcome::Answered,
                Err(error) => {
                    tracing::warn!("the answer: {error}");
                    Outcome::NotAnswered
                }
            },
        }
    }

    fn lead(&self, term: Term) -> impl Lead + Clone + 'static {
        let campaign = self.campaign.clone();
        move || campaign.holds(term)
    }

    async fn commit(
        &self,
        term: Term,
        expected: Version,
        record: &Topology,
        entry: Option<&Entry>,
    ) -> Outcome {
        match self.campaign.commit(term, expected, record, entry).await {
            Ok(version) => Outcome::Committed(version),
            Err(error @ CommitError::Unknown(_)) => {
                tracing::warn!("{error}");
                Outcome::CommitUnknown
            }
            Err(error) => {
                tracing::warn!("{error}");
                Outcome::NotCommitted
            }
        }
    }

    /// Freezes all `nodes` at once. It waits for those `awaited`, and takes what the others say meanwhile.
    async fn freeze(
        &self,
        term: Term,
        nodes: Vec<NodeAddr>,
        awaited: &BTreeSet<NodeAddr>,
    ) -> BTreeMap<NodeAddr, Evidence> {
        let mut missing = awaited.clone();
        // Late visits of an earlier freeze must not freeze whom this one promotes.
        let mut visits = std::mem::take(&mut *self.stragglers.lock().await);
        visits.shutdown().await;
        for node in nodes {
            let (visitor, patient) = (self.visitor.clone(), awaited.contains(&node));
            let lead = self.lead(term);
            visits.spawn(async move {
                let visit = async {
                    let mut link = visitor.open(&node).await?;
                    let said = redis_admin::freeze(&mut link, &lead, patient).await?;
                    Ok(Frozen { link, said })
                };
                let limit = if patient { FREEZE_LIMIT } else { VISIT_LIMIT };
                let outcome = timeout(limit, visit).await.unwrap_or(Err(AdminError::Late));
                (node, outcome)
            });
        }
        let mut frozen = BTreeMap::new();
        let deadline = Moment::now() + FREEZE_LIMIT;
        while !missing.is_empty() {
            let Ok(Some(Ok((node, outcome)))) = timeout_at(deadline, visits.join_next()).await else { break };
            missing.remove(&node);
            match outcome {
                Ok(it) => drop(frozen.insert(node, it)),
                Err(error) => tracing::info!(%node, "not frozen: {error}"),
            }
        }
        // A node that hangs keeps the command in its socket; that visit ends by its own limit.
        *self.stragglers.lock().await = visits;
        let said = frozen.iter().map(|(node, it)| (node.clone(), it.said.clone())).collect();
        *self.frozen.lock().await = frozen;
        said
    }

    async fn promote(&self, term: Term, intent: &Intent, closable: bool) -> Outcome {
        let Some(mut held) = self.frozen.lock().await.remove(&intent.node) else {
            return Outcome::Promoted(None);
        };
        let stands = !held.link.is_ended() && redis_admin::is_intended(intent, &held.said);
        if !stands {
            return Outcome::Promoted(None);
        }
        let lead = self.lead(term);
        match timeout(VISIT_LIMIT, redis_admin::promote(&mut held.link, &lead, closable)).await {
            Ok(Ok(said)) => Outcome::Promoted(Some(said)),
            Ok(Err(error)) => {
                tracing::warn!(node = %intent.node, "promotion unclear: {error}");
                Outcome::Promoted(None)
            }
            Err(_) => Outcome::Promoted(None),
        }
    }

    /// Visits all `nodes` at once; those that did not answer well in time are missing in the result.
    async fn visit_all<T, F, V>(&self, term: Term, nodes: Vec<NodeAddr>, visit: V) -> BTreeMap<NodeAddr, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AdminError>> + Send + 'static,
        V: Fn(RedisLink) -> F + Clone + Send + Sync + 'static,
    {
        let mut visits = JoinSet::new();
        for node in nodes {
            let (visitor, visit, campaign) = (self.visitor.clone(), visit.clone(), self.campaign.clone());
            visits.spawn(async move {
                let whole = async {
                    let link = visitor.open(&node).await?;
                    if !campaign.holds(term) {
                        return Err(AdminError::Deposed);
                    }
                    visit(link).await
                };
                let outcome = timeout(VISIT_LIMIT, whole).await.unwrap_or(Err(AdminError::Late));
                (node, outcome)
            });
        }
        let mut done = BTreeMap::new();
        while let Some(visited) = visits.join_next().await {
            let Ok((node, outcome)) = visited else { continue };
            match outcome {
                Ok(it) => drop(done.insert(node, it)),
                Err(error) => tracing::info!(%node, "visit failed: {error}"),
            }
        }
        done
    }
}
