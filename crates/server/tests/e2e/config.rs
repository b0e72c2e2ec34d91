//! Monitors that run by a configuration file: many groups in one process, and changes while it runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use redis_failover_lab::{Process, Redis, ensure_eq, eventually};

use crate::fences::{await_number, number};
use crate::world::{DEADLINE, Group, Servers, hold_for};

/// Three processes that share a configuration.
struct Monitors<'a> {
    servers: &'a Servers,
    processes: BTreeMap<&'static str, Process>,
}

impl<'a> Monitors<'a> {
    /// None yet; the main file says what all groups share, and `more`.
    fn new(servers: &'a Servers, more: &str) -> Self {
        let monitors = Self { servers, processes: BTreeMap::new() };
        let zookeeper = servers.zookeeper.connect_string();
        let defaults = format!("[defaults]\nzkhosts = \"{zookeeper}\"\nsession_timeout = \"2s\"\n");
        monitors.write("monitor.toml", &(defaults + more));
        monitors
    }

    fn file(&self, name: &str) -> PathBuf {
        self.servers.file("etc").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.file(name);
        fs::create_dir_all(file.parent().expect("it is in a directory")).expect("a directory");
        fs::write(file, text).expect("it is written");
    }

    fn start(&mut self, id: &'static str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        command.args(["run", "--id", id, "--config"]).arg(self.file("monitor.toml"));
        let process =
            Process::spawn(&format!("monitor {id}"), command, &self.servers.file(&format!("{id}.log")));
        self.processes.insert(id, process);
    }

    fn hang_up(&self) {
        self.processes.values().for_each(Process::hang_up);
    }

    /// Waits until `count` lines of all logs together have all of `texts`.
    fn await_lines(&self, count: usize, texts: &[&str]) {
        eventually(DEADLINE, &format!("it is said: {texts:?}"), || ensure_eq(self.lines(texts), count));
    }

    fn lines(&self, texts: &[&str]) -> usize {
        let logs = self.processes.values().map(|it| fs::read_to_string(it.log()).unwrap_or_default());
        let has_all = |line: &&str| texts.iter().all(|text| line.contains(text));
        logs.map(|log| log.lines().filter(has_all).count()).sum()
    }
}

/// A group of a master and a replica, without monitors of its own, and how a file says it.
fn group(path: &str) -> (Group, String) {
    let redis = (0..2).map(|_| Redis::builder().option("repl-diskless-sync-delay", "0").start()).collect();
    let group = Group::of(path, redis);
    let nodes: Vec<_> = group.redis.iter().map(|redis| format!("{:?}", redis.addr())).collect();
    let said = format!("[[group]]\npath = \"{path}\"\nredishosts = [{}]\n", nodes.join(", "));
    (group, said)
}

/// How many sessions all servers have together.
fn sessions(servers: &Servers) -> Result<usize, String> {
    let mut sum = 0;
    for server in 0..3 {
        let text = servers.zookeeper.four_letter(server, "srvr")?;
        let count = text.lines().find_map(|line| line.strip_prefix("Connections: ")?.parse::<usize>().ok());
        // The question itself comes by one.
        sum += count.ok_or(text)? - 1;
    }
    Ok(sum)
}

