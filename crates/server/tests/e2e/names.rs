//! Nodes that are called by names, and nodes at IPv6 addresses.

use std::net::Ipv6Addr;
use std::time::Duration;

use redis_failover_lab::{Redis, ensure_eq, eventually};

use crate::world::{DEADLINE, Group, Servers};
use crate::writer::Writer;

fn fast() -> redis_failover_lab::RedisBuilder {
    Redis::builder().option("repl-diskless-sync-delay", "0")
}

/// Servers of which the first is the master, which the others call by its number; the monitors say `localhost`.
fn named(path: &str, master: Redis) -> Group {
    let replicas = [(); 2].map(|()| fast().replica_of(&master).start());
    let mut group = Group::of(path, std::iter::once(master).chain(replicas).collect());
    group.host = Some("localhost");
    group
}

fn follows_told(group: &Group) -> usize {
    group.monitors.keys().map(|id| group.steps_of(id).iter().filter(|it| it.contains("follow")).count()).sum()
}

#[test]
fn a_master_called_by_name_is_the_one_that_its_replicas_call_by_address() {
    let servers = Servers::start();
    // While a first copy waits for its master the link is down: nothing but the address tells whom a replica follows.
    let master = Redis::builder().option("repl-diskless-sync-delay", "4").start();
    let mut group = named("/redis/named", master);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    for replica in &group.redis[1..] {
        let info = replica.info("replication").expect("it answers");
        assert_eq!(info["master_host"], "127.0.0.1", "nobody told it to follow another spelling");
    }
    assert_eq!(follows_told(&group), 0);

    let writer = Writer::start(&servers, &group, "named");
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.redis[0].restart();
    group.await_steady(&servers, master);
    // Who follows is told so once, however the name and the address differ.
    let told = follows_told(&group);
    writer.write_more();
    group.await_steady(&servers, master);
    assert_eq!(follows_told(&group), told);
}

#[test]
fn a_master_that_is_down_is_known_by_the_address_that_its_replicas_name() {
    let servers = Servers::start();
    let mut group = named("/redis/named-down", fast().start());
    group.redis[0].set("a", "1").expect("it takes writes");
    eventually(DEADLINE, "the replicas have it", || {
        for replica in &group.redis[1..] {
            ensure_eq(replica.get("a")?.as_deref(), Some("1"))?;
        }
        Ok::<_, String>(())
    });
    group.redis[0].kill();
    group.start_monitors(&servers);
    let master = group.await_successor(&servers, 0);
    assert_eq!(group.redis[master].get("a").expect("it answers").as_deref(), Some("1"));
}

#[test]
fn a_name_that_leads_nowhere_is_told_and_keeps_nobody_from_a_failover() {
    let servers = Servers::start();
    let redis = vec![fast().start(), fast().start()];
    let port = redis[1].port().to_string();
    redis[0].command(&["REPLICAOF", "127.0.0.1", &port]).expect("it obeys");
    let mut group = Group::of("/redis/nowhere", redis);
    group.also("nowhere.invalid:6379".to_owned());
    group.start_monitors(&servers);
    eventually(DEADLINE, "it is told, and the others are a group", || {
        ensure_eq(group.logged("nowhere.invalid: ") >= 3, true)?;
        let master = group.status(&servers)?["master"].as_str().map(str::to_owned);
        ensure_eq(master, Some(group.redis[1].addr()))
    });
    eventually(DEADLINE, "the replica is OK", || {
        let status = group.status(&servers)?;
        let nodes = status["nodes"].as_array().ok_or("no nodes")?;
        let ok = nodes.iter().find(|it| it["node"] == group.redis[0].addr()).map(|it| it["ok"] == true);
        ensure_eq(ok, Some(true))
    });
    group.redis[1].kill();
    let successor = group.await_successor(&servers, 1);
    assert_eq!(successor, 0);
}

#[test]
fn nodes_at_ipv6_addresses_fail_over_under_the_client() {
    let servers = Servers::start();
    let redis = (0..3).map(|_| fast().address(Ipv6Addr::LOCALHOST.into()).start());
    let mut group = Group::of("/redis/ipv6", redis.collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    assert!(
        servers.get(&group.path).contains(&format!(r#""master":["[::1]:{}","OK"]"#, group.redis[0].port()))
    );
    let writer = Writer::start(&servers, &group, "ipv6");
    writer.pause();
    group.await_caught_up(0);
    group.redis[0].kill();
    writer.resume();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.redis[0].restart();
    group.await_steady(&servers, master);
    let balance = writer.finish(&group.redis[master]);
    assert!(balance.lost == 0 && balance.unknown <= 1, "{balance:?}");
    assert!(balance.gap < Duration::from_secs(8), "{balance:?}");
}
