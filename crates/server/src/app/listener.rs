//! Where this process can be asked whether it lives. It answers nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::descriptors;
use crate::failure::{Failure, Kind};

/// Answers `PING` lines with `who` it is, for peers and for people with `redis-cli ping`. Yields where.
pub(super) async fn listen(wanted: SocketAddr, who: String) -> Result<SocketAddr, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Kind::Failed, format!("--listen {wanted}: {error}"))
            .hint("is another monitor running there? port 0 takes a free one")
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let limit = descriptors::one_of(4, CALLERS);
    let places = Arc::new(Semaphore::new(limit));
    tokio::spawn(async move {
        let mut told = None;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        if is_due(&mut told, Instant::now()) {
                            tracing::warn!(
                                event = "listen-full",
                                "{limit} callers are connected to {address}; who comes now is hung up on"
                            );
                        }
                        continue;
                    };
                    let answering = answer(stream, who.clone());
                    tokio::spawn(async move {
                        answering.await;
                        drop(place);
                    });
                }
                // Out of descriptors: those that are open will close.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(address)
}

/// How many callers are answered at a time, on a quarter of the descriptors at most. Each monitor of each group has a
/// connection here for as long as it lives.
const CALLERS: usize = 4_096;

/// How often it is said that there are too many.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// Whether to say it now, having said it last when it was `told`.
fn is_due(told: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = told.is_none_or(|told| now - told >= SAID_EVERY);
    if is_due {
        *told = Some(now);
    }
    is_due
}

/// The rest after each answer; nobody needs to know more often whether this process lives.
const REST: Duration = Duration::from_millis(10);

/// How long a silent caller is kept.
const CALLER_LIMIT: Duration = Duration::from_mins(1);

/// The longest line that is read, in bytes.
const LINE_LIMIT: u64 = 1024;

async fn answer(stream: TcpStream, who: String) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        // A caller that hangs up, stays silent or talks too much is done.
        let mut limited = (&mut reader).take(LINE_LIMIT);
        if !matches!(timeout(CALLER_LIMIT, limited.read_line(&mut line)).await, Ok(Ok(1..)))
            || !line.ends_with('\n')
        {
            return;
        }
        let reply = match line.trim() {
            "*1" | "$4" => continue,
            word if word.eq_ignore_ascii_case("ping") => format!("+PONG {who}\r\n"),
            _ => "-ERR only PING is answered here\r\n".to_owned(),
        };
        if !matches!(timeout(CALLER_LIMIT, writer.write_all(reply.as_bytes())).await, Ok(Ok(()))) {
            return;
        }
        sleep(REST).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_are_too_many_is_said_again_after_a_minute_and_not_before() {
        let (mut told, begun) = (None, Instant::now());
        let said = [0, 1, 59, 60, 61, 119, 120]
            .map(|seconds| is_due(&mut told, begun + Duration::from_secs(seconds)));
        assert_eq!(said, [true, false, false, true, false, false, true]);
    }

    #[tokio::test]
    async fn so_many_are_answered_and_who_comes_then_is_hung_up_on() {
        let address = listen("127.0.0.1:0".parse().expect("an address"), "m1".to_owned()).await;
        let address = address.expect("it listens");
        let call = async || {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(b"PING\r\n").await.expect("sent");
            let mut answer = String::new();
            // A connection that is ended with something unread is reset.
            let _ = BufReader::new(&mut stream).read_line(&mut answer).await;
            (stream, answer)
        };
        let mut callers = Vec::new();
        for _ in 0..descriptors::one_of(4, CALLERS) {
            let (stream, answer) = call().await;
            assert_eq!(answer, "+PONG m1\r\n");
            callers.push(stream);
        }
        assert_eq!(call().await.1, "");
        callers.pop();
        while call().await.1.is_empty() {}
    }
}