#[test]
fn many_groups_in_one_process_come_and_go_without_touching_each_other() {
    let servers = Servers::ensemble();
    let (mut a, a_said) = group("/redis/a");
    let (b, b_said) = group("/redis/b");
    let (c, c_said) = group("/redis/c");
    let (_foreign, foreign_said) = group("/redis/foreign");
    servers.put("/redis/foreign", "not ours");
    let mut monitors = Monitors::new(&servers, &a_said);
    monitors.write("conf.d/b.toml", &b_said);
    monitors.write("conf.d/foreign.toml", &foreign_said);
    for id in ["m1", "m2", "m3"] {
        monitors.start(id);
    }
    a.await_steady(&servers, 0);
    b.await_steady(&servers, 0);
    // What stands in the way of one group is said, and is no reason to give up the others.
    monitors.await_lines(3, &["event=\"unreadable\"", "/redis/foreign", "not ours"]);
    assert_eq!(servers.get("/redis/foreign"), "not ours");
    eventually(DEADLINE, "each process has one session", || ensure_eq(sessions(&servers)?, 3));

    a.redis[0].kill();
    assert_eq!(a.await_successor(&servers, 0), 1);
    a.redis[0].restart();
    a.await_steady(&servers, 1);
    assert_eq!(b.status(&servers).expect("a status")["epoch"], 1);

    // A mistake anywhere changes nothing.
    let leaders = || [&a, &b].map(|group| group.status(&servers).expect("a status")["leader"].clone());
    let before = leaders();
    monitors.write("conf.d/b.toml", &b_said.replace("path", "paht"));
    monitors.write("conf.d/c.toml", &c_said);
    monitors.hang_up();
    monitors.await_lines(3, &["event=\"reload-failed\"", "conf.d/b.toml:2: ", "`paht`", "`path`"]);
    assert_eq!(leaders(), before);
    let error = c.status(&servers).expect_err("nobody looks after it yet");
    assert!(error.contains("nothing is published"), "{error}");

    // One comes and one goes, and the third is led by the same in the same term.
    fs::remove_file(monitors.file("conf.d/b.toml")).expect("it is there");
    monitors.hang_up();
    c.await_steady(&servers, 0);
    monitors.await_lines(3, &["event=\"removed\"", "group=b", "repl-backlog-ttl"]);
    eventually(DEADLINE, "nobody leads the removed group, or votes in it", || {
        let status = b.status(&servers)?;
        ensure_eq(&status["leader"], &serde_json::Value::Null)?;
        let live = status["monitors"].as_array().ok_or("no monitors")?.iter().filter(|it| it["live"] == true);
        ensure_eq(live.count(), 0)
    });
    assert_eq!(leaders()[0], before[0]);
    assert_eq!(b.status(&servers).expect("a status")["monitors"].as_array().map(Vec::len), Some(3));
    assert_eq!(b.redis[1].role().expect("it answers"), "slave");
    eventually(DEADLINE, "each process still has one session", || ensure_eq(sessions(&servers)?, 3));

    // What was left behind is enough to go on.
    monitors.write("conf.d/b.toml", &b_said);
    monitors.hang_up();
    b.leader(&servers);
    b.await_steady(&servers, 0);
    assert_eq!(b.status(&servers).expect("a status")["epoch"], 1);
    for process in monitors.processes.values_mut() {
        process.terminate();
        assert!(process.wait_exit(DEADLINE).success());
    }
}

