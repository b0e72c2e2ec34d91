//! How znodes come into being, and what is said when they do not. Nothing is ever deleted here.

use std::sync::Arc;

use zookeeper_client::{Acl, Acls, AuthId, CreateMode, CreateOptions, Error, Permission};

use super::StoreError;
use super::examination::opens;
use super::session::Session;

/// With credentials: who has the same ones may do everything, all others may read, as clients and people do.
///
/// Not with the scheme `auth`, which stands for all that the session is known as, and that is its certificate, too.
pub(super) fn owned_by(owner: &str) -> Arc<[Acl]> {
    let owner = Acl::new(Permission::ALL, AuthId::new("digest", owner));
    [owner, Acl::new(Permission::READ, AuthId::anyone())].into()
}

impl Session {
    /// How a znode of this kind is made. Without credentials everybody may do everything, as with the predecessor.
    fn options(&self, mode: CreateMode) -> CreateOptions<'_> {
        mode.with_acls(self.owned.as_deref().map_or(Acls::anyone_all(), Acls::new))
    }

    /// Of one that stays.
    pub(super) fn persistent(&self) -> CreateOptions<'_> {
        self.options(CreateMode::Persistent)
    }

    /// Of one that vanishes with this session.
    pub(super) fn ephemeral(&self) -> CreateOptions<'_> {
        self.options(CreateMode::Ephemeral)
    }

    /// Of one that vanishes with this session, and that the server numbers.
    pub(super) fn sequential(&self) -> CreateOptions<'_> {
        self.options(CreateMode::EphemeralSequential)
    }
}

/// Makes the persistent znode `path` and all above it, empty, where they are missing.
pub(super) async fn ensure(session: &Session, path: &str) -> Result<(), Error> {
    session.limited(session.client.mkdir(path, &session.persistent())).await
}

/// Warns where others than those with our credentials may change the znode though we have some: it was made without.
pub(super) async fn warn_if_open(session: &Session, path: &str) {
    if session.owned.is_none() {
        return;
    }
    let Ok((acls, _)) = session.limited(session.client.get_acl(path)).await else { return };
    if acls.iter().any(opens) {
        tracing::warn!(
            path,
            "everybody may change this znode: it was made without credentials, and stays as it is. Once all monitors \
             have them, set its ACL and that of all below it (zkCli.sh: setAcl -R PATH auth::cdrwa,world:anyone:r)"
        );
    }
}

/// What is said of a znode that belongs to others.
pub(super) const NOT_AUTHORIZED: &str = "not authorized: the znode's ACL does not let us (are the user and the \
    password for ZooKeeper those of the group's other monitors?)";

/// What an error says, in words that say what to do.
pub(super) fn why(error: &Error) -> String {
    match error {
        Error::NoAuth => NOT_AUTHORIZED.to_owned(),
        error => error.to_string(),
    }
}

/// Whether the server itself said no, and so nothing was written.
pub(super) fn is_no(error: &Error) -> bool {
    use Error::{InvalidAcl, NoAuth, NoChildrenForEphemerals, QuotaExceeded};
    matches!(error, NoAuth | QuotaExceeded | InvalidAcl | NoChildrenForEphemerals)
}

/// An error for callers that do not know the client library.
pub(super) fn failed(session: &Session, znode: &str, error: &Error) -> StoreError {
    match error {
        Error::Timeout => StoreError::NoAnswer(session.timeout),
        Error::NoAuth => StoreError::NotAuthorized { znode: znode.to_owned() },
        error => StoreError::Failed { znode: znode.to_owned(), why: why(error) },
    }
}
