//! All nodes of a group are gone, and come back in every order, whatever they had saved.
//!
//! One monitor watches each group: that several agree is tested elsewhere, and six groups run here at a time.

use redis_failover_lab::{Flavour, Redis, Reply, ensure_eq, eventually};
use serde_json::Value;

use crate::operator::{assert_says, operator};
use crate::recovery::{in_status, recovers};
use crate::world::{DEADLINE, Group, Servers};

/// Every order in which three nodes can come back; node 0 was the master.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// How nodes keep their data, and what must come of it.
struct Persistence {
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
    /// Writes, and has nodes save what they hold.
    write: fn(&Group),
    /// Whether those that are back are enough: nobody who is missing may bring more.
    enough: fn(&[usize]) -> bool,
    /// Who leads in the end; `None` where all are alike.
    leader: Option<usize>,
    /// What all hold in the end, of `a`, `b`, `c` and `d`.
    keys: &'static [&'static str],
}

const NOTHING_SAVED: Persistence = Persistence {
    name: "nothing",
    options: &[],
    write: |group| write(group, &["a", "b", "c", "d"]),
    enough: |back| back.len() == 3,
    leader: None,
    keys: &[],
};

/// The master has the oldest snapshot, and nobody has the last key.
const SNAPSHOTS: Persistence = Persistence {
    name: "snapshots",
    options: &[],
    write: |group| {
        for (key, node) in [("a", 0), ("b", 1), ("c", 2)] {
            write(group, &[key]);
            group.redis[node].command(&["SAVE"]).and_then(Reply::into_result).expect("it saves");
        }
        write(group, &["d"]);
    },
    enough: |back| back.len() == 3,
    leader: Some(2),
    keys: &["a", "b", "c"],
};

/// Each node has everything on disk, under a new name: it is the master's word that counts.
const APPEND_ONLY_FILES: Persistence = Persistence {
    name: "files",
    options: &[("appendonly", "yes"), ("appendfsync", "always")],
    write: |group| write(group, &["a", "b", "c", "d"]),
    enough: |back| back.contains(&0),
    leader: Some(0),
    keys: &["a", "b", "c", "d"],
};

#[test]
fn with_nothing_saved_no_empty_node_leads_before_all_are_back() {
    in_every_order(&NOTHING_SAVED);
}

#[test]
fn with_snapshots_the_best_of_all_leads_and_no_older_one_before_it() {
    in_every_order(&SNAPSHOTS);
}

#[test]
fn with_append_only_files_the_master_leads_again_with_everything() {
    in_every_order(&APPEND_ONLY_FILES);
}

/// Redis 6.2 never reads the name of the history that a snapshot holds: nobody can tell which of them is older.
#[test]
fn with_snapshots_that_tell_no_history_none_is_overwritten_until_an_operator_names_one() {
    let servers = Servers::start();
    let mut group = group(&servers, "/redis/nameless", Flavour::Redis62, &[]);
    (SNAPSHOTS.write)(&group);
    all_die(&mut group);
    for redis in &mut group.redis {
        redis.restart();
    }
    await_waiting(&servers, &group, &[0, 1, 2], &[]);
    for (node, held) in [&["a"][..], &["a", "b"], &["a", "b", "c"]].into_iter().enumerate() {
        assert_eq!(keys_of(&group.redis[node]), held, "node {node} has what it saved");
    }
    let third = group.address(2);
    let named = operator(&servers, &group, &["failover", "--to", &third, "--accept-loss", "--yes"]);
    assert_says(&named, 0, &[&format!("done: {third} is the master")]);
    group.await_steady(&servers, 2);
    for (node, redis) in group.redis.iter().enumerate() {
        assert_eq!(keys_of(redis), ["a", "b", "c"], "node {node}");
    }
}

/// The old master stood still as the other took over: it lacks all that was written since.
#[test]
fn of_two_nodes_the_one_that_was_away_does_not_lead_without_what_the_other_took() {
    let servers = Servers::start();
    let files = [("appendonly", "yes"), ("appendfsync", "always")];
    let start = |_| files.iter().fold(Redis::builder(), |it, (name, value)| it.option(*name, *value)).start();
    let mut group = Group::of("/redis/two", (0..2).map(start).collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].stop();
    assert_eq!(group.await_successor(&servers, 0), 1);
    eventually(DEADLINE, "the new master takes writes alone", || group.redis[1].set("a", "held"));
    group.redis[1].kill();
    group.redis[0].cont();
    recovers(in_status(&servers), &mut group, &["left-behind", "nobody-may-take-over"], |group| {
        assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
        group.redis[1].restart();
    });
    group.await_steady(&servers, 1);
    for (node, redis) in group.redis.iter().enumerate() {
        assert_eq!(keys_of(redis), ["a"], "node {node}");
    }
}

