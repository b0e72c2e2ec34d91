//! The threads and connections of the blocking client. A file of its own, so that no other test's threads are counted.

use std::fs;
use std::time::Duration;

use redis_failover::ReadFrom;
use redis_failover::blocking::Client;
use redis_failover::redis::{Commands, RedisResult};
use redis_failover_lab::{Redis, Reply, eventually};

const LONG: Duration = Duration::from_secs(20);

/// How many threads of this process have the client's name.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "redis-failover").count()
}

/// How many connections of clients there are, without the one that asks.
fn connections(redis: &Redis) -> Result<usize, String> {
    let Reply::Bulk(list) = redis.command(&["CLIENT", "LIST", "TYPE", "normal"])? else {
        return Err("no list".to_owned());
    };
    Ok(list.lines().filter(|line| !line.contains("cmd=client|list")).count())
}

#[test]
fn a_client_has_one_thread_from_its_first_use_to_its_end() -> RedisResult<()> {
    let redis = Redis::start();
    let builder = Client::builder().read_from(ReadFrom::Master);
    let client = builder.build_blocking_fixed(&redis.addr(), [""; 0]).expect("an address");
    let mut all: Vec<_> = (0..8).map(|_| client.connection()).collect();
    let mut topologies = client.topology();
    assert_eq!(threads(), 0, "nothing is started before it is used");
    for connection in &mut all {
        connection.set::<_, _, ()>("a", 1)?;
    }
    let group = client.group("/another").expect("a path");
    group.connection().set::<_, _, ()>("a", 2)?;
    assert!(topologies.next().is_some());
    assert_eq!(threads(), 1, "all share it");
    assert_eq!(connections(&redis), Ok(2), "one connection for each group");

    drop((client, group));
    all.truncate(1);
    let mut last = all.remove(0);
    last.set::<_, _, ()>("a", 3)?;
    assert_eq!((threads(), connections(&redis)), (1, Ok(1)), "a connection keeps its client");
    drop(last);
    eventually(LONG, "all of it ends", || match (threads(), connections(&redis)?) {
        (0, 0) => Ok(()),
        left => Err(format!("{left:?}")),
    });
    assert!(topologies.next().is_none());
    Ok(())
}
