//! A minimal blocking Redis client (RESP2), so that the lab shares no code with what it helps to test.
//!
//! It never retries or reconnects, and never waits longer than a second for anything.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::link::connect_from;

/// How long to wait for a server of our own machine that may be frozen.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a Redis server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status, as `OK`.
    Simple(String),
    /// An error, with its code in front, as `WRONGTYPE Operation against …`.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string; bytes that are not UTF-8 are replaced.
    Bulk(String),
    /// The null string or null array.
    Nil,
    /// A list of replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// Makes an error reply an error.
    ///
    /// # Errors
    ///
    /// The text of [`Reply::Error`].
    pub fn into_result(self) -> Result<Self, String> {
        if let Self::Error(text) = self { Err(text) } else { Ok(self) }
    }
}

/// One connection to a Redis server, for commands that belong together (`MULTI`, `SUBSCRIBE`).
///
/// After an error from any of its methods it must not be used any more.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<Stream>,
}

/// A way to a server.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Socket(UnixStream),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Socket(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Socket(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Socket(stream) => stream.flush(),
        }
    }
}

impl Connection {
    /// Connects to a server.
    ///
    /// # Errors
    ///
    /// When nothing accepts the connection.
    pub fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = connect(address).map_err(|error| describe(&error))?;
        Ok(Self { stream: BufReader::new(Stream::Tcp(stream)) })
    }

    /// Connects to a server of this host through its socket.
    ///
    /// # Errors
    ///
    /// When nothing accepts the connection.
    pub fn open_socket(path: &Path) -> Result<Self, String> {
        let open = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            Ok(stream)
        };
        let stream = open().map_err(|error: io::Error| describe(&error))?;
        Ok(Self { stream: BufReader::new(Stream::Socket(stream)) })
    }

    /// Connects to a server, which sees `source` as the caller: any of 127.0.0.0/8.
    ///
    /// # Errors
    ///
    /// When nothing accepts the connection.
    pub fn open_from(source: Ipv4Addr, address: SocketAddr) -> Result<Self, String> {
        let stream = connect_from(source, address, TIMEOUT).and_then(impatient);
        Ok(Self { stream: BufReader::new(Stream::Tcp(stream.map_err(|error| describe(&error))?)) })
    }

    /// Sends one command and reads its reply.
    ///
    /// # Errors
    ///
    /// When no reply arrives. A reply that is an error is a reply: see [`Reply::into_result`].
    pub fn command(&mut self, words: &[&str]) -> Result<Reply, String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            write!(request, "${}\r\n{word}\r\n", word.len()).expect("a String takes all writes");
        }
        self.stream.get_mut().write_all(request.as_bytes()).map_err(|error| describe(&error))?;
        self.read()
    }

    /// Reads one reply, such as the next message of a subscription.
    ///
    /// # Errors
    ///
    /// When no reply arrives, or what arrives is not RESP2.
    pub fn read(&mut self) -> Result<Reply, String> {
        let line = self.line()?;
        let mut characters = line.chars();
        let kind = characters.next();
        let rest = characters.as_str();
        match kind {
            Some('+') => Ok(Reply::Simple(rest.to_owned())),
            Some('-') => Ok(Reply::Error(rest.to_owned())),
            Some(':') => Ok(Reply::Integer(number(rest)?)),
            Some('$' | '*') if rest == "-1" => Ok(Reply::Nil),
            Some('$') => self.bulk(number(rest)?),
            Some('*') => {
                (0..number::<usize>(rest)?).map(|_| self.read()).collect::<Result<_, _>>().map(Reply::Array)
            }
            _ => Err(format!("not RESP2: {line:?}")),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).map_err(|error| describe(&error))?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err("the server has closed the connection".to_owned()),
        }
    }

    fn bulk(&mut self, length: usize) -> Result<Reply, String> {
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).map_err(|error| describe(&error))?;
        Ok(Reply::Bulk(String::from_utf8_lossy(&bytes[..length]).into_owned()))
    }
}

/// Opens a connection on which nothing takes longer than [`TIMEOUT`].
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    impatient(TcpStream::connect_timeout(&address, TIMEOUT)?)
}

fn impatient(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Says what an input or output error means here; Linux calls a timeout "Resource temporarily unavailable".
pub(crate) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("no answer within {TIMEOUT:?}"),
        _ => error.to_string(),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not RESP2: {text:?} is no number"))
}
