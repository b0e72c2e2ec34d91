//! The store on `ZooKeeper`: one session for many groups, on a thread of its own.
//!
//! Only this module names the client library, whose faults it works round
//! (docs/design/0002-zookeeper-client.md). It never deletes and recreates a document, never uses persistent
//! watches, and never takes an error for a "no": what the server did not refuse in so many words may have
//! happened.

mod bell;
mod campaign;
mod commit;
mod election;
mod examination;
mod group;
mod history;
mod left;
mod predecessors;
mod publication;
mod publisher;
mod pulse;
mod record;
mod reports;
mod requests;
#[cfg(feature = "tls")]
mod secure;
#[cfg(not(feature = "tls"))]
#[path = "no_secure.rs"]
mod secure;
mod session;
mod snapshot;
mod standing;
mod znodes;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::access::Access;
use crate::feed::Feed;
use crate::names::{ConnectString, GroupPath};
use crate::tls_error::TlsError;
pub use campaign::ZooKeeperCampaign;
pub use examination::Examination;
pub use group::ZooKeeperGroup;
pub use requests::Unanswered;
use session::Shared;
pub use snapshot::Snapshot;
use znodes::NOT_AUTHORIZED;

/// How long [`ZooKeeper::close`] waits for the server's word.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// How the session is doing, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// There is no session yet, or none any more: it tries for ever.
    Connecting {
        /// Why the last attempt failed.
        last_error: Option<String>,
    },
    /// The session is alive as far as is known.
    Connected {
        /// Its id, as `ZooKeeper` logs it.
        session: i64,
        /// The time-out that was asked for.
        asked: Duration,
        /// The time-out that the servers granted; all deadlines follow it.
        negotiated: Duration,
    },
    /// The connection broke; the session may still be saved.
    Disconnected,
    /// [`ZooKeeper::close`] was called, or all handles were dropped.
    Closed,
}

/// Why the store could not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There was no session in time.
    #[error("no connection to ZooKeeper at {servers} within {waited:?}{}", because(.last_error.as_deref()))]
    NoSession {
        /// Which servers were tried.
        servers: String,
        /// For how long.
        waited: Duration,
        /// What the last attempt met.
        last_error: Option<String>,
    },
    /// There was no answer in time.
    #[error("no answer from ZooKeeper within {0:?}")]
    NoAnswer(Duration),
    /// The store was closed.
    #[error("the connection to ZooKeeper was closed here")]
    Closed,
    /// The file that an embedded store is kept in could not be written.
    #[error("the state file {file}: {why}")]
    StateFile {
        /// Which file.
        file: String,
        /// What the system said.
        why: String,
    },
    /// The server does not let us: nothing was done.
    #[error("{znode}: {NOT_AUTHORIZED}")]
    NotAuthorized {
        /// Which znode it was about.
        znode: String,
    },
    /// The server or the client library said so.
    #[error("{znode}: {why}")]
    Failed {
        /// Which znode it was about.
        znode: String,
        /// What was said.
        why: String,
    },
}

fn because(error: Option<&str>) -> String {
    error.map(|error| format!(": {error}")).unwrap_or_default()
}

/// One session with an ensemble. Cheap to clone; when the last handle (groups and campaigns count) is
/// dropped, the session is closed.
#[derive(Clone, Debug)]
pub struct ZooKeeper {
    owner: Arc<Owner>,
}

/// Ends the thread when nobody needs it any more. The thread's own tasks hold only [`Shared`].
#[derive(Debug)]
pub(crate) struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.begin_close();
    }
}

impl ZooKeeper {
    /// A session with the ensemble. It returns at once and connects in the background, for ever if need be.
    ///
    /// # Errors
    /// When the operating system grants no thread or no file descriptor.
    pub fn connect(servers: ConnectString, session_timeout: Duration) -> io::Result<Self> {
        Self::connect_with(servers, session_timeout, &Access::default())
    }

    /// The same, over TLS and with credentials where `access` says so.
    ///
    /// # Errors
    /// As above, and when a file of TLS can't be used or a server can't be verified.
    pub fn connect_with(
        servers: ConnectString,
        session_timeout: Duration,
        access: &Access,
    ) -> io::Result<Self> {
        access.check(&servers).map_err(TlsError::into_io)?;
        // A thread of its own: the client can spin without yielding (Z4), and nobody else must freeze with
        // it.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::new(servers, session_timeout, access, runtime.handle().clone()));
        let (session, watchdog) = (Arc::clone(&shared), Arc::clone(&shared));
        start(runtime, move |runtime| {
            runtime.block_on(session::run(&session));
            session.closed();
        })?;
        let owner = Arc::new(Owner { shared });
        thread::Builder::new().name("zookeeper-watchdog".to_owned()).spawn(move || watchdog.guard())?;
        Ok(Self { owner })
    }

    /// How the session is doing.
    pub fn state(&self) -> Feed<Connection> {
        self.owner.shared.connection.subscribe().into()
    }

    /// The group that is published at `path` below the connect string's chroot.
    pub fn group(&self, path: &GroupPath) -> ZooKeeperGroup {
        ZooKeeperGroup::new(Arc::clone(&self.owner), path)
    }

    /// Closes the session and returns when the servers know it, or after three seconds.
    ///
    /// Locks and reports vanish with it at once. All handles are of no use from then on.
    pub async fn close(&self) {
        self.owner.shared.begin_close();
        let mut connection = self.owner.shared.connection.subscribe();
        let closed = connection.wait_for(|state| *state == Connection::Closed);
        // Whether it was in time makes no difference: the session expires by itself.
        let _ = tokio::time::timeout(CLOSE_LIMIT, closed).await;
    }
}

/// Starts a thread with this runtime. Where none is granted, the runtime is not dropped with what the thread should
/// have done: tokio panics when that happens within a runtime, and the caller may be in one.
fn start(runtime: Runtime, work: impl FnOnce(Runtime) + Send + 'static) -> io::Result<()> {
    start_by(runtime, work, |run| thread::Builder::new().name("zookeeper".to_owned()).spawn(run).map(drop))
}

fn start_by(
    runtime: Runtime,
    work: impl FnOnce(Runtime) + Send + 'static,
    spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
) -> io::Result<()> {
    let (give, take) = mpsc::sync_channel(1);
    let run = move || {
        if let Ok(runtime) = take.recv() {
            work(runtime);
        }
    };
    if let Err(error) = spawn(Box::new(run)) {
        runtime.shutdown_background();
        return Err(error);
    }
    // The thread is there, and takes it.
    let _ = give.send(runtime);
    Ok(())
}

#[cfg(test)]
mod tests;
