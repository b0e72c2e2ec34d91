//! What only a real `ZooKeeper` has: hosts that are dead or out of reach, a chroot, packets, a session whose
//! time-out is negotiated, and the look at a group for people. The other stores have no servers to lose.

use std::time::{Duration, Instant};

use redis_failover_core::{Found, Leadership, Vote};
use redis_failover_lab as lab;
use redis_failover_store::model::Stat;
use redis_failover_store::{Connection, Store};

use super::on_zookeeper::{OnZooKeeper, connect};
use super::reports::shown;
use super::subject::{Candidate, Shows, Subject};
use super::world::{LONG, Led, SESSION, id, lead, led, path, record, report, seen, soon};

const QUIET: Duration = Duration::from_secs(10);

#[tokio::test]
async fn paths_and_the_chroot_are_created_and_dead_hosts_are_passed_over() {
    let subject = OnZooKeeper::start().await;
    let alive = subject.server.connect_string();
    let dead = lab::free_port();
    let servers = format!("127.0.0.1:{dead}, {alive} ,127.0.0.1:{dead}/deep/chroot/");
    let zookeeper = connect(&servers, SESSION);
    let led = lead(zookeeper.group(&path("/redis/in/here"))).await;
    let version = led.campaign.commit(led.term, led.version, &record(1)).await.unwrap();
    assert_eq!((version.document, version.state), (1, Some(0)));
    let znode = "/deep/chroot/redis/in/here";
    let document = subject.text(znode).await;
    assert!(document.starts_with(r#"{"master":["h1:1","OK"],"slaves":{"0":["h2:2","OK"]}"#), "{document}");
    assert!(subject.text(&format!("{znode}/state")).await.starts_with(r#"{"format":1,"#));
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_neither_block_nor_freeze() {
    // Connecting to this address fails in the very call (docs/design/0002, Z4).
    let zookeeper = connect("255.255.255.255:2181", SESSION);
    let failed = |state: &Connection| match state {
        Connection::Connecting { last_error } => last_error.clone(),
        _ => None,
    };
    zookeeper.state().until("the failure is told", failed).await;
    let group = zookeeper.group(&path("/g"));
    let error = group.snapshot(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.to_string().contains("255.255.255.255:2181"), "{error}");
    soon("it closes", zookeeper.close()).await;
    assert_eq!(zookeeper.state().latest(), Connection::Closed);
}

#[tokio::test]
async fn a_snapshot_tells_what_stands_and_who_leads_and_the_state_what_was_negotiated() {
    let subject = OnZooKeeper::start().await;
    let (one, two) = (subject.open(SESSION), subject.open(SESSION));
    let led = led(&subject, &one, "/g").await;
    led.campaign.commit(led.term, led.version, &record(1)).await.unwrap();
    let read = seen(&led.group, "the record", |found| matches!(found, Found::Record(_))).await;

    let snapshot = two.group(&path("/g")).snapshot(LONG).await.unwrap();
    assert_eq!(snapshot.record, Ok(read));
    let leader = snapshot.leader.unwrap();
    assert_eq!((leader.monitor.as_str(), leader.address.as_deref()), ("m1", Some("m1:80")));
    assert_eq!(leader.term, led.term);
    let connected = |state: &Connection| match state {
        Connection::Connected { negotiated, asked, .. } => Some((*negotiated, *asked)),
        _ => None,
    };
    assert_eq!(two.state().until("connected", connected).await, (SESSION, SESSION));
}

#[tokio::test]
async fn what_a_session_that_was_given_up_left_behind_keeps_nobody_from_the_lead() {
    let mut subject = OnZooKeeper::start().await;
    let session = subject.open(SESSION);
    let Led { group, campaign, term: first, .. } = led(&subject, &session, "/g").await;
    group.publish(report("m1", Vote::Up));
    shown(&group, &["m1"]).await;
    let old = subject.children("/g/leader").await;
    subject.server.kill_all();
    subject.expire(&session).await;
    let back = Instant::now();
    subject.server.restart_all();
    let anew = |now: &Leadership| match now {
        Leadership::Leading(term) if *term != first => Some(*term),
        _ => None,
    };
    let second = Candidate::leadership(&campaign).until("it leads anew", anew).await;
    // The servers keep a session that they find in their files for its whole time-out.
    assert!(back.elapsed() < SESSION, "{:?}", back.elapsed());
    assert!(second > first);
    let now = subject.children("/g/leader").await;
    assert!(now.len() == 1 && now != old, "{now:?}");
    let owner = |stat: Option<Stat>| stat.and_then(|stat| stat.owner);
    let own = owner(subject.stat(&format!("/g/leader/{}", now[0])).await);
    assert!(own.is_some(), "the lock vanished");
    while owner(subject.stat("/g/monitors/m1").await) != own {
        assert!(back.elapsed() < SESSION, "the report is still that of the session before");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn in_a_quiet_group_only_the_sessions_pings_are_heard() {
    let subject = OnZooKeeper::start().await;
    let (leader, follower) = (subject.open(SESSION), subject.open(SESSION));
    let Led { group, campaign, term, version } = led(&subject, &leader, "/g").await;
    campaign.commit(term, version, &record(1)).await.unwrap();
    let other = subject.group(&follower, "/g");
    group.publish(report("m1", Vote::Up));
    other.publish(report("m2", Vote::Up));
    for group in [&group, &other] {
        shown(group, &["m1", "m2"]).await;
        seen(group, "the record", |found| matches!(found, Found::Record(_))).await;
    }
    let _second = other.campaign(&id("m2"), None);
    let _published = other.published();
    // The last watches are set when the figures stand still for a moment.
    let mut feed = group.record();
    while tokio::time::timeout(Duration::from_secs(1), feed.next()).await.is_ok() {}

    let (transaction, packets) = subject.figures();
    let begun = Instant::now();
    feed.stays("the record was read again", QUIET).await;
    let (transaction_after, packets_after) = subject.figures();
    assert_eq!(transaction_after, transaction);
    // Both clients of the store ping after 3/20 of their time-out without traffic; the one that looks at the back
    // does so more seldom.
    let clients = |timeout: Duration| begun.elapsed().as_millis() / (timeout * 3 / 20).as_millis() + 1;
    // Two more for the questions of this test.
    let pings = 2 * clients(SESSION) + clients(LONG) + 2;
    assert!(u128::from(packets_after - packets) <= pings, "{} packets", packets_after - packets);
    assert!(campaign.holds(term));
}