fn in_every_order(persistence: &Persistence) {
    let servers = Servers::start();
    std::thread::scope(|scope| {
        for order in ORDERS {
            let servers = &servers;
            scope.spawn(move || play(servers, persistence, order));
        }
    });
}

fn play(servers: &Servers, persistence: &Persistence, order: [usize; 3]) {
    let [first, second, third] = order;
    let path = format!("/redis/{}-{first}{second}{third}", persistence.name);
    let mut group = group(servers, &path, Flavour::Installed, persistence.options);
    (persistence.write)(&group);
    all_die(&mut group);
    for (index, node) in order.into_iter().enumerate() {
        group.redis[node].restart();
        let (back, missing) = order.split_at(index + 1);
        if !(persistence.enough)(back) {
            await_waiting(servers, &group, back, missing);
        }
    }
    let leader = await_leader(servers, &group);
    assert_eq!(leader, persistence.leader.unwrap_or(leader), "{path}");
    group.await_steady(servers, leader);
    for (node, redis) in group.redis.iter().enumerate() {
        assert_eq!(keys_of(redis), persistence.keys, "{path}: node {node}");
    }
}

/// Three fresh servers with these options and one monitor, synced.
fn group(servers: &Servers, path: &str, flavour: Flavour, options: &[(&str, &str)]) -> Group {
    let start = |_| {
        let builder = Redis::builder().flavour(flavour).option("repl-diskless-sync-delay", "0");
        options.iter().fold(builder, |builder, (name, value)| builder.option(*name, *value)).start()
    };
    let mut group = Group::of(path, (0..3).map(start).collect());
    // Some writes wait for the disk, and a busy disk may take longer than a second: that would be another fault.
    group.flags = vec!["--down-after", "10s"];
    group.start_monitor(servers, "m1");
    group.await_steady(servers, 0);
    group
}

/// For the monitor they die in one moment: it would begin a failover between two of them.
fn all_die(group: &mut Group) {
    group.monitors["m1"].stop();
    for redis in &mut group.redis {
        redis.kill();
    }
    group.monitors["m1"].cont();
}

/// Which of the keys that are written here a node has.
fn keys_of(redis: &Redis) -> Vec<&'static str> {
    let held = |key: &&str| redis.get(key).expect("it answers").is_some();
    ["a", "b", "c", "d"].into_iter().filter(held).collect()
}

/// Writes each key and waits until both replicas have it.
fn write(group: &Group, keys: &[&str]) {
    for key in keys {
        group.redis[0].set(key, "held").expect("it takes writes");
    }
    group.await_caught_up(0);
}

/// Waits until `status` says what the group waits for: what those that are back hold, and that the others are missing.
/// None of those that are back leads, or follows another.
fn await_waiting(servers: &Servers, group: &Group, back: &[usize], missing: &[usize]) {
    eventually(DEADLINE, &format!("{}: status tells what it waits for", group.path), || {
        let status = group.status(servers)?;
        ensure_eq(&status["epoch"], &Value::from(1))?;
        ensure_eq(&status["phase"], &Value::from("steady"))?;
        let wait = |node: &usize| &status["nodes"][*node]["waits"];
        let told = back.iter().all(|node| wait(node)["why"].is_string() && wait(node)["keys"].is_u64());
        let gone = missing.iter().all(|node| wait(node)["why"] == "did not answer");
        let trouble = status["troubles"].to_string().contains("no node may take over");
        if told && gone && trouble { Ok(()) } else { Err(status.to_string()) }
    });
    for node in back {
        let info = group.redis[*node].info("replication").expect("it answers");
        let follows = (info["role"].as_str(), info["master_port"].as_str());
        assert_eq!(follows, ("slave", "1"), "{}: node {node} is frozen", group.path);
    }
}

/// Who leads in the epoch after the first.
fn await_leader(servers: &Servers, group: &Group) -> usize {
    let address = eventually(DEADLINE, &format!("{}: a node leads again", group.path), || {
        let status = group.status(servers)?;
        let again = status["epoch"] == 2 && status["phase"] == "steady";
        let master = status["master"].as_str().filter(|_| again);
        master.map(str::to_owned).ok_or_else(|| status.to_string())
    });
    group.redis.iter().position(|redis| redis.addr() == address).expect("the master is one of the nodes")
}
