//! Commands that block, when their master goes: what each is called, whichever way it went.

use redis_failover::redis::{AsyncCommands, Pipeline, RedisResult, cmd, pipe};
use redis_failover::{Client, Outcome, outcome};
use redis_failover_lab::Reply;
use tokio::task::{JoinHandle, JoinSet};

use crate::world::{LONG, Nodes, Stage, follow, ok, patient, run, soon};

/// How a master goes.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Another is published, and it lives on.
    Deposed,
    Killed,
    Hung,
    /// It becomes a replica, and no other is published yet.
    Demoted,
}

/// Everything that blocks: alone, and behind a write.
const ALONE: [&[&str]; 3] = [
    &["BLPOP", "list", "0"],
    &["XREAD", "BLOCK", "0", "STREAMS", "stream", "$"],
    &["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "stream", ">"],
];

/// More replicas than there are are waited for.
fn confirmed_write() -> Pipeline {
    let mut pipeline = pipe();
    pipeline.set("written", 1).cmd("WAIT").arg(7).arg(0);
    pipeline
}

fn end_master(stage: &mut Stage, how: End) {
    match how {
        End::Deposed => {}
        End::Killed => stage.nodes[0].kill(),
        End::Hung => stage.nodes[0].stop(),
        // What it says is heard before anything is published.
        End::Demoted => return stage.promote(1),
    }
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    follow(&stage.nodes[2], &stage.nodes[1]);
    let document = stage.document(2, 1, "steady", &run(&stage.nodes[1]));
    stage.put(&document);
}

#[tokio::test]
async fn what_blocks_is_unknown_when_its_master_goes_unless_that_says_what_became_of_it() -> RedisResult<()> {
    for how in [End::Deposed, End::Killed, End::Hung, End::Demoted] {
        let mut stage = Stage::start();
        let client = patient(&stage);
        client.ready(LONG).await?;
        let mut con = client.connection();
        cmd("XGROUP").arg(&["CREATE", "stream", "g", "$", "MKSTREAM"]).exec_async(&mut con).await?;
        let mut in_flight: Vec<(_, JoinHandle<RedisResult<()>>)> = Vec::new();
        for words in ALONE {
            let mut con = client.connection();
            let blocked = async move { cmd(words[0]).arg(&words[1..]).exec_async(&mut con).await };
            in_flight.push((words[0], tokio::spawn(blocked)));
        }
        in_flight.push(("WAIT", tokio::spawn(async move { confirmed_write().exec_async(&mut con).await })));
        let count = in_flight.len().to_string();
        soon("all block", async || {
            let blocked = stage.nodes[0].info("clients").expect("it answers")["blocked_clients"].clone();
            if blocked == count { Ok(()) } else { Err(blocked) }
        })
        .await;
        end_master(&mut stage, how);
        for (name, blocked) in in_flight {
            let error = blocked.await.expect("no panic").expect_err("its master went");
            let expected = match (how, name) {
                // Redis lets all go that wait, and says so. The write before was carried out.
                (End::Demoted, "WAIT") => Outcome::Executed,
                (End::Demoted, _) => Outcome::NotExecuted,
                _ => Outcome::Unknown,
            };
            assert_eq!(outcome(&error), expected, "{name}, {how:?}: {error}");
        }
    }
    Ok(())
}

/// A server that takes no more connections, while the shared one lives.
#[tokio::test]
async fn those_who_get_no_connection_of_their_own_wait_in_the_queue() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder().queue_limit(3));
    client.ready(LONG).await?;
    let mut operator = nodes.master.connect().expect("it answers");
    let mut obey = |words: &[&str]| operator.command(words).and_then(Reply::into_result).expect("it obeys");
    obey(&["CONFIG", "SET", "maxclients", "1"]);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let mut con = client.connection();
        tasks.spawn(async move { con.blpop::<_, Option<(String, i64)>>("list", 0.0).await });
    }
    for _ in 0..5 {
        let error = tasks.join_next().await.expect("some").expect("no panic").expect_err("three may wait");
        assert_eq!(outcome(&error), Outcome::NotExecuted);
        assert!(error.to_string().contains("queue_limit"), "{error}");
    }
    assert!(client.metrics().waiting <= 3);
    obey(&["CONFIG", "SET", "maxclients", "1000"]);
    obey(&["RPUSH", "list", "1", "2", "3"]);
    while let Some(popped) = tasks.join_next().await {
        assert!(popped.expect("no panic")?.is_some());
    }
    Ok(())
}

#[tokio::test]
async fn what_blocks_can_be_let_go_by_name() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut con = client.connection();
    for how in ["TIMEOUT", "ERROR"] {
        let mut popper = client.connection();
        let popping =
            tokio::spawn(async move { popper.blpop::<_, Option<(String, i64)>>("list", 0.0).await });
        let id: String = soon("it blocks", async || {
            let list: String =
                cmd("CLIENT").arg("LIST").query_async(&mut con).await.map_err(|it| it.to_string())?;
            let blocked = list.lines().find(|line| line.contains("cmd=blpop")).ok_or(list.clone())?;
            let id = blocked.split(' ').find_map(|field| field.strip_prefix("id="));
            id.map(str::to_owned).ok_or(list.clone())
        })
        .await;
        let let_go = cmd("CLIENT").arg(&["UNBLOCK", &id, how]).query_async::<i64>(&mut con).await?;
        assert_eq!(let_go, 1);
        match (how, popping.await.expect("no panic")) {
            ("TIMEOUT", reply) => assert_eq!(reply?, None),
            (_, reply) => {
                let error = reply.expect_err("it is an error");
                assert_eq!((error.code(), outcome(&error)), (Some("UNBLOCKED"), Outcome::NotExecuted));
            }
        }
    }
    cmd("CLIENT").arg("TRACKINGINFO").exec_async(&mut con).await
}
