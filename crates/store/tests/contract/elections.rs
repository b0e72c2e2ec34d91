//! The lead: one at a time, with growing terms, and no longer than the session lives.

use std::time::{Duration, Instant};

use redis_failover_core::Leadership;
use redis_failover_lab as lab;
use redis_failover_store::{Campaign, CommitError, Connection, Store};

use super::world::{Led, SESSION, id, led, open, path, raw, record, term, until};

#[tokio::test]
async fn the_next_leads_with_a_higher_term_when_a_session_ends_or_resigns() {
    let server = lab::ZooKeeper::start(1);
    let sessions = [(); 3].map(|()| open(&server.connect_string(), SESSION));
    let first = led(&sessions[0], "/g").await;
    let second = sessions[1].group(&path("/g")).campaign(&id("m2"), None);
    assert_eq!(second.leadership().next().await, Leadership::Following);
    assert!(first.campaign.holds(first.term) && !second.holds(first.term));

    let closed = Instant::now();
    sessions[0].close().await;
    assert!(!first.campaign.holds(first.term));
    let second_term = term(&second).await;
    assert!(closed.elapsed() < SESSION, "a clean end needs no time-out");
    assert!(second_term > first.term);

    let third = sessions[2].group(&path("/g")).campaign(&id("m3"), None);
    drop(second);
    let third_term = term(&third).await;
    assert!(third_term > second_term);
    third.resign().await;
    assert_eq!(third.leadership().latest(), Leadership::Following);
    assert_eq!(raw(&server).await.list_children("/g/leader").await, Ok(vec![]));
}

#[tokio::test]
async fn terms_grow_though_the_locks_parent_was_made_anew() {
    let server = lab::ZooKeeper::start(1);
    let raw = raw(&server).await;
    let zookeeper = open(&server.connect_string(), SESSION);
    let Led { campaign, term: first, .. } = led(&zookeeper, "/g").await;
    let lock = raw.list_children("/g/leader").await.unwrap().remove(0);
    let mut writer = raw.new_multi_writer();
    writer.add_delete(&format!("/g/leader/{lock}"), None).unwrap();
    writer.add_delete("/g/leader", None).unwrap();
    writer.commit().await.unwrap();
    let mut leadership = campaign.leadership();
    until("it leads anew", &mut leadership, |now| match now {
        Leadership::Leading(term) if *term > first => Some(()),
        _ => None,
    })
    .await;
    assert!(!campaign.holds(first));
}

#[tokio::test]
async fn a_stopped_server_suspends_and_the_same_term_goes_on() {
    let mut server = lab::ZooKeeper::start(1);
    let zookeeper = open(&server.connect_string(), SESSION);
    let Led { campaign, term, version, .. } = led(&zookeeper, "/g").await;
    let mut leadership = campaign.leadership();
    assert_eq!(leadership.next().await, Leadership::Leading(term));

    let stopped = Instant::now();
    server.server(0).stop();
    until("suspended", &mut leadership, |now| (*now == Leadership::Suspended).then_some(())).await;
    // 0.6 of the time-out by rule, and something for a busy machine.
    assert!(stopped.elapsed() < SESSION * 7 / 10, "{:?}", stopped.elapsed());
    assert!(!campaign.holds(term));
    assert_eq!(campaign.commit(term, version, &record(1)).await, Err(CommitError::Fenced));
    server.server(0).cont();
    until("it leads again", &mut leadership, |now| (*now == Leadership::Leading(term)).then_some(())).await;
    assert!(campaign.holds(term));
    let connected = |state: &Connection| match state {
        Connection::Connected { negotiated, asked, .. } => Some((*negotiated, *asked)),
        _ => None,
    };
    assert_eq!(until("connected", &mut zookeeper.state(), connected).await, (SESSION, SESSION));
}

#[tokio::test]
async fn an_expired_session_is_replaced_and_stands_anew() {
    let mut server = lab::ZooKeeper::start(1);
    let short = Duration::from_millis(800);
    let zookeeper = open(&server.connect_string(), short);
    let Led { group, campaign, term: first, version } = led(&zookeeper, "/g").await;
    server.server(0).stop();
    let connecting = |state: &Connection| matches!(state, Connection::Connecting { .. }).then_some(());
    until("given up", &mut zookeeper.state(), connecting).await;
    until("following", &mut campaign.leadership(), |now| (*now == Leadership::Following).then_some(())).await;
    server.server(0).cont();
    let term = term(&campaign).await;
    assert!(term > first);
    assert_eq!(campaign.commit(first, version, &record(1)).await, Err(CommitError::Fenced));
    group.reread();
    campaign.commit(term, version, &record(1)).await.unwrap();
}
