//! How a group begins: fresh, adopted, protected by a password, or not at all.

use std::fs;

use redis_failover_lab::{Redis, ensure_eq, eventually};

use crate::world::{DEADLINE, Group, Servers};

#[test]
fn servers_with_a_password_are_managed_and_the_password_is_in_no_log_no_journal_and_no_argv() {
    const SECRET: &str = "correct-horse-battery";
    let servers = Servers::start();
    let redis =
        (0..3).map(|_| Redis::builder().password(SECRET).option("repl-diskless-sync-delay", "0").start());
    let mut group = Group::of("/redis/secret", redis.collect());
    group.environment("REDIS_FAILOVER_REDIS_PASSWORD", SECRET);
    group.environment("REDIS_FAILOVER_LOG", "trace");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    group.await_steady(&servers, master);
    for monitor in group.monitors.values() {
        let argv = fs::read_to_string(format!("/proc/{}/cmdline", monitor.pid())).expect("an argv");
        assert!(!argv.contains(SECRET));
    }
    assert_eq!(group.logged(SECRET), 0);
    for id in ["m1", "m2", "m3"] {
        let journal = fs::read_to_string(group.journals.file(id)).expect("a journal");
        assert!(journal.contains(&group.address(0)) && !journal.contains(SECRET));
    }
}

#[test]
fn a_wrong_password_is_told_and_is_nobodys_death() {
    let servers = Servers::start();
    let redis = (0..3).map(|_| Redis::builder().password("right").start());
    let mut group = Group::of("/redis/denied", redis.collect());
    group.environment("REDIS_FAILOVER_REDIS_PASSWORD", "wrong");
    group.start_monitors(&servers);
    eventually(DEADLINE, "it is told", || {
        let told = group.logged("does not let us in");
        if told >= 9 { Ok(()) } else { Err(format!("{told} of 9 times")) }
    });
    assert_eq!(group.logged("+sdown"), 0);
    let error = group.status(&servers).expect_err("nothing may be published");
    assert!(error.contains("nothing is published at /redis/denied"), "{error}");
}

#[test]
fn two_masters_with_data_are_named_and_left_alone() {
    let servers = Servers::start();
    let redis: Vec<_> = (0..3).map(|_| Redis::start()).collect();
    redis[0].set("a", "1").expect("it takes writes");
    redis[1].set("b", "1").expect("it takes writes");
    let mut group = Group::of("/redis/two-masters", redis);
    group.start_monitors(&servers);
    eventually(DEADLINE, "both are named with their keys", || {
        let named = format!("{} with 1 keys", group.redis[1].addr());
        if group.logged(&named) > 0 { Ok(()) } else { Err("not yet") }
    });
    for redis in &group.redis {
        assert_eq!(redis.role().expect("it answers"), "master");
    }
    // The operator decides, and it goes on by itself.
    let port = group.redis[0].port().to_string();
    group.redis[1].command(&["REPLICAOF", "127.0.0.1", &port]).expect("it obeys");
    group.await_steady(&servers, 0);
    assert_eq!(group.redis[1].get("a").expect("it answers").as_deref(), Some("1"));
}

#[test]
fn a_monitor_that_ends_in_order_hands_over_at_once() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/order");
    let leader = group.leader(&servers);
    let monitor = group.monitors.get_mut(&leader).expect("the leader is one of them");
    monitor.terminate();
    assert!(monitor.wait_exit(DEADLINE).success());
    // Its session is closed: nobody waits for its time-out.
    eventually(std::time::Duration::from_millis(1_500), "another monitor leads", || {
        let status = group.status(&servers)?;
        let now = status["leader"]["id"].as_str().map(str::to_owned);
        if now.is_some() && now.as_ref() != Some(&leader) { Ok(()) } else { Err(status.to_string()) }
    });
    let epoch = group.status(&servers).expect("a status")["epoch"].clone();
    ensure_eq(epoch, 1).expect("no change of master");
}

/// Three servers on which the monitors' user may do all but `forbidden`.
pub(crate) fn restricted(path: &str, forbidden: &str) -> Group {
    let redis: Vec<_> =
        (0..3).map(|_| Redis::builder().option("repl-diskless-sync-delay", "0").start()).collect();
    for redis in &redis {
        let user = ["ACL", "SETUSER", "ops", "on", ">ops", "~*", "&*", "+@all", forbidden];
        redis.command(&user).and_then(redis_failover_lab::Reply::into_result).expect("an ACL user");
    }
    let mut group = Group::of(path, redis);
    group.environment("REDIS_FAILOVER_REDIS_USERNAME", "ops");
    group.environment("REDIS_FAILOVER_REDIS_PASSWORD", "ops");
    group
}

#[test]
fn a_user_who_may_not_set_the_configuration_still_fails_over() {
    let servers = Servers::start();
    let mut group = restricted("/redis/no-config-set", "-config|set");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    group.await_steady(&servers, master);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
    assert!(group.logged("let the ACL user run client|kill and config|set") > 0);

    // No master is fenced here: who is back in step is good again all the same.
    group.redis[0].restart();
    group.await_steady(&servers, master);
    group.await_nobody_left(&servers);
    group.redis[3 - master].kill();
    group.redis[master].kill();
    assert_eq!(group.await_successor(&servers, master), 0);
}

#[test]
fn a_user_who_may_not_kill_clients_still_demotes() {
    let servers = Servers::start();
    let mut group = restricted("/redis/no-client-kill", "-client|kill");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].stop();
    let master = group.await_successor(&servers, 0);
    group.redis[0].cont();
    group.await_steady(&servers, master);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
}

#[test]
fn two_spellings_of_one_server_are_refused() {
    let servers = Servers::start();
    let mut group = Group::of("/redis/spellings", vec![Redis::start()]);
    group.also(format!("localhost:{}", group.redis[0].port()));
    group.start_monitor(&servers, "m1");
    eventually(DEADLINE, "both spellings are named", || {
        if group.logged("are the same server") > 0 { Ok(()) } else { Err("not yet") }
    });
    assert_eq!(group.redis[0].role().expect("it answers"), "master");
    assert!(group.status(&servers).is_err());
}
