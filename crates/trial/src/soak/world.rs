//! The servers and monitors of one soak, all its own: `ZooKeeper`, Redis behind links, the program as it is shipped.
//!
//! It starts them, says how they are, and ends them when it is dropped. It never decides what is done to them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis_failover::{Builder, Client, ReadFrom, blocking};
use redis_failover_core::{Found, Phase, Term, Versioned, Vote};
use redis_failover_lab::{Process, Redis, RedisBuilder, ZooKeeper, is_alive};
use redis_failover_store::Snapshot;

use super::kinds::SESSION;
use crate::attempt::attempt;
use crate::failure::Failure;
use crate::monitors::NAMES;
use crate::servers::all_follow;
use crate::shipped::program;

/// The group's path.
pub(super) const PATH: &str = "/redis/soak";

/// How many nodes there are.
pub(super) const NODES: u8 = 3;

/// From where the application calls.
pub(super) const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 21);

/// How long the blocking client waits for a master: shorter than a master is silent before it is replaced.
const WAIT_LIMIT: Duration = Duration::from_millis(500);

/// What a node keeps over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// All, in an append-only file.
    Everything,
    /// A snapshot every five seconds.
    Snapshots,
    /// What its first copy left on its disk, if it was a replica.
    Little,
}

/// Who is who.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles {
    /// The node that leads.
    pub master: usize,
    /// The monitor that leads.
    pub leader: usize,
}

/// All that was started. Dropping it ends all of it.
#[derive(Debug)]
pub(super) struct World {
    // Before the servers, because fields are dropped in this order: nobody fails over what is being ended.
    monitors: Vec<Process>,
    redis: Vec<Redis>,
    zookeeper: ZooKeeper,
    program: PathBuf,
    /// Where the journals and logs are written.
    folder: PathBuf,
    /// The ids of all processes that were ever started.
    pids: Vec<u32>,
}

impl World {
    /// Starts all; what each node keeps on its disk goes round with the seed.
    ///
    /// # Errors
    /// When something is not installed, not built, or does not start; what was started by then is ended.
    pub(super) fn start(seed: u64, folder: &Path) -> Result<Self, Failure> {
        let program = program()?;
        let zookeeper = attempt(|| ZooKeeper::start(3))?;
        let mut keeps = [Keeps::Everything, Keeps::Snapshots, Keeps::Little];
        keeps.rotate_left(usize::try_from(seed % 3).map_err(Failure::new)?);
        let node = |(index, keeps): (u8, Keeps)| {
            let builder = Redis::builder().linked(source_of_node(index.into()));
            attempt(|| keeps.configured(builder).start())
        };
        let redis: Vec<_> = (0..NODES).zip(keeps).map(node).collect::<Result<_, _>>()?;
        let mut world = Self {
            monitors: Vec::new(),
            redis,
            zookeeper,
            program,
            folder: folder.to_owned(),
            pids: Vec::new(),
        };
        for index in 0..NAMES.len() {
            let monitor = world.spawn_monitor(index)?;
            world.monitors.push(monitor);
        }
        world.note_pids();
        Ok(world)
    }

