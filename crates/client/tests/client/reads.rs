//! Which nodes reads go to.

use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, FromRedisValue, RedisResult, Value, cmd};
use redis_failover::{Client, Connection, ReadFrom};
use tokio::time::timeout;

use crate::world::{Stage, calls, ok, run, soon};

/// Where `count` reads go: how many to each node.
async fn reads(stage: &Stage, con: &mut Connection, count: usize) -> RedisResult<Vec<u64>> {
    let gets = || stage.nodes.iter().map(|node| calls(node, "get")).collect::<Vec<_>>();
    let before = gets();
    for _ in 0..count {
        let _: Value = con.get("a").await?;
    }
    Ok(gets().iter().zip(before).map(|(after, before)| after - before).collect())
}

/// Waits until reads go to these nodes and no others.
async fn await_readers(stage: &Stage, con: &mut Connection, readers: &[usize]) {
    soon("others are read", async || {
        let counts = reads(stage, con, 12).await.map_err(|error| error.to_string())?;
        let share = 12 / readers.len() as u64;
        let as_wished = counts.iter().enumerate();
        let mut as_wished =
            as_wished.map(|(node, count)| *count == if readers.contains(&node) { share } else { 0 });
        if as_wished.all(|it| it) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
}

#[tokio::test]
async fn any_takes_all_nodes_in_turn() {
    let stage = Stage::start();
    let mut con = stage.client(Client::builder().read_from(ReadFrom::Any)).connection();
    await_readers(&stage, &mut con, &[0, 1, 2]).await;
}

#[tokio::test]
async fn nearest_leaves_out_who_is_far_away() {
    let stage = Stage::linked();
    let far = Duration::from_millis(60);
    stage.nodes[1].link().all().delay(far);
    let builder = Client::builder().read_from(ReadFrom::Nearest).max_lag(None);
    let mut con = stage.client(builder.clone().latency_tolerance(Duration::from_millis(50))).connection();
    await_readers(&stage, &mut con, &[0, 2]).await;
    let mut tolerant = stage.client(builder.latency_tolerance(Duration::from_secs(5))).connection();
    await_readers(&stage, &mut tolerant, &[0, 1, 2]).await;
    // Distances change.
    stage.nodes[1].link().all().heal();
    stage.nodes[0].link().all().delay(far);
    stage.nodes[2].link().all().delay(far);
    await_readers(&stage, &mut con, &[1]).await;
    // Who does not answer any more is far away, too.
    stage.nodes[1].link().all().hold();
    soon("no read waits for it", async || {
        let begun = Instant::now();
        let reads = timeout(Duration::from_millis(500), con.get::<_, Value>("a")).await;
        if reads.is_ok() { Ok(()) } else { Err(format!("{:?}", begun.elapsed())) }
    })
    .await;
}

#[tokio::test]
async fn the_own_zone_is_left_only_when_nobody_there_can_be_read() {
    let stage = Stage::start();
    let addr = |node: usize| stage.nodes[node].addr();
    let own = addr(2);
    let builder = Client::builder().own_zone(move |node| node.to_string() == own);
    let mut con = stage.client(builder).connection();
    await_readers(&stage, &mut con, &[2]).await;
    let document = stage.document(1, 0, "steady", &run(&stage.nodes[0]));
    let healthy = format!(r#""{}","OK""#, addr(2));
    assert!(document.contains(&healthy));
    stage.put(&document.replace(&healthy, &healthy.replace("OK", "KO")));
    await_readers(&stage, &mut con, &[1]).await;
    stage.put(&document);
    await_readers(&stage, &mut con, &[2]).await;
    // Who hangs can't be read from, though nobody asks how it follows.
    let (own, limit) = (addr(1), Duration::from_millis(200));
    let builder = Client::builder().own_zone(move |node| node.to_string() == own).max_lag(None);
    let mut other = stage.client(builder.response_timeout(Some(limit)).connect_timeout(limit)).connection();
    await_readers(&stage, &mut other, &[1]).await;
    stage.nodes[1].stop();
    soon("the other replica is read", async || {
        let before = calls(&stage.nodes[2], "get");
        let _: Value = other.get("a").await.map_err(|error| error.to_string())?;
        if calls(&stage.nodes[2], "get") > before { Ok(()) } else { Err("the master is".to_owned()) }
    })
    .await;
    stage.nodes[1].cont();
    // A function that panics names no zone, and ends nothing.
    let panics = Client::builder().own_zone(|_| panic!("on purpose"));
    await_readers(&stage, &mut stage.client(panics).connection(), &[1, 2]).await;
}

#[tokio::test]
async fn a_replica_that_hears_nothing_of_its_master_is_not_read_for_longer_than_max_lag() -> RedisResult<()> {
    let stage = Stage::linked();
    let lag = |limit: Option<u64>| Client::builder().max_lag(limit.map(Duration::from_secs));
    let (mut strict, mut lenient) =
        (stage.client(lag(Some(1))).connection(), stage.client(lag(None)).connection());
    for number in 0..1000 {
        let _: () = strict.set(format!("key:{number}"), number).await?;
    }
    stage.await_synced();
    await_readers(&stage, &mut strict, &[1, 2]).await;
    // A scan on node 1, which is not read from when it goes on.
    let mut page = (0, 0);
    while page.1 == 0 {
        let before = calls(&stage.nodes[1], "scan");
        let (cursor, _): (u64, Vec<String>) = cmd("SCAN").arg(0).query_async(&mut strict).await?;
        page = (cursor, calls(&stage.nodes[1], "scan") - before);
    }
    let silent = Instant::now();
    stage.replication(0, 1).hold();
    await_readers(&stage, &mut strict, &[2]).await;
    assert!(silent.elapsed() > Duration::from_secs(1), "after {:?}", silent.elapsed());
    await_readers(&stage, &mut lenient, &[1, 2]).await;
    await_readers(&stage, &mut stage.client(lag(Some(60))).connection(), &[1, 2]).await;
    let (_, keys): (u64, Vec<String>) = cmd("SCAN").arg(page.0).query_async(&mut strict).await?;
    assert!(!keys.is_empty(), "the scan goes on where it began");
    stage.replication(0, 2).hold();
    await_readers(&stage, &mut strict, &[0]).await;
    stage.replication(0, 1).release();
    await_readers(&stage, &mut strict, &[1]).await;
    Ok(())
}

#[tokio::test]
async fn a_replica_that_does_not_answer_is_not_read() {
    let stage = Stage::start();
    let client = stage.client(Client::builder().max_lag(Some(Duration::ZERO)).response_timeout(None));
    let mut con = client.connection();
    await_readers(&stage, &mut con, &[1, 2]).await;
    stage.nodes[1].stop();
    soon("no read waits for it", async || {
        for _ in 0..10 {
            let read = timeout(Duration::from_millis(500), con.get::<_, Value>("a")).await;
            read.map_err(|_| "it waits")?.map_err(|error| error.to_string())?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn replicas_are_read_on_while_the_master_is_being_changed_but_not_for_longer_than_max_lag() {
    let mut stage = Stage::start();
    let client =
        |limit| stage.client(Client::builder().max_lag(limit).wait_limit(Duration::from_millis(100)));
    let mut lenient = client(Some(Duration::from_mins(1))).connection();
    let mut strict = client(Some(Duration::ZERO)).connection();
    await_readers(&stage, &mut lenient, &[1, 2]).await;
    await_readers(&stage, &mut strict, &[1, 2]).await;
    stage.nodes[0].kill();
    stage.open_epoch(2, 0);
    for node in 1..3 {
        ok(&stage.nodes[node], &["REPLICAOF", "127.0.0.1", "1"]);
    }
    soon("the replicas lag", async || match strict.get::<_, Value>("a").await {
        Ok(_) => Err("it is read".to_owned()),
        Err(_) => Ok(()),
    })
    .await;
    for _ in 0..20 {
        lenient.get::<_, Value>("a").await.expect("a replica answers");
    }
}

#[tokio::test]
async fn where_info_is_forbidden_the_monitors_word_is_enough() -> RedisResult<()> {
    let stage = Stage::start();
    for node in &stage.nodes {
        ok(node, &["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info"]);
    }
    let builder = Client::builder().username("app").password("secret").max_lag(Some(Duration::ZERO));
    let client = stage.client(builder.read_your_writes(true));
    let mut con = client.connection();
    await_readers(&stage, &mut con, &[1, 2]).await;
    // What can't be known is not proved either.
    let _: () = con.set("a", 1).await?;
    stage.await_synced();
    assert_eq!(reads(&stage, &mut con, 12).await?, [12, 0, 0]);
    assert_eq!(i64::from_redis_value(con.get("a").await?).expect("a number"), 1);
    Ok(())
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_replaced_though_nobody_reads_over_it() {
    let stage = Stage::linked();
    let limit = Duration::from_millis(300);
    let builder = Client::builder().response_timeout(Some(limit)).connect_timeout(limit);
    let mut con = stage.client(builder).connection();
    await_readers(&stage, &mut con, &[1, 2]).await;
    let client_traffic = || stage.nodes[1].link().of([std::net::Ipv4Addr::LOCALHOST]);
    client_traffic().strand();
    // Not one command is sent.
    soon("it is connected anew", async || {
        let open = client_traffic().connections();
        if open == 2 { Ok(()) } else { Err(format!("{open} connections")) }
    })
    .await;
    await_readers(&stage, &mut con, &[1, 2]).await;
}
