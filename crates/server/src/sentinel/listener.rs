//! Takes connections and carries bytes: requests to their sessions, replies and messages back. Of what clients do not
//! read, or do not send whole, little is kept for all of them together, and nothing for long.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Endpoint;
use super::clients::Place;
use super::session::Session;
use crate::descriptors;
use crate::resp::{self, Reply};

/// How long a client may leave what it is told unread before it is cut off, and how long a handshake may take.
const SLOW: Duration = Duration::from_secs(10);

/// How many bytes of replies are put together before they are written.
const BATCH: usize = 64 << 10;

/// How many bytes of memory a connection keeps for what comes next.
const KEPT: usize = 4 << 10;

/// How long somebody who closed his side is still answered. What he asked for that takes longer is withdrawn.
const FAREWELL: Duration = Duration::from_secs(1);

/// The most clients at a time, who get half of the descriptors at most.
const CLIENTS: usize = 4_096;

/// In how many pieces a request may come; who sends more is searched for its end again and again.
const PIECES: u32 = 256;

/// After how much silence a connection is asked whether it still stands.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Takes connections until the process ends, or says why it can't.
pub(super) async fn listen(endpoint: Arc<Endpoint>, listener: io::Result<std::net::TcpListener>) {
    let listener = listener.and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(event = "sentinel", "no clients are taken: {error}");
            return;
        }
    };
    let limit = descriptors::one_of(2, CLIENTS);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => drop(tokio::spawn(attend(Arc::clone(&endpoint), stream, peer, limit))),
            // Out of descriptors: those that are open will close.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Serves one connection to its end.
async fn attend(endpoint: Arc<Endpoint>, stream: TcpStream, peer: SocketAddr, limit: usize) {
    let Ok(local) = stream.local_addr() else { return };
    // Without these a reply may wait for the kernel, and a host that is gone is noticed later; no more than that.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let tls = endpoint.access.tls.clone();
    let Some(place) = Place::take(&endpoint, peer, local, limit) else {
        if tls.is_some() {
            return;
        }
        let mut stream = stream;
        let refusal = b"-ERR max number of clients reached\r\n";
        drop(timeout(SLOW, stream.write_all(refusal)).await);
        return;
    };
    let session = Session::new(Arc::clone(&endpoint), place);
    // How a connection ends is its client's affair.
    drop(match tls {
        None => converse(session, stream).await,
        Some(tls) => match timeout(SLOW, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(session, stream).await,
            Ok(Err(error)) => {
                endpoint.deny(peer, &format!("no TLS with a Sentinel client: {error}"));
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
    let endpoint = Arc::clone(session.endpoint());
    let mut killed = session.client().killed();
    let (mut unread, mut unsent) = (Vec::new(), String::new());
    let admission = sleep(SLOW);
    tokio::pin!(admission);
    let mut pieces = 0;
    loop {
        let (before, was_admitted) = (unread.len(), session.admitted);
        let mut more = Vec::new();
        let limit = session.limits().request;
        let answering = answer_all(&mut session, &mut unread, &mut unsent, &mut writer);
        match meanwhile(answering, &mut killed, &mut reader, &mut more, limit).await {
            Some(done) => done?,
            None => return Ok(()),
        }
        send(&session, &mut writer, &mut unsent).await?;
        if unread.len() < before || unread.is_empty() {
            pieces = 0;
        }
        if session.ends || pieces > PIECES {
            return writer.shutdown().await;
        }
        if was_admitted && !session.admitted {
            admission.as_mut().reset(Instant::now() + SLOW);
        }
        if !more.is_empty() {
            unread.append(&mut more);
            continue;
        }
        unread.shrink_to(KEPT);
        let Some(_unfinished) = endpoint.clients.unfinished.take(unread.len()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let next = tokio::select! {
            read = reader.read_buf(&mut unread) => Next::Read(read?),
            told = session.messages() => told.map_or(Next::Over, Next::Told),
            _ = killed.changed() => Next::Over,
            // Who does not say who he is must not hold a place for ever.
            () = &mut admission, if !session.admitted => Next::Over,
        };
        match next {
            Next::Read(0) | Next::Over => return Ok(()),
            Next::Read(_) => pieces += 1,
            Next::Told(replies) => {
                for reply in replies {
                    reply.write(session.version, &mut unsent);
                }
            }
        }
    }
}

/// The outcome of `work`, and in `more` what the client sends meanwhile; `None` where the connection is ended from
/// elsewhere, or its client has gone and does not get his answer.
async fn meanwhile<T>(
    work: impl Future<Output = T>,
    killed: &mut watch::Receiver<bool>,
    reader: &mut (impl AsyncRead + Unpin),
    more: &mut Vec<u8>,
    limit: usize,
) -> Option<T> {
    tokio::pin!(work);
    loop {
        let read = tokio::select! {
            biased;
            done = &mut work => return Some(done),
            _ = killed.wait_for(|killed| *killed) => return None,
            read = reader.read_buf(more), if more.len() < limit => read,
        };
        if read.is_ok_and(|bytes| bytes > 0) {
            continue;
        }
        return timeout(FAREWELL, work).await.ok();
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
            send(session, writer, unsent).await?;
        }
    }
    unread.drain(..taken);
    Ok(())
}

/// Writes what is to be sent, if it is not too much together with what all others leave unread.
async fn send(
    session: &Session,
    writer: &mut (impl AsyncWrite + Unpin),
    unsent: &mut String,
) -> io::Result<()> {
    if unsent.is_empty() {
        return Ok(());
    }
    let Some(_waiting) = session.endpoint().clients.unread.take(unsent.len()) else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    let sending = async {
        writer.write_all(unsent.as_bytes()).await?;
        writer.flush().await
    };
    timeout(SLOW, sending).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    unsent.clear();
    unsent.shrink_to(KEPT);
    Ok(())
}
