//! One connection to one Redis server, whose end is noticed at once. It knows no command but the handshake.

mod overheard;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, ServerError, Value,
};
use redis_failover_core::NodeAddr;
use redis_failover_store::{Tls, TlsError};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::names::{Names, Way};
use overheard::Overheard;

/// The head start of each address of a node over the next one.
const HEAD_START: Duration = Duration::from_millis(100);

/// Who we are to Redis. The password appears in no log and no error.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The ACL user; `None` for the default one.
    pub username: Option<String>,
    /// Its password; `None` where the servers ask for none.
    pub password: Option<SecretString>,
    /// The address from which we call; `None` for the one that the system chooses.
    pub source_address: Option<IpAddr>,
    /// How the servers are verified; `None` where they are called without TLS.
    pub tls: Option<Tls>,
}

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct RedisLink {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
    /// Closes with the driver.
    alive: watch::Receiver<()>,
    peer: SocketAddr,
}

/// How long opening a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until the kernel on the other side has accepted.
    pub(crate) connect: Duration,
    /// From then on, until the server has let us in.
    pub(crate) greet: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Nobody listens there: the process is gone.
    #[error("connection refused")]
    Refused,
    /// No answer, or no way there.
    #[error("unreachable: {0}")]
    Unreachable(io::Error),
    /// Its name leads nowhere.
    #[error("its name cannot be resolved: {0}")]
    Unresolved(io::Error),
    /// This host can't call from the source address that we were told: our fault, and nothing about the node.
    #[error("cannot connect from the source address: {0}")]
    Unbound(io::Error),
    /// This process has no descriptor left for it: our fault, and nothing about the node.
    #[error("cannot connect: {0}")]
    Exhausted(io::Error),
    /// It answered, and does not want us: password, ACL, or too many clients.
    #[error("it answers, but does not let us in: {0}")]
    Denied(String),
    /// It answered, and one of us does not take the other's certificate, or it speaks no TLS.
    #[error("it answers, but there is no TLS that both take: {0}")]
    Untrusted(String),
    /// The connection ended while it was being set up.
    #[error("the connection broke: {0}")]
    Broken(RedisError),
}

impl RedisLink {
    /// Connects and authenticates within `limits`, to one of the addresses that `names` knows for the node. The link
    /// bears `name` in CLIENT LIST.
    ///
    /// # Errors
    /// See [`LinkError`]; nothing is left open.
    pub(crate) async fn open(
        (node, way): (&NodeAddr, Way),
        names: &Names,
        credentials: &Credentials,
        name: &str,
        limits: Limits,
    ) -> Result<Self, LinkError> {
        let connecting = async {
            let addresses = names.addresses(node, way).await.map_err(LinkError::Unresolved)?;
            connect(addresses, credentials.source_address).await
        };
        let late = |_| LinkError::Unreachable(io::ErrorKind::TimedOut.into());
        let stream = timeout(limits.connect, connecting).await.map_err(late)??;
        let greeting = Self::greet(node, stream, credentials, name);
        match timeout(limits.greet, greeting).await.map_err(late)? {
            Err(LinkError::Broken(error)) => {
                let addresses = names.addresses(node, way);
                match said_at_the_door(addresses, credentials.source_address).await {
                    Some(said) => Err(LinkError::Denied(said)),
                    None => Err(LinkError::Broken(error)),
                }
            }
            outcome => outcome,
        }
    }

