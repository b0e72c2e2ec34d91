//! Every directive of a sentinel's file that is known: what it takes, and for those that have no counterpart what it
//! did and what does that here. It reads no file.

/// What becomes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// What it says is in the configuration.
    Kept,
    /// There is no counterpart: what it did, and what does that here.
    Without(&'static str, &'static str),
}

use Fate::{Kept, Without};

/// A directive that is known.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: &'static str,
    /// What it takes, one word each: `NAME` is a master's, what is in brackets may be left out, `…` is any number.
    pub(super) takes: &'static str,
    pub(super) fate: Fate,
}

const fn directive(name: &'static str, takes: &'static str, fate: Fate) -> Directive {
    Directive { name, takes, fate }
}

const STATE: &str = "nothing: the record in ZooKeeper begins with epoch 1";
const SCRIPTS: &str =
    "no program is started: the log (--log-format json), `history` and `status --watch` tell it";
const SUPERVISOR: &str = "it stays in the foreground, under a supervisor, and needs no directory of its own";
const LOGS: &str = "the log goes to standard error; --log and --log-format say how";
const ENDPOINT: &str = "`sentinel`, where this process answers clients of Sentinel";
const ANNOUNCED: &str = "`sentinel_announce`";
const ENDPOINT_TLS: &str =
    "`sentinel_tls_cert_file`, `sentinel_tls_key_file` and, for clients, `sentinel_tls_ca_file`";
const ENDPOINT_PASSWORD: &str = "`sentinel_password_file`, a file with the password in its first line";
const ENDPOINT_USER: &str = "`sentinel_username` and `sentinel_password_file`, one user for all clients";
const ACCESS: &str = "nothing: monitors find each other in ZooKeeper, which has users of its own";

/// What stands after `sentinel`.
pub(super) const SENTINEL: [Directive; 25] = [
    directive("monitor", "NAME HOST PORT QUORUM", Kept),
    directive("down-after-milliseconds", "NAME MILLISECONDS", Kept),
    directive("parallel-syncs", "NAME NUMBER", Kept),
    directive("auth-user", "NAME USER", Kept),
    directive("auth-pass", "NAME PASSWORD", Kept),
    directive("known-replica", "NAME HOST PORT", Kept),
    directive("known-slave", "NAME HOST PORT", Kept),
    directive(
        "known-sentinel",
        "NAME HOST PORT [ID]",
        Without("where the other sentinels are", "nothing: monitors find each other in ZooKeeper"),
    ),
    directive("config-epoch", "NAME NUMBER", Without("how often the master changed", STATE)),
    directive("leader-epoch", "NAME NUMBER", Without("for whom this sentinel voted last", STATE)),
    directive("current-epoch", "NUMBER", Without("how many votes the sentinels had", STATE)),
    directive("myid", "ID", Without("the sentinel's name", "`id`, or --id, or the host's name")),
    directive(
        "failover-timeout",
        "NAME MILLISECONDS",
        Without(
            "how long a failover may take, and twice as long until the next one may begin",
            "nothing: each step is looked after until it is done, whoever leads; `third_failover_waits` holds back \
             only the third within ten minutes",
        ),
    ),
    directive(
        "master-reboot-down-after-period",
        "NAME MILLISECONDS",
        Without(
            "how long a master that loads its data after a restart is left alone",
            "nothing: a master that was restarted is judged at once, and replaced where a replica may hold more",
        ),
    ),
    directive(
        "primary-reboot-down-after-period",
        "NAME MILLISECONDS",
        Without(
            "how long a master that loads its data after a restart is left alone",
            "nothing: a master that was restarted is judged at once, and replaced where a replica may hold more",
        ),
    ),
    directive("notification-script", "NAME FILE", Without("a program that was told of each event", SCRIPTS)),
    directive(
        "client-reconfig-script",
        "NAME FILE",
        Without("a program that was told of each new master", SCRIPTS),
    ),
    directive(
        "deny-scripts-reconfig",
        "YES_OR_NO",
        Without("whether SENTINEL SET may name programs", "no program is started, and nobody can name one"),
    ),
    directive(
        "rename-command",
        "NAME COMMAND COMMAND",
        Without(
            "under which name the Redis servers have a command",
            "nothing: commands are called by their own names. Take `rename-command` out of the Redis servers' \
             configuration, and forbid by ACL what nobody may do",
        ),
    ),
    directive(
        "resolve-hostnames",
        "YES_OR_NO",
        Without("whether host names may be written for addresses", "they always may"),
    ),
    directive(
        "announce-hostnames",
        "YES_OR_NO",
        Without(
            "whether host names are told to clients",
            "clients are told each server as `redishosts` spells it: write there what they can reach",
        ),
    ),
    directive("announce-ip", "HOST", Without("where others are told to find this sentinel", ANNOUNCED)),
    directive("announce-port", "PORT", Without("where others are told to find this sentinel", ANNOUNCED)),
    directive("sentinel-user", "USER", Without("as whom sentinels log in to each other", ACCESS)),
    directive("sentinel-pass", "PASSWORD", Without("with what sentinels log in to each other", ACCESS)),
];

