//! The election: an ephemeral sequential lock node, and whoever has the lowest leads. No recipe of the client
//! library is used (Z2, Z3).
//!
//! It never believes that it leads on the word of a state alone: after each doubt it looks at its lock again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis_failover_core::{Answer, Entry, Leadership, MonitorId, RequestId, Term, Topology, Version};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use zookeeper_client::{Error, EventType, OneshotWatcher, SessionState, StateWatcher};

use super::Owner;
use super::commit;
use super::history::{self, History};
use super::record::Followed;
use super::requests;
use super::session::{Session, Shared};
use super::standing::{Held, Standing};
use super::znodes::{SEQUENTIAL, ensure};
use crate::feed::Feed;
use crate::wire::{Lock, lock_bytes};
use crate::znodes::{Znodes, lock_prefix, sequence};
use crate::{Campaign, CommitError};

/// The rest after something failed.
const REST: Duration = Duration::from_millis(100);

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

/// What a candidate is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stance {
    /// Lead if you can.
    Standing,
    /// Leave it to others for now.
    Aside,
    /// Leave it to others for good.
    Resigned,
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
        address: Option<&str>,
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
            data: lock_bytes(&Lock { monitor: me.to_string(), address: address.map(str::to_owned) }),
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

struct Candidate {
    shared: Arc<Shared>,
    znodes: Znodes,
    standing: Arc<Standing>,
    history: Arc<History>,
    number: u64,
    data: Vec<u8>,
}

/// What a look at the locks showed.
enum Look {
    /// Our lock is the first.
    First(Held, OneshotWatcher),
    /// Another is before ours.
    Behind(OneshotWatcher, OneshotWatcher),
    /// Look again.
    Changed,
}

impl Candidate {
    async fn obey(self, mut stances: watch::Receiver<Stance>, done: watch::Sender<bool>) {
        loop {
            let stance = *stances.borrow_and_update();
            let work = async {
                match stance {
                    Stance::Standing => self.stand().await,
                    Stance::Aside | Stance::Resigned => self.leave().await,
                }
            };
            tokio::select! {
                biased;
                // What is dropped with the campaign was told to resign before.
                Ok(()) = stances.changed() => continue,
                () = work => {}
            }
            if stance != Stance::Aside || stances.changed().await.is_err() {
                break;
            }
        }
        done.send_replace(true);
    }

    /// Gives up the lead, and deletes our lock: until that is done, or the session is another, nobody else can lead.
    async fn leave(&self) {
        self.standing.follow();
        let sessions = self.shared.sessions.subscribe();
        let Some(session) = sessions.borrow().clone() else { return };
        let same = || sessions.borrow().as_ref().is_some_and(|now| now.id == session.id);
        while let Err(error) = self.delete_own(&session).await {
            if !same() {
                return;
            }
            tracing::debug!(path = self.znodes.leader, %error, "cannot give up the lead; trying on");
            sleep(REST).await;
        }
    }

