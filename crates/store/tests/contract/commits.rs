//! Writing: what a commit changes, and when it changes nothing.

use redis_failover_core::{Found, Member};
use redis_failover_lab as lab;
use redis_failover_store::{Campaign, CommitError};

use super::world::{Led, SESSION, figures, led, open, put, raw, record, seen, text};

#[tokio::test]
async fn an_old_version_conflicts_and_equal_data_is_not_written() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    let zookeeper = open(&server.connect_string(), SESSION);
    let Led { campaign, term, version: first, .. } = led(&zookeeper, "/g").await;
    let second = campaign.commit(term, first, &record(1)).await.unwrap();
    assert_eq!(campaign.commit(term, first, &record(2)).await, Err(CommitError::Conflict));

    let before = (raw.check_stat("/g").await.unwrap(), raw.check_stat("/g/state").await.unwrap());
    let transactions = figures(&server).0;
    assert_eq!(campaign.commit(term, second, &record(1)).await, Ok(second));
    assert_eq!(figures(&server).0, transactions);
    let after = (raw.check_stat("/g").await.unwrap(), raw.check_stat("/g/state").await.unwrap());
    assert_eq!(before, after);

    // Only the state differs: the document's watchers are not woken.
    let mut record = record(1);
    record.min_replicas_to_write = 3;
    let third = campaign.commit(term, second, &record).await.unwrap();
    assert_eq!((third.document, third.state), (second.document, Some(1)));
    assert!(third.order > second.order);
    assert_eq!(raw.check_stat("/g").await.unwrap(), before.0);

    // Only the document differs.
    record.members[1].ok = false;
    let fourth = campaign.commit(term, third, &record).await.unwrap();
    assert_eq!((fourth.document, fourth.state), (third.document + 1, third.state));
}

#[tokio::test]
async fn a_writing_that_was_not_seen_yet_conflicts() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    let zookeeper = open(&server.connect_string(), SESSION);
    for znode in ["/g", "/g/state"] {
        let Led { group, campaign, term, version } = led(&zookeeper, "/g").await;
        let current = seen(&group, "the present", |_| true).await.version;
        let version = if current.order > version.order { current } else { version };
        let version = campaign.commit(term, version, &record(1)).await.unwrap();
        // Whether the store has read it by then or not: the versions differ.
        let data = text(&raw, znode).await;
        put(&raw, znode, &data).await;
        assert_eq!(campaign.commit(term, version, &record(2)).await, Err(CommitError::Conflict), "{znode}");
        campaign.resign().await;
    }
}

#[tokio::test]
async fn a_deposed_leader_changes_nothing() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    let zookeeper = open(&server.connect_string(), SESSION);
    let Led { campaign, term, version, .. } = led(&zookeeper, "/g").await;
    let locks = raw.list_children("/g/leader").await.unwrap();
    let lock = format!("/g/leader/{}", locks[0]);
    raw.delete(&lock, None).await.unwrap();
    assert_eq!(campaign.commit(term, version, &record(1)).await, Err(CommitError::Fenced));
    assert_eq!(text(&raw, "/g").await, "");
    assert_eq!(raw.check_stat("/g/state").await, Ok(None));
}

#[tokio::test]
async fn foreign_keys_are_kept_and_the_predecessors_document_becomes_ours() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    put(&raw, "/g", r#"{"slaves":{},"master":["h9:9","OK"],"o":0}"#).await;
    let zookeeper = open(&server.connect_string(), SESSION);
    let Led { group, campaign, term, version } = led(&zookeeper, "/g").await;
    let member = |addr: &str, ok| Member { addr: addr.parse().unwrap(), ok };
    let found = Found::Predecessor { master: member("h9:9", true), replicas: vec![] };
    assert_eq!(seen(&group, "it", |_| true).await.found, found);
    campaign.commit(term, version, &record(0)).await.unwrap();
    assert_eq!(
        text(&raw, "/g").await,
        r#"{"slaves":{"0":["h2:2","OK"]},"master":["h1:1","OK"],"o":0,"format":1,"epoch":0,"phase":"steady"}"#
    );
    seen(&group, "our record", |found| *found == Found::Record(Box::new(record(0)))).await;
}
