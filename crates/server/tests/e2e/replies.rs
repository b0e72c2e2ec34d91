//! Answers are not silence: a master that answers with an error lives, and so does one that will not talk to us.

use std::time::{Duration, Instant};

use redis_failover_lab::{Connection, Redis, Reply, ensure_eq, eventually};

use crate::world::{DEADLINE, Group, Servers};
use crate::writer::Writer;
use crate::writer::{LOST_AT_MOST, assert_sound};

/// Longer than a master may be silent.
const LONG: Duration = Duration::from_secs(3);

/// Three synced servers with these lines in their configuration.
fn servers_with(options: &[(&str, &str)]) -> Vec<Redis> {
    let start = |_| {
        let builder = Redis::builder().option("repl-diskless-sync-delay", "0");
        options.iter().fold(builder, |builder, (name, value)| builder.option(*name, *value)).start()
    };
    (0..3).map(start).collect()
}

/// Watches the group for a time that would do for a failover: the monitors never find anything down.
pub(crate) fn await_peace(servers: &Servers, group: &Group) {
    let begun = Instant::now();
    eventually(DEADLINE, "three seconds pass without a failover", || {
        let status = group.status(servers)?;
        assert_eq!((&status["epoch"], &status["phase"]), (&1.into(), &"steady".into()), "{status}");
        assert_eq!(group.logged("+sdown"), 0, "nothing is down: {status}");
        if begun.elapsed() > LONG { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

/// Waits until all three monitors vote `vote` on the master.
pub(crate) fn await_votes(servers: &Servers, group: &Group, vote: &str) {
    eventually(DEADLINE, &format!("all vote {vote}"), || {
        let status = group.status(servers)?;
        for id in ["m1", "m2", "m3"] {
            ensure_eq(status["nodes"][0]["votes"][id].as_str(), Some(vote))?;
        }
        Ok::<_, String>(())
    });
}

fn obey(connection: &mut Connection, words: &[&str]) -> Reply {
    connection.command(words).and_then(Reply::into_result).expect("it obeys")
}

/// Runs a script on the master that ends only when it is killed, until it was busy for long.
fn be_busy(servers: &Servers, group: &Group) {
    let mut victim = group.redis[0].connect().expect("it answers");
    victim.command(&["EVAL", "while true do end", "0"]).expect_err("the script runs on");
    let mut killer = group.redis[0].connect().expect("it listens");
    let ping = killer.command(&["PING"]).expect("it answers");
    assert!(matches!(&ping, Reply::Error(error) if error.starts_with("BUSY")), "{ping:?}");
    await_peace(servers, group);
    obey(&mut killer, &["SCRIPT", "KILL"]);
    await_votes(servers, group, "up");
}

#[test]
fn a_master_that_runs_a_script_lives() {
    let servers = Servers::start();
    // Before that time a server that runs a script is silent.
    let mut group = Group::of("/redis/busy", servers_with(&[("busy-reply-threshold", "100")]));
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    be_busy(&servers, &group);
    assert_eq!(group.logged("BUSY"), 3, "each monitor says it once");
    let writer = Writer::start(&servers, &group, "busy");
    be_busy(&servers, &group);
    writer.write_more();
    group.await_steady(&servers, 0);
    assert_sound(&writer.finish(&group.redis[0]), 0, 0);
}

/// Has the master read its data from disk again, each of 2,000 keys for `micros`.
fn load_slowly(group: &Group, micros: &str) {
    let mut master = group.redis[0].connect().expect("it answers");
    obey(&mut master, &["CONFIG", "SET", "key-load-delay", micros]);
    // It takes longer than anybody waits for it here.
    let _ = master.command(&["DEBUG", "RELOAD"]);
}

#[test]
fn a_master_that_loads_is_replaced_when_it_takes_longer_than_down_after_and_not_before() {
    let servers = Servers::start();
    // Where events are looked at more rarely, a server that loads is silent.
    let mut group =
        Group::of("/redis/loading", servers_with(&[("loading-process-events-interval-bytes", "1024")]));
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].command(&["DEBUG", "POPULATE", "2000"]).and_then(Reply::into_result).expect("it obeys");
    load_slowly(&group, "200");
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    load_slowly(&group, "2000");
    let master = group.await_successor(&servers, 0);
    assert!(group.logged("is down: a quorum finds it unusable") > 0);
    group.await_steady(&servers, master);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
    assert_eq!(
        group.logged("let the ACL user run client|kill and config|set"),
        0,
        "nothing is forbidden here"
    );
}

#[test]
fn a_password_that_was_changed_is_our_fault() {
    let servers = Servers::start();
    let redis =
        (0..3).map(|_| Redis::builder().password("old").option("repl-diskless-sync-delay", "0").start());
    let mut group = Group::of("/redis/password", redis.collect());
    group.environment("REDIS_FAILOVER_REDIS_PASSWORD", "old");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let mut operator = group.redis[0].connect().expect("it answers");
    obey(&mut operator, &["CONFIG", "SET", "requirepass", "new"]);
    await_peace(&servers, &group);
    await_votes(&servers, &group, "up");
    obey(&mut operator, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await_votes(&servers, &group, "unknown");
    await_peace(&servers, &group);
    assert_eq!(group.logged("does not let us in"), 3, "each monitor says it once");
    obey(&mut operator, &["CONFIG", "SET", "requirepass", "old"]);
    await_votes(&servers, &group, "up");
    group.await_steady(&servers, 0);
}

#[test]
fn a_user_who_may_not_ask_any_more_is_our_fault() {
    let servers = Servers::start();
    let mut group = Group::of("/redis/noperm", servers_with(&[]));
    for redis in &group.redis {
        let user = ["ACL", "SETUSER", "ops", "on", ">ops", "~*", "&*", "+@all"];
        redis.command(&user).and_then(Reply::into_result).expect("an ACL user");
    }
    group.environment("REDIS_FAILOVER_REDIS_USERNAME", "ops");
    group.environment("REDIS_FAILOVER_REDIS_PASSWORD", "ops");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let mut operator = group.redis[0].connect().expect("it answers");
    for (forbidden, times) in [("-info", 3), ("-ping", 6)] {
        obey(&mut operator, &["ACL", "SETUSER", "ops", forbidden]);
        await_peace(&servers, &group);
        await_votes(&servers, &group, "up");
        assert_eq!(group.logged("let the ACL user run ping and info"), times, "each monitor says it once");
    }
    // Over new connections it is the same.
    obey(&mut operator, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await_peace(&servers, &group);
    obey(&mut operator, &["ACL", "SETUSER", "ops", "+info", "+ping"]);
    group.await_steady(&servers, 0);
}

#[test]
fn a_master_with_too_many_clients_lives() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/maxclients");
    let mut operator = group.redis[0].connect().expect("it answers");
    obey(&mut operator, &["CONFIG", "SET", "maxclients", "1"]);
    await_peace(&servers, &group);
    await_votes(&servers, &group, "up");
    obey(&mut operator, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await_votes(&servers, &group, "unknown");
    await_peace(&servers, &group);
    assert_eq!(group.logged("max number of clients"), 3, "each monitor says it once");
    obey(&mut operator, &["CONFIG", "SET", "maxclients", "100"]);
    await_votes(&servers, &group, "up");
    group.await_steady(&servers, 0);
}

#[test]
fn a_master_that_an_operator_made_a_replica_is_looked_at_again_and_replaced_at_once() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/demoted");
    let writer = Writer::start(&servers, &group, "demoted");
    let port = group.redis[1].port().to_string();
    group.redis[0]
        .command(&["REPLICAOF", "127.0.0.1", &port])
        .and_then(Reply::into_result)
        .expect("it obeys");
    let master = eventually(DEADLINE, "a node leads in epoch 2", || {
        let status = group.status(&servers)?;
        ensure_eq(status["epoch"].as_u64(), Some(2))?;
        ensure_eq(status["phase"].as_str(), Some("steady"))?;
        let led = group.redis.iter().position(|redis| status["master"] == redis.addr());
        led.ok_or_else(|| status.to_string())
    });
    writer.write_more();
    group.await_steady(&servers, master);
    assert!(group.logged("is demoted") > 0);
    // Before the monitors looked it may have been filled by a replica that lacked its last writes.
    assert_sound(&writer.finish(&group.redis[master]), 1, LOST_AT_MOST);
}
