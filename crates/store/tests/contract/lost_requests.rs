//! Requests that get lost on the way, or whose confirmation does: none stands with nobody waiting for it while the
//! session lives on. Only a real `ZooKeeper` has a way on which something can get lost.

use redis_failover_lab as lab;
use redis_failover_store::{StoreError, ZooKeeper, ZooKeeperGroup};

use super::on_zookeeper::{OnZooKeeper, connect};
use super::requests::{done, forget, none_stands, standing};
use super::subject::{Asked, Candidate, Group, Shows, Subject};
use super::world::{Led, SESSION, lead, path, soon};

/// One session behind a link, and one to which nothing happens.
struct Linked {
    _subject: OnZooKeeper,
    link: lab::Link,
    _sessions: [ZooKeeper; 2],
    /// The group, behind the link.
    group: ZooKeeperGroup,
    /// The group as the others see it.
    seen: ZooKeeperGroup,
}

impl Linked {
    async fn start() -> Self {
        let subject = OnZooKeeper::start().await;
        let link = lab::Link::start(subject.server.connect_string().parse().unwrap());
        let sessions = [connect(&link.address().to_string(), SESSION), subject.open(SESSION)];
        let [group, seen] = [&sessions[0], &sessions[1]].map(|session| session.group(&path("/g")));
        // With the parent of all requests there, and the session, too: what is asked for then is one packet.
        let asked = group.leave(&forget("m7"));
        standing(&seen).await;
        drop(asked);
        none_stands(&seen).await;
        Self { _subject: subject, link, _sessions: sessions, group, seen }
    }

    /// The connection breaks, with all that is under way on it; the next one works.
    fn breaks(&self) {
        self.link.all().hang_up();
        self.link.all().heal();
    }
}

#[tokio::test]
async fn one_that_was_made_and_not_confirmed_is_taken_back() {
    let linked = Linked::start().await;
    let mut waits = linked.group.leave(&forget("m8"));
    let (first, _) = standing(&linked.seen).await;
    linked.link.all().replies().hold();
    let mut asked = linked.group.leave(&forget("m9"));
    linked.seen.requests().until("both stand", |requests| (requests.len() == 2).then_some(())).await;
    linked.breaks();
    let unclear = asked.answer().await;
    assert!(matches!(unclear, Err(StoreError::Failed { .. } | StoreError::NoAnswer(_))), "{unclear:?}");
    // The other one, for which somebody waits, stays.
    assert_eq!(standing(&linked.seen).await, (first, forget("m8")));
    let Led { campaign, term, .. } = lead(linked.seen.clone()).await;
    assert_eq!(campaign.answer(term, first, &done()).await, Ok(()));
    assert_eq!(waits.answer().await, Ok(done()));
}

#[tokio::test]
async fn one_that_is_confirmed_when_nobody_waits_any_more_is_taken_back() {
    let linked = Linked::start().await;
    linked.link.all().replies().hold();
    let asked = linked.group.leave(&forget("m9"));
    standing(&linked.seen).await;
    drop(asked);
    // Now he is gone.
    tokio::task::yield_now().await;
    linked.link.all().heal();
    none_stands(&linked.seen).await;
}

#[tokio::test]
async fn a_withdrawal_that_got_lost_is_tried_again() {
    let linked = Linked::start().await;
    let asked = linked.group.leave(&forget("m9"));
    standing(&linked.seen).await;
    let sent = linked.link.all().requests();
    sent.hold();
    drop(asked);
    let under_way = async {
        while sent.waiting() == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the withdrawal is under way", under_way).await;
    linked.breaks();
    none_stands(&linked.seen).await;
}
