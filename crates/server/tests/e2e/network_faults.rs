//! Networks that fail so that the master must be replaced, and what comes late when they heal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use redis_failover_lab::{Reply, ensure_eq, eventually};

use crate::network::{MONITORS, begin, monitors, monitors_and_replicas, replicas};
use crate::world::{DEADLINE, Group, Servers, source_of_monitor, source_of_node};
use crate::writer::Balance;

/// As on a crash: see the module `faults`.
const LOST_AT_MOST: usize = 2;

/// Asserts what must hold of the writes when the writer's own connection to the old master failed with it.
fn assert_sound(balance: &Balance) {
    assert!(balance.lost <= LOST_AT_MOST && balance.unknown <= 1, "{balance:?}");
    assert!(balance.acknowledged >= 2_000, "{balance:?}");
}

/// Asserts that no monitor ever saw two masters published in one epoch.
fn assert_one_master_in_each_epoch(group: &Group) {
    let mut masters = BTreeMap::<String, BTreeSet<String>>::new();
    for monitor in group.monitors.values() {
        let log = fs::read_to_string(monitor.log()).expect("a log");
        for line in log.lines().filter(|line| line.contains("+switch-master")) {
            let words: Vec<_> = line.split_whitespace().collect();
            let epoch = words.iter().find(|word| word.starts_with("epoch=")).expect("it tells the epoch");
            let master = words.windows(2).last().expect("it ends with host and port").join(":");
            masters.entry((*epoch).to_owned()).or_default().insert(master);
        }
    }
    assert!(!masters.is_empty(), "somebody saw the change");
    assert!(masters.values().all(|masters| masters.len() == 1), "{masters:?}");
}

#[test]
fn a_master_cut_off_from_everyone_is_replaced_and_follows_when_it_is_back() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/cut");
    // A client on its side that never hears of the change: nobody can tell the old master to refuse it.
    let mut stranger = group.redis[0].connect().expect("it lives");
    group.redis[0].link().all().cut();
    eventually(DEADLINE, "it has seen its replicas leave", || {
        match stranger.command(&["SET", "stray", "yes"])? {
            Reply::Error(text) if text.contains("NOREPLICAS") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.redis[0].link().all().heal();
    group.await_steady(&servers, master);
    assert!(stranger.command(&["PING"]).is_err(), "it was cut off");
    assert_eq!(group.redis[master].get("stray"), Ok(None));
    assert_one_master_in_each_epoch(&group);
    assert_sound(&writer.finish(&group.redis[master]));
}

/// Two monitors and the replicas lose the master, and the client does not: it goes on writing until the change is
/// published, or the old master is stopped.
fn lose_master(path: &str, leader_is_blind: bool) {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, path);
    let leader = group.leader(&servers);
    let others: Vec<_> = MONITORS.into_iter().filter(|id| *id != leader).collect();
    let blind = if leader_is_blind { vec![leader.as_str(), others[0]] } else { others };
    let cut = writer.acknowledged();
    replicas(&group).hold();
    monitors(&group, &blind).hold();
    let master = group.await_successor(&servers, 0);
    let published = writer.acknowledged();
    writer.write_more();
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2, "one change is enough");
    monitors_and_replicas(&group).release();
    group.await_steady(&servers, master);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2, "one change is enough");
    assert_one_master_in_each_epoch(&group);
    let balance = writer.finish(&group.redis[master]);
    println!("{} were acknowledged from the cut to the publication", published - cut);
    assert!(balance.lost <= published - cut + LOST_AT_MOST, "{balance:?}");
    assert!(balance.unknown <= 1, "{balance:?}");
}

#[test]
fn a_master_that_the_leader_and_the_replicas_have_lost_is_replaced() {
    lose_master("/redis/leader-blind", true);
}

#[test]
fn a_master_that_only_the_leader_still_reaches_is_replaced_once() {
    lose_master("/redis/leader-sees", false);
}

#[test]
fn a_master_that_hears_and_is_not_heard_is_replaced() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/dumb");
    group.redis[0].link().all().replies().hold();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.redis[0].link().all().release();
    group.await_steady(&servers, master);
    assert_one_master_in_each_epoch(&group);
    assert_sound(&writer.finish(&group.redis[master]));
}

#[test]
fn what_a_link_swallowed_for_three_seconds_does_no_harm_when_it_comes() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/swallow");
    let held = Instant::now();
    group.redis[0].link().all().hold();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    eventually(DEADLINE, "three seconds pass", || {
        if held.elapsed() >= Duration::from_secs(3) { Ok(()) } else { Err("not yet") }
    });
    assert!(group.redis[0].link().all().waiting() > 0, "something comes late");
    group.redis[0].link().all().release();
    group.await_steady(&servers, master);
    writer.write_more();
    assert_one_master_in_each_epoch(&group);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
    assert_sound(&writer.finish(&group.redis[master]));
}

#[test]
fn a_replica_held_behind_by_its_link_is_not_chosen() {
    const MEGABYTE: usize = 1 << 20;
    let servers = Servers::start();
    // Its operator would rather have it than the other.
    let preferred = |index, builder: redis_failover_lab::RedisBuilder| {
        builder.option("replica-priority", if index == 2 { "1" } else { "100" })
    };
    let mut group = Group::linked_with("/redis/behind", preferred);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let stream = group.redis[0].link().of([source_of_node(2)]).replies();
    stream.hold();
    let mut connection = group.redis[0].connect().expect("it answers");
    connection.command(&["SET", "big", &"x".repeat(MEGABYTE)]).expect("it takes it");
    eventually(DEADLINE, "one replica has it", || {
        ensure_eq(connection.command(&["WAIT", "1", "500"])?, Reply::Integer(1))
    });
    eventually(DEADLINE, "the other is a megabyte behind", || {
        let waiting = stream.waiting();
        if waiting >= MEGABYTE { Ok(()) } else { Err(waiting) }
    });
    assert_eq!(group.redis[2].get("big").expect("it answers"), None);
    group.redis[0].kill();
    assert_eq!(group.await_successor(&servers, 0), 1);
    group.redis[0].restart();
    group.redis[0].link().all().heal();
    group.await_steady(&servers, 1);
    for redis in &group.redis {
        assert_eq!(redis.get("big").expect("it answers").map(|value| value.len()), Some(MEGABYTE));
    }
}

#[test]
fn a_leader_that_keeps_only_the_master_leaves_the_lead_to_one_that_reaches_its_replicas() {
    let servers = Servers::start();
    let mut group = Group::linked("/redis/parted");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let leader = group.leader(&servers);
    let others: Vec<_> = MONITORS.into_iter().filter(|id| *id != leader).collect();
    let parted = || {
        let far =
            group.redis[1..].iter().map(|it| it.link().of([source_of_monitor(&leader), source_of_node(0)]));
        far.chain([monitors(&group, &others), replicas(&group)])
    };
    parted().for_each(|traffic| traffic.hold());
    let master = group.await_successor(&servers, 0);
    assert_eq!(group.logged_by(&leader, "event=\"out-of-touch\""), 1);
    eventually(DEADLINE, "the new master takes writes", || group.redis[master].set("after", "the cut"));
    parted().for_each(|traffic| traffic.release());
    group.await_steady(&servers, master);
    assert_eq!(group.redis[0].get("after").expect("it answers").as_deref(), Some("the cut"));
}
