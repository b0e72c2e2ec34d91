//! A ZooKeeper ensemble, Redis servers and monitors of one test, all its own, and how to ask them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use redis_failover::Tls;
use redis_failover_lab::{Process, Redis, RedisBuilder, Reply, ZooKeeper, ensure_eq, eventually};
use serde_json::Value;
use tempfile::TempDir;

use crate::journals::Journals;
use crate::trap::Relay;

/// How long anything here may take; what is measured is measured elsewhere.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Time-out of the monitors' sessions.
pub(crate) const SESSION: Duration = Duration::from_secs(2);

/// Lets `time` pass, and looks all along that `check` is content.
#[track_caller]
pub(crate) fn hold_for<T>(time: Duration, what: &str, mut check: impl FnMut() -> Result<T, String>) {
    let begun = Instant::now();
    eventually(time + DEADLINE, what, || {
        if let Err(reason) = check() {
            panic!("{what}, but after {:?}: {reason}", begun.elapsed());
        }
        if begun.elapsed() >= time { Ok(()) } else { Err("the time has not passed") }
    });
}

/// Servers that many groups may share.
pub(crate) struct Servers {
    pub(crate) zookeeper: ZooKeeper,
    /// How the monitors are told where it is, if not by addresses.
    pub(crate) spelled: Option<String>,
    pub(crate) directory: TempDir,
}

impl Servers {
    /// One server: three take as long to start as many a test takes then.
    pub(crate) fn start() -> Self {
        Self::of(ZooKeeper::start(1))
    }

    /// An ensemble of three, for tests in which something befalls it, or that look at it.
    pub(crate) fn ensemble() -> Self {
        Self::of(ZooKeeper::start(3))
    }

    /// This ensemble.
    pub(crate) fn of(zookeeper: ZooKeeper) -> Self {
        Self { zookeeper, spelled: None, directory: tempfile::tempdir().expect("a directory") }
    }

    /// The last transaction that any server knows, if all know the same.
    pub(crate) fn zxid(&self) -> Result<String, String> {
        let zxid = |server| {
            let text = self.zookeeper.four_letter(server, "srvr")?;
            let line = text.lines().find_map(|line| line.strip_prefix("Zxid: "));
            line.map(str::to_owned).ok_or(text)
        };
        let first = zxid(0)?;
        for server in 1..3 {
            ensure_eq(&zxid(server)?, &first)?;
        }
        Ok(first)
    }

    /// How many packets all servers together have received from clients.
    pub(crate) fn packets(&self) -> u64 {
        let count = |server| {
            let text = self.zookeeper.four_letter(server, "srvr").ok()?;
            text.lines().find_map(|line| line.strip_prefix("Received: "))?.parse::<u64>().ok()
        };
        (0..3).map(|server| count(server).expect("srvr tells the packets")).sum()
    }

    /// How many sessions a server serves.
    pub(crate) fn sessions(&self, server: usize) -> usize {
        self.zookeeper.four_letter(server, "cons").map_or(0, |text| text.matches("sid=0x").count())
    }

    /// Stops the two servers that do not lead, so that none serves: the third has no majority. Yields which they are.
    ///
    /// Not all three: a leader that wakes among those that elect another may join them and never answer again
    /// (ZooKeeper 3.8.0, seen once in 21 times under load), and that is no fault of ours.
    pub(crate) fn take_zookeeper_away(&mut self) -> [usize; 2] {
        let leader = self.zookeeper.leader_index().expect("the ensemble has a leader");
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        for server in others {
            self.zookeeper.server(server).stop();
        }
        others
    }

    /// Lets them go on.
    pub(crate) fn bring_zookeeper_back(&mut self, stopped: [usize; 2]) {
        for server in stopped {
            self.zookeeper.server(server).cont();
        }
    }

    /// A path for a file of this test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A monitor of the predecessor that leads, or queues to lead, some group of this ensemble.
    pub(crate) fn predecessor_in_the_lead(&self) -> Process {
        let mut command = python("predecessor.py");
        command.args(["--lead", &self.zookeeper.connect_string()]);
        let process = Process::spawn("the predecessor", command, &self.file("lead.log"));
        eventually(DEADLINE, "the predecessor leads", || {
            let log = fs::read_to_string(process.log()).unwrap_or_default();
            if log.contains("it leads") { Ok(()) } else { Err(log) }
        });
        process
    }

    /// Runs one of the Python programs beside this file until it is terminated.
    pub(crate) fn python(&self, name: &str, program: &str, arguments: &[&str]) -> Process {
        let mut command = python(program);
        command.arg(self.zookeeper.connect_string()).args(arguments);
        Process::spawn(name, command, &self.file(&format!("{name}.log")))
    }

