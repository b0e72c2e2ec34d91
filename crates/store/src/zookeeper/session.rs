//! The session: connects for ever, tells everybody of each new session, and sees that nobody believes a
//! stalled one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zookeeper_client::{Acl, Client, Error, SessionState};

use super::left::Desk;
use super::pulse::Pulse;
use super::secure::Secured;
use super::standing::Standing;
use super::znodes::owned_by;
use super::{CLOSE_LIMIT, Connection, StoreError};
use crate::access::Access;
use crate::names::ConnectString;

/// The rest between two attempts to connect.
const REST: Duration = Duration::from_millis(200);

/// How many sessions that are over are remembered: more than ever stand together.
const REMEMBERED: usize = 8;

/// What the session's thread shares with all handles.
pub(super) struct Shared {
    pub(super) servers: ConnectString,
    pub(super) asked: Duration,
    secured: Option<Secured>,
    /// What the servers are told of who we are.
    digest: Option<SecretString>,
    owned: Option<Arc<[Acl]>>,
    handle: Handle,
    pub(super) pulse: Pulse,
    pub(super) sessions: watch::Sender<Option<Session>>,
    pub(super) connection: watch::Sender<Connection>,
    closing: watch::Sender<bool>,
    /// The session that the servers replaced behind the client's back, as somebody found.
    replaced: watch::Sender<Option<i64>>,
    /// The latest sessions that are given up here. The servers may still know them.
    former: Mutex<VecDeque<i64>>,
    standings: Mutex<Vec<Weak<Standing>>>,
    pub(super) desk: Desk,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// One session. Its znodes that are ephemeral carry its id.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) id: i64,
    /// As negotiated.
    pub(super) timeout: Duration,
    /// Whom what it makes belongs to; `None` for everybody.
    pub(super) owned: Option<Arc<[Acl]>>,
}

impl Session {
    /// The outcome of a request, or `Timeout`: requests wait without limit while there is no connection.
    pub(super) async fn limited<T>(
        &self,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        timeout(self.timeout, request).await.unwrap_or(Err(Error::Timeout))
    }
}

impl Shared {
    pub(super) fn new(servers: ConnectString, asked: Duration, access: &Access, handle: Handle) -> Self {
        Self {
            servers,
            asked,
            secured: access.over().map(Secured::new),
            digest: access.digest().map(SecretString::from),
            owned: access.owner().map(|owner| owned_by(&owner)),
            handle,
            pulse: Pulse::new(asked),
            sessions: watch::Sender::new(None),
            connection: watch::Sender::new(Connection::Connecting { last_error: None }),
            closing: watch::Sender::new(false),
            replaced: watch::Sender::default(),
            former: Mutex::default(),
            standings: Mutex::default(),
            desk: Desk::default(),
        }
    }

    /// Runs `work` on the session's thread until the store is closed; then it yields `None`.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let mut closing = self.closing.subscribe();
        self.handle.spawn(async move {
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => None,
                done = work => Some(done),
            }
        })
    }

    /// Does `work` in each session anew, until it is done or the store is gone. The end of a session drops its work.
    pub(super) async fn in_each_session<W: Future<Output = ()>>(&self, work: impl Fn(Session) -> W) {
        let mut sessions = self.sessions.subscribe();
        loop {
            let session = sessions.borrow_and_update().clone();
            let over = match session {
                None => sessions.changed().await,
                Some(session) => tokio::select! {
                    biased;
                    over = sessions.changed() => over,
                    () = work(session) => return,
                },
            };
            if over.is_err() {
                return;
            }
        }
    }

    /// The session within `limit`.
    pub(super) async fn session(&self, limit: Duration) -> Result<Session, StoreError> {
        let mut sessions = self.sessions.subscribe();
        match timeout(limit, sessions.wait_for(Option::is_some)).await {
            Ok(Ok(session)) => session.clone().ok_or(StoreError::Closed),
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => {
                let last_error = match &*self.connection.borrow() {
                    Connection::Connecting { last_error } => last_error.clone(),
                    _ => None,
                };
                Err(StoreError::NoSession { servers: self.servers.to_string(), waited: limit, last_error })
            }
        }
    }

    /// Gives up this session: the servers have another in its place.
    pub(super) fn renew(&self, session: i64) {
        self.replaced.send_replace(Some(session));
    }

    /// Whether this was a session of ours, and is given up: what it left behind is of no use to anybody.
    ///
    /// Servers that were all away count a session's time-out from when they are back, and its znodes stand that long.
    pub(super) fn was_ours(&self, session: i64) -> bool {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).contains(&session)
    }

    /// Numbers are given anew by an ensemble that was emptied.
    fn begins(&self, session: i64) {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).retain(|former| *former != session);
    }

    fn is_over(&self, session: i64) {
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.push_back(session);
        let excess = former.len().saturating_sub(REMEMBERED);
        former.drain(..excess);
    }

    pub(super) fn begin_close(&self) {
        self.closing.send_replace(true);
    }

    pub(super) fn closed(&self) {
        self.connection.send_replace(Connection::Closed);
    }

    /// Has the watchdog suspend this standing when the session's thread stalls.
    pub(super) fn watch_over(&self, standing: &Arc<Standing>) {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        standings.retain(|known| known.strong_count() > 0);
        standings.push(Arc::downgrade(standing));
    }

    fn suspend_all(&self) {
        let standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        standings.iter().filter_map(Weak::upgrade).for_each(|standing| standing.suspend());
    }

    /// The watchdog's loop, on a thread outside the session's: that one may be stalled.
    pub(super) fn guard(&self) {
        while *self.connection.borrow() != Connection::Closed {
            if !self.pulse.is_alive() {
                self.suspend_all();
            }
            std::thread::sleep((self.pulse.limit() / 4).max(Duration::from_millis(1)));
        }
        self.suspend_all();
    }
}

