//! What dies, hangs and comes back, and what must hold after it.

use redis_failover_lab::{Redis, Reply, ensure_eq, eventually};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::time::{Duration, Instant};

use crate::world::{DEADLINE, Group, Servers};
use crate::writer::{LOST_AT_MOST, Writer, assert_sound};

/// Kills node 0 while its replicas have all that it acknowledged, and returns who leads once the writer writes again.
pub(crate) fn kill_caught_up_master(servers: &Servers, group: &mut Group, writer: &Writer) -> usize {
    writer.pause();
    group.await_caught_up(0);
    group.redis[0].kill();
    writer.resume();
    let master = group.await_successor(servers, 0);
    writer.write_more();
    master
}

#[test]
fn a_leader_that_is_killed_disturbs_nobody() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/leader");
    let writer = Writer::start(&servers, &group, "leader");
    let first = group.leader(&servers);
    group.monitors.get_mut(&first).expect("the leader is one of them").kill();
    group.await_another_leader(&servers, &first);
    writer.write_more();
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    let balance = writer.finish(&group.redis[0]);
    assert_sound(&balance, 0, 0);
    assert!(balance.gap.as_millis() < 1_500, "no client notices: {balance:?}");
}

#[test]
fn leader_and_master_killed_together() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/both");
    let writer = Writer::start(&servers, &group, "both");
    writer.pause();
    group.await_caught_up(0);
    let leader = group.leader(&servers);
    group.monitors.get_mut(&leader).expect("the leader is one of them").kill();
    group.redis[0].kill();
    writer.resume();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.start_monitor(&servers, &leader);
    group.redis[0].restart();
    group.await_steady(&servers, master);
    assert_sound(&writer.finish(&group.redis[master]), 1, 0);
}

#[test]
fn a_replica_that_dies_and_returns_changes_no_master() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/replica");
    let writer = Writer::start(&servers, &group, "replica");
    group.redis[2].kill();
    eventually(DEADLINE, "it is published as KO", || {
        let status = group.status(&servers)?;
        ensure_eq(status["nodes"][2]["ok"].as_bool(), Some(false))
    });
    writer.write_more();
    group.redis[2].restart();
    group.await_steady(&servers, 0);
    let balance = writer.finish(&group.redis[0]);
    assert_sound(&balance, 0, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
}

#[test]
fn a_replica_that_follows_under_another_name_is_not_told_again_and_again() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/name");
    let port = group.redis[0].port().to_string();
    let mut since = None;
    eventually(DEADLINE, "it follows under that name for two seconds", || {
        let info = group.redis[1].info("replication")?;
        if info["master_host"] != "localhost" {
            // Seen before its link was up, it is told once.
            since = None;
            group.redis[1].command(&["REPLICAOF", "localhost", &port])?.into_result()?;
        }
        let kept = since.get_or_insert_with(Instant::now).elapsed();
        if kept > Duration::from_secs(2) { Ok(()) } else { Err(format!("for {kept:?}")) }
    });
}

#[test]
fn one_zookeeper_server_killed_changes_no_master_and_stops_no_failover() {
    let mut servers = Servers::ensemble();
    let mut group = Group::start(&servers, "/redis/zookeeper");
    let writer = Writer::start(&servers, &group, "zookeeper");
    let leader = servers.zookeeper.leader_index().expect("the ensemble has a leader");
    servers.zookeeper.server(leader).kill();
    writer.write_more();
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    let master = kill_caught_up_master(&servers, &mut group, &writer);
    group.redis[0].restart();
    group.await_steady(&servers, master);
    assert_sound(&writer.finish(&group.redis[master]), 1, 0);
}

#[test]
fn without_zookeeper_no_master_changes_and_with_it_the_failover_follows() {
    let mut servers = Servers::ensemble();
    let mut group = Group::start(&servers, "/redis/gone");
    let stopped = servers.take_zookeeper_away();
    group.redis[0].kill();
    let noticed = Instant::now();
    // Longer than any session, and than down_after.
    eventually(DEADLINE, "five seconds pass in which no replica is commanded", || {
        for redis in &group.redis[1..] {
            let info = redis.info("replication")?;
            let port = group.redis[0].port().to_string();
            assert_eq!((info["role"].as_str(), &info["master_port"]), ("slave", &port));
        }
        if noticed.elapsed() > Duration::from_secs(5) { Ok(()) } else { Err(String::from("not yet")) }
    });
    servers.bring_zookeeper_back(stopped);
    let master = group.await_successor(&servers, 0);
    group.redis[0].restart();
    group.await_steady(&servers, master);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
}