    /// Runs the program on a terminal of its own; what stands on its screen is in `file`. SIGTERM presses q.
    pub(crate) fn on_a_terminal(&self, file: &str, arguments: &[&str]) -> Process {
        let mut command = python("terminal.py");
        command.args([file, env!("CARGO_BIN_EXE_redis-failover")]).args(arguments);
        Process::spawn("the terminal", command, &self.file("terminal.log"))
    }

    /// Writes a document as the predecessor's monitor did.
    pub(crate) fn put(&self, znode: &str, text: &str) {
        predecessor(&["--publish", &self.zookeeper.connect_string(), znode, text]);
    }

    /// What a znode holds.
    pub(crate) fn get(&self, znode: &str) -> String {
        predecessor(&["--get", &self.zookeeper.connect_string(), znode]).trim_end().to_owned()
    }

    /// Lets nobody but this user of ZooKeeper write a znode.
    pub(crate) fn own(&self, (user, password): (&str, &str), znode: &str) {
        predecessor(&["--own", &self.zookeeper.connect_string(), user, password, znode]);
    }

    /// The names of the znodes below another.
    pub(crate) fn children(&self, znode: &str) -> Vec<String> {
        let names = predecessor(&["--children", &self.zookeeper.connect_string(), znode]);
        names.lines().map(str::to_owned).collect()
    }
}

/// What the predecessor's stand-in prints.
fn predecessor(arguments: &[&str]) -> String {
    let output = python("predecessor.py").args(arguments).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// One of the Python programs beside this file. Debian's kazoo belongs to Debian's Python.
pub(crate) fn python(program: &str) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg("-u").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/").to_owned() + program);
    command
}

/// From where the writer's client calls in a group with links.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 21);

/// From where node `index` of a group with links calls its master.
pub(crate) fn source_of_node(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, 11 + index)
}

/// From where monitor `id` of a group with links calls the nodes.
pub(crate) fn source_of_monitor(id: &str) -> Ipv4Addr {
    let number = id.strip_prefix('m').and_then(|number| number.parse().ok());
    Ipv4Addr::new(127, 0, 1, number.expect("monitors are called m1, m2 and so on"))
}

/// What each node is, and how many steps all monitors together have begun.
#[derive(Debug, PartialEq)]
pub(crate) struct Rest {
    pub(crate) nodes: Vec<Vec<Option<String>>>,
    steps: usize,
}

/// One group: its nodes and its monitors.
pub(crate) struct Group {
    pub(crate) path: String,
    pub(crate) redis: Vec<Redis>,
    pub(crate) monitors: BTreeMap<String, Process>,
    extra: Vec<(String, String)>,
    other_nodes: Vec<String>,
    /// Whether the nodes are behind links, so that callers are told apart.
    pub(crate) linked: bool,
    /// In front of the nodes, where there are any: their addresses are the nodes' then.
    pub(crate) relays: Vec<Relay>,
    logs: TempDir,
    /// After the monitors: they have ended when it is kept.
    pub(crate) journals: Journals,
    pub(crate) flags: Vec<&'static str>,
    /// Time-out of its monitors' sessions.
    pub(crate) session: Duration,
    /// How the monitors' list spells the servers' host; `None` as they are bound.
    pub(crate) host: Option<&'static str>,
    /// How clients call the nodes over TLS, where these speak nothing else.
    pub(crate) tls: Option<Tls>,
    /// What clients must say to the nodes.
    pub(crate) password: Option<&'static str>,
}

impl Group {
    /// Three fresh servers and three monitors, synced.
    pub(crate) fn start(servers: &Servers, path: &str) -> Self {
        let mut group = Self::fresh(path);
        group.start_monitors(servers);
        group.await_steady(servers, 0);
        group
    }

    /// Three fresh servers, without monitors yet.
    pub(crate) fn fresh(path: &str) -> Self {
        let redis = (0..3).map(|_| Redis::builder().option("repl-diskless-sync-delay", "0").start());
        Self::of(path, redis.collect())
    }

    /// A group of these servers, without monitors yet.
    pub(crate) fn of(path: &str, redis: Vec<Redis>) -> Self {
        Self {
            path: path.to_owned(),
            redis,
            monitors: BTreeMap::new(),
            extra: Vec::new(),
            other_nodes: Vec::new(),
            linked: false,
            relays: Vec::new(),
            logs: tempfile::tempdir().expect("a directory"),
            journals: Journals::new(path),
            flags: Vec::new(),
            session: SESSION,
            host: None,
            tls: None,
            password: None,
        }
    }

    /// Three fresh servers behind links, without monitors yet.
    pub(crate) fn linked(path: &str) -> Self {
        Self::linked_with(path, |_, builder| builder)
    }

