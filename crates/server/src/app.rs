//! The only place that composes: from a configuration to running parts, and back to an orderly end.

use std::io;
use std::time::Duration;

use redis_failover_store::{
    ConnectString, Connection, Feed, GroupPath, Sight, Store, ZooKeeper, ZooKeeperGroup,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::config::Config;
use crate::failure::{Failure, Kind};
use crate::monitor::{Monitor, Setup};
use crate::redis_link::check_source;

/// Runs a monitor until SIGINT or SIGTERM, then gives up the lead at once, so that another takes over.
///
/// # Errors
/// When it cannot begin: its address is taken, or what stands at the path is not ours to overwrite. Nothing was
/// written then.
pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    let mut stop =
        Signals::new().map_err(|error| Failure::new(Kind::Failed, format!("no signals: {error}")))?;
    if let Some(source) = config.credentials.source_address {
        check_source(source).map_err(|error| {
            Failure::new(Kind::Failed, format!("--source-address {source}: {error}"))
                .hint("it must be an address of this host")
        })?;
    }
    let address = match config.listen {
        Some(wanted) => Some(listen(wanted, config.id.to_string()).await?),
        None => None,
    };
    let zookeeper = ZooKeeper::connect(config.zkhosts.clone(), config.session_timeout)
        .map_err(|error| Failure::new(Kind::Failed, format!("no thread for ZooKeeper: {error}")))?;
    tokio::spawn(tell_connection(zookeeper.state(), config.zkhosts.clone()));
    let group = zookeeper.group(&config.path);
    tokio::select! {
        () = stop.any() => return Ok(()),
        readable = await_readable(&group, &config.path) => readable?,
    }
    tracing::info!(
        event = "start", group = config.path.name(), id = %config.id,
        "monitor {} of {}, {} nodes are listed", config.id, config.path, config.nodes.len()
    );
    let setup = Setup {
        group: config.path.name().to_owned(),
        id: config.id,
        address,
        nodes: config.nodes,
        policy: config.policy,
        credentials: config.credentials,
        slow_every: config.slow_every,
        take_over: config.take_over,
    };
    let (monitor, inbox) = Monitor::new(setup, group);
    monitor.run(inbox, stop.any()).await;
    zookeeper.close().await;
    tracing::info!(event = "stop", "the session with ZooKeeper is closed");
    Ok(())
}

/// Waits until what stands at the path was read once.
async fn await_readable(group: &ZooKeeperGroup, path: &GroupPath) -> Result<(), Failure> {
    let mut record: Feed<Sight> = group.record();
    loop {
        match record.next().await.read {
            None => {}
            Some(Ok(_)) => return Ok(()),
            Some(Err(unreadable)) => {
                return Err(Failure::new(Kind::Failed, &unreadable)
                    .hint(format!("nothing was written; choose another path, or look with: get {path}")));
            }
        }
    }
}

/// Says how the ZooKeeper session fares, a line for each change.
async fn tell_connection(mut state: Feed<Connection>, servers: ConnectString) {
    let mut told = None;
    loop {
        let next = state.next().await;
        // It is tried again several times a second; a failure like the last one is no news.
        if told.as_ref() == Some(&next) {
            continue;
        }
        match told.insert(next).clone() {
            Connection::Connecting { last_error: None } => {
                tracing::info!(event = "zookeeper", "connecting to ZooKeeper at {servers}");
            }
            Connection::Connecting { last_error: Some(error) } => tracing::warn!(
                event = "zookeeper",
                "no session with ZooKeeper at {servers}: {error}; trying on (are the servers right, and do they run?)"
            ),
            Connection::Connected { session, asked, negotiated } => {
                tracing::info!(
                    event = "zookeeper",
                    session = format!("{session:#x}"),
                    "session with ZooKeeper, its time-out is {negotiated:?}"
                );
                if negotiated > asked {
                    tracing::warn!(
                        event = "zookeeper",
                        "the ensemble raised the session time-out from {asked:?} to {negotiated:?}: a dead leader \
                         keeps the lead for that long (lower tickTime or minSessionTimeout there)"
                    );
                }
            }
            Connection::Disconnected => {
                tracing::warn!(event = "zookeeper", "the connection to ZooKeeper broke");
            }
            Connection::Closed => return,
        }
    }
}

/// Answers `PING` lines with who it is, for peers and for people with `redis-cli ping`.
async fn listen(wanted: std::net::SocketAddr, id: String) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Kind::Failed, format!("--listen {wanted}: {error}"))
            .hint("is another monitor running there? port 0 takes a free one")
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, id.clone()))),
                // Out of descriptors: those that are open will close.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(address.to_string())
}

/// How long a silent caller is kept.
const CALLER_LIMIT: Duration = Duration::from_mins(1);

async fn answer(stream: TcpStream, id: String) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(tokio::io::AsyncReadExt::take(reader, 64 * 1024)).lines();
    // A caller that hangs up, stays silent or talks too much is done.
    while let Ok(Ok(Some(line))) = timeout(CALLER_LIMIT, lines.next_line()).await {
        let reply = match line.trim() {
            "*1" | "$4" => continue,
            word if word.eq_ignore_ascii_case("ping") => format!("+PONG {id}\r\n"),
            _ => "-ERR only PING is answered here\r\n".to_owned(),
        };
        if writer.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The signals that end a monitor.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
