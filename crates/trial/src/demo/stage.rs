//! The servers and the monitors of one demo, all its own: on free ports of 127.0.0.1, in temporary directories.
//!
//! It starts them, harms them when told to, and ends them when it is dropped. It never decides what happens next.

use std::path::Path;
use std::process::Command;

use redis_failover::{Client, ReadFrom};
use redis_failover_lab::{Process, Redis, ZooKeeper};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::journal;
use super::screen::Screen;
use crate::attempt::attempt;
use crate::failure::Failure;
use crate::monitors::{self, NAMES, PATH};
use crate::shipped::program;

/// The monitors' sessions with `ZooKeeper`: how long a dead leader would keep the lead.
const SESSION: &str = "2s";

/// Which store the monitors share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreKind {
    /// One in this process, and the monitors as its tasks.
    Embedded,
    /// A `ZooKeeper` ensemble of so many servers, and the monitors as processes.
    ZooKeeper(usize),
}

/// All that was started. Dropping it ends all of it.
#[derive(Debug)]
pub(super) struct Stage {
    monitors: Monitors,
    redis: Vec<Redis>,
    /// The ids of all processes that were ever started.
    pids: Vec<u32>,
}

#[derive(Debug)]
enum Monitors {
    Tasks(monitors::Monitors),
    Processes { processes: Vec<Process>, _followers: JoinSet<()>, zookeeper: ZooKeeper, _logs: TempDir },
}

impl Stage {
    /// Starts three Redis servers and three monitors that share a store of this kind.
    ///
    /// # Errors
    /// When something is not installed, not built, or does not start; what was started by then is ended.
    pub(super) fn start(kind: StoreKind, screen: &Screen) -> Result<Self, Failure> {
        let shipped = match kind {
            StoreKind::Embedded => None,
            // Before anything is started, so that a missing program costs no time.
            StoreKind::ZooKeeper(size) => Some((size, program()?)),
        };
        let one = || Redis::builder().option("repl-diskless-sync-delay", "0").start();
        let mut redis: Vec<_> = (0..3).map(|_| attempt(one)).collect::<Result<_, _>>()?;
        let mut pids: Vec<_> = redis.iter_mut().map(|redis| redis.process().pid()).collect();
        let monitors = match shipped {
            None => {
                journal::listen(screen.clone());
                Monitors::Tasks(monitors::Monitors::start(&redis)?)
            }
            Some((size, program)) => {
                let mut zookeeper = attempt(|| ZooKeeper::start(size))?;
                pids.extend((0..size).map(|index| zookeeper.server(index).pid()));
                processes(&redis, zookeeper, &program, screen)?
            }
        };
        if let Monitors::Processes { processes, .. } = &monitors {
            pids.extend(processes.iter().map(Process::pid));
        }
        Ok(Self { monitors, redis, pids })
    }

    /// The servers' addresses.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.redis.iter().map(Redis::addr).collect()
    }

    /// A server.
    pub(super) fn redis(&self, index: usize) -> &Redis {
        &self.redis[index]
    }

    /// The id of a server's process.
    pub(super) fn pid(&mut self, index: usize) -> u32 {
        self.redis[index].process().pid()
    }

    /// The ids of all processes that were ever started.
    pub(super) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Kills a server as a crash would.
    pub(super) fn kill(&mut self, index: usize) -> Result<(), Failure> {
        attempt(|| self.redis[index].kill())
    }

    /// Starts a server again at its place.
    pub(super) fn restart(&mut self, index: usize) -> Result<(), Failure> {
        attempt(|| self.redis[index].restart())?;
        let pid = self.pid(index);
        self.pids.push(pid);
        Ok(())
    }

    /// Makes a server stand still.
    pub(super) fn freeze(&self, index: usize) -> Result<(), Failure> {
        attempt(|| self.redis[index].stop())
    }

    /// Lets it go on.
    pub(super) fn wake(&self, index: usize) -> Result<(), Failure> {
        attempt(|| self.redis[index].cont())
    }

    /// The client library, as an application would use it on this group.
    pub(super) fn client(&self, reads: ReadFrom) -> Result<Client, Failure> {
        match &self.monitors {
            Monitors::Tasks(monitors) => monitors.client(reads),
            Monitors::Processes { zookeeper, .. } => {
                let builder = Client::builder().path(PATH).read_from(reads);
                let client = builder.servers(zookeeper.connect_string()).build();
                client.map_err(|error| Failure::new(format!("no client: {error}")))
            }
        }
    }

    /// What to type to look at the group, to use it and to harm it, where that can be done from outside.
    pub(super) fn what_to_type(&mut self, master: usize) -> Option<String> {
        let pids: Vec<_> = (0..self.redis.len()).map(|index| self.pid(index)).collect();
        let Monitors::Processes { zookeeper, .. } = &self.monitors else { return None };
        let (program, servers) = (program().ok()?, zookeeper.connect_string());
        let of = |(node, pid): (&Redis, &u32)| format!("  {} is process {pid}", node.addr());
        let nodes: Vec<_> = self.redis.iter().zip(&pids).map(of).collect();
        Some(format!(
            "\nIt goes on until Ctrl-C. Look at it, kill the master, look again:\n\n  \
             {} status -z {servers} -p {PATH}\n  kill -9 {}\n\n{}\n\n\
             The URL for the client library is redis+zk://{servers}{PATH}\n\n",
            program.display(),
            pids[master],
            nodes.join("\n")
        ))
    }
}

/// Monitors as they are shipped, each in a process of its own.
fn processes(
    redis: &[Redis],
    zookeeper: ZooKeeper,
    program: &Path,
    screen: &Screen,
) -> Result<Monitors, Failure> {
    let logs = TempDir::with_prefix("redis-failover-demo-")
        .map_err(|error| Failure::new(format!("no temporary directory: {error}")))?;
    let nodes = redis.iter().map(Redis::addr).collect::<Vec<_>>().join(",");
    let mut processes = Vec::new();
    let mut followers = JoinSet::new();
    for id in NAMES {
        let mut command = Command::new(program);
        command.args(["run", "-z", &zookeeper.connect_string(), "-p", PATH, "-r", &nodes, "--id", id]);
        // Who is told to kill masters by hand should not have to wait for the third.
        command.args(["--session-timeout", SESSION, "--log-format", "json", "--third-failover-waits", "0s"]);
        let log = logs.path().join(format!("{id}.log"));
        processes.push(attempt(|| Process::spawn(&format!("monitor {id}"), command, &log))?);
        followers.spawn(journal::follow(log, screen.clone()));
    }
    Ok(Monitors::Processes { processes, _followers: followers, zookeeper, _logs: logs })
}
