//! Takes connections and carries bytes: requests to their sessions, replies and messages back. What a client does not
//! read is not kept for it, and a client that does nothing costs a task and a descriptor.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::Endpoint;
use super::clients::Place;
use super::session::Session;
use crate::resp::{self, Reply};

/// How long a client may leave what it is told unread before it is cut off, and how long a handshake may take.
const SLOW: Duration = Duration::from_secs(10);

/// How many bytes of replies are put together before they are written.
const BATCH: usize = 64 << 10;

/// The most clients at a time.
const CLIENTS: usize = 4_096;

/// Descriptors that clients never get: the monitor must reach ZooKeeper and Redis whoever calls here.
const RESERVE: u64 = 256;

/// After how much silence a connection is asked whether it still stands.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Takes connections until the process ends.
pub(crate) async fn listen(endpoint: Arc<Endpoint>, listener: TcpListener) {
    let limit = limit();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => drop(tokio::spawn(attend(Arc::clone(&endpoint), stream, peer, limit))),
            // Out of descriptors: those that are open will close.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// How many clients this process has descriptors for, once it has taken as many as it may.
fn limit() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return CLIENTS };
    let wanted = (CLIENTS as u64 + RESERVE).min(hard);
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_err() {
        return usize::try_from(soft.saturating_sub(RESERVE)).unwrap_or(CLIENTS).clamp(16, CLIENTS);
    }
    usize::try_from(soft.max(wanted).saturating_sub(RESERVE)).unwrap_or(CLIENTS).clamp(16, CLIENTS)
}

/// Serves one connection to its end.
async fn attend(endpoint: Arc<Endpoint>, stream: TcpStream, peer: SocketAddr, limit: usize) {
    let Ok(local) = stream.local_addr() else { return };
    // Without these a reply may wait for the kernel, and a host that is gone is noticed later; no more than that.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let Some(place) = Place::take(&endpoint, peer, local, limit) else {
        let mut stream = stream;
        let refusal = b"-ERR max number of clients reached\r\n";
        drop(timeout(SLOW, stream.write_all(refusal)).await);
        return;
    };
    let tls = endpoint.access.tls.clone();
    let session = Session::new(endpoint, place);
    // How a connection ends is its client's affair.
    drop(match tls {
        None => converse(session, stream).await,
        Some(tls) => match timeout(SLOW, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(session, stream).await,
            Ok(Err(error)) => {
                tracing::warn!(event = "denied", %peer, "no TLS with a Sentinel client: {error}");
                Ok(())
            }
            Err(_) => Ok(()),
        },
    });
}

/// Why a loop ended that waits for whatever comes first.
enum Next {
    Read(usize),
    Told(Vec<Reply>),
    Over,
}

/// Answers what comes and tells what the client listens to, until one of the two ends it.
pub(super) async fn converse(mut session: Session, stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut killed = session.client().killed();
    let (mut unread, mut unsent) = (Vec::new(), String::new());
    loop {
        if let Some(done) =
            until(&mut killed, answer_all(&mut session, &mut unread, &mut unsent, &mut writer)).await
        {
            done?;
        } else {
            return Ok(());
        }
        send(&mut writer, &mut unsent).await?;
        if session.ends {
            return writer.shutdown().await;
        }
        let next = tokio::select! {
            read = reader.read_buf(&mut unread) => Next::Read(read?),
            told = session.messages() => told.map_or(Next::Over, Next::Told),
            _ = killed.changed() => Next::Over,
        };
        match next {
            Next::Read(0) | Next::Over => return Ok(()),
            Next::Read(_) => {}
            Next::Told(replies) => {
                for reply in replies {
                    reply.write(session.version, &mut unsent);
                }
            }
        }
    }
}

/// The outcome of `work`; `None` where the connection is ended from elsewhere meanwhile.
async fn until<T>(
    killed: &mut tokio::sync::watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        _ = killed.wait_for(|killed| *killed) => None,
    }
}

/// Answers all requests that are there, whole.
async fn answer_all(
    session: &mut Session,
    unread: &mut Vec<u8>,
    unsent: &mut String,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut taken = 0;
    while !session.ends {
        let frame = match resp::find(&unread[taken..], session.limits()) {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(malformed) => {
                Reply::Error(format!("ERR {malformed}")).write(session.version, unsent);
                session.ends = true;
                break;
            }
        };
        let words = frame.words(&unread[taken..]);
        taken += frame.length;
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        for reply in session.answer(&words).await {
            reply.write(session.version, unsent);
        }
        if unsent.len() >= BATCH {
            send(writer, unsent).await?;
        }
    }
    unread.drain(..taken);
    Ok(())
}

/// Writes what is to be sent.
async fn send(writer: &mut (impl AsyncWrite + Unpin), unsent: &mut String) -> io::Result<()> {
    if unsent.is_empty() {
        return Ok(());
    }
    let sending = async {
        writer.write_all(unsent.as_bytes()).await?;
        writer.flush().await
    };
    timeout(SLOW, sending).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    unsent.clear();
    Ok(())
}
