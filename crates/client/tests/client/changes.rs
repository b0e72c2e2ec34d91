//! What a client does when who is who changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, RedisResult, cmd, pipe};
use redis_failover::{Client, Epoch, Outcome, outcome};

use crate::world::{LONG, Stage, calls, ok, patient, soon};

/// Waits until the client knows that the master is being changed.
async fn is_changing(client: &Client) {
    soon("it is known", async || client.current_master().map_or(Ok(()), |master| Err(master.to_string())))
        .await;
}

#[tokio::test]
async fn what_begins_while_there_is_no_master_waits_for_one() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    let _: () = con.set("a", 0).await?;
    stage.open_epoch(2, 0);
    is_changing(&client).await;
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut con = client.connection();
            tokio::spawn(async move { con.incr::<_, _, i64>("a", 1).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(stage.nodes[0].get("a"), Ok(Some("0".into())), "the old master is not written to any more");
    stage.promote(1);
    stage.publish(2, 1);
    for waiting in waiting {
        waiting.await.expect("no panic")?;
    }
    assert_eq!(stage.nodes[1].get("a"), Ok(Some("100".into())), "each was executed once");
    Ok(())
}

#[tokio::test]
async fn who_waits_too_long_or_in_too_long_a_queue_is_told() {
    let stage = Stage::start();
    stage.open_epoch(2, 0);
    let limit = Duration::from_millis(300);
    let client = stage.client(Client::builder().wait_limit(limit).queue_limit(5));
    let begun = Instant::now();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut con = client.connection();
            tokio::spawn(async move { (con.set::<_, _, ()>("a", 1).await, begun.elapsed()) })
        })
        .collect();
    let (mut late, mut refused) = (0, 0);
    for waiting in waiting {
        let (result, took) = waiting.await.expect("no panic");
        let error = result.expect_err("there is no master");
        assert_eq!(outcome(&error), Outcome::NotExecuted);
        let text = error.to_string();
        assert!(text.starts_with("not executed: "), "{text}");
        if text.contains("queue_limit") {
            refused += 1;
            assert!(took < limit, "it is told at once");
        } else {
            late += 1;
            assert!(text.contains("is being replaced (epoch 2)") && error.is_timeout(), "{text}");
            assert!(took >= limit);
        }
    }
    assert_eq!((late, refused), (5, 5));
}

#[tokio::test]
async fn the_queue_has_room_for_so_many_bytes() -> RedisResult<()> {
    let stage = Stage::start();
    let client = stage.client(Client::builder().queue_bytes(1_000));
    let mut con = client.connection();
    let large = "x".repeat(2_000);
    client.ready(LONG).await?;
    // What does not wait may be of any size.
    let _: () = con.set("a", &large).await?;
    stage.open_epoch(2, 0);
    is_changing(&client).await;
    let error = con.set::<_, _, ()>("a", &large).await.expect_err("there is no room for it");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(error.to_string().contains("queue_bytes"), "{error}");
    let half = "x".repeat(500);
    let mut writer = client.connection();
    let writing = tokio::spawn(async move { pipe().set("b", &half).exec_async(&mut writer).await });
    tokio::task::yield_now().await;
    let error = con.set::<_, _, ()>("a", &large[..600]).await.expect_err("half of the room is taken");
    assert!(error.to_string().contains("queue_bytes"), "{error}");
    stage.publish(2, 0);
    writing.await.expect("no panic")?;
    // It gave its room back.
    stage.open_epoch(3, 0);
    is_changing(&client).await;
    let mut writer = client.connection();
    let writing = tokio::spawn(async move { writer.set::<_, _, ()>("c", &large[..900]).await });
    tokio::task::yield_now().await;
    stage.publish(3, 0);
    writing.await.expect("no panic")
}

