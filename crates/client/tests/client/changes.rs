//! What a client does when who is who changes, and when it can't know.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, RedisResult, Value, cmd, pipe};
use redis_failover::{Client, Epoch, Outcome, ReadFrom, outcome};

use crate::world::{LONG, Relay, Stage, calls, ok, run, soon};

/// A client of this that reads from the master and never gives up on a reply by itself.
fn patient(stage: &Stage) -> Client {
    stage.client(Client::builder().read_from(ReadFrom::Master).response_timeout(None))
}

#[tokio::test]
async fn what_begins_while_there_is_no_master_waits_for_one() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    let _: () = con.set("a", 0).await?;
    stage.open_epoch(2, 0);
    soon("it is known", async || client.current_master().map_or(Ok(()), |master| Err(master.to_string())))
        .await;
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
    soon("it is known", async || client.current_master().map_or(Ok(()), |master| Err(master.to_string())))
        .await;
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
async fn a_master_that_was_restarted_is_not_written_to_before_it_is_confirmed() -> RedisResult<()> {
    let mut stage = Stage::start();
    let builder = Client::builder().read_from(ReadFrom::Master).wait_limit(Duration::from_millis(500));
    let client = stage.client(builder);
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    let before = run(&stage.nodes[0]);
    stage.nodes[0].restart();
    let mut error = con.set::<_, _, ()>("a", 2).await.expect_err("an empty master is not written to");
    if outcome(&error) == Outcome::Unknown {
        // It was sent into the connection that had just ended.
        error = con.set::<_, _, ()>("a", 2).await.expect_err("an empty master is not written to");
    }
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(error.to_string().contains("was restarted since it was published"), "{error}");
    assert_ne!(run(&stage.nodes[0]), before);
    assert_eq!(stage.nodes[0].get("a"), Ok(None));
    stage.publish(1, 0);
    let _: () = con.set("a", 3).await?;
    Ok(())
}