    /// The client library, as an application would use it.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        self.builder().build().map_err(|error| Failure::new(format!("no client: {error}")))
    }

    /// The same for threads. It tells soon that there is no master, so that they are told what became of a write in
    /// each way that there is.
    pub(super) fn blocking_client(&self) -> Result<blocking::Client, Failure> {
        let client = self.builder().wait_limit(WAIT_LIMIT).build_blocking();
        client.map_err(|error| Failure::new(format!("no blocking client: {error}")))
    }

    fn builder(&self) -> Builder {
        let builder = Client::builder().servers(self.servers()).path(PATH).read_from(ReadFrom::Replica);
        builder.session_timeout(SESSION).source_address(CLIENT.into())
    }

    /// Where `ZooKeeper` is.
    pub(super) fn servers(&self) -> String {
        self.zookeeper.connect_string()
    }

    /// The nodes.
    pub(super) fn redis(&self) -> &[Redis] {
        &self.redis
    }

    /// A node, to be harmed.
    pub(super) fn node(&mut self, index: usize) -> &mut Redis {
        &mut self.redis[index]
    }

    /// The ensemble, to be harmed.
    pub(super) fn zookeeper(&mut self) -> &mut ZooKeeper {
        &mut self.zookeeper
    }

    /// A monitor, to be harmed.
    pub(super) fn monitor(&mut self, index: usize) -> &mut Process {
        &mut self.monitors[index]
    }

    /// Which node has this address.
    fn index(&self, address: &str) -> Result<usize, Failure> {
        let index = self.redis.iter().position(|redis| redis.addr() == address);
        index.ok_or_else(|| Failure::new(format!("{address} is none of the nodes")))
    }

    /// Starts a monitor that was killed.
    pub(super) fn restart_monitor(&mut self, index: usize) -> Result<(), Failure> {
        self.monitors[index] = self.spawn_monitor(index)?;
        Ok(())
    }

    fn spawn_monitor(&self, index: usize) -> Result<Process, Failure> {
        let id = NAMES[index];
        let nodes = self.redis.iter().map(Redis::addr).collect::<Vec<_>>().join(",");
        let session = format!("{}ms", SESSION.as_millis());
        let mut command = Command::new(&self.program);
        command.args(["run", "-z", &self.servers(), "-p", PATH, "-r", &nodes, "--id", id]);
        // Many faults in ten minutes are the point here.
        command.args(["--session-timeout", &session, "--third-failover-waits", "0s"]);
        command.args(["--listen", "127.0.0.1:0"]);
        command.args(["--source-address", &source_of_monitor(index).to_string()]);
        command
            .args(["--journal-limit", "256MiB", "--journal"])
            .arg(self.folder.join(format!("{id}.journal")));
        attempt(|| Process::spawn(&format!("monitor {id}"), command, &self.log(id)))
    }

    fn log(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.log"))
    }

    /// Who is who, if all is well: a monitor leads and knows it, a master is published, all monitors see all nodes, the
    /// others follow the master, and what is written reaches them.
    pub(super) fn roles(&self, seen: &Snapshot) -> Result<Roles, String> {
        let holder = seen.leader.as_ref().ok_or("no monitor holds the lock")?;
        let leader =
            NAMES.iter().position(|name| *name == holder.monitor).ok_or("a stranger holds the lock")?;
        if !knows_that_it_leads(self.monitors[leader].log(), holder.term) {
            return Err(format!("the lock is held by a session that monitor {} has no more", holder.monitor));
        }
        let Ok(Versioned { found: Found::Record(record), .. }) = &seen.record else {
            return Err("there is no record".to_owned());
        };
        if record.phase != Phase::Steady {
            return Err("a change of master is under way".to_owned());
        }
        if let Some(node) = record.members.iter().find(|node| !node.ok) {
            return Err(format!("{} is published as KO", node.addr));
        }
        for id in NAMES {
            let report = seen.reports.iter().find(|(monitor, _)| monitor.to_string() == id);
            let (_, report) = report.ok_or_else(|| format!("monitor {id} does not report"))?;
            let reaches = |node| report.votes.get(node).is_some_and(|(vote, _)| *vote == Vote::Up);
            if let Some(node) = record.nodes().find(|node| !reaches(node)) {
                return Err(format!("monitor {id} does not see {node}"));
            }
        }
        let master = self.index(&record.master.to_string()).map_err(|failure| failure.to_string())?;
        all_follow(&self.redis, master).map(|()| Roles { master, leader })
    }

    /// What no monitor may do: end by itself, or panic.
    pub(super) fn wrongs_of_monitors(&mut self) -> Vec<String> {
        let mut wrongs = Vec::new();
        for (id, monitor) in NAMES.into_iter().zip(&mut self.monitors) {
            if !monitor.is_running() {
                wrongs.push(format!("monitor {id} has ended by itself"));
            }
            let log = fs::read(monitor.log()).unwrap_or_default();
            if String::from_utf8_lossy(&log).contains("panicked at") {
                wrongs.push(format!("monitor {id} has panicked"));
            }
        }
        wrongs
    }

    /// Enters the processes that run now among those that were ever started.
    pub(super) fn note_pids(&mut self) {
        let mut now: Vec<_> = self.monitors.iter().map(Process::pid).collect();
        now.extend(self.redis.iter_mut().map(|redis| redis.process().pid()));
        now.extend((0..self.zookeeper.size()).map(|index| self.zookeeper.server(index).pid()));
        self.pids.extend(now);
        self.pids.sort_unstable();
        self.pids.dedup();
    }

    /// Copies the logs of the servers beside those of the monitors.
    pub(super) fn keep_logs(&mut self) {
        let nodes = (0..).zip(self.redis.iter_mut()).map(|(index, redis)| {
            (format!("redis-{index}-{}.log", redis.port()), redis.process().log().to_owned())
        });
        let mut logs: Vec<_> = nodes.collect();
        for index in 0..self.zookeeper.size() {
            logs.push((format!("zookeeper-{index}.log"), self.zookeeper.server(index).log().to_owned()));
        }
        for (name, log) in logs {
            if let Err(error) = fs::copy(&log, self.folder.join(name)) {
                eprintln!("{} could not be kept: {error}", log.display());
            }
        }
    }

    /// Ends all, and says which processes it ever started, and which of them live on.
    pub(super) fn end(mut self) -> (Vec<u32>, Vec<u32>) {
        self.note_pids();
        let pids = std::mem::take(&mut self.pids);
        tokio::task::block_in_place(|| drop(self));
        let left = pids.iter().copied().filter(|pid| is_alive(*pid)).collect();
        (pids, left)
    }
}

