//! The recipes of docs/operating.md, each as it stands there, while a client writes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use redis_failover_lab::{Flavour, Process, Redis, ensure_eq, eventually, free_port};

use crate::operator::{assert_says, operator};
use crate::recovery::{in_status, recovers};
use crate::world::{DEADLINE, Group, Servers};
use crate::writer::{LOST_AT_MOST, Writer, assert_sound};

/// Asserts that the writer, which has written more since, lost nothing and knows of each write what became of it.
fn assert_unnoticed(writer: Writer, master: &Redis) {
    writer.write_more();
    let balance = writer.finish(master);
    assert_eq!((balance.lost, balance.unknown), (0, 0), "{balance:?}");
    assert!(balance.acknowledged > 2_000, "{balance:?}");
}

/// Starts a monitor by a file of its own, in a directory that stands for its machine, once that file was checked.
fn deploy_monitor(servers: &Servers, group: &Group, id: &str, password_file: &str) -> Process {
    let nodes: Vec<_> = (0..3).map(|node| format!("{:?}", group.address(node))).collect();
    let text = format!(
        r#"
id = "{id}"
listen = "127.0.0.1:{}"

[defaults]
zkhosts = "{}"
session_timeout = "2s"
redis_password_file = "{password_file}"

[[group]]
path = "{}"
redishosts = [{}]
"#,
        free_port(),
        servers.zookeeper.connect_string(),
        group.path,
        nodes.join(", ")
    );
    let machine = servers.file(id);
    fs::create_dir(&machine).expect("a directory");
    let file = machine.join("monitor.toml");
    fs::write(&file, text).expect("it is written");
    let program = |command: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        program.args([command, "--config"]).arg(&file);
        program
    };
    let checked = program("check-config").output().expect("the program runs");
    assert_says(&checked, 0, &[]);
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "", "nothing to warn of");
    Process::spawn(&format!("monitor {id}"), program("run"), &machine.join("log"))
}

#[test]
fn a_group_is_deployed() {
    const PASSWORD: &str = "correct-horse-battery";
    let servers = Servers::ensemble();
    let redis = || Redis::builder().password(PASSWORD).option("save", "3600 1");
    let master = redis().start();
    let replicas = [(); 2].map(|()| redis().replica_of(&master).start());
    let mut group = Group::of("/redis/deployed", std::iter::once(master).chain(replicas).collect());
    group.password = Some(PASSWORD);
    let password_file = servers.file("redis.password");
    fs::write(&password_file, PASSWORD).expect("it is written");
    fs::set_permissions(&password_file, Permissions::from_mode(0o600)).expect("it is ours");
    let password_file = password_file.to_string_lossy();
    for id in ["m1", "m2", "m3"] {
        let monitor = deploy_monitor(&servers, &group, id, &password_file);
        group.monitors.insert(id.to_owned(), monitor);
    }
    group.await_steady(&servers, 0);
    let all_is_well = |group: &Group| {
        eventually(DEADLINE, "status shows three monitors and no trouble", || {
            let status = group.status(&servers)?;
            ensure_eq(status["troubles"].as_array().map(Vec::len), Some(0))?;
            let live = status["monitors"].as_array().into_iter().flatten().filter(|it| it["live"] == true);
            ensure_eq(live.count(), 3)
        });
        // Notes may be left: these servers are all on one machine.
        let doctor = ["doctor", "--redis-password-file", &password_file];
        assert_says(&operator(&servers, group, &doctor), 0, &["found    0 errors, 0 warnings"]);
    };
    all_is_well(&group);

    let writer = Writer::start(&servers, &group, "switched");
    assert_says(&operator(&servers, &group, &["switchover", "--yes"]), 0, &["done"]);
    let second = group.await_successor(&servers, 0);
    group.await_steady(&servers, second);
    assert_unnoticed(writer, &group.redis[second]);

    let writer = Writer::start(&servers, &group, "killed");
    group.redis[second].kill();
    let third = group.await_successor(&servers, second);
    writer.write_more();
    group.redis[second].restart();
    group.await_steady(&servers, third);
    assert_sound(&writer.finish(&group.redis[third]), 1, LOST_AT_MOST);
    all_is_well(&group);
}

