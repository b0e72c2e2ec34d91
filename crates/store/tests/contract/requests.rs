//! Requests: they stand while somebody waits, and only the leader answers.

use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::{Answer, Request, RequestId, Requests};
use redis_failover_store::{CommitError, StoreError};

use super::subject::{Asked, Candidate, Group, Shows, Subject, cases};
use super::world::{Led, SESSION, id, led, term};

cases![
    a_request_is_seen_answered_and_taken_away,
    only_the_leader_answers_and_only_once,
    who_waits_no_longer_has_withdrawn_it,
    a_request_vanishes_with_the_session_of_who_asks,
    the_predecessors_monitors_are_seen_while_they_live,
];

pub(super) fn forget(monitor: &str) -> Request {
    Request::Forget { monitor: id(monitor) }
}

pub(super) fn done() -> Answer {
    Answer::Done("it is".to_owned())
}

/// The request that stands, once exactly one does.
pub(super) async fn standing(group: &impl Group) -> (RequestId, Request) {
    let one = |requests: &Arc<Requests>| {
        let (id, request) = requests.first_key_value()?;
        (requests.len() == 1).then(|| (*id, request.clone()))
    };
    group.requests().until("a request stands", one).await
}

pub(super) async fn none_stands(group: &impl Group) {
    group.requests().until("no request stands", |requests| requests.is_empty().then_some(())).await;
}

async fn a_request_is_seen_answered_and_taken_away<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let Led { group, campaign, term, .. } = led(&subject, &one, "/g").await;
    none_stands(&group).await;
    let mut asked = subject.group(&two, "/g").leave(&forget("m9"));
    let (first, request) = standing(&group).await;
    assert_eq!(request, forget("m9"));
    assert_eq!(campaign.answer(term, first, &done()).await, Ok(()));
    assert_eq!(asked.answer().await, Ok(done()));
    drop(asked);
    none_stands(&group).await;
    let refused = Answer::Refused("it lives".to_owned());
    let mut asked = subject.group(&two, "/g").leave(&Request::Adopt { master: "h1:1".parse().unwrap() });
    let (second, _) = standing(&group).await;
    assert!(second > first, "a later one has the greater number");
    assert_eq!(campaign.answer(term, second, &refused).await, Ok(()));
    assert_eq!(asked.answer().await, Ok(refused));
}

async fn only_the_leader_answers_and_only_once<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let first = led(&subject, &one, "/g").await;
    let group = subject.group(&two, "/g");
    let second = group.campaign(&id("m2"), None);
    let mut asked = group.leave(&forget("m9"));
    let (request, _) = standing(&group).await;
    assert_eq!(second.answer(first.term, request, &done()).await, Err(CommitError::Fenced));
    first.campaign.resign().await;
    let later = term(&second).await;
    assert_eq!(first.campaign.answer(first.term, request, &done()).await, Err(CommitError::Fenced));
    assert_eq!(second.answer(first.term, request, &done()).await, Err(CommitError::Fenced));
    // What a new leader reads is what still waits for it.
    assert_eq!(standing(&group).await.0, request);
    assert_eq!(second.answer(later, request, &done()).await, Ok(()));
    let twice = second.answer(later, request, &Answer::Refused("no".to_owned())).await;
    assert_eq!(twice, Err(CommitError::Conflict));
    assert_eq!(asked.answer().await, Ok(done()));
}

async fn who_waits_no_longer_has_withdrawn_it<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { group, campaign, term, .. } = led(&subject, &session, "/g").await;
    let asked = group.leave(&forget("m9"));
    let (request, _) = standing(&group).await;
    drop(asked);
    none_stands(&group).await;
    assert_eq!(campaign.answer(term, request, &done()).await, Err(CommitError::Conflict));
}

async fn a_request_vanishes_with_the_session_of_who_asks<S: Subject>() {
    let mut subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(Duration::from_millis(800)));
    let group = subject.group(&one, "/g");
    let mut asked = subject.group(&two, "/g").leave(&forget("m9"));
    standing(&group).await;
    subject.cut(&two);
    subject.expire(&two).await;
    subject.mend(&two);
    none_stands(&group).await;
    assert!(matches!(asked.answer().await, Err(StoreError::Closed | StoreError::Failed { .. })));
}

async fn the_predecessors_monitors_are_seen_while_they_live<S: Subject>() {
    const LOCK: &str = "/ZktoolsLocks/redis_monitor_lock/lock0000000007";
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let mut predecessors = subject.group(&session, "/g").predecessors();
    let are = |wanted: &'static [&str]| {
        move |found: &Option<Arc<Vec<String>>>| (found.as_ref()?.iter().eq(wanted)).then_some(())
    };
    predecessors.until("none", are(&[])).await;
    subject.put(LOCK, "").await;
    predecessors.until("one", are(&[LOCK])).await;
    subject.delete(LOCK).await;
    predecessors.until("none any more", are(&[])).await;
}
