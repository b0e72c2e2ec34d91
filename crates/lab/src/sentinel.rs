//! Redis Sentinel, to compare with.
//!
//! It is `redis-server --sentinel` of its master's version, which needs no package of its own, with the settings that
//! Redis ships but for what [`Sentinel::watch`] is told.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Connection, Process, Redis, Reply, ensure_eq, eventually, free_port};

/// Sentinels tell each other of themselves every two seconds, and ask for replicas every ten.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// The file that a sentinel is started with, and writes anew whenever it learns something.
const CONFIGURATION: &str = "sentinel.conf";

/// A running sentinel on 127.0.0.1; dropping it kills it and deletes its directory.
#[derive(Debug)]
pub struct Sentinel {
    // Before the directory, because fields are dropped in this order.
    _process: Process,
    directory: TempDir,
    address: SocketAddr,
}

impl Sentinel {
    /// What the sentinels call the group.
    pub const GROUP: &str = "group";

    /// Starts three sentinels that watch `master` with a quorum of two, and returns when each knows the others and
    /// `replicas` replicas.
    ///
    /// # Panics
    ///
    /// When they do not start, or do not find each other in time.
    pub fn watch(master: &Redis, replicas: usize, down_after: Duration) -> [Self; 3] {
        let sentinels = [(); 3].map(|()| Self::start(master, down_after));
        for sentinel in &sentinels {
            let what = format!("sentinel {} knows the others", sentinel.address);
            eventually(START_DEADLINE, &what, || sentinel.knows(2, replicas));
        }
        sentinels
    }

    fn start(master: &Redis, down_after: Duration) -> Self {
        let directory =
            TempDir::with_prefix("redis-failover-lab-sentinel-").expect("a writable temporary directory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let lines = [
            format!("bind {}", address.ip()),
            format!("port {}", address.port()),
            format!("sentinel monitor {} {} {} 2", Self::GROUP, Ipv4Addr::LOCALHOST, master.port()),
            format!("sentinel down-after-milliseconds {} {}", Self::GROUP, down_after.as_millis()),
        ];
        let configuration = directory.path().join(CONFIGURATION);
        fs::write(&configuration, lines.join("\n")).expect("the directory is ours");
        let mut command = Command::new(master.flavour().program());
        command.current_dir(directory.path()).arg(&configuration).arg("--sentinel");
        let log = directory.path().join("sentinel.log");
        let process = Process::spawn(&format!("sentinel {address}"), command, &log);
        Self { _process: process, directory, address }
    }

    /// The address, as `127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        self.address.to_string()
    }

    /// Its configuration file, as it writes it.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join(CONFIGURATION)
    }

    /// The master's address in this sentinel's opinion.
    ///
    /// # Errors
    ///
    /// When it does not answer, or names none.
    pub fn master(&self) -> Result<String, String> {
        match self.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::GROUP])? {
            Reply::Array(pair) => match &pair[..] {
                [Reply::Bulk(host), Reply::Bulk(port)] => Ok(format!("{host}:{port}")),
                other => Err(format!("not an address: {other:?}")),
            },
            other => Err(format!("no master: {other:?}")),
        }
    }

    /// Whether it knows so many other sentinels and replicas.
    fn knows(&self, sentinels: usize, replicas: usize) -> Result<(), String> {
        let Reply::Array(fields) = self.command(&["SENTINEL", "MASTER", Self::GROUP])?.into_result()? else {
            return Err("it describes no master".to_owned());
        };
        for (name, wanted) in [("num-other-sentinels", sentinels), ("num-slaves", replicas)] {
            let value = fields.chunks(2).find(|pair| pair[0] == Reply::Bulk(name.to_owned()));
            ensure_eq(value.map(|pair| pair[1].clone()), Some(Reply::Bulk(wanted.to_string())))?;
        }
        Ok(())
    }

    /// Asks it.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn command(&self, words: &[&str]) -> Result<Reply, String> {
        Connection::open(self.address)?.command(words)
    }
}
