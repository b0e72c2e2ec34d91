//! Somebody dies in each step of a failover, at the very moment at which that step's command is on its way.

use std::time::{Duration, Instant};

use redis_failover_lab::{Redis, ensure_eq, eventually};
use serde_json::Value;

use crate::history::assert_each_epoch_told_once;
use crate::trap::{Relay, Trap};
use crate::world::{DEADLINE, Group, Servers, hold_for};
use crate::writer::Writer;
use crate::writer::assert_sound;

/// A step of a failover.
struct Step {
    name: &'static str,
    /// Words that only its command has.
    words: &'static str,
    /// The epoch in which the failover ends when that command is lost with the leader.
    lost: u64,
    /// The same when it arrives though the leader is dead.
    arrived: u64,
}

/// Epoch 2 is the first attempt. It is given up when its choice was recorded and not carried out, and only then.
const STEPS: [Step; 6] = [
    Step { name: "freeze", words: "REPLICAOF\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n", lost: 2, arrived: 2 },
    Step { name: "open-epoch", words: r#""epoch":2,"phase":"failing_over""#, lost: 2, arrived: 3 },
    Step { name: "promote", words: "REPLICAOF\r\n$2\r\nNO\r\n", lost: 3, arrived: 2 },
    Step { name: "publish", words: r#""epoch":2,"phase":"steady""#, lost: 2, arrived: 2 },
    Step { name: "open", words: "min-replicas-to-write\r\n$1\r\n0\r\n", lost: 2, arrived: 2 },
    Step { name: "follow", words: "REPLICAOF\r\n$9\r\n127.0.0.1\r\n$5\r\n", lost: 2, arrived: 2 },
];

#[test]
fn the_leader_dies_in_each_step_and_its_command_with_it() {
    in_each_step(false);
}

#[test]
fn the_leader_dies_in_each_step_and_its_command_arrives() {
    in_each_step(true);
}

#[test]
fn the_leader_stands_still_in_each_step_and_its_command_arrives_after_the_next_leaders() {
    in_turns(leader_is_late);
}

fn in_each_step(arrives: bool) {
    in_turns(|servers, step| leader_dies(servers, step, arrives));
}

fn in_turns(test: impl Fn(&Servers, &Step) + Sync) {
    let servers = Servers::start();
    // Two at a time: a monitor that gets no time may lose the lead before its turn has come.
    for steps in STEPS.chunks(2) {
        std::thread::scope(|scope| {
            for step in steps {
                let (servers, test) = (&servers, &test);
                scope.spawn(move || test(servers, step));
            }
        });
    }
}

/// What is held up arrives when the next leader has finished; then the old one wakes. Neither changes anything.
fn leader_is_late(servers: &Servers, step: &Step) {
    let trap = Trap::default();
    let mut group = group_behind(servers, &format!("/redis/{}-late", step.name), &trap);
    trap.arm(step.words);
    group.redis[0].kill();
    trap.caught();
    group.monitors["m1"].stop();
    let master = group.await_successor(servers, 0);
    group.redis[0].restart();
    group.await_steady(servers, master);
    eventually(DEADLINE, "its fence stands, too", || {
        let number = group.redis[master].command(&["CONFIG", "GET", "min-replicas-to-write"])?;
        let number = number.into_result()?;
        if format!("{number:?}").contains("\"1\"") { Ok(()) } else { Err(format!("{number:?}")) }
    });
    let settled = standing(&group, servers).expect("all answer");
    let unchanged = || ensure_eq(standing(&group, servers)?, settled.clone());
    trap.release();
    hold_for(Duration::from_secs(1), "what arrives late changes nothing", unchanged);
    group.monitors["m1"].cont();
    eventually(DEADLINE, "the old leader is back", || {
        let status = group.status(servers)?;
        if status["nodes"][0]["votes"]["m1"].is_null() { Err(status.to_string()) } else { Ok(()) }
    });
    hold_for(Duration::from_secs(1), "who wakes changes nothing", unchanged);
}

/// The epoch, and all that a command could have changed on the nodes.
fn standing(group: &Group, servers: &Servers) -> Result<(Value, Vec<Vec<String>>), String> {
    let node = |redis: &Redis| {
        let (replication, server) = (redis.info("replication")?, redis.info("server")?);
        let number = redis.connect()?.command(&["CONFIG", "GET", "min-replicas-to-write"])?;
        let told = ["role", "master_host", "master_port", "master_link_status", "master_replid"];
        let told = told.map(|field| replication.get(field).cloned().unwrap_or_default());
        Ok([told.as_slice(), &[server["run_id"].clone(), format!("{number:?}")]].concat())
    };
    let nodes = group.redis.iter().map(node).collect::<Result<_, String>>()?;
    Ok((group.status(servers)?["epoch"].clone(), nodes))
}

fn leader_dies(servers: &Servers, step: &Step, arrives: bool) {
    let trap = Trap::default();
    let mut group = group_behind(servers, &format!("/redis/{}-{arrives}", step.name), &trap);
    let writer = Writer::start(servers, &group, step.name);
    writer.pause();
    group.await_caught_up(0);
    trap.arm(step.words);
    group.redis[0].kill();
    trap.caught();
    group.monitors.get_mut("m1").expect("it leads").kill();
    if arrives {
        trap.release();
    } else {
        trap.lose();
    }
    writer.resume();
    let master = group.await_successor(servers, 0);
    writer.write_more();
    group.start_monitor(servers, "m1");
    group.redis[0].restart();
    group.await_steady(servers, master);
    let epoch = if arrives { step.arrived } else { step.lost };
    assert_eq!(group.status(servers).expect("a status")["epoch"], epoch, "{}", step.name);
    assert_each_epoch_told_once(servers, &group);
    assert_sound(&writer.finish(&group.redis[master]), 1, 0);
}

/// A group whose nodes are called through relays, led by m1, which calls ZooKeeper through one, too; `trap` is on all.
pub(crate) fn group_behind(servers: &Servers, path: &str, trap: &Trap) -> Group {
    let mut group = Group::fresh(path);
    group.relays = group.redis.iter().map(|redis| Relay::start(redis.addr(), trap)).collect();
    let zookeeper = servers.zookeeper.connect_string();
    let first = zookeeper.split(',').next().expect("a server");
    let relay = Relay::start(first.to_owned(), trap);
    group.start_monitor_at(&relay.address(), "m1");
    group.relays.push(relay);
    assert_eq!(group.leader(servers), "m1");
    group.start_monitor(servers, "m2");
    group.start_monitor(servers, "m3");
    group.await_steady(servers, 0);
    eventually(DEADLINE, "all three monitors are registered", || {
        let status = group.status(servers)?;
        ensure_eq(status["monitors"].as_array().map(Vec::len), Some(3))
    });
    group
}

#[test]
fn a_candidate_that_dies_at_its_promotion_is_given_up_for_the_other_one() {
    let servers = Servers::start();
    let trap = Trap::default();
    let mut group = group_behind(&servers, "/redis/candidate", &trap);
    let writer = Writer::start(&servers, &group, "candidate");
    writer.pause();
    group.await_caught_up(0);
    trap.arm("REPLICAOF\r\n$2\r\nNO\r\n");
    group.redis[0].kill();
    let address = trap.caught();
    let candidate = group.redis.iter().position(|redis| redis.addr() == address).expect("it is a node");
    group.redis[candidate].kill();
    trap.lose();
    writer.resume();
    let master = group.await_successor(&servers, 0);
    assert_eq!(master, 3 - candidate, "the one that is left");
    writer.write_more();
    group.redis[0].restart();
    group.redis[candidate].restart();
    group.await_steady(&servers, master);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 3);
    assert_sound(&writer.finish(&group.redis[master]), 1, 0);
}

#[test]
fn a_master_that_dies_as_soon_as_it_is_published_is_replaced_again() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/twice");
    let writer = Writer::start(&servers, &group, "twice");
    // Nothing is written meanwhile: what the second one takes before the third follows it is lost with it.
    writer.pause();
    group.await_caught_up(0);
    let open = |group: &Group, node: usize| group.redis[node].set("open", "yes").map(|()| node);
    let begun = Instant::now();
    group.redis[0].kill();
    let second = eventually(DEADLINE, "one is opened", || open(&group, 1).or_else(|_| open(&group, 2)));
    group.redis[second].kill();
    let third = 3 - second;
    eventually(DEADLINE, "the one that is left is opened", || open(&group, third));
    assert!(begun.elapsed() < Duration::from_secs(1), "two failovers took {:?}", begun.elapsed());
    group.await_successor(&servers, second);
    writer.resume();
    writer.write_more();
    group.redis[0].restart();
    group.redis[second].restart();
    group.await_steady(&servers, third);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 3);
    assert_sound(&writer.finish(&group.redis[third]), 2, 0);
}
