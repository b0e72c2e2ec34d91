//! A Redis server of our own, to be asked what it knows.
//!
//! It listens on no port, loads no configuration and writes nothing but its socket, and it never outlives us.

use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::resp::{self, Reply};

/// How long a server may take to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server. Dropping it ends it.
pub(super) struct Server {
    /// A shell that ends the server when the pipe to it closes, which is also when we are killed.
    guard: Child,
    connection: BufReader<UnixStream>,
    _folder: TempDir,
}

impl Server {
    /// Starts the `redis-server` of the `PATH` and connects.
    pub(super) fn start() -> Result<Self> {
        let folder = TempDir::with_prefix("xtask-redis-")?;
        let socket = folder.path().join("socket");
        let mut guard = start_guarded(&socket)?;
        match connect(&socket) {
            Ok(connection) => Ok(Self { guard, connection: BufReader::new(connection), _folder: folder }),
            Err(error) => {
                end(&mut guard);
                Err(error)
            }
        }
    }

    /// The reply to a command of words without blanks.
    pub(super) fn ask(&mut self, command: &str) -> Result<Reply> {
        self.reply_to(command)
            .with_context(|| format!("redis-server does not answer `{command}` as expected"))
    }

    fn reply_to(&mut self, command: &str) -> Result<Reply> {
        self.connection.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        resp::read(&mut self.connection)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.guard);
    }
}

fn end(guard: &mut Child) {
    drop(guard.stdin.take());
    // It cannot fail in a way that we could repair.
    let _ = guard.wait();
}

/// The signals are left to us because a terminal sends them to all at once, and the guard must be the last.
fn start_guarded(socket: &Path) -> Result<Child> {
    let script = r#"trap '' INT TERM HUP; redis-server "$@" & read line; kill -KILL $!; wait"#;
    Command::new("/bin/sh")
        .args(["-c", script, "sh", "--port", "0", "--save", "", "--dir"])
        .arg(socket.parent().context("a socket lies in a folder")?)
        .arg("--unixsocket")
        .arg(socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start /bin/sh")
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let deadline = Instant::now() + PATIENCE;
    let connection = loop {
        match UnixStream::connect(socket) {
            Ok(connection) => break connection,
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("redis-server does not listen");
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    };
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(connection)
}