/// What stands in a sentinel's file for the server that it is.
pub(super) const SERVER: [Directive; 42] = [
    directive("dir", "DIRECTORY", Without("the directory that it ran in", SUPERVISOR)),
    directive("tls-replication", "YES_OR_NO", Kept),
    directive("tls-ca-cert-file", "FILE", Kept),
    directive("tls-cert-file", "FILE", Kept),
    directive("tls-key-file", "FILE", Kept),
    directive("tls-client-cert-file", "FILE", Kept),
    directive("tls-client-key-file", "FILE", Kept),
    directive(
        "tls-ca-cert-dir",
        "DIRECTORY",
        Without("a directory of certificates to trust", "`redis_tls_ca_file`, one file with all of them"),
    ),
    directive("tls-key-file-pass", "PASSWORD", Without("the key's password", "write the key without one")),
    directive(
        "tls-client-key-file-pass",
        "PASSWORD",
        Without("the key's password", "write the key without one"),
    ),
    directive("tls-protocols", "VERSIONS", Without("which versions of TLS it spoke", "1.2 and 1.3, always")),
    directive("tls-ciphers", "CIPHERS", Without("which ciphers it used", "those that are sound, always")),
    directive(
        "tls-ciphersuites",
        "CIPHERS",
        Without("which ciphers it used", "those that are sound, always"),
    ),
    directive(
        "tls-prefer-server-ciphers",
        "YES_OR_NO",
        Without("which ciphers it used", "those that are sound, always"),
    ),
    directive("tls-auth-clients", "WORD", Without("whether its clients showed a certificate", ENDPOINT_TLS)),
    directive("tls-port", "PORT", Without("where it answered over TLS", ENDPOINT_TLS)),
    directive("port", "PORT", Without("where it answered", ENDPOINT)),
    directive("bind", "HOST…", Without("where it answered", ENDPOINT)),
    directive("bind-source-addr", "HOST", Without("from where it called", "`source_address`, in [defaults]")),
    directive("unixsocket", "FILE", Without("where it answered", ENDPOINT)),
    directive("unixsocketperm", "NUMBER", Without("where it answered", ENDPOINT)),
    directive("protected-mode", "YES_OR_NO", Without("whom it answered", ENDPOINT_PASSWORD)),
    directive("tcp-backlog", "NUMBER", Without("how many connections may wait", "nothing to be set")),
    directive("tcp-keepalive", "SECONDS", Without("how dead connections are found", "nothing to be set")),
    directive("timeout", "SECONDS", Without("when idle connections are closed", "nothing to be set")),
    directive("maxclients", "NUMBER", Without("how many clients it served", "nothing to be set")),
    directive("requirepass", "PASSWORD", Without("the password of its clients", ENDPOINT_PASSWORD)),
    directive("user", "USER…", Without("who may log in to it", ENDPOINT_USER)),
    directive("aclfile", "FILE", Without("who may log in to it", ENDPOINT_USER)),
    directive("acllog-max-len", "NUMBER", Without("how many refusals it remembers", "nothing to be set")),
    directive("daemonize", "YES_OR_NO", Without("whether it left the foreground", SUPERVISOR)),
    directive("supervised", "WORD", Without("who supervised it", SUPERVISOR)),
    directive("pidfile", "FILE", Without("where its process id is", SUPERVISOR)),
    directive("logfile", "FILE", Without("where its log is", LOGS)),
    directive("loglevel", "WORD", Without("how much it logs", LOGS)),
    directive("syslog-enabled", "YES_OR_NO", Without("where its log is", LOGS)),
    directive("syslog-ident", "WORD", Without("where its log is", LOGS)),
    directive("syslog-facility", "WORD", Without("where its log is", LOGS)),
    directive("crash-log-enabled", "YES_OR_NO", Without("what it logs when it crashes", LOGS)),
    directive(
        "latency-tracking-info-percentiles",
        "NUMBER…",
        Without("which latencies it shows", "nothing to be set"),
    ),
    directive("save", "NUMBER…", Without("when a server saves: a sentinel has no data", "nothing to be set")),
    directive(
        "include",
        "FILE",
        Without(
            "another file of the same sentinel",
            "it was not read: put its lines in its place, and import again",
        ),
    ),
];

impl Directive {
    /// Whether it may have so many words after its name.
    pub(super) fn takes(&self, words: usize) -> bool {
        let all = self.takes.split(' ').count();
        let needed = self.takes.split(' ').filter(|word| !word.starts_with('[')).count();
        if self.takes.ends_with('…') { words >= needed } else { (needed..=all).contains(&words) }
    }

    /// Whether the first of them is the name of a master.
    pub(super) fn is_of_a_master(&self) -> bool {
        self.takes.starts_with("NAME ")
    }
}

/// The directive of this name, however it is written.
pub(super) fn find(table: &'static [Directive], name: &str) -> Option<&'static Directive> {
    table.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_directive_stands_once_and_is_found_in_any_case() {
        for table in [&SENTINEL[..], &SERVER] {
            let names: BTreeSet<_> = table.iter().map(|known| known.name).collect();
            assert_eq!(names.len(), table.len());
            for name in names {
                assert_eq!(name, name.to_lowercase());
            }
        }
        assert_eq!(find(&SENTINEL, "Parallel-SYNCS").map(|it| it.name), Some("parallel-syncs"));
        assert!(find(&SENTINEL, "parallel").is_none());
    }

    #[test]
    fn how_many_words_a_directive_takes_stands_in_the_table() {
        let takes = |name| {
            let known = find(&SENTINEL, name).or(find(&SERVER, name)).expect("it is known");
            (0..7).filter(|words| known.takes(*words)).collect::<Vec<_>>()
        };
        assert_eq!(takes("monitor"), [4]);
        assert_eq!(takes("known-sentinel"), [3, 4]);
        assert_eq!(takes("myid"), [1]);
        assert_eq!(takes("bind"), [1, 2, 3, 4, 5, 6]);
    }
}
