//! What can only be tested from inside: a stalled thread, and the server's own "no".

use redis_failover_core::{Epoch, Leadership, Member, MonitorId, Policy, Report, Term, Topology, Version};
use redis_failover_lab as lab;

use super::*;
use crate::znodes::Znodes;
use crate::{Campaign, CommitError, Store};

const SESSION: Duration = Duration::from_secs(4);

async fn leading(campaign: &ZooKeeperCampaign) -> Term {
    let mut leadership = campaign.leadership();
    let work = async {
        loop {
            if let Leadership::Leading(term) = leadership.next().await {
                return term;
            }
        }
    };
    tokio::time::timeout(SESSION * 3, work).await.expect("it leads")
}

#[tokio::test]
async fn within_a_runtime_a_thread_that_is_not_granted_is_no_panic() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let error = start_by(runtime, |_| (), |_| Err(io::ErrorKind::WouldBlock.into())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

fn record() -> Topology {
    let master: redis_failover_core::NodeAddr = "h:1".parse().unwrap();
    Topology {
        members: vec![Member { addr: master.clone(), ok: true }],
        monitors: ["m1".parse().unwrap()].into(),
        ..Topology::new(Epoch(1), master, Policy::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_thread_suspends_within_its_limit() {
    let server = lab::ZooKeeper::start(1);
    let zookeeper = ZooKeeper::connect(server.connect_string().parse().unwrap(), SESSION).unwrap();
    let group = zookeeper.group(&"/g".parse().unwrap());
    let me: MonitorId = "m1".parse().unwrap();
    let campaign = group.campaign(&me, None);
    let term = leading(&campaign).await;
    let mut leadership = campaign.leadership();
    assert_eq!(leadership.next().await, Leadership::Leading(term));

    let shared = &zookeeper.owner.shared;
    let (go_on, stall) = std::sync::mpsc::channel::<()>();
    drop(shared.spawn(async move { stall.recv().is_ok() }));
    let begun = std::time::Instant::now();
    let suspended = tokio::time::timeout(SESSION, leadership.next()).await;
    assert_eq!(suspended, Ok(Leadership::Suspended));
    assert!(begun.elapsed() < SESSION / 4, "{:?}", begun.elapsed());
    assert!(!campaign.holds(term));
    let commit = campaign.commit(term, Version::default(), &record(), None).await;
    assert_eq!(commit, Err(CommitError::Fenced));

    go_on.send(()).unwrap();
    assert_eq!(leading(&campaign).await, term);
    assert!(campaign.holds(term));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_refuses_what_this_process_does_not_know_yet() {
    let server = lab::ZooKeeper::start(1);
    let zookeeper = ZooKeeper::connect(server.connect_string().parse().unwrap(), SESSION).unwrap();
    let group = zookeeper.group(&"/g".parse().unwrap());
    let campaign = group.campaign(&"m1".parse().unwrap(), None);
    let term = leading(&campaign).await;
    let shared = &zookeeper.owner.shared;
    let znodes = Znodes::new("/g".to_owned());
    let followed = record::Record::follow(shared, &znodes);
    let mut feed = followed.feed();
    let version = loop {
        if let Some(Ok(read)) = feed.next().await.read
            && read.version.document >= 0
        {
            break read.version;
        }
    };
    let held = campaign.standing.held(term).unwrap();
    let (record, history) = (record(), Arc::default());
    let known = (&*followed, &history);
    let commit = |held: standing::Held, version| {
        commit::commit(shared, &znodes, known, held, version, (&record, None))
    };

    let gone = standing::Held { path: format!("{}0", held.path), ..held.clone() };
    assert_eq!(commit(gone, version).await, Err(CommitError::Fenced), "the lock is gone");
    // As if another session had written, and this one had not heard of it.
    {
        let mut known = followed.known.lock().await;
        known.as_mut().unwrap().version.document += 1;
    }
    let ahead = Version { document: version.document + 1, ..version };
    let outcome = commit(held.clone(), ahead).await;
    assert_eq!(outcome, Err(CommitError::Conflict), "the version is another");
    followed.known.lock().await.as_mut().unwrap().version.document -= 1;
    assert!(commit(held.clone(), version).await.is_ok());
    // Nobody is kept waiting by a thread that stands still.
    let (go_on, stall) = std::sync::mpsc::channel::<()>();
    drop(shared.spawn(async move { stall.recv().is_ok() }));
    let outcome = commit(held, version).await;
    assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
    go_on.send(()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_nobody_needs_any_more_leaves_nothing_behind_in_the_session() {
    let server = lab::ZooKeeper::start(1);
    let zookeeper = ZooKeeper::connect(server.connect_string().parse().unwrap(), SESSION).unwrap();
    let shared = Arc::clone(&zookeeper.owner.shared);
    let tasks = || Arc::strong_count(&shared);
    let before = tasks();
    let group = zookeeper.group(&"/g".parse().unwrap());
    let campaign = group.campaign(&"m1".parse().unwrap(), None);
    let (mut reports, published) = (group.reports(), group.published());
    let (requests, predecessors) = (group.requests(), group.predecessors());
    group.publish(Report {
        monitor: "m1".parse().unwrap(),
        address: None,
        remembers: None,
        lead: None,
        waits: [].into(),
        attends: [].into(),
        lags: [].into(),
        votes: [].into(),
        version: None,
        sentinel: None,
        clock: None,
    });
    leading(&campaign).await;
    let shown = async { while reports.next().await.is_empty() {} };
    tokio::time::timeout(SESSION, shown).await.expect("the report is there");
    assert!(tasks() > before);
    group.withdraw();
    campaign.resign().await;
    drop((group, campaign, reports, published, requests, predecessors));
    let over = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    let over = tokio::time::timeout(SESSION, over).await;
    assert!(over.is_ok(), "{} tasks are left", tasks() - before);
}
