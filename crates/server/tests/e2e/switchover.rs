//! Switching over while clients write: nobody is told of an error, and nothing is lost.

use redis_failover_lab::{Flavour, Redis};

use crate::operator::{assert_says, operator};
use crate::world::{Group, Servers};
use crate::writer::Writer;

#[test]
fn another_node_takes_over_and_back_unnoticed_on_the_installed_version() {
    another_node_takes_over_and_back_unnoticed(Flavour::Installed);
}

#[test]
fn another_node_takes_over_and_back_unnoticed_on_redis_6_2() {
    another_node_takes_over_and_back_unnoticed(Flavour::Redis62);
}

#[test]
fn another_node_takes_over_and_back_unnoticed_on_valkey_9_1() {
    another_node_takes_over_and_back_unnoticed(Flavour::Valkey91);
}

fn another_node_takes_over_and_back_unnoticed(flavour: Flavour) {
    let servers = Servers::start();
    let redis = || Redis::builder().flavour(flavour).option("repl-diskless-sync-delay", "0").start();
    let mut group = Group::of("/redis/switchover", (0..3).map(|_| redis()).collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let copies = full_copies(&group);
    let writer = Writer::start(&servers, &group, "s");
    let (first, second) = (group.redis[0].addr(), group.redis[1].addr());
    let there = operator(&servers, &group, &["switchover", "--to", &second, "--yes"]);
    assert_says(&there, 0, &["done", &second, "has given up its role"]);
    writer.write_more();
    group.await_steady(&servers, 1);
    let back = operator(&servers, &group, &["switchover", "--to", &first, "--yes", "--json"]);
    assert_says(&back, 0, &[r#""outcome":"done""#]);
    writer.write_more();
    group.await_steady(&servers, 0);
    assert_says(&operator(&servers, &group, &["explain", "2"]), 0, &["(switchover)", "0 bytes"]);
    assert_eq!(full_copies(&group), copies, "all went on from where they were");
    let balance = writer.finish(&group.redis[0]);
    assert_eq!((balance.lost, balance.unknown), (0, 0), "{balance:?}");
}

/// How many full copies all nodes together have given.
fn full_copies(group: &Group) -> u64 {
    let given = |redis: &Redis| redis.info("stats").ok()?.get("sync_full")?.parse::<u64>().ok();
    group.redis.iter().map(|redis| given(redis).expect("it answers")).sum()
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_changed() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/prospects");
    let first = group.redis[0].addr();
    group.redis[1].command(&["CONFIG", "SET", "replica-priority", "0"]).expect("it obeys");
    let switchover = |more: &[&str]| operator(&servers, &group, &[&["switchover"], more].concat());
    let (second, third) = (group.redis[1].addr(), group.redis[2].addr());
    let would = format!("{third} would take over");
    assert_says(
        &switchover(&["--dry-run"]),
        0,
        &[&would, "its link is up", "replica-priority 0", "priority 100"],
    );
    assert_says(&switchover(&[]), 1, &["nothing was done", "--yes"]);
    assert_says(&switchover(&["--yes", "--to", &first]), 1, &["refused", "already"]);
    assert_says(&switchover(&["--yes", "--to", &second]), 1, &["refused", "replica-priority 0"]);
    assert_says(&switchover(&["--yes", "--to", "10.9.9.9:1"]), 1, &["no node of the group", &second, &third]);
    let status = group.status(&servers).expect("a status");
    assert_eq!((&status["epoch"], &status["phase"]), (&1.into(), &"steady".into()), "{status}");
}
