//! What files do to TLS, and how failures are told apart.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use redis_failover_lab::{Authority, Issued};

use super::*;

fn tls(authority: &Authority, issued: &Issued) -> Tls {
    Tls::new().roots_file(authority.roots()).identity_files(&issued.certificate, &issued.key)
}

/// For all that one says before it hears the other.
const ROOM: usize = 64 << 10;

#[test]
fn files_are_read_again_only_when_they_have_changed() {
    let authority = Authority::new();
    let issued = authority.issue(&["app"]);
    let tls = tls(&authority, &issued);
    let first = tls.load().expect("good files").0;
    assert!(Arc::ptr_eq(&first, &tls.clone().load().expect("good files").0), "a clone is the same");
    authority.issue_into(&issued, &["app"]);
    let second = tls.load().expect("good files").0;
    assert!(!Arc::ptr_eq(&first, &second));
    fs::write(&issued.key, "no key").expect("it is ours");
    assert!(Arc::ptr_eq(&second, &tls.load().expect("those of before").0));
    authority.issue_into(&issued, &["app"]);
    let third = tls.load().expect("good files").0;
    assert!(!Arc::ptr_eq(&second, &third));
    // Who may read it is a change as well: it may be the end of what was wrong.
    fs::set_permissions(&issued.key, fs::Permissions::from_mode(0o640)).expect("it is ours");
    assert!(!Arc::ptr_eq(&third, &tls.load().expect("good files").0));
}

#[test]
fn what_is_said_of_a_time_does_not_change_with_it() {
    use tokio_rustls::rustls::{CertificateError, Error, pki_types::UnixTime};
    let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let expired = |time| CertificateError::ExpiredContext { time: at(time), not_after: at(5) };
    let early = |time| CertificateError::NotValidYetContext { time: at(time), not_before: at(99) };
    let said = |error| words::of(&Error::InvalidCertificate(error)).expect("words");
    assert_eq!(said(expired(10)), said(expired(11)));
    assert!(said(expired(10)).contains("expired"));
    assert_eq!(said(early(10)), said(early(11)));
    assert!(said(early(10)).contains("not valid yet"));
}

#[test]
fn no_key_is_shown() {
    let authority = Authority::new();
    let issued = authority.issue(&["app"]);
    let tls = tls(&authority, &issued);
    tls.check().expect("good files");
    let key = fs::read_to_string(&issued.key).expect("a key");
    let line = key.lines().nth(1).expect("a line of it");
    assert!(!format!("{tls:?}").contains(line));
    // Nor where it stands in the place of something else.
    let error = Tls::new().roots_file(&issued.key).check().expect_err("that is no certificate");
    assert!(!error.to_string().contains(line), "{error}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_refusal_and_what_is_no_tls_is_one() {
    let authority = Authority::new();
    let tls = tls(&authority, &authority.issue(&["app"]));
    let (ours, theirs) = tokio::io::duplex(ROOM);
    drop(theirs);
    let broken = tls.connect("localhost", ours).await.expect_err("nobody is there");
    assert!(matches!(broken, TlsError::Broken(_)), "{broken}");

    let (ours, mut theirs) = tokio::io::duplex(ROOM);
    tokio::io::AsyncWriteExt::write_all(&mut theirs, b"-ERR what?\r\n").await.expect("there is room");
    let refused = tls.connect("localhost", ours).await.expect_err("that is no TLS");
    assert!(matches!(&refused, TlsError::Refused(why) if why.contains("no TLS")), "{refused}");
    // And it is still known for one as what it becomes on its way.
    let io = refused.into_io();
    assert!(io.to_string().contains("no TLS"), "{io}");
    let name = tls.connect("a b", tokio::io::duplex(1).0).await.expect_err("no host");
    assert!(matches!(name, TlsError::Name(_)), "{name}");
}