#[test]
fn monitors_are_upgraded_one_after_the_other() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/upgrade-monitors");
    let writer = Writer::start(&servers, &group, "monitors");
    let leader = group.leader(&servers);
    let mut ids: Vec<_> = group.monitors.keys().cloned().collect();
    // The leader comes last: the lead moves once.
    ids.sort_by_key(|id| *id == leader);
    for id in ids {
        let mut old = group.monitors.remove(&id).expect("it runs");
        old.terminate();
        assert!(old.wait_exit(DEADLINE).success());
        group.start_monitor(&servers, &id);
        eventually(DEADLINE, "it is there again, and somebody leads", || {
            let status = group.status(&servers)?;
            ensure_eq(status["troubles"].as_array().map(Vec::len), Some(0))?;
            let all = status["monitors"].as_array().cloned().unwrap_or_default();
            ensure_eq(all.iter().all(|monitor| monitor["live"] == true), true).map(drop)
        });
    }
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    assert_unnoticed(writer, &group.redis[0]);
}

#[test]
fn redis_is_upgraded_node_by_node() {
    let servers = Servers::start();
    let redis = || {
        let redis = Redis::builder().flavour(Flavour::Redis62).option("appendonly", "yes");
        redis.option("repl-diskless-sync-delay", "0").start()
    };
    let mut group = Group::of("/redis/upgrade-redis", (0..3).map(|_| redis()).collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let writer = Writer::start(&servers, &group, "redis");
    for replica in [1, 2] {
        let address = group.address(replica);
        assert_says(&operator(&servers, &group, &["node", "drain", &address]), 0, &["done"]);
        group.redis[replica].upgrade(Flavour::Installed);
        assert_says(&operator(&servers, &group, &["node", "drain", "--undo", &address]), 0, &["done"]);
        group.await_steady(&servers, 0);
    }
    assert_says(&operator(&servers, &group, &["switchover", "--yes"]), 0, &["done"]);
    let master = group.await_successor(&servers, 0);
    group.await_steady(&servers, master);
    group.redis[0].upgrade(Flavour::Installed);
    group.await_steady(&servers, master);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
    assert_unnoticed(writer, &group.redis[master]);
}

#[test]
fn a_group_moves_here_from_the_python_predecessor() {
    let servers = Servers::start();
    let predecessor = servers.predecessor_in_the_lead();
    let redis: Vec<_> =
        (0..3).map(|_| Redis::builder().option("repl-diskless-sync-delay", "0").start()).collect();
    for replica in &redis[1..] {
        let (host, port) = (redis[0].addr(), redis[0].port().to_string());
        let host = host.split(':').next().expect("a host");
        replica.command(&["REPLICAOF", host, &port]).expect("it obeys");
    }
    let mut group = Group::of("/redis/move", redis);
    let [first, second, third] = [0, 1, 2].map(|index| group.address(index));
    let slaves = format!(r#"{{"0":["{second}","OK"],"1":["{third}","OK"]}}"#);
    servers.put("/redis/move", &format!(r#"{{"master":["{first}","OK"],"slaves":{slaves}}}"#));
    let writer = Writer::start(&servers, &group, "move");
    writer.write_more();
    recovers(in_status(&servers), &mut group, &["predecessor-document"], |group| {
        group.start_monitors(&servers);
        eventually(DEADLINE, "they wait for it to end", || {
            ensure_eq(group.logged("/ZktoolsLocks/redis_monitor_lock/lock") >= 3, true).map(drop)
        });
        writer.write_more();
        predecessor.terminate();
    });
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 0, "its document is taken over as it is");
    let doctor = operator(&servers, &group, &["doctor"]);
    assert!([Some(0), Some(4)].contains(&doctor.status.code()), "{doctor:?}");
    assert_unnoticed(writer, &group.redis[0]);
}

#[test]
fn a_node_and_be_it_the_master_moves_to_another_machine() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/move-node");
    let writer = Writer::start(&servers, &group, "moved");
    let (first, new) = (group.address(0), Redis::builder().option("repl-diskless-sync-delay", "0").start());
    let there = new.addr();
    assert_says(&operator(&servers, &group, &["node", "add", &there]), 0, &["done"]);
    group.redis.push(new);
    group.await_steady(&servers, 0);
    assert_says(&operator(&servers, &group, &["switchover", "--to", &there, "--yes"]), 0, &["done"]);
    group.await_steady(&servers, 3);
    group.redis[0].kill();
    eventually(DEADLINE, "the old master is struck out", || {
        let removed = operator(&servers, &group, &["node", "remove", &first, "--yes"]);
        ensure_eq(removed.status.code(), Some(0)).map(drop)
    });
    drop(group.redis.remove(0));
    group.await_steady(&servers, 2);
    assert_unnoticed(writer, &group.redis[2]);
}
