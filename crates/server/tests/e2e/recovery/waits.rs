//! Why nobody takes over from a master that is lost, and what is done about each reason.

use std::fs;

use redis_failover_lab::{Process, Redis, Reply, eventually};

use super::{Seen, await_well, in_status, recovers};
use crate::network::replicas;
use crate::operator::{assert_says, operator};
use crate::world::{DEADLINE, Group, Servers};

/// Has an operator's command done.
#[track_caller]
fn done(servers: &Servers, group: &Group, command: &[&str]) {
    assert_says(&operator(servers, group, command), 0, &["done"]);
}

#[track_caller]
fn obey(redis: &Redis, words: &[&str]) {
    redis.command(words).and_then(Reply::into_result).expect("it obeys");
}

#[test]
fn who_may_not_take_over_does_when_an_operator_lets_it() {
    let servers = Servers::start();
    let look = in_status(&servers);
    let mut group = Group::start(&servers, "/redis/let");
    let [first, second] = [0, 1].map(|node| group.address(node));

    // No operator has said so of the third: its own setting does.
    done(&servers, &group, &["node", "drain", &second]);
    obey(&group.redis[2], &["CONFIG", "SET", "replica-priority", "0"]);
    group.redis[0].kill();
    recovers(&look, &mut group, &["priority-zero", "not-answering", "nobody-may-take-over"], |group| {
        obey(&group.redis[2], &["CONFIG", "SET", "replica-priority", "100"]);
        assert_eq!(group.await_successor(&servers, 0), 2);
        group.redis[0].restart();
    });
    recovers(&look, &mut group, &["drained"], |group| {
        done(&servers, group, &["node", "drain", "--undo", &second]);
    });
    await_well(&servers, &group, 2);

    done(&servers, &group, &["node", "priority", &second, "10"]);
    recovers(&look, &mut group, &["priority"], |group| {
        done(&servers, group, &["node", "priority", &second, "own"]);
    });

    let bar = |group: &Group| {
        done(&servers, group, &["node", "drain", &second]);
        let last = ["node", "no-promote", &first];
        assert_says(&operator(&servers, group, &last), 1, &["nothing was done", &second, "--yes"]);
        done(&servers, group, &[&last[..], &["--yes"]].concat());
    };
    let lift = |group: &mut Group| {
        done(&servers, group, &["node", "no-promote", "--undo", &first]);
        done(&servers, group, &["node", "drain", "--undo", &second]);
    };
    // It is told before the master is lost.
    bar(&group);
    recovers(&look, &mut group, &["drained", "priority-zero", "nobody-may-take-over"], |group| lift(group));
    await_well(&servers, &group, 2);
    bar(&group);
    group.redis[2].kill();
    recovers(&look, &mut group, &["drained", "priority-zero", "nobody-may-take-over"], |group| lift(group));
    let master = group.await_successor(&servers, 2);
    group.redis[2].restart();
    await_well(&servers, &group, master);
}

#[test]
fn what_is_missing_after_a_restart_is_waited_for_until_it_is_started() {
    let servers = Servers::start();
    let look = in_status(&servers);
    let mut group = Group::start(&servers, "/redis/restarts");
    group.redis[0].set("a", "1").expect("it takes writes");
    group.await_caught_up(0);
    for redis in &group.redis {
        obey(redis, &["SAVE"]);
    }
    group.redis[0].set("b", "2").expect("it takes writes");
    group.await_caught_up(0);
    obey(&group.redis[2], &["SAVE"]);
    kill_all(&mut group);
    group.redis[1].restart();
    recovers(&look, &mut group, &["restarted"], |group| {
        leads_in_another_version(&servers, &look, group);
        group.redis[0].restart();
    });
    recovers(&look, &mut group, &["behind", "nobody-may-take-over"], |group| {
        let [first, second, third] = [0, 1, 2].map(|node| group.address(node));
        // Who is to name one sees first what each holds.
        let looked = operator(&servers, group, &["adopt", "--master", &second, "--dry-run"]);
        let master = format!("{second} would be the master ({first}, the recorded master: ");
        let missing = format!("; {third}: did not answer");
        assert_says(&looked, 0, &[&master, " keys; ", &missing, "would be lost"]);
        group.redis[2].restart();
    });
    let master = await_leader(&servers, &group);
    await_well(&servers, &group, master);

    kill_all(&mut group);
    group.redis[1].restart_empty();
    recovers(&look, &mut group, &["empty", "nobody-may-take-over"], |group| {
        group.redis[0].restart();
        group.redis[2].restart();
    });
    let master = await_leader(&servers, &group);
    await_well(&servers, &group, master);
}

