//! An authority that issues certificates for a test's servers and clients, in files as those want them. Nothing trusts
//! it but who is given its file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// An authority of a test's own; dropping it deletes all that it issued.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
    count: AtomicUsize,
}

/// A certificate and its key. It serves a server and a client alike.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate's file, in PEM.
    pub certificate: PathBuf,
    /// The key's file, in PEM.
    pub key: PathBuf,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    ///
    /// When there is no temporary directory that can be written to.
    pub fn new() -> Self {
        let directory =
            TempDir::with_prefix("redis-failover-lab-authority-").expect("a writable temporary directory");
        let mut params = CertificateParams::default();
        // Two of one name would be told apart by their signatures alone.
        params.distinguished_name.push(DnType::CommonName, directory.path().display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("random numbers");
        let certificate = params.self_signed(&key).expect("good parameters");
        fs::write(directory.path().join(ROOTS), certificate.pem()).expect("the directory is ours");
        Self { directory, issuer: Issuer::new(params, key), count: AtomicUsize::new(0) }
    }

    /// The file with its own certificate, which those name who trust it.
    pub fn roots(&self) -> PathBuf {
        self.directory.path().join(ROOTS)
    }

    /// Issues a certificate for these hosts, names or IP addresses.
    ///
    /// # Panics
    ///
    /// When a host is neither.
    pub fn issue(&self, hosts: &[&str]) -> Issued {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = |kind: &str| self.directory.path().join(format!("{number}.{kind}"));
        let issued = Issued { certificate: path("pem"), key: path("key") };
        self.issue_into(&issued, hosts);
        issued
    }

    /// Issues a new certificate and key for these hosts into the files of another, each in one step.
    ///
    /// # Panics
    ///
    /// When a host is neither a name nor an IP address.
    pub fn issue_into(&self, issued: &Issued, hosts: &[&str]) {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let params = CertificateParams::new(hosts).expect("hosts");
        let key = KeyPair::generate().expect("random numbers");
        let certificate = params.signed_by(&key, &self.issuer).expect("good parameters");
        put(&issued.certificate, &certificate.pem());
        put(&issued.key, &key.serialize_pem());
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// The authority's own certificate, in its directory.
const ROOTS: &str = "roots.pem";

/// Puts a file in the place of the one that may be there.
fn put(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("the directory is ours");
    fs::rename(new, file).expect("the directory is ours");
}
