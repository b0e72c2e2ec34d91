//! One Redis server.
//!
//! It runs from a configuration file in a directory of its own, as servers in the field do: `CONFIG REWRITE` works,
//! and what it wrote counts at the next start. It never writes a snapshot or an append-only file unless told to, so
//! a restarted server is empty, the case that a failover must survive.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Authority, Connection, Flavour, Issued, Link, Process, Reply, eventually, free_port};

const START_DEADLINE: Duration = Duration::from_secs(20);

/// Its configuration file, in its directory.
const CONFIGURATION: &str = "redis.conf";

/// What it prints, in its directory.
const LOG: &str = "redis.log";

/// Where the lab reaches a server that speaks nothing but TLS, in its directory.
const SOCKET: &str = "redis.sock";

/// A running Redis server; dropping it kills it and deletes its directory.
#[derive(Debug)]
pub struct Redis {
    // Before the directory, because fields are dropped in this order.
    process: Process,
    directory: TempDir,
    /// Where it listens.
    address: IpAddr,
    port: u16,
    password: Option<String>,
    /// Whether it speaks TLS there.
    tls: bool,
    link: Option<Link>,
    flavour: Flavour,
}

/// What a [`Redis`] is to be started with.
#[derive(Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct RedisBuilder {
    address: IpAddr,
    options: Vec<(String, String)>,
    password: Option<String>,
    tls: bool,
    source: Option<Ipv4Addr>,
    flavour: Flavour,
}

impl RedisBuilder {
    /// Serves at this address of the machine, or of its namespace, instead of at 127.0.0.1.
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// Adds a line to the configuration file; the value stands there as given, so quote what needs quotes.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Starts the server as a replica of `master`.
    pub fn replica_of(self, master: &Redis) -> Self {
        let public = master.public_address();
        self.option("replicaof", format!("{} {}", public.ip(), public.port()))
    }

    /// Asks clients for this password, and gives it to the master.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Speaks nothing but TLS, with this certificate, to clients and to its master. Who calls it must show a
    /// certificate of the `authority` where `mutual` says so. Commands of the lab itself reach it through a socket in
    /// its directory.
    pub fn tls(mut self, authority: &Authority, issued: &Issued, mutual: bool) -> Self {
        self.tls = true;
        self.option("tls-ca-cert-file", authority.roots().display().to_string())
            .option("tls-cert-file", issued.certificate.display().to_string())
            .option("tls-key-file", issued.key.display().to_string())
            .option("tls-auth-clients", if mutual { "yes" } else { "no" })
            .option("tls-replication", "yes")
            .option("unixsocket", SOCKET)
    }

    /// Starts a server of this version instead of the one that is installed.
    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// Puts the server behind a [`Link`], whose address it announces to its master, and has it call its master from
    /// `source`: any of 127.0.0.0/8. Needs Redis 7.0 or newer.
    pub fn linked(mut self, source: Ipv4Addr) -> Self {
        self.source = Some(source);
        self
    }

    /// Starts the server, and returns when it answers.
    ///
    /// # Panics
    ///
    /// When the program is not installed, or does not answer in time.
    pub fn start(mut self) -> Redis {
        let directory =
            TempDir::with_prefix("redis-failover-lab-redis-").expect("a writable temporary directory");
        let port = free_port();
        let link = self.source.map(|source| {
            let link = Link::start((Ipv4Addr::LOCALHOST, port).into());
            self.announce(source, link.address());
            link
        });
        fs::write(directory.path().join(CONFIGURATION), self.config(port)).expect("the directory is ours");
        let process = spawn(self.flavour, directory.path(), (self.address, port).into(), &[]);
        let Self { address, password, tls, flavour, .. } = self;
        let mut redis = Redis { process, directory, address, port, password, tls, link, flavour };
        redis.await_answer();
        if redis.link.is_some() {
            eventually(START_DEADLINE, "its link has found it", || Connection::open(redis.public_address()));
        }
        redis
    }

    fn announce(&mut self, source: Ipv4Addr, address: SocketAddr) {
        let mut option = |name: &str, value: String| self.options.push((name.to_owned(), value));
        option("bind-source-addr", source.to_string());
        option("replica-announce-ip", address.ip().to_string());
        option("replica-announce-port", address.port().to_string());
    }

    /// The configuration file; the directory is the one that the server is started in.
    fn config(&self, port: u16) -> String {
        let mut lines = vec![
            format!("bind {}", self.address),
            if self.tls { format!("port 0\ntls-port {port}") } else { format!("port {port}") },
            // Else it would refuse strangers from other addresses while there is no password.
            "protected-mode no".to_owned(),
            "save \"\"".to_owned(),
            "appendonly no".to_owned(),
            // Instead of five seconds in which more replicas could come: a first synchronisation is immediate.
            "repl-diskless-sync-delay 0".to_owned(),
        ];
        if self.flavour.asks_for_debug() {
            lines.push("enable-debug-command local".to_owned());
        }
        if let Some(password) = &self.password {
            lines.push(format!("requirepass {password:?}"));
            lines.push(format!("masterauth {password:?}"));
        }
        lines.extend(self.options.iter().map(|(name, value)| format!("{name} {value}")));
        lines.join("\n")
    }
}

impl Redis {
    /// Describes a server that is not yet started.
    pub fn builder() -> RedisBuilder {
        RedisBuilder {
            address: Ipv4Addr::LOCALHOST.into(),
            options: Vec::new(),
            password: None,
            tls: false,
            source: None,
            flavour: Flavour::default(),
        }
    }

    /// Starts an empty master.
    ///
    /// # Panics
    ///
    /// As [`RedisBuilder::start`] does.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The address by which others know it, as `127.0.0.1:PORT`: its link's, where it has one.
    pub fn addr(&self) -> String {
        self.public_address().to_string()
    }

