//! Carries out one action at a time. It decides nothing, and asks before each command whether this monitor still leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::{
    Action, Answer, Entry, Evidence, Intent, NodeAddr, Outcome, RequestId, RunId, Saving, Step, Term,
    Topology, Version,
};
use redis_failover_store::{Campaign, CommitError};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant as Moment, timeout, timeout_at};

use super::admin_links::{AdminLinks, Entered};
use super::redis_admin::{self, AdminError, Lead};
use crate::names::{Names, PATIENCE};

/// How long a freeze waits for a node that answered the monitors a moment ago.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);

/// How long the store may take to confirm the lead before a master is asked to hold writes.
const CONFIRM_LIMIT: Duration = Duration::from_millis(500);

/// How long any other visit to a node may take.
const VISIT_LIMIT: Duration = Duration::from_secs(1);

/// Carries out actions for one group.
pub(super) struct Executor<C> {
    campaign: Arc<C>,
    names: Names,
    links: AdminLinks<C>,
    /// What the nodes said that were frozen last, each over which connection: over that one it is promoted.
    frozen: Arc<Mutex<BTreeMap<NodeAddr, Frozen>>>,
    /// The visits of the last freeze to nodes that did not answer in time.
    stragglers: Arc<Mutex<JoinSet<Visit>>>,
}

/// What came of one visit of a freeze.
type Visit = (NodeAddr, Result<Frozen, AdminError>);

// Derived, it would ask for `C: Clone`.
impl<C> Clone for Executor<C> {
    fn clone(&self) -> Self {
        let (frozen, stragglers) = (self.frozen.clone(), self.stragglers.clone());
        let (campaign, names, links) = (self.campaign.clone(), self.names.clone(), self.links.clone());
        Self { campaign, names, links, frozen, stragglers }
    }
}

struct Frozen {
    /// The connection.
    over: u64,
    said: Evidence,
}

/// What is done at a node, but for the freeze and the promotion.
#[derive(Clone, Debug)]
enum Errand {
    Demote,
    HoldWrites { lasts: Duration },
    ResumeWrites,
    Cede { run: RunId },
    Look,
    Open { run: RunId, min_replicas_to_write: u32, first: bool },
    Fence { run: RunId, number: u32 },
    Follow { master: NodeAddr, min_replicas_to_write: u32, fences: bool, closes: bool },
    Persist,
}

impl Errand {
    async fn run(self, link: &mut Entered, lead: &impl Lead) -> Result<Option<Evidence>, AdminError> {
        match self {
            Self::Demote => return redis_admin::freeze(link, lead, true, false).await.map(Some),
            Self::Cede { run } => return redis_admin::cede(link, lead, &run).await.map(Some),
            Self::HoldWrites { lasts } => redis_admin::hold_writes(link, lead, lasts).await?,
            Self::ResumeWrites => redis_admin::resume_writes(link, lead).await?,
            Self::Look => return redis_admin::look(link).await.map(Some),
            Self::Open { run, min_replicas_to_write, first } => {
                redis_admin::open(link, lead, &run, min_replicas_to_write, first).await?;
            }
            Self::Fence { run, number } => redis_admin::fence(link, lead, &run, number).await?,
            Self::Follow { master, min_replicas_to_write, fences, closes } => {
                redis_admin::follow(link, lead, &master, (min_replicas_to_write, fences), closes).await?;
            }
            Self::Persist => redis_admin::persist(link).await?,
        }
        Ok(None)
    }
}

impl<C: Campaign> Executor<C> {
    /// An executor for the monitor that stands in `campaign` and enters nodes by `links`.
    pub(super) fn new(campaign: Arc<C>, names: Names, links: AdminLinks<C>) -> Self {
        Self { campaign, names, links, frozen: Arc::default(), stragglers: Arc::default() }
    }

