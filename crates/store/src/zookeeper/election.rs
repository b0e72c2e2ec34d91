//! The election: an ephemeral sequential lock node, and whoever has the lowest leads. No recipe of the client
//! library is used (Z2, Z3).
//!
//! It never believes that it leads on the word of a state alone: after each doubt it looks at its lock again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_failover_core::Term;
use tokio::sync::watch;
use tokio::time::sleep;
use zookeeper_client::{Error, EventType, OneshotWatcher, SessionState, StateWatcher};

use super::StoreError;
use super::history::History;
use super::session::{Session, Shared};
use super::standing::{Held, Standing};
use super::znodes::{ensure, failed, warn_if_open, why};
use crate::Leader;
use crate::wire::leader_of;
use crate::znodes::{Znodes, lock_prefix, lock_session, sequence};

/// The rest after something failed.
const REST: Duration = Duration::from_millis(100);

/// What a candidate is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// Lead if you can.
    Standing,
    /// Leave it to others for now.
    Aside,
    /// Leave it to others for good.
    Resigned,
}

/// Who stands for the lead.
pub(super) struct Candidate {
    pub(super) shared: Arc<Shared>,
    pub(super) znodes: Znodes,
    pub(super) standing: Arc<Standing>,
    pub(super) history: Arc<History>,
    pub(super) number: u64,
    pub(super) data: Vec<u8>,
}

/// What a look at the locks showed.
enum Look {
    /// Our lock is the first.
    First(Held, OneshotWatcher),
    /// Others are before ours: this one leads, and the watches are on ours, on the first and on the last before ours.
    Behind(Leader, [OneshotWatcher; 3]),
    /// Look again.
    Changed,
}

impl Candidate {
    /// Does as it is told until it is told to resign.
    pub(super) async fn obey(self, mut stances: watch::Receiver<Stance>, done: watch::Sender<bool>) {
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
        // Who stands aside does not look.
        self.standing.another_leads(None);
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
                        let error = why(&error);
                        tracing::warn!(path = self.znodes.leader, error, "cannot stand; trying on");
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
            Look::Behind(leader, [own, first, last]) => {
                self.standing.follow();
                self.standing.another_leads(Some(leader));
                (own, Some((first, last)))
            }
        };
        let ahead = async {
            let Some((first, last)) = ahead else { return std::future::pending().await };
            tokio::select! {
                _ = first.changed() => {}
                _ = last.changed() => {}
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
            () = ahead => {}
            _ = states.changed() => {}
            () = self.standing.doubt.notified() => {}
        }
    }

    async fn look(&self, session: &Session) -> Result<Look, Error> {
        let mut names = match session.limited(session.client.list_children(&self.znodes.leader)).await {
            Err(Error::NoNode) => Vec::new(),
            names => names?,
        };
        for name in names.iter().filter(|name| self.is_left_behind(name)) {
            match session.limited(session.client.delete(&self.znodes.lock(name), None)).await {
                Ok(()) | Err(Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        names.retain(|name| !self.is_left_behind(name));
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
            self.shared.renew(session.id);
            return Ok(Look::Changed);
        }
        let mine = sequence(&name);
        let mut ahead = names;
        ahead.retain(|other| sequence(other).is_some() && sequence(other) < mine);
        ahead.sort_by_key(|other| sequence(other));
        let (Some(first), Some(last)) = (ahead.first(), ahead.last()) else {
            return Ok(Look::First(Held { path, term: Term(stat.czxid) }, watcher));
        };
        let Some((leader, first)) = self.leader(session, first).await? else { return Ok(Look::Changed) };
        match session.limited(session.client.check_and_watch_stat(&self.znodes.lock(last))).await? {
            (Some(_), last) => Ok(Look::Behind(leader, [watcher, first, last])),
            (None, _) => Ok(Look::Changed),
        }
    }

    /// Who holds this lock, and a watch on it; `None` where it is gone.
    async fn leader(&self, session: &Session, name: &str) -> Result<Option<(Leader, OneshotWatcher)>, Error> {
        match session.limited(session.client.get_and_watch_data(&self.znodes.lock(name))).await {
            Err(Error::NoNode) => Ok(None),
            read => read.map(|(bytes, stat, gone)| Some((leader_of(name, &bytes, Term(stat.czxid)), gone))),
        }
    }

    async fn create(&self, session: &Session) -> Result<(), Error> {
        let prefix = self.znodes.lock(&self.prefix(session));
        match session.limited(session.client.create(&prefix, &self.data, &session.sequential())).await {
            Ok(_) => {
                warn_if_open(session, &self.znodes.document).await;
                Ok(())
            }
            Err(Error::NoNode) => ensure(session, &self.znodes.leader).await,
            Err(error) => Err(error),
        }
    }

    /// Whether this is a lock of a session of this process that is given up, by whichever campaign: nobody leads by it.
    fn is_left_behind(&self, name: &str) -> bool {
        lock_session(name).is_some_and(|session| self.shared.was_ours(session))
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

/// Removes the lock of who leads in `term`. Its name is nobody else's, so that no other lock is removed for it.
pub(super) async fn depose(shared: &Arc<Shared>, znodes: &Znodes, term: Term) -> Result<(), StoreError> {
    let session = shared.session(REST).await?;
    let znodes = znodes.clone();
    let work = async move {
        let remove = async {
            let mut names = session.limited(session.client.list_children(&znodes.leader)).await?;
            names.retain(|name| sequence(name).is_some());
            let Some(first) = names.iter().min_by_key(|name| sequence(name)) else { return Ok(()) };
            let path = znodes.lock(first);
            match session.limited(session.client.check_stat(&path)).await? {
                Some(stat) if Term(stat.czxid) == term => {}
                _ => return Ok(()),
            }
            session.limited(session.client.delete(&path, None)).await
        };
        match remove.await {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(error) => Err(failed(&session, &znodes.leader, &error)),
        }
    };
    shared.spawn(work).await.ok().flatten().unwrap_or(Err(StoreError::Closed))
}
