//! `top` on a terminal of its own, beside a group that loses its master.

use std::fs;

use redis_failover_lab::eventually;

use crate::world::{DEADLINE, Group, Servers};

#[test]
fn a_failover_is_seen_on_the_screen_and_the_terminal_is_given_back() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/shown");
    let screen = servers.file("screen");
    let (file, zookeeper) = (screen.to_string_lossy().into_owned(), servers.zookeeper.connect_string());
    let top = ["top", "-z", &zookeeper, "-p", &group.path, "/redis/none"];
    let mut terminal = servers.on_a_terminal(&file, &top);
    let await_all = |what: &str, texts: &[&str]| {
        eventually(DEADLINE, what, || {
            let shown = fs::read_to_string(&screen).unwrap_or_default();
            let missing = texts.iter().find(|text| !shown.contains(**text));
            missing.map_or(Ok(()), |missing| Err(format!("{shown}\nwithout `{missing}`")))
        });
    };
    let first = group.address(0);
    let listed = format!("{first}, epoch 1");
    let all = [&listed, "master, 2 replicas", "link up", " ms ", " B, ", "up (all 3)", "founded"];
    await_all("the group as it is", &all);
    await_all("the group that is not there", &["nothing-published"]);
    group.redis[1].stop();
    await_all("a node that hangs", &["no answer for "]);
    group.redis[1].cont();
    group.redis[0].kill();
    let next = group.address(group.await_successor(&servers, 0));
    let (listed, change) = (format!("{next}, epoch 2"), format!("{first} -> {next}"));
    await_all("the failover", &[&listed, "connection refused", &change]);
    terminal.terminate();
    assert!(terminal.wait_exit(DEADLINE).success());
    let log = fs::read_to_string(terminal.log()).expect("what was said");
    assert_eq!(log.trim(), "ended with 0, settings restored: True, screen left: True");
}