    async fn greet(
        node: &NodeAddr,
        stream: TcpStream,
        credentials: &Credentials,
        name: &str,
    ) -> Result<Self, LinkError> {
        let peer = stream.peer_addr().map_err(LinkError::Unreachable)?;
        // Without it an INFO may wait for the kernel; an error here costs only that.
        let _ = stream.set_nodelay(true);
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(username) = &credentials.username {
            info = info.set_username(username);
        }
        if let Some(password) = &credentials.password {
            info = info.set_password(password.expose_secret());
        }
        // Deadlines are the callers': a reply that is late is still the reply to its command.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let Some(tls) = &credentials.tls else {
            return Self::introduced(begin(&info, stream, config).await?, peer, name).await;
        };
        let (stream, heard) = Overheard::new(tls.connect(node.host(), stream).await.map_err(untrusted)?);
        let greeted = async { Self::introduced(begin(&info, stream, config).await?, peer, name).await };
        greeted.await.map_err(|error| match heard.get() {
            Some(words) => LinkError::Untrusted(words.clone()),
            None => error,
        })
    }

    /// Gives the connection its name; the first thing that is asked on it.
    async fn introduced(
        (connection, driver): (MultiplexedConnection, Driver),
        peer: SocketAddr,
        name: &str,
    ) -> Result<Self, LinkError> {
        let (served, alive) = watch::channel(());
        let driver = tokio::spawn(async move {
            let _served = served;
            driver.await;
        });
        let mut link = Self { connection, driver, alive, peer };
        let mut greeting = redis::pipe();
        greeting.cmd("CLIENT").arg("SETNAME").arg(name);
        let reply = link.ask(&greeting).await.map_err(refusal)?.pop();
        match reply {
            Some(Value::ServerError(error)) if turns_away(&error) => {
                Err(LinkError::Denied(words(&error.into())))
            }
            // An ACL may forbid it; the name is a help for people who look at CLIENT LIST.
            _ => Ok(link),
        }
    }

    /// Sends a pipeline and returns one reply for each command; an error reply is a [`Value::ServerError`].
    ///
    /// Dropping the future does not take the commands back.
    ///
    /// # Errors
    /// When the connection broke: what was sent may have been carried out.
    pub(crate) async fn ask(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let count = pipeline.cmd_iter().count();
        self.connection.req_packed_commands(pipeline, 0, count).await
    }

    /// Sends MULTI, the commands and EXEC, and returns one reply for each command.
    ///
    /// # Errors
    /// When the connection broke (the transaction may have been carried out) or the server refused the whole.
    pub(crate) async fn transact(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let count = pipeline.cmd_iter().count();
        let mut replies = self.connection.req_packed_commands(pipeline, count + 1, 1).await?;
        match replies.pop() {
            Some(Value::Array(replies)) => Ok(replies),
            Some(Value::ServerError(error)) => Err(error.into()),
            _ => Err((ErrorKind::UnexpectedReturnType, "EXEC gave no array").into()),
        }
    }

    /// Completes when the connection has ended, whoever holds it meanwhile.
    pub(crate) fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut alive = self.alive.clone();
        // Nothing is ever sent: it closes.
        async move { while alive.changed().await.is_ok() {} }
    }

    /// Where it leads.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether the connection has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.driver.is_finished()
    }
}

impl Drop for RedisLink {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What drives a connection.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Introduces us over a stream on which nothing was said.
async fn begin(
    info: &RedisConnectionInfo,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    config: AsyncConnectionConfig,
) -> Result<(MultiplexedConnection, Driver), LinkError> {
    let begun = MultiplexedConnection::new_with_config(info, stream, config).await;
    begun.map(|(connection, driver)| (connection, Box::pin(driver) as Driver)).map_err(refusal)
}

/// What a handshake that failed says of the server. One that hangs up without a word may be dead, as without TLS.
fn untrusted(error: TlsError) -> LinkError {
    match error {
        TlsError::Broken(error) => LinkError::Broken(error.into()),
        error => LinkError::Untrusted(error.to_string()),
    }
}

/// The first connection that comes about to one of a node's addresses, from the source address if there is one. An
/// address that neither answers nor refuses does not keep the next one back.
///
/// # Errors
/// What says most of the node: that an address refused before that another was out of reach, and that before what is
/// about this host alone.
pub(crate) async fn connect(
    addresses: Vec<SocketAddr>,
    source: Option<IpAddr>,
) -> Result<TcpStream, LinkError> {
    let mut rest = addresses.into_iter().peekable();
    let mut attempts = JoinSet::new();
    let nowhere = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    let mut failure = LinkError::Unresolved(nowhere);
    while let Some(next) = rest.next() {
        attempts.spawn(call(next, source));
        let head_start = if rest.peek().is_some() { HEAD_START } else { Duration::MAX };
        let head_start = sleep(head_start);
        tokio::pin!(head_start);
        while !attempts.is_empty() {
            tokio::select! {
                Some(ended) = attempts.join_next() => match ended {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) if error.weight() > failure.weight() => failure = error,
                    Ok(Err(_)) | Err(_) => {}
                },
                () = &mut head_start => break,
            }
        }
    }
    Err(failure)
}

