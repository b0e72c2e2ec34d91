//! One look at a group, for people and tools. It sets no watch and writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis_failover_core::{MonitorId, Report, Term, Versioned};
use tokio::time::timeout;
use zookeeper_client::Error;

use super::StoreError;
use super::record::{raw, read_both};
use super::session::{Session, Shared};
use super::znodes::failed;
use crate::Leader;
use crate::wire::{Unreadable, leader_of, parse_report};
use crate::znodes::{PREDECESSORS, Znodes, sequence};

/// What stood in the store at one moment, give or take.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The record.
    pub record: Result<Versioned, Unreadable>,
    /// The reports of the live monitors that can be read.
    pub reports: BTreeMap<MonitorId, Report>,
    /// Since when each of these reports stands, by `ZooKeeper`'s wall clock: since its monitor had this session.
    pub since: BTreeMap<MonitorId, SystemTime>,
    /// By how many milliseconds the clock of each monitor that tells was ahead of `ZooKeeper`'s when it wrote its
    /// report: less the time that took.
    pub ahead: BTreeMap<MonitorId, i64>,
    /// Who leads, if anybody does.
    pub leader: Option<Leader>,
    /// The predecessor's monitors that are alive in this ensemble.
    pub predecessors: Vec<String>,
}

pub(super) async fn take(
    shared: &Arc<Shared>,
    znodes: &Znodes,
    limit: Duration,
) -> Result<Snapshot, StoreError> {
    let begun = Instant::now();
    let session = shared.session(limit).await?;
    let left = limit.saturating_sub(begun.elapsed());
    let (znodes, queue) = (znodes.clone(), shared.servers.below_chroot(PREDECESSORS));
    let work = shared.spawn(async move {
        look(&session, &znodes, &queue).await.map_err(|error| failed(&session, &znodes.document, &error))
    });
    match timeout(left, work).await {
        Ok(Ok(Some(snapshot))) => snapshot,
        Ok(_) => Err(StoreError::Closed),
        Err(_) => Err(StoreError::NoAnswer(left)),
    }
}

async fn look(session: &Session, znodes: &Znodes, queue: &str) -> Result<Snapshot, Error> {
    session.limited(session.client.sync(&znodes.document)).await?;
    let (document, state) = read_both(session, znodes).await?;
    let raw = raw(document, state);
    let record = raw.found(&znodes.document).map(|found| Versioned { version: raw.version, found });
    let (mut reports, mut since, mut ahead) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for name in children(session, &znodes.monitors).await? {
        let Ok(id) = name.parse::<MonitorId>() else { continue };
        let znode = znodes.report(&id);
        let Some((bytes, stat)) = data(session, &znode).await? else { continue };
        if let Ok(report) = parse_report(&znode, &id, &bytes) {
            let millis = u64::try_from(stat.ctime).unwrap_or_default();
            since.insert(id.clone(), UNIX_EPOCH + Duration::from_millis(millis));
            let clock = report.clock.and_then(|clock| i64::try_from(clock).ok());
            ahead.extend(clock.map(|clock| (id.clone(), clock.saturating_sub(stat.mtime))));
            reports.insert(id, report);
        }
    }
    let mut predecessors = children(session, queue).await?;
    predecessors.sort();
    for name in &mut predecessors {
        *name = format!("{queue}/{name}");
    }
    Ok(Snapshot { record, reports, since, ahead, leader: leader(session, znodes).await?, predecessors })
}

async fn leader(session: &Session, znodes: &Znodes) -> Result<Option<Leader>, Error> {
    let mut locks = children(session, &znodes.leader).await?;
    locks.retain(|name| sequence(name).is_some());
    locks.sort_by_key(|name| sequence(name));
    for name in locks {
        // One that vanished meanwhile makes the next one the leader.
        if let Some((bytes, stat)) = data(session, &znodes.lock(&name)).await? {
            return Ok(Some(leader_of(&name, &bytes, Term(stat.czxid))));
        }
    }
    Ok(None)
}

pub(super) async fn children(session: &Session, znode: &str) -> Result<Vec<String>, Error> {
    match session.limited(session.client.list_children(znode)).await {
        Err(Error::NoNode) => Ok(Vec::new()),
        names => names,
    }
}

pub(super) async fn data(session: &Session, znode: &str) -> Result<super::record::Content, Error> {
    match session.limited(session.client.get_data(znode)).await {
        Err(Error::NoNode) => Ok(None),
        content => content.map(Some),
    }
}
