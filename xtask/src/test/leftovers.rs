//! Servers that outlive the suite: Redis, ZooKeeper, and our own binaries.
//!
//! It only looks, and never ends a process. Ours is what was not there before and does not belong to another
//! suite or trial that runs at the same time; that one is told by the living cargo, or the trial that somebody still
//! holds, among its ancestors, while ours has none left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// One process, as `/proc` shows it.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pid: u32,
    parent: u32,
    /// Ticks between boot and start: with it a reused pid is not mistaken for the old process.
    started: u64,
    /// The program's name, cut by the kernel to 15 bytes.
    name: String,
    /// The command line. Empty when the process has died and only waits to be reaped.
    command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.command)
    }
}

impl Process {
    fn read(folder: &Path) -> Option<Self> {
        let pid = folder.file_name()?.to_str()?.parse().ok()?;
        let stat = String::from_utf8_lossy(&fs::read(folder.join("stat")).ok()?).into_owned();
        let command = String::from_utf8_lossy(&fs::read(folder.join("cmdline")).ok()?).replace('\0', " ");
        Self::parse(pid, &stat, command.trim_end())
    }

    fn parse(pid: u32, stat: &str, command: &str) -> Option<Self> {
        // The name stands in parentheses and may hold anything, blanks and parentheses included.
        let (head, tail) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        // proc_pid_stat(5) counts from 1: the state, first in `tail`, is field 3; the parent 4; the start
        // time 22.
        let field = |number: usize| tail.split_whitespace().nth(number - 3);
        let (parent, started) = (field(4)?.parse().ok()?, field(22)?.parse().ok()?);
        Some(Self { pid, parent, started, name, command: command.to_owned() })
    }

    fn is_server(&self) -> bool {
        // Redis writes its own command line: "redis-server 127.0.0.1:6379", one word followed by where it
        // listens.
        let program = self.command.split_whitespace().next().unwrap_or_default();
        match program.rsplit('/').next().unwrap_or_default() {
            "redis-server" | "redis-failover" | "redis-failover-trial" => true,
            "java" => self.command.contains("org.apache.zookeeper.server"),
            _ => false,
        }
    }
}

/// All processes of this machine; none where there is no `/proc`.
pub(crate) fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Process::read(&entry.path())).collect()
}

/// The servers left behind since `before`, once they have had `grace` to vanish.
pub(crate) fn wait(before: &[Process], grace: Duration) -> Vec<Process> {
    let deadline = Instant::now() + grace;
    loop {
        let left = left_behind(before, &processes());
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn left_behind(before: &[Process], now: &[Process]) -> Vec<Process> {
    let known: BTreeSet<(u32, u64)> = before.iter().map(|process| (process.pid, process.started)).collect();
    let by_pid: BTreeMap<u32, &Process> = now.iter().map(|process| (process.pid, process)).collect();
    let is_ours = |process: &&Process| {
        process.is_server() && !known.contains(&(process.pid, process.started)) && !is_held(process, &by_pid)
    };
    now.iter().filter(is_ours).cloned().collect()
}

fn is_held(process: &Process, by_pid: &BTreeMap<u32, &Process>) -> bool {
    let parent = |process: &&Process| by_pid.get(&process.parent).copied();
    // A trial takes the place of the cargo that started it.
    let is_trial =
        |process: &Process| process.command.contains("redis-failover-trial") && process.parent != 1;
    std::iter::successors(Some(process), parent)
        // In a container cargo may be process 1 itself, which adopts our orphans. The table is no snapshot,
        // so a reused pid could make a circle of it; no real chain is this long.
        .take_while(|ancestor| ancestor.pid != 1)
        .take(64)
        .any(|ancestor| ancestor.name.starts_with("cargo") || is_trial(ancestor))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn process(pid: u32, parent: u32, command: &str) -> Process {
        let name = command.split_whitespace().next().unwrap_or("dead").to_owned();
        Process { pid, parent, started: 7, name, command: command.to_owned() }
    }

    fn pids(processes: &[Process]) -> Vec<u32> {
        processes.iter().map(|process| process.pid).collect()
    }

    #[test]
    fn a_new_server_is_left_behind() {
        let before = [process(1, 0, "init"), process(10, 1, "redis-server *:6379")];
        let mut now = before.to_vec();
        now.push(process(20, 1, "/usr/bin/redis-server 127.0.0.1:7000"));
        now.push(process(21, 1, "java -Xmx128m org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg"));
        now.push(process(22, 1, "/target/debug/redis-failover run"));
        now.push(process(23, 1, "java -jar other.jar"));
        now.push(process(24, 1, "vi redis-server"));
        now.push(process(25, 1, ""));
        now.push(process(26, 1, "/target/debug/redis-failover-trial demo"));
        assert_eq!(pids(&left_behind(&before, &now)), [20, 21, 22, 26]);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let before = [process(10, 1, "redis-server *:6379")];
        let now = [Process { started: 8, ..before[0].clone() }];
        assert_eq!(pids(&left_behind(&before, &now)), [10]);
    }

    #[test]
    fn the_servers_of_another_suite_are_its_own() {
        let mut now = vec![
            process(1, 0, "init"),
            process(30, 1, "cargo-nextest run"),
            process(31, 30, "e2e"),
            process(32, 31, "redis-server *:7000"),
        ];
        assert_eq!(pids(&left_behind(&[], &now)), [0; 0]);
        now[0] = process(1, 0, "cargo xtask test");
        now[3].parent = 1;
        assert_eq!(pids(&left_behind(&[], &now)), [32], "an orphan adopted by process 1 is nobody's");
    }

    #[test]
    fn a_trial_in_another_terminal_is_its_own() {
        let now = [
            process(1, 0, "init"),
            process(40, 1, "bash"),
            process(41, 40, "/target/release/redis-failover-trial demo"),
            process(42, 41, "redis-server *:7000"),
            process(51, 1, "/target/debug/redis-failover-trial demo"),
            process(52, 51, "redis-server *:7001"),
        ];
        assert_eq!(pids(&left_behind(&[], &now)), [51, 52], "the second one's test is gone");
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 999 1";
        let process = Process::parse(42, stat, "a").unwrap();
        assert_eq!((process.parent, process.started, process.name.as_str()), (7, 12345, "a) b (c"));
    }

    #[test]
    fn a_living_process_is_seen_and_a_dead_one_is_not() {
        let mut shell = Command::new("sh");
        shell.arg0("redis-server").args(["-c", "read line"]).stdin(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let seen = || processes().into_iter().any(|process| process.pid == child.id() && process.is_server());
        assert!(seen());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!processes().iter().any(|process| process.pid == child.id() && process.is_server()));
    }
}