/// The leader gives a reason that no `status` of this version knows, until it has ended and another leads.
fn leads_in_another_version(servers: &Servers, look: &impl Fn(&Group) -> Seen, group: &mut Group) {
    let leader = group.leader(servers);
    let report = format!("{}/monitors/{leader}", group.path);
    group.monitors[&leader].stop();
    let said = servers.get(&report);
    let other = said.replace("restarted, and the recorded master", "of no use in the version to come");
    assert_ne!(said, other);
    servers.put(&report, &other);
    recovers(look, group, &["other-reason"], |group| {
        let monitor = group.monitors.get_mut(&leader).expect("it leads");
        monitor.terminate();
        monitor.cont();
        assert!(monitor.wait_exit(DEADLINE).success());
    });
    group.start_monitor(servers, &leader);
}

/// For the monitors they die in one moment.
fn kill_all(group: &mut Group) {
    group.monitors.values().for_each(Process::stop);
    group.redis.iter_mut().for_each(Redis::kill);
    group.monitors.values().for_each(Process::cont);
}

/// Who leads in a group that is steady, with everybody OK.
fn await_leader(servers: &Servers, group: &Group) -> usize {
    eventually(DEADLINE, "a node leads again", || {
        let status = group.status(servers)?;
        let well = status["phase"] == "steady" && status["troubles"].as_array().is_some_and(Vec::is_empty);
        let led = (0..group.redis.len()).find(|node| status["master"] == group.address(*node));
        led.filter(|_| well).ok_or_else(|| status.to_string())
    })
}

#[test]
fn a_node_that_lacks_an_unknown_number_of_writes_waits_for_another() {
    let servers = Servers::start();
    let look = in_status(&servers);
    let mut group = Group::linked("/redis/lacks");
    group.start_monitors(&servers);
    await_well(&servers, &group, 0);
    // The master goes on alone, and is lost then.
    replicas(&group).cut();
    recovers(&look, &mut group, &["left-behind"], |group| {
        group.redis[0].link().all().hold();
        recovers(&look, group, &["left-behind", "nobody-may-take-over"], |group| {
            group.redis[0].link().all().heal();
        });
    });
    await_well(&servers, &group, 0);

    // Its data is of a stranger's history: somebody had it follow one, and made it a master.
    let stranger = Redis::start();
    stranger.set("its", "own").expect("it takes writes");
    group.monitors.values().for_each(Process::stop);
    group.redis[0].stop();
    group.redis[1].stop();
    obey(&group.redis[2], &["REPLICAOF", "127.0.0.1", &stranger.port().to_string()]);
    eventually(DEADLINE, "it has the stranger's data", || match group.redis[2].get("its")?.as_deref() {
        Some("own") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    obey(&group.redis[2], &["REPLICAOF", "NO", "ONE"]);
    group.monitors.values().for_each(Process::cont);
    recovers(&look, &mut group, &["unknown-history", "not-answering"], |group| {
        group.redis[0].cont();
        group.redis[1].cont();
    });
    let master = await_leader(&servers, &group);
    await_well(&servers, &group, master);
    assert_eq!(group.redis[2].get("its").expect("it answers"), None);
}

#[test]
fn a_master_that_serves_nobody_leads_on_when_it_does_again() {
    let servers = Servers::start();
    let look = in_status(&servers);
    let sound =
        || Redis::builder().option("save", "3600 1").option("enable-protected-configs", "yes").start();
    let mut group = Group::of("/redis/full", (0..3).map(|_| sound()).collect());
    group.flags = vec!["--misconf-is-unusable"];
    group.start_monitors(&servers);
    await_well(&servers, &group, 0);
    for node in [1, 2] {
        done(&servers, &group, &["node", "drain", &group.address(node), "--yes"]);
    }
    let directory = servers.file("saved").to_string_lossy().into_owned();
    fs::create_dir(&directory).expect("there is room");
    obey(&group.redis[0], &["CONFIG", "SET", "dir", &directory]);
    fs::remove_dir(&directory).expect("it is empty");
    obey(&group.redis[0], &["BGSAVE"]);
    recovers(&look, &mut group, &["out-of-use", "master-down"], |group| {
        fs::create_dir(&directory).expect("there is room");
        obey(&group.redis[0], &["CONFIG", "SET", "dir", &directory]);
        obey(&group.redis[0], &["BGSAVE"]);
    });
    for node in [1, 2] {
        done(&servers, &group, &["node", "drain", "--undo", &group.address(node)]);
    }
    await_well(&servers, &group, 0);
}
