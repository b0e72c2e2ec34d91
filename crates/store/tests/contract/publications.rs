//! What followers see: the published document alone.

use std::time::Duration;

use redis_failover_core::{Epoch, Found, Member, Publication};
use redis_failover_lab as lab;
use redis_failover_store::{Campaign, Feed, Glance, Store};

use super::world::{Led, SESSION, led, open, path, put, raw, record, seen, until};

fn member(addr: &str, ok: bool) -> Member {
    Member { addr: addr.parse().unwrap(), ok }
}

fn publication(epoch: u64, replica_ok: bool) -> Publication {
    Publication {
        epoch: Epoch(epoch),
        steady: true,
        master: member("h1:1", true),
        replicas: vec![member("h2:2", replica_ok)],
        run: None,
        replid: None,
    }
}

/// The look that shows this.
async fn shows(feed: &mut Feed<Glance>, what: Option<Publication>) -> Glance {
    let wanted = Some(Ok(what));
    until("the publication", feed, |glance| (glance.read == wanted).then(|| glance.clone())).await
}

#[tokio::test]
async fn the_predecessors_document_ours_and_none_are_told_and_a_new_making_is_told_from_the_old() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    let zookeeper = open(&server.connect_string(), SESSION);
    let mut feed = zookeeper.group(&path("/not/g")).published();
    let missing = shows(&mut feed, None).await;
    assert_eq!((missing.order, missing.created), (0, 0));
    assert_eq!(raw.check_stat("/not").await, Ok(None), "a follower creates nothing");

    put(&raw, "/not/g", r#"{"master":["h1:1","OK"],"slaves":{"0":["h2:2","KO"]}}"#).await;
    let old = shows(&mut feed, Some(publication(0, false))).await;
    assert!(old.created > 0 && old.order > old.created);
    let bytes =
        r#"{"master":["h1:1","OK"],"slaves":{"0":["h2:2","OK"]},"format":9,"epoch":4,"phase":"steady"}"#;
    put(&raw, "/not/g", bytes).await;
    let newer = shows(&mut feed, Some(publication(4, true))).await;
    assert!(newer.order > old.order && newer.created == old.created);

    raw.delete("/not/g", None).await.unwrap();
    let gone = shows(&mut feed, None).await;
    assert_eq!((gone.order, gone.created), (0, 0));
    put(&raw, "/not/g", bytes).await;
    let anew = shows(&mut feed, Some(publication(4, true))).await;
    assert!(anew.order > newer.order && anew.created > newer.created);

    put(&raw, "/not/g", "what?").await;
    let garbage = until("it is refused", &mut feed, |glance| match &glance.read {
        Some(Err(error)) => Some((error.to_string(), glance.order)),
        _ => None,
    })
    .await;
    assert!(garbage.0.contains("/not/g") && garbage.1 > anew.order, "{garbage:?}");
    put(&raw, "/not/g", bytes).await;
    shows(&mut feed, Some(publication(4, true))).await;
}

#[tokio::test]
async fn commits_are_seen_and_what_changes_the_state_alone_wakes_nobody() {
    let server = lab::ZooKeeper::start(1);
    let (one, two) = (open(&server.connect_string(), SESSION), open(&server.connect_string(), SESSION));
    let Led { campaign, term, version, .. } = led(&one, "/g").await;
    let follower = two.group(&path("/g"));
    let mut feed = follower.published();
    let empty = shows(&mut feed, None).await;
    assert!(empty.order > 0 && empty.created > 0, "the znode is there, and says nothing");
    let version = campaign.commit(term, version, &record(1)).await.unwrap();
    let first = shows(&mut feed, Some(publication(1, true))).await;
    assert_eq!((first.order, first.created), (version.order, empty.created));

    let mut record = record(1);
    record.min_replicas_to_write = 3;
    let version = campaign.commit(term, version, &record).await.unwrap();
    // Its session has heard of the state: what it was to be told of the document, it would have been told before.
    let wanted = Found::Record(Box::new(record.clone()));
    seen(&follower, "the state", |found| *found == wanted).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), feed.next()).await.is_err(), "nobody is woken");
    assert_eq!(feed.latest(), first);

    record.members[1].ok = false;
    let version = campaign.commit(term, version, &record).await.unwrap();
    let second = shows(&mut feed, Some(publication(1, false))).await;
    assert_eq!(second.order, version.order);
}