#[test]
fn a_client_without_zookeeper_goes_on_with_the_master_that_it_knows() {
    let mut servers = Servers::ensemble();
    let group = Group::start(&servers, "/redis/client");
    let writer = Writer::start(&servers, &group, "client");
    let stopped = servers.take_zookeeper_away();
    writer.write_more();
    // Longer than any session: the client has lost its own.
    let begun = Instant::now();
    eventually(DEADLINE, "five seconds pass", || {
        if begun.elapsed() > Duration::from_secs(5) { Ok(()) } else { Err("not yet") }
    });
    for _ in 0..3 {
        group.redis[0].command(&["CLIENT", "KILL", "TYPE", "normal"]).expect("it obeys");
        writer.write_more();
    }
    servers.bring_zookeeper_back(stopped);
    group.await_steady(&servers, 0);
    writer.write_more();
    assert_sound(&writer.finish(&group.redis[0]), 3, 0);
}

#[test]
fn a_leader_that_stood_still_while_another_took_over_changes_nothing() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/deposed");
    let first = group.leader(&servers);
    group.monitors[&first].stop();
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    let mut steps = group.steps_of(&first);
    group.monitors[&first].cont();
    // It has the crash in its socket, and the votes of before: it must not act on them.
    eventually(DEADLINE, "it knows that it leads no more", || {
        if group.logged("this monitor leads no more") > 0 { Ok(()) } else { Err("not yet") }
    });
    group.redis[0].restart();
    group.await_steady(&servers, master);
    steps = group.steps_of(&first).split_off(steps.len());
    assert_eq!(steps, Vec::<String>::new());
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
}

#[test]
fn a_quiet_group_writes_nothing() {
    let servers = Servers::ensemble();
    let group = Group::start(&servers, "/redis/quiet");
    let before = eventually(DEADLINE, "the group has come to rest", || servers.zxid());
    let packets = servers.packets();
    let begun = Instant::now();
    eventually(DEADLINE, "ten seconds pass", || {
        let elapsed = begun.elapsed();
        if elapsed > Duration::from_secs(10) { Ok(()) } else { Err(format!("{elapsed:?}")) }
    });
    assert_eq!(servers.zxid().expect("it answers"), before);
    // The client pings each 3/20 of the session's time-out: 33 times in ten seconds, from each of three monitors.
    let received = servers.packets() - packets;
    assert!(received <= 3 * 34, "{received} packets in ten quiet seconds are more than pings");
    drop(group);
}

#[test]
fn when_all_nodes_die_it_is_published_and_told_and_their_return_ends_it() {
    let servers = Servers::start();
    // The replicas keep what their first copy left on disk, under a name that the record knows; the master's
    // append-only file keeps everything, and gives it a new name.
    let redis = ["yes", "no", "no"].map(|file| {
        Redis::builder()
            .option("repl-diskless-sync-delay", "0")
            .option("appendonly", file)
            .option("appendfsync", "always")
            .start()
    });
    let mut group = Group::of("/redis/all", redis.into());
    // Each write waits for the disk, and a busy disk may take longer than a second: that would be another fault.
    group.flags = vec!["--down-after", "10s"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].set("kept", "yes").expect("it takes writes");
    for redis in &mut group.redis {
        redis.kill();
    }
    eventually(DEADLINE, "all are published as KO, and status names the trouble", || {
        let status = group.status(&servers)?;
        for node in 0..3 {
            ensure_eq(status["nodes"][node]["ok"].as_bool(), Some(false))?;
        }
        let told = status["troubles"].to_string().contains("find the master");
        if told { Ok(()) } else { Err(status.to_string()) }
    });
    for node in [1, 2, 0] {
        group.redis[node].restart();
    }
    group.await_steady(&servers, 0);
    for redis in &group.redis {
        assert_eq!(redis.get("kept").expect("it answers").as_deref(), Some("yes"));
    }
}

