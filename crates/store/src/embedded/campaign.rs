//! A monitor's campaign in the store of one process. It asks the model itself, and its feeds are told by the store.

use std::fmt;
use std::sync::Arc;

use redis_failover_core::{Answer, Entry, Leadership, RequestId, Term, Topology, Version};
use tokio::sync::watch;

use super::Owner;
use crate::feed::Feed;
use crate::model::{CampaignId, Model};
use crate::names::GroupPath;
use crate::{Campaign, CommitError, Leader, StoreError};

/// A monitor's standing for the lead of an [`super::EmbeddedGroup`].
pub struct EmbeddedCampaign {
    owner: Arc<Owner>,
    standing: Arc<Standing>,
}

impl EmbeddedCampaign {
    /// The campaign `id` for `group`, which is told from now on what becomes of it.
    pub(super) fn new(owner: &Arc<Owner>, group: &GroupPath, id: CampaignId) -> Self {
        let leadership = watch::Sender::new(Leadership::Following);
        let (group, leader) = (group.clone(), watch::Sender::default());
        let standing = Arc::new(Standing { id, group, leadership, leader });
        let mut inner = owner.shared.lock();
        standing.look(&inner.model);
        inner.standings.push(Arc::downgrade(&standing));
        drop(inner);
        Self { owner: Arc::clone(owner), standing }
    }
}

impl fmt::Debug for EmbeddedCampaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leadership = *self.standing.leadership.borrow();
        f.debug_struct("EmbeddedCampaign").field("leadership", &leadership).finish_non_exhaustive()
    }
}

impl Campaign for EmbeddedCampaign {
    fn leadership(&self) -> Feed<Leadership> {
        self.standing.leadership.subscribe().into()
    }

    fn leader(&self) -> Feed<Option<Leader>> {
        self.standing.leader.subscribe().into()
    }

    async fn depose(&self, term: Term) -> Result<(), StoreError> {
        self.owner.shared.change(|model, _| model.depose(&self.standing.group, term));
        Ok(())
    }

    fn holds(&self, term: Term) -> bool {
        // The model itself is asked: a feed is told a moment later.
        let leadership = self.owner.shared.lock().model.leadership(self.standing.id);
        leadership == Leadership::Leading(term)
    }

    async fn commit(
        &self,
        term: Term,
        expected: Version,
        record: &Topology,
        entry: Option<&Entry>,
    ) -> Result<Version, CommitError> {
        let (id, record, entry) = (self.standing.id, record.clone(), entry.cloned());
        let commit = move |model: &mut Model| model.commit(id, term, expected, &record, entry.as_ref());
        self.owner.shared.commit(commit).await
    }

    async fn amend(&self, term: Term, entry: &Entry) -> Result<(), CommitError> {
        let (id, entry) = (self.standing.id, entry.clone());
        self.owner.shared.commit(move |model| model.amend(id, term, &entry)).await
    }

    async fn confirm(&self, term: Term) -> Result<(), CommitError> {
        self.owner.shared.lock().model.confirm(self.standing.id, term)
    }

    async fn answer(&self, term: Term, request: RequestId, answer: &Answer) -> Result<(), CommitError> {
        self.owner.shared.change(|model, _| model.answer(self.standing.id, term, request, answer))
    }

    fn stand(&self, stands: bool) {
        self.owner.shared.change(|model, _| model.stand(self.standing.id, stands));
    }

    async fn resign(&self) {
        self.owner.shared.change(|model, _| model.resign(self.standing.id));
    }
}

impl Drop for EmbeddedCampaign {
    fn drop(&mut self) {
        self.owner.shared.change(|model, _| model.resign(self.standing.id));
    }
}

/// What one campaign is told.
pub(super) struct Standing {
    id: CampaignId,
    group: GroupPath,
    leadership: watch::Sender<Leadership>,
    leader: watch::Sender<Option<Leader>>,
}

impl Standing {
    /// Tells whether it leads, and who else does, if that changed.
    pub(super) fn look(&self, model: &Model) {
        let now = model.leadership(self.id);
        self.leadership.send_if_modified(|told| std::mem::replace(told, now) != now);
        let leader = model.leader(self.id).cloned();
        self.leader.send_if_modified(|told| std::mem::replace(told, leader.clone()) != leader);
    }
}
