//! The names of things: nodes, monitors, runs, epochs, terms. Strings are parsed here and nowhere later.

use std::fmt;
use std::str::FromStr;

/// One Redis or Valkey server as clients reach it: `host:port`, an IPv6 address in brackets.
///
/// Two spellings of one host are two nodes: the group's list says which spelling everybody uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "String", try_from = "String"))]
pub struct NodeAddr {
    host: String,
    port: u16,
}

/// Why a text is no node address; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a node address: {why} (write HOST:PORT, for example 10.0.0.1:6379 or [::1]:6379)")]
pub struct AddrError {
    text: String,
    why: &'static str,
}

impl NodeAddr {
    /// The address of `host` and `port`; an IPv6 host is given without brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host without brackets: a name, an IPv4 or an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for NodeAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let error = |why| AddrError { text: text.to_owned(), why };
        // Split at the last colon: INFO and the predecessor's documents write IPv6 without brackets.
        let (host, port) = text.rsplit_once(':').ok_or_else(|| error("it has no port"))?;
        let port = port.parse().map_err(|_| error("the port is not a number from 1 to 65535"))?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        if port == 0 {
            return Err(error("the port is not a number from 1 to 65535"));
        }
        if host.is_empty() {
            return Err(error("it has no host"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if !host.chars().all(allowed) {
            return Err(error("the host contains a character that no host name has"));
        }
        Ok(Self::new(host, port))
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// As it is written, for a journal.
impl From<NodeAddr> for String {
    fn from(node: NodeAddr) -> Self {
        node.to_string()
    }
}

/// What was written, be it a name or not: whoever made the address has checked it, and it must be the same again.
impl TryFrom<String> for NodeAddr {
    type Error = AddrError;

    fn try_from(text: String) -> Result<Self, AddrError> {
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = parts else {
            return Err(AddrError { text, why: "no port ends it" });
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        Ok(Self::new(bare.filter(|bare| bare.contains(':')).unwrap_or(host), port))
    }
}

/// A monitor's lasting name: the same after a restart, different from every other monitor's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MonitorId(String);

/// Why a text is no monitor id; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a monitor id: use 1 to 255 letters, digits, dots, dashes or underscores")]
pub struct MonitorIdError(String);

impl FromStr for MonitorId {
    type Err = MonitorIdError;

    fn from_str(text: &str) -> Result<Self, MonitorIdError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let valid = (1..=255).contains(&text.len()) && text.chars().all(allowed);
        // ZooKeeper refuses these two as names of a node.
        if !valid || text == "." || text == ".." {
            return Err(MonitorIdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MonitorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One life of a server process: Redis's `run_id`, new at every start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RunId(pub String);

impl RunId {
    /// That of a server which nobody has asked.
    pub const UNKNOWN: Self = Self(String::new());

    /// Whether anybody has asked the server.
    pub(crate) fn is_known(&self) -> bool {
        *self != Self::UNKNOWN
    }
}

/// A replication history's name: Redis's `master_replid`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ReplId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts a group's changes of master; only grows, is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One monitor's time in the lead; a later leader's term is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Term(pub i64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_were_read() {
        for text in ["localhost:6379", "10.0.0.1:1", "[::1]:6379", "redis-1.example.com:65535"] {
            assert_eq!(text.parse::<NodeAddr>().expect(text).to_string(), text);
        }
        assert_eq!("::1:6379".parse::<NodeAddr>().expect("bare IPv6").to_string(), "[::1]:6379");
    }

    #[test]
    fn an_address_is_the_same_again_though_no_name_is_like_it() {
        for host in ["a", "::1", "", "[x]", "[x", "[a:b]", "a b:c", "é"] {
            let node = NodeAddr::new(host, 0);
            assert_eq!(NodeAddr::try_from(String::from(node.clone())), Ok(node), "{host}");
        }
        assert!(NodeAddr::try_from("a".to_owned()).is_err());
    }

    #[test]
    fn bad_addresses_name_the_text_and_the_reason() {
        for text in ["", "localhost", "host:", "host:0", "host:65536", ":6379", "a b:1", "[]:1"] {
            let error = text.parse::<NodeAddr>().expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn monitor_ids_are_names_of_znodes() {
        assert!("db-1.example_com".parse::<MonitorId>().is_ok());
        for text in ["", ".", "..", "a/b", "a b", "é"] {
            assert!(text.parse::<MonitorId>().is_err(), "{text}");
        }
    }
}
