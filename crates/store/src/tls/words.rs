//! What rustls says of a handshake that failed, in words that say what to do. It judges nothing.

use std::error::Error;
use std::io;
use std::sync::Arc;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsFailure};

/// What an error says, where it is one of TLS and not of the connection below.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<TlsFailure>() {
        return Some(words(error));
    }
    // Neither names what it holds as its source.
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return of(error.get_ref()?);
    }
    if let Some(error) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        return of(&**error);
    }
    of(error.source()?)
}

fn words(error: &TlsFailure) -> String {
    let what = match error {
        // What rustls says of these names the present time: it would be news each second.
        TlsFailure::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => {
            return "its certificate has expired".to_owned();
        }
        TlsFailure::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => return "its certificate is not valid yet (are the clocks right?)".to_owned(),
        TlsFailure::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is signed by nobody whom we trust (is the file with the certificates to trust the right \
             one?)"
        }
        TlsFailure::InvalidCertificate(_) => "its certificate is not valid for us",
        TlsFailure::InvalidMessage(_) => "what answers there speaks no TLS (is it the port for TLS?)",
        TlsFailure::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::HandshakeFailure
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => {
            "it does not take our certificate, or wants one (give it a certificate and a key that it trusts)"
        }
        TlsFailure::AlertReceived(_) => "it refuses our way of TLS",
        _ => "TLS failed",
    };
    format!("{what}: {error}")
}
