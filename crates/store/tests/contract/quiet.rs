//! A group in which nothing happens: nothing is written, and nobody is woken.

use std::time::Instant;

use redis_failover_core::{Found, Vote};

use super::reports::shown;
use super::subject::{Candidate, Group, Shows, Subject, cases};
use super::world::{Led, MOMENT, SESSION, id, led, record, report, report_of, seen, stand};

cases![saying_the_same_again_writes_nothing_and_wakes_nobody];

async fn saying_the_same_again_writes_nothing_and_wakes_nobody<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let Led { group, campaign, term, version } = led(&subject, &one, "/g").await;
    let version = campaign.commit(term, version, &record(1)).await.unwrap();
    let other = subject.group(&two, "/g");
    let written = Instant::now();
    group.publish(report("m1", Vote::Up));
    shown(&other, &["m1"]).await;
    seen(&other, "the record", |found| matches!(found, Found::Record(_))).await;
    let second = other.campaign(&id("m2"), None);
    let (mut sights, mut glances, mut reports) = (other.record(), other.published(), other.reports());
    let mut leadership = second.leadership();
    sights.until("a record", |_| Some(())).await;
    glances.until("a publication", |glance| glance.read.is_some().then_some(())).await;
    reports.until("a report", |_| Some(())).await;
    leadership.until("it follows", |_| Some(())).await;
    stand(&subject, &second, 2).await;

    let transaction = subject.transaction();
    assert_eq!(campaign.commit(term, version, &record(1)).await, Ok(version));
    group.publish(report_of("m1", Vote::Up, written.elapsed()));
    sights.stays("the record was told again", MOMENT / 10).await;
    glances.stays("the publication was told again", MOMENT / 10).await;
    reports.stays("the reports were told again", MOMENT / 10).await;
    leadership.stays("the lead was told again", MOMENT / 10).await;
    assert_eq!(subject.transaction(), transaction);
    assert!(campaign.holds(term));
}