    /// The same with more options for each node.
    pub(crate) fn linked_with(path: &str, options: impl Fn(u8, RedisBuilder) -> RedisBuilder) -> Self {
        let redis = |index| options(index, Redis::builder().linked(source_of_node(index))).start();
        Self { linked: true, ..Self::of(path, (0..3).map(redis).collect()) }
    }

    /// Gives all monitors started from now on another environment variable.
    pub(crate) fn environment(&mut self, name: &str, value: &str) {
        self.extra.push((name.to_owned(), value.to_owned()));
    }

    /// Has a command call the nodes as the group's monitors do.
    pub(crate) fn as_its_monitors(&self, command: &mut Command) {
        command.envs(self.extra.iter().cloned());
    }

    /// Gives all monitors started from now on another node in their list.
    pub(crate) fn also(&mut self, node: String) {
        self.other_nodes.push(node);
    }

    /// The nodes as `-r` takes them.
    pub(crate) fn nodes(&self) -> String {
        let nodes = (0..self.redis.len()).map(|node| self.address(node));
        nodes.chain(self.other_nodes.clone()).collect::<Vec<_>>().join(",")
    }

    /// The address under which a node is known.
    pub(crate) fn address(&self, node: usize) -> String {
        let address = self.relays.get(node).map_or_else(|| self.redis[node].addr(), Relay::address);
        let port = address.rsplit(':').next().unwrap_or_default();
        self.host.map_or_else(|| address.clone(), |host| format!("{host}:{port}"))
    }

    /// Starts the monitors m1, m2 and m3.
    pub(crate) fn start_monitors(&mut self, servers: &Servers) {
        for id in ["m1", "m2", "m3"] {
            self.start_monitor(servers, id);
        }
    }

