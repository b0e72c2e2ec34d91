//! A quiet cluster: nothing is written, and only the sessions' pings are heard.

use std::time::{Duration, Instant};

use redis_failover_core::{Found, Vote};
use redis_failover_lab as lab;
use redis_failover_store::{Campaign, Store};

use super::world::{Led, SESSION, figures, id, led, open, path, record, report, seen, until};

const QUIET: Duration = Duration::from_secs(10);

#[tokio::test]
async fn nothing_is_written_and_little_is_asked() {
    let server = lab::ZooKeeper::start(1);
    let leader = open(&server.connect_string(), SESSION);
    let follower = open(&server.connect_string(), SESSION);
    let Led { group, campaign, term, version } = led(&leader, "/g").await;
    campaign.commit(term, version, &record(1)).await.unwrap();
    let other = follower.group(&path("/g"));
    group.publish(report("m1", Vote::Up));
    other.publish(report("m2", Vote::Up));
    for group in [&group, &other] {
        until("both reports", &mut group.reports(), |reports| (reports.len() == 2).then_some(())).await;
        seen(group, "the record", |found| matches!(found, Found::Record(_))).await;
    }
    let _second = other.campaign(&id("m2"), None);
    // The last watches are set when the figures stand still for a moment.
    let mut feed = group.record();
    while tokio::time::timeout(Duration::from_secs(1), feed.next()).await.is_ok() {}

    let (zxid, packets) = figures(&server);
    let begun = Instant::now();
    while let Some(left) = QUIET.checked_sub(begun.elapsed()) {
        assert!(tokio::time::timeout(left, feed.next()).await.is_err(), "the record was read again");
    }
    let (zxid_after, packets_after) = figures(&server);
    assert_eq!(zxid_after, zxid);
    // Each client pings after 3/20 of its time-out without traffic; two more for the questions of this test.
    let pings = 2 * (begun.elapsed().as_millis() / (SESSION * 3 / 20).as_millis() + 1) + 2;
    assert!(u128::from(packets_after - packets) <= pings, "{} packets", packets_after - packets);
    assert!(campaign.holds(term));
}
