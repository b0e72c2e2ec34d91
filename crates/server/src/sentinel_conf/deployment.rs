//! What all sentinels of a deployment say together: one group for each master, and what is to be told beside. Where
//! they differ, who knows of the latest change of a master counts. It writes nothing.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use redis_failover_core::NodeAddr;
use secrecy::ExposeSecret as _;

use super::file::{Master, Password, Place, SentinelFile, Unknown};

/// How long a node may be silent where a sentinel's file says nothing.
const DOWN_AFTER: Duration = Duration::from_secs(30);

/// Where a sentinel answers if its file does not say.
const PORT: u16 = 26_379;

/// Files of one deployment, merged.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// The files, in their order.
    pub files: Vec<String>,
    /// One for each master.
    pub groups: Vec<Group>,
    /// The port at which clients ask the first of the sentinels.
    pub port: u16,
    /// How the Redis servers are called, where that is over TLS.
    pub tls: Option<Tls>,
    /// What has no counterpart, by directive.
    pub unmatched: Vec<Absence>,
    /// In what the files differ.
    pub differences: Vec<String>,
}

/// What is monitored under one name.
#[derive(Debug)]
pub(crate) struct Group {
    /// The name.
    pub name: String,
    /// The master first.
    pub nodes: Vec<NodeAddr>,
    /// How many must agree, and of how many.
    pub quorum: (u32, usize),
    /// How long a node may be silent, and whether a file says so.
    pub down_after: (Duration, bool),
    /// How many are filled at a time, where that is said.
    pub parallel_syncs: Option<u32>,
    /// The user on the Redis servers.
    pub user: Option<String>,
    /// The password there.
    pub password: Option<Password>,
}

/// How the Redis servers are called over TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    /// Whom to trust.
    pub ca: Option<PathBuf>,
    /// Who is calling: the certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A directive without a counterpart, and all places where it stands.
#[derive(Debug)]
pub(crate) struct Absence {
    /// Its name.
    pub directive: String,
    /// Where it stands.
    pub places: Vec<Place>,
    /// What is known of it.
    pub fate: Unknown,
}

impl Deployment {
    /// What these files say together.
    pub(crate) fn of(files: &[SentinelFile]) -> Self {
        let mut differences = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for master in files.iter().flat_map(|file| &file.masters) {
            if !names.contains(&&*master.name) {
                names.push(&master.name);
            }
        }
        let groups: Vec<_> = names.iter().map(|name| group(name, files, &mut differences)).collect();
        differences.extend(shared_nodes(&groups));
        Self {
            files: files.iter().map(|file| file.name.to_string()).collect(),
            groups,
            port: files.first().map_or(PORT, port),
            tls: tls(files, &mut differences),
            unmatched: unmatched(files),
            differences,
        }
    }
}

/// The group of this name, of which at least one file tells.
fn group(name: &str, files: &[SentinelFile], differences: &mut Vec<String>) -> Group {
    let of = |file: &'_ SentinelFile| file.masters.iter().find(|master| master.name == name).cloned();
    let known: Vec<(&SentinelFile, Master)> =
        files.iter().filter_map(|file| Some((file, of(file)?))).collect();
    // The first of the latest.
    let latest = known.iter().rev().max_by_key(|(_, master)| master.config_epoch);
    let (_, latest) = latest.expect("a file names it");
    if known.len() < files.len() {
        let silent = files.iter().filter(|file| of(file).is_none()).map(|file| &*file.name);
        differences.push(format!("{name}: it is not monitored by {}", silent.collect::<Vec<_>>().join(", ")));
    }
    let mut compare = |what: &str, value: &dyn Fn(&Master) -> String| {
        differences.extend(difference(name, what, &known, latest, value));
    };
    compare("the master", &|it| it.address.to_string());
    compare("quorum", &|it| it.quorum.to_string());
    compare("down-after-milliseconds", &|it| it.down_after.unwrap_or(DOWN_AFTER).as_millis().to_string());
    compare("parallel-syncs", &|it| it.parallel_syncs.unwrap_or(1).to_string());
    compare("auth-user", &|it| it.user.clone().unwrap_or_else(|| "the default user".to_owned()));
    if known.iter().any(|(_, it)| !is_same(it.password.as_ref(), latest.password.as_ref())) {
        differences.push(format!("{name}: auth-pass is not the same in all files"));
    }
    let mut nodes = Vec::new();
    let others = known.iter().map(|(_, master)| master);
    for master in std::iter::once(latest).chain(others) {
        for node in std::iter::once(&master.address).chain(&master.replicas) {
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
    }
    let sentinels = files.iter().map(|file| file.sentinels_of(name)).chain([known.len()]).max();
    Group {
        name: name.to_owned(),
        nodes,
        quorum: (latest.quorum, sentinels.unwrap_or_default()),
        down_after: (latest.down_after.unwrap_or(DOWN_AFTER), latest.down_after.is_some()),
        parallel_syncs: latest.parallel_syncs,
        user: latest.user.clone(),
        password: latest.password.clone(),
    }
}

/// How the files differ in one thing, if they do, and what is taken.
fn difference(
    name: &str,
    what: &str,
    known: &[(&SentinelFile, Master)],
    latest: &Master,
    value: &dyn Fn(&Master) -> String,
) -> Option<String> {
    let taken = value(latest);
    if known.iter().all(|(_, master)| value(master) == taken) {
        return None;
    }
    let each = known.iter().map(|(file, master)| format!("{} in {}", value(master), file.name));
    Some(format!("{name}: {what} is {}: {taken} is taken", each.collect::<Vec<_>>().join(", ")))
}

fn is_same(one: Option<&Password>, other: Option<&Password>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(Password::Text(one)), Some(Password::Text(other))) => {
            one.expose_secret() == other.expose_secret()
        }
        _ => false,
    }
}

