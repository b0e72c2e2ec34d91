//! One connection to one Redis server, whose end is noticed at once. It knows no command but the handshake.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, ServerError, Value,
};
use redis_failover_core::NodeAddr;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::names::Names;

/// Who we are to Redis. The password appears in no log and no error.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The ACL user; `None` for the default one.
    pub username: Option<String>,
    /// Its password; `None` where the servers ask for none.
    pub password: Option<SecretString>,
}

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct RedisLink {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
    peer: SocketAddr,
}

/// Which of a node's addresses a link is opened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Any that the node's name means now.
    ByName,
    /// That of the link by which the node is watched, where one stands: it leads to the node that was seen, and no
    /// resolver is needed.
    Beside,
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
    /// It answered, and does not want us: password, ACL, or too many clients.
    #[error("it answers, but does not let us in: {0}")]
    Denied(RedisError),
    /// The connection ended while it was being set up.
    #[error("the connection broke: {0}")]
    Broken(RedisError),
}

impl RedisLink {
    /// Connects and authenticates within `limit`, to one of the addresses that `names` knows for the node. The link
    /// bears `name` in CLIENT LIST.
    ///
    /// # Errors
    /// See [`LinkError`]; nothing is left open.
    pub(crate) async fn open(
        (node, way): (&NodeAddr, Way),
        names: &Names,
        credentials: &Credentials,
        name: &str,
        limit: Duration,
    ) -> Result<Self, LinkError> {
        let open = async {
            let stream = match way {
                Way::ByName => names.connect(node).await,
                Way::Beside => names.connect_beside(node).await,
            };
            let stream = stream.map_err(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => LinkError::Refused,
                io::ErrorKind::NotFound => LinkError::Unresolved(error),
                _ => LinkError::Unreachable(error),
            })?;
            Self::greet(stream, credentials, name).await
        };
        let late = || LinkError::Unreachable(io::ErrorKind::TimedOut.into());
        timeout(limit, open).await.unwrap_or_else(|_| Err(late()))
    }

    async fn greet(stream: TcpStream, credentials: &Credentials, name: &str) -> Result<Self, LinkError> {
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
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config).await.map_err(refusal)?;
        let mut link = Self { connection, driver: tokio::spawn(driver), peer };
        let mut greeting = redis::pipe();
        greeting.cmd("CLIENT").arg("SETNAME").arg(name);
        let reply = link.ask(&greeting).await.map_err(refusal)?.pop();
        match reply {
            Some(Value::ServerError(error)) if turns_away(&error) => Err(LinkError::Denied(error.into())),
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

/// Whether an error means that this server will not talk to us at all.
fn turns_away(error: &ServerError) -> bool {
    let too_many = error.details().is_some_and(|text| text.contains("max number of clients"));
    too_many || error.code() == "NOAUTH"
}

/// A server that answers the handshake with an error is alive; one that hangs up may not be.
fn refusal(error: RedisError) -> LinkError {
    if error.is_io_error() || error.is_connection_dropped() {
        LinkError::Broken(error)
    } else {
        LinkError::Denied(error)
    }
}
