//! TLS for the client library: what it is given, and why it failed, which it does not say. It decides nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use zookeeper_client::{Client, Connector, TlsCa, TlsCerts, TlsDynamicCerts, TlsIdentity, TlsOptions};

use crate::names::ConnectString;
use crate::tls::{Material, Tls, tls_refusal};
use crate::tls_error::TlsError;

/// How long one server may take to show its certificate, when it is asked why nothing came of it.
const SHOW_LIMIT: Duration = Duration::from_secs(1);

/// TLS, and what the library was given of it last.
pub(super) struct Secured {
    tls: Tls,
    given: Mutex<Option<(Arc<Material>, TlsDynamicCerts)>>,
}

impl Secured {
    pub(super) fn new(tls: &Tls) -> Self {
        // The library takes the process's provider, and would choose one for it: where that is left to the features of
        // all crates together, two of them are a panic.
        if CryptoProvider::get_default().is_none() {
            // Somebody else may have been faster.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        Self { tls: tls.clone(), given: Mutex::default() }
    }

    /// Connects, with what the files hold now.
    ///
    /// # Errors
    /// With what is wrong, in words.
    pub(super) async fn connect(
        &self,
        connector: Connector,
        servers: &ConnectString,
    ) -> Result<Client, String> {
        let options = TlsOptions::new().with_certs(self.given()?);
        let connected = connector.with_tls(options).secure_connect(&servers.for_tls_client()).await;
        connected.map_err(|error| error.to_string())
    }

    /// Has the library take what the files hold now for its next connection.
    pub(super) fn refresh(&self) {
        if let Err(error) = self.given() {
            tracing::warn!("TLS to ZooKeeper: {error}");
        }
    }

    fn given(&self) -> Result<TlsDynamicCerts, String> {
        let material = self.tls.material().map_err(|error| error.to_string())?;
        // Whole between any two statements.
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, certs)) = &*given
            && Arc::ptr_eq(known, &material)
        {
            return Ok(certs.clone());
        }
        let new = certs(&material).map_err(|error| error.to_string())?;
        let certs = match given.take() {
            Some((_, certs)) => {
                certs.update(new);
                certs
            }
            None => TlsDynamicCerts::new(new),
        };
        *given = Some((material, certs.clone()));
        Ok(certs)
    }

    /// Why TLS with these servers fails, if it does. All are asked at once; the first of the list that says so counts.
    pub(super) async fn trouble(&self, servers: &ConnectString) -> Option<String> {
        let mut asking = JoinSet::new();
        for (place, (host, port)) in servers.hosts().enumerate() {
            let (tls, host) = (self.tls.clone(), host.to_owned());
            asking.spawn(async move {
                let refused = timeout(SHOW_LIMIT, refusal(&tls, &host, port)).await.ok().flatten();
                refused.map(|why| (place, why))
            });
        }
        let first = asking.join_all().await.into_iter().flatten().min();
        first.map(|(_, why)| why)
    }
}

/// What this server has against TLS with us, or we with it.
async fn refusal(tls: &Tls, host: &str, port: u16) -> Option<String> {
    let stream = TcpStream::connect((host, port)).await.ok()?;
    let why = match tls.connect(host, stream).await {
        Err(error @ (TlsError::Refused(_) | TlsError::File { .. })) => error.to_string(),
        Err(_) => return None,
        // A server that wants another certificate says so only now. One that does not says nothing.
        Ok(mut stream) => tls_refusal(&stream.read_u8().await.err()?)?,
    };
    Some(format!("{host}:{port}: {why}"))
}

fn certs(material: &Material) -> Result<TlsCerts, zookeeper_client::Error> {
    let builder = TlsCerts::builder().with_ca(TlsCa::from_pem(&material.roots_pem())?);
    match material.identity_pem() {
        Some((certificate, key)) => builder.with_identity(TlsIdentity::from_pem(certificate, key)?).build(),
        None => builder.build(),
    }
}
