//! Our configuration, written from a deployment of Sentinel. No password is in its text.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use redis_failover_core::Policy;
use redis_failover_store::{ConnectString, GroupPath};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::config::written;
use crate::failure::{Failure, Kind};
use crate::sentinel_conf::{Deployment, Group, Password};

/// The shortest that our monitors can do with.
const SHORTEST: Duration = Duration::from_millis(50);

/// A configuration that can be written down.
pub(super) struct Configuration {
    /// The file.
    pub(super) text: String,
    /// The files for passwords, beside it, and what goes into each.
    pub(super) passwords: Vec<(String, SecretString)>,
    /// The groups, for programs.
    pub(super) groups: Vec<Value>,
    /// What has to be done by hand, or looked at.
    pub(super) to_do: Vec<String>,
}

impl Configuration {
    /// What the deployment's files mean here. Passwords are handed out only `with_passwords`.
    ///
    /// # Errors
    /// When the name of a master can be no group's.
    pub(super) fn of(
        deployment: &Deployment,
        zkhosts: Option<&ConnectString>,
        root: &GroupPath,
        with_passwords: bool,
    ) -> Result<Self, Failure> {
        let mut written =
            Self { text: String::new(), passwords: Vec::new(), groups: Vec::new(), to_do: Vec::new() };
        written.head(deployment, zkhosts);
        let mut files = BTreeSet::new();
        for group in &deployment.groups {
            written.group(group, root)?;
            written.access(group, with_passwords, &mut files);
        }
        Ok(written)
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }

    /// A text, a number or a list in JSON is one in TOML.
    fn key(&mut self, key: &str, value: impl Into<Value>) {
        self.line(format_args!("{key} = {}", value.into()));
    }

    /// Leaves something to be done or looked at.
    fn leave(&mut self, what: impl Display) {
        self.to_do.push(what.to_string());
    }

    /// What stands above the groups.
    fn head(&mut self, deployment: &Deployment, zkhosts: Option<&ConnectString>) {
        let files = deployment.files.iter().map(|file| file.escape_debug().to_string()).collect::<Vec<_>>();
        self.line(format_args!("# From {}, by `redis-failover import-sentinel`.", files.join(", ")));
        self.line("# `redis-failover config-keys` tells what each key means, and `check-config` whether all is well.");
        self.line("");
        self.line("# Each monitor has a name of its own: the host's, or one that is said here or with --id.");
        self.line("# id = \"monitor-1\"");
        self.line("# Where the other monitors ask whether this one lives.");
        self.line("# listen = \"0.0.0.0:8080\"");
        self.line("# Where it answers clients of Sentinel, once the sentinel of this machine has ended.");
        self.line(format_args!("# sentinel = \"0.0.0.0:{}\"", deployment.port));
        self.line("\n[defaults]");
        if let Some(hosts) = zkhosts {
            self.key("zkhosts", hosts.to_string());
        } else {
            self.line("# The ZooKeeper servers, which no sentinel knows: fill them in.");
            self.line("# zkhosts = \"zk1:2181,zk2:2181,zk3:2181\"");
            self.leave("fill in `zkhosts`, the ZooKeeper servers: or say them with --zkhosts");
        }
        self.leave(
            "take the mark away before `sentinel` when the sentinel of that machine has ended (docs/operating.md, Move \
             from Redis Sentinel); whoever may ask there can have the master switched over",
        );
        let Some(tls) = &deployment.tls else { return };
        self.key("redis_tls", true);
        if let Some(ca) = &tls.ca {
            self.file("redis_tls_ca_file", ca);
        }
        if let Some((certificate, key)) = &tls.identity {
            self.file("redis_tls_cert_file", certificate);
            self.file("redis_tls_key_file", key);
        }
        self.leave(
            "TLS: Sentinel takes any name in a certificate, our monitors the one that they call: where the servers' \
             certificates bear another one name it as `redis_tls_server_name`",
        );
    }

    /// A file that a sentinel used, too.
    fn file(&mut self, key: &str, path: &Path) {
        if path.is_relative() {
            let path = path.display();
            self.leave(format_args!(
                "`{key}`: {path} is relative to where the sentinel ran: write it in full"
            ));
        }
        self.key(key, path.display().to_string());
    }

