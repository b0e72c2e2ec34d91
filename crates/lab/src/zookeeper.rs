//! A `ZooKeeper` ensemble of one or more servers.
//!
//! The servers are plain `java` processes with short ticks, so that a test sees sessions expire and leaders change
//! within seconds. There is never an admin server or JMX; the four-letter words are all there is to look inside.

mod java;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::resp::{connect, describe};
use crate::{Authority, Issued, Process, eventually, free_port};

const START_DEADLINE: Duration = Duration::from_secs(40);

/// What a server counts its limits in: short, so that a test sees a leader change within seconds.
const TICK: Duration = Duration::from_millis(200);

/// Where a server keeps its data, in its directory.
const DATA: &str = "data";

/// A running ensemble; dropping it kills its servers and deletes their directory.
///
/// Servers are numbered from 0. The shortest session timeout they grant is 400 ms, the longest 40 s.
#[derive(Debug)]
pub struct ZooKeeper {
    // Before the directory, because fields are dropped in this order.
    servers: Vec<Server>,
    _directory: TempDir,
    options: ZooKeeperBuilder,
}

/// What a [`ZooKeeper`] is to be started with.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct ZooKeeperBuilder {
    address: IpAddr,
    force_sync: bool,
    sync_limit: Duration,
    tls: Option<String>,
    /// Where it writes the archive with which others start.
    archives_to: Option<PathBuf>,
}

#[derive(Debug)]
struct Server {
    process: Process,
    directory: PathBuf,
    client: SocketAddr,
    /// Where it speaks TLS, if it does.
    secure: Option<SocketAddr>,
}

impl ZooKeeperBuilder {
    /// Serves clients at this address of the machine, or of its namespace, instead of at 127.0.0.1.
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// Has the servers wait for the disk before they confirm a write, as they do in the field.
    ///
    /// Without it the log is left to the page cache, which survives any death of a process; only the machine's would
    /// lose writes that were acknowledged, and no test outlives that.
    pub fn force_sync(mut self) -> Self {
        self.force_sync = true;
        self
    }

    /// How long a leader may be silent before the others elect another, in place of 2 s.
    ///
    /// # Panics
    ///
    /// When this is shorter than a tick, 200 ms.
    pub fn sync_limit(mut self, limit: Duration) -> Self {
        assert!(limit >= TICK, "{limit:?} is shorter than a tick");
        self.sync_limit = limit;
        self
    }

    /// Speaks TLS on ports of its own, too, with this certificate: see [`ZooKeeper::secure_connect_string`]. Who calls
    /// there must show a certificate of the `authority` where `mutual` says so.
    ///
    /// # Panics
    ///
    /// When the certificate can't be read.
    pub fn tls(mut self, authority: &Authority, issued: &Issued, mutual: bool) -> Self {
        // It wants both in one file.
        let both = issued.certificate.with_extension("both.pem");
        let read = |file: &Path| fs::read_to_string(file).expect("it was issued");
        fs::write(&both, read(&issued.key) + &read(&issued.certificate)).expect("the directory is ours");
        self.tls = Some(format!(
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             ssl.keyStore.type=PEM\nssl.keyStore.location={}\n\
             ssl.trustStore.type=PEM\nssl.trustStore.location={}\nssl.clientAuth={}\n",
            both.display(),
            authority.roots().display(),
            if mutual { "need" } else { "none" }
        ));
        self
    }

    /// Starts an ensemble of `size` servers, and returns when all of them serve.
    ///
    /// # Panics
    ///
    /// When Java or `ZooKeeper` is not installed, `size` is 0, or the servers do not serve in time.
    pub fn start(self, size: usize) -> ZooKeeper {
        assert!(size > 0, "an ensemble has at least one server");
        let root =
            TempDir::with_prefix("redis-failover-lab-zookeeper-").expect("a writable temporary directory");
        let members = members(size);
        let servers = (1..=size).map(|id| self.start_server(root.path(), id, &members)).collect();
        let mut ensemble = ZooKeeper { servers, _directory: root, options: self };
        ensemble.await_all_serving();
        ensemble
    }

    fn start_server(&self, root: &Path, id: usize, members: &str) -> Server {
        let directory = root.join(id.to_string());
        let data = directory.join(DATA);
        let client = SocketAddr::from((self.address, free_port()));
        fs::create_dir_all(&data).expect("the directory is ours");
        fs::write(data.join("myid"), id.to_string()).expect("the directory is ours");
        let secure = self.tls.as_ref().map(|_| SocketAddr::from((self.address, free_port())));
        let tls = secure.zip(self.tls.as_ref()).map(|(address, tls)| {
            format!("secureClientPortAddress={}\nsecureClientPort={}\n{tls}", address.ip(), address.port())
        });
        let tls = tls.unwrap_or_default();
        // Limits are told in ticks: 20 are 4 s to join.
        let sync_limit = self.sync_limit.as_millis() / TICK.as_millis();
        let config = format!(
            "tickTime={}\ninitLimit=20\nsyncLimit={sync_limit}\n\
             minSessionTimeout=400\nmaxSessionTimeout=40000\n\
             dataDir={}\nclientPortAddress={}\nclientPort={}\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\n{tls}{members}",
            TICK.as_millis(),
            data.display(),
            client.ip(),
            client.port()
        );
        fs::write(directory.join("zoo.cfg"), config).expect("the directory is ours");
        Server { process: self.spawn(&directory, client), directory, client, secure }
    }

