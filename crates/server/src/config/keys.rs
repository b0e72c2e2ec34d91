//! Every key of a configuration file: what it means, for people, and where it may stand, for the parser. It reads no
//! values.

mod page;
mod places;

pub(crate) use page::{keys, reference};
pub(super) use places::check;
pub(crate) use places::{near, nearest};

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the top of the file.
    Top,
    /// In `[defaults]` and in each `[[group]]`.
    Shared,
    /// In a `[[group]]` alone.
    Group,
}

/// A key of a configuration file.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// Of which kind its value is, for people.
    kind: &'static str,
    /// What counts where it is missing: a value as it would be written, or words.
    pub(super) default: Result<&'static str, &'static str>,
    about: &'static str,
}

/// The sections that are no keys of their own.
pub(super) const DEFAULTS: &str = "defaults";
pub(super) const GROUP: &str = "group";

pub(super) const KEYS: [Key; 46] = [
    Key {
        name: "id",
        place: Place::Top,
        kind: "text",
        default: Err("the host's name"),
        about: "This monitor's lasting name, different from every other monitor's. `--id` comes first. Read at the \
                start only.",
    },
    Key {
        name: "listen",
        place: Place::Top,
        kind: "`\"IP:PORT\"`",
        default: Err("nowhere"),
        about: "Where other monitors and people can ask this process whether it lives (answers PING). `--listen` \
                comes first. Read at the start only.",
    },
    Key {
        name: "announce",
        place: Place::Top,
        kind: "`\"HOST:PORT\"`",
        default: Err("what it listens on, or the host's name where that is every address"),
        about: "Where the other monitors are told to ask this process, where that is another address than it listens \
                on; port 0 is the one that it listens on. `--announce` comes first. Read at the start only.",
    },
    Key {
        name: "sentinel",
        place: Place::Top,
        kind: "`\"IP:PORT\"`",
        default: Err("nowhere"),
        about: "Where this process answers as a Redis Sentinel, for all its groups; an IP alone stands for port \
                26379. A group without `redishosts` is then not monitored, only answered for. `--sentinel` \
                comes first. Read at the start only.",
    },
    Key {
        name: "sentinel_announce",
        place: Place::Top,
        kind: "`\"HOST:PORT\"`",
        default: Err("the host of `announce`, and else what it is bound to"),
        about: "Where clients of other Sentinels are told that this one is; port 0 is the one that it is bound \
                to. Read at the start only.",
    },
    Key {
        name: "sentinel_username",
        place: Place::Top,
        kind: "text",
        default: Err("`default`"),
        about: "The user that Sentinel clients name beside the password. Read at the start only.",
    },
    Key {
        name: "sentinel_password_file",
        place: Place::Top,
        kind: "file",
        default: Err("no password, or `REDIS_FAILOVER_SENTINEL_PASSWORD`"),
        about: "A file whose first line is the password for Sentinel clients. Read at the start only.",
    },
    Key {
        name: "sentinel_tls_cert_file",
        place: Place::Top,
        kind: "file",
        default: Err("no TLS"),
        about: "The certificate of the Sentinel endpoint, with those that lead to it, in PEM: it then speaks \
                TLS alone. Read at the start only.",
    },
    Key {
        name: "sentinel_tls_key_file",
        place: Place::Top,
        kind: "file",
        default: Err("no TLS"),
        about: "The key of that certificate, in PEM, without a password. Read at the start only.",
    },
    Key {
        name: "sentinel_tls_ca_file",
        place: Place::Top,
        kind: "file",
        default: Err("clients need no certificate"),
        about: "Sentinel clients must show a certificate that one of these, in PEM, has signed. Read at the \
                start only.",
    },
    Key {
        name: "embedded",
        place: Place::Top,
        kind: "true or false",
        default: Err("false: on ZooKeeper"),
        about: "Be the only monitor of all groups, without ZooKeeper: what must outlive a restart is kept in \
                `state_file`. While this process or its host is gone there is no failover. Read at the start only.",
    },
    Key {
        name: "state_file",
        place: Place::Top,
        kind: "file",
        default: Err("none; required with `embedded`"),
        about: "The file that the records of all groups are kept in, on a disk of this host; made where it is missing; \
                if it is relative, to the file that names it. Read at the start only.",
    },
    Key {
        name: "path",
        place: Place::Group,
        kind: "text",
        default: Err("required"),
        about: "The group's path in ZooKeeper, for example `\"/redis/orders\"`. It is what a group is known by.",
    },
    Key {
        name: "redishosts",
        place: Place::Group,
        kind: "array of `\"HOST:PORT\"`",
        default: Err("required, but with `sentinel`"),
        about: "The group's Redis servers, the preferred master first. It seeds the group's record.",
    },
    Key {
        name: "name",
        place: Place::Group,
        kind: "text",
        default: Err("the path's last part"),
        about: "What the log calls the group. No two groups of a process have one name.",
    },
    Key {
        name: "journal",
        place: Place::Group,
        kind: "file",
        default: Err("no journal"),
        about: "A file of this group's own, from which `redis-failover replay` shows each decision and what it was \
                based on; if it is relative, to the file that names it. What is older is beside it, with `.1` after \
                its name.",
    },
    Key {
        name: "zkhosts",
        place: Place::Shared,
        kind: "text",
        default: Err("required, unless `embedded`"),
        about: "The ZooKeeper servers, `HOST:PORT` separated by commas, with an optional `/chroot` at the end. Groups \
                with the same text, `session_timeout` and keys beginning with `zookeeper_` share one session.",
    },
    Key {
        name: "session_timeout",
        place: Place::Shared,
        kind: "time",
        default: Ok("\"6s\""),
        about: "The ZooKeeper session's time-out: how long a dead monitor keeps the lead. 400ms to 300s.",
    },
    Key {
        name: "quorum",
        place: Place::Shared,
        kind: "number",
        default: Err("the majority of the registered monitors"),
        about: "How many monitors must agree that a node is down. It seeds the group's policy.",
    },
    Key {
        name: "down_after",
        place: Place::Shared,
        kind: "time",
        default: Ok("\"1s\""),
        about: "How long a node may leave a question unanswered before it counts as down; 50ms or more. It seeds the \
                group's policy.",
    },
    Key {
        name: "probe_interval",
        place: Place::Shared,
        kind: "time",
        default: Ok("\"200ms\""),
        about: "How often a node is asked while all is well; 10ms up to half of `down_after`. It seeds the group's \
                policy.",
    },
    Key {
        name: "misconf_is_unusable",
        place: Place::Shared,
        kind: "true or false",
        default: Ok("false"),
        about: "Replace a master that refuses writes because it cannot save to disk (MISCONF). It seeds the group's \
                policy.",
    },
    Key {
        name: "refusal_waits",
        place: Place::Shared,
        kind: "true or false",
        default: Ok("false"),
        about: "Let a refused connection wait for `down_after` like a silent one, where a firewall may refuse for a \
                living server. It seeds the group's policy.",
    },
    Key {
        name: "link_grace",
        place: Place::Shared,
        kind: "time",
        default: Ok("\"5s\""),
        about: "How long a replica's link may be down before the replica is published as KO, and how long beyond \
                `down_after` a leader that does not reach the master keeps the lead where others reach it. It seeds \
                the group's policy.",
    },
    Key {
        name: "third_failover_waits",
        place: Place::Shared,
        kind: "time",
        default: Ok("\"60s\""),
        about: "How long the third failover within ten minutes waits, lest it be no master that fails; `\"0s\"` for \
                not at all. It seeds the group's policy.",
    },
    Key {
        name: "discover",
        place: Place::Shared,
        kind: "`\"off\"`, `\"watch\"` or `\"promote\"`",
        default: Ok("\"promote\""),
        about: "What becomes of a replica that follows the master and stands in no list: nothing; it is watched, \
                published and read from, and never takes over; it becomes a node like any other. It seeds the group's \
                policy.",
    },
    Key {
        name: "on_divergence",
        place: Place::Shared,
        kind: "`\"discard\"` or `\"save\"`",
        default: Ok("\"discard\""),
        about: "What becomes of what a node that comes back holds beyond the point where its history was left: it is \
                counted and gone with the next full copy; or it is saved to a file on the node first, and the node is \
                held back until that is done (from Redis 7 on its configuration has to say \
                `enable-protected-configs yes` for that). It seeds the group's policy.",
    },
    Key {
        name: "parallel_syncs",
        place: Place::Shared,
        kind: "number",
        default: Ok("1"),
        about: "How many nodes of one host are told to begin a full copy at a time. It seeds the group's policy.",
    },
    Key {
        name: "fencing",
        place: Place::Shared,
        kind: "`\"off\"` or `\"replicas\"`",
        default: Ok("\"replicas\""),
        about: "What keeps a master that is cut off from taking writes for long: nothing; or that its \
                `min-replicas-to-write` is 1 while a replica follows it, and 0 when it has lost the last one. It seeds \
                the group's policy.",
    },
    Key {
        name: "take_over",
        place: Place::Shared,
        kind: "true or false",
        default: Ok("false"),
        about: "Stand for the lead though a monitor of the Python predecessor is alive in this ensemble (for another \
                group).",
    },
    Key {
        name: "journal_limit",
        place: Place::Shared,
        kind: "size",
        default: Ok("\"16MiB\""),
        about: "How much of a group's journal is kept, the file and the older one together; 64KiB or more.",
    },
    Key {
        name: "source_address",
        place: Place::Shared,
        kind: "`\"IP\"`",
        default: Err("any of the host"),
        about: "Call the Redis servers from this address of the host; ZooKeeper is called from the one that the system \
                chooses.",
    },
    Key {
        name: "sleeptime",
        place: Place::Shared,
        kind: "seconds",
        default: Ok("30"),
        about: "How often INFO's slow sections are read, 1 to 86400; failures are noticed at once whatever it is.",
    },
    Key {
        name: "redis_username",
        place: Place::Shared,
        kind: "text",
        default: Err("the default user"),
        about: "The ACL user on the Redis servers.",
    },
    Key {
        name: "redis_password_file",
        place: Place::Shared,
        kind: "file",
        default: Err("no password"),
        about: "A file whose first line is the password on the Redis servers; if it is relative, to the file that \
                names it.",
    },
    Key {
        name: "redis_tls",
        place: Place::Shared,
        kind: "true or false",
        default: Err("true where one of its files is given"),
        about: "Call the Redis servers over TLS. Files are read again at the next connection when they have changed.",
    },
    Key {
        name: "redis_tls_ca_file",
        place: Place::Shared,
        kind: "file",
        default: Err("whom the system trusts"),
        about: "The certificates to trust with the Redis servers, in PEM; if it is relative, to the file that \
                names it.",
    },
    Key {
        name: "redis_tls_cert_file",
        place: Place::Shared,
        kind: "file",
        default: Err("none"),
        about: "The certificate to show to Redis servers that ask for one, in PEM; if it is relative, to the \
                file that names it.",
    },
    Key {
        name: "redis_tls_key_file",
        place: Place::Shared,
        kind: "file",
        default: Err("none"),
        about: "The key of that certificate, in PEM, without a password; if it is relative, to the file that \
                names it.",
    },
    Key {
        name: "redis_tls_server_name",
        place: Place::Shared,
        kind: "text",
        default: Err("the host in the server's address"),
        about: "Verify each Redis server by this name.",
    },
    Key {
        name: "zookeeper_user",
        place: Place::Shared,
        kind: "text",
        default: Err("nobody"),
        about: "The user for ZooKeeper, in its scheme `digest`. What is made there belongs to this user, and \
                all may read it.",
    },
    Key {
        name: "zookeeper_password_file",
        place: Place::Shared,
        kind: "file",
        default: Err("no password"),
        about: "A file whose first line is the password for ZooKeeper; if it is relative, to the file that names it.",
    },
    Key {
        name: "zookeeper_tls",
        place: Place::Shared,
        kind: "true or false",
        default: Err("true where one of its files is given"),
        about: "Call ZooKeeper over TLS, at the ports in `zkhosts`. Files are read again when they have changed.",
    },
    Key {
        name: "zookeeper_tls_ca_file",
        place: Place::Shared,
        kind: "file",
        default: Err("whom the system trusts"),
        about: "The certificates to trust with ZooKeeper, in PEM; if it is relative, to the file that names it.",
    },
    Key {
        name: "zookeeper_tls_cert_file",
        place: Place::Shared,
        kind: "file",
        default: Err("none"),
        about: "The certificate to show to ZooKeeper where it asks for one, in PEM; if it is relative, to the \
                file that names it.",
    },
    Key {
        name: "zookeeper_tls_key_file",
        place: Place::Shared,
        kind: "file",
        default: Err("none"),
        about: "The key of that certificate, in PEM, without a password; if it is relative, to the file that \
                names it.",
    },
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{ConfigFile, Identity};
    use super::*;

    /// What the file makes of a group with `more` keys.
    fn group(more: &str) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("monitor.toml");
        let needed = "path = \"/a\"\nredishosts = [\"a:1\"]\nzkhosts = \"h\"\n";
        fs::write(&path, format!("[[group]]\n{needed}{more}")).expect("it is written");
        let config = ConfigFile::new(path.clone(), Identity::default()).read().expect("it is right");
        format!("{:?}", config.groups).replace(&directory.path().display().to_string(), "")
    }

    #[test]
    fn the_defaults_that_are_told_are_those_that_count() {
        let told = KEYS.iter().filter_map(|key| Some(format!("{} = {}\n", key.name, key.default.ok()?)));
        let told: String = told.collect();
        assert_eq!(told.lines().count(), 14);
        assert_eq!(group(&told), group(""));
        let journal = "journal = \"j\"\n";
        assert_eq!(group(&(told + journal)), group(journal), "a limit means nothing without a journal");
        assert_ne!(group("down_after = \"2s\"\n"), group(""), "this can tell them apart");
    }

    #[test]
    fn every_key_of_the_page_is_one_that_is_read() {
        // A name that only the page knows would be passed over by the reader, and change nothing.
        for (name, value) in [
            ("session_timeout", "\"7s\""),
            ("quorum", "7"),
            ("down_after", "\"7s\""),
            ("probe_interval", "\"70ms\""),
            ("misconf_is_unusable", "true"),
            ("refusal_waits", "true"),
            ("link_grace", "\"7s\""),
            ("third_failover_waits", "\"7s\""),
            ("discover", "\"off\""),
            ("on_divergence", "\"save\""),
            ("parallel_syncs", "7"),
            ("fencing", "\"off\""),
            ("take_over", "true"),
            ("source_address", "\"127.0.0.1\""),
            ("sleeptime", "7"),
            ("name", "\"seven\""),
            ("journal", "\"seven\""),
        ] {
            assert!(KEYS.iter().any(|key| key.name == name), "{name}");
            assert_ne!(group(&format!("{name} = {value}\n")), group(""), "{name}");
        }
        let journal = "journal = \"j\"\n";
        assert_ne!(group(&format!("journal_limit = \"7MiB\"\n{journal}")), group(journal));
    }
}
