//! Reading: what stands in the znodes, and what is left alone.

use redis_failover_core::{Found, Version};
use redis_failover_store::{CommitError, Sight, Unreadable};

use super::subject::{Candidate, Group, Shows, Subject, cases};
use super::world::{SESSION, id, led, member, record, seen, term};

cases![
    what_stands_is_adopted_or_left_alone,
    a_second_session_reads_what_the_first_committed,
    a_reread_yields_though_nothing_changed,
];

async fn unreadable(group: &impl Group) -> Unreadable {
    let refused = |sight: &Sight| match &sight.read {
        Some(Err(error)) => Some((**error).clone()),
        _ => None,
    };
    group.record().until("it is refused", refused).await
}

async fn what_stands_is_adopted_or_left_alone<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);

    subject.put("/empty", "").await;
    let empty = seen(&subject.group(&session, "/empty"), "nothing", |_| true).await;
    assert_eq!(empty.found, Found::Nothing);

    let missing = seen(&subject.group(&session, "/not/there"), "nothing", |_| true).await;
    assert_eq!((missing.found, missing.version.order), (Found::Nothing, 0));
    assert_eq!(subject.stat("/not").await, None, "a reader creates nothing");

    subject.put("/old", r#"{"master":["h1:1","OK"],"slaves":{"0":["h2:2","KO"]}}"#).await;
    let old = seen(&subject.group(&session, "/old"), "the predecessor's", |_| true).await;
    let expected = Found::Predecessor { master: member("h1:1", true), replicas: vec![member("h2:2", false)] };
    assert_eq!(old.found, expected);

    for (name, bytes) in [("/garbage", "what?"), ("/newer", r#"{"format":2,"master":["h1:1","OK"]}"#)] {
        subject.put(name, bytes).await;
        let group = subject.group(&session, name);
        let error = unreadable(&group).await;
        assert!(error.to_string().contains(name), "{error}");
        let campaign = group.campaign(&id("m1"), None);
        let term = term(&campaign).await;
        let stat = subject.stat(name).await.unwrap();
        let version = Version { order: stat.modified, document: stat.version, state: None };
        assert_eq!(campaign.commit(term, version, &record(1)).await, Err(CommitError::Conflict));
        assert_eq!(subject.text(name).await, bytes);
        assert_eq!(subject.stat(&format!("{name}/state")).await, None);

        subject.put(name, "").await;
        seen(&group, "it is mended", |found| *found == Found::Nothing).await;
    }
}

async fn a_second_session_reads_what_the_first_committed<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let led = led(&subject, &one, "/g").await;
    let follower = subject.group(&two, "/g");
    seen(&follower, "nothing yet", |found| *found == Found::Nothing).await;
    let version = led.campaign.commit(led.term, led.version, &record(1)).await.unwrap();
    let wanted = Found::Record(Box::new(record(1)));
    let read = seen(&follower, "the record", |found| *found == wanted).await;
    assert_eq!(read.version, version);
    assert!(version.order > led.version.order);
}

async fn a_reread_yields_though_nothing_changed<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let group = subject.group(&session, "/g");
    let first = seen(&group, "nothing", |_| true).await;
    let again = |sight: &Sight| (sight.read == Some(Ok(first.clone()))).then_some(());
    let mut feed = group.record();
    feed.until("the first read is never missed", again).await;
    group.reread();
    feed.until("it yields again", again).await;
}
