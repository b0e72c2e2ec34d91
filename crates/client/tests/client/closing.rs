//! The end of a client: what is waited for, what is given up and what it is called, and that nothing is left open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis_failover::redis::{AsyncCommands, RedisResult, cmd};
use redis_failover::{Client, Outcome, ReadFrom, outcome};
use tokio::time::timeout;

use crate::world::{LONG, Nodes, Stage, patient, soon};

/// Waits until the client lets nothing begin any more.
async fn is_shut(client: &Client) {
    soon("it is shut", async || match client.ready(Duration::ZERO).await {
        Err(error) if error.to_string() == "not executed: the client was closed" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// Waits until no node has a connection of the client's.
async fn is_gone(stage: &Stage, nodes: impl Iterator<Item = usize> + Clone) {
    soon("no connection is left", async || match nodes.clone().map(|node| stage.connections(node)).sum() {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    })
    .await;
}

#[tokio::test]
async fn what_waits_and_what_is_in_flight_is_waited_for() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG).await?;
    let mut popper = client.connection();
    let popping = tokio::spawn(async move { popper.blpop::<_, (String, i64)>("list", 0.0).await });
    soon("it blocks", async || {
        let blocked = stage.nodes[0].info("clients").expect("it answers")["blocked_clients"].clone();
        if blocked == "1" { Ok(()) } else { Err(blocked) }
    })
    .await;
    stage.open_epoch(2, 0);
    soon("it is known", async || client.current_master().map_or(Ok(()), |it| Err(it.to_string()))).await;
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let mut con = client.connection();
            tokio::spawn(async move { con.incr::<_, _, i64>("a", 1).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let (closing, mut late) = (client.clone(), client.connection());
    let closing = tokio::spawn(async move { closing.close(LONG).await });
    is_shut(&client).await;
    let error = late.set::<_, _, ()>("b", 1).await.expect_err("it is shut");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(!closing.is_finished(), "six are waited for");
    stage.publish(2, 0);
    for waiting in waiting {
        waiting.await.expect("no panic")?;
    }
    assert_eq!(stage.nodes[0].get("a"), Ok(Some("5".into())));
    assert!(!closing.is_finished(), "one is waited for");
    crate::world::ok(&stage.nodes[0], &["RPUSH", "list", "7"]);
    assert_eq!(popping.await.expect("no panic")?.1, 7);
    assert_eq!(closing.await.expect("no panic"), 0);
    is_gone(&stage, 0..3).await;
    assert_eq!(client.close(LONG).await, 0, "there is nothing to do");
    Ok(())
}

#[tokio::test]
async fn what_is_not_waited_for_ends_at_once_and_is_called_what_it_is() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG).await?;
    stage.nodes[0].stop();
    let [mut first, mut second, mut third] = [0; 3].map(|_| client.connection());
    let writing = tokio::spawn(async move { first.set::<_, _, ()>("a", 1).await });
    let reading = tokio::spawn(async move { second.get::<_, Option<i64>>("a").await });
    // It hangs while it connects, and was never sent.
    let popping = tokio::spawn(async move { third.blpop::<_, (String, i64)>("list", 0.0).await });
    tokio::task::yield_now().await;
    let (begun, limit) = (Instant::now(), Duration::from_millis(200));
    assert_eq!(client.close(limit).await, 3);
    assert!(begun.elapsed() >= limit);
    let written = writing.await.expect("no panic").expect_err("nobody answered");
    let got = reading.await.expect("no panic").expect_err("nobody answered");
    let popped = popping.await.expect("no panic").expect_err("nobody answered");
    assert_eq!(
        [&written, &got, &popped].map(outcome),
        [Outcome::Unknown, Outcome::NotExecuted, Outcome::NotExecuted]
    );
    assert!(begun.elapsed() < limit + Duration::from_secs(1), "{:?}", begun.elapsed());
    is_gone(&stage, 1..3).await;
    stage.nodes[0].cont();
    is_gone(&stage, 0..1).await;
    Ok(())
}

#[tokio::test]
async fn what_blocks_and_what_waits_for_a_master_ends_with_the_client() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG).await?;
    let [mut first, mut second] = [0; 2].map(|_| client.connection());
    let popping = tokio::spawn(async move { first.blpop::<_, (String, i64)>("list", 0.0).await });
    soon("it blocks", async || {
        let blocked = stage.nodes[0].info("clients").expect("it answers")["blocked_clients"].clone();
        if blocked == "1" { Ok(()) } else { Err(blocked) }
    })
    .await;
    stage.open_epoch(2, 0);
    soon("it is known", async || client.current_master().map_or(Ok(()), |it| Err(it.to_string()))).await;
    let waiting = tokio::spawn(async move { second.set::<_, _, ()>("a", 1).await });
    tokio::task::yield_now().await;
    assert_eq!(client.close(Duration::ZERO).await, 2);
    let begun = Instant::now();
    let popped = popping.await.expect("no panic").expect_err("it was closed");
    let waited = waiting.await.expect("no panic").expect_err("it was closed");
    assert_eq!([&popped, &waited].map(outcome), [Outcome::Unknown, Outcome::NotExecuted]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // Nobody takes it any more.
    is_gone(&stage, 0..3).await;
    crate::world::ok(&stage.nodes[0], &["RPUSH", "list", "7"]);
    assert_eq!(crate::world::ok(&stage.nodes[0], &["LLEN", "list"]), redis_failover_lab::Reply::Integer(1));
    Ok(())
}

