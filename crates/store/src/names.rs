//! Where the store is: the connect string and the group's path. Strings are parsed here and nowhere later.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// `ZooKeeper`'s port where none is given.
const DEFAULT_PORT: u16 = 2181;

/// The servers of an ensemble and the path below which everything is kept: `HOST[:PORT],…[/CHROOT]`.
///
/// Spaces around hosts and slashes at the end are no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectString {
    hosts: Vec<(String, u16)>,
    chroot: Option<GroupPath>,
}

/// Why a text is no connect string; it names the bad part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is not part of a ZooKeeper connect string: {why} (write HOST:PORT,HOST:PORT/CHROOT)")]
pub struct ConnectStringError {
    part: String,
    why: String,
}

impl ConnectString {
    /// The path below which all groups are kept, if there is one.
    pub fn chroot(&self) -> Option<&GroupPath> {
        self.chroot.as_ref()
    }

    /// Whether `group` below these servers is the znode that `other_group` is below the `others`, as far as their
    /// spelling tells; the order of the servers says nothing.
    pub fn is_same_znode(&self, group: &GroupPath, others: &Self, other_group: &GroupPath) -> bool {
        let servers = |servers: &Self| {
            let mut hosts = servers.hosts.clone();
            hosts.sort();
            hosts
        };
        servers(self) == servers(others) && self.absolute(group) == others.absolute(other_group)
    }

    /// The servers, each a host and a port.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, u16)> {
        self.hosts.iter().map(|(host, port)| (host.as_str(), *port))
    }

    /// What the client is given for TLS: it verifies the servers by what it is given, so nothing can be hidden from it.
    #[cfg(feature = "tls")]
    pub(crate) fn for_tls_client(&self) -> String {
        let host = |(host, port)| {
            if str::contains(host, ':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        };
        self.hosts().map(host).collect::<Vec<_>>().join(",")
    }

    /// What the client is given: without the chroot, IPv4 addresses as plain numbers, and IPv6 addresses in the zone 0.
    ///
    /// A literal address that cannot be reached makes the client spin without yielding (docs/design/0002,
    /// Z4). Names are resolved first, which yields. A plain number is a name to Rust and an address to the
    /// resolver; so is an address with a zone, and the zone 0 is none.
    pub(crate) fn for_client(&self) -> String {
        let host = |(host, port): &(String, u16)| match host.parse::<Ipv4Addr>() {
            Ok(literal) => format!("{}:{port}", u32::from(literal)),
            Err(_) if host.contains(':') => format!("[{host}%0]:{port}"),
            Err(_) => format!("{host}:{port}"),
        };
        self.hosts.iter().map(host).collect::<Vec<_>>().join(",")
    }

    /// The path of a group on the servers: below their chroot, if there is one.
    pub fn absolute(&self, group: &GroupPath) -> String {
        self.below_chroot(group.as_str())
    }

    /// The path of a znode on the servers.
    pub(crate) fn below_chroot(&self, path: &str) -> String {
        self.chroot.as_ref().map_or_else(|| path.to_owned(), |chroot| format!("{chroot}{path}"))
    }
}

impl FromStr for ConnectString {
    type Err = ConnectStringError;

    fn from_str(text: &str) -> Result<Self, ConnectStringError> {
        let (hosts, chroot) = text.find('/').map_or((text, ""), |slash| text.split_at(slash));
        let chroot = chroot.trim().trim_end_matches('/');
        let chroot =
            match chroot {
                "" => None,
                path => Some(path.parse::<GroupPath>().map_err(|error| ConnectStringError {
                    part: path.to_owned(),
                    why: error.why.to_owned(),
                })?),
            };
        let hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
        Ok(Self { hosts, chroot })
    }
}

fn host(text: &str) -> Result<(String, u16), ConnectStringError> {
    let text = text.trim();
    let error = |why: &str| ConnectStringError { part: text.to_owned(), why: why.to_owned() };
    if text.is_empty() {
        return Err(error("a host is missing"));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| error("the bracket is not closed"))?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("")) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if text.starts_with('[') && host.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(error("there is no IPv6 address between the brackets"));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ if port.contains(':') => return Err(error("an IPv6 address is written in brackets")),
            _ => return Err(error("the port is not a number from 1 to 65535")),
        },
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(allowed) {
        return Err(error("that is no host name"));
    }
    Ok((host.to_owned(), port))
}

