//! A `ZooKeeper` ensemble of one or more servers.
//!
//! The servers are plain `java` processes with short ticks, so that a test sees sessions expire and leaders change
//! within seconds. There is never an admin server or JMX; the four-letter words are all there is to look inside.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;

use crate::process::find_program;
use crate::resp::{connect, describe};
use crate::{Process, eventually, free_port};

const START_DEADLINE: Duration = Duration::from_secs(40);

/// Where the Debian package puts its jars.
const DEBIAN_JARS: &str = "/usr/share/java";

/// A running ensemble on 127.0.0.1; dropping it kills its servers and deletes their directory.
///
/// Servers are numbered from 0. The shortest session timeout they grant is 400 ms, the longest 40 s.
#[derive(Debug)]
pub struct ZooKeeper {
    // Before the directory, because fields are dropped in this order.
    servers: Vec<Server>,
    _directory: TempDir,
}

#[derive(Debug)]
struct Server {
    process: Process,
    directory: PathBuf,
    client: SocketAddr,
}

impl ZooKeeper {
    /// Starts an ensemble of `size` servers, and returns when all of them serve.
    ///
    /// # Panics
    ///
    /// When Java or `ZooKeeper` is not installed, `size` is 0, or the servers do not serve in time.
    pub fn start(size: usize) -> Self {
        assert!(size > 0, "an ensemble has at least one server");
        let root =
            TempDir::with_prefix("redis-failover-lab-zookeeper-").expect("a writable temporary directory");
        let members = members(size);
        let servers = (1..=size).map(|id| start_server(root.path(), id, &members)).collect();
        let mut ensemble = Self { servers, _directory: root };
        for index in 0..size {
            ensemble.await_serving(index);
        }
        ensemble
    }

    /// The addresses of all servers, as clients want them: `127.0.0.1:PORT,127.0.0.1:PORT,…`.
    pub fn connect_string(&self) -> String {
        self.servers.iter().map(|server| server.client.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The process of a server, to kill, stop or continue.
    ///
    /// # Panics
    ///
    /// When there is no such server; so do all methods that take an index.
    pub fn server(&mut self, index: usize) -> &mut Process {
        &mut self.servers[index].process
    }

    /// Starts a server again with its data; one that still runs is killed.
    ///
    /// It does not wait, because a server without a quorum would keep it waiting; see [`ZooKeeper::await_serving`].
    ///
    /// # Panics
    ///
    /// When there is no such server.
    pub fn restart(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.process.kill();
        server.process = spawn(&server.directory, server.client);
    }

    /// Waits until a server serves clients, which takes a quorum.
    ///
    /// # Panics
    ///
    /// When it has ended, or does not serve in time.
    pub fn await_serving(&mut self, index: usize) {
        let name = name(self.servers[index].client);
        eventually(START_DEADLINE, &format!("{name} serves"), || {
            assert!(self.server(index).is_running(), "{name} has ended; its log follows");
            self.mode(index)
        });
    }

    /// Sends a four-letter word such as `srvr` or `mntr`, and returns the answer.
    ///
    /// # Errors
    ///
    /// When the server does not answer within a second.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    pub fn four_letter(&self, index: usize, word: &str) -> Result<String, String> {
        let ask = || {
            let mut stream = connect(self.servers[index].client)?;
            stream.write_all(word.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        ask().map_err(|error| describe(&error))
    }

    /// What a server takes itself for: `leader`, `follower` or `standalone`.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or does not serve.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    pub fn mode(&self, index: usize) -> Result<String, String> {
        let answer = self.four_letter(index, "srvr")?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
        mode.map(str::to_owned).ok_or_else(|| format!("it says {:?}", answer.trim_end()))
    }

    /// The server that takes itself for the leader, if one answers; a standalone server is its own leader.
    pub fn leader_index(&self) -> Option<usize> {
        (0..self.servers.len())
            .find(|index| matches!(self.mode(*index).as_deref(), Ok("leader" | "standalone")))
    }
}

/// The lines that name the members of an ensemble; one server alone has none.
fn members(size: usize) -> String {
    if size == 1 {
        return String::new();
    }
    let member = |id| format!("server.{id}={}:{}:{}", Ipv4Addr::LOCALHOST, free_port(), free_port());
    (1..=size).map(member).collect::<Vec<_>>().join("\n")
}

fn start_server(root: &Path, id: usize, members: &str) -> Server {
    let directory = root.join(id.to_string());
    let data = directory.join("data");
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    fs::create_dir_all(&data).expect("the directory is ours");
    fs::write(data.join("myid"), id.to_string()).expect("the directory is ours");
    // Ticks of 200 ms, with limits in ticks: 4 s to join, 2 s to notice a frozen leader.
    let config = format!(
        "tickTime=200\ninitLimit=20\nsyncLimit=10\nminSessionTimeout=400\nmaxSessionTimeout=40000\n\
         dataDir={}\nclientPortAddress={}\nclientPort={}\nmaxClientCnxns=0\n\
         admin.enableServer=false\n4lw.commands.whitelist=*\n{members}",
        data.display(),
        client.ip(),
        client.port()
    );
    fs::write(directory.join("zoo.cfg"), config).expect("the directory is ours");
    Server { process: spawn(&directory, client), directory, client }
}

fn spawn(directory: &Path, client: SocketAddr) -> Process {
    let mut command = Command::new(find_program("java", "default-jre-headless"));
    // A small heap and little compilation: these servers start often and do little.
    command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
    // `forceSync=no` leaves the log to the page cache, which survives any death of the process. Only the machine's
    // would lose writes that were acknowledged, and no test outlives that.
    command.args([
        "-Dzookeeper.forceSync=no",
        "-Dzookeeper.jmx.log4j.disable=true",
        "-Djava.net.preferIPv4Stack=true",
    ]);
    command.arg("-cp").arg(class_path()).arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
    command.current_dir(directory).arg(directory.join("zoo.cfg"));
    Process::spawn(&name(client), command, &directory.join("zookeeper.log"))
}

/// The jars of Apache's archive if `ZOOKEEPER_HOME` is set, else Debian's.
fn class_path() -> String {
    if let Some(home) = env::var_os("ZOOKEEPER_HOME") {
        let home = Path::new(&home).display().to_string();
        assert!(
            Path::new(&home).join("lib").is_dir(),
            "ZOOKEEPER_HOME is {home:?}, which has no directory `lib`"
        );
        return format!("{home}/conf:{home}/lib/*");
    }
    // The first jar names all others in its manifest, but none that prints the log.
    let jars = ["zookeeper.jar", "slf4j-simple.jar"].map(|jar| format!("{DEBIAN_JARS}/{jar}"));
    for jar in &jars {
        assert!(
            Path::new(jar).is_file(),
            "{jar} is missing: install the Debian packages `zookeeper` and \
             `default-jre-headless`, or set ZOOKEEPER_HOME to an unpacked Apache archive"
        );
    }
    jars.join(":")
}

fn name(client: SocketAddr) -> String {
    format!("zookeeper {client}")
}
