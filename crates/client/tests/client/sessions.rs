//! What lasts on a connection: transactions with WATCH, and commands that block.

use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, RedisResult, aio, cmd, pipe};
use redis_failover::{Client, Connection, Outcome, ReadFrom, outcome};

use crate::world::{LONG, Nodes, Stage, ok, patient, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_with_watch_lose_no_increment() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let increments = (0..8).map(|_| {
        let con = client.connection();
        tokio::spawn(async move {
            let mut attempts = 0;
            for _ in 0..25 {
                let _: Vec<i64> = aio::transaction_async(con.clone(), &["counter"], |mut con, mut pipe| {
                    attempts += 1;
                    async move {
                        let present: Option<i64> = con.get("counter").await?;
                        pipe.set("counter", present.unwrap_or(0) + 1)
                            .ignore()
                            .get("counter")
                            .query_async(&mut con)
                            .await
                    }
                })
                .await?;
            }
            RedisResult::Ok(attempts)
        })
    });
    let mut attempts = 0;
    for increment in increments.collect::<Vec<_>>() {
        attempts += increment.await.expect("no panic")?;
    }
    assert_eq!(nodes.master_only().get::<_, i64>("counter").await?, 200);
    assert!(attempts > 200, "somebody had to try twice, or nothing was put to the test");
    let accepted: u64 = nodes.master.info("stats").expect("it answers")["total_connections_received"]
        .parse()
        .expect("a number");
    assert!(accepted < attempts + 50, "one connection for each attempt, not {accepted}");
    Ok(())
}

#[tokio::test]
async fn multi_by_hand_queues_on_a_connection_of_its_own() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let mut other = con.clone();
    cmd("MULTI").exec_async(&mut con).await?;
    let queued: String = cmd("SET").arg("a").arg(1).query_async(&mut con).await?;
    assert_eq!(queued, "QUEUED");
    assert_eq!(other.get::<_, Option<i64>>("a").await?, None, "others are not in it");
    let _: (String,) = cmd("EXEC").query_async(&mut con).await?;
    assert_eq!(other.get::<_, Option<i64>>("a").await?, Some(1));
    cmd("MULTI").exec_async(&mut con).await?;
    cmd("DISCARD").exec_async(&mut con).await?;
    assert_eq!(con.get::<_, Option<i64>>("a").await?, Some(1), "it is over");
    Ok(())
}

#[tokio::test]
async fn exec_yields_nil_when_the_connection_that_watched_is_gone() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    cmd("WATCH").arg("a").exec_async(&mut con).await?;
    crate::world::ok(&nodes.master, &["CLIENT", "KILL", "TYPE", "normal"]);
    con.get::<_, Option<i64>>("a").await.expect_err("it was sent to nobody, or to the end of it");
    let executed: Option<(String,)> = pipe().atomic().set("a", 1).query_async(&mut con).await?;
    assert_eq!(executed, None);
    // Without WATCH nil would say nothing true.
    cmd("MULTI").exec_async(&mut con).await?;
    crate::world::ok(&nodes.master, &["CLIENT", "KILL", "TYPE", "normal"]);
    cmd("SET").arg("a").arg(1).exec_async(&mut con).await.expect_err("its connection has ended");
    let error = cmd("EXEC").exec_async(&mut con).await.expect_err("its connection has ended");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    // What comes next is no part of it.
    assert_eq!(con.get::<_, Option<i64>>("a").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_blocking_command_holds_up_nobody_and_swallows_nothing() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let limit = Duration::from_millis(200);
    let client = nodes.client(Client::builder().read_from(ReadFrom::Master).response_timeout(Some(limit)));
    let mut con = client.connection();
    let mut popper = client.connection();
    let begun = Instant::now();
    let popping = tokio::spawn(async move { popper.blpop::<_, (String, i64)>("list", 10.0).await });
    while begun.elapsed() < limit * 2 {
        let asked = Instant::now();
        let _: Option<i64> = con.get("a").await?;
        assert!(asked.elapsed() < limit, "it was held up");
    }
    let _: () = con.rpush("list", 7).await?;
    assert_eq!(popping.await.expect("no panic")?, ("list".to_owned(), 7));

    // One that is dropped takes nothing any more.
    let mut popper = client.connection();
    let waiting = tokio::time::timeout(limit, popper.blpop::<_, (String, i64)>("list", 0.0));
    assert!(waiting.await.is_err());
    let _: () = con.rpush("list", 8).await?;
    assert_eq!(con.llen::<_, i64>("list").await?, 1);

    // A pipeline may wait for its own writes.
    let (confirmed,): (i64,) =
        pipe().set("a", 1).ignore().cmd("WAIT").arg(0).arg(10).query_async(&mut con).await?;
    assert_eq!(confirmed, 0);
    Ok(())
}

