//! Nodes that come back with something that nobody else has: it is counted, and kept where that is asked for, before
//! they are filled.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redis_failover_lab::{Connection, Flavour, Redis, RedisBuilder, Reply, ensure_eq, eventually};

use crate::history::{assert_each_epoch_told_once, history};
use crate::operator::{assert_says, operator};
use crate::recovery::{in_status, recovers};
use crate::world::{DEADLINE, Group, Servers, hold_for};

/// Makes a test of each function, on this version.
macro_rules! on {
    ($version:ident, $flavour:expr) => {
        mod $version {
            use redis_failover_lab::Flavour;

            #[test]
            fn what_a_node_wrote_by_itself_is_saved_before_it_is_filled() {
                super::what_a_node_wrote_by_itself_is_saved_before_it_is_filled($flavour);
            }
        }
    };
}

on!(installed, Flavour::Installed);
on!(redis_6_2, Flavour::Redis62);
on!(valkey_9_1, Flavour::Valkey91);

/// Lets a server's snapshots be named; Redis 6.2 knows no such line, and always does.
fn nameable(flavour: Flavour, builder: RedisBuilder) -> RedisBuilder {
    let builder = builder.flavour(flavour);
    if flavour == Flavour::Redis62 { builder } else { builder.option("enable-protected-configs", "yes") }
}