#[tokio::test]
async fn all_that_belongs_to_it_ends_while_its_handles_live() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let (mut pubsub, mut topologies) = (client.pubsub(), client.topology());
    pubsub.subscribe("a").await?;
    assert!(StreamExt::next(&mut topologies).await.is_some());
    let owned = Arc::new(());
    let (kept, handle) = (Arc::clone(&owned), client.clone());
    client.on_change(move |_| drop((Arc::clone(&kept), handle.clone())));
    let mut session = client.connection();
    cmd("WATCH").arg("w").exec_async(&mut session).await?;

    assert_eq!(client.close(LONG).await, 0);
    assert!(timeout(LONG, pubsub.next()).await.expect("it ends").is_none());
    assert!(timeout(LONG, StreamExt::next(&mut topologies)).await.expect("it ends").is_none());
    assert_eq!(Arc::strong_count(&owned), 1, "the callback is gone");
    is_gone(&stage, 0..3).await;
    let error = cmd("EXEC").exec_async(&mut session).await.expect_err("it is closed");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    let error = pubsub.subscribe("b").await.expect_err("it is closed");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    let mut another = client.group("/another").expect("a path").connection();
    let error = another.set::<_, _, ()>("a", 1).await.expect_err("it is closed");
    assert_eq!(
        (error.to_string().as_str(), outcome(&error)),
        ("not executed: the client was closed", Outcome::NotExecuted)
    );
    is_shut(&client).await;
    Ok(())
}

#[tokio::test]
async fn a_call_that_was_dropped_is_not_waited_for() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder().read_from(ReadFrom::Master).response_timeout(None));
    let mut con = client.connection();
    client.ready(LONG).await?;
    nodes.master.stop();
    let limit = Duration::from_millis(50);
    assert!(timeout(limit, con.set::<_, _, ()>("a", 1)).await.is_err());
    assert!(timeout(limit, cmd("WATCH").arg("a").exec_async(&mut con)).await.is_err());
    let begun = Instant::now();
    assert_eq!(client.close(LONG).await, 0);
    assert!(begun.elapsed() < LONG / 4, "{:?}", begun.elapsed());
    nodes.master.cont();
    Ok(())
}

#[tokio::test]
async fn a_client_that_was_never_used_closes_and_stays_closed() {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    assert_eq!(client.close(LONG).await, 0);
    let error = client.connection().set::<_, _, ()>("a", 1).await.expect_err("it is closed");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(client.current_master().is_none());
}

#[tokio::test]
async fn a_closed_client_is_connected_to_nobody() -> RedisResult<()> {
    let nodes = Nodes::start(1);
    let client = nodes.client(Client::builder());
    let _: () = client.connection().set("a", 1).await?;
    assert_eq!(client.close(LONG).await, 0);
    soon("nobody is connected", async || {
        match client.metrics().nodes.values().filter(|node| node.connected).count() {
            0 => Ok(()),
            left => Err(left.to_string()),
        }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_callback_that_comes_too_late_is_not_kept() {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    assert_eq!(client.close(LONG).await, 0);
    let owned = Arc::new(());
    let (kept, handle) = (Arc::clone(&owned), client.clone());
    client.on_change(move |_| drop((Arc::clone(&kept), handle.clone())));
    drop(client);
    assert_eq!(Arc::strong_count(&owned), 1, "the client has ended, and keeps itself for ever");
}