#[tokio::test]
async fn a_write_in_flight_waits_for_the_new_master_and_is_unknown_then() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    let _: () = con.set("a", 0).await?;
    stage.await_synced();
    stage.nodes[0].stop();
    let mut writer = client.connection();
    let writing = tokio::spawn(async move { writer.set::<_, _, ()>("b", 1).await });
    let mut reader = client.connection();
    let reading = tokio::spawn(async move { reader.get::<_, i64>("a").await });
    let mut popper = client.connection();
    let popping = tokio::spawn(async move { popper.blpop::<_, Option<(String, i64)>>("list", 0.0).await });
    tokio::task::yield_now().await;
    stage.open_epoch(2, 0);
    is_changing(&client).await;
    assert!(!writing.is_finished(), "it keeps its connection: the old master may win");

    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    let published = Instant::now();
    let error = writing.await.expect("no panic").expect_err("nobody answered it");
    // The old master is still stopped: nothing but the document can have ended it.
    assert!(published.elapsed() < Duration::from_secs(1), "{:?}", published.elapsed());
    assert_eq!(outcome(&error), Outcome::Unknown);
    assert!(error.to_string().starts_with("outcome unknown: "), "{error}");
    assert_eq!(reading.await.expect("no panic")?, 0, "a read is repeated on the new master");
    let _: () = con.set("c", 1).await?;
    drop(popping);
    stage.nodes[0].cont();
    soon("the old master's connection is dropped and made anew", async || {
        if stage.connections(0) <= 1 { Ok(()) } else { Err(stage.connections(0).to_string()) }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_write_that_may_be_executed_twice_is_sent_to_the_new_master() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG).await?;
    stage.nodes[0].stop();
    let mut writer = client.connection().retry_unknown(true);
    let mut clone = writer.clone();
    let mut other = client.connection();
    let repeated = [
        tokio::spawn(async move { writer.set::<_, _, ()>("a", 1).await }),
        tokio::spawn(async move { pipe().atomic().set("b", 2).exec_async(&mut clone).await }),
    ];
    let unsaid = tokio::spawn(async move { other.set::<_, _, ()>("c", 3).await });
    tokio::task::yield_now().await;
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    for write in repeated {
        write.await.expect("no panic")?;
    }
    for (key, value) in [("a", "1"), ("b", "2")] {
        assert_eq!(stage.nodes[1].get(key), Ok(Some(value.into())));
    }
    let error = unsaid.await.expect("no panic").expect_err("nobody said so of this one");
    assert_eq!(outcome(&error), Outcome::Unknown);
    Ok(())
}