async fn call(address: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, LinkError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkError::Refused,
        _ if is_exhausted(&error) => LinkError::Exhausted(error),
        _ => LinkError::Unreachable(error),
    };
    let Some(source) = source else { return TcpStream::connect(address).await.map_err(failed) };
    if address.is_ipv4() != source.is_ipv4() {
        let why = format!("{source} is of another kind");
        return Err(LinkError::Unbound(io::Error::new(io::ErrorKind::AddrNotAvailable, why)));
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(failed)?;
    socket.bind(SocketAddr::new(source, 0)).map_err(LinkError::Unbound)?;
    socket.connect(address).await.map_err(failed)
}

/// Whether this process, or this machine, has no descriptor left.
fn is_exhausted(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EMFILE | Errno::ENFILE))
}

impl LinkError {
    /// How much it says of the node itself.
    fn weight(&self) -> u8 {
        match self {
            Self::Unresolved(_) => 0,
            Self::Unbound(_) | Self::Exhausted(_) => 1,
            Self::Unreachable(_) | Self::Broken(_) => 2,
            Self::Refused | Self::Denied(_) | Self::Untrusted(_) => 3,
        }
    }
}

/// Whether this host has the address, so that it can be called from.
///
/// # Errors
/// When it has not, as the system says it.
pub(crate) fn check_source(source: IpAddr) -> io::Result<()> {
    UdpSocket::bind(SocketAddr::new(source, 0)).map(drop)
}

/// Whether an error means that this server will not talk to us at all.
fn turns_away(error: &ServerError) -> bool {
    let too_many = error.details().is_some_and(|text| text.contains(TOO_MANY));
    too_many || error.code() == "NOAUTH"
}

/// A server that answers the handshake with an error is alive; one that hangs up may not be.
fn refusal(error: RedisError) -> LinkError {
    if error.is_io_error() || error.is_connection_dropped() {
        LinkError::Broken(error)
    } else {
        LinkError::Denied(words(&error))
    }
}

/// The error in words that are the same wherever it was met: redis-rs wraps it here and there.
fn words(error: &RedisError) -> String {
    let words = error.to_string();
    if words.contains(TOO_MANY) { format!("ERR {TOO_MANY}") } else { words }
}

/// What Redis says when `maxclients` are connected.
const TOO_MANY: &str = "max number of clients reached";

/// How long a server is listened to that hung up on us.
const DOOR_LIMIT: Duration = Duration::from_millis(100);

/// What a server says by itself to whom it turns away (too many clients, protected mode), if it does.
///
/// It says so and hangs up, and what we send meanwhile has the kernel throw its words away: so another connection is
/// made that only listens. A server that takes us says nothing.
async fn said_at_the_door(
    addresses: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    source: Option<IpAddr>,
) -> Option<String> {
    let listen = async {
        let stream = connect(addresses.await.ok()?, source).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream.take(LINE_LIMIT)).read_line(&mut line).await.ok()?;
        line.strip_prefix('-').map(|said| said.trim_end().to_owned())
    };
    timeout(DOOR_LIMIT, listen).await.ok().flatten()
}

