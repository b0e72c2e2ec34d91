//! The client on a real `ZooKeeper`: one session for many groups, and no session at all.

use std::time::Duration;

use redis_failover::redis::AsyncCommands;
use redis_failover::{Client, Outcome, ReadFrom, outcome};
use redis_failover_lab::{ZooKeeper, free_port};
use redis_failover_store::ZooKeeper as Session;

use crate::world::{LONG, Nodes, ok, publish, soon};

/// The session time-out of these tests.
const SESSION: Duration = Duration::from_secs(2);

#[tokio::test]
async fn many_groups_share_a_session_and_none_needs_it_to_go_on() {
    let mut zookeeper = ZooKeeper::start(1);
    let groups = [("/redis/one", Nodes::start(0)), ("/redis/two", Nodes::start(0))];
    let session =
        Session::connect(zookeeper.connect_string().parse().expect("servers"), SESSION).expect("a thread");
    for (path, nodes) in &groups {
        publish(&session, path, nodes).await;
    }
    session.close().await;
    let builder = Client::builder().servers(zookeeper.connect_string()).path(groups[0].0);
    let builder = builder.session_timeout(SESSION).read_from(ReadFrom::Master).wait_limit(LONG);
    let first = builder.build().expect("good settings");
    let second = first.group(groups[1].0).expect("a path");
    let clients = [first, second];
    for (number, client) in clients.iter().enumerate() {
        client.connection().set::<_, _, ()>("number", number).await.expect("it is written");
        assert_eq!(groups[number].1.master.get("number"), Ok(Some(number.to_string())));
    }
    let connections = zookeeper.four_letter(0, "cons").expect("it answers");
    // The one that asks is among them.
    assert_eq!(connections.lines().filter(|line| line.contains("sid=0x")).count(), 1, "{connections}");

    zookeeper.server(0).kill();
    for (number, client) in clients.iter().enumerate() {
        let node = &groups[number].1.master;
        ok(node, &["CLIENT", "KILL", "TYPE", "normal"]);
        soon("it writes again", async || {
            client.connection().set::<_, _, ()>("number", "again").await.map_err(|error| error.to_string())
        })
        .await;
        assert_eq!(node.get("number"), Ok(Some("again".into())));
    }
}

#[tokio::test]
async fn the_session_ends_with_the_last_client_that_is_closed() {
    let (zookeeper, nodes) = (ZooKeeper::start(1), Nodes::start(0));
    let session =
        Session::connect(zookeeper.connect_string().parse().expect("servers"), SESSION).expect("a thread");
    publish(&session, "/redis/cluster", &nodes).await;
    session.close().await;
    let sessions = || {
        let connections = zookeeper.four_letter(0, "cons").expect("it answers");
        connections.lines().filter(|line| line.contains("sid=0x")).count()
    };
    let builder = Client::builder().servers(zookeeper.connect_string()).session_timeout(SESSION);
    let first = builder.build().expect("good settings");
    let second = first.group("/redis/cluster").expect("a path");
    let mut con = first.connection();
    for client in [&first, &second] {
        client.ready(LONG).await.expect("it is published");
    }
    assert_eq!(first.close(LONG).await, 0);
    assert_eq!(sessions(), 1, "the other needs it");
    assert_eq!(second.close(LONG).await, 0);
    soon("it is over", async || match sessions() {
        0 => Ok(()),
        left => Err(left.to_string()),
    })
    .await;
    con.set::<_, _, ()>("a", 1).await.expect_err("it is closed");
}

#[tokio::test]
async fn who_finds_no_zookeeper_or_no_document_is_told() {
    let limit = Duration::from_millis(600);
    let nobody = format!("127.0.0.1:{}", free_port());
    let builder = || Client::builder().wait_limit(limit).session_timeout(SESSION);
    let client = builder().servers(&nobody).build().expect("good settings");
    let error = client.connection().set::<_, _, ()>("a", 1).await.expect_err("there is no ZooKeeper");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(error.to_string().contains(&format!("no session with ZooKeeper at {nobody}")), "{error}");

    let zookeeper = ZooKeeper::start(1);
    let client =
        builder().servers(zookeeper.connect_string()).path("/not/there").build().expect("good settings");
    let error = client.ready(Duration::from_secs(3)).await.expect_err("nothing is published");
    assert!(error.to_string().contains("nothing is published at /not/there"), "{error}");
}
