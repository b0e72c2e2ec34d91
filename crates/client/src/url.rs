//! The URL of a group: `redis+zk://USER:PASS@h1:2181,h2:2181/ABSOLUTE/PATH?db=0&read=replica`, or `rediss+zk://` for
//! TLS to the nodes. It is taken apart here;
//! what its parts mean is checked where they go. No error repeats the part before the `@`.

use std::borrow::Cow;
use std::net::IpAddr;

use secrecy::SecretString;
use url::Url;

use crate::settings::ReadFrom;

const SCHEME: &str = "redis+zk://";
/// The same over TLS to the nodes.
const TLS_SCHEME: &str = "rediss+zk://";
const FORM: &str = "write redis+zk://USER:PASS@HOST:PORT,HOST:PORT/ABSOLUTE/PATH?db=0&read=replica";
const PARAMETERS: [&str; 3] = ["db", "read", "source_address"];

/// Why a text is no URL of a group; it names the part and never shows the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL cannot be used: {why} ({hint})")]
pub struct UrlError {
    why: String,
    hint: Cow<'static, str>,
}

impl UrlError {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: Cow::Borrowed(FORM) }
    }
}

/// The parts of a URL.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Whether the nodes are called over TLS.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "without the feature such a URL is refused"))]
    pub(crate) tls: bool,
    pub(crate) servers: String,
    pub(crate) path: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) db: Option<i64>,
    pub(crate) read_from: Option<ReadFrom>,
    pub(crate) source_address: Option<IpAddr>,
}

pub(crate) fn parse(text: &str) -> Result<Parts, UrlError> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(UrlError::new("it contains a space or a character that cannot be printed"));
    }
    let (rest, tls) = match text.strip_prefix(TLS_SCHEME) {
        Some(rest) => (rest, true),
        None => (text.strip_prefix(SCHEME).ok_or_else(|| other_scheme(text))?, false),
    };
    if tls && !cfg!(feature = "tls") {
        return Err(UrlError {
            why: format!("`{TLS_SCHEME}` is TLS, which this program was built without"),
            hint: "enable the feature `tls` of redis-failover".into(),
        });
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // Otherwise a part of the password could be taken for a server, and shown in an error.
    if tail.contains('@') {
        return Err(UrlError {
            why: "it has an `@` behind the servers".to_owned(),
            hint: "in a password write / as %2F, ? as %3F and # as %23, in a path @ as %40".into(),
        });
    }
    let (user, servers) = authority.rsplit_once('@').unwrap_or(("", authority));
    if servers.is_empty() {
        return Err(UrlError::new("it names no ZooKeeper server"));
    }
    // The crate knows URLs of one host only: it gets a stand-in for the servers.
    let separator = if user.is_empty() { "" } else { "@" };
    let url = Url::parse(&format!("{SCHEME}{user}{separator}servers{tail}"))
        .map_err(|error| UrlError::new(error.to_string()))?;
    if url.path().len() < 2 {
        return Err(UrlError::new("it names no group"));
    }
    if url.fragment().is_some() {
        return Err(UrlError::new("it has a part after `#` (in a password write %23)"));
    }
    let present = |text: &str| if text.is_empty() { Ok(None) } else { decoded(text).map(Some) };
    let mut parts = Parts {
        tls,
        servers: servers.to_owned(),
        path: decoded(url.path())?,
        username: present(url.username())?,
        password: url.password().map(decoded).transpose()?.map(SecretString::from),
        db: None,
        read_from: None,
        source_address: None,
    };
    for (key, value) in url.query_pairs() {
        parameter(&mut parts, &key, &value)?;
    }
    Ok(parts)
}

fn parameter(parts: &mut Parts, key: &str, value: &str) -> Result<(), UrlError> {
    match key {
        "db" if parts.db.is_none() => {
            let number = value.parse().ok().filter(|db| *db >= 0);
            let wrong = || UrlError::new(format!("`db={value}` is no number of a database"));
            parts.db = Some(number.ok_or_else(wrong)?);
        }
        "read" if parts.read_from.is_none() => {
            let wrong = || UrlError {
                why: format!("`read={value}` is no place to read from"),
                hint: format!("use {}", ReadFrom::ALL.map(|it| format!("read={it}")).join(", ")).into(),
            };
            parts.read_from = Some(ReadFrom::named(value).ok_or_else(wrong)?);
        }
        "source_address" if parts.source_address.is_none() => {
            let wrong = |_| UrlError::new(format!("`source_address={value}` is no IP address"));
            parts.source_address = Some(value.parse().map_err(wrong)?);
        }
        "db" | "read" | "source_address" => return Err(UrlError::new(format!("`{key}` is given twice"))),
        _ => {
            let near = |known: &&&str| strsim::levenshtein(known, key) <= 2;
            let meant = PARAMETERS.iter().find(near).map(|near| format!("did you mean `{near}`? "));
            return Err(UrlError {
                why: format!("`{key}` is no parameter of it"),
                hint: format!("{}there are: {}", meant.unwrap_or_default(), PARAMETERS.join(", ")).into(),
            });
        }
    }
    Ok(())
}