/// A group of these three servers with these options of the monitors, synced.
fn group(servers: &Servers, path: &str, redis: Vec<Redis>, flags: &[&'static str]) -> Group {
    let mut group = Group::of(path, redis);
    group.flags = flags.to_vec();
    group.start_monitors(servers);
    group.await_steady(servers, 0);
    group
}

/// How far a node has come.
fn offset(redis: &Redis) -> u64 {
    field(redis, "master_repl_offset")
}

/// Where a node's history left the one before.
fn parted_at(redis: &Redis) -> u64 {
    field(redis, "second_repl_offset") - 1
}

fn field(redis: &Redis, name: &str) -> u64 {
    redis.info("replication").expect("it answers")[name].parse().expect("a number")
}

/// Node 0 is out of everybody's reach but its own clients'; another leads, and node 0 takes these writes.
fn cut_off(servers: &Servers, group: &Group, client: &mut Connection) -> usize {
    group.redis[0].link().close();
    group.redis[0].link().all().hang_up();
    let master = group.await_successor(servers, 0);
    for n in 0..20 {
        let key = format!("astray:{n}");
        client
            .command(&["SET", &key, "written where nobody looks"])
            .and_then(Reply::into_result)
            .expect("it is a master");
    }
    master
}

#[test]
fn what_a_master_that_was_cut_off_wrote_on_is_counted_and_its_clients_are_cut_off() {
    let servers = Servers::start();
    let mut group = Group::linked("/redis/astray");
    // What a fence lets through in its second is too little to count on.
    group.flags = vec!["--fencing", "off"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let mut client = group.redis[0].connect().expect("it answers");
    let master = cut_off(&servers, &group, &mut client);
    let beyond = offset(&group.redis[0]) - parted_at(&group.redis[master]);
    let Reply::Integer(keys) = group.redis[0].command(&["DBSIZE"]).expect("it answers") else {
        panic!("keys")
    };
    let payload: usize = (0..20).map(|n| format!("SETastray:{n}written where nobody looks").len()).sum();
    assert!(beyond > payload as u64, "{beyond} bytes are all that was written: {payload}");
    let begun = Instant::now();
    group.redis[0].link().open();
    eventually(DEADLINE, "its client is cut off", || match client.command(&["PING"]) {
        Err(_) => Ok(()),
        Ok(reply) => Err(format!("{reply:?}")),
    });
    println!("its client was cut off {:?} after it was within reach again", begun.elapsed());
    group.await_steady(&servers, master);
    let told = format!(
        "{} holds {beyond} bytes beyond where the history of epoch 1 was left, discarded",
        group.address(0)
    );
    assert!(group.logged(&told) > 0, "without `{told}`");
    let back = returned(&servers, &group, 0);
    let word = |key: &str| back[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| back[key].as_u64();
    assert_eq!(
        (number("bytes"), number("left"), number("epoch")),
        (Some(beyond), Some(1), Some(2)),
        "{back}"
    );
    assert_eq!((word("is").as_str(), number("keys")), ("discarded", u64::try_from(keys).ok()), "{back}");
    assert_eq!((word("leader"), word("run").len()), (group.leader(&servers), 40), "{back}");
    assert_each_epoch_told_once(&servers, &group);
    let (node, told) =
        (group.address(0), format!("{beyond} bytes beyond where the history of epoch 1 was left"));
    let parts = [format!("{node} came back with {told}"), format!("{node} -> {}", group.address(master))];
    assert_says(&operator(&servers, &group, &["history"]), 0, &parts.each_ref().map(String::as_str));
    let parts = ["What came back since", &told, &format!("{keys} keys")];
    assert_says(&operator(&servers, &group, &["explain", "2"]), 0, &parts);
    let page = operator(&servers, &group, &["explain", "2", "--json"]);
    let page: serde_json::Value = serde_json::from_slice(&page.stdout).expect("an object");
    assert_eq!((&page["returns"], page["epoch"].as_u64()), (&serde_json::json!([back]), Some(2)), "{page}");
    assert_eq!(group.redis[0].get("astray:0").expect("it answers"), None);
    assert_eq!(group.status(&servers).expect("a status")["nodes"][0]["diverged"], serde_json::Value::Null);
}

#[test]
fn what_a_master_that_was_cut_off_wrote_on_is_saved_where_that_is_asked_for() {
    let servers = Servers::start();
    let mut group = Group::linked_with("/redis/kept", |_, builder| nameable(Flavour::Installed, builder));
    group.flags = vec!["--on-divergence", "save", "--fencing", "off"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].set("common", "to all").expect("it takes writes");
    group.await_caught_up(0);
    let mut client = group.redis[0].connect().expect("it answers");
    let master = cut_off(&servers, &group, &mut client);
    group.redis[0].link().open();
    group.await_steady(&servers, master);
    let file = saved_file(&group);
    let back = returned(&servers, &group, 0);
    assert_eq!((back["is"].as_str(), back["file"].as_str()), (Some("saved"), file.to_str()), "{back}");
    let kept = load(&file, Flavour::Installed);
    assert_eq!(kept.get("astray:19").expect("it answers").as_deref(), Some("written where nobody looks"));
    assert_eq!(kept.get("common").expect("it answers").as_deref(), Some("to all"));
    assert_eq!(group.redis[0].get("astray:19").expect("it answers"), None, "it is the master's copy");
}

/// What the history tells of this node's return, which it does once.
fn returned(servers: &Servers, group: &Group, node: usize) -> serde_json::Value {
    let address = group.address(node);
    let mut history = history(servers, group);
    history.retain(|entry| entry["kind"] == "return" && entry["node"] == address);
    assert_eq!(history.len(), 1, "{history:?}");
    history.remove(0)
}

/// The file that a monitor says the data is saved in.
fn saved_file(group: &Group) -> PathBuf {
    let log = |id: &String| fs::read_to_string(group.monitors[id].log()).unwrap_or_default();
    let logs: Vec<_> = group.monitors.keys().map(log).collect();
    let told = logs.iter().flat_map(|log| log.lines()).find_map(|line| {
        let (_, rest) = line.split_once(", saved as ")?;
        rest.split_whitespace().next()
    });
    PathBuf::from(told.expect("a monitor says where it is"))
}

/// A server that has loaded this file, of the version that wrote it.
fn load(file: &Path, flavour: Flavour) -> Redis {
    let (directory, name) = (file.parent().expect("a path"), file.file_name().expect("a file"));
    let option = |text: &Path| text.to_str().expect("text").to_owned();
    Redis::builder()
        .flavour(flavour)
        .option("dir", option(directory))
        .option("dbfilename", option(Path::new(name)))
        .start()
}

/// Makes a node a master by hand and has it take a write before a monitor looks, which it does five times a second.
pub(crate) fn go_astray(redis: &Redis, value: &str) {
    eventually(DEADLINE, "it takes a write of its own", || {
        let mut connection = redis.connect()?;
        connection.command(&["REPLICAOF", "NO", "ONE"])?.into_result()?;
        connection.command(&["SET", "astray", value])?.into_result()
    });
}

fn what_a_node_wrote_by_itself_is_saved_before_it_is_filled(flavour: Flavour) {
    let servers = Servers::start();
    let redis = (0..3).map(|_| nameable(flavour, Redis::builder()).start()).collect();
    let group = group(&servers, "/redis/by-hand", redis, &["--on-divergence", "save"]);
    let value = "v".repeat(1_000);
    go_astray(&group.redis[2], &value);
    eventually(DEADLINE, "it is saved", || {
        if group.logged("event=\"+saved\"") > 0 { Ok(()) } else { Err("not yet") }
    });
    group.await_steady(&servers, 0);
    let kept = load(&saved_file(&group), flavour);
    assert_eq!(kept.get("astray").expect("it answers"), Some(value));
    assert_eq!(group.redis[2].get("astray").expect("it answers"), None);
    let name = group.redis[2].command(&["CONFIG", "GET", "dbfilename"]).expect("it answers");
    assert!(format!("{name:?}").contains("\"dump.rdb\""), "it has its own name back: {name:?}");
}

#[test]
fn a_node_whose_snapshots_cannot_be_named_is_held_until_an_operator_gives_up_what_it_holds() {
    let servers = Servers::start();
    let redis = (0..3).map(|_| Redis::start()).collect();
    let mut group = group(&servers, "/redis/held", redis, &["--on-divergence", "save"]);
    go_astray(&group.redis[1], &"v".repeat(1_000));
    let held = eventually(DEADLINE, "it is held", || {
        let status = group.status(&servers)?;
        let diverged = status["nodes"][1]["diverged"].clone();
        if diverged["is"] == "held" { Ok(diverged) } else { Err(status.to_string()) }
    });
    let beyond = offset(&group.redis[1]) - parted_at(&group.redis[1]);
    assert!((1_000..1_200).contains(&beyond), "{beyond}");
    assert_eq!(held["bytes"], beyond);
    let told = |group: &Group| {
        let back = returned(&servers, group, 1);
        (back["bytes"].as_u64(), back["is"].as_str().unwrap_or_default().to_owned(), back["why"].clone())
    };
    assert_eq!(told(&group), (Some(beyond), "held".to_owned(), held["why"].clone()));
    let why = held["why"].as_str().expect("a reason");
    assert!(why.contains("/dump.rdb") && why.contains("protected config"), "{why}");
    hold_for(Duration::from_secs(2), "it is not filled", || {
        ensure_eq(group.redis[1].get("astray")?.map(|value| value.len()), Some(1_000))?;
        ensure_eq(group.redis[1].set("k", "v").is_err(), true)
    });
    let node = group.address(1);
    let shown = operator(&servers, &group, &["status"]);
    let zookeeper = servers.zookeeper.connect_string();
    let give_up = format!("redis-failover resync -z {zookeeper} -p {} {node}", group.path);
    assert_says(&shown, 0, &["is held back", &give_up]);
    let other = group.address(2);
    assert_says(&operator(&servers, &group, &["resync", &other, "--yes"]), 1, &["is not held back"]);
    recovers(in_status(&servers), &mut group, &["held"], |group| {
        assert_says(&operator(&servers, group, &["resync", &node, "--yes"]), 0, &["done"]);
    });
    group.await_steady(&servers, 0);
    assert_eq!(told(&group), (Some(beyond), "discarded".to_owned(), serde_json::Value::Null));
    assert_eq!(group.redis[1].get("astray").expect("it answers"), None);
}

#[test]
fn of_two_nodes_of_a_host_that_need_a_full_copy_one_is_filled_at_a_time() {
    let servers = Servers::start();
    // A master that takes its time for a copy: some hundredths of a second for each of its keys.
    let slow = |_| Redis::builder().option("rdb-key-save-delay", "20000").start();
    let group = group(&servers, "/redis/in-turn", (0..3).map(slow).collect(), &[]);
    for n in 0..20 {
        group.redis[0].set(&format!("k{n}"), "v").expect("it takes writes");
    }
    group.await_caught_up(0);
    let port = group.redis[0].port().to_string();
    go_astray(&group.redis[1], "v");
    go_astray(&group.redis[2], "v");
    // Who is demoted just then has cut off who asks, and is asked again.
    let filled = |redis: &Redis| {
        let info = redis.info("replication")?;
        let of_master = info["role"] == "slave" && info["master_port"] == port;
        Ok::<_, String>(of_master && info["master_link_status"] == "down")
    };
    let mut seen = [false; 2];
    eventually(DEADLINE, "both have been filled", || {
        let now = [filled(&group.redis[1])?, filled(&group.redis[2])?];
        assert_ne!(now, [true; 2], "both at once");
        seen = [seen[0] || now[0], seen[1] || now[1]];
        let over = [1, 2].iter().all(|n| matches!(group.redis[*n].get("astray"), Ok(None)));
        if over && seen == [true; 2] { Ok(()) } else { Err(format!("{now:?}")) }
    });
    group.await_steady(&servers, 0);
}