    fn spawn(&self, directory: &Path, client: SocketAddr) -> Process {
        let mut command = java::command();
        command.args(match &self.archives_to {
            Some(file) => Some(java::archiving(file)),
            None => java::archive(|file| self.make_archive(file)).map(|file| java::archived(&file)),
        });
        if !self.force_sync {
            command.arg("-Dzookeeper.forceSync=no");
        }
        if self.address.is_ipv4() {
            command.arg("-Djava.net.preferIPv4Stack=true");
        }
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
        command.current_dir(directory).arg(directory.join("zoo.cfg"));
        Process::spawn(&name(client), command, &directory.join("zookeeper.log"))
    }

    /// Has a server load all that a server loads, and Java write that to `file`.
    fn make_archive(&self, file: &Path) {
        let archives_to = Some(file.to_owned());
        let mut ensemble = Self { archives_to, tls: None, ..self.clone() }.start(1);
        ensemble.server(0).terminate();
        ensemble.server(0).wait_exit(START_DEADLINE);
    }
}

impl ZooKeeper {
    /// Describes an ensemble that is not yet started.
    pub fn builder() -> ZooKeeperBuilder {
        let address = Ipv4Addr::LOCALHOST.into();
        ZooKeeperBuilder { address, force_sync: false, sync_limit: 10 * TICK, tls: None, archives_to: None }
    }

    /// Starts an ensemble of `size` servers on 127.0.0.1.
    ///
    /// # Panics
    ///
    /// As [`ZooKeeperBuilder::start`] does.
    pub fn start(size: usize) -> Self {
        Self::builder().start(size)
    }

    /// The addresses of all servers, as clients want them: `127.0.0.1:PORT,127.0.0.1:PORT,…`.
    pub fn connect_string(&self) -> String {
        self.servers.iter().map(|server| server.client.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The addresses at which the servers speak TLS, as clients want them.
    ///
    /// # Panics
    ///
    /// When they were not built to.
    pub fn secure_connect_string(&self) -> String {
        let secure = |server: &Server| server.secure.expect("servers that were built with `tls`").to_string();
        self.servers.iter().map(secure).collect::<Vec<_>>().join(",")
    }

    /// How many servers there are, running or not.
    pub fn size(&self) -> usize {
        self.servers.len()
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
        server.process = self.options.spawn(&server.directory, server.client);
    }

    /// Kills all servers; their data stays.
    pub fn kill_all(&mut self) {
        for server in &mut self.servers {
            server.process.kill();
        }
    }

    /// Starts all servers again with their data, and returns when all of them serve.
    ///
    /// # Panics
    ///
    /// When they do not serve in time.
    pub fn restart_all(&mut self) {
        for index in 0..self.size() {
            self.restart(index);
        }
        self.await_all_serving();
    }

    /// Copies what the servers, which must be dead, have on disk: a backup for [`ZooKeeper::restore`].
    ///
    /// # Panics
    ///
    /// When a server runs, or `backup` exists or cannot be written.
    pub fn back_up(&mut self, backup: &Path) {
        fs::create_dir(backup).expect("a new directory for the backup");
        for (server, id) in self.dead_servers() {
            copy_tree(&server.directory.join(DATA), &backup.join(id));
        }
    }

    /// Puts a backup in the place of what the servers, which must be dead, have on disk.
    ///
    /// # Panics
    ///
    /// When a server runs, or the backup cannot be read.
    pub fn restore(&mut self, backup: &Path) {
        for (server, id) in self.dead_servers() {
            let data = server.directory.join(DATA);
            fs::remove_dir_all(&data).expect("the directory is ours");
            copy_tree(&backup.join(id), &data);
        }
    }

    /// Deletes all that the servers, which must be dead, have on disk, but for their numbers.
    ///
    /// # Panics
    ///
    /// When a server runs.
    pub fn wipe(&mut self) {
        for (server, _) in self.dead_servers() {
            fs::remove_dir_all(server.directory.join(DATA).join("version-2")).expect("a server's data");
        }
    }

    /// All servers with their ids, none of which runs: data that is being written cannot be copied.
    fn dead_servers(&mut self) -> impl Iterator<Item = (&Server, String)> {
        assert!(self.servers.iter_mut().all(|server| !server.process.is_running()), "a server runs");
        self.servers.iter().zip(1..).map(|(server, id)| (server, id.to_string()))
    }

    fn await_all_serving(&mut self) {
        for index in 0..self.size() {
            self.await_serving(index);
        }
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

/// Copies a directory that holds files and directories only to a place where there is nothing.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new directory for the copy");
    for entry in fs::read_dir(from).expect("a directory to copy") {
        let entry = entry.expect("an entry of it");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target);
        } else {
            fs::copy(&source, &target).expect("a file to copy");
        }
    }
}

fn name(client: SocketAddr) -> String {
    format!("zookeeper {client}")
}