/// The likely slip: another scheme.
fn other_scheme(text: &str) -> UrlError {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let harmless = scheme.filter(|scheme| scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+'));
    match harmless {
        Some(scheme) => {
            UrlError::new(format!("`{scheme}://` is another scheme than `{SCHEME}` and `{TLS_SCHEME}`"))
        }
        None => UrlError::new(format!("it does not begin with `{SCHEME}`")),
    }
}

fn decoded(text: &str) -> Result<String, UrlError> {
    let wrong = |_| UrlError::new("what its %-codes stand for is no UTF-8");
    percent_encoding::percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn all_parts_are_found() {
        let parts =
            parse("redis+zk://u%40x:p%2F%3A%25@h1:2181,[::1]:2182/a/b%20c?db=3&read=master").expect("a URL");
        assert_eq!((parts.servers.as_str(), parts.path.as_str()), ("h1:2181,[::1]:2182", "/a/b c"));
        assert_eq!(parts.username.as_deref(), Some("u@x"));
        assert_eq!(parts.password.expect("one").expose_secret(), "p/:%");
        assert_eq!((parts.db, parts.read_from), (Some(3), Some(ReadFrom::Master)));

        let parts = parse("redis+zk://h/g").expect("a URL");
        assert_eq!((parts.servers.as_str(), parts.path.as_str()), ("h", "/g"));
        assert!(parts.username.is_none() && parts.password.is_none() && parts.db.is_none());
        let parts = parse("redis+zk://h/g?source_address=::1").expect("a URL");
        assert_eq!(parts.source_address, Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
        assert!(parse("redis+zk://:secret@h/g").expect("a URL").password.is_some());
        assert!(!parse("redis+zk://h/g").expect("a URL").tls);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_is_in_the_scheme() {
        let parts = parse("rediss+zk://u:p@h1,h2/g?db=1").expect("a URL");
        assert!(parts.tls);
        assert_eq!((parts.servers.as_str(), parts.path.as_str(), parts.db), ("h1,h2", "/g", Some(1)));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_tls_its_scheme_is_refused_with_the_feature() {
        let error = parse("rediss+zk://u:hunter2@h/g").expect_err("refused").to_string();
        assert!(error.contains("feature `tls`") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_is_not() {
        for (text, named) in [
            ("redis://u:hunter2@h/g", "`redis://`"),
            ("u:hunter2@h/g", "begin with"),
            ("redis+zk://u:hunter2@/g", "no ZooKeeper server"),
            ("redis+zk://u:hunter2@h", "no group"),
            ("redis+zk://u:hunter2@h/", "no group"),
            ("redis+zk://u:hunter2@h/g?db=x", "`db=x`"),
            ("redis+zk://u:hunter2@h/g?db=-1", "`db=-1`"),
            ("redis+zk://u:hunter2@h/g?read=nearby", "read=replica, read=master, read=any, read=nearest"),
            ("redis+zk://u:hunter2@h/g?raed=master", "did you mean `read`"),
            ("redis+zk://u:hunter2@h/g?timeout=1", "(there are: db, read, source_address)"),
            ("redis+zk://u:hunter2@h/g?db=1&db=2", "twice"),
            ("redis+zk://u:hunter2@h/g?source_address=eth0", "no IP address"),
            ("redis+zk://u:hunter2@h/g?source_adress=10.0.0.7", "did you mean `source_address`"),
            ("redis+zk://u:hunter2@h/g#x", "%23"),
            ("redis+zk://u:%ff@h/g", "UTF-8"),
            ("redis+zk://u:hunter2/x@h/g", "%2F"),
            ("redis+zk://u:1234/hunter2@h:2181/g", "%2F"),
            ("redis+zk://u:hunter2#@h/g", "%23"),
            ("redis+zk://u:hun\tter2@h/g", "cannot be printed"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
