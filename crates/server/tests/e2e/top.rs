//! `top` on a terminal of its own, beside a group that loses its master.

use std::fs;
use std::path::Path;

use redis_failover_lab::eventually;

use crate::world::{DEADLINE, Group, Servers};

/// Waits until the screen has all of these.
#[track_caller]
fn await_all(screen: &Path, what: &str, texts: &[&str]) {
    eventually(DEADLINE, what, || {
        let shown = fs::read_to_string(screen).unwrap_or_default();
        let missing = texts.iter().find(|text| !shown.contains(**text));
        missing.map_or(Ok(()), |missing| Err(format!("{shown}\nwithout `{missing}`")))
    });
}

#[test]
fn a_failover_is_seen_on_the_screen_and_the_terminal_is_given_back() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/shown");
    let screen = servers.file("screen");
    let (file, zookeeper) = (screen.to_string_lossy().into_owned(), servers.zookeeper.connect_string());
    let top = ["top", "-z", &zookeeper, "-p", &group.path, "/redis/none"];
    let mut terminal = servers.on_a_terminal(&file, &top);
    let await_all = |what: &str, texts: &[&str]| await_all(&screen, what, texts);
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

#[test]
fn the_groups_of_a_configuration_file_are_shown_until_ctrl_c() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/listed");
    let (screen, file) = (servers.file("screen"), servers.file("monitor.toml"));
    let zookeeper = servers.zookeeper.connect_string();
    let nodes: Vec<_> = (0..3).map(|node| format!("{:?}", group.address(node))).collect();
    let groups =
        [("orders", group.path.as_str(), nodes.join(", ")), ("none", "/redis/none", "\"a:1\"".into())];
    let groups = groups.map(|(name, path, nodes)| {
        format!("[[group]]\nname = \"{name}\"\npath = \"{path}\"\nredishosts = [{nodes}]\n")
    });
    let text = format!("[defaults]\nzkhosts = \"{zookeeper}\"\n\n{}", groups.concat());
    fs::write(&file, text).expect("it is written");
    let top = ["top", "--config", &file.to_string_lossy()];
    let mut terminal = servers.on_a_terminal(&screen.to_string_lossy(), &top);
    let listed = format!("{}, epoch 1", group.address(0));
    await_all(
        &screen,
        "both groups",
        &["orders", &listed, "none", "nothing-published", "master, 2 replicas"],
    );
    terminal.interrupt();
    assert!(terminal.wait_exit(DEADLINE).success());
    let log = fs::read_to_string(terminal.log()).expect("what was said");
    assert_eq!(log.trim(), "ended with 0, settings restored: True, screen left: True");
}
