//! TLS for those who call Redis and `ZooKeeper`: whom they trust, who they are, and the handshake. It opens no
//! connection, and no file but those that it was told of. It never asks for the process's default of cryptography, and
//! there is no way to have it trust everybody.

mod files;
mod words;

use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls_error::TlsError;
pub(crate) use files::Material;
use files::{Seen, look};

/// Whom connections over TLS trust, and who they are to the other side.
///
/// By default that is whom this system trusts, and nobody in particular. Files are in PEM. They are looked at for each
/// new connection, and read again when they have changed; where they can't be read then, such as in the middle of a
/// change, what was read before counts and a line is logged. What the system trusts is read once.
///
/// A server is verified by the host that it is called by: a name or an IP address that its certificate must name as an
/// alternative name (SAN).
///
/// ```
/// # #[cfg(feature = "tls")] {
/// use redis_failover_store::Tls;
///
/// let tls = Tls::new().roots_file("/etc/redis/ca.pem").identity_files("/etc/app/app.pem", "/etc/app/app.key");
/// let error = tls.check().expect_err("there is no such file");
/// assert!(error.to_string().contains("/etc/redis/ca.pem"));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens until it is given to something that connects"]
pub struct Tls {
    said: Said,
    loaded: Arc<Mutex<Option<Loaded>>>,
}

/// What was said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    roots: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
}

/// What the files held when they were last read well.
struct Loaded {
    /// As they were when they were read.
    seen: Seen,
    /// What was wrong when they were read again, and was said.
    trouble: Option<String>,
    config: Arc<ClientConfig>,
    material: Arc<Material>,
}

impl Loaded {
    fn both(&self) -> (Arc<ClientConfig>, Arc<Material>) {
        (Arc::clone(&self.config), Arc::clone(&self.material))
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").finish_non_exhaustive()
    }
}

/// Two that say the same do the same.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl Eq for Tls {}

impl Tls {
    /// Trusts whom this system trusts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts those whose certificates are in this file, instead of those whom the system trusts.
    pub fn roots_file(self, file: impl Into<PathBuf>) -> Self {
        self.saying(|said| said.roots = Some(file.into()))
    }

    /// Shows this certificate (with those that lead to it, if any) to a server that asks for one, and proves it with
    /// this key.
    pub fn identity_files(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.saying(|said| said.identity = Some((certificate.into(), key.into())))
    }

    /// Verifies each server by this name instead of the host that it is called by: for certificates that all bear one
    /// name. Not with `ZooKeeper`, whose client library can't.
    pub fn server_name(self, name: impl Into<String>) -> Self {
        self.saying(|said| said.server_name = Some(name.into()))
    }

    fn saying(self, say: impl FnOnce(&mut Said)) -> Self {
        let mut said = self.said;
        say(&mut said);
        Self { said, loaded: Arc::default() }
    }

    /// Whether it verifies by a name of its own.
    pub fn has_server_name(&self) -> bool {
        self.said.server_name.is_some()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When one of them can't be read, or does not hold what it should; the error names it.
    pub fn check(&self) -> Result<(), TlsError> {
        if let Some(name) = &self.said.server_name {
            server_name(name)?;
        }
        self.load().map(drop)
    }

    /// Whether a certificate can name this host.
    pub(crate) fn check_host(&self, host: &str) -> Result<(), TlsError> {
        server_name(self.said.server_name.as_deref().unwrap_or(host)).map(drop)
    }

    /// Shakes hands over a connection to `host`.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<TlsStream<S>, TlsError> {
        let name = server_name(self.said.server_name.as_deref().unwrap_or(host))?;
        let connected = TlsConnector::from(self.load()?.0).connect(name, stream).await;
        connected.map_err(|error| match words::of(&error) {
            Some(words) => TlsError::Refused(words),
            None => TlsError::Broken(error),
        })
    }

    /// What the files hold now.
    pub(crate) fn material(&self) -> Result<Arc<Material>, TlsError> {
        self.load().map(|loaded| loaded.1)
    }

    fn load(&self) -> Result<(Arc<ClientConfig>, Arc<Material>), TlsError> {
        // Whole between any two statements.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look(&self.said);
        if let Some(known) = loaded.as_ref().filter(|known| known.seen == seen) {
            return Ok(known.both());
        }
        let read = Material::read(&self.said).and_then(|material| Ok((material.config()?, material)));
        match (read, loaded.as_mut()) {
            (Ok((config, material)), _) => {
                let (config, material) = (Arc::new(config), Arc::new(material));
                Ok(loaded.insert(Loaded { seen, trouble: None, config, material }).both())
            }
            (Err(error), Some(known)) => {
                // Read again each time: what is wrong may end without a trace on the file.
                let trouble = Some(error.to_string());
                if known.trouble != trouble {
                    tracing::warn!("the certificates of before are used: {error}");
                    known.trouble = trouble;
                }
                Ok(known.both())
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// What TLS says of it, if this is an error of TLS: a server that wants another certificate says so only after the
/// handshake, on a connection that stands.
pub fn tls_refusal(error: &(dyn Error + 'static)) -> Option<String> {
    words::of(error)
}

/// The name by which a server is verified.
///
/// # Errors
/// When it is neither a name nor an IP address.
fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))
}

#[cfg(test)]
mod tests;
