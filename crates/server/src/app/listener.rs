//! Where this process can be asked whether it lives. It answers nothing else.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::failure::{Failure, Kind};

/// Answers `PING` lines with who it is, for peers and for people with `redis-cli ping`.
pub(super) async fn listen(wanted: std::net::SocketAddr, id: String) -> Result<String, Failure> {
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
