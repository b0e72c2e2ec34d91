//! TLS where this crate is built without it: there is none, and whoever asks for it is told so.

use std::convert::Infallible;
use std::error::Error;

use crate::tls_error::TlsError;

/// TLS, of which there is none in this build: there is no value of this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls(Infallible);

impl Tls {
    /// Whether it verifies by a name of its own.
    pub fn has_server_name(&self) -> bool {
        match self.0 {}
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Never: there is nothing to check.
    pub fn check(&self) -> Result<(), TlsError> {
        match self.0 {}
    }

    /// Whatever is wanted: this is never called.
    pub(crate) fn never<T>(&self) -> T {
        match self.0 {}
    }

    /// Whether a certificate can name this host.
    pub(crate) fn check_host(&self, _host: &str) -> Result<(), TlsError> {
        match self.0 {}
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Never: nobody can ask.
    #[allow(clippy::unused_async, reason = "with TLS it waits")]
    pub async fn connect<S>(&self, _host: &str, _stream: S) -> Result<S, TlsError> {
        match self.0 {}
    }
}

/// What TLS says of it: nothing, without TLS.
pub fn tls_refusal(_error: &(dyn Error + 'static)) -> Option<String> {
    None
}