/// The session's life, on the session's thread. It returns when the store is closed.
pub(super) async fn run(shared: &Shared) {
    let mut closing = shared.closing.subscribe();
    let work = async {
        let mut last_error = None;
        loop {
            shared.connection.send_replace(Connection::Connecting { last_error: last_error.take() });
            match connect(shared).await {
                Ok(session) => {
                    live(shared, &session).await;
                    shared.is_over(session.id);
                }
                Err(error) => last_error = Some(error),
            }
            shared.suspend_all();
            shared.sessions.send_replace(None);
            sleep(REST).await;
        }
    };
    tokio::select! {
        biased;
        _ = closing.wait_for(|closing| *closing) => {}
        () = work => {}
    }
    shared.suspend_all();
    let last = shared.sessions.send_replace(None);
    // The client closes its session when the last clone is gone; all tasks are ending now.
    if let Some(mut states) = last.map(|session| session.client.state_watcher()) {
        let closed = async { while !states.changed().await.is_terminated() {} };
        let _ = timeout(CLOSE_LIMIT, closed).await;
    }
}

async fn connect(shared: &Shared) -> Result<Session, String> {
    let mut connector = Client::connector().with_session_timeout(shared.asked).with_fail_eagerly();
    if let Some(digest) = &shared.digest {
        connector = connector.with_auth("digest", digest.expose_secret().as_bytes());
    }
    let connecting = async {
        if let Some(secured) = &shared.secured {
            return secured.connect(connector, &shared.servers).await;
        }
        let servers = shared.servers.for_client();
        connector.connect(&servers).await.map_err(|error| error.to_string())
    };
    // Slow servers may take the whole time-out; the client's own deadline is not to be relied upon (Z4).
    let connected = timeout(shared.asked * 2, connecting).await;
    match (connected.unwrap_or_else(|_| Err(Error::Timeout.to_string())), &shared.secured) {
        (Ok(client), _) => Ok(Session {
            id: client.session_id().0,
            timeout: client.session_timeout(),
            owned: shared.owned.clone(),
            client,
        }),
        // The library does not say what TLS says.
        (Err(error), Some(secured)) => Err(secured.trouble(&shared.servers).await.unwrap_or(error)),
        (Err(error), None) => Err(error),
    }
}

/// Tells everybody of the session, and returns when it is over.
async fn live(shared: &Shared, session: &Session) {
    let mut states = session.client.state_watcher();
    let mut state = session.client.state();
    shared.begins(session.id);
    shared.pulse.set_session_timeout(session.timeout);
    shared.sessions.send_replace(Some(session.clone()));
    let beating = beat(shared, session);
    tokio::pin!(beating);
    // The number may be one that another session had before.
    shared.replaced.send_replace(None);
    let mut replaced = shared.replaced.subscribe();
    while !state.is_terminated() {
        shared.connection.send_replace(match state {
            SessionState::SyncConnected => Connection::Connected {
                session: session.id,
                asked: shared.asked,
                negotiated: session.timeout,
            },
            _ => Connection::Disconnected,
        });
        tokio::select! {
            changed = states.changed() => state = changed,
            () = &mut beating => {}
            // Each group finds it out for itself: only the first to say so of this session ends it.
            _ = replaced.wait_for(|replaced| *replaced == Some(session.id)) => return,
        }
    }
}

/// Keeps the pulse while the client is connected. It never returns.
///
/// The client's state is believed only as long as the beats follow each other closely: after a pause of this
/// thread (a stopped process) the state is what it was before. Then only an answer counts, from when it was
/// asked for.
async fn beat(shared: &Shared, session: &Session) {
    let mut last: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let unbroken = last.is_some_and(|last| now - last <= shared.pulse.limit());
        if session.client.state() != SessionState::SyncConnected {
            last = None;
            // The library connects again by itself; the certificate may be a new one meanwhile.
            shared.secured.iter().for_each(Secured::refresh);
        } else if unbroken {
            shared.pulse.beat(now);
            last = Some(now);
        } else {
            shared.suspend_all();
            if session.limited(session.client.check_stat("/")).await.is_ok() {
                shared.pulse.beat(now);
                last = Some(now);
            }
        }
        sleep((shared.pulse.limit() / 5).max(Duration::from_millis(1))).await;
    }
}
