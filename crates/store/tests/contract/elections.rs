//! The lead: one at a time, with growing terms, and no longer than the session lives.

use std::time::{Duration, Instant};

use redis_failover_core::{Leadership, Term};
use redis_failover_store::{CommitError, Contact, Leader};

use super::subject::{Candidate, Group, Shows, Subject, cases};
use super::world::{Led, SESSION, becomes, contact, id, led, record, stand, term};

cases![
    the_next_leads_with_a_higher_term_when_a_session_ends_or_resigns,
    terms_grow_though_the_locks_parent_was_made_anew,
    a_lock_that_somebody_deleted_passes_the_lead_on,
    one_who_hears_nothing_is_suspended_and_the_same_term_goes_on,
    an_expired_session_is_replaced_and_stands_anew,
    who_leads_is_known_to_all_who_do_not_and_a_lock_that_was_removed_passes_the_lead_on,
    one_who_stands_aside_leaves_the_lead_to_others_until_it_stands_again,
];

async fn the_next_leads_with_a_higher_term_when_a_session_ends_or_resigns<S: Subject>() {
    let subject = S::start().await;
    let sessions = [(); 3].map(|()| subject.open(SESSION));
    let first = led(&subject, &sessions[0], "/g").await;
    let second = subject.group(&sessions[1], "/g").campaign(&id("m2"), None);
    assert_eq!(second.leadership().latest(), Leadership::Following);
    assert!(first.campaign.holds(first.term) && !second.holds(first.term));

    let closed = Instant::now();
    subject.close(&sessions[0]).await;
    assert!(!first.campaign.holds(first.term));
    let second_term = term(&second).await;
    assert!(closed.elapsed() < SESSION, "a clean end needs no time-out");
    assert!(second_term > first.term);

    let third = subject.group(&sessions[2], "/g").campaign(&id("m3"), None);
    drop(second);
    let third_term = term(&third).await;
    assert!(third_term > second_term);
    third.resign().await;
    assert_eq!(third.leadership().latest(), Leadership::Following);
    assert_eq!(subject.children("/g/leader").await, [""; 0]);
}

async fn who_leads_is_known_to_all_who_do_not_and_a_lock_that_was_removed_passes_the_lead_on<S: Subject>() {
    let subject = S::start().await;
    let sessions = [(); 3].map(|()| subject.open(SESSION));
    let Led { campaign: first, term: first_term, .. } = led(&subject, &sessions[0], "/g").await;
    let second = subject.group(&sessions[1], "/g").campaign(&id("m2"), None);
    let leads = |term| move |now: &Option<Leader>| now.as_ref().filter(|it| it.term == term).cloned();
    let leader = second.leader().until("m2 knows who leads", leads(first_term)).await;
    let Contact { address, life } = contact();
    let m1 = Leader { monitor: "m1".to_owned(), address: Some(address), life: Some(life), term: first_term };
    assert_eq!(leader, m1);
    assert_eq!(first.leader().latest(), None, "who leads is no other one");
    let third = subject.group(&sessions[2], "/g").campaign(&id("m3"), None);
    third.leader().until("m3 knows who leads", leads(first_term)).await;

    third.depose(Term(first_term.0 - 1)).await;
    assert!(first.holds(first_term), "an earlier term is over");
    third.depose(first_term).await;
    becomes(&first, Leadership::Following).await;
    let second_term = term(&second).await;
    assert!(second_term > first_term);
    third.leader().until("m3, behind m2, knows of it", leads(second_term)).await;
    first.leader().until("and so does m1, which stands anew", leads(second_term)).await;
    assert_eq!(second.leader().latest(), None);
    third.depose(first_term).await;
    assert!(second.holds(second_term), "it was removed before");
}

async fn terms_grow_though_the_locks_parent_was_made_anew<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { campaign, term: first, .. } = led(&subject, &session, "/g").await;
    subject.delete("/g/leader").await;
    let anew = |now: &Leadership| match now {
        Leadership::Leading(term) if *term != first => Some(*term),
        _ => None,
    };
    let second = campaign.leadership().until("it leads anew", anew).await;
    assert!(second > first);
    assert!(!campaign.holds(first));
}

async fn a_lock_that_somebody_deleted_passes_the_lead_on<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let first = led(&subject, &one, "/g").await;
    let lock = subject.children("/g/leader").await.remove(0);
    let second = subject.group(&two, "/g").campaign(&id("m2"), None);
    stand(&subject, &second, 2).await;
    subject.delete(&format!("/g/leader/{lock}")).await;
    assert!(term(&second).await > first.term);
    becomes(&first.campaign, Leadership::Following).await;
    assert!(!first.campaign.holds(first.term));
    second.resign().await;
    assert!(term(&first.campaign).await > first.term, "it stood again, behind the other");
}

async fn one_who_hears_nothing_is_suspended_and_the_same_term_goes_on<S: Subject>() {
    let mut subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { campaign, term, version, .. } = led(&subject, &session, "/g").await;

    let cut = Instant::now();
    subject.cut(&session);
    becomes(&campaign, Leadership::Suspended).await;
    // 0.6 of the time-out by rule, and something for a busy machine.
    assert!(cut.elapsed() < SESSION * 7 / 10, "{:?}", cut.elapsed());
    assert!(!campaign.holds(term));
    assert_eq!(campaign.commit(term, version, &record(1)).await, Err(CommitError::Fenced));
    subject.mend(&session);
    becomes(&campaign, Leadership::Leading(term)).await;
    assert!(campaign.holds(term));
}

async fn an_expired_session_is_replaced_and_stands_anew<S: Subject>() {
    let mut subject = S::start().await;
    let session = subject.open(Duration::from_millis(800));
    let Led { group, campaign, term: first, version } = led(&subject, &session, "/g").await;
    subject.cut(&session);
    subject.expire(&session).await;
    becomes(&campaign, Leadership::Following).await;
    subject.mend(&session);
    let term = term(&campaign).await;
    assert!(term > first);
    assert_eq!(campaign.commit(first, version, &record(1)).await, Err(CommitError::Fenced));
    group.reread();
    campaign.commit(term, version, &record(1)).await.unwrap();
}

async fn one_who_stands_aside_leaves_the_lead_to_others_until_it_stands_again<S: Subject>() {
    let mut subject = S::start().await;
    let session = subject.open(Duration::from_millis(800));
    let Led { group, campaign, term: first, version } = led(&subject, &session, "/g").await;
    campaign.stand(false);
    assert!(!matches!(campaign.leadership().latest(), Leadership::Leading(_)), "from that moment");
    assert_eq!(campaign.commit(first, version, &record(1)).await, Err(CommitError::Fenced));
    becomes(&campaign, Leadership::Following).await;
    stand(&subject, &campaign, 0).await;

    // Another campaign, of the same session even, finds the way free; and a new session changes nothing about it.
    let other = group.campaign(&id("m2"), None);
    let second = term(&other).await;
    assert!(second > first);
    subject.cut(&session);
    subject.expire(&session).await;
    subject.mend(&session);
    let anew = term(&other).await;
    assert!(anew > second);
    assert_eq!(subject.children("/g/leader").await.len(), 1);

    other.stand(false);
    campaign.stand(false);
    campaign.stand(true);
    assert!(term(&campaign).await > anew);
    other.resign().await;
    other.stand(true);
    stand(&subject, &campaign, 1).await;
}
