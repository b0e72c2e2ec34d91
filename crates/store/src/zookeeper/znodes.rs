//! The znodes of a group: their paths, and how they come into being. Nothing is ever deleted here.

use redis_failover_core::MonitorId;
use zookeeper_client::{Acls, CreateMode, CreateOptions, Error};

use super::StoreError;
use super::session::Session;

/// Everybody may do everything, as with the predecessor.
const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
/// As above, and it vanishes with its session.
pub(super) const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
/// As above, and the server numbers it.
pub(super) const SEQUENTIAL: CreateOptions<'static> =
    CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());

/// The paths of one group.
#[derive(Clone, Debug)]
pub(super) struct Znodes {
    pub(super) document: String,
    pub(super) state: String,
    pub(super) leader: String,
    pub(super) monitors: String,
}

impl Znodes {
    pub(super) fn new(document: String) -> Self {
        let below = |name: &str| format!("{document}/{name}");
        Self { state: below("state"), leader: below("leader"), monitors: below("monitors"), document }
    }

    pub(super) fn report(&self, monitor: &MonitorId) -> String {
        format!("{}/{monitor}", self.monitors)
    }

    pub(super) fn lock(&self, name: &str) -> String {
        format!("{}/{name}", self.leader)
    }
}

/// Makes the persistent znode `path` and all above it, empty, where they are missing.
pub(super) async fn ensure(session: &Session, path: &str) -> Result<(), Error> {
    session.limited(session.client.mkdir(path, &PERSISTENT)).await
}

/// Creation of the state inside a transaction.
pub(super) fn persistent() -> CreateOptions<'static> {
    PERSISTENT
}

/// The number that the server gave a sequential znode.
pub(super) fn sequence(name: &str) -> Option<i64> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// An error for callers that do not know the client library.
pub(super) fn failed(session: &Session, znode: &str, error: &Error) -> StoreError {
    match error {
        Error::Timeout => StoreError::NoAnswer(session.timeout),
        error => StoreError::Failed { znode: znode.to_owned(), why: error.to_string() },
    }
}
