//! What may be wrong with TLS. It is here whether there is TLS or not.

use std::io;

/// Why there is no connection over TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of ours can't be used.
    #[error("{file}: {why}")]
    File {
        /// Which one.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// What the system trusts can't be read, or is nothing.
    #[error("the certificates that this system trusts: {0} (name a file with those to trust)")]
    System(String),
    /// No certificate can name such a host.
    #[error("`{0}` is a host that no certificate can name")]
    Name(String),
    /// The client library of `ZooKeeper` can't.
    #[error(
        "ZooKeeper's servers are verified by the hosts that they are called by alone: leave the server name out"
    )]
    NoServerName,
    /// The server answered, and one of us does not take the other.
    #[error("{0}")]
    Refused(String),
    /// The connection ended, or nothing came.
    #[error("the connection broke during the TLS handshake: {0}")]
    Broken(io::Error),
    /// This program can't.
    #[error("this was built without TLS (the feature `tls`)")]
    NotBuilt,
}

impl TlsError {
    /// The same for who knows I/O errors only.
    pub fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::File { .. } | Self::System(_) | Self::Name(_) | Self::NoServerName => {
                io::ErrorKind::InvalidInput
            }
            Self::Refused(_) => io::ErrorKind::InvalidData,
            Self::NotBuilt => io::ErrorKind::Unsupported,
            Self::Broken(error) => error.kind(),
        };
        io::Error::new(kind, self)
    }
}
