//! What a client does with nodes that restart, hang, refuse, or are not what is published, and with its own end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, RedisResult, Value, cmd, pipe};
use redis_failover::{Client, Outcome, ReadFrom, outcome};
use redis_failover_lab::{Link, Redis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{LONG, Nodes, Stage, calls, end_saving, follow, ok, patient, run, saving, soon};

#[tokio::test]
async fn a_master_that_is_ko_is_written_to_until_it_is_being_replaced() -> RedisResult<()> {
    let stage = Stage::start();
    let document = stage.document(2, 0, "steady", &run(&stage.nodes[0]));
    stage.put(&document.replacen("OK", "KO", 1));
    let client = patient(&stage);
    client.connection().set::<_, _, ()>("a", 1).await?;
    assert_eq!(client.topology().next().await.epoch.0, 2);
    Ok(())
}

#[tokio::test]
async fn who_finds_a_document_that_cannot_be_read_is_told_why() -> RedisResult<()> {
    let stage = Stage::start();
    stage.put("{");
    let client = patient(&stage);
    soon("it is told", async || {
        let error = client.ready(Duration::from_millis(50)).await.expect_err("there is no master");
        assert_eq!(outcome(&error), Outcome::NotExecuted);
        let text = error.to_string();
        if text.contains("it cannot be used") { Ok(()) } else { Err(text) }
    })
    .await;
    stage.delete();
    soon("it is told", async || {
        let error = client.ready(Duration::from_millis(50)).await.expect_err("there is no master");
        if error.to_string().contains("nothing is published") { Ok(()) } else { Err(error.to_string()) }
    })
    .await;
    stage.publish(2, 0);
    client.ready(LONG).await
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
    follow(&stage.nodes[1], &stage.nodes[0]);
    soon("it is read once it follows", async || {
        let _: Value = con.get("a").await.map_err(|error| error.to_string())?;
        if calls(&stage.nodes[1], "get") > 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
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
    let link = Link::start(stage.nodes[0].addr().parse().expect("an address"));
    stage.put(&format!(r#"{{"master":["{}","OK"],"slaves":{{}}}}"#, link.address()));
    let limit = Duration::from_millis(200);
    let client = stage.client(Client::builder().response_timeout(Some(limit)).connect_timeout(limit));
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    link.all().strand();
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
    stage.await_read(&mut con).await;
    // It answers MASTERDOWN from now on.
    ok(&stage.nodes[1], &["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    ok(&stage.nodes[1], &["REPLICAOF", "127.0.0.1", "1"]);
    for _ in 0..50 {
        assert_eq!(con.get::<_, i64>("a").await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_hung_replica_was_asked_is_asked_of_another_once_it_is_published_as_ko() -> RedisResult<()> {
    let stage = Stage::start();
    let client = stage.client(Client::builder().response_timeout(None));
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    stage.await_synced();
    stage.await_read(&mut con).await;
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

#[tokio::test]
async fn a_master_that_cannot_save_is_the_master_still() -> RedisResult<()> {
    let nodes = Nodes::start_as(0, saving);
    let client = nodes.client(Client::builder().read_from(ReadFrom::Master));
    let mut con = client.connection();
    let _: () = con.set("a", 7).await?;
    end_saving(&nodes.master);
    // On connections of their own, which ask it what it is.
    let error = con.blpop::<_, (String, i64)>("list", 0.1).await.expect_err("it is a write");
    assert_eq!((error.code(), outcome(&error)), (Some("MISCONF"), Outcome::NotExecuted), "{error}");
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    assert_eq!(con.get::<_, i64>("a").await?, 7);
    cmd("UNWATCH").exec_async(&mut con).await?;
    client.pubsub().subscribe("news").await?;
    // The shared one is made anew.
    ok(&nodes.master, &["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(con.get::<_, i64>("a").await?, 7);
    let error = con.set::<_, _, ()>("a", 8).await.expect_err("it refuses that");
    assert_eq!((error.code(), outcome(&error)), (Some("MISCONF"), Outcome::NotExecuted), "{error}");
    Ok(())
}

/// A way to `node` that ends so many connections in the middle of a long reply; its address.
async fn cutting(node: &Redis, cuts: &Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (target, cuts) = (node.addr(), Arc::clone(cuts));
    tokio::spawn(async move {
        while let Ok((caller, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.expect("it listens");
            tokio::spawn(pass_on(caller, server, Arc::clone(&cuts)));
        }
    });
    address
}

async fn pass_on(caller: TcpStream, server: TcpStream, cuts: Arc<AtomicUsize>) {
    let (mut requests, mut to_caller) = caller.into_split();
    let (mut replies, mut to_server) = server.into_split();
    let forth = async {
        let _ = tokio::io::copy(&mut requests, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let back = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = replies.read(&mut buffer).await {
            let is_long = read > 10_000;
            let one_less = |left: usize| left.checked_sub(1);
            let ends = is_long && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
            let passed = if ends { read / 2 } else { read };
            if to_caller.write_all(&buffer[..passed]).await.is_err() || ends {
                break;
            }
        }
        let _ = to_caller.shutdown().await;
    };
    tokio::join!(forth, back);
}

#[tokio::test]
async fn half_a_reply_is_none() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let cuts = Arc::new(AtomicUsize::new(0));
    let address = cutting(&nodes.master, &cuts).await;
    let builder = Client::builder().read_from(ReadFrom::Master);
    let client = builder.build_fixed(&address, [""; 0]).expect("an address");
    let mut con = client.connection();
    let value = "x".repeat(100_000);
    let _: () = con.set("big", &value).await?;
    cuts.store(1, Ordering::SeqCst);
    assert!(con.get::<_, String>("big").await? == value, "a read is repeated");
    assert_eq!(cuts.load(Ordering::SeqCst), 0);
    cuts.store(usize::MAX, Ordering::SeqCst);
    let error = con.get::<_, String>("big").await.expect_err("it never comes whole");
    assert_eq!(outcome(&error), Outcome::Unknown, "{error}");
    cuts.store(1, Ordering::SeqCst);
    let error = cmd("GETDEL").arg("big").exec_async(&mut con).await.expect_err("nobody repeats a write");
    assert_eq!(outcome(&error), Outcome::Unknown, "{error}");
    // It is the end of a session.
    let _: () = con.set("big", &value).await?;
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    cmd("MULTI").exec_async(&mut con).await?;
    con.get::<_, Value>("big").await?;
    cuts.store(1, Ordering::SeqCst);
    let error = cmd("EXEC").exec_async(&mut con).await.expect_err("half of it");
    assert_eq!(outcome(&error), Outcome::Unknown, "{error}");
    let executed: Option<(i64,)> = pipe().atomic().incr("n", 1).query_async(&mut con).await?;
    assert_eq!(executed, Some((1,)));
    Ok(())
}

#[tokio::test]
async fn a_read_without_a_reply_in_time_is_sent_again_however_short_the_limits_are() -> RedisResult<()> {
    let limit = Duration::from_millis(200);
    // The first takes the shortest way, and the second another.
    for deadline in [None, Some(LONG)] {
        for wait_limit in [limit, Duration::ZERO] {
            let nodes = Nodes::start(1);
            let builder = Client::builder().response_timeout(Some(limit));
            let client = nodes.client(builder.wait_limit(wait_limit));
            client.ready(LONG).await?;
            let mut con = client.connection().deadline(deadline);
            let _: () = con.set("a", 1).await?;
            nodes.await_synced();
            soon("the replica is read", async || {
                let _: Value = con.get("a").await.map_err(|error| error.to_string())?;
                if calls(&nodes.replicas[0], "get") > 0 { Ok(()) } else { Err("not yet".to_owned()) }
            })
            .await;
            nodes.replicas[0].stop();
            assert_eq!(con.get::<_, i64>("a").await?, 1, "the master is asked");
        }
    }
    Ok(())
}