/// The servers that are in two groups: those would undo each other's work.
fn shared_nodes(groups: &[Group]) -> Vec<String> {
    let mut seen: BTreeMap<&NodeAddr, &str> = BTreeMap::new();
    let mut shared = Vec::new();
    for group in groups {
        for node in &group.nodes {
            if let Some(other) = seen.insert(node, &group.name) {
                let name = &group.name;
                shared.push(format!(
                    "{node} is in {other} and in {name}: take it out of one, or one of them out"
                ));
            }
        }
    }
    shared
}

/// Where the sentinel answers: over TLS where it does nothing else.
fn port(file: &SentinelFile) -> u16 {
    let said = |name: &str| file.server.get(name).and_then(|port| port.parse().ok());
    let ports = [said("port").unwrap_or(PORT), said("tls-port").unwrap_or_default()];
    ports.into_iter().find(|port| *port != 0).unwrap_or(PORT)
}

/// How the Redis servers are called: a sentinel does so as a replica of theirs would.
fn tls(files: &[SentinelFile], differences: &mut Vec<String>) -> Option<Tls> {
    let is_over_tls = |file: &SentinelFile| {
        file.server.get("tls-replication").is_some_and(|it| it.eq_ignore_ascii_case("yes"))
    };
    let first = files.iter().find(|file| is_over_tls(file))?;
    for file in files.iter().filter(|file| !is_over_tls(file)) {
        differences
            .push(format!("{} calls the Redis servers without TLS, {} over TLS", file.name, first.name));
    }
    let paths = |file: &SentinelFile| {
        let path = |names: &[&str]| names.iter().find_map(|name| file.path(name));
        let certificate = path(&["tls-client-cert-file", "tls-cert-file"]);
        let key = path(&["tls-client-key-file", "tls-key-file"]);
        (path(&["tls-ca-cert-file"]), certificate.zip(key))
    };
    for file in files.iter().filter(|file| is_over_tls(file) && paths(file) != paths(first)) {
        let why = "its certificates are in other files than those of";
        differences.push(format!("{}: {why} {}, which are taken", file.name, first.name));
    }
    let (ca, identity) = paths(first);
    Some(Tls { ca, identity })
}

/// What has no counterpart, each directive once, in the order in which it is met.
fn unmatched(files: &[SentinelFile]) -> Vec<Absence> {
    let mut absences: Vec<Absence> = Vec::new();
    for line in files.iter().flat_map(|file| &file.unmatched) {
        let directive = line.directive.to_lowercase();
        match absences.iter_mut().find(|it| it.directive == directive) {
            Some(known) => known.places.push(line.place.clone()),
            None => absences.push(Absence {
                directive,
                places: vec![line.place.clone()],
                fate: line.fate.clone(),
            }),
        }
    }
    absences
}

/// Where something stands, each file named once.
impl Display for Absence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut last = None;
        for place in &self.places {
            match last.replace(&place.file) {
                Some(file) if *file == place.file => write!(f, ",{}", place.line)?,
                before => write!(f, "{}{place}", if before.is_some() { " " } else { "" })?,
            }
        }
        write!(f, " {}", self.directive)
    }
}