#[tokio::test]
async fn what_redis_refuses_ends_no_session() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let (mut con, mut other) = (nodes.master_only(), nodes.master_only());
    for premature in ["EXEC", "DISCARD"] {
        cmd("WATCH").arg("w").exec_async(&mut con).await?;
        cmd(premature).exec_async(&mut con).await.expect_err("there is no MULTI");
        let _: () = other.set("w", premature).await?;
        let executed: Option<(String,)> = pipe().atomic().set("a", 1).query_async(&mut con).await?;
        assert_eq!(executed, None, "what was watched has changed");
    }
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    cmd("RESET").exec_async(&mut con).await.expect_err("it would forget what is watched");
    cmd("UNWATCH").exec_async(&mut con).await?;
    let executed: Option<(String,)> = pipe().atomic().set("a", 1).query_async(&mut con).await?;
    assert!(executed.is_some());
    Ok(())
}

#[tokio::test]
async fn what_blocks_in_a_session_and_is_dropped_swallows_nothing() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let (mut con, mut other) = (nodes.master_only(), nodes.master_only());
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    let limit = Duration::from_millis(100);
    let popping = tokio::time::timeout(limit, con.blpop::<_, (String, i64)>("list", 0.0));
    assert!(popping.await.is_err());
    let _: () = other.rpush("list", 7).await?;
    assert_eq!(other.llen::<_, i64>("list").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_scan_does_not_wander_into_a_session() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    for key in 0..100 {
        let _: () = con.set(key, 1).await?;
    }
    let (cursor, _): (u64, Vec<String>) = cmd("SCAN").arg(0).query_async(&mut con).await?;
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    let error = cmd("SCAN").arg(cursor).exec_async(&mut con).await.expect_err("it is another connection's");
    assert!(error.to_string().contains("begin again"), "{error}");
    let (cursor, _): (u64, Vec<String>) = cmd("SCAN").arg(0).query_async(&mut con).await?;
    cmd("SCAN").arg(cursor).exec_async(&mut con).await?;
    Ok(())
}

#[tokio::test]
async fn a_pipeline_that_blocks_and_ends_nothing_holds_up_nobody() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let (mut con, mut other) = (nodes.master_only(), nodes.master_only());
    let _: () = other.set("a", 1).await?;
    let blocking = tokio::spawn(async move {
        pipe().cmd("BLPOP").arg("list").arg(2).cmd("UNWATCH").exec_async(&mut con).await
    });
    let asked = Instant::now();
    for _ in 0..20 {
        let _: i64 = other.get("a").await?;
    }
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let _: () = other.rpush("list", 1).await?;
    blocking.await.expect("no panic")
}

/// Whether what is sent on `con` goes over another connection than what is sent on `other`.
async fn is_apart(con: &mut Connection, other: &mut Connection) -> RedisResult<bool> {
    let mut id = cmd("CLIENT");
    id.arg("ID");
    Ok(id.query_async::<i64>(con).await? != id.query_async::<i64>(other).await?)
}