    /// Has what this monitor will log go into a pipe that nobody reads, for as long as what this yields is kept: an
    /// end that waits for nothing.
    pub(crate) fn unread_log(&self, id: &str) -> File {
        let log = self.log(id);
        mkfifo(&log, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe with a name");
        let end = File::options().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(log);
        end.expect("it can be opened")
    }

    fn log(&self, id: &str) -> PathBuf {
        self.logs.path().join(format!("{id}.log"))
    }

    /// Starts one monitor.
    pub(crate) fn start_monitor(&mut self, servers: &Servers, id: &str) {
        let zookeeper = servers.spelled.clone().unwrap_or_else(|| servers.zookeeper.connect_string());
        self.start_monitor_at(&zookeeper, id);
    }

    /// Starts one monitor that finds ZooKeeper at this address.
    pub(crate) fn start_monitor_at(&mut self, zookeeper: &str, id: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        command.args(["run", "-z", zookeeper, "-p", &self.path, "-r", &self.nodes()]);
        command
            .args(["--id", id, "--session-timeout", &format!("{}ms", self.session.as_millis())])
            .args(&self.flags)
            .arg("--journal")
            .arg(self.journals.file(id));
        if self.linked {
            command.args(["--source-address", &source_of_monitor(id).to_string()]);
        }
        command.envs(self.extra.iter().cloned());
        let process = Process::spawn(&format!("monitor {id} of {}", self.path), command, &self.log(id));
        self.monitors.insert(id.to_owned(), process);
    }

    /// What `redis-failover status --json` says.
    pub(crate) fn status(&self, servers: &Servers) -> Result<Value, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        command.args(["status", "--json", "-z", &servers.zookeeper.connect_string(), "-p", &self.path]);
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    /// The id of the leading monitor.
    pub(crate) fn leader(&self, servers: &Servers) -> String {
        eventually(DEADLINE, "a monitor leads", || {
            let status = self.status(servers)?;
            status["leader"]["id"].as_str().map(str::to_owned).ok_or_else(|| status.to_string())
        })
    }

    /// Waits until a monitor other than `old` leads, and returns its id.
    pub(crate) fn await_another_leader(&self, servers: &Servers, old: &str) -> String {
        eventually(DEADLINE, "another monitor leads", || {
            let leader = self.leader(servers);
            if leader == old { Err(leader) } else { Ok(leader) }
        })
    }

    /// Waits until the document says that node `master` leads and all running nodes are OK, and the nodes are so.
    ///
    /// Exactly one running node is a master then, it takes writes, and the others have all that it has.
    pub(crate) fn await_steady(&self, servers: &Servers, master: usize) {
        eventually(DEADLINE, &format!("node {master} leads and the others follow"), || {
            self.is_steady(servers, master)
        });
    }

    fn is_steady(&self, servers: &Servers, master: usize) -> Result<(), String> {
        let status = self.status(servers)?;
        let address = self.address(master);
        ensure_eq(status["phase"].as_str(), Some("steady"))?;
        ensure_eq(status["master"].as_str(), Some(address.as_str()))?;
        let leads = self.redis[master].info("replication")?;
        for (index, redis) in self.redis.iter().enumerate() {
            let Ok(info) = redis.info("replication") else { continue };
            let ok = status["nodes"]
                .as_array()
                .and_then(|nodes| nodes.iter().find(|it| it["node"] == self.address(index)));
            ensure_eq(ok.map(|node| &node["ok"]), Some(&Value::Bool(true)))?;
            if index == master {
                ensure_eq(info["role"].as_str(), "master")?;
            } else {
                ensure_eq(info["role"].as_str(), "slave")?;
                let followed = format!("{}:{}", info["master_host"], info["master_port"]);
                // Redis writes no brackets, and keeps the spelling that it was once given.
                let bare = |address: &str| address.replace(['[', ']'], "");
                let own = if self.host.is_some() { self.redis[master].addr() } else { address.clone() };
                if followed != bare(&own) {
                    ensure_eq(followed, bare(&address))?;
                }
                ensure_eq(info["master_link_status"].as_str(), "up")?;
                ensure_eq(&info["master_replid"], &leads["master_replid"])?;
            }
        }
        let running = self.redis.iter().filter(|redis| redis.role().is_ok()).count();
        write_reaches(&self.redis[master], running - 1)
    }

    /// Waits until nobody is left behind: whoever was lost is in step again.
    pub(crate) fn await_nobody_left(&self, servers: &Servers) {
        eventually(DEADLINE, "nobody is left behind", || {
            let status = self.status(servers)?.to_string();
            if status.contains("left-behind") { Err(status) } else { Ok(()) }
        });
    }

    /// Waits until both replicas have all that node `master` has.
    pub(crate) fn await_caught_up(&self, master: usize) {
        eventually(DEADLINE, "the replicas have caught up", || write_reaches(&self.redis[master], 2));
    }

    /// Which node the document names, other than `old`, once it is steady.
    pub(crate) fn await_successor(&self, servers: &Servers, old: usize) -> usize {
        let old = self.address(old);
        let address = eventually(DEADLINE, "another node leads", || {
            let status = self.status(servers)?;
            let master = status["master"].as_str().filter(|it| *it != old && status["phase"] == "steady");
            master.map(str::to_owned).ok_or_else(|| status.to_string())
        });
        let node = (0..self.redis.len()).find(|node| self.address(*node) == address);
        node.expect("the master is one of the nodes")
    }

    /// The steps that monitor `id` has begun, from its log.
    pub(crate) fn steps_of(&self, id: &str) -> Vec<String> {
        let log = fs::read_to_string(self.monitors[id].log()).unwrap_or_default();
        log.lines().filter(|line| line.contains("event=\"step\"")).map(str::to_owned).collect()
    }

    /// What each live monitor says of node `index`.
    pub(crate) fn votes(&self, servers: &Servers, index: usize) -> Result<BTreeMap<String, String>, String> {
        let status = self.status(servers)?;
        let address = self.redis[index].addr();
        let nodes = status["nodes"].as_array().into_iter().flatten();
        let votes =
            nodes.filter(|it| it["node"] == address).filter_map(|it| it["votes"].as_object()).flatten();
        Ok(votes.map(|(id, vote)| (id.clone(), vote.as_str().unwrap_or_default().to_owned())).collect())
    }

    /// What no monitor may change while it may not act.
    pub(crate) fn rest(&self) -> Result<Rest, String> {
        let node = |redis: &Redis| {
            let (replication, server) = (redis.info("replication")?, redis.info("server")?);
            let told = ["role", "master_port", "master_replid"].map(|field| replication.get(field).cloned());
            Ok([told.as_slice(), &[server.get("run_id").cloned()]].concat())
        };
        let nodes = self.redis.iter().map(node).collect::<Result<_, String>>()?;
        Ok(Rest { nodes, steps: self.monitors.keys().map(|id| self.steps_of(id).len()).sum() })
    }

    /// How often the logs of all monitors together have `text`.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.monitors.keys().map(|id| self.logged_by(id, text)).sum()
    }

    /// How often the log of monitor `id` has `text`.
    pub(crate) fn logged_by(&self, id: &str, text: &str) -> usize {
        fs::read_to_string(self.monitors[id].log()).unwrap_or_default().matches(text).count()
    }
}

/// Writes to `master` and waits for `replicas` to confirm it, on one connection.
///
/// A link that is up proves nothing: after a full copy the master holds the stream back until the replica's next
/// acknowledgement, for up to a second.
fn write_reaches(master: &Redis, replicas: usize) -> Result<(), String> {
    let mut connection = master.connect()?;
    connection.command(&["SET", "reaches", "all"])?.into_result()?;
    let confirmed = connection.command(&["WAIT", &replicas.to_string(), "500"])?.into_result()?;
    ensure_eq(confirmed, Reply::Integer(i64::try_from(replicas).map_err(|error| error.to_string())?))?;
    Ok(())
}
