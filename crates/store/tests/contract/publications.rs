//! What followers see: the published document alone.

use redis_failover_core::{Epoch, Found, Publication};
use redis_failover_store::Glance;

use super::subject::{Candidate, Group, Shows, Subject, cases};
use super::world::{Led, MOMENT, SESSION, led, member, record, seen};

cases![
    the_predecessors_document_ours_and_none_are_told_and_a_new_making_is_told_from_the_old,
    commits_are_seen_and_what_changes_the_state_alone_wakes_nobody,
];

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
async fn shown(feed: &mut impl Shows<Glance>, what: Option<Publication>) -> Glance {
    let wanted = Some(Ok(what));
    feed.until("the publication", |glance| (glance.read == wanted).then(|| glance.clone())).await
}

async fn the_predecessors_document_ours_and_none_are_told_and_a_new_making_is_told_from_the_old<
    S: Subject,
>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let mut feed = subject.group(&session, "/not/g").published();
    let missing = shown(&mut feed, None).await;
    assert_eq!((missing.order, missing.created), (0, 0));
    assert_eq!(subject.stat("/not").await, None, "a follower creates nothing");

    subject.put("/not/g", r#"{"master":["h1:1","OK"],"slaves":{"0":["h2:2","KO"]}}"#).await;
    let old = shown(&mut feed, Some(publication(0, false))).await;
    assert!(old.created > 0 && old.order > old.created);
    let bytes =
        r#"{"master":["h1:1","OK"],"slaves":{"0":["h2:2","OK"]},"format":9,"epoch":4,"phase":"steady"}"#;
    subject.put("/not/g", bytes).await;
    let newer = shown(&mut feed, Some(publication(4, true))).await;
    assert!(newer.order > old.order && newer.created == old.created);

    subject.delete("/not/g").await;
    let gone = shown(&mut feed, None).await;
    assert_eq!((gone.order, gone.created), (0, 0));
    subject.put("/not/g", bytes).await;
    let anew = shown(&mut feed, Some(publication(4, true))).await;
    assert!(anew.order > newer.order && anew.created > newer.created);

    subject.put("/not/g", "what?").await;
    let refused = |glance: &Glance| match &glance.read {
        Some(Err(error)) => Some((error.to_string(), glance.order)),
        _ => None,
    };
    let (error, order) = feed.until("it is refused", refused).await;
    assert!(error.contains("/not/g") && order > anew.order, "{error}");
    subject.put("/not/g", bytes).await;
    shown(&mut feed, Some(publication(4, true))).await;
}

async fn commits_are_seen_and_what_changes_the_state_alone_wakes_nobody<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let Led { campaign, term, version, .. } = led(&subject, &one, "/g").await;
    let follower = subject.group(&two, "/g");
    let mut feed = follower.published();
    let empty = shown(&mut feed, None).await;
    assert!(empty.order > 0 && empty.created > 0, "the znode is there, and says nothing");
    let version = campaign.commit(term, version, &record(1)).await.unwrap();
    let first = shown(&mut feed, Some(publication(1, true))).await;
    assert_eq!((first.order, first.created), (version.order, empty.created));

    let mut record = record(1);
    record.min_replicas_to_write = 3;
    let version = campaign.commit(term, version, &record).await.unwrap();
    // Its session has heard of the state: what it was to be told of the document, it would have been told before.
    let wanted = Found::Record(Box::new(record.clone()));
    seen(&follower, "the state", |found| *found == wanted).await;
    feed.stays("nobody is woken", MOMENT).await;
    assert_eq!(feed.latest(), first);

    record.members[1].ok = false;
    let version = campaign.commit(term, version, &record).await.unwrap();
    let second = shown(&mut feed, Some(publication(1, false))).await;
    assert_eq!(second.order, version.order);
}
