//! The script on real servers. It waits for nothing but what a command needs; the comparison waits for the rest.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use redis_failover_lab::{Connection, Flavour, Redis, Reply, ensure_eq, eventually};

use crate::script::Verb;
use crate::view::{Resyncs, Seen};

const DEADLINE: Duration = Duration::from_secs(10);
/// Valkey pings its replicas once in the first two seconds of its life, whatever its period is. Nobody may be let in
/// before, for that moves the offset.
const SETTLED: u64 = 2;
/// Where a server that must follow nobody is told to look for its master.
const REFUSING: &str = "127.0.0.1:1";

struct Node {
    redis: Redis,
    directory: PathBuf,
    alive: bool,
    hung: bool,
    /// One client's connection: WAIT speaks of what was written on its own.
    client: Option<Connection>,
    /// Connections with a write that CLIENT PAUSE holds back.
    held: Vec<TcpStream>,
    paused: bool,
}

/// Real servers.
pub(crate) struct Real {
    flavour: Flavour,
    nodes: BTreeMap<String, Node>,
    written: u32,
}

impl Real {
    /// Servers of this version will be started.
    pub(crate) fn new(flavour: Flavour) -> Self {
        Self { flavour, nodes: BTreeMap::new(), written: 0 }
    }

    /// Does it. Returns what a client is told, where it is more than yes.
    pub(crate) fn act(&mut self, name: &str, verb: &Verb) -> Vec<String> {
        match verb {
            Verb::Start { log } => self.start(name, *log),
            Verb::Write(count) => return (0..*count).filter_map(|_| self.write(name)).collect(),
            Verb::Wait(count) => return vec![self.wait(name, *count)],
            Verb::Unpause => return self.node(name).unpause(),
            Verb::Follow(of) => {
                let port = of.as_ref().map_or("1".to_owned(), |of| self.node(of).redis.port().to_string());
                self.node(name).tell(&["REPLICAOF", "127.0.0.1", &port]);
            }
            Verb::Lead => self.node(name).tell(&["REPLICAOF", "NO", "ONE"]),
            Verb::Die => self.node(name).die(),
            Verb::Return { empty } => self.come_back(name, *empty),
            Verb::Save => self.node(name).tell(&["SAVE"]),
            Verb::Rewrite => self.node(name).tell(&["CONFIG", "REWRITE"]),
            Verb::Need(count) => {
                self.node(name).tell(&["CONFIG", "SET", "min-replicas-to-write", &count.to_string()]);
            }
            Verb::Pause => {
                self.node(name).tell(&["CLIENT", "PAUSE", "600000", "WRITE"]);
                self.node(name).paused = true;
            }
            Verb::Hang => {
                self.node(name).redis.stop();
                self.node(name).hung = true;
            }
            Verb::Wake => {
                self.node(name).redis.cont();
                self.node(name).hung = false;
            }
        }
        Vec::new()
    }

    /// What the servers show that answer.
    ///
    /// # Errors
    /// When one of them does not.
    pub(crate) fn look(&self) -> Result<Vec<Seen>, String> {
        let answering = self.nodes.iter().filter(|(_, node)| node.is_up());
        answering.map(|(name, node)| self.seen(name, node)).collect()
    }

    /// The time that a server's own clock shows: its replication has looked after everything once each second.
    pub(crate) fn uptime(&self) -> Result<u64, String> {
        self.nodes.values().find(|node| node.is_up()).ok_or("nobody is up")?.uptime()
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).unwrap_or_else(|| panic!("`{name}` was not started"))
    }

    fn start(&mut self, name: &str, log: bool) {
        let redis = Redis::builder()
            .flavour(self.flavour)
            // Nothing moves the offsets but what the script does.
            .option("repl-ping-replica-period", "3600")
            // The model's. The smallest that there is.
            .option("repl-backlog-size", "16kb")
            .option("appendonly", if log { "yes" } else { "no" })
            .start();
        let directory = directory_of(&redis);
        let node = Node {
            redis,
            directory,
            alive: true,
            hung: false,
            client: None,
            held: Vec::new(),
            paused: false,
        };
        self.nodes.insert(name.to_owned(), node);
    }

    fn write(&mut self, name: &str) -> Option<String> {
        self.written += 1;
        let key = format!("key:{}", self.written);
        let node = self.node(name);
        if node.paused {
            node.write_without_waiting(&key);
            return Some("held".to_owned());
        }
        match node.client().command(&["SET", &key, "x"]).expect("it answers") {
            Reply::Error(text) => Some(code(&text)),
            _ => None,
        }
    }

    fn wait(&mut self, name: &str, count: u32) -> String {
        // Longer than an answer takes, and shorter than the lab's patience.
        match self.node(name).client().command(&["WAIT", &count.to_string(), "500"]).expect("it answers") {
            Reply::Integer(count) => count.to_string(),
            other => format!("{other:?}"),
        }
    }

    /// The others stand still until it has settled.
    fn come_back(&mut self, name: &str, empty: bool) {
        let others = self.nodes.iter().filter(|(other, node)| *other != name && node.is_up());
        let others: Vec<String> = others.map(|(other, _)| other.clone()).collect();
        for other in &others {
            self.node(other).redis.stop();
        }
        self.node(name).come_back(empty);
        for other in &others {
            self.node(other).redis.cont();
        }
    }

    fn seen(&self, name: &str, node: &Node) -> Result<Seen, String> {
        node.ensure_settled()?;
        let replication = node.redis.info("replication")?;
        let stats = node.redis.info("stats")?;
        let field = |name: &str| replication.get(name).cloned().ok_or(format!("INFO has no {name}"));
        let role = if field("role")? == "master" {
            "master".to_owned()
        } else {
            let of = format!("{}:{}", field("master_host")?, field("master_port")?);
            format!("replica of {}, {}", self.name_of(&of)?, field("master_link_status")?)
        };
        let listed = (0..number(&replication, "connected_slaves")?).map(|index| {
            let fields = field(&format!("slave{index}"))?;
            let fields: BTreeMap<_, _> = fields.split(',').filter_map(|it| it.split_once('=')).collect();
            ensure_eq(fields["state"], "online")?;
            self.name_of(&format!("{}:{}", fields["ip"], fields["port"]))
        });
        let mut replicas = listed.collect::<Result<Vec<_>, String>>()?;
        replicas.sort();
        let end: i64 = number(&replication, "second_repl_offset")?;
        let previous = field("master_replid2")?;
        ensure_eq(end == -1, previous.chars().all(|digit| digit == '0'))?;
        let previous = u64::try_from(end).ok().map(|end| (previous, end));
        let Reply::Integer(keys) = node.redis.command(&["DBSIZE"])?.into_result()? else {
            return Err("DBSIZE is no number".to_owned());
        };
        Ok(Seen {
            name: name.to_owned(),
            role,
            replicas,
            keys: u64::try_from(keys).map_err(|error| error.to_string())?,
            replid: field("master_replid")?,
            offset: number(&replication, "master_repl_offset")?,
            previous,
            resyncs: Resyncs {
                full: number(&stats, "sync_full")?,
                partial: number(&stats, "sync_partial_ok")?,
                refused: number(&stats, "sync_partial_err")?,
            },
        })
    }

    fn name_of(&self, addr: &str) -> Result<String, String> {
        if addr == REFUSING {
            return Ok("nobody".to_owned());
        }
        let named = self.nodes.iter().find(|(_, node)| node.redis.addr() == addr);
        named.map(|(name, _)| name.clone()).ok_or(format!("{addr} is a stranger"))
    }
}