impl fmt::Display for ConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if host.contains(':') {
                write!(f, "{comma}[{host}]:{port}")?;
            } else {
                write!(f, "{comma}{host}:{port}")?;
            }
        }
        self.chroot.as_ref().map_or(Ok(()), |chroot| write!(f, "{chroot}"))
    }
}

/// The znode under which a group is published, for example `/redis/cluster`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupPath(String);

/// Why a text is no path of a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the path of a group: {why} (write it like /redis/cluster)")]
pub struct GroupPathError {
    text: String,
    why: &'static str,
}

impl GroupPath {
    /// The path as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component, by which people call the group.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for GroupPath {
    type Err = GroupPathError;

    fn from_str(text: &str) -> Result<Self, GroupPathError> {
        let error = |why| Err(GroupPathError { text: text.to_owned(), why });
        let Some(relative) = text.strip_prefix('/') else {
            return error("it does not begin with a slash");
        };
        if relative.is_empty() {
            return error("the root itself can hold no group");
        }
        if relative.ends_with('/') {
            return error("it ends with a slash");
        }
        for component in relative.split('/') {
            match component {
                "" => return error("it has an empty component"),
                "." | ".." => return error("`.` and `..` are not allowed"),
                _ => {}
            }
        }
        if relative.split('/').next() == Some("zookeeper") {
            return error("/zookeeper is ZooKeeper's own");
        }
        // ZooKeeper refuses control characters and what Java cannot print.
        let refused =
            |c: char| c.is_control() || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}');
        if text.chars().any(|c| refused(c) || c.is_whitespace()) {
            return error("it contains a space or a character that cannot be printed");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings_are_normalised() {
        for (text, shown) in [
            ("localhost", "localhost:2181"),
            ("h1:2181, h2:2182/chroot/", "h1:2181,h2:2182/chroot"),
            (" h1 ,[::1]:3 /", "h1:2181,[::1]:3"),
            ("[::1]/a/b", "[::1]:2181/a/b"),
        ] {
            assert_eq!(text.parse::<ConnectString>().expect(text).to_string(), shown);
        }
    }

    #[test]
    fn literal_addresses_are_hidden_from_the_client() {
        let parsed: ConnectString = "127.0.0.1:5,h2,[::1]:7/x".parse().expect("valid");
        assert_eq!(parsed.for_client(), "2130706433:5,h2:2181,[::1%0]:7");
        #[cfg(feature = "tls")]
        assert_eq!(parsed.for_tls_client(), "127.0.0.1:5,h2:2181,[::1]:7");
        assert_eq!(parsed.absolute(&"/a".parse().expect("valid")), "/x/a");
    }

    #[test]
    fn bad_connect_strings_name_the_part() {
        for (text, part) in [
            ("", "``"),
            ("h1,,h2", "``"),
            ("h1,h2:x", "`h2:x`"),
            ("h1:0", "`h1:0`"),
            ("::1", "`::1`"),
            ("[::1", "`[::1`"),
            ("[h]:1", "`[h]:1`"),
            ("h 1", "`h 1`"),
            ("h1/a//b", "`/a//b`"),
            ("h1/zookeeper", "`/zookeeper`"),
        ] {
            let error = text.parse::<ConnectString>().expect_err(text).to_string();
            assert!(error.starts_with(part) && error.contains("HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn paths_of_groups_are_absolute_and_nobody_elses() {
        assert_eq!("/redis/cluster".parse::<GroupPath>().expect("valid").name(), "cluster");
        for text in
            ["", "/", "redis", "/redis/", "//redis", "/a//b", "/a/../b", "/zookeeper/x", "/a b", "/a\u{7}"]
        {
            let error = text.parse::<GroupPath>().expect_err(text).to_string();
            assert!(error.contains("/redis/cluster"), "{error}");
        }
        assert!("/zookeepers".parse::<GroupPath>().is_ok());
    }
}
