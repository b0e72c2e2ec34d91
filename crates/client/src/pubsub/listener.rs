//! A connection to the master on which is listened. It has no limit for replies, because none is owed; it asks whether
//! the server still lives instead. What is heard means nothing here.

use std::io;
use std::time::Duration;

use redis::{Cmd, RedisError, RedisResult, Value};
use redis_failover_core::NodeAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::frames::Frames;
use crate::credentials::introduction;
use crate::link::{Link, Stream, dial, explained, identity, questions};
use crate::routes::Routes;
use crate::settings::Settings;

/// How long a server may be silent before it is asked whether it lives.
const QUIET: Duration = Duration::from_secs(3);

/// How long it may be silent if the settings do not say how long a reply may take.
const SILENCE: Duration = Duration::from_secs(10);

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) node: NodeAddr,
    stream: Stream,
    frames: Frames,
    tenure: CancellationToken,
    /// The longest silence.
    silence: Duration,
    heard: Instant,
    asked: Instant,
    write_limit: Duration,
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Heard {
    /// The server said this.
    Reply(Value),
    /// It has been silent for so long that it should be sent a PING.
    Nothing,
}

impl Listener {
    /// Connects to the master of these routes.
    ///
    /// # Errors
    /// When it can't be reached, or is no master (any more); the link is doubted then.
    pub(super) async fn open(routes: &Routes, link: &Link, settings: &Settings) -> RedisResult<Self> {
        let limit = settings.connect_timeout;
        let opening = async {
            let stream = dial(&link.node, settings).await?;
            let now = Instant::now();
            let mut listener = Self {
                node: link.node.clone(),
                stream,
                frames: Frames::default(),
                tenure: routes.tenure.clone(),
                silence: settings.response_timeout.unwrap_or(SILENCE),
                heard: now,
                asked: now,
                write_limit: limit,
            };
            listener.introduce(settings).await.map_err(explained)?;
            let answers = listener.ask(&questions().cmd_iter().cloned().collect::<Vec<_>>()).await?;
            RedisResult::Ok((listener, identity(&answers, routes.follower.order())?))
        };
        let (listener, said) =
            timeout(limit, opening).await.map_err(|_| timed_out("it did not answer"))??;
        routes
            .follower
            .may_write(&said)
            .inspect_err(|_| link.doubt())
            .map_err(|doubt| RedisError::from(io::Error::other(format!("{} {doubt}", link.node))))?;
        Ok(listener)
    }

    /// Says who we are. Databases make no difference to what is published.
    async fn introduce(&mut self, settings: &Settings) -> RedisResult<()> {
        let info = introduction(settings).await?;
        if let Some(password) = info.password() {
            let mut auth = redis::cmd("AUTH");
            auth.arg(info.username()).arg(password);
            for answer in self.ask(&[auth]).await? {
                answer.extract_error()?;
            }
        }
        let setinfo = |what, value| {
            let mut command = redis::cmd("CLIENT");
            command.arg("SETINFO").arg(what).arg(value);
            command
        };
        // Servers before 7.2 do not know it, and nothing depends on it.
        self.ask(&[setinfo("LIB-NAME", info.lib_name()), setinfo("LIB-VER", info.lib_ver())]).await.map(drop)
    }

    /// The replies to these, before anything is listened to.
    async fn ask(&mut self, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let mut packed = Vec::new();
        for command in commands {
            command.write_packed_command(&mut packed);
        }
        send(&mut self.stream, &packed).await?;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            match self.frames.next()? {
                Some(reply) => replies.push(reply),
                None => fill(&mut self.stream, &mut self.frames).await?,
            }
        }
        Ok(replies)
    }

    /// Sends this, as long as the node is the master.
    pub(super) async fn send(&mut self, packed: &[u8]) -> RedisResult<()> {
        tokio::select! {
            biased;
            () = self.tenure.cancelled() => Err(deposed()),
            sent = timeout(self.write_limit, send(&mut self.stream, packed)) => {
                Ok(sent.map_err(|_| timed_out("it takes no commands"))??)
            }
        }
    }

    /// Sends a PING, whose reply will tell that the server lives.
    pub(super) async fn ping(&mut self) -> RedisResult<()> {
        self.asked = Instant::now();
        self.send(&redis::cmd("PING").get_packed_command()).await
    }

    /// What is heard next; while `listen` is false nothing is, and the server waits. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection has ended, or its node is not the master any more.
    pub(super) async fn next(&mut self, listen: bool) -> RedisResult<Heard> {
        loop {
            if listen && let Some(reply) = self.frames.next()? {
                return Ok(Heard::Reply(reply));
            }
            let due = self.heard.max(self.asked) + QUIET.min(self.silence / 3);
            tokio::select! {
                biased;
                () = self.tenure.cancelled() => return Err(deposed()),
                filled = fill(&mut self.stream, &mut self.frames), if listen => {
                    filled?;
                    self.heard = Instant::now();
                }
                // Who does not listen can't know.
                () = sleep_until(due), if !listen => self.heard = Instant::now(),
                () = sleep_until(due) => {
                    if self.heard.elapsed() >= self.silence {
                        return Err(timed_out("it has been silent for too long"));
                    }
                    return Ok(Heard::Nothing);
                }
            }
        }
    }
}

/// Sends all of it: TLS keeps what the socket had no room for, until it is flushed.
async fn send(stream: &mut Stream, packed: &[u8]) -> io::Result<()> {
    stream.write_all(packed).await?;
    stream.flush().await
}

/// Waits for more bytes. Dropping the future loses none.
async fn fill(stream: &mut Stream, frames: &mut Frames) -> io::Result<()> {
    if stream.read_buf(frames.space()).await? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
    }
    Ok(())
}

fn deposed() -> RedisError {
    io::Error::new(io::ErrorKind::BrokenPipe, "another master was published").into()
}

fn timed_out(what: &str) -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, what).into()
}
