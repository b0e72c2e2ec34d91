//! Where this process can be asked whether it lives. It answers nothing else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::failure::{Failure, Kind};

/// Answers `PING` lines with `who` it is, for peers and for people with `redis-cli ping`. Yields where.
pub(super) async fn listen(wanted: SocketAddr, who: String) -> Result<SocketAddr, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Kind::Failed, format!("--listen {wanted}: {error}"))
            .hint("is another monitor running there? port 0 takes a free one")
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, who.clone()))),
                // Out of descriptors: those that are open will close.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(address)
}

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
        if writer.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}
