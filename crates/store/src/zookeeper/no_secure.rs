//! TLS for the client library where this crate is built without it: nobody can ask for it.

use std::convert::Infallible;

use zookeeper_client::{Client, Connector};

use crate::names::ConnectString;
use crate::tls::Tls;

/// There is no value of this type.
pub(super) struct Secured(Infallible);

impl Secured {
    pub(super) fn new(tls: &Tls) -> Self {
        tls.never()
    }

    #[allow(clippy::unused_async, reason = "with TLS it waits")]
    pub(super) async fn connect(&self, _: Connector, _: &ConnectString) -> Result<Client, String> {
        match self.0 {}
    }

    pub(super) fn refresh(&self) {
        match self.0 {}
    }

    #[allow(clippy::unused_async, reason = "with TLS it waits")]
    pub(super) async fn trouble(&self, _: &ConnectString) -> Option<String> {
        match self.0 {}
    }
}
