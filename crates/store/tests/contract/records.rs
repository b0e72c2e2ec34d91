//! Reading: what stands in the znodes, and what is left alone.

use redis_failover_core::{Found, Member};
use redis_failover_lab as lab;
use redis_failover_store::{Campaign, CommitError, Connection, Sight, Store, Unreadable, ZooKeeperGroup};

use super::world::{LONG, SESSION, id, led, open, path, put, raw, record, seen, soon, term, text, until};

async fn unreadable(group: &ZooKeeperGroup) -> Unreadable {
    until("it is refused", &mut group.record(), |sight: &Sight| match &sight.read {
        Some(Err(error)) => Some((**error).clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn what_stands_is_adopted_or_left_alone() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    let zookeeper = open(&server.connect_string(), SESSION);

    put(&raw, "/empty", "").await;
    let empty = seen(&zookeeper.group(&path("/empty")), "nothing", |_| true).await;
    assert_eq!(empty.found, Found::Nothing);

    let missing = seen(&zookeeper.group(&path("/not/there")), "nothing", |_| true).await;
    assert_eq!((missing.found, missing.version.order), (Found::Nothing, 0));
    assert_eq!(raw.check_stat("/not").await, Ok(None), "a reader creates nothing");

    put(&raw, "/old", r#"{"master":["h1:1","OK"],"slaves":{"0":["h2:2","KO"]}}"#).await;
    let old = seen(&zookeeper.group(&path("/old")), "the predecessor's", |_| true).await;
    let member = |addr: &str, ok| Member { addr: addr.parse().unwrap(), ok };
    let expected = Found::Predecessor { master: member("h1:1", true), replicas: vec![member("h2:2", false)] };
    assert_eq!(old.found, expected);

    for (name, bytes) in [("/garbage", "what?"), ("/newer", r#"{"format":2,"master":["h1:1","OK"]}"#)] {
        put(&raw, name, bytes).await;
        let group = zookeeper.group(&path(name));
        let error = unreadable(&group).await;
        assert!(error.to_string().contains(name), "{error}");
        let campaign = group.campaign(&id("m1"), None);
        let term = term(&campaign).await;
        let (_, stat) = raw.get_data(name).await.unwrap();
        let version = redis_failover_core::Version { order: stat.mzxid, document: stat.version, state: None };
        assert_eq!(campaign.commit(term, version, &record(1)).await, Err(CommitError::Conflict));
        assert_eq!(text(&raw, name).await, bytes);
        assert_eq!(raw.check_stat(&format!("{name}/state")).await, Ok(None));

        put(&raw, name, "").await;
        seen(&group, "it is mended", |found| *found == Found::Nothing).await;
    }
}

#[tokio::test]
async fn paths_and_the_chroot_are_created_and_dead_hosts_are_passed_over() {
    let server = lab::ZooKeeper::start(1);
    let alive = server.connect_string();
    let dead = lab::free_port();
    let servers = format!("127.0.0.1:{dead}, {alive} ,127.0.0.1:{dead}/deep/chroot/");
    let zookeeper = open(&servers, SESSION);
    let led = led(&zookeeper, "/redis/in/here").await;
    let version = led.campaign.commit(led.term, led.version, &record(1)).await.unwrap();
    assert_eq!((version.document, version.state), (1, Some(0)));
    let raw = raw(&server).await;
    let znode = "/deep/chroot/redis/in/here";
    assert!(text(&raw, znode).await.starts_with(r#"{"master":["h1:1","OK"],"slaves":{"0":["h2:2","OK"]}"#));
    assert!(text(&raw, &format!("{znode}/state")).await.starts_with(r#"{"format":1,"#));
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_neither_block_nor_freeze() {
    // Connecting to this address fails in the very call (docs/design/0002, Z4).
    let zookeeper = open("255.255.255.255:2181", SESSION);
    let failed = |state: &Connection| match state {
        Connection::Connecting { last_error } => last_error.clone(),
        _ => None,
    };
    until("the failure is told", &mut zookeeper.state(), failed).await;
    let group = zookeeper.group(&path("/g"));
    let error = group.snapshot(std::time::Duration::from_millis(300)).await.unwrap_err();
    assert!(error.to_string().contains("255.255.255.255:2181"), "{error}");
    soon("it closes", zookeeper.close()).await;
    assert_eq!(zookeeper.state().latest(), Connection::Closed);
}

#[tokio::test]
async fn a_second_session_reads_what_the_first_committed_and_a_snapshot_tells_who() {
    let server = lab::ZooKeeper::start(1);
    let (one, two) = (open(&server.connect_string(), SESSION), open(&server.connect_string(), SESSION));
    let led = led(&one, "/g").await;
    let follower = two.group(&path("/g"));
    seen(&follower, "nothing yet", |found| *found == Found::Nothing).await;
    let version = led.campaign.commit(led.term, led.version, &record(1)).await.unwrap();
    let wanted = Found::Record(Box::new(record(1)));
    let read = seen(&follower, "the record", |found| *found == wanted).await;
    assert_eq!(read.version, version);
    assert!(version.order > led.version.order);

    let snapshot = follower.snapshot(LONG).await.unwrap();
    assert_eq!(snapshot.record, Ok(read));
    let leader = snapshot.leader.unwrap();
    assert_eq!((leader.monitor.as_str(), leader.address.as_deref()), ("m1", Some("m1:80")));
    assert_eq!(leader.term, led.term);
}

#[tokio::test]
async fn a_reread_yields_though_nothing_changed() {
    let server = lab::ZooKeeper::start(1);
    let zookeeper = open(&server.connect_string(), SESSION);
    let group = zookeeper.group(&path("/g"));
    let first = seen(&group, "nothing", |_| true).await;
    let mut feed = group.record();
    assert_eq!(soon("the first read is never missed", feed.next()).await.read, Some(Ok(first.clone())));
    group.reread();
    assert_eq!(soon("it yields again", feed.next()).await.read, Some(Ok(first)));
}
