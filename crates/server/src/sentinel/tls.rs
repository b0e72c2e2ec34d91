//! TLS for those who call the endpoint: our certificate, and whose certificates are asked for. The files are read once,
//! at the start. It never shows a key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::failure::{Failure, Kind};

/// How the endpoint proves who it is.
#[derive(Clone)]
pub(crate) struct ServerTls(Arc<ServerConfig>);

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// The files, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerTlsFiles {
    /// Our certificate, with those that lead to it.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Whose certificates clients must show; `None` where they need none.
    pub(crate) clients: Option<PathBuf>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub(crate) fn read(files: &ServerTlsFiles) -> Result<Self, Failure> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::new(Kind::Failed, format!("TLS: {error}")))?;
        let builder = match &files.clients {
            None => builder.with_no_client_auth(),
            Some(file) => builder.with_client_cert_verifier(verifier(file, provider)?),
        };
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, error))?;
        let config = builder
            .with_single_cert(certificates(&files.certificate)?, key)
            .map_err(|error| wrong(&files.key, format!("{error} (with {})", files.certificate.display())))?;
        Ok(Self(Arc::new(config)))
    }

    /// Shakes hands with who called.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(Arc::clone(&self.0)).accept(stream).await
    }
}

type Verifier = Arc<dyn tokio_rustls::rustls::server::danger::ClientCertVerifier>;

fn verifier(file: &Path, provider: Arc<CryptoProvider>) -> Result<Verifier, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| wrong(file, error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| wrong(file, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| wrong(file, error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| wrong(file, error))?;
    if found.is_empty() {
        return Err(wrong(file, "it holds no certificate in PEM"));
    }
    Ok(found)
}

fn wrong(file: &Path, why: impl fmt::Display) -> Failure {
    Failure::new(Kind::Failed, format!("{}: {why}", file.display()))
        .hint("the Sentinel endpoint's certificate, key and authorities are files in PEM, the key without a password")
}