#[tokio::test]
async fn a_broken_connection_to_the_same_master_is_made_anew() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    for round in 0..20 {
        let _: () = soon("it writes", async || {
            con.set::<_, _, ()>("a", round).await.map_err(|error| error.to_string())
        })
        .await;
        ok(&stage.nodes[0], &["CLIENT", "KILL", "TYPE", "normal"]);
        assert_eq!(con.get::<_, i64>("a").await?, round, "a read is repeated");
    }
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
async fn a_replica_that_is_not_one_yet_is_not_read() -> RedisResult<()> {
    let stage = Stage::start();
    // It still takes itself for a master: what it holds may never have happened.
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    ok(&stage.nodes[1], &["SET", "a", "wrong"]);
    let client = stage.client(Client::builder());
    let mut con = client.connection();
    let _: () = con.set("a", "right").await?;
    // Until the other replica is connected the master answers.
    soon("the good replica is read", async || {
        let _: Value = con.get("a").await.map_err(|error| error.to_string())?;
        if calls(&stage.nodes[2], "get") > 10 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert_eq!(calls(&stage.nodes[1], "get"), 0);
    crate::world::follow(&stage.nodes[1], &stage.nodes[0]);
    soon("it is read once it follows", async || {
        let _: Value = con.get("a").await.map_err(|error| error.to_string())?;
        if calls(&stage.nodes[1], "get") > 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
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
async fn a_dropped_client_leaves_no_connection() -> RedisResult<()> {
    let stage = Stage::start();
    let client = stage.client(Client::builder());
    client.ready(LONG).await?;
    let mut con = client.connection();
    let mut topologies = client.topology();
    topologies.next().await;
    drop(client);
    cmd("PING").exec_async(&mut con).await?;
    assert!(stage.connections(0) > 0);
    drop(con);
    for node in 0..3 {
        soon("it is closed", async || {
            let left = stage.connections(node);
            if left == 0 { Ok(()) } else { Err(left.to_string()) }
        })
        .await;
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_leads_nowhere_is_replaced() -> RedisResult<()> {
    let stage = Stage::start();
    let relay = Relay::start(stage.nodes[0].addr()).await;
    stage.put(&format!(r#"{{"master":["{}","OK"],"slaves":{{}}}}"#, relay.address));
    let limit = Duration::from_millis(200);
    let client = stage.client(Client::builder().response_timeout(Some(limit)).connect_timeout(limit));
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    relay.freeze();
    let error = con.set::<_, _, ()>("a", 2).await.expect_err("the reply never comes");
    assert_eq!(outcome(&error), Outcome::Unknown);
    let asked = Instant::now();
    let _: () = con.set("a", 3).await?;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_read_that_a_replica_refuses_is_answered_by_another() -> RedisResult<()> {
    let stage = Stage::start();
    let client = stage.client(Client::builder());
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    stage.await_synced();
    soon("both replicas are read", async || {
        let _: Value = con.get("a").await.map_err(|error| error.to_string())?;
        if (1..3).all(|node| calls(&stage.nodes[node], "get") > 0) {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    // It answers MASTERDOWN from now on.
    ok(&stage.nodes[1], &["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    ok(&stage.nodes[1], &["REPLICAOF", "127.0.0.1", "1"]);
    for _ in 0..50 {
        assert_eq!(con.get::<_, i64>("a").await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_does_not_write_to_a_master_that_is_being_replaced() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    stage.open_epoch(2, 0);
    soon("it is known", async || client.current_master().map_or(Ok(()), |master| Err(master.to_string())))
        .await;
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

#[tokio::test]
async fn what_a_hung_replica_was_asked_is_asked_of_another_once_it_is_published_as_ko() -> RedisResult<()> {
    let stage = Stage::start();
    let client = stage.client(Client::builder().response_timeout(None));
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    stage.await_synced();
    soon("both replicas are read", async || {
        let _: Value = con.get("a").await.map_err(|error| error.to_string())?;
        if (1..3).all(|node| calls(&stage.nodes[node], "get") > 0) {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    stage.nodes[1].stop();
    let reading: Vec<_> = (0..4)
        .map(|_| {
            let mut con = client.connection();
            tokio::spawn(async move { con.get::<_, i64>("a").await })
        })
        .collect();
    tokio::task::yield_now().await;
    let hung = format!(r#""{}","OK""#, stage.nodes[1].addr());
    let document = stage.document(1, 0, "steady", &run(&stage.nodes[0]));
    stage.put(&document.replace(&hung, &hung.replace("OK", "KO")));
    for reading in reading {
        let read = tokio::time::timeout(LONG, reading).await.expect("it ends").expect("no panic");
        assert_eq!(read?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_master_that_is_named_among_the_replicas_is_the_master() -> RedisResult<()> {
    let stage = Stage::start();
    let master = stage.nodes[0].addr();
    stage.put(&format!(r#"{{"master":["{master}","OK"],"slaves":{{"0":["{master}","OK"]}}}}"#));
    let mut con = stage.client(Client::builder()).connection();
    let _: () = con.set("a", 1).await?;
    assert_eq!(con.get::<_, i64>("a").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_place_in_the_queue_is_given_back() {
    let stage = Stage::start();
    stage.open_epoch(2, 0);
    let client = stage.client(Client::builder().wait_limit(Duration::from_millis(20)).queue_limit(2));
    let mut con = client.connection();
    for _ in 0..5 {
        let error = con.set::<_, _, ()>("a", 1).await.expect_err("there is no master");
        assert!(!error.to_string().contains("queue_limit"), "{error}");
    }
}

#[tokio::test]
async fn a_node_that_left_the_group_is_left_alone() -> RedisResult<()> {
    let stage = Stage::start();
    let client = stage.client(Client::builder());
    client.ready(LONG).await?;
    soon(
        "it is connected",
        async || {
            if stage.connections(2) > 0 { Ok(()) } else { Err("not yet".to_owned()) }
        },
    )
    .await;
    let document = stage.document(1, 0, "steady", &run(&stage.nodes[0]));
    let gone = format!(r#","1":["{}","OK"]"#, stage.nodes[2].addr());
    assert!(document.contains(&gone));
    stage.put(&document.replace(&gone, ""));
    soon("its connection is closed", async || {
        if stage.connections(2) == 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert!(stage.connections(1) > 0);
    Ok(())
}

#[tokio::test]
async fn a_master_that_hung_for_a_while_is_used_again() -> RedisResult<()> {
    let stage = Stage::start();
    let limit = Duration::from_millis(100);
    let builder = Client::builder().read_from(ReadFrom::Master);
    let client = stage.client(builder.response_timeout(Some(limit)).connect_timeout(limit));
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    stage.nodes[0].stop();
    for _ in 0..3 {
        let error = tokio::time::timeout(limit * 5, con.set::<_, _, ()>("a", 2)).await;
        assert!(!matches!(error, Ok(Ok(()))), "it is stopped");
    }
    stage.nodes[0].cont();
    let _: () = con.set("a", 3).await?;
    Ok(())
}

#[tokio::test]
async fn a_read_that_breaks_every_connection_is_given_up() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    let _: () = con.set("big", "x".repeat(30_000_000)).await?;
    ok(&stage.nodes[0], &["CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0"]);
    let accepted = || -> u64 {
        let stats = stage.nodes[0].info("stats").expect("it answers");
        stats["total_connections_received"].parse().expect("a number")
    };
    let before = accepted();
    let error = con.get::<_, Vec<u8>>("big").await.expect_err("the server hangs up");
    assert_eq!(outcome(&error), Outcome::Unknown);
    assert!(accepted() - before < 10, "{} connections", accepted() - before);
    Ok(())
}

#[test]
fn a_client_ends_with_its_first_runtime_and_says_so() {
    let stage = Stage::start();
    let client = patient(&stage);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime().block_on(client.ready(LONG)).expect("it is ready");
    let begun = Instant::now();
    let error = runtime().block_on(client.connection().set::<_, _, ()>("a", 1)).expect_err("it has ended");
    assert!(error.to_string().contains("runtime"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}