    /// Where it listens itself, past any link, as `127.0.0.1:PORT`: how somebody on its own host calls it.
    pub fn local_addr(&self) -> String {
        self.socket_address().to_string()
    }

    /// The port of [`Redis::addr`]; it stays the same for life.
    pub fn port(&self) -> u16 {
        self.public_address().port()
    }

    /// The link before it.
    ///
    /// # Panics
    ///
    /// When it was not built with one.
    pub fn link(&self) -> &Link {
        self.link.as_ref().expect("a server that was built with `linked`")
    }

    /// Which server it is.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The process, which is another one after a restart.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills the server as a crash would; see [`Process::kill`].
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Freezes the server; see [`Process::stop`].
    pub fn stop(&self) {
        self.process.stop();
    }

    /// Ends a freeze; see [`Process::cont`].
    pub fn cont(&self) {
        self.process.cont();
    }

    /// Starts the server again as a supervisor does, and returns when it answers; one that still runs is killed.
    ///
    /// # Panics
    ///
    /// When it does not answer in time.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// Restarts the server with more arguments on its command line, as `["--replicaof", "127.0.0.1 6379"]`.
    ///
    /// # Panics
    ///
    /// When it does not answer in time.
    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.process.kill();
        self.process = spawn(self.flavour, self.directory.path(), self.socket_address(), arguments);
        self.await_answer();
    }

    /// Ends the server as a supervisor does (SIGTERM), and starts another version of it with the same files.
    ///
    /// # Panics
    ///
    /// When it does not end, or does not answer in time.
    pub fn upgrade(&mut self, flavour: Flavour) {
        self.process.terminate();
        self.process.wait_exit(START_DEADLINE);
        self.flavour = flavour;
        self.restart();
    }

    /// Kills the server, deletes all that it has on disk but its configuration and its log, and starts it again.
    ///
    /// # Panics
    ///
    /// When it does not answer in time.
    pub fn restart_empty(&mut self) {
        self.process.kill();
        for entry in fs::read_dir(self.directory.path()).expect("the directory is ours") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() {
                fs::remove_dir_all(path).expect("the directory is ours");
            } else if !path.ends_with(CONFIGURATION) && !path.ends_with(LOG) {
                fs::remove_file(path).expect("the directory is ours");
            }
        }
        self.restart();
    }

    /// Opens a connection past any link, and authenticates if the server was built with a password.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or refuses the password.
    pub fn connect(&self) -> Result<Connection, String> {
        let mut connection = if self.tls {
            Connection::open_socket(&self.directory.path().join(SOCKET))?
        } else {
            Connection::open(self.socket_address())?
        };
        if let Some(password) = &self.password {
            connection.command(&["AUTH", password])?.into_result()?;
        }
        Ok(connection)
    }

    /// Sends one command on a connection of its own.
    ///
    /// # Errors
    ///
    /// When no reply arrives. A reply that is an error is a reply: see [`Reply::into_result`].
    pub fn command(&self, words: &[&str]) -> Result<Reply, String> {
        self.connect()?.command(words)
    }

    /// The fields of a section of `INFO`.
    ///
    /// # Errors
    ///
    /// When no reply arrives, or an error.
    pub fn info(&self, section: &str) -> Result<BTreeMap<String, String>, String> {
        match self.command(&["INFO", section])?.into_result()? {
            Reply::Bulk(text) => Ok(fields(&text)),
            other => Err(format!("unexpected reply to INFO: {other:?}")),
        }
    }

    /// The role in the server's own words: `master` or `slave`.
    ///
    /// # Errors
    ///
    /// When no reply arrives, or an error.
    pub fn role(&self) -> Result<String, String> {
        self.info("replication")?.remove("role").ok_or_else(|| "INFO names no role".to_owned())
    }

    /// Sets a key.
    ///
    /// # Errors
    ///
    /// When no reply arrives (the key may be set), or an error (it is not).
    pub fn set(&self, key: &str, value: &str) -> Result<(), String> {
        self.command(&["SET", key, value])?.into_result().map(drop)
    }

    /// Gets the value of a key, if it is set.
    ///
    /// # Errors
    ///
    /// When no reply arrives, or an error.
    pub fn get(&self, key: &str) -> Result<Option<String>, String> {
        match self.command(&["GET", key])?.into_result()? {
            Reply::Bulk(value) => Ok(Some(value)),
            Reply::Nil => Ok(None),
            other => Err(format!("unexpected reply to GET: {other:?}")),
        }
    }

    /// Where it listens itself.
    fn socket_address(&self) -> SocketAddr {
        (self.address, self.port).into()
    }

    fn public_address(&self) -> SocketAddr {
        self.link.as_ref().map_or(self.socket_address(), Link::address)
    }

    /// Waits for any answer but "loading": a replica may be told to refuse `PING` while its master is away.
    fn await_answer(&mut self) {
        eventually(START_DEADLINE, &format!("redis {} answers", self.addr()), || {
            assert!(self.process.is_running(), "redis {} has ended; its log follows", self.addr());
            match self.command(&["PING"])? {
                Reply::Error(text) if text.starts_with("LOADING") => Err(text),
                _ => Ok(()),
            }
        });
    }
}

fn spawn(flavour: Flavour, directory: &Path, address: SocketAddr, arguments: &[&str]) -> Process {
    let mut command = Command::new(flavour.program());
    command.current_dir(directory).arg(directory.join(CONFIGURATION)).args(arguments);
    Process::spawn(&format!("redis {address}"), command, &directory.join(LOG))
}

fn fields(info: &str) -> BTreeMap<String, String> {
    let fields = info.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
