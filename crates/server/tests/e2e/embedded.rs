//! A single box: one monitor that keeps the record in a file, without ZooKeeper.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use redis_failover_lab::{Connection, Process, Redis, Reply, ensure_eq, eventually, free_port};
use serde_json::Value;
use tempfile::TempDir;

use crate::sentinel::{ask, endpoint, field, fields};
use crate::world::{DEADLINE, hold_for};

/// One host with some servers, and what keeps their group going.
struct SingleBox {
    redis: Vec<Redis>,
    directory: TempDir,
}

impl SingleBox {
    fn new(nodes: usize) -> Self {
        let redis = (0..nodes).map(|_| Redis::builder().option("repl-diskless-sync-delay", "0").start());
        Self { redis: redis.collect(), directory: tempfile::tempdir().expect("a directory") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A monitor of all servers, by options.
    fn command(&self) -> Command {
        let nodes: Vec<_> = self.redis.iter().map(Redis::addr).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        command.env_clear().args(["run", "--embedded", "--state-file"]).arg(self.file("state"));
        command.args(["-r", &nodes.join(","), "--sentinel", "127.0.0.1:0"]);
        command
    }

    fn start(&self) -> Process {
        Process::spawn("the monitor", self.command(), &self.file("log"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// What the file holds of a group: the state beside its document.
    fn state(&self, group: &str) -> Result<Value, String> {
        let text = fs::read_to_string(self.file("state")).map_err(|error| error.to_string())?;
        let file: Value = serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))?;
        let state = &file["znodes"][format!("{group}/state")]["json"];
        if state.is_object() { Ok(state.clone()) } else { Err(text) }
    }

    fn epoch(&self) -> u64 {
        self.state("/mymaster").ok().and_then(|state| state["epoch"].as_u64()).unwrap_or(0)
    }

    /// Waits until the file says that one of the nodes `from` leads in `epoch`, with its present history, and the nodes
    /// `alive` are so.
    fn await_master(&self, epoch: u64, from: &[usize], alive: &[usize]) -> usize {
        eventually(DEADLINE, &format!("one of {from:?} leads in epoch {epoch}"), || {
            let state = self.state("/mymaster")?;
            ensure_eq(&state["phase"], &Value::from("steady"))?;
            ensure_eq(state["epoch"].as_u64(), Some(epoch))?;
            let master = from.iter().copied().find(|node| state["master"] == self.redis[*node].addr());
            let master = master.ok_or_else(|| state.to_string())?;
            self.is_led_by(master, alive)?;
            // Who follows takes over only with a history that the record knows.
            let history = self.redis[master].info("replication")?.remove("master_replid").unwrap_or_default();
            if state.to_string().contains(&history) { Ok(master) } else { Err(state.to_string()) }
        })
    }

    /// Waits until clients of Redis Sentinel are told that this node leads, and in which epoch.
    fn await_told(&self, monitor: &Process, master: usize, epoch: u64) {
        eventually(DEADLINE, "clients are told", || {
            let told = fields(&ask(endpoint(monitor), &["SENTINEL", "MASTER", "mymaster"])?)?;
            let (port, epoch) = (self.redis[master].port().to_string(), epoch.to_string());
            ensure_eq(field(&told, "port"), Some(port.as_str())).map(drop)?;
            ensure_eq(field(&told, "flags"), Some("master")).map(drop)?;
            ensure_eq(field(&told, "config-epoch"), Some(epoch.as_str())).map(drop)
        });
    }

    fn is_led_by(&self, master: usize, alive: &[usize]) -> Result<(), String> {
        ensure_eq(self.redis[master].role()?, "master".to_owned())?;
        for node in alive.iter().filter(|node| **node != master) {
            let said = self.redis[*node].info("replication")?;
            ensure_eq(said.get("master_port"), Some(&self.redis[master].port().to_string()))?;
            ensure_eq(said.get("master_link_status").map(String::as_str), Some("up"))?;
        }
        self.redis[master].set("written", "here")
    }

    /// The terms in which the monitors led, in their order.
    fn terms(&self) -> Vec<i64> {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("event=\"+leader\""));
        let term = |line: &str| {
            let rest = line.split("term ").nth(1)?;
            rest.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty())?.parse().ok()
        };
        lines.filter_map(term).collect()
    }
}

#[test]
fn a_single_box_survives_its_own_death_and_goes_on_in_its_epoch() {
    let mut host = SingleBox::new(3);
    let mut monitor = host.start();
    host.await_master(1, &[0], &[0, 1, 2]);
    host.redis[0].kill();
    let second = host.await_master(2, &[1, 2], &[1, 2]);
    host.await_told(&monitor, second, 2);

    // The file is this process's alone.
    let other = host.command().output().expect("the program runs");
    let told = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(other.status.code(), Some(1), "{told}");
    assert!(told.contains("is in use by another process"), "{told}");

    monitor.kill();
    let before = host.state("/mymaster").expect("it was written");
    let mut monitor = host.start();
    host.await_told(&monitor, second, 2);
    // It looks after the group again: who comes back is told to follow.
    host.redis[0].restart();
    host.await_master(2, &[second], &[0, 1, 2]);
    let after = host.state("/mymaster").expect("it is there");
    for key in ["epoch", "master", "monitors", "lineages"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    host.redis[second].kill();
    let others: Vec<_> = (0..3).filter(|node| *node != second).collect();
    let third = host.await_master(3, &others, &others);
    host.await_told(&monitor, third, 3);
    // Who operates it has Sentinel's words for it.
    eventually(DEADLINE, "it is asked once the other one is published as OK", || {
        let told = ask(endpoint(&monitor), &["SENTINEL", "FAILOVER", "mymaster"])?;
        ensure_eq(told, Reply::Simple("OK".into()))
    });
    let fourth: Vec<_> = others.iter().copied().filter(|node| *node != third).collect();
    let fourth = host.await_master(4, &fourth, &others);
    host.await_told(&monitor, fourth, 4);

    let terms = host.terms();
    assert!(terms.len() >= 2 && terms.is_sorted_by(|a, b| a < b), "{terms:?} in\n{}", host.log());
    let text = fs::read_to_string(host.file("state")).expect("it is there");
    for epoch in 1..=4 {
        assert!(text.contains(&format!("\"/mymaster/history/{epoch:010}\"")), "{text}");
    }
    monitor.terminate();
    assert!(monitor.wait_exit(DEADLINE).success());
}

#[test]
fn a_single_box_that_dies_with_its_master_or_in_the_middle_of_a_change_finishes_it() {
    let mut host = SingleBox::new(3);
    let mut monitor = host.start();
    host.await_master(1, &[0], &[0, 1, 2]);
    // Together with the master.
    host.redis[0].kill();
    monitor.kill();
    let mut monitor = host.start();
    let second = host.await_master(2, &[1, 2], &[1, 2]);
    host.redis[0].restart();
    host.await_master(2, &[second], &[0, 1, 2]);
    // As soon as the next epoch stands in the file.
    host.redis[second].kill();
    eventually(DEADLINE, "an epoch is opened", || if host.epoch() > 2 { Ok(()) } else { Err("not yet") });
    monitor.kill();
    let begun = host.epoch();
    let _monitor = host.start();
    let others: Vec<_> = (0..3).filter(|node| *node != second).collect();
    let last = eventually(DEADLINE, "it is finished", || {
        let state = host.state("/mymaster")?;
        ensure_eq(&state["phase"], &Value::from("steady"))?;
        let master = others.iter().copied().find(|node| state["master"] == host.redis[*node].addr());
        let master = master.ok_or_else(|| state.to_string())?;
        host.is_led_by(master, &others).map(|()| master)
    });
    assert!((begun..=begun + 1).contains(&host.epoch()), "{} after {begun}", host.epoch());
    let masters = others.iter().filter(|node| host.redis[**node].role().as_deref() == Ok("master"));
    assert_eq!(masters.collect::<Vec<_>>(), [&last]);
}

#[test]
fn a_state_file_that_cannot_be_written_changes_no_master_until_it_can() {
    let mut host = SingleBox::new(2);
    let _monitor = host.start();
    host.await_master(1, &[0], &[0, 1]);
    // In the way of every writing, once none is under way; a full disk is played by the store's own tests.
    eventually(DEADLINE, "a directory is in the way", || fs::create_dir(host.file("state.new")));
    let before = fs::read_to_string(host.file("state")).expect("it is there");
    host.redis[0].kill();
    eventually(DEADLINE, "it is said", || {
        let log = host.log();
        let told = log.lines().any(|line| line.contains("not written: the state file"));
        if told { Ok(()) } else { Err(log) }
    });
    hold_for(Duration::from_secs(1), "nobody is promoted", || {
        ensure_eq(host.redis[1].role()?, "slave".to_owned())
    });
    assert_eq!(fs::read_to_string(host.file("state")).expect("it is there"), before);
    let lines = host.log().lines().filter(|line| line.contains("not written: the state file")).count();
    assert!(lines < 100, "{lines} lines in a second or two");
    fs::remove_dir(host.file("state.new")).expect("it is there");
    host.await_master(2, &[1], &[1]);
}

#[test]
fn many_groups_share_a_state_file_and_come_and_go_with_the_configuration() {
    let host = SingleBox::new(4);
    let main = "embedded = true\nstate_file = \"state\"\n[defaults]\ndown_after = \"500ms\"\n";
    let said = |name: &str, nodes: &[usize]| {
        let nodes: Vec<_> = nodes.iter().map(|node| format!("{:?}", host.redis[*node].addr())).collect();
        format!("[[group]]\npath = \"/{name}\"\nredishosts = [{}]\n", nodes.join(", "))
    };
    let write = |text: &str| fs::write(host.file("monitor.toml"), text).expect("it is written");
    write(&(main.to_owned() + &said("one", &[0, 1])));
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    command.env_clear().args(["run", "--config"]).arg(host.file("monitor.toml"));
    let mut monitor = Process::spawn("the monitor", command, &host.file("log"));
    let leads = |name: &str, master: usize, replica: usize| {
        eventually(DEADLINE, &format!("/{name} is led"), || {
            let state = host.state(&format!("/{name}"))?;
            ensure_eq(&state["master"], &Value::from(host.redis[master].addr()))?;
            host.is_led_by(master, &[replica])
        });
    };
    let says = |text: &str, count: usize| {
        eventually(DEADLINE, text, || {
            let log = host.log();
            if log.matches(text).count() >= count { Ok(()) } else { Err(log) }
        });
    };
    leads("one", 0, 1);
    write(&(main.to_owned() + &said("one", &[0, 1]) + &said("two", &[2, 3])));
    monitor.hang_up();
    leads("two", 2, 3);
    // Where the records are is not changed while it runs.
    write(&(main.replace("\"state\"", "\"other\"") + &said("one", &[0, 1])));
    monitor.hang_up();
    says("`embedded` and `state_file` are read at the start only", 1);
    assert!(!host.file("other").exists());
    // What a group leaves behind is in the file, and is enough to go on.
    write(&(main.to_owned() + &said("two", &[2, 3])));
    monitor.hang_up();
    says("this process monitors /one no longer", 1);
    leads("two", 2, 3);
    assert_eq!(host.state("/one").expect("its record stays")["epoch"], 1);
    monitor.terminate();
    assert!(monitor.wait_exit(DEADLINE).success());
}

#[test]
fn callers_share_the_descriptors_that_the_monitor_may_have_and_not_those_that_it_begins_with() {
    let host = SingleBox::new(0);
    let (own, nobody) = (free_port(), free_port());
    let mut command = Command::new("/bin/sh");
    let (program, state) = (env!("CARGO_BIN_EXE_redis-failover"), host.file("state"));
    // A quarter of these would be 16.
    command.args(["-c", "ulimit -Sn 64; exec \"$@\"", "sh", program, "run", "--embedded", "--state-file"]);
    command.arg(state).args(["-r", &format!("127.0.0.1:{nobody}"), "--listen", &format!("127.0.0.1:{own}")]);
    let _monitor = Process::spawn("the monitor", command, &host.file("log"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, own));
    let call = || {
        let mut caller = Connection::open(address)?;
        caller.command(&["PING"]).map(|answer| (caller, answer))
    };
    let mut callers = vec![eventually(DEADLINE, "it answers", call)];
    callers.extend((0..32).map(|_| call().expect("it answers everybody")));
    let answers =
        callers.iter().filter(|(_, answer)| matches!(answer, Reply::Simple(it) if it.starts_with("PONG ")));
    assert_eq!(answers.count(), 33);
}
