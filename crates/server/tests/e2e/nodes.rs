//! What operators say of single nodes, and failovers that nobody but an operator wants.

use redis_failover_lab::{Redis, ensure_eq, eventually};
use serde_json::Value;

use crate::operator::{assert_says, operator};
use crate::world::{DEADLINE, Group, Servers};
use crate::writer::{Writer, assert_sound};

fn node(servers: &Servers, group: &Group, command: &[&str]) -> std::process::Output {
    operator(servers, group, &[&["node"], command].concat())
}

/// What `node list --json` says of this node.
fn listed(servers: &Servers, group: &Group, address: &str) -> Value {
    let shown = node(servers, group, &["list", "--json"]);
    let all: Vec<Value> = serde_json::from_slice(&shown.stdout).expect("it prints JSON");
    all.into_iter().find(|it| it["node"] == address).unwrap_or_default()
}

#[test]
fn nodes_are_taken_in_and_out_while_the_group_serves() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/nodes");
    let writer = Writer::start(&servers, &group, "nodes");
    let full = Redis::builder().start();
    full.set("its own", "1").expect("it takes writes");
    assert_says(
        &node(&servers, &group, &["add", &full.addr()]),
        1,
        &["refused", "holds 1 keys of its own", "FLUSHALL"],
    );
    assert_eq!(full.get("its own").expect("it answers").as_deref(), Some("1"), "nothing was done to it");
    full.command(&["FLUSHALL"]).expect("it obeys");
    assert_says(&node(&servers, &group, &["add", &full.addr()]), 0, &["done", "is a node of the group"]);
    assert_says(&node(&servers, &group, &["add", &full.addr()]), 0, &["already"]);
    group.redis.push(full);
    group.await_steady(&servers, 0);
    assert_says(&node(&servers, &group, &["list"]), 0, &[&group.address(3)]);

    let second = group.address(1);
    assert_says(&node(&servers, &group, &["remove", &second, "--yes"]), 1, &["would be found again"]);
    assert_says(&node(&servers, &group, &["remove", &group.address(0), "--yes"]), 1, &["is the master"]);
    assert_says(&node(&servers, &group, &["remove", &second]), 1, &["nothing was done", "--yes"]);
    group.redis[1].kill();
    eventually(DEADLINE, "it is struck out once it has ended", || {
        let removed = node(&servers, &group, &["remove", &second, "--yes"]);
        ensure_eq(removed.status.code(), Some(0)).map(drop)
    });
    assert_eq!(listed(&servers, &group, &second), Value::Null);
    drop(group.redis.remove(1));
    group.await_steady(&servers, 0);
    let published = servers.get("/redis/nodes");
    assert!(!published.contains(&second), "{published}");
    writer.write_more();
    assert_sound(&writer.finish(&group.redis[0]), 0, 0);
}

#[test]
fn what_operators_say_of_nodes_decides_who_takes_over_and_who_is_read_from() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/orders");
    let [first, second, third] = [0, 1, 2].map(|index| group.address(index));
    assert_says(&node(&servers, &group, &["drain", &first]), 1, &["is the master", "switchover"]);
    assert_says(&node(&servers, &group, &["drain", "10.9.9.9:1"]), 1, &["is no node of the group", &second]);
    assert_says(&node(&servers, &group, &["priority", &second, "high"]), 2, &["is no priority"]);
    assert_says(&node(&servers, &group, &["drain", &second]), 0, &["is drained"]);
    assert_says(&node(&servers, &group, &["zone", &third, "eu-1"]), 0, &["is in zone eu-1"]);
    eventually(DEADLINE, "nobody is to read from it", || {
        ensure_eq(listed(&servers, &group, &second)["ok"].as_bool(), Some(false)).map(drop)
    });
    assert_eq!(listed(&servers, &group, &third)["zone"], "eu-1");
    let shown = node(&servers, &group, &["list"]);
    assert_says(&shown, 0, &["drained", "zone eu-1"]);
    let refused = operator(&servers, &group, &["switchover", "--to", &second, "--yes"]);
    assert_says(&refused, 1, &["can't take over: it is drained"]);
    let looked = operator(&servers, &group, &["switchover", "--dry-run"]);
    let version = format!("Redis {}", group.redis[2].info("server").expect("it answers")["redis_version"]);
    let told = ["would take over", "zone eu-1, not the master's", &version, "no append-only file"];
    assert_says(&looked, 0, &told);

    group.redis[0].kill();
    assert_eq!(group.await_successor(&servers, 0), 2, "the other one is drained");
    assert_says(&node(&servers, &group, &["drain", &second, "--undo"]), 0, &["is in service"]);
    group.redis[0].restart();
    group.await_steady(&servers, 2);
    group.await_nobody_left(&servers);
    assert_says(&node(&servers, &group, &["no-promote", &second]), 0, &["is never to lead"]);
    assert_eq!(listed(&servers, &group, &second)["priority"], 0);
    group.redis[2].kill();
    assert_eq!(group.await_successor(&servers, 2), 0, "the other one never leads");
    assert_says(&node(&servers, &group, &["no-promote", &second, "--undo"]), 0, &["that it tells itself"]);
}

#[test]
fn an_operator_has_a_master_replaced_that_serves_and_is_told_the_cost_first() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/ordered");
    let writer = Writer::start(&servers, &group, "ordered");
    writer.write_more();
    let third = group.address(2);
    let failover = |more: &[&str]| operator(&servers, &group, &[&["failover"], more].concat());
    assert_says(&failover(&["--to", &third]), 1, &["refused", "serves as the master of epoch 1"]);
    let cost = ["would take over from", "its clients are cut off"];
    assert_says(&failover(&["--to", &third, "--accept-loss", "--dry-run"]), 0, &cost);
    assert_says(
        &failover(&["--to", &third, "--accept-loss"]),
        1,
        &["would take over from", "nothing was done"],
    );
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    let done = failover(&["--to", &third, "--accept-loss", "--yes"]);
    assert_says(&done, 0, &[&format!("done: {third} is the master of epoch 2")]);
    group.await_steady(&servers, 2);
    let explained = operator(&servers, &group, &["explain", "2"]);
    assert_says(&explained, 0, &["an operator had", "--accept-loss", "taken: an operator wanted it"]);
    writer.write_more();
    // The nodes are stopped at once, but not in the same instant: what the master took meanwhile is what was accepted.
    assert_sound(&writer.finish(&group.redis[2]), 1, 500);
}
