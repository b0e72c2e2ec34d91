//! Reports: they live as long as their monitor's session.

use std::time::Duration;

use redis_failover_core::Vote;
use redis_failover_lab as lab;
use redis_failover_store::Store;
use zookeeper_client::{Acls, CreateMode};

use super::world::{SESSION, id, open, path, put, raw, report, until};

#[tokio::test]
async fn they_appear_change_and_disappear_with_their_monitor() {
    let server = lab::ZooKeeper::start(1);
    let (one, two) = (open(&server.connect_string(), SESSION), open(&server.connect_string(), SESSION));
    let mut reports = one.group(&path("/a/g")).reports();
    let (a, b) = (one.group(&path("/a/g")), two.group(&path("/a/g")));
    a.publish(report("a", Vote::Up));
    b.publish(report("b", Vote::Up));
    let first = until("both are there", &mut reports, |reports| {
        (reports.len() == 2).then(|| reports[&id("b")].clone())
    })
    .await;
    assert_eq!(first.report.votes[&"h1:1".parse().unwrap()].0, Vote::Up);
    b.publish(report("b", Vote::Refused));
    until("the new vote", &mut reports, |reports| {
        let seen = reports.get(&id("b"))?;
        let vote = seen.report.votes[&"h1:1".parse().unwrap()].0;
        (vote == Vote::Refused && seen.order > first.order && seen.seen_at >= first.seen_at).then_some(())
    })
    .await;
    two.close().await;
    until("b is gone", &mut reports, |reports| reports.keys().eq([&id("a")]).then_some(())).await;
}

#[tokio::test]
async fn an_equal_report_is_not_written_and_a_lost_one_is_written_again() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    let zookeeper = open(&server.connect_string(), SESSION);
    let group = zookeeper.group(&path("/g"));
    let mut reports = group.reports();
    group.publish(report("a", Vote::Up));
    let first = until("it is there", &mut reports, |reports| reports.get(&id("a")).cloned()).await;
    group.publish(report("a", Vote::Up));
    let again = until("seen", &mut group.reports(), |reports| reports.get(&id("a")).cloned()).await;
    assert_eq!(first.order, again.order);
    raw.delete("/g/monitors/a", None).await.unwrap();
    until("it is there again", &mut reports, |reports| {
        (reports.get(&id("a"))?.order > first.order).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_taken_is_waited_for_and_a_bad_report_hides_no_other() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    put(&raw, "/g/monitors", "").await;
    let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    raw.create("/g/monitors/a", b"what?", &options).await.unwrap();
    let zookeeper = open(&server.connect_string(), SESSION);
    let group = zookeeper.group(&path("/g"));
    group.publish(report("a", Vote::Up));
    let other = open(&server.connect_string(), SESSION).group(&path("/g"));
    other.publish(report("b", Vote::Up));
    let mut reports = group.reports();
    until("the good one", &mut reports, |reports| reports.keys().eq([&id("b")]).then_some(())).await;
    assert_eq!(raw.get_data("/g/monitors/a").await.unwrap().0, b"what?");
    raw.delete("/g/monitors/a", None).await.unwrap();
    let age = until("ours follows", &mut reports, |reports| {
        reports.get(&id("a")).map(|seen| seen.report.votes[&"h1:1".parse().unwrap()].1)
    })
    .await;
    assert!(age > Duration::from_millis(5), "it has grown older while it waited: {age:?}");
}
