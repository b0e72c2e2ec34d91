//! Calls that must end in time, whatever holds them up, and what they are called then.

use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, RedisError, RedisResult, cmd, pipe};
use redis_failover::{Client, Outcome, ReadFrom, outcome};

use crate::world::{LONG, Nodes, Stage, patient, soon};

const LIMIT: Duration = Duration::from_millis(200);

/// What this call is called, which must end when its time is over.
async fn late<T: std::fmt::Debug>(call: impl Future<Output = RedisResult<T>>) -> (Outcome, RedisError) {
    let begun = Instant::now();
    let error = call.await.expect_err("it can't be done");
    let took = begun.elapsed();
    assert!((LIMIT..LIMIT + Duration::from_secs(2)).contains(&took), "{took:?}: {error}");
    assert!(error.is_timeout(), "{error}");
    (outcome(&error), error)
}

#[tokio::test]
async fn what_was_never_sent_is_not_executed() -> RedisResult<()> {
    let stage = Stage::start();
    stage.open_epoch(2, 0);
    let client = patient(&stage);
    let mut con = client.connection().deadline(Some(LIMIT));
    let (what, error) = late(con.set::<_, _, ()>("a", 1)).await;
    assert_eq!(what, Outcome::NotExecuted);
    assert!(error.to_string().contains("is being replaced (epoch 2)"), "{error}");
    assert_eq!(late(con.get::<_, Option<i64>>("a")).await.0, Outcome::NotExecuted);
    assert_eq!(late(con.blpop::<_, (String, i64)>("a", 0.0)).await.0, Outcome::NotExecuted);
    assert_eq!(late(cmd("WATCH").arg("a").exec_async(&mut con)).await.0, Outcome::NotExecuted);
    // A clone has it, too, and can be rid of it.
    let mut clone = con.clone();
    assert_eq!(late(pipe().set("a", 1).exec_async(&mut clone)).await.0, Outcome::NotExecuted);
    let mut without = con.clone().deadline(None);
    let waiting = tokio::spawn(async move { without.set::<_, _, ()>("a", 2).await });
    assert_eq!(late(con.set::<_, _, ()>("a", 3)).await.0, Outcome::NotExecuted);
    stage.publish(2, 0);
    waiting.await.expect("no panic")?;
    assert_eq!(con.get::<_, i64>("a").await?, 2);
    Ok(())
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_unknown() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder().read_from(ReadFrom::Master).response_timeout(None));
    let mut con = client.connection().deadline(Some(LIMIT));
    client.ready(LONG).await?;
    nodes.master.stop();
    assert_eq!(late(con.set::<_, _, ()>("a", 1)).await.0, Outcome::Unknown);
    assert_eq!(late(con.get::<_, Option<i64>>("a")).await.0, Outcome::Unknown);
    assert_eq!(late(pipe().atomic().set("b", 1).exec_async(&mut con)).await.0, Outcome::Unknown);
    nodes.master.cont();
    // Nothing is broken: what was sent is carried out.
    assert_eq!(con.get::<_, Option<i64>>("b").await?, Some(1));
    Ok(())
}

#[tokio::test]
async fn what_blocks_ends_and_takes_nothing_any_more() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder().read_from(ReadFrom::Master));
    let mut con = client.connection().deadline(Some(LIMIT));
    assert_eq!(late(con.blpop::<_, (String, i64)>("list", 0.0)).await.0, Outcome::Unknown);
    let _: () = con.rpush("list", 7).await?;
    assert_eq!(con.llen::<_, i64>("list").await?, 1);
    assert_eq!(con.blpop::<_, (String, i64)>("list", 0.0).await?.1, 7);
    Ok(())
}

#[tokio::test]
async fn a_session_ends_with_the_call_that_was_late() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder().read_from(ReadFrom::Master));
    let mut con = client.connection().deadline(Some(LIMIT));
    client.ready(LONG).await?;
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    nodes.master.stop();
    assert_eq!(late(con.get::<_, Option<i64>>("w")).await.0, Outcome::Unknown);
    nodes.master.cont();
    let executed: Option<(String,)> = pipe().atomic().set("a", 1).query_async(&mut con).await?;
    assert_eq!(executed, None, "nobody knows what happened to what it watched");
    assert_eq!(con.get::<_, Option<i64>>("a").await?, None);
    Ok(())
}

#[tokio::test]
async fn what_was_refused_was_not_executed() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG).await?;
    stage.promote(1);
    let mut con = client.connection().deadline(Some(LIMIT));
    assert_eq!(late(con.set::<_, _, ()>("a", 1)).await.0, Outcome::NotExecuted);
    let stats = stage.nodes[0].info("commandstats").expect("it answers");
    let refused = |name: &str| stats.get(name).is_some_and(|line| !line.contains("rejected_calls=0,"));
    assert!(refused("cmdstat_set"), "it was sent: {stats:?}");
    Ok(())
}

#[tokio::test]
async fn what_may_have_been_executed_once_stays_unknown_while_it_waits_to_be_sent_again() -> RedisResult<()> {
    let mut stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG).await?;
    stage.nodes[0].stop();
    let mut con = client.connection().retry_unknown(true).deadline(Some(LIMIT));
    let writing = tokio::spawn(async move { late(con.set::<_, _, ()>("a", 1)).await.0 });
    tokio::task::yield_now().await;
    // It dies with the command, and there is nobody to send it to.
    stage.nodes[0].kill();
    assert_eq!(writing.await.expect("no panic"), Outcome::Unknown);
    soon("it waited", async || client.ready(Duration::ZERO).await.err().map(drop).ok_or(String::new())).await;
    Ok(())
}

#[tokio::test]
async fn what_is_sent_again_and_again_ends_in_time() -> RedisResult<()> {
    let nodes = Nodes::start(1);
    let client = nodes.client(Client::builder().response_timeout(Some(LIMIT / 4)));
    let mut con = client.connection().deadline(Some(LIMIT));
    client.ready(LONG).await?;
    nodes.master.stop();
    nodes.replicas[0].stop();
    assert_eq!(late(con.get::<_, Option<i64>>("a")).await.0, Outcome::Unknown);
    Ok(())
}
