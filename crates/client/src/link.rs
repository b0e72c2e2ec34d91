//! One open connection to one node, shared by all commands, and what the node said of itself on it.
//!
//! A link never reconnects and never judges the node: it is open until it ends, and doubted or not.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Pipeline, RedisError, RedisResult, Value};
use redis_failover_core::follower::{Identity, Manner};
use redis_failover_core::{NodeAddr, RunId};
use redis_failover_store::{TlsError, tls_refusal};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDrop, AbortOnDropHandle};

use crate::credentials::introduction;
use crate::metrics::NodeCounters;
use crate::settings::Settings;
use crate::sounding::Sounding;

/// When the kernel begins to ask after a peer that is silent, and how often it asks again.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// After how many unanswered questions it gives up.
const KEEPALIVES: u32 = 3;

/// A connection and the task that drives it. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) connection: MultiplexedConnection,
    /// Cancelled as soon as the connection has ended.
    pub(crate) ended: CancellationToken,
    driver: AbortOnDropHandle<()>,
}

impl Wire {
    /// Connects, authenticates, selects the database.
    pub(crate) async fn open(
        node: &NodeAddr,
        settings: &Settings,
        response_timeout: Option<Duration>,
    ) -> RedisResult<Self> {
        let info = introduction(settings).await?;
        let stream = dial(node, settings).await?;
        let config = AsyncConnectionConfig::new().set_response_timeout(response_timeout);
        let begun = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) = begun.map_err(explained)?;
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let driver = tokio::spawn(async move {
            // Also when this task is aborted.
            let _guard = guard;
            driver.await;
        });
        Ok(Self { connection, ended, driver: AbortOnDropHandle::new(driver) })
    }

    /// Ends it when what this returns is dropped and not detached before.
    pub(crate) fn end_on_drop(&self) -> AbortOnDrop {
        AbortOnDrop::new(self.driver.abort_handle())
    }

    /// What the node is. `order` is the document that is believed now.
    pub(crate) async fn look(&self, order: i64) -> RedisResult<Identity> {
        let answers = self.connection.clone().req_packed_commands(&questions(), 0, 3).await?;
        identity(&answers, order)
    }
}

/// A connection's own stream of bytes, over TLS where the settings say so.
pub(crate) type Stream = Box<dyn Bytes>;

/// What bytes come and go by.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Bytes for T {}

/// Connects as the settings say, and makes sure of the other end where there is TLS. Nothing is said yet.
pub(crate) async fn dial(node: &NodeAddr, settings: &Settings) -> RedisResult<Stream> {
    let stream = connect(node, settings.source_address).await?;
    stream.set_nodelay(settings.nodelay)?;
    // A peer whose host is gone sends nothing, not even an end.
    let socket = SockRef::from(&stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVES);
    socket.set_tcp_keepalive(&keepalive)?;
    // The same for what was sent and is not confirmed; Linux would try for a quarter of an hour.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(KEEPALIVE * (KEEPALIVES + 1)))?;
    match &settings.tls {
        None => Ok(Box::new(stream)),
        Some(tls) => Ok(Box::new(tls.connect(node.host(), stream).await.map_err(TlsError::into_io)?)),
    }
}

/// The error with what a server said of our certificate, which it says only once it was asked something.
pub(crate) fn explained(error: RedisError) -> RedisError {
    match tls_refusal(&error) {
        Some(words) => TlsError::Refused(words).into_io().into(),
        None => error,
    }
}

