//! Reads that find what was written on the same connection.

use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, RedisResult, Script, Value, aio, cmd, pipe};
use redis_failover::{Builder, Client, Connection, ReadFrom};

use crate::world::{Stage, calls, ok, soon};

fn builder() -> Builder {
    // Of this no replica is to be left out.
    Client::builder().max_lag(None)
}

/// How often the replicas were read from.
fn replica_reads(stage: &Stage) -> u64 {
    (1..3).map(|node| calls(&stage.nodes[node], "get")).sum()
}

/// Writes `count` times, and after each reads until `reads` reads have been done. Yields how many did not find it.
async fn misses(con: &mut Connection, count: i64, reads: usize) -> RedisResult<usize> {
    let mut misses = 0;
    for number in 0..count {
        let _: () = con.set("a", number).await?;
        for _ in 0..reads {
            misses += usize::from(con.get::<_, Option<i64>>("a").await? != Some(number));
        }
    }
    Ok(misses)
}

/// Waits until a replica has been read from after what was written last, and found it.
async fn await_proof(stage: &Stage, con: &mut Connection, expected: i64) {
    let before = replica_reads(stage);
    soon("a replica is read again", async || {
        let read: i64 = con.get("a").await.map_err(|error| error.to_string())?;
        assert_eq!(read, expected);
        if replica_reads(stage) > before { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn reads_find_what_was_written_though_the_replicas_are_behind() -> RedisResult<()> {
    let stage = Stage::linked();
    let client = stage.client(builder());
    let mut careless = client.connection();
    let mut careful = client.connection().read_your_writes(true);
    for read_from in [ReadFrom::Replica, ReadFrom::Any, ReadFrom::Nearest] {
        let client = stage.client(builder().read_from(read_from).read_your_writes(true));
        let mut con = client.connection();
        stage.await_read(&mut careless).await;
        (1..3).for_each(|node| stage.replication(0, node).hold());
        let before = replica_reads(&stage);
        assert_eq!(misses(&mut con, 100, 5).await?, 0, "{read_from}");
        assert_eq!(misses(&mut careful, 100, 5).await?, 0);
        assert_eq!(replica_reads(&stage), before);
        assert!(misses(&mut careless, 10, 5).await? > 0, "or nothing is put to the test");
        (1..3).for_each(|node| stage.replication(0, node).release());
        await_proof(&stage, &mut con, 9).await;
        await_proof(&stage, &mut careful, 9).await;
    }
    Ok(())
}

#[tokio::test]
async fn replicas_are_read_as_soon_as_they_have_caught_up() -> RedisResult<()> {
    let stage = Stage::linked();
    let late = Duration::from_millis(20);
    (1..3).for_each(|node| stage.replication(0, node).delay(late));
    let client = stage.client(builder());
    let mut con = client.connection().read_your_writes(true);
    stage.await_read(&mut con).await;
    let begun = Instant::now();
    for number in 0..50 {
        let _: () = con.set("a", number).await?;
        await_proof(&stage, &mut con, number).await;
    }
    // Nobody waited for the next second: it is asked because it is wanted.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let mut careless = client.connection();
    assert!(misses(&mut careless, 20, 5).await? > 0, "or nothing is put to the test");
    Ok(())
}

#[tokio::test]
async fn no_more_is_asked_than_is_read_and_a_replica_that_stays_behind_is_asked_seldom() -> RedisResult<()> {
    let stage = Stage::linked();
    let mut con = stage.client(builder().read_your_writes(true)).connection();
    stage.await_read(&mut con).await;
    // Where nothing is read, no more is asked than once a second.
    let infos = || calls(&stage.nodes[1], "info");
    let (quiet, begun) = (infos(), Instant::now());
    while begun.elapsed() < Duration::from_secs(2) {
        let _ = misses(&mut con, 20, 0).await?;
    }
    let asked = infos() - quiet;
    assert!((2..5).contains(&asked), "{asked} questions");
    // One replica is enough: the other is not asked for more often.
    stage.replication(0, 2).hold();
    let (before, begun) = (infos(), Instant::now());
    assert_eq!(misses(&mut con, 1, 1).await?, 0);
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(con.get::<_, i64>("a").await?, 0);
    }
    let asked = infos() - before;
    assert!((2..20).contains(&asked), "{asked} questions");
    stage.replication(0, 1).hold();
    let before = infos();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(misses(&mut con, 20, 20).await?, 0);
    }
    let asked = infos() - before;
    assert!((2..30).contains(&asked), "{asked} questions");
    Ok(())
}

#[tokio::test]
async fn every_kind_of_write_counts() -> RedisResult<()> {
    let stage = Stage::linked();
    let client = stage.client(builder().read_your_writes(true));
    let mut con = client.connection();
    let _: () = con.set("a", 0).await?;
    let _: () = con.rpush("queue", &[0; 99]).await?;
    stage.await_synced();
    stage.await_read(&mut client.connection()).await;
    (1..3).for_each(|node| stage.replication(0, node).hold());

    let mut con = client.connection();
    pipe().set("a", 1).get("a").exec_async(&mut con).await?;
    assert_eq!(con.get::<_, i64>("a").await?, 1, "a pipeline");
    let mut con = client.connection();
    pipe().atomic().set("a", 2).exec_async(&mut con).await?;
    assert_eq!(con.get::<_, i64>("a").await?, 2, "a transaction");
    let mut con = client.connection();
    let _: () = Script::new("redis.call('SET', 'a', 3)").invoke_async(&mut con).await?;
    assert_eq!(con.get::<_, i64>("a").await?, 3, "a script");
    let mut con = client.connection();
    cmd("MULTI").exec_async(&mut con).await?;
    cmd("SET").arg("a").arg(4).exec_async(&mut con).await?;
    cmd("EXEC").exec_async(&mut con).await?;
    assert_eq!(con.get::<_, i64>("a").await?, 4, "MULTI and EXEC");
    let mut con = client.connection();
    let _: Value = con.blpop("queue", 0.0).await?;
    assert_eq!(con.llen::<_, i64>("queue").await?, 98, "a blocking command");
    let mut con = client.connection();
    let _: Value = aio::transaction_async(con.clone(), &["a"], |mut con, mut pipe| async move {
        pipe.set("a", 5).query_async(&mut con).await
    })
    .await?;
    assert_eq!(con.get::<_, i64>("a").await?, 5, "a transaction on a clone");
    let mut con = client.connection();
    let replies = stage.nodes[0].link().of([std::net::Ipv4Addr::LOCALHOST]).replies();
    replies.hold();
    let waiting = tokio::time::timeout(Duration::from_millis(100), con.set::<_, _, ()>("a", 6)).await;
    assert!(waiting.is_err(), "nobody waits for it any more");
    replies.release();
    assert_eq!(con.get::<_, i64>("a").await?, 6, "a write whose future was dropped");

    // Others go on reading what there was, also when they asked what changes nothing.
    let mut other = client.connection();
    cmd("PING").exec_async(&mut other).await?;
    assert_eq!(other.get::<_, i64>("a").await?, 0);
    // A clone is in the same session; what begins one of its own knows what was written until then.
    let (mut clone, mut own) = (con.clone(), con.clone().read_your_writes(true));
    let _: () = con.set("a", 7).await?;
    assert_eq!(clone.get::<_, i64>("a").await?, 7);
    assert_eq!(own.get::<_, i64>("a").await?, 7, "it needs the one before");
    let mut off = con.clone().read_your_writes(false);
    assert_eq!(off.get::<_, i64>("a").await?, 0);
    Ok(())
}

#[tokio::test]
async fn reads_find_what_was_written_across_a_change_of_master() -> RedisResult<()> {
    let stage = Stage::linked();
    let client = stage.client(builder().read_your_writes(true));
    let mut con = client.connection();
    stage.await_read(&mut con).await;
    // Enough that the old history is longer than the new one will be.
    assert_eq!(misses(&mut con, 200, 1).await?, 0);
    stage.await_synced();
    await_proof(&stage, &mut con, 199).await;
    stage.open_epoch(2, 0);
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    soon("the new master is known", async || {
        let known = client.current_master().map(|it| it.to_string());
        if known == Some(stage.nodes[1].addr()) { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await;
    // Node 2 still follows the old master, which writes more than the new one.
    let mut old = stage.nodes[0].connect().expect("it answers");
    for _ in 0..2000 {
        old.command(&["SET", "filler", "x"]).expect("it obeys");
    }
    let before = calls(&stage.nodes[2], "get");
    assert_eq!(misses(&mut con, 200, 3).await?, 0);
    assert_eq!(calls(&stage.nodes[2], "get"), before);
    // It follows, and so does the old master, from now on as replicas.
    stage.promote(1);
    let follows = async || {
        let before = calls(&stage.nodes[2], "get");
        let read: i64 = con.get("a").await.map_err(|error| error.to_string())?;
        assert_eq!(read, 199);
        if calls(&stage.nodes[2], "get") > before { Ok(()) } else { Err("not yet".to_owned()) }
    };
    soon("it is read again", follows).await;
    Ok(())
}

#[tokio::test]
async fn a_read_that_waits_for_a_master_goes_to_a_replica_that_has_caught_up_meanwhile() -> RedisResult<()> {
    let mut stage = Stage::linked();
    let client = stage.client(Client::builder().read_your_writes(true));
    let mut con = client.connection();
    stage.await_read(&mut con).await;
    (1..3).for_each(|node| stage.replication(0, node).hold());
    let _: () = con.set("a", 7).await?;
    // Three of the client's questions, one after the other: the second one was asked after the write, and answered.
    let before = calls(&stage.nodes[0], "info");
    let mut asked_here = 0;
    soon("the master is asked", async || {
        let _: i64 = con.get("a").await.map_err(|error| error.to_string())?;
        asked_here += 1;
        let asked = calls(&stage.nodes[0], "info") - before - asked_here;
        if asked >= 3 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    stage.nodes[0].kill();
    // Nobody is sure to hold it: it waits.
    let waiting = tokio::time::timeout(Duration::from_millis(100), con.get::<_, i64>("a")).await;
    assert!(waiting.is_err(), "{waiting:?}");
    let reading = tokio::spawn(async move { con.get::<_, i64>("a").await });
    tokio::task::yield_now().await;
    (1..3).for_each(|node| stage.replication(0, node).release());
    assert_eq!(reading.await.expect("no panic")?, 7);
    Ok(())
}

/// A scan changes nothing, so it needs no proof.
#[tokio::test]
async fn a_scan_is_no_write() -> RedisResult<()> {
    let stage = Stage::linked();
    let client = stage.client(Client::builder().max_lag(None).read_your_writes(true));
    let mut con = client.connection();
    stage.await_read(&mut client.connection()).await;
    (1..3).for_each(|node| stage.replication(0, node).hold());
    // Others write, so that no replica proves anything.
    let mut other = client.connection();
    let _: () = other.set("b", 1).await?;
    let _: (u64, Vec<String>) = cmd("SCAN").arg(0).query_async(&mut con).await?;
    let before = calls(&stage.nodes[0], "get");
    let _: Value = con.get("a").await?;
    assert_eq!(calls(&stage.nodes[0], "get"), before, "the master was read from");
    Ok(())
}