    async fn delete_own(&self, session: &Session) -> Result<(), Error> {
        let names = match session.limited(session.client.list_children(&self.znodes.leader)).await {
            Err(Error::NoNode) => return Ok(()),
            names => names?,
        };
        // A create that was under way is before this in the server's queue: nothing is left behind.
        for name in self.own_of(session, &names) {
            let path = self.znodes.lock(&name);
            match session.limited(session.client.delete(&path, None)).await {
                Ok(()) | Err(Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Stands in each session anew. It returns only when the store is gone.
    async fn stand(&self) {
        let mut sessions = self.shared.sessions.subscribe();
        loop {
            let session = sessions.borrow_and_update().clone();
            let over = match &session {
                None => sessions.changed().await,
                Some(session) => tokio::select! {
                    biased;
                    over = sessions.changed() => over,
                    () = self.stand_in(session) => Ok(()),
                },
            };
            self.standing.follow();
            if over.is_err() {
                return;
            }
        }
    }

    /// Stands in one session. It never returns; the session's end drops it.
    async fn stand_in(&self, session: &Session) {
        let mut states = session.client.state_watcher();
        let mut failures = 0_u32;
        loop {
            self.await_connected(session, &mut states).await;
            let sent = Instant::now();
            match self.look(session).await {
                Ok(look) => {
                    failures = 0;
                    self.shared.pulse.beat(sent);
                    self.act(session, look, &mut states).await;
                }
                Err(error) => {
                    // The outcome is unknown; whatever was created is found by the next look.
                    self.standing.suspend();
                    failures += 1;
                    if failures == 3 {
                        tracing::warn!(path = self.znodes.leader, %error, "cannot stand; trying on");
                    }
                    sleep(REST).await;
                }
            }
        }
    }

    async fn await_connected(&self, session: &Session, states: &mut StateWatcher) {
        let mut state = session.client.state();
        while state != SessionState::SyncConnected {
            self.standing.suspend();
            state = states.changed().await;
        }
    }

    /// Says what the look showed, and returns when it is time for the next.
    async fn act(&self, session: &Session, look: Look, states: &mut StateWatcher) {
        let mut leads = None;
        let (own, ahead) = match look {
            Look::Changed => return self.standing.follow(),
            Look::First(held, own) => {
                leads = Some(held.term);
                self.standing.lead(held);
                (own, None)
            }
            Look::Behind(own, ahead) => {
                self.standing.follow();
                (own, Some(ahead))
            }
        };
        let ahead = async {
            match ahead {
                Some(ahead) => ahead.changed().await,
                None => std::future::pending().await,
            }
        };
        // Before it is needed: no change of master waits for it.
        let history = async {
            if let Some(term) = leads {
                self.history.begin(session, &self.znodes, term).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = history => {}
            event = own.changed() => if event.event_type == EventType::NodeDeleted {
                // Somebody removed our lock: that is how a leader is deposed.
                self.standing.follow();
            },
            _ = ahead => {}
            _ = states.changed() => {}
            () = self.standing.doubt.notified() => {}
        }
    }

    async fn look(&self, session: &Session) -> Result<Look, Error> {
        let names = match session.limited(session.client.list_children(&self.znodes.leader)).await {
            Err(Error::NoNode) => Vec::new(),
            names => names?,
        };
        let mut own = self.own_of(session, &names);
        let Some(name) = (!own.is_empty()).then(|| own.remove(0)) else {
            self.standing.follow();
            self.create(session).await?;
            return Ok(Look::Changed);
        };
        for surplus in own {
            session.limited(session.client.delete(&self.znodes.lock(&surplus), None)).await?;
        }
        let path = self.znodes.lock(&name);
        let (stat, watcher) = session.limited(session.client.check_and_watch_stat(&path)).await?;
        let Some(stat) = stat else { return Ok(Look::Changed) };
        if stat.ephemeral_owner != session.id {
            tracing::warn!(path, "the server gave the session another id; beginning a new session");
            self.shared.renew();
            return Ok(Look::Changed);
        }
        let mine = sequence(&name);
        let ahead = names.iter().filter(|other| sequence(other).is_some() && sequence(other) < mine);
        let Some(ahead) = ahead.max_by_key(|other| sequence(other)) else {
            return Ok(Look::First(Held { path, term: Term(stat.czxid) }, watcher));
        };
        let ahead = self.znodes.lock(ahead);
        match session.limited(session.client.check_and_watch_stat(&ahead)).await? {
            (Some(_), gone) => Ok(Look::Behind(watcher, gone)),
            (None, _) => Ok(Look::Changed),
        }
    }

    async fn create(&self, session: &Session) -> Result<(), Error> {
        let prefix = self.znodes.lock(&self.prefix(session));
        match session.limited(session.client.create(&prefix, &self.data, &SEQUENTIAL)).await {
            Ok(_) => Ok(()),
            Err(Error::NoNode) => ensure(session, &self.znodes.leader).await,
            Err(error) => Err(error),
        }
    }

    fn prefix(&self, session: &Session) -> String {
        lock_prefix(session.id, self.number)
    }

    fn own_of(&self, session: &Session, names: &[String]) -> Vec<String> {
        let prefix = self.prefix(session);
        let mut own: Vec<_> = names.iter().filter(|name| name.starts_with(&prefix)).cloned().collect();
        own.sort_by_key(|name| sequence(name));
        own
    }
}
