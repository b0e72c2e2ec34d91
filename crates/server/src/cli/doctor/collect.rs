//! Finds the facts: in ZooKeeper, on each node, from the resolver. It judges none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use redis_failover_core::{Found, MonitorId, NodeAddr, OnDivergence, Report, Topology};
use redis_failover_store::{Examination, Snapshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::DoctorArgs;
use super::facts::{Facts, MonitorFacts};
use super::node::{self, Questions};
use crate::cli::place::Place;
use crate::config::StoreArgs;
use crate::failure::{Failure, Kind};
use crate::names::Names;

/// How long ZooKeeper's answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How long the lookup of one name may take.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// All facts.
///
/// # Errors
/// When there is nothing to look at, or ZooKeeper can't be asked.
pub(super) async fn facts(args: &DoctorArgs) -> Result<Facts, Failure> {
    let credentials = args.redis.credentials()?;
    let (snapshot, examination) = look(&args.store, args.session_timeout).await?;
    let record = record(&args.store, &snapshot)?;
    let redis_user = credentials.username.clone().unwrap_or_else(|| "default".to_owned());
    let saves = record.policy.on_divergence() == OnDivergence::Save;
    let questions = Questions { credentials, sample: args.sample, saves };
    let listed: Vec<_> = args.store.zkhosts.hosts().map(|(host, _)| host.to_owned()).collect();
    let monitor = |(id, Report { address, version, .. }): (MonitorId, Report)| {
        let ahead = snapshot.ahead.get(&id).copied();
        (id, MonitorFacts { address, version, ahead })
    };
    let alive: BTreeMap<_, _> = snapshot.reports.into_iter().map(monitor).collect();
    let asked_at = alive.values().filter_map(|it| it.address.as_ref()?.parse::<NodeAddr>().ok());
    let mut hosts: BTreeSet<_> = asked_at.map(|address| address.host().to_owned()).collect();
    hosts.extend(listed.iter().chain(examination.voters.iter().flatten()).cloned());
    hosts.extend(record.nodes().map(|node| node.host().to_owned()));
    let (nodes, addresses) = tokio::join!(ask_nodes(&record, &questions), look_up(hosts));
    Ok(Facts {
        place: Place::new(&args.store.zkhosts, &args.store.path),
        nodes,
        addresses,
        record,
        alive,
        leads: snapshot.leader.is_some(),
        examination,
        listed,
        is_somebody: args.store.access()?.has_credentials(),
        redis_user,
        outage: args.outage,
    })
}

async fn look(store: &StoreArgs, asked: Duration) -> Result<(Snapshot, Examination), Failure> {
    let zookeeper = super::super::connect(store, asked)?;
    let group = zookeeper.group(&store.path);
    let seen = async { Ok((group.snapshot(LIMIT).await?, group.examine(LIMIT).await?)) }.await;
    zookeeper.close().await;
    seen.map_err(|error: redis_failover_store::StoreError| {
        Failure::new(Kind::StoreUnreachable, error).hint("are the servers right (-z), and do they run?")
    })
}

fn record(store: &StoreArgs, snapshot: &Snapshot) -> Result<Topology, Failure> {
    let read = snapshot.record.as_ref().map_err(|unreadable| Failure::new(Kind::Failed, unreadable))?;
    match &read.found {
        Found::Record(record) => Ok((**record).clone()),
        Found::Nothing | Found::Predecessor { .. } => Err(Failure::new(
            Kind::Failed,
            format!("no monitor of ours has published anything at {}", store.path),
        )
        .hint("redis-failover status says what stands there")),
    }
}

/// All nodes at once: one that hangs holds up no other.
async fn ask_nodes(
    record: &Topology,
    questions: &Questions,
) -> BTreeMap<NodeAddr, Result<super::facts::NodeFacts, String>> {
    let names = Names::default();
    names.watch(record.nodes().cloned().collect());
    let mut asking = JoinSet::new();
    for node in record.nodes().cloned() {
        let (names, questions, is_master) = (names.clone(), questions.clone(), node == record.master);
        asking.spawn(async move {
            let said = node::ask(&node, &names, &questions, is_master).await;
            (node, said)
        });
    }
    asking.join_all().await.into_iter().collect()
}

async fn look_up(hosts: BTreeSet<String>) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut asking = JoinSet::new();
    for host in hosts {
        asking.spawn(async move {
            let found = timeout(LOOKUP_LIMIT, tokio::net::lookup_host((host.as_str(), 0))).await;
            let found = found.ok().and_then(Result::ok).into_iter().flatten();
            let addresses = found.map(|address| address.ip().to_canonical()).collect();
            (host, addresses)
        });
    }
    asking.join_all().await.into_iter().collect()
}