#[test]
fn a_policy_that_differs_from_the_record_is_said_once_for_each_difference_and_the_record_counts() {
    let servers = Servers::start();
    let (mut one, said) = group("/redis/policy");
    let mut monitors = Monitors::new(&servers, &said);
    monitors.start("m1");
    monitors.start("m2");
    one.await_steady(&servers, 0);
    let state = servers.get("/redis/policy/state");
    assert!(state.contains(r#""down_after_ms":1000"#), "{state}");
    monitors.write("conf.d/empty.toml", "");
    let differs = |key: &str| ["event=\"policy-differs\"".to_owned(), format!("key=\"{key}\"")];
    let lines = |monitors: &Monitors, key: &str| {
        let texts = differs(key);
        monitors.lines(&[&texts[0], &texts[1]])
    };
    assert_eq!(monitors.lines(&["policy-differs"]), 0);

    // A third one with other wishes.
    let main = fs::read_to_string(monitors.file("monitor.toml")).expect("it is there");
    monitors.write("monitor.toml", &format!("{main}down_after = \"7s\"\n"));
    monitors.start("m3");
    monitors.await_lines(1, &["policy-differs", "key=\"down_after\"", "7s", "1s", "the group's record"]);

    // The others hear of it when they are told to read again; the third has said it.
    monitors.hang_up();
    monitors.await_lines(3, &["was read again"]);
    monitors.await_lines(3, &["policy-differs", "key=\"down_after\""]);
    monitors.write("monitor.toml", &format!("{main}down_after = \"7s\"\nrefusal_waits = true\n"));
    monitors.hang_up();
    monitors.await_lines(3, &["policy-differs", "key=\"refusal_waits\"", "true", "false"]);
    let said = lines(&monitors, "down_after");
    monitors.hang_up();
    monitors.await_lines(9, &["was read again"]);

    one.redis[0].kill();
    assert_eq!(one.await_successor(&servers, 0), 1, "refused counts at once, as the record says");
    assert_eq!(lines(&monitors, "down_after"), said);
    assert!(servers.get("/redis/policy/state").contains(r#""down_after_ms":1000"#));
}

/// Whether the record says that the group's master is fenced.
fn is_fenced(servers: &Servers, group: &Group) -> bool {
    servers.get(&format!("{}/state", group.path)).contains(r#""fenced":true"#)
}

/// Waits until nobody votes or leads in the group any more.
fn await_left(servers: &Servers, group: &Group) {
    eventually(DEADLINE, "nobody looks after the group", || {
        let status = group.status(servers)?;
        ensure_eq(&status["leader"], &serde_json::Value::Null)?;
        let live = status["monitors"].as_array().ok_or("no monitors")?.iter().filter(|it| it["live"] == true);
        ensure_eq(live.count(), 0)
    });
}

#[test]
fn a_group_that_its_only_monitor_gives_up_gets_its_number_back_unless_its_master_hangs() {
    let servers = Servers::start();
    let (kept, kept_said) = group("/redis/kept");
    let (one, said) = group("/redis/only");
    let mut monitors = Monitors::new(&servers, &kept_said);
    monitors.write("conf.d/only.toml", &said);
    monitors.start("m1");
    one.await_steady(&servers, 0);
    await_number(&one, 0, "1");
    await_number(&kept, 0, "1");

    fs::remove_file(monitors.file("conf.d/only.toml")).expect("it is there");
    monitors.hang_up();
    await_number(&one, 0, "0");
    monitors.await_lines(1, &["event=\"unfenced\"", "group=only", &one.address(0)]);
    await_left(&servers, &one);
    assert!(!is_fenced(&servers, &one));
    await_number(&kept, 0, "1");

    // Taken up again it is fenced again, by the same record.
    monitors.write("conf.d/only.toml", &said);
    monitors.hang_up();
    await_number(&one, 0, "1");
    assert!(is_fenced(&servers, &one));
    assert_eq!(one.status(&servers).expect("a status")["epoch"], 1);

    // Nobody waits for a master that hangs, and what is left on it is said.
    one.redis[0].stop();
    fs::remove_file(monitors.file("conf.d/only.toml")).expect("it is there");
    monitors.hang_up();
    monitors.await_lines(1, &["event=\"fence-left\"", "group=only", &one.address(0), "within 5 s"]);
    await_left(&servers, &one);
    one.redis[0].cont();
    hold_for(Duration::from_secs(1), "nobody commands it any more", || {
        ensure_eq(number(&one.redis[0])?, "Some(Bulk(\"1\"))".to_owned())
    });

    // To end is not to leave.
    for process in monitors.processes.values_mut() {
        process.terminate();
        assert!(process.wait_exit(DEADLINE).success());
    }
    await_number(&kept, 0, "1");
    assert!(is_fenced(&servers, &kept));
}

#[test]
fn of_several_monitors_the_last_that_gives_a_group_up_gives_the_number_back() {
    let servers = Servers::start();
    let (_kept, kept_said) = group("/redis/kept");
    let (shared, said) = group("/redis/shared");
    let mut monitors = Monitors::new(&servers, &kept_said);
    monitors.write("conf.d/shared.toml", &said);
    for id in ["m1", "m2", "m3"] {
        monitors.start(id);
    }
    shared.await_steady(&servers, 0);
    await_number(&shared, 0, "1");

    // The leader alone: the others go on.
    let leader = shared.leader(&servers);
    fs::remove_file(monitors.file("conf.d/shared.toml")).expect("it is there");
    monitors.processes[leader.as_str()].hang_up();
    monitors.await_lines(1, &["event=\"left\"", "group=shared", "stays fenced"]);
    assert_ne!(shared.leader(&servers), leader);
    hold_for(Duration::from_secs(1), "it stays fenced", || {
        ensure_eq(number(&shared.redis[0])?, "Some(Bulk(\"1\"))".to_owned())
    });
    // And then the other two at once.
    monitors.hang_up();
    await_number(&shared, 0, "0");
    await_left(&servers, &shared);
    assert!(!is_fenced(&servers, &shared));

    // All three at once, whoever leads.
    for _ in 0..3 {
        monitors.write("conf.d/shared.toml", &said);
        monitors.hang_up();
        await_number(&shared, 0, "1");
        eventually(DEADLINE, "all three look after it", || {
            let status = shared.status(&servers)?;
            let live = status["monitors"].as_array().ok_or("none")?.iter().filter(|it| it["live"] == true);
            ensure_eq(live.count(), 3)
        });
        fs::remove_file(monitors.file("conf.d/shared.toml")).expect("it is there");
        monitors.hang_up();
        await_number(&shared, 0, "0");
        await_left(&servers, &shared);
        assert!(!is_fenced(&servers, &shared));
    }
    assert_eq!(shared.status(&servers).expect("a status")["epoch"], 1);
    assert_eq!(monitors.lines(&["fence-left"]), 0);
    assert_eq!(monitors.lines(&["step-failed"]), 0);
}

#[test]
fn groups_at_the_same_path_of_two_ensembles_do_not_stand_for_each_other_nor_wait_for_each_other() {
    let (servers, mut others) = (Servers::start(), Servers::start());
    let (east, east_said) = group("/redis/twin");
    let (west, west_said) = group("/redis/twin");
    let (fresh, fresh_said) = group("/redis/fresh");
    let mut monitors = Monitors::new(&servers, "");
    let elsewhere = format!("name = \"west\"\nzkhosts = \"{}\"\n", others.zookeeper.connect_string());
    monitors.write("conf.d/1-east.toml", &(east_said + "name = \"east\"\n"));
    monitors.write("conf.d/2-west.toml", &(west_said.clone() + &elsewhere));
    monitors.start("m1");
    east.await_steady(&servers, 0);
    west.await_steady(&others, 0);
    await_number(&east, 0, "1");

    fs::remove_file(monitors.file("conf.d/1-east.toml")).expect("it is there");
    monitors.hang_up();
    monitors.await_lines(1, &["event=\"removed\"", "group=east"]);
    await_number(&east, 0, "0");
    await_left(&servers, &east);
    await_number(&west, 0, "1");

    // One whose ZooKeeper is away takes seconds to end; who comes new is begun meanwhile, wherever it stands.
    others.zookeeper.server(0).stop();
    monitors.write("conf.d/2-west.toml", &(west_said.clone() + &elsewhere + "sleeptime = 31\n"));
    monitors.write("conf.d/3-fresh.toml", &fresh_said);
    monitors.hang_up();
    fresh.await_steady(&servers, 0);
    monitors.await_lines(2, &["event=\"start\"", "group=west"]);
    let log = fs::read_to_string(monitors.processes["m1"].log()).expect("a log");
    let starts: Vec<_> = log.lines().filter(|line| line.contains("event=\"start\" group=")).collect();
    assert!(starts.last().expect("some").contains("group=west"), "{starts:?}");
    others.zookeeper.server(0).cont();
    west.await_steady(&others, 0);
}
