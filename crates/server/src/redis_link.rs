//! One connection to one Redis server, whose end is noticed at once. It knows no command but the handshake.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, ServerError, Value,
};
use redis_failover_core::NodeAddr;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Who we are to Redis. The password appears in no log and no error.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The ACL user; `None` for the default one.
    pub username: Option<String>,
    /// Its password; `None` where the servers ask for none.
    pub password: Option<SecretString>,
    /// The address from which we call; `None` for the one that the system chooses.
    pub source_address: Option<IpAddr>,
}

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct RedisLink {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
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
    /// This host can't call from the source address that we were told: our fault, and nothing about the node.
    #[error("cannot connect from the source address: {0}")]
    Unbound(io::Error),
    /// It answered, and does not want us: password, ACL, or too many clients.
    #[error("it answers, but does not let us in: {0}")]
    Denied(String),
    /// The connection ended while it was being set up.
    #[error("the connection broke: {0}")]
    Broken(RedisError),
}

impl RedisLink {
    /// Connects and authenticates within `limit`. The link bears `name` in CLIENT LIST.
    ///
    /// # Errors
    /// See [`LinkError`]; nothing is left open.
    pub(crate) async fn open(
        node: &NodeAddr,
        credentials: &Credentials,
        name: &str,
        limit: Duration,
    ) -> Result<Self, LinkError> {
        let late = || LinkError::Unreachable(io::ErrorKind::TimedOut.into());
        match timeout(limit, Self::open_unlimited(node, credentials, name)).await {
            Ok(Err(LinkError::Broken(error))) => {
                match said_at_the_door(node, credentials.source_address).await {
                    Some(said) => Err(LinkError::Denied(said)),
                    None => Err(LinkError::Broken(error)),
                }
            }
            Ok(outcome) => outcome,
            Err(_) => Err(late()),
        }
    }

    async fn open_unlimited(
        node: &NodeAddr,
        credentials: &Credentials,
        name: &str,
    ) -> Result<Self, LinkError> {
        let stream = connect(node, credentials.source_address).await?;
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
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config).await.map_err(refusal)?;
        let mut link = Self { connection, driver: tokio::spawn(driver) };
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

    /// Returns when the connection has ended.
    pub(crate) async fn ended(&mut self) {
        // A driver that panicked has ended as well.
        let _ = (&mut self.driver).await;
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

/// A TCP connection, from the source address if there is one.
async fn connect(node: &NodeAddr, source: Option<IpAddr>) -> Result<TcpStream, LinkError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkError::Refused,
        _ => LinkError::Unreachable(error),
    };
    let Some(source) = source else {
        return TcpStream::connect((node.host(), node.port())).await.map_err(failed);
    };
    let other_kind =
        || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{source} is of another kind"));
    let mut last = LinkError::Unbound(other_kind());
    for address in lookup_host((node.host(), node.port())).await.map_err(failed)? {
        if address.is_ipv4() != source.is_ipv4() {
            continue;
        }
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(LinkError::Unbound)?;
        socket.bind(SocketAddr::new(source, 0)).map_err(LinkError::Unbound)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = failed(error),
        }
    }
    Err(last)
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
async fn said_at_the_door(node: &NodeAddr, source: Option<IpAddr>) -> Option<String> {
    let listen = async {
        let stream = connect(node, source).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream.take(LINE_LIMIT)).read_line(&mut line).await.ok()?;
        line.strip_prefix('-').map(|said| said.trim_end().to_owned())
    };
    timeout(DOOR_LIMIT, listen).await.ok().flatten()
}

/// How much of a server's words is read, in bytes.
const LINE_LIMIT: u64 = 512;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_node_is_called_from_the_source_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        // The name may stand for an IPv6 address, too: that one can't be called from an IPv4 address.
        for host in ["127.0.0.1", "localhost"] {
            let source = IpAddr::from([127, 0, 1, 9]);
            let stream = connect(&NodeAddr::new(host, port), Some(source)).await.expect("it listens");
            assert_eq!(stream.local_addr().expect("an address").ip(), source);
        }
    }

    #[tokio::test]
    async fn a_source_address_that_cannot_be_is_nothing_about_the_node() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let node = NodeAddr::new("127.0.0.1", listener.local_addr().expect("an address").port());
        // Of documentation, and of the other kind.
        for source in ["192.0.2.1", "::1"] {
            let source: IpAddr = source.parse().expect("an address");
            let error = connect(&node, Some(source)).await.expect_err("refused");
            assert!(matches!(error, LinkError::Unbound(_)), "{error}");
        }
        assert!(check_source([192, 0, 2, 1].into()).is_err());
        assert!(check_source([127, 0, 0, 1].into()).is_ok());
    }

    #[tokio::test]
    async fn with_a_source_address_a_refusal_is_still_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let node = NodeAddr::new("127.0.0.1", listener.local_addr().expect("an address").port());
        drop(listener);
        let error = connect(&node, Some([127, 0, 0, 1].into())).await.expect_err("nobody listens");
        assert!(matches!(error, LinkError::Refused), "{error}");
    }
}
