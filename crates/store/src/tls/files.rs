//! The files of [`Tls`](super::Tls): what they hold, and whether they are still what was read. It never shows a key.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Said;
use crate::tls_error::TlsError;

/// How the files look from outside: what changes when they are written, replaced or given to others.
pub(super) type Seen = Vec<Option<[i64; 4]>>;

/// Looks at the files without reading them.
pub(super) fn look(said: &Said) -> Seen {
    let files =
        said.roots.iter().chain(said.identity.iter().flat_map(|(certificate, key)| [certificate, key]));
    // The time of the last change of anything: it moves with the contents, the owner and the rights alike.
    let stamp = |metadata: fs::Metadata| {
        let (inode, size) = (metadata.ino().cast_signed(), metadata.size().cast_signed());
        [metadata.ctime(), metadata.ctime_nsec(), inode, size]
    };
    files.map(|file| fs::metadata(file).map(stamp).ok()).collect()
}

/// What the files hold, and what the system trusts where no file says it.
pub(crate) struct Material {
    roots: Roots,
    identity: Option<Identity>,
}

enum Roots {
    System(&'static [CertificateDer<'static>]),
    File(String, String),
}

/// A certificate and its key, each with its file.
struct Identity {
    certificate: (String, String),
    key: (String, String),
}

impl Material {
    pub(super) fn read(said: &Said) -> Result<Self, TlsError> {
        let roots = match &said.roots {
            Some(file) => {
                let (file, text) = read(file)?;
                Roots::File(file, text)
            }
            None => Roots::System(trusted_by_system()?),
        };
        let identity = said.identity.as_ref().map(|(certificate, key)| {
            Ok::<_, TlsError>(Identity { certificate: read(certificate)?, key: read(key)? })
        });
        Ok(Self { roots, identity: identity.transpose()? })
    }

    /// Whom to trust, in PEM.
    pub(crate) fn roots_pem(&self) -> String {
        match &self.roots {
            Roots::File(_, text) => text.clone(),
            Roots::System(roots) => roots.iter().map(pem).collect(),
        }
    }

    /// The certificate to show and its key, in PEM.
    pub(crate) fn identity_pem(&self) -> Option<(&str, &str)> {
        self.identity.as_ref().map(|it| (it.certificate.1.as_str(), it.key.1.as_str()))
    }

    /// What rustls makes of it.
    pub(super) fn config(&self) -> Result<ClientConfig, TlsError> {
        // Ours, and not the process's: that is the program's choice.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Refused(error.to_string()))?
            .with_root_certificates(self.root_store()?);
        let Some(Identity { certificate: (file, text), key: (key_file, key) }) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(file, text)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| unusable(key_file, "it holds no private key in PEM without a password"))?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(key_file, &format!("it is not the key of {file}: {error}")))
    }

    fn root_store(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            Roots::System(roots) => {
                // A system may trust what rustls can't read; the others count.
                store.add_parsable_certificates(roots.iter().cloned());
            }
            Roots::File(file, text) => {
                for certificate in certificates(file, text)? {
                    store.add(certificate).map_err(|error| unusable(file, &error.to_string()))?;
                }
            }
        }
        Ok(store)
    }
}

/// Whom this system trusts. Read once: it takes milliseconds.
fn trusted_by_system() -> Result<&'static [CertificateDer<'static>], TlsError> {
    static TRUSTED: OnceLock<Result<Vec<CertificateDer<'static>>, String>> = OnceLock::new();
    let trusted = TRUSTED.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        match found.errors.first() {
            _ if !found.certs.is_empty() => Ok(found.certs),
            Some(error) => Err(error.to_string()),
            None => Err("there are none".to_owned()),
        }
    });
    trusted.as_deref().map_err(|why| TlsError::System(why.clone()))
}

fn read(file: &Path) -> Result<(String, String), TlsError> {
    let name = file.display().to_string();
    let unreadable = |error: io::Error| unusable(&name, &error.to_string());
    let text = fs::read_to_string(file).map_err(unreadable)?;
    Ok((name, text))
}

fn certificates(file: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(file, &format!("it is no PEM: {error}")))?;
    if found.is_empty() {
        return Err(unusable(file, "it holds no certificate in PEM"));
    }
    Ok(found)
}

fn unusable(file: &str, why: &str) -> TlsError {
    TlsError::File { file: file.to_owned(), why: why.to_owned() }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_trusts_is_said_in_pem_as_it_was() {
        let der: Vec<u8> = (0..=255).collect();
        let text = pem(&CertificateDer::from(der.clone()));
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        assert_eq!(certificates("f", &text).expect("PEM")[0].as_ref(), der);
    }
}