/// Ends all connections of clients, and waits until there is another one for `other`.
async fn cut(nodes: &Nodes, other: &mut Connection) {
    ok(&nodes.master, &["CLIENT", "KILL", "TYPE", "normal"]);
    soon("another connection", async || {
        other.get::<_, Option<i64>>("a").await.map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_lost_watch_is_told_once_and_stands_in_nobodys_way() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let mut other = con.clone();
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    cut(&nodes, &mut other).await;
    let error = con.set::<_, _, ()>("a", 1).await.expect_err("it is told");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    for value in 2..5 {
        let _: () = con.set("a", value).await?;
        assert_eq!(con.get::<_, i64>("a").await?, value);
    }
    let executed: Option<(i64,)> = pipe().atomic().incr("b", 1).query_async(&mut con).await?;
    assert_eq!(executed, None, "what was watched may have changed");
    let executed: Option<(i64,)> = pipe().atomic().incr("b", 1).query_async(&mut con).await?;
    assert_eq!(executed, Some((1,)));
    // What begins anew is as lost as what it began with, to the EXEC that says so.
    for told in [false, true] {
        cmd("WATCH").arg("w").exec_async(&mut con).await?;
        cut(&nodes, &mut other).await;
        if told {
            con.get::<_, i64>("a").await.expect_err("it is told");
            assert!(!is_apart(&mut con, &mut other).await?);
        }
        for _ in 0..3 {
            let error = cmd("MULTI").exec_async(&mut con).await.expect_err("it would be executed unwatched");
            assert_eq!(outcome(&error), Outcome::NotExecuted);
            cmd("DISCARD").exec_async(&mut con).await.expect_err("nothing was queued");
        }
        cmd("WATCH").arg("v").exec_async(&mut con).await?;
        assert!(is_apart(&mut con, &mut other).await?);
        cmd("MULTI").exec_async(&mut con).await?;
        con.incr::<_, _, ()>("b", 1).await?;
        let executed: Option<(i64,)> = cmd("EXEC").query_async(&mut con).await?;
        assert_eq!(executed, None);
        assert!(!is_apart(&mut con, &mut other).await?);
        let executed: Option<(i64,)> = pipe().atomic().get("b").query_async(&mut con).await?;
        assert_eq!(executed, Some((1,)), "nil is said once");
    }
    // UNWATCH is the other end of it.
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    cut(&nodes, &mut other).await;
    cmd("WATCH").arg("v").exec_async(&mut con).await.expect_err("it is told");
    cmd("WATCH").arg("v").exec_async(&mut con).await?;
    cmd("UNWATCH").exec_async(&mut con).await?;
    let executed: Option<(i64,)> = pipe().atomic().incr("b", 1).query_async(&mut con).await?;
    assert_eq!(executed, Some((2,)));
    Ok(())
}

#[tokio::test]
async fn nobodys_watch_is_forgotten_when_another_begins() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let mut other = con.clone();
    let limit = Duration::from_millis(100);
    for by_clone in [false, true] {
        cmd("WATCH").arg("a").exec_async(&mut con).await?;
        let mut clone = con.clone();
        let _: Option<i64> = con.get("a").await?;
        nodes.master.stop();
        let dropped = tokio::time::timeout(limit, con.get::<_, Option<i64>>("x")).await;
        dropped.expect_err("nobody answers");
        nodes.master.cont();
        let _: () = other.set("a", 1).await?;
        cmd("WATCH").arg("b").exec_async(if by_clone { &mut clone } else { &mut con }).await?;
        let executed: Option<(i64,)> = pipe().atomic().incr("a", 1).query_async(&mut con).await?;
        assert_eq!(executed, None, "it has changed");
    }
    // Who does it again does it at last.
    cmd("WATCH").arg("a").exec_async(&mut con).await?;
    cut(&nodes, &mut other).await;
    con.get::<_, i64>("a").await.expect_err("it is told");
    let mut attempts = 0;
    let (incremented,): (i64,) = aio::transaction_async(con, &["b"], |mut con, mut pipe| {
        attempts += 1;
        async move { pipe.incr("b", 1).query_async(&mut con).await }
    })
    .await?;
    assert_eq!((incremented, attempts), (1, 2));
    Ok(())
}

#[tokio::test]
async fn only_what_is_a_transaction_gets_its_nil() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let mut other = con.clone();
    let mut mixed = pipe();
    mixed.set("audit", 1).cmd("MULTI").set("a", 1).cmd("EXEC");
    for anew in [false, true] {
        cmd("WATCH").arg("w").exec_async(&mut con).await?;
        cut(&nodes, &mut other).await;
        con.get::<_, Option<i64>>("a").await.expect_err("it is told");
        for _ in 0..2 {
            if anew {
                cmd("WATCH").arg("w").exec_async(&mut con).await?;
            }
            let error = mixed.exec_async(&mut con).await.expect_err("nothing of it was executed");
            assert_eq!(outcome(&error), Outcome::NotExecuted);
            assert!(error.to_string().contains("UNWATCH"), "{error}");
        }
        assert_eq!(other.mget::<_, (Option<i64>, Option<i64>)>(&["audit", "a"]).await?, (None, None));
        cmd("UNWATCH").exec_async(&mut con).await?;
        mixed.exec_async(&mut con).await?;
        let _: () = other.del(&["audit", "a"]).await?;
    }
    Ok(())
}

