//! Writing: what a commit changes, and when it changes nothing.

use redis_failover_core::Found;
use redis_failover_store::{CommitError, Sight};

use super::subject::{Candidate, Group, Shows, Subject, cases};
use super::world::{Led, SESSION, id, led, member, record, seen, term};

cases![
    an_old_version_conflicts_and_equal_data_is_not_written,
    a_writing_that_was_not_seen_yet_conflicts,
    a_record_made_anew_is_another_though_its_versions_are_the_same,
    a_deposed_leader_changes_nothing,
    who_stands_behind_another_changes_nothing,
    foreign_keys_are_kept_and_the_predecessors_document_becomes_ours,
];

async fn an_old_version_conflicts_and_equal_data_is_not_written<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { campaign, term, version: first, group } = led(&subject, &session, "/g").await;
    let second = campaign.commit(term, first, &record(1)).await.unwrap();
    assert_eq!((second.document, second.state), (first.document + 1, Some(0)));
    assert!(second.order > first.order);
    assert_eq!(campaign.commit(term, first, &record(2)).await, Err(CommitError::Conflict));

    let before = (subject.stat("/g").await, subject.stat("/g/state").await);
    let transaction = subject.transaction();
    assert_eq!(campaign.commit(term, second, &record(1)).await, Ok(second));
    assert_eq!(subject.transaction(), transaction);
    assert_eq!((subject.stat("/g").await, subject.stat("/g/state").await), before);

    // Only the state differs: the document's watchers are not woken.
    let mut record = record(1);
    record.min_replicas_to_write = 3;
    let third = campaign.commit(term, second, &record).await.unwrap();
    assert_eq!((third.document, third.state), (second.document, Some(1)));
    assert!(third.order > second.order);
    assert_eq!(subject.stat("/g").await, before.0);

    // Only the document differs.
    record.members[1].ok = false;
    let fourth = campaign.commit(term, third, &record).await.unwrap();
    assert_eq!((fourth.document, fourth.state), (third.document + 1, third.state));
    let (document, state) = (subject.stat("/g").await.unwrap(), subject.stat("/g/state").await.unwrap());
    assert_eq!((document.modified, state.modified), (fourth.order, third.order));
    // What the commit answered is what is read.
    let wanted = Found::Record(Box::new(record));
    assert_eq!(seen(&group, "the last", |found| *found == wanted).await.version, fourth);
}

async fn a_writing_that_was_not_seen_yet_conflicts<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    for znode in ["/g", "/g/state"] {
        let Led { group, campaign, term, version } = led(&subject, &session, "/g").await;
        let current = seen(&group, "the present", |_| true).await.version;
        let version = if current.order > version.order { current } else { version };
        let version = campaign.commit(term, version, &record(1)).await.unwrap();
        // Whether the store has read it by then or not: the versions differ.
        let data = subject.text(znode).await;
        subject.put(znode, &data).await;
        assert_eq!(campaign.commit(term, version, &record(2)).await, Err(CommitError::Conflict), "{znode}");
        // Nor is a part overwritten that would stay as it is.
        let mut other = record(1);
        if znode == "/g" {
            other.min_replicas_to_write = 3;
        } else {
            other.members[1].ok = false;
        }
        assert_eq!(campaign.commit(term, version, &other).await, Err(CommitError::Conflict), "{znode}");
        campaign.resign().await;
    }
}

async fn a_record_made_anew_is_another_though_its_versions_are_the_same<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { group, campaign, version: old, .. } = led(&subject, &session, "/g").await;
    subject.delete("/g").await;
    let anew = |sight: &Sight| match &sight.read {
        Some(Ok(read)) if read.version.document >= 0 && read.version.order > old.order => Some(read.version),
        _ => None,
    };
    // A candidate whose lock is gone makes all of it again.
    let new = group.record().until("it is made anew", anew).await;
    let term = term(&campaign).await;
    assert_eq!((new.document, new.state), (old.document, old.state));
    assert_eq!(campaign.commit(term, old, &record(1)).await, Err(CommitError::Conflict));
    campaign.commit(term, new, &record(1)).await.unwrap();
}

async fn a_deposed_leader_changes_nothing<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { campaign, term, version, .. } = led(&subject, &session, "/g").await;
    campaign.confirm(term).await.unwrap();
    let locks = subject.children("/g/leader").await;
    subject.delete(&format!("/g/leader/{}", locks[0])).await;
    assert_eq!(campaign.confirm(term).await, Err(CommitError::Fenced));
    assert_eq!(campaign.commit(term, version, &record(1)).await, Err(CommitError::Fenced));
    assert_eq!(subject.text("/g").await, "");
    assert_eq!(subject.stat("/g/state").await, None);
}

async fn who_stands_behind_another_changes_nothing<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let first = led(&subject, &one, "/g").await;
    let group = subject.group(&two, "/g");
    let second = group.campaign(&id("m2"), None);
    let version = seen(&group, "nothing", |_| true).await.version;
    assert!(!second.holds(first.term));
    assert_eq!(second.commit(first.term, version, &record(1)).await, Err(CommitError::Fenced));

    first.campaign.resign().await;
    let later = term(&second).await;
    assert_eq!(second.confirm(first.term).await, Err(CommitError::Fenced));
    assert_eq!(first.campaign.confirm(first.term).await, Err(CommitError::Fenced));
    second.confirm(later).await.unwrap();
    assert_eq!(second.commit(first.term, version, &record(1)).await, Err(CommitError::Fenced));
    assert_eq!(first.campaign.commit(first.term, version, &record(1)).await, Err(CommitError::Fenced));
    assert_eq!(subject.text("/g").await, "");
    second.commit(later, version, &record(1)).await.unwrap();
}

async fn foreign_keys_are_kept_and_the_predecessors_document_becomes_ours<S: Subject>() {
    let subject = S::start().await;
    subject.put("/g", r#"{"slaves":{},"master":["h9:9","OK"],"o":0}"#).await;
    let session = subject.open(SESSION);
    let Led { group, campaign, term, version } = led(&subject, &session, "/g").await;
    let found = Found::Predecessor { master: member("h9:9", true), replicas: vec![] };
    assert_eq!(seen(&group, "it", |_| true).await.found, found);
    campaign.commit(term, version, &record(0)).await.unwrap();
    assert_eq!(
        subject.text("/g").await,
        r#"{"slaves":{"0":["h2:2","OK"]},"master":["h1:1","OK"],"o":0,"format":1,"epoch":0,"phase":"steady"}"#
    );
    let state = subject.text("/g/state").await;
    assert!(state.starts_with(r#"{"format":1,"epoch":0,"phase":"steady","master":"h1:1""#), "{state}");
    seen(&group, "our record", |found| *found == Found::Record(Box::new(record(0)))).await;
}
