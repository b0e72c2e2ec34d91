//! How the servers of an ensemble are called: over TLS or not, and as whom. It calls nobody, and shows no password.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::names::ConnectString;
use crate::tls::Tls;
use crate::tls_error::TlsError;

/// How the `ZooKeeper` servers are called; by default without TLS, as nobody in particular.
///
/// With credentials the znodes that are made belong to who has the same ones: others may read them and no more. Those
/// that stand already stay as they are.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens until it is given to something that connects"]
pub struct Access {
    tls: Option<Tls>,
    credentials: Option<(String, SecretString)>,
}

impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        self.tls == other.tls && self.digest() == other.digest()
    }
}

impl Eq for Access {}

impl Access {
    /// Over TLS.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// As this user with this password (`ZooKeeper`'s scheme `digest`). A user's name has no colon.
    pub fn credentials(mut self, user: impl Into<String>, password: SecretString) -> Self {
        self.credentials = Some((user.into(), password));
        self
    }

    /// Whether these servers can be called so: reads the files of TLS.
    ///
    /// # Errors
    /// When a file can't be used, or a server can't be verified.
    pub fn check(&self, servers: &ConnectString) -> Result<(), TlsError> {
        let Some(tls) = &self.tls else { return Ok(()) };
        if tls.has_server_name() {
            return Err(TlsError::NoServerName);
        }
        tls.check()?;
        servers.hosts().try_for_each(|(host, _)| tls.check_host(host))
    }

    /// Whether it is over TLS.
    pub fn is_over_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether it is as somebody.
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    pub(crate) fn over(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// How the scheme `digest` calls in an ACL who has these credentials.
    pub(crate) fn owner(&self) -> Option<String> {
        let (user, _) = self.credentials.as_ref()?;
        let hash = sha1_smol::Sha1::from(self.digest()?).digest().bytes();
        Some(format!("{user}:{}", BASE64_STANDARD.encode(hash)))
    }

    /// What the scheme `digest` wants to hear.
    pub(crate) fn digest(&self) -> Option<String> {
        self.credentials.as_ref().map(|(user, password)| format!("{user}:{}", password.expose_secret()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_called_as_zookeeper_calls_it() {
        // As `DigestAuthenticationProvider.generateDigest` says it in ZooKeeper's own manual.
        let access = Access::default().credentials("super", "superpw".into());
        assert_eq!(access.owner().as_deref(), Some("super:g9oN2HttPfn8MMWJZ2r45Np/LIA="));
        assert_eq!(Access::default().owner(), None);
    }

    #[test]
    fn a_password_is_compared_and_not_shown() {
        let access = |password: &str| Access::default().credentials("u", password.into());
        assert_eq!(access("hunter2"), access("hunter2"));
        assert_ne!(access("hunter2"), access("hunter3"));
        assert_ne!(access("hunter2"), Access::default());
        assert!(!format!("{:?}", access("hunter2")).contains("hunter2"));
    }
}
