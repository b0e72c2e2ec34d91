//! Reports: they live as long as their monitor's session.

use std::time::{Duration, Instant};

use redis_failover_core::{MonitorId, Vote};
use redis_failover_store::SeenReport;

use super::subject::{Group, Reports, Shows, Subject, cases};
use super::world::{MOMENT, SESSION, id, report, report_of};

cases![
    they_appear_change_and_disappear_with_their_monitor,
    an_equal_report_is_not_written_and_a_lost_one_is_written_again,
    an_id_that_is_taken_is_waited_for_and_a_bad_report_hides_no_other,
    the_second_monitor_of_one_id_waits_until_the_first_is_gone,
    a_new_session_writes_them_again,
    one_that_is_taken_back_is_deleted_and_nobody_elses_is,
    of_those_that_take_theirs_back_at_once_the_last_sees_nobody,
];

fn vote(seen: &SeenReport) -> (Vote, Duration) {
    seen.report.votes[&"h1:1".parse().unwrap()]
}

/// The reports once they are of exactly these monitors.
pub(crate) async fn shown(group: &impl Group, monitors: &[&str]) -> Reports {
    let ids: Vec<MonitorId> = monitors.iter().map(|monitor| id(monitor)).collect();
    let exactly = |reports: &Reports| reports.keys().eq(&ids).then(|| reports.clone());
    group.reports().until(&format!("the reports of {monitors:?}"), exactly).await
}

async fn they_appear_change_and_disappear_with_their_monitor<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let mut reports = subject.group(&one, "/a/g").reports();
    let (a, b) = (subject.group(&one, "/a/g"), subject.group(&two, "/a/g"));
    a.publish(report("a", Vote::Up));
    b.publish(report("b", Vote::Up));
    let both = |reports: &Reports| (reports.len() == 2).then(|| reports[&id("b")].clone());
    let first = reports.until("both are there", both).await;
    assert_eq!(vote(&first).0, Vote::Up);
    b.publish(report("b", Vote::Refused));
    let new = |reports: &Reports| {
        let seen = reports.get(&id("b"))?;
        (vote(seen).0 == Vote::Refused && seen.order > first.order && seen.seen_at >= first.seen_at)
            .then_some(())
    };
    reports.until("the new vote", new).await;
    subject.close(&two).await;
    reports.until("b is gone", |reports| reports.keys().eq([&id("a")]).then_some(())).await;
}

async fn an_equal_report_is_not_written_and_a_lost_one_is_written_again<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let group = subject.group(&session, "/g");
    let written = Instant::now();
    group.publish(report("a", Vote::Up));
    let first = shown(&group, &["a"]).await[&id("a")].clone();
    let mut reports = group.reports();
    reports.until("it", |_| Some(())).await;
    group.publish(report_of("a", Vote::Up, written.elapsed()));
    reports.stays("the same was written again", MOMENT / 10).await;
    assert_eq!(shown(&group, &["a"]).await[&id("a")], first);
    subject.delete("/g/monitors/a").await;
    let again = |reports: &Reports| (reports.get(&id("a"))?.order > first.order).then_some(());
    reports.until("it is there again", again).await;
}

async fn an_id_that_is_taken_is_waited_for_and_a_bad_report_hides_no_other<S: Subject>() {
    let subject = S::start().await;
    subject.put("/g/monitors/a", "what?").await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let group = subject.group(&one, "/g");
    group.publish(report("a", Vote::Up));
    subject.group(&two, "/g").publish(report("b", Vote::Up));
    let mut reports = group.reports();
    reports.until("the good one", |reports| reports.keys().eq([&id("b")]).then_some(())).await;
    reports.stays("it waited", MOMENT / 10).await;
    assert_eq!(subject.text("/g/monitors/a").await, "what?");
    subject.delete("/g/monitors/a").await;
    let ours = |reports: &Reports| reports.get(&id("a")).map(|seen| vote(seen).1);
    let age = reports.until("ours follows", ours).await;
    assert!(age > Duration::from_millis(5), "it has grown older while it waited: {age:?}");
}

