//! The only place that composes: from a configuration to running parts, and back to an orderly end.

mod groups;
mod listener;
mod sessions;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use redis_failover_core::NodeAddr;
use redis_failover_store::{Contact, Feed, Sight, Store, Unreadable};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, ConfigFile, GroupConfig, SentinelConfig, host_name};
use crate::descriptors;
use crate::failure::{Failure, Kind};
use crate::redis_link::check_source;
use crate::sentinel::{self, Endpoint};
use groups::Groups;
use listener::listen;
use sessions::{Session, Sessions};

/// Runs a monitor in each group until SIGINT or SIGTERM, then gives up the lead at once, so that another takes over.
/// Where the configuration is a `file`, SIGHUP has it read again.
///
/// # Errors
/// When it cannot begin: its address is taken, or, without a file, what stands at the one path is not ours to
/// overwrite. Nothing was written then.
pub(crate) async fn run(config: Config, file: Option<ConfigFile>) -> Result<(), Failure> {
    descriptors::raise();
    let mut signals = Signals::new(file.is_some())
        .map_err(|error| Failure::new(Kind::Failed, format!("no signals: {error}")))?;
    for warning in config.warnings() {
        tracing::warn!(event = "config", "{warning}");
    }
    check_sources(&config)?;
    let contact = contact(&config).await?;
    let endpoint = endpoint(&config)?;
    let mut sessions = Sessions::default();
    // Of one group the operator is told at once; beside others it is no reason to end.
    if let (None, [only]) = (&file, config.groups.as_slice()) {
        let session = sessions.with(&only.backing)?;
        let usable = async {
            match session {
                Session::ZooKeeper(session) => await_usable(&session.group(&only.path), only).await,
                Session::StateFile(session) => await_usable(&session.group(&only.path), only).await,
            }
        };
        tokio::select! {
            _ = signals.next() => return Ok(()),
            usable = usable => usable?,
        }
    }
    let mut groups = Groups::new(config.id.clone(), contact, endpoint, sessions);
    groups.become_these(config.groups.clone()).await;
    if let Some(unbegun) = groups.unbegun().first() {
        return Err(unbegun.failure.clone());
    }
    let present = config;
    loop {
        let told = tokio::select! {
            told = signals.next() => told,
            () = groups.retry() => continue,
        };
        if told == Told::End {
            break;
        }
        // Without one SIGHUP is not heard.
        let Some(file) = &file else { continue };
        match file.read().and_then(|config| check_reload(&present, config)) {
            Ok(config) => {
                let (file, count) = (file.path().display(), config.groups.len());
                tracing::info!(event = "reload", "{file} was read again: {count} groups");
                reload(&mut groups, &present, config).await;
            }
            Err(failure) => tracing::error!(
                event = "reload-failed",
                "{}{}; nothing was changed",
                failure.message,
                failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default()
            ),
        }
    }
    groups.end().await;
    Ok(())
}

/// Has this process answer where it is told to, and says where and how the others ask it.
async fn contact(config: &Config) -> Result<Option<Contact>, Failure> {
    let Some(wanted) = config.listen else { return Ok(None) };
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Different in each life of this monitor, which need not be secret.
    let life = format!("{:x}.{:x}", begun.as_nanos(), std::process::id());
    let bound = listen(wanted, format!("{} {life}", config.id)).await?;
    Ok(Some(Contact { address: announced(bound, config.announce.as_ref()).to_string(), life }))
}

/// Where others are told that something is that is bound there.
fn announced(bound: SocketAddr, wanted: Option<&NodeAddr>) -> NodeAddr {
    match wanted {
        // Port 0 is the one that was taken.
        Some(wanted) if wanted.port() == 0 => NodeAddr::new(wanted.host(), bound.port()),
        Some(wanted) => wanted.clone(),
        // That is no address that others could call.
        None if bound.ip().is_unspecified() => NodeAddr::new(host_name(), bound.port()),
        None => NodeAddr::new(bound.ip().to_string(), bound.port()),
    }
}

