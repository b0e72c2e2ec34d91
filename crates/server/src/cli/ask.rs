//! Asks the leader for something and waits for its answer. What may be asked is each command's own affair; it prints
//! nothing.

use std::time::Duration;

use redis_failover_core::{Answer, Request};
use redis_failover_store::{Snapshot, Store as _, StoreError};
use tokio::time::timeout;

use crate::config::StoreArgs;
use crate::failure::{Failure, Kind};

/// How long to look whether there is a leader.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Leaves `request` for the leader of the group and waits for its answer, which must come within `limit`.
///
/// # Errors
/// When there is no leader, or it does not answer: what may be assumed is said then.
pub(super) async fn answer(store: &StoreArgs, request: &Request, limit: Duration) -> Result<Answer, Failure> {
    let zookeeper = super::connect(store, LOOK_LIMIT)?;
    let group = zookeeper.group(&store.path);
    let outcome = async {
        let snapshot = group.snapshot(LOOK_LIMIT).await.map_err(unreachable)?;
        let leader = has_leader(store, &snapshot)?;
        match timeout(limit, group.ask(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unclear(format!("no answer: {error}"))),
            Err(_) => Err(unclear(format!("{leader} leads and gave no answer within {limit:?}"))),
        }
    }
    .await;
    zookeeper.close().await;
    outcome
}

/// Who leads the group.
///
/// # Errors
/// Where nobody does: nobody can answer.
pub(super) fn has_leader(store: &StoreArgs, snapshot: &Snapshot) -> Result<String, Failure> {
    let leader = snapshot.leader.as_ref().map(|leader| leader.monitor.clone());
    leader.ok_or_else(|| {
        let message = format!("no monitor leads {}, so nobody can do it", store.path);
        Failure::new(Kind::NoLeader, message).hint("is the path right (-p), and do monitors run for it?")
    })
}

pub(super) fn unreachable(error: StoreError) -> Failure {
    Failure::new(Kind::StoreUnreachable, error).hint("are the servers right (-z), and do they run?")
}

pub(super) fn unclear(message: String) -> Failure {
    Failure::new(Kind::Unclear, message)
        .hint("the request is withdrawn, but may have been carried out: look with redis-failover status")
}
