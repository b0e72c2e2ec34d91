//! The sessions with what keeps the records, ZooKeeper or a file: one for all groups that ask for the same. It knows no
//! group.

use redis_failover_store::{ConnectString, Connection, Embedded, EmbeddedSession, Feed, ZooKeeper};

use crate::config::{Backing, Ensemble};
use crate::failure::{Failure, Kind};

/// The open sessions.
#[derive(Default)]
pub(super) struct Sessions(Vec<(Backing, Session)>);

/// One of them.
#[derive(Clone)]
pub(super) enum Session {
    /// With servers.
    ZooKeeper(ZooKeeper),
    /// With a store of this process, kept in a file that is nobody else's meanwhile.
    StateFile(EmbeddedSession),
}

impl Sessions {
    /// The session with `backing`; it is begun where there is none.
    ///
    /// # Errors
    /// When the operating system grants no thread or no file descriptor, or a file is not to be had.
    pub(super) fn with(&mut self, backing: &Backing) -> Result<Session, Failure> {
        if let Some((_, session)) = self.0.iter().find(|(open, _)| open == backing) {
            return Ok(session.clone());
        }
        let session = match backing {
            Backing::ZooKeeper(Ensemble { zkhosts, session_timeout, access }) => {
                let session =
                    ZooKeeper::connect_with(zkhosts.clone(), *session_timeout, access).map_err(|error| {
                        Failure::new(Kind::Failed, format!("no session with ZooKeeper: {error}"))
                    })?;
                tokio::spawn(tell_connection(session.state(), zkhosts.clone()));
                Session::ZooKeeper(session)
            }
            Backing::StateFile(file) => {
                let store = Embedded::open(file).map_err(|error| Failure::new(Kind::Failed, error))?;
                tracing::info!(
                    event = "state-file",
                    "{backing} keeps what must outlive a restart; this process is the only monitor, and without \
                     it there is no failover"
                );
                Session::StateFile(store.session())
            }
        };
        self.0.push((backing.clone(), session.clone()));
        Ok(session)
    }

    /// Closes the sessions that nobody of `needed` asks for.
    pub(super) async fn keep(&mut self, needed: &[&Backing]) {
        let (kept, over) =
            std::mem::take(&mut self.0).into_iter().partition(|(open, _)| needed.contains(&open));
        self.0 = kept;
        let over: Vec<(Backing, Session)> = over;
        for (backing, session) in over {
            match session {
                Session::ZooKeeper(session) => session.close().await,
                Session::StateFile(session) => session.close(),
            }
            match &backing {
                Backing::ZooKeeper(ensemble) => {
                    let servers = &ensemble.zkhosts;
                    tracing::info!(event = "stop", "the session with ZooKeeper at {servers} is closed");
                }
                Backing::StateFile(_) => tracing::info!(event = "stop", "{backing} is closed"),
            }
        }
    }
}

/// Says how the ZooKeeper session fares, a line for each change.
async fn tell_connection(mut state: Feed<Connection>, servers: ConnectString) {
    let mut told = None;
    loop {
        let next = state.next().await;
        // It is tried again several times a second; a failure like the last one is no news.
        if told.as_ref() == Some(&next) {
            continue;
        }
        match told.insert(next).clone() {
            Connection::Connecting { last_error: None } => {
                tracing::info!(event = "zookeeper", "connecting to ZooKeeper at {servers}");
            }
            Connection::Connecting { last_error: Some(error) } => tracing::warn!(
                event = "zookeeper",
                "no session with ZooKeeper at {servers}: {error}; trying on (are the servers right, and do they run?)"
            ),
            Connection::Connected { session, asked, negotiated } => {
                tracing::info!(
                    event = "zookeeper",
                    session = format!("{session:#x}"),
                    "session with ZooKeeper, its time-out is {negotiated:?}"
                );
                if negotiated > asked {
                    tracing::warn!(
                        event = "zookeeper",
                        "the ensemble raised the session time-out from {asked:?} to {negotiated:?}: a dead leader \
                         keeps the lead for that long (lower tickTime or minSessionTimeout there)"
                    );
                }
            }
            Connection::Disconnected => {
                tracing::warn!(event = "zookeeper", "the connection to ZooKeeper broke");
            }
            Connection::Closed => return,
        }
    }
}
