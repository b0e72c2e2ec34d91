//! What the tests share: sessions, records, a second opinion on what stands in the znodes.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use redis_failover_core::{
    Epoch, Found, Leadership, Lineages, Member, MonitorId, Phase, Policy, Report, Term, Topology, Version,
    Versioned, Vote,
};
use redis_failover_lab as lab;
use redis_failover_store::{
    Campaign, Feed, GroupPath, Sight, Store, ZooKeeper, ZooKeeperCampaign, ZooKeeperGroup,
};
use zookeeper_client::{Acls, Client, CreateMode};

/// Longer than anything here takes, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// The session time-out of most tests.
pub(crate) const SESSION: Duration = Duration::from_secs(4);

pub(crate) fn path(text: &str) -> GroupPath {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> MonitorId {
    text.parse().unwrap()
}

/// A session of the store.
pub(crate) fn open(servers: &str, timeout: Duration) -> ZooKeeper {
    ZooKeeper::connect(servers.parse().unwrap(), timeout).unwrap()
}

/// A session without the store, to look at its back and to harm it.
pub(crate) async fn raw(server: &lab::ZooKeeper) -> Client {
    let servers = server.connect_string();
    Client::connector().with_session_timeout(LONG).connect(&servers).await.unwrap()
}

/// Puts `data` at `path`, with parents.
pub(crate) async fn put(raw: &Client, path: &str, data: &str) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    raw.mkdir(path, &options).await.unwrap();
    raw.set_data(path, data.as_bytes(), None).await.unwrap();
}

pub(crate) async fn text(raw: &Client, path: &str) -> String {
    String::from_utf8(raw.get_data(path).await.unwrap().0).unwrap()
}

/// The outcome, which must be there in time.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.unwrap_or_else(|_| panic!("not within {LONG:?}: {what}"))
}

/// The first value of the feed of which `pick` makes something.
pub(crate) async fn until<T: Clone + Debug, U>(
    what: &str,
    feed: &mut Feed<T>,
    mut pick: impl FnMut(&T) -> Option<U>,
) -> U {
    let last = feed.clone();
    let work = async {
        loop {
            if let Some(found) = pick(&feed.next().await) {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(LONG, work).await;
    found.unwrap_or_else(|_| panic!("not within {LONG:?}: {what}; it is {:?}", last.latest()))
}

pub(crate) async fn term(campaign: &ZooKeeperCampaign) -> Term {
    until("it leads", &mut campaign.leadership(), |leadership| match leadership {
        Leadership::Leading(term) => Some(*term),
        Leadership::Following | Leadership::Suspended => None,
    })
    .await
}

/// The record once it was read and is as `wanted`.
pub(crate) async fn seen(group: &ZooKeeperGroup, what: &str, wanted: impl Fn(&Found) -> bool) -> Versioned {
    until(what, &mut group.record(), |sight: &Sight| match &sight.read {
        Some(Ok(read)) if wanted(&read.found) => Some(read.clone()),
        _ => None,
    })
    .await
}

pub(crate) fn record(epoch: u64) -> Topology {
    let master: redis_failover_core::NodeAddr = "h1:1".parse().unwrap();
    Topology {
        epoch: Epoch(epoch),
        phase: Phase::Steady,
        members: vec![
            Member { addr: master.clone(), ok: true },
            Member { addr: "h2:2".parse().unwrap(), ok: true },
        ],
        master,
        master_run: None,
        synced: std::collections::BTreeMap::new(),
        lineages: Lineages::default(),
        monitors: [id("m1")].into(),
        policy: Policy::default(),
        min_replicas_to_write: 0,
    }
}

pub(crate) fn report(monitor: &str, vote: Vote) -> Report {
    let votes = [("h1:1".parse().unwrap(), (vote, Duration::from_millis(5)))];
    Report { monitor: id(monitor), address: None, votes: votes.into() }
}

/// The last transaction and the number of packets that the server has seen.
pub(crate) fn figures(server: &lab::ZooKeeper) -> (String, u64) {
    let answer = server.four_letter(0, "srvr").unwrap();
    let line =
        |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    (line("Zxid:"), line("Received:").parse().unwrap())
}

/// A group that is led, and the version that stands at first.
pub(crate) struct Led {
    pub(crate) group: ZooKeeperGroup,
    pub(crate) campaign: ZooKeeperCampaign,
    pub(crate) term: Term,
    pub(crate) version: Version,
}

pub(crate) async fn led(zookeeper: &ZooKeeper, group: &str) -> Led {
    let group = zookeeper.group(&path(group));
    let campaign = group.campaign(&id("m1"), Some("m1:80"));
    let term = term(&campaign).await;
    let version = until("a znode is there", &mut group.record(), |sight| match &sight.read {
        Some(Ok(read)) if read.version.document >= 0 => Some(read.version),
        _ => None,
    })
    .await;
    Led { group, campaign, term, version }
}
