//! A monitor's campaign on `ZooKeeper`: what it may ask and write as a candidate and as the leader. The election itself
//! goes on in the session's thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis_failover_core::{Answer, Entry, Leadership, MonitorId, RequestId, Term, Topology, Version};
use tokio::sync::watch;
use tokio::time::timeout;

use super::commit;
use super::election::{Candidate, Stance, depose};
use super::history::{self, History};
use super::record::Followed;
use super::requests;
use super::session::Session;
use super::standing::{Held, Standing};
use super::{Owner, StoreError};
use crate::feed::Feed;
use crate::wire::{Lock, lock_bytes};
use crate::znodes::Znodes;
use crate::{Campaign, CommitError, Contact, Leader};

/// Tells the campaigns of one process apart: several may stand in one session.
static CAMPAIGNS: AtomicU64 = AtomicU64::new(0);

/// A monitor's standing for the lead of a [`super::ZooKeeperGroup`].
pub struct ZooKeeperCampaign {
    owner: Arc<Owner>,
    znodes: Znodes,
    record: Followed,
    history: Arc<History>,
    pub(super) standing: Arc<Standing>,
    stance: watch::Sender<Stance>,
    resigned: watch::Receiver<bool>,
}

impl fmt::Debug for ZooKeeperCampaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leadership = *self.standing.leadership.borrow();
        f.debug_struct("ZooKeeperCampaign").field("leadership", &leadership).finish_non_exhaustive()
    }
}

impl ZooKeeperCampaign {
    pub(super) fn stand(
        owner: Arc<Owner>,
        znodes: Znodes,
        record: Followed,
        me: &MonitorId,
        contact: Option<&Contact>,
    ) -> Self {
        let standing = Arc::new(Standing::new());
        owner.shared.watch_over(&standing);
        let history = Arc::<History>::default();
        let (stance, stances) = watch::channel(Stance::Standing);
        let (done, resigned) = watch::channel(false);
        let candidate = Candidate {
            shared: Arc::clone(&owner.shared),
            znodes: znodes.clone(),
            standing: Arc::clone(&standing),
            history: Arc::clone(&history),
            number: CAMPAIGNS.fetch_add(1, Ordering::Relaxed),
            data: lock_bytes(&Lock::of(me, contact)),
        };
        drop(owner.shared.spawn(candidate.obey(stances, done)));
        Self { owner, znodes, record, history, standing, stance, resigned }
    }

    fn held(&self, term: Term) -> Result<Held, CommitError> {
        self.standing.held(term).filter(|_| self.holds(term)).ok_or(CommitError::Fenced)
    }
}

impl Campaign for ZooKeeperCampaign {
    fn leadership(&self) -> Feed<Leadership> {
        self.standing.leadership.subscribe().into()
    }

    fn leader(&self) -> Feed<Option<Leader>> {
        self.standing.leader.subscribe().into()
    }

    async fn depose(&self, term: Term) -> Result<(), StoreError> {
        depose(&self.owner.shared, &self.znodes, term).await
    }

    fn holds(&self, term: Term) -> bool {
        self.standing.leads(term) && self.owner.shared.pulse.is_alive()
    }

    async fn commit(
        &self,
        term: Term,
        expected: Version,
        record: &Topology,
        entry: Option<&Entry>,
    ) -> Result<Version, CommitError> {
        let held = self.held(term)?;
        let known = (&*self.record, &self.history);
        commit::commit(&self.owner.shared, &self.znodes, known, held, expected, (record, entry)).await
    }

    async fn amend(&self, term: Term, entry: &Entry) -> Result<(), CommitError> {
        let held = self.held(term)?;
        let (znodes, history, entry) = (self.znodes.clone(), Arc::clone(&self.history), entry.clone());
        let work = |session: Session| async move {
            history::amend(&session, &znodes, &history, (&held.path, term), &entry).await
        };
        commit::in_session(&self.owner.shared, work).await
    }

    async fn confirm(&self, term: Term) -> Result<(), CommitError> {
        let held = self.held(term)?;
        commit::confirm(&self.owner.shared, &self.znodes, held.path).await
    }

    async fn answer(&self, term: Term, request: RequestId, answer: &Answer) -> Result<(), CommitError> {
        let held = self.held(term)?;
        requests::answer(&self.owner.shared, &self.znodes, held.path, request, answer).await
    }

    fn stand(&self, stands: bool) {
        self.stance.send_if_modified(|stance| {
            let wanted = match *stance {
                Stance::Resigned => Stance::Resigned,
                Stance::Standing | Stance::Aside if stands => Stance::Standing,
                Stance::Standing | Stance::Aside => Stance::Aside,
            };
            std::mem::replace(stance, wanted) != wanted
        });
        if !stands {
            self.standing.suspend();
        }
    }

    async fn resign(&self) {
        self.stance.send_replace(Stance::Resigned);
        let mut resigned = self.resigned.clone();
        // If it takes longer, it goes on trying, and at the latest the lock vanishes with the session.
        let _ = timeout(super::CLOSE_LIMIT, resigned.wait_for(|resigned| *resigned)).await;
    }
}

impl Drop for ZooKeeperCampaign {
    fn drop(&mut self) {
        self.stance.send_replace(Stance::Resigned);
    }
}