    fn group(&mut self, group: &Group, root: &GroupPath) -> Result<(), Failure> {
        let name = &group.name;
        let path = format!("{root}/{name}").parse::<GroupPath>().map_err(|error| {
            Failure::new(Kind::Usage, format!("master {name:?} can be no group: {error}"))
                .hint("give it another name in copies of the sentinels' files, which clients of Sentinel ask for then")
        })?;
        let nodes: Vec<_> = group.nodes.iter().map(ToString::to_string).collect();
        self.line("\n[[group]]");
        self.key("name", name.clone());
        self.key("path", path.to_string());
        self.key("redishosts", nodes.clone());
        self.groups.push(json!({ "name": name, "path": path.to_string(), "redishosts": nodes }));
        self.quorum(group);
        self.down_after(group);
        if let Some(number) = group.parallel_syncs.filter(|number| *number != 1) {
            self.key("parallel_syncs", number);
            self.leave(format_args!(
                "{name}: parallel-syncs {number} counted all replicas, `parallel_syncs` those of each host"
            ));
        }
        Ok(())
    }

    /// The majority is left out: without the key it stays the majority when monitors come and go.
    fn quorum(&mut self, group: &Group) {
        let (name, (quorum, sentinels)) = (&group.name, group.quorum);
        let majority = sentinels / 2 + 1;
        if usize::try_from(quorum) == Ok(majority) {
            self.line(format_args!(
                "# quorum: it was {quorum} of {sentinels}, the majority, as without the key"
            ));
            return;
        }
        self.key("quorum", quorum);
        self.leave(format_args!(
            "{name}: quorum {quorum} of {sentinels} sentinels is kept. Sentinel needed the majority for the failover \
             beside it; here a lock in ZooKeeper says who leads, and the quorum is all that has to agree. Without \
             the key it is the majority"
        ));
    }

    fn down_after(&mut self, group: &Group) {
        let (name, (said, is_said)) = (&group.name, group.down_after);
        let down_after = said.max(SHORTEST);
        if !is_said {
            self.line("# Sentinel's default; ours is 1s.");
        }
        self.key("down_after", written(down_after));
        if said < SHORTEST {
            self.leave(format_args!("{name}: down-after-milliseconds {} is too short", said.as_millis()));
        }
        let probes = Policy::default().probe_interval();
        if probes > down_after / 2 {
            self.key("probe_interval", written(down_after / 5));
        }
        let ours = Policy::default().down_after();
        if said > ours {
            let (said, ours) = (written(said), written(ours));
            self.leave(format_args!(
                "{name}: `down_after` is {said}, as with Sentinel; a refused connection counts at once, and for \
                 silence {ours} is our default: shorten it when the move is done"
            ));
        }
    }

    /// Who we are to the group's servers.
    fn access(&mut self, group: &Group, with_passwords: bool, files: &mut BTreeSet<String>) {
        let name = &group.name;
        if group.user.is_none() && group.password.is_none() {
            return;
        }
        self.leave(format_args!(
            "{name}: our monitors' user needs more rights than Sentinel's: `redis-failover doctor` gives the line. For \
             the move it has to be another user than Sentinel's"
        ));
        let file = file_of(name, files);
        let password = match (&group.password, with_passwords) {
            (Some(Password::Text(password)), true) => Ok(password.clone()),
            (Some(Password::Text(_)), false) => {
                Err("its password is left out: it is written beside --output FILE")
            }
            (Some(Password::Other), _) => Err("its password is left out: it is no single line of text"),
            (None, _) => Err("auth-user has no auth-pass"),
        };
        let mark = if password.is_ok() { "" } else { "# " };
        if let Some(user) = &group.user {
            self.line(format_args!("{mark}redis_username = {}", Value::from(user.clone())));
        }
        self.line(format_args!("{mark}redis_password_file = {}", Value::from(file.clone())));
        match password {
            Ok(password) => self.passwords.push((file, password)),
            Err(why) => self.leave(format_args!(
                "{name}: {why}. Write it into the first line of a file with mode 600, and name that as \
                 `redis_password_file`"
            )),
        }
    }
}

/// The file for a group's password: one that no other group has.
fn file_of(group: &str, files: &mut BTreeSet<String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let stem: String = group.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut file = format!("{stem}.password");
    let mut number = 2;
    while !files.insert(file.clone()) {
        file = format!("{stem}-{number}.password");
        number += 1;
    }
    file
}