async fn the_second_monitor_of_one_id_waits_until_the_first_is_gone<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    subject.group(&one, "/g").publish(report("a", Vote::Up));
    let group = subject.group(&two, "/g");
    let first = shown(&group, &["a"]).await[&id("a")].clone();
    group.publish(report("a", Vote::Refused));
    let mut reports = group.reports();
    reports.until("the first one's", |reports| (reports.len() == 1).then_some(())).await;
    reports.stays("the first one's was overwritten", MOMENT).await;
    subject.close(&one).await;
    let second = |reports: &Reports| {
        let seen = reports.get(&id("a"))?;
        (vote(seen).0 == Vote::Refused && seen.order > first.order).then_some(())
    };
    reports.until("the second one's", second).await;
}

async fn a_new_session_writes_them_again<S: Subject>() {
    let mut subject = S::start().await;
    let session = subject.open(Duration::from_millis(800));
    let group = subject.group(&session, "/g");
    group.publish(report("a", Vote::Up));
    let first = shown(&group, &["a"]).await[&id("a")].clone();
    let owner = subject.stat("/g/monitors/a").await.unwrap().owner;
    assert!(owner.is_some(), "it vanishes with its session");
    subject.cut(&session);
    subject.expire(&session).await;
    subject.mend(&session);
    let again = |reports: &Reports| (reports.get(&id("a"))?.order > first.order).then_some(());
    group.reports().until("it is there again", again).await;
    assert_ne!(subject.stat("/g/monitors/a").await.unwrap().owner, owner);
}

async fn one_that_is_taken_back_is_deleted_and_nobody_elses_is<S: Subject>() {
    let subject = S::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let (first, second) = (subject.group(&one, "/g"), subject.group(&two, "/g"));
    first.withdraw();
    first.publish(report("a", Vote::Up));
    shown(&first, &["a"]).await;
    second.publish(report("a", Vote::Refused));
    second.withdraw();
    let mut reports = first.reports();
    reports.until("the first one's", |reports| (reports.len() == 1).then_some(())).await;
    reports.stays("the first one's was deleted", MOMENT).await;

    let other = subject.group(&one, "/other");
    other.publish(report("a", Vote::Up));
    shown(&other, &["a"]).await;
    first.withdraw();
    // Also when nobody is left who could publish.
    drop(first);
    shown(&second, &[]).await;
    assert!(subject.stat("/other/monitors/a").await.is_some());
    second.publish(report("a", Vote::Silent));
    shown(&second, &["a"]).await;
}

async fn of_those_that_take_theirs_back_at_once_the_last_sees_nobody<S: Subject>() {
    let subject = S::start().await;
    let sessions = [subject.open(SESSION), subject.open(SESSION), subject.open(SESSION)];
    let groups = sessions.each_ref().map(|session| subject.group(session, "/g"));
    let [a, b, c] = groups.each_ref();
    assert!(a.remaining(&id("a")).await.is_empty(), "nobody was ever there");
    for _ in 0..10 {
        for (group, name) in [(a, "a"), (b, "b"), (c, "c")] {
            group.publish(report(name, Vote::Up));
        }
        shown(a, &["a", "b", "c"]).await;
        a.withdraw();
        assert_eq!(a.remaining(&id("a")).await, [id("b"), id("c")].into());
        b.withdraw();
        c.withdraw();
        let ids = (id("b"), id("c"));
        let (of_b, of_c) = tokio::join!(b.remaining(&ids.0), c.remaining(&ids.1));
        assert!(!of_b.contains(&id("b")) && !of_c.contains(&id("c")));
        assert!(of_b.is_empty() || of_c.is_empty(), "{of_b:?} and {of_c:?} both saw somebody");
        shown(a, &[]).await;
    }
}