impl Node {
    fn is_up(&self) -> bool {
        self.alive && !self.hung
    }

    fn uptime(&self) -> Result<u64, String> {
        number(&self.redis.info("server")?, "uptime_in_seconds")
    }

    fn ensure_settled(&self) -> Result<(), String> {
        let uptime = self.uptime()?;
        if uptime >= SETTLED { Ok(()) } else { Err(format!("it has been up for {uptime} s")) }
    }

    fn tell(&mut self, words: &[&str]) {
        let answer = self.redis.command(words).and_then(Reply::into_result);
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }

    fn client(&mut self) -> &mut Connection {
        let redis = &self.redis;
        self.client.get_or_insert_with(|| redis.connect().expect("it takes clients"))
    }

    fn write_without_waiting(&mut self, key: &str) {
        let mut stream = TcpStream::connect(self.redis.addr()).expect("it takes clients");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is a deadline");
        stream.write_all(format!("SET {key} x\r\n").as_bytes()).expect("it reads");
        self.held.push(stream);
        let held = self.held.len();
        eventually(DEADLINE, "the write is held back", || {
            ensure_eq(number::<usize>(&self.redis.info("clients")?, "blocked_clients")?, held)
        });
    }

    fn unpause(&mut self) -> Vec<String> {
        self.tell(&["CLIENT", "UNPAUSE"]);
        self.paused = false;
        let answer = |stream: TcpStream| {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).expect("an answer");
            line.strip_prefix('-').map_or("taken".to_owned(), code)
        };
        std::mem::take(&mut self.held).into_iter().map(answer).collect()
    }

    fn die(&mut self) {
        eventually(DEADLINE, "its disk has everything", || {
            let persistence = self.redis.info("persistence")?;
            for busy in ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"] {
                ensure_eq(number::<u64>(&persistence, busy)?, 0)
                    .map_err(|error| format!("{busy}: {error}"))?;
            }
            Ok::<_, String>(())
        });
        self.redis.kill();
        (self.client, self.alive) = (None, false);
    }

    fn come_back(&mut self, empty: bool) {
        if empty {
            // Redis 6.2 keeps its log in one file, later ones in a directory.
            let _ = fs::remove_file(self.directory.join("dump.rdb"));
            let _ = fs::remove_file(self.directory.join("appendonly.aof"));
            let _ = fs::remove_dir_all(self.directory.join("appendonlydir"));
        }
        self.redis.restart();
        eventually(DEADLINE, "it has settled", || self.ensure_settled());
        (self.alive, self.paused) = (true, false);
    }
}

fn number<T: std::str::FromStr>(fields: &BTreeMap<String, String>, name: &str) -> Result<T, String> {
    fields.get(name).and_then(|value| value.trim().parse().ok()).ok_or(format!("INFO has no number {name}"))
}

/// Where it keeps its data.
fn directory_of(redis: &Redis) -> PathBuf {
    let reply = redis.command(&["CONFIG", "GET", "dir"]).expect("it answers");
    match &reply {
        Reply::Array(pair) if let [_, Reply::Bulk(directory)] = &pair[..] => PathBuf::from(directory),
        other => panic!("unexpected reply: {other:?}"),
    }
}

/// The first word of an error.
fn code(error: &str) -> String {
    error.split_whitespace().next().unwrap_or_default().to_owned()
}
