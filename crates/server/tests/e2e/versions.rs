//! Monitors of one version beside documents of another.

use redis_failover_lab::{ensure_eq, eventually};

use crate::world::{DEADLINE, Group, Servers};

#[test]
fn a_newer_format_is_followed_and_not_led_until_it_can_be_read_again() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/newer");
    let ours = servers.get(&group.path);
    let theirs = ours.replace(r#""format":1"#, r#""format":2"#);
    assert_ne!(ours, theirs);
    servers.put(&group.path, &theirs);
    let locks = format!("{}/leader", group.path);
    eventually(DEADLINE, "nobody stands for the lead", || ensure_eq(servers.children(&locks).len(), 0));
    // Also who is started now goes on living, and says it.
    let monitor = group.monitors.get_mut("m1").expect("it runs");
    monitor.terminate();
    assert!(monitor.wait_exit(DEADLINE).success());
    group.start_monitor(&servers, "m1");
    let reports = format!("{}/monitors", group.path);
    eventually(DEADLINE, "all vote", || {
        let mut reports = servers.children(&reports);
        reports.sort();
        ensure_eq(reports, ["m1", "m2", "m3"])
    });
    eventually(DEADLINE, "each has said once what it cannot read, one of them in both its lives", || {
        ensure_eq(group.logged("has format 2"), 4)
    });

    // What happens meanwhile is seen, and nobody acts upon it.
    group.redis[0].kill();
    eventually(DEADLINE, "all find the master down", || ensure_eq(group.logged("event=\"+sdown\""), 3));
    assert_eq!(servers.children(&locks), [""; 0]);
    assert_eq!(servers.get(&group.path), theirs);
    for redis in &group.redis[1..] {
        assert_eq!(redis.role().expect("it answers"), "slave");
    }
    for monitor in group.monitors.values_mut() {
        assert!(monitor.is_running());
    }

    servers.put(&group.path, &ours);
    let master = group.await_successor(&servers, 0);
    group.await_steady(&servers, master);
    assert_eq!(group.logged("event=\"readable\""), 3);
}