/// How much of a server's words is read, in bytes.
const LINE_LIMIT: u64 = 512;

/// The text of a reply that is one.
pub(crate) fn text(reply: &Value) -> Option<String> {
    match reply {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_a_server_says_to_whom_it_turns_away_is_heard_and_silence_is_no_refusal() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = async {
            let (mut refused, _) = listener.accept().await.expect("a caller");
            refused.write_all(b"-ERR max number of clients reached\r\n").await.expect("it listens");
            drop(refused);
            listener.accept().await.expect("another caller")
        };
        let caller = async {
            let ask = || said_at_the_door(async move { Ok(vec![address]) }, None);
            (ask().await, ask().await)
        };
        let (_silent, said) = tokio::join!(server, caller);
        assert_eq!(said, (Some("ERR max number of clients reached".to_owned()), None));
    }

    #[tokio::test]
    async fn a_node_is_called_from_the_source_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        // The name may stand for an IPv6 address, too: that one can't be called from an IPv4 address.
        for host in ["127.0.0.1", "localhost"] {
            let source = IpAddr::from([127, 0, 1, 9]);
            let addresses = Names::default().addresses(&NodeAddr::new(host, port), Way::ByName).await;
            let stream = connect(addresses.expect("it has one"), Some(source)).await.expect("it listens");
            assert_eq!(stream.local_addr().expect("an address").ip(), source);
        }
    }

    #[tokio::test]
    async fn a_source_address_that_cannot_be_is_nothing_about_the_node() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let node = vec![listener.local_addr().expect("an address")];
        // Of documentation, and of the other kind.
        for source in ["192.0.2.1", "::1"] {
            let source: IpAddr = source.parse().expect("an address");
            let error = connect(node.clone(), Some(source)).await.expect_err("refused");
            assert!(matches!(error, LinkError::Unbound(_)), "{error}");
        }
        assert!(check_source([192, 0, 2, 1].into()).is_err());
        assert!(check_source([127, 0, 0, 1].into()).is_ok());
    }

    #[tokio::test]
    async fn to_have_no_descriptor_left_is_nothing_about_the_node() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let node = vec![listener.local_addr().expect("an address")];
        // The limit is this process's: each test has one of its own, and takes what is left of it.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        setrlimit(Resource::RLIMIT_NOFILE, 64, hard).expect("a lower limit");
        let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        assert!(taken.len() < 64, "the limit counts");
        for source in [None, Some([127, 0, 0, 1].into())] {
            let error = connect(node.clone(), source).await.expect_err("no descriptor is left");
            assert!(matches!(error, LinkError::Exhausted(_)), "{error}");
        }
        drop(taken);
        connect(node, None).await.expect("it listens");
    }

    #[tokio::test]
    async fn with_a_source_address_a_refusal_is_still_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let node = vec![listener.local_addr().expect("an address")];
        drop(listener);
        let error = connect(node, Some([127, 0, 0, 1].into())).await.expect_err("nobody listens");
        assert!(matches!(error, LinkError::Refused), "{error}");
    }

    #[tokio::test]
    async fn all_addresses_of_a_name_are_tried() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // Nobody listens there, for a while; and nobody answers at the other, in a network for documentation.
        let refuses: SocketAddr = (Ipv4Addr::new(127, 0, 0, 2), port).into();
        let silent: SocketAddr = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), port).into();
        let right: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        for order in [[refuses, silent, right], [silent, refuses, right], [right, silent, refuses]] {
            let stream = connect(order.into(), None).await.expect("one of them answers");
            assert_eq!(stream.peer_addr().expect("a peer"), right);
        }
        let gone = connect(vec![refuses, refuses], None).await.expect_err("nobody listens");
        assert!(matches!(gone, LinkError::Refused), "{gone}");
        let none = connect(Vec::new(), None).await.expect_err("there is no address");
        assert!(matches!(none, LinkError::Unresolved(_)), "{none}");
    }
}