/// A group whose master can't save any more, and so refuses writes.
fn group_that_cannot_save(servers: &Servers, path: &str, flags: Vec<&'static str>) -> Group {
    let redis = (0..3).map(|_| {
        let fast =
            Redis::builder().option("repl-diskless-sync-delay", "0").option("repl-diskless-sync", "yes");
        fast.option("save", "3600 1").option("enable-protected-configs", "yes").start()
    });
    let mut group = Group::of(path, redis.collect());
    group.flags = flags;
    group.start_monitors(servers);
    group.await_steady(servers, 0);
    let gone = tempfile::tempdir().expect("a directory");
    let directory = gone.path().to_string_lossy().into_owned();
    let command = |words: &[&str]| group.redis[0].command(words).and_then(Reply::into_result);
    command(&["CONFIG", "SET", "dir", &directory]).expect("it obeys");
    drop(gone);
    command(&["BGSAVE"]).expect("it begins");
    group
}

#[test]
fn a_master_that_cannot_save_is_replaced_only_where_the_policy_says_so() {
    let servers = Servers::start();
    let left = group_that_cannot_save(&servers, "/redis/misconf-left", Vec::new());
    eventually(DEADLINE, "it refuses writes", || {
        let refusal = left.redis[0].set("a", "1").err().ok_or("it takes them")?;
        if refusal.contains("MISCONF") { Ok(()) } else { Err("another refusal") }
    });
    let replaced = group_that_cannot_save(&servers, "/redis/misconf", vec!["--misconf-is-unusable"]);
    let master = replaced.await_successor(&servers, 0);
    // Without a directory the old master can't take a full copy: only the new one is looked at.
    eventually(DEADLINE, "the new master takes writes", || replaced.redis[master].set("a", "1"));
    assert_eq!(left.status(&servers).expect("a status")["epoch"], 1);
}

#[test]
fn two_groups_share_an_ensemble_and_nothing_else() {
    let servers = Servers::start();
    let mut one = Group::start(&servers, "/redis/one");
    let two = Group::start(&servers, "/redis/two");
    let (first, second) = (Writer::start(&servers, &one, "one"), Writer::start(&servers, &two, "two"));
    one.redis[0].kill();
    let master = one.await_successor(&servers, 0);
    first.write_more();
    second.write_more();
    one.redis[0].restart();
    one.await_steady(&servers, master);
    two.await_steady(&servers, 0);
    assert_eq!(two.status(&servers).expect("a status")["epoch"], 1);
    assert_sound(&first.finish(&one.redis[master]), 1, LOST_AT_MOST);
    assert_sound(&second.finish(&two.redis[0]), 0, 0);
}

#[test]
fn all_monitors_restarted_at_once_change_nothing_and_still_guard() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/monitors");
    let writer = Writer::start(&servers, &group, "monitors");
    for monitor in group.monitors.values_mut() {
        monitor.kill();
    }
    writer.write_more();
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    let master = kill_caught_up_master(&servers, &mut group, &writer);
    group.redis[0].restart();
    group.await_steady(&servers, master);
    assert_sound(&writer.finish(&group.redis[master]), 1, 0);
}

#[test]
fn whoever_reads_the_log_of_a_leader_and_stands_still_delays_no_failover() {
    let servers = Servers::start();
    let mut group = Group::fresh("/redis/unread");
    let mut unread: Vec<_> = ["m1", "m2", "m3"].map(|id| group.unread_log(id)).into();
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    unread.iter_mut().for_each(fill);
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    group.await_steady(&servers, master);
    for monitor in group.monitors.values_mut() {
        monitor.terminate();
        assert!(monitor.wait_exit(DEADLINE).success(), "nor does it hold up the end");
    }
}

/// Leaves no room for a byte in this pipe.
fn fill(pipe: &mut File) {
    for size in [4096, 1] {
        while pipe.write(&vec![b'.'; size]).is_ok() {}
    }
    assert_eq!(pipe.write(b".").map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}
