//! How znodes come into being, and what is said when they do not. Nothing is ever deleted here.

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

/// Makes the persistent znode `path` and all above it, empty, where they are missing.
pub(super) async fn ensure(session: &Session, path: &str) -> Result<(), Error> {
    session.limited(session.client.mkdir(path, &PERSISTENT)).await
}

/// Creation of the state inside a transaction.
pub(super) fn persistent() -> CreateOptions<'static> {
    PERSISTENT
}

/// An error for callers that do not know the client library.
pub(super) fn failed(session: &Session, znode: &str, error: &Error) -> StoreError {
    match error {
        Error::Timeout => StoreError::NoAnswer(session.timeout),
        error => StoreError::Failed { znode: znode.to_owned(), why: error.to_string() },
    }
}