/// A TCP connection, from the source address if there is one.
async fn connect(node: &NodeAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect((node.host(), node.port())).await };
    let other_kind = format!("{node} has no address of the kind of the source address {source}");
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, other_kind);
    for address in lookup_host((node.host(), node.port())).await? {
        if address.is_ipv4() != source.is_ipv4() {
            continue;
        }
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        let unbound =
            |error| io::Error::other(format!("cannot connect from the source address {source}: {error}"));
        socket.bind(SocketAddr::new(source, 0)).map_err(unbound)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What a node is asked to know what it is.
pub(crate) fn questions() -> Pipeline {
    let mut questions = redis::pipe();
    questions.cmd("PING").cmd("INFO").arg("server").cmd("INFO").arg("replication");
    questions
}

/// What the answers to these questions say. `order` is the document that was believed when they were asked.
pub(crate) fn identity(answers: &[Value], order: i64) -> RedisResult<Identity> {
    let [ping, server, replication] = answers else {
        return Err(io::Error::from(io::ErrorKind::InvalidData).into());
    };
    let run = field(server, "run_id:")?.map(|run| RunId(run.to_owned()));
    let mut role = match field(replication, "role:")? {
        Some("master") => Some(Manner::Master),
        Some("slave" | "replica") => Some(Manner::Replica),
        _ => None,
    };
    // A node that loads its data, or that may not show it without its master, says so to PING too. One that can't save
    // (MISCONF) does as well, and holds all of it.
    let unusable =
        matches!(ping, Value::ServerError(error) if matches!(error.code(), "LOADING" | "MASTERDOWN"));
    if unusable || field(replication, "master_sync_in_progress:")? == Some("1") {
        role = Some(Manner::Filling);
    }
    Ok(Identity { run, role, asked: order })
}

/// The value of a line of INFO; `None` also where the user may not ask.
pub(crate) fn field<'a>(answer: &'a Value, name: &str) -> RedisResult<Option<&'a str>> {
    let text = match answer {
        Value::BulkString(bytes) => str::from_utf8(bytes).unwrap_or_default(),
        Value::VerbatimString { text, .. } => text,
        Value::ServerError(error) if error.code() == "NOPERM" => return Ok(None),
        Value::ServerError(error) => return Err(RedisError::from(error.clone())),
        _ => "",
    };
    Ok(text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim))
}

/// The shared connection to a node.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) node: NodeAddr,
    /// Told apart by it from this client's other links, for cursors: never 0.
    pub(crate) number: u16,
    pub(crate) wire: Wire,
    /// Those of its node.
    pub(crate) counters: Arc<NodeCounters>,
    /// What is known of the node since it was connected.
    pub(crate) sounding: Sounding,
    doubted: AtomicBool,
    doubt: Notify,
}

impl Link {
    pub(crate) fn new(node: NodeAddr, number: u16, wire: Wire, counters: Arc<NodeCounters>) -> Self {
        let sounding = Sounding::default();
        Self { node, number, wire, counters, sounding, doubted: AtomicBool::new(false), doubt: Notify::new() }
    }

    /// Whether commands may be sent over it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.doubted.load(Ordering::Acquire) && !self.wire.ended.is_cancelled()
    }

    /// Nothing is sent over it until its node was looked at again.
    pub(crate) fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
        self.doubt.notify_one();
    }

    /// Ends the doubt.
    pub(crate) fn trust(&self) {
        self.doubted.store(false, Ordering::Release);
    }

    /// Waits until it is doubted.
    pub(crate) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Ends it. Whatever is in flight on it fails at once.
    pub(crate) fn cut(&self) {
        self.wire.driver.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn refused(text: &str) -> Value {
        redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("a reply")
    }

    #[test]
    fn a_node_is_known_by_what_it_says() {
        let server = info("# Server\r\nrun_id:abc\r\n");
        let look = |ping: Value, replication: &str| {
            identity(&[ping, server.clone(), info(replication)], 7).expect("an identity").role
        };
        let pong = || Value::SimpleString("PONG".into());
        assert_eq!(look(pong(), "role:master\r\n"), Some(Manner::Master));
        assert_eq!(look(pong(), "role:slave\r\nmaster_sync_in_progress:0\r\n"), Some(Manner::Replica));
        assert_eq!(look(pong(), "role:slave\r\nmaster_sync_in_progress:1\r\n"), Some(Manner::Filling));
        assert_eq!(look(refused("LOADING it"), "role:slave\r\n"), Some(Manner::Filling));
        assert_eq!(look(refused("MASTERDOWN it"), "role:slave\r\n"), Some(Manner::Filling));
        for harmless in ["NOPERM no", "MISCONF it can't save", "ERR unknown command"] {
            assert_eq!(look(refused(harmless), "role:master\r\n"), Some(Manner::Master), "{harmless}");
        }
        let whole = identity(&[pong(), server.clone(), info("role:master")], 7).expect("an identity");
        assert_eq!((whole.run, whole.asked), (Some(RunId("abc".into())), 7));
    }

    #[test]
    fn what_may_not_be_asked_is_not_known_and_other_refusals_are_errors() {
        let pong = Value::SimpleString("PONG".into());
        let whole =
            identity(&[pong.clone(), refused("NOPERM x"), refused("NOPERM x")], 1).expect("an identity");
        assert_eq!((whole.run, whole.role), (None, None));
        assert!(identity(&[pong, refused("BUSY x"), refused("BUSY x")], 1).is_err());
    }
}