#[tokio::test]
async fn what_was_unknown_once_is_never_called_not_executed() -> RedisResult<()> {
    let mut stage = Stage::start();
    let builder = Client::builder().retry_unknown(true).response_timeout(None);
    let client = stage.client(builder.wait_limit(Duration::from_millis(500)));
    client.ready(LONG).await?;
    stage.nodes[0].stop();
    let mut con = client.connection();
    let writing = tokio::spawn(async move { con.set::<_, _, ()>("a", 1).await });
    tokio::task::yield_now().await;
    stage.nodes[0].kill();
    // It was sent, its connection ended, and then there was no master in time.
    let error = writing.await.expect("no panic").expect_err("there is no master");
    assert_eq!(outcome(&error), Outcome::Unknown, "{error}");
    assert!(error.to_string().contains("sent before without a reply") && error.is_timeout(), "{error}");

    // One that was refused as it was sent again.
    let client = patient(&stage);
    stage.promote(1);
    stage.publish(2, 1);
    client.ready(LONG).await?;
    stage.nodes[1].stop();
    let mut con = client.connection().retry_unknown(true);
    let writing = tokio::spawn(async move { con.set::<_, _, ()>("a", 1).await });
    tokio::task::yield_now().await;
    ok(&stage.nodes[2], &["CONFIG", "SET", "maxmemory", "1"]);
    ok(&stage.nodes[2], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(3, 2);
    let error = writing.await.expect("no panic").expect_err("no memory is left");
    assert_eq!(outcome(&error), Outcome::Unknown, "{error}");
    assert!(error.to_string().contains("OOM"), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_blocks_on_a_connection_of_its_own_ends_with_the_masters_tenure() -> RedisResult<()> {
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
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    let error = popping.await.expect("no panic").expect_err("its master was deposed");
    assert_eq!(outcome(&error), Outcome::Unknown);
    Ok(())
}

#[tokio::test]
async fn a_readonly_reply_is_no_error_but_a_reason_to_wait() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    // Demoted, and nothing is published yet.
    stage.promote(1);
    let mut writer = client.connection();
    let writing = tokio::spawn(async move {
        let _: () = writer.set("a", 2).await?;
        let _: () = pipe().set("b", 2).get("b").query_async(&mut writer).await?;
        pipe().atomic().set("c", 2).exec_async(&mut writer).await
    });
    soon("it was refused", async || {
        if calls(&stage.nodes[0], "set") > 0 && client.ready(Duration::ZERO).await.is_err() {
            Ok(())
        } else {
            Err(String::new())
        }
    })
    .await;
    assert!(!writing.is_finished());
    stage.publish(2, 1);
    writing.await.expect("no panic")?;
    assert_eq!(con.get::<_, i64>("c").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_a_replica_refuses_is_sent_again() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG).await?;
    stage.promote(1);
    let mut con = client.connection();
    let writing = tokio::spawn(async move { pipe().atomic().set("c", 2).exec_async(&mut con).await });
    soon("it was refused", async || client.ready(Duration::ZERO).await.err().map(drop).ok_or(String::new()))
        .await;
    stage.publish(2, 1);
    writing.await.expect("no panic")?;
    assert_eq!(stage.nodes[1].get("c"), Ok(Some("2".into())));
    Ok(())
}

#[tokio::test]
async fn an_older_epoch_is_refused_until_the_znode_is_made_anew() -> RedisResult<()> {
    let stage = Stage::start();
    stage.publish(5, 0);
    let client = patient(&stage);
    client.ready(LONG).await?;
    let first = Some(stage.nodes[0].addr());
    let master = || client.current_master().map(|master| master.to_string());
    stage.publish(4, 1);
    // A later document tells that the older one was read.
    stage.put(&stage.document(5, 0, "steady", "another"));
    soon("the later one is read", async || {
        client.ready(Duration::ZERO).await.err().map(drop).ok_or(String::new())
    })
    .await;
    assert_eq!(master(), first);
    stage.delete();
    stage.promote(1);
    stage.publish(1, 1);
    soon("the new znode is believed", async || {
        if master() == Some(stage.nodes[1].addr()) { Ok(()) } else { Err(format!("{:?}", master())) }
    })
    .await;
    let _: () = client.connection().set("a", 1).await?;
    Ok(())
}

#[tokio::test]
async fn the_predecessors_document_is_followed() -> RedisResult<()> {
    let stage = Stage::start();
    let [first, second] = [0, 1].map(|node| stage.nodes[node].addr());
    stage.put(&format!(r#"{{"master":["{first}","OK"],"slaves":{{"0":["{second}","OK"]}}}}"#));
    let client = patient(&stage);
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    assert_eq!(client.topology().next().await.epoch, Epoch(0));
    stage.promote(1);
    stage.put(&format!(r#"{{"master":["{second}","OK"],"slaves":{{"0":["{first}","KO"]}}}}"#));
    soon("it follows", async || {
        if client.current_master().is_some_and(|it| it.to_string() == second) {
            Ok(())
        } else {
            Err(String::new())
        }
    })
    .await;
    let _: () = con.set("a", 2).await?;
    assert_eq!(stage.nodes[1].get("a"), Ok(Some("2".into())));
    assert!(client.current_replicas().is_empty(), "it is KO");
    Ok(())
}

#[tokio::test]
async fn topologies_are_told_and_a_callback_that_panics_disturbs_nobody() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let (panicked, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let counter = Arc::clone(&panicked);
    client.on_change(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        panic!("a callback that fails");
    });
    let epochs = Arc::clone(&heard);
    client.on_change(move |topology| epochs.lock().expect("nobody panics with it").push(topology.epoch.0));
    let mut topologies = client.topology();
    let first = topologies.next().await;
    assert_eq!((first.epoch, first.steady, first.replicas.len()), (Epoch(1), true, 2));
    for epoch in 2..5 {
        stage.open_epoch(epoch, 0);
        let next = topologies.next().await;
        assert_eq!((next.epoch, next.steady, next.master.clone()), (Epoch(epoch), false, None));
        soon("both were called", async || {
            let last = heard.lock().expect("nobody panics with it").last().copied();
            if last == Some(epoch) { Ok(()) } else { Err(format!("{last:?}")) }
        })
        .await;
    }
    assert_eq!(panicked.load(Ordering::SeqCst), heard.lock().expect("nobody panics with it").len());
    stage.publish(5, 0);
    client.ready(LONG).await?;
    let _: () = client.connection().set("a", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_session_does_not_write_to_a_master_that_is_being_replaced() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    stage.open_epoch(2, 0);
    is_changing(&client).await;
    let executed: Option<(String,)> = pipe().atomic().set("late", 1).query_async(&mut con).await?;
    assert_eq!(executed, None);
    assert_eq!(stage.nodes[0].get("late"), Ok(None));
    Ok(())
}

#[tokio::test]
async fn what_a_session_had_in_flight_is_unknown_when_its_master_goes() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    stage.nodes[0].stop();
    let writing = tokio::spawn(async move { con.set::<_, _, ()>("a", 1).await });
    tokio::task::yield_now().await;
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    let error = writing.await.expect("no panic").expect_err("nobody answered it");
    assert_eq!(outcome(&error), Outcome::Unknown);
    Ok(())
}