impl Keeps {
    fn configured(self, builder: RedisBuilder) -> RedisBuilder {
        match self {
            Self::Everything => builder.option("appendonly", "yes"),
            Self::Snapshots => builder.option("save", "5 1"),
            Self::Little => builder,
        }
    }
}

/// Whether a monitor says that it leads in this term. When `ZooKeeper` comes back a lock stands there for as long as a
/// session that nobody has any more: until it has ended nobody leads.
fn knows_that_it_leads(log: &Path, term: Term) -> bool {
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let last = log.lines().rev().find(|line| line.contains("leader\" group="));
    last.is_some_and(|line| line.contains(&format!("this monitor leads, term {} ", term.0)))
}

/// From where node `index` calls its master.
pub(super) fn source_of_node(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, 11 + u8::try_from(index).unwrap_or(u8::MAX - 11))
}

/// From where monitor `index` calls the nodes.
pub(super) fn source_of_monitor(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, 1 + u8::try_from(index).unwrap_or(u8::MAX - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_the_lock_leads_only_if_it_knows() {
        const LEADS: &str = "INFO this monitor leads, term 42 event=\"+leader\" group=soak";
        const DOUBTS: &str = "WARN the lead is in doubt: hands off event=\"-leader\" group=soak";
        const WELL: &str = "INFO the master is well event=\"diagnosis\" group=soak";
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("one.log");
        let leads = |lines: &[&str], term| {
            fs::write(&log, lines.join("\n")).unwrap();
            knows_that_it_leads(&log, Term(term))
        };
        assert!(leads(&[LEADS, WELL], 42));
        assert!(leads(&[LEADS, DOUBTS, LEADS], 42));
        assert!(!leads(&[LEADS, DOUBTS, WELL], 42), "it has lost its session");
        assert!(!leads(&[LEADS], 4), "that was another term");
        assert!(!leads(&[], 42));
    }
}