/// Has Redis refuse to execute a transaction under WATCH, and yields the error and what comes of the second attempt.
async fn refused(nodes: &Nodes, by: &[&str], back: &[&str]) -> RedisResult<(Outcome, bool)> {
    let (mut con, mut other) = (nodes.master_only(), nodes.master_only());
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    ok(&nodes.master, by);
    let mut transaction = pipe();
    transaction.atomic().incr("n", 1);
    let error = transaction.query_async::<Option<(i64,)>>(&mut con).await.expect_err("it is refused");
    ok(&nodes.master, back);
    let _: () = other.set("w", 1).await?;
    let again: Option<(i64,)> = transaction.query_async(&mut con).await?;
    let (_,): (i64,) = transaction.query_async(&mut con).await?;
    Ok((outcome(&error), again.is_some()))
}

#[tokio::test]
async fn what_a_node_refused_under_watch_is_not_executed_unwatched_when_it_is_sent_again() -> RedisResult<()>
{
    let nodes = Nodes::start(0);
    // What Redis aborts is as on a connection of one's own: the watch is given up with it.
    for (name, value, executes) in [("min-replicas-to-write", "1", false), ("maxmemory", "1", true)] {
        let [by, back] = [value, "0"].map(|value| ["CONFIG", "SET", name, value]);
        assert_eq!(refused(&nodes, &by, &back).await?, (Outcome::NotExecuted, executes), "{by:?}");
    }
    // redis-rs does not tell the refusal of EXEC from that of a command in a pipeline.
    for (right, told, executes) in [("incrby", Outcome::NotExecuted, true), ("exec", Outcome::Executed, true)]
    {
        let (by, back) = (format!("-{right}"), format!("+{right}"));
        let [by, back] = [&by, &back].map(|rule| ["ACL", "SETUSER", "default", rule]);
        assert_eq!(refused(&nodes, &by, &back).await?, (told, executes), "{by:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_whose_call_was_dropped_is_over() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let mut other = con.clone();
    let limit = Duration::from_millis(100);
    for ends in [false, true] {
        cmd("WATCH").arg("w").exec_async(&mut con).await?;
        if ends {
            cmd("MULTI").exec_async(&mut con).await?;
        }
        nodes.master.stop();
        let last = if ends { cmd("EXEC") } else { cmd("GET").arg("w").to_owned() };
        tokio::time::timeout(limit, last.exec_async(&mut con)).await.expect_err("nobody answers");
        nodes.master.cont();
        let _: () = con.set("a", 1).await?;
        assert!(!is_apart(&mut con, &mut other).await?);
        let executed: Option<(i64,)> = pipe().atomic().incr("b", 1).query_async(&mut con).await?;
        assert_eq!(executed.is_some(), ends, "EXEC was the end of it");
    }
    Ok(())
}

#[tokio::test]
async fn each_step_is_judged_by_its_own_reply() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let mut other = con.clone();
    let mut aborted = pipe();
    aborted.cmd("MULTI").cmd("SET").arg("a").cmd("EXEC");
    let mut later = pipe();
    later.set("text", "x").cmd("MULTI").incr("n", 1).cmd("EXEC").incr("text", 1);
    for pipeline in [aborted, later] {
        pipeline.exec_async(&mut con).await.expect_err("one command fails");
        assert!(!is_apart(&mut con, &mut other).await?, "EXEC was the end: {pipeline:?}");
    }
    assert_eq!(con.get::<_, i64>("n").await?, 1);
    // What is refused begins nothing, and ends nothing.
    ok(&nodes.master, &["ACL", "SETUSER", "default", "-multi"]);
    cmd("MULTI").exec_async(&mut con).await.expect_err("it is forbidden");
    assert!(!is_apart(&mut con, &mut other).await?);
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    let mut alone = pipe();
    alone.cmd("MULTI").set("a", 1).cmd("EXEC");
    alone.exec_async(&mut con).await.expect_err("it is forbidden");
    assert!(is_apart(&mut con, &mut other).await?, "it is watched still");
    ok(&nodes.master, &["ACL", "SETUSER", "default", "+multi"]);
    let _: () = other.set("w", 1).await?;
    let executed: Option<(String,)> = pipe().atomic().set("a", 1).query_async(&mut con).await?;
    assert_eq!(executed, None);
    cmd("MULTI").exec_async(&mut con).await?;
    cmd("WATCH").arg("w").exec_async(&mut con).await.expect_err("not within MULTI");
    cmd("DISCARD").exec_async(&mut con).await?;
    assert!(!is_apart(&mut con, &mut other).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shares_a_session_is_not_told_that_it_was_lost_when_it_only_ended() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let mut other = con.clone();
    cmd("WATCH").arg("w").exec_async(&mut con).await?;
    let mut clone = con.clone();
    nodes.master.stop();
    let mut transaction = pipe();
    transaction.atomic().set("a", 1);
    let mut ending = Box::pin(transaction.exec_async(&mut con));
    let mut reading = Box::pin(clone.get::<_, i64>("a"));
    // The second waits for the first.
    let limit = Duration::from_millis(100);
    tokio::time::timeout(limit, &mut ending).await.expect_err("nobody answers");
    tokio::time::timeout(limit, &mut reading).await.expect_err("nobody answers");
    nodes.master.cont();
    let (ended, read) = tokio::join!(ending, reading);
    ended?;
    assert_eq!(read?, 1);
    assert!(!is_apart(&mut con, &mut other).await?);
    // One that goes on is lost by nobody, however many use it.
    for round in 0..300 {
        cmd("WATCH").arg("w").exec_async(&mut con).await?;
        let mut clone = con.clone();
        let reading = tokio::spawn(async move { clone.get::<_, Option<i64>>("w").await });
        cmd("WATCH").arg("v").exec_async(&mut con).await?;
        reading.await.expect("no panic")?;
        let _: () = other.set("w", round).await?;
        let executed: Option<(String,)> = pipe().atomic().set("a", 1).query_async(&mut con).await?;
        assert_eq!(executed, None, "it changed in round {round}");
    }
    Ok(())
}

#[tokio::test]
async fn unwatch_needs_no_master_where_nothing_is_watched_any_more() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    for (epoch, watches, told) in [(2, false, false), (3, true, false), (4, true, true)] {
        client.ready(LONG).await?;
        if watches {
            cmd("WATCH").arg("w").exec_async(&mut con).await?;
        }
        stage.open_epoch(epoch, 0);
        soon("it is known", async || client.current_master().map_or(Ok(()), |it| Err(it.to_string()))).await;
        if told {
            con.get::<_, Option<i64>>("a").await.expect_err("it is told");
        }
        let begun = Instant::now();
        for _ in 0..2 {
            cmd("UNWATCH").exec_async(&mut con).await?;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        stage.publish(epoch, 0);
        let executed: Option<(i64,)> = pipe().atomic().incr("n", 1).query_async(&mut con).await?;
        assert!(executed.is_some(), "nothing is left of it in epoch {epoch}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_queued_says_what_ends_it() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let mut other = con.clone();
    for watches in [false, true] {
        if watches {
            cmd("WATCH").arg("w").exec_async(&mut con).await?;
        }
        for end in ["EXEC", "DISCARD"] {
            cmd("MULTI").exec_async(&mut con).await?;
            cut(&nodes, &mut other).await;
            for word in ["PING", "UNWATCH", "PING"] {
                let error = cmd(word).exec_async(&mut con).await.expect_err("it belongs to what was queued");
                assert_eq!(outcome(&error), Outcome::NotExecuted);
                let text = error.to_string();
                assert!(text.contains("EXEC or DISCARD") && !text.contains("UNWATCH"), "{text}");
            }
            let ended = cmd(end).query_async::<Option<String>>(&mut con).await;
            assert_eq!(ended.ok(), (watches && end == "EXEC").then_some(None), "nil is said of a watch only");
            assert_eq!(con.get::<_, Option<i64>>("a").await?, None, "that was the end");
        }
    }
    Ok(())
}