    /// Carries the action out and says what came of it.
    pub(super) async fn carry_out(&self, action: Action) -> Outcome {
        let term = action.term;
        if action.step == Step::Depose {
            return self.depose(term).await;
        }
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
            Step::Freeze { nodes, awaited, cut } => {
                Outcome::Read(self.freeze(term, nodes, &awaited, cut.as_ref()).await)
            }
            Step::HoldWrites { node, lasts } => self.hold_writes(term, node, lasts).await,
            Step::ResumeWrites { node } => self.have_done(term, vec![node], &Errand::ResumeWrites).await,
            Step::Cede { node, run } => {
                Outcome::Read(self.read(term, vec![node], &Errand::Cede { run }).await)
            }
            Step::Demote { nodes } => Outcome::Read(self.read(term, nodes, &Errand::Demote).await),
            Step::Save { node, run, file, begun } => {
                Outcome::Saving(self.save(term, &node, &run, &file, begun).await)
            }
            Step::Look { nodes } => {
                let mut said = self.read(term, nodes, &Errand::Look).await;
                for (node, evidence) in &mut said {
                    let role = evidence.role.clone();
                    evidence.role = self.names.spelled(node, role, PATIENCE).await;
                }
                Outcome::Read(said)
            }
            Step::Promote { intent, closable, closes } => self.promote(term, &intent, closable, closes).await,
            Step::Open { node, run, min_replicas_to_write, first } => {
                self.have_done(term, vec![node], &Errand::Open { run, min_replicas_to_write, first }).await
            }
            Step::Fence { node, run, number } => {
                self.have_done(term, vec![node], &Errand::Fence { run, number }).await
            }
            Step::Follow { nodes, master, min_replicas_to_write, fences, closes } => {
                // Told to follow, a node is no longer frozen.
                self.frozen.lock().await.retain(|node, _| !nodes.contains(node));
                let follow = |node: &NodeAddr| {
                    let closes = closes.as_ref() == Some(node);
                    Errand::Follow { master: master.clone(), min_replicas_to_write, fences, closes }
                };
                let errands = nodes.iter().map(|node| (node.clone(), follow(node))).collect();
                Outcome::Done(self.visit_all(term, errands).await.into_keys().collect())
            }
            Step::Persist { nodes } => self.have_done(term, nodes, &Errand::Persist).await,
            Step::Depose => self.depose(term).await,
            Step::Answer { request, answer } => self.answer(term, request, &answer).await,
        }
    }

    async fn answer(&self, term: Term, request: RequestId, answer: &Answer) -> Outcome {
        match self.campaign.answer(term, request, answer).await {
            // Answered before, or withdrawn: nobody waits for it any more.
            Ok(()) | Err(CommitError::Conflict) => Outcome::Answered,
            Err(error @ CommitError::Refused(_)) => {
                // Its operator waits in vain, and must not keep the others waiting.
                tracing::warn!("a request can't be answered: {error}");
                Outcome::Answered
            }
            Err(error) => {
                tracing::warn!("the answer: {error}");
                Outcome::NotAnswered
            }
        }
    }

    /// Removes the lock of another, who leads in `term`.
    async fn depose(&self, term: Term) -> Outcome {
        match timeout(VISIT_LIMIT, self.campaign.depose(term)).await {
            Ok(Ok(())) => Outcome::Deposed,
            Ok(Err(error)) => {
                tracing::warn!("the leader's lock: {error}");
                Outcome::NotDeposed
            }
            Err(_) => Outcome::NotDeposed,
        }
    }

    /// Has the master hold writes, if the store answers: a silent one is noticed after seconds only, and then nobody
    /// could publish who takes over.
    async fn hold_writes(&self, term: Term, master: NodeAddr, lasts: Duration) -> Outcome {
        if !matches!(timeout(CONFIRM_LIMIT, self.campaign.confirm(term)).await, Ok(Ok(()))) {
            tracing::warn!("no switchover now: the store does not confirm the lead");
            return Outcome::NotBegun;
        }
        self.have_done(term, vec![master], &Errand::HoldWrites { lasts }).await
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
            Err(error @ CommitError::Refused(_)) => {
                tracing::error!("{error}");
                Outcome::CommitRefused
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
        cut: Option<&NodeAddr>,
    ) -> BTreeMap<NodeAddr, Evidence> {
        let mut missing = awaited.clone();
        // Late visits of an earlier freeze must not freeze whom this one promotes.
        let mut visits = std::mem::take(&mut *self.stragglers.lock().await);
        visits.shutdown().await;
        for node in nodes {
            let (links, patient, cuts) = (self.links.clone(), awaited.contains(&node), cut == Some(&node));
            let lead = self.lead(term);
            visits.spawn(async move {
                let visit = async {
                    let mut link = links.enter(&node, term).await?;
                    let said = redis_admin::freeze(&mut link, &lead, patient, cuts).await?;
                    Ok(Frozen { over: link.number(), said })
                };
                let outcome = if patient {
                    links.within(FREEZE_LIMIT, &node, visit).await
                } else {
                    // What hangs keeps the connection, and the command in its socket.
                    timeout(VISIT_LIMIT, visit).await.unwrap_or(Err(AdminError::Late))
                };
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

    async fn promote(&self, term: Term, intent: &Intent, closable: bool, closes: bool) -> Outcome {
        let Some(held) = self.frozen.lock().await.remove(&intent.node) else {
            return Outcome::Promoted(None);
        };
        let lead = self.lead(term);
        let promote = async {
            let mut link = self.links.enter(&intent.node, term).await?;
            if link.number() != held.over || !redis_admin::is_intended(intent, &held.said) {
                return Err(AdminError::OtherRun);
            }
            redis_admin::promote(&mut link, &lead, closable, closes).await
        };
        match self.links.within(VISIT_LIMIT, &intent.node, promote).await {
            Ok(said) => Outcome::Promoted(Some(Box::new(said))),
            Err(error) => {
                tracing::warn!(node = %intent.node, "promotion unclear: {error}");
                Outcome::Promoted(None)
            }
        }
    }

    /// Has a frozen node save what it holds, or sees how far that is: a short visit either way.
    async fn save(
        &self,
        term: Term,
        node: &NodeAddr,
        run: &RunId,
        file: &str,
        begun: bool,
    ) -> Option<Saving> {
        let lead = self.lead(term);
        let visit = async {
            let mut link = self.links.enter(node, term).await?;
            lead.check()?;
            redis_admin::save(&mut link, &lead, run, file, begun).await
        };
        match self.links.within(VISIT_LIMIT, node, visit).await {
            Ok(saving) => Some(saving),
            Err(error) => {
                tracing::info!(%node, "visit failed: {error}");
                None
            }
        }
    }

    /// Does the errand at all `nodes`, and gives what those said that answered.
    async fn read(&self, term: Term, nodes: Vec<NodeAddr>, errand: &Errand) -> BTreeMap<NodeAddr, Evidence> {
        let done = self.visit_all(term, with(nodes, errand)).await;
        done.into_iter().filter_map(|(node, said)| Some((node, said?))).collect()
    }

    /// Has the errand done at all `nodes`, and says which have done it.
    async fn have_done(&self, term: Term, nodes: Vec<NodeAddr>, errand: &Errand) -> Outcome {
        Outcome::Done(self.visit_all(term, with(nodes, errand)).await.into_keys().collect())
    }

    /// Does all `errands` at once; those nodes that did not answer well in time are missing in the result.
    async fn visit_all(
        &self,
        term: Term,
        errands: Vec<(NodeAddr, Errand)>,
    ) -> BTreeMap<NodeAddr, Option<Evidence>> {
        let mut visits = JoinSet::new();
        for (node, errand) in errands {
            let (links, lead) = (self.links.clone(), self.lead(term));
            visits.spawn(async move {
                let visit = async {
                    let mut link = links.enter(&node, term).await?;
                    lead.check()?;
                    errand.run(&mut link, &lead).await
                };
                let outcome = links.within(VISIT_LIMIT, &node, visit).await;
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

/// The same errand at each of `nodes`.
fn with(nodes: Vec<NodeAddr>, errand: &Errand) -> Vec<(NodeAddr, Errand)> {
    nodes.into_iter().map(|node| (node, errand.clone())).collect()
}