/// Has this process answer as a Redis Sentinel where it is told to.
fn endpoint(config: &Config) -> Result<Option<Arc<Endpoint>>, Failure> {
    let Some(SentinelConfig { listen, announce, access, .. }) = &config.sentinel else { return Ok(None) };
    let failed = |error: io::Error| {
        Failure::new(Kind::Failed, format!("--sentinel {listen}: {error}"))
            .hint("does a Sentinel run there? port 0 takes a free one")
    };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    // The host is the same for both, unless nobody reaches the endpoint there; the port is each one's own.
    let host = config.announce.as_ref().filter(|_| !bound.ip().is_loopback());
    let beside = host.map(|it| NodeAddr::new(it.host(), bound.port()));
    let address = announced(bound, announce.as_ref().or(beside.as_ref()));
    tracing::info!(event = "sentinel", %bound, "this process answers as a Sentinel at {address}");
    let runtime =
        sentinel::thread().map_err(|error| Failure::new(Kind::Failed, format!("no thread: {error}")))?;
    let monitors = config.groups.iter().any(|group| !group.only_follows());
    // Beside the monitor of this host, whose id is the host's name, too, it is another Sentinel.
    let name = if monitors { config.id.to_string() } else { format!("{} (monitors nothing)", config.id) };
    let endpoint = Endpoint::new(&name, address, access.clone(), runtime);
    endpoint.listen(listener);
    Ok(Some(endpoint))
}

/// Checks that this host can call the Redis servers as it is told to.
fn check_sources(config: &Config) -> Result<(), Failure> {
    for source in config.groups.iter().filter_map(|group| group.credentials.source_address) {
        check_source(source).map_err(|error| {
            Failure::new(Kind::Failed, format!("--source-address {source}: {error}"))
                .hint("it must be an address of this host")
        })?;
    }
    Ok(())
}

/// What was read again, if it can be had without a restart.
fn check_reload(at_start: &Config, config: Config) -> Result<Config, Failure> {
    check_sources(&config)?;
    if config.state_file() != at_start.state_file() {
        return Err(Failure::new(Kind::Failed, "`embedded` and `state_file` are read at the start only")
            .hint("restart the process to have the records kept elsewhere; they are not carried over"));
    }
    Ok(config)
}

/// Has the groups be those of `config`. What else the process is stays as it was at the start.
async fn reload(groups: &mut Groups, at_start: &Config, config: Config) {
    for warning in config.warnings() {
        tracing::warn!(event = "config", "{warning}");
    }
    let start = |config: &Config| (config.id.clone(), config.listen, config.announce.clone());
    if start(&config) != start(at_start) || config.sentinel != at_start.sentinel {
        tracing::warn!(
            event = "reload",
            "`id`, `listen`, `announce` and what begins with `sentinel` are read at the start only: they stay as they \
             were"
        );
    }
    groups.become_these(config.groups).await;
    for unbegun in groups.unbegun() {
        let failure = &unbegun.failure.message;
        tracing::error!(
            event = "not-begun",
            "{failure}; this group does not run, which is tried again every second"
        );
    }
}

/// Waits until what stands at the path was read once, and is ours, nobody's, or a newer monitor's.
async fn await_usable(group: &impl Store, config: &GroupConfig) -> Result<(), Failure> {
    let mut record: Feed<Sight> = group.record();
    loop {
        match record.next().await.read {
            None => {}
            Some(Ok(_)) => return Ok(()),
            Some(Err(unreadable)) => match &*unreadable {
                // It is followed and not led.
                Unreadable::NewerFormat { .. } => return Ok(()),
                Unreadable::Garbage { .. } | Unreadable::Contradiction { .. } => {
                    let look = match config.backing.state_file() {
                        None => format!("look with: get {}", config.path),
                        Some(file) => format!("look into {}", file.display()),
                    };
                    return Err(Failure::new(Kind::Failed, &unreadable)
                        .hint(format!("nothing was written; choose another path, or {look}")));
                }
            },
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// To end.
    End,
    /// To read the configuration again.
    Reload,
}

/// The signals that a monitor heeds.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Without a file SIGHUP does what it does to every program: it ends it.
    hangup: Option<Signal>,
}

impl Signals {
    fn new(reloads: bool) -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: reloads.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    async fn next(&mut self) -> Told {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Told::End,
            _ = self.terminate.recv() => Told::End,
            _ = hangup => Told::Reload,
        }
    }
}
